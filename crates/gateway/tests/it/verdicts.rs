//! Keys, verdicts, and the answers that follow.

use std::sync::atomic::Ordering;

use crate::harness::{ANY, KEY, World, config, get, ok, service};

fn with(headers: &str) -> String {
    format!("GET /orders HTTP/1.1\r\nHost: api.example\r\n{headers}\r\n")
}

#[test]
fn a_key_is_taken_from_either_header_and_never_from_two_places() {
    let (upstream, recorded) = service(ok);
    let world = World::start(&config(upstream, ANY));
    for headers in [format!("Authorization: Bearer {KEY}\r\n"), format!("X-API-Key: {KEY}\r\n")] {
        assert_eq!(world.ask(&with(&headers)).status, 200, "{headers}");
    }
    let both = format!("X-API-Key: {KEY}\r\nAuthorization: Bearer {KEY}\r\n");
    let twice = format!("X-API-Key: {KEY}\r\nX-API-Key: {KEY}\r\n");
    for headers in [both, twice] {
        let answer = world.ask(&with(&headers));
        assert_eq!((answer.status, &*answer.problem()), (400, "several-keys"));
        assert_eq!(answer.header("connection").as_deref(), Some("close"));
    }
    assert!(!recorded.text().contains(KEY), "the key reached the service");
    assert!(!world.log.text().contains(KEY), "the key reached the log");
}

#[test]
fn a_key_in_a_query_is_refused_and_redacted() {
    let (upstream, recorded) = service(ok);
    let world = World::start(&config(upstream, ANY));
    let answer = world.ask(&get(&format!("/orders?page=2&key={KEY}")));
    assert_eq!((answer.status, &*answer.problem()), (400, "key-in-query"));
    let answer = world.ask(&format!("GET /{KEY} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(answer.status, 400);
    let lines = world.logged(2);
    assert_eq!(lines[0]["query"], "[redacted]");
    assert!(!world.log.text().contains(KEY));
    assert_eq!(recorded.text(), "");
}

#[test]
fn each_outcome_has_its_answer() {
    let (upstream, recorded) = service(ok);
    let world = World::start(&config(upstream, &format!("{ANY}scope = \"orders:read\"\n")));
    let challenge = "Bearer realm=\"api\", error=\"invalid_token\"";
    for (key, status, problem, authenticate) in [
        ("unknown", 401, "not-found", Some(challenge)),
        ("disabled", 401, "disabled", Some(challenge)),
        ("expired", 401, "expired", Some(challenge)),
        ("forbidden", 403, "forbidden", None),
        (
            "unscoped",
            403,
            "insufficient-permissions",
            Some("Bearer realm=\"api\", error=\"insufficient_scope\", scope=\"orders:read\""),
        ),
        ("limited", 429, "rate-limited", None),
        ("used", 429, "usage-exceeded", None),
        ("unavailable", 503, "unavailable", None),
    ] {
        let answer = world.ask(&with(&format!("X-API-Key: {key}\r\n")));
        assert_eq!((answer.status, &*answer.problem()), (status, problem), "{key}");
        assert_eq!(answer.header("www-authenticate").as_deref(), authenticate, "{key}");
        assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"));
        let retry = match key {
            "limited" => Some("2"),
            "unavailable" => Some("1"),
            _ => None,
        };
        assert_eq!(answer.header("retry-after").as_deref(), retry, "{key}");
    }
    let answer = world.ask(&with(""));
    assert_eq!((answer.status, &*answer.problem()), (401, "no-key"));
    assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer realm=\"api\""));
    assert_eq!(recorded.text(), "", "a refused request reached the service");
}

#[test]
fn limits_are_told_with_every_answer_about_a_proved_key() {
    let (upstream, _) = service(ok);
    let world = World::start(&config(upstream, ANY));
    for request in [get("/orders"), with("X-API-Key: limited\r\n")] {
        let answer = world.ask(&request);
        assert_eq!(answer.header("ratelimit-policy").as_deref(), Some("\"requests\";q=100;w=60"));
        assert_eq!(answer.header("ratelimit").as_deref(), Some("\"requests\";r=41;t=30"));
    }
    assert_eq!(world.ask(&with("X-API-Key: unknown\r\n")).header("ratelimit"), None);
}

#[test]
fn what_no_route_names_is_refused_before_a_key_is_looked_at() {
    let (upstream, recorded) = service(ok);
    let route = "[[route]]\npath = \"/orders/{id}\"\nmethods = [\"GET\"]\nupstream = \"app\"\n";
    let world = World::start(&config(upstream, route));
    assert_eq!(world.ask(&get("/orders")).problem(), "no-route");
    let answer = world.ask(&get("/orders/7").replace("GET", "DELETE"));
    assert_eq!((answer.status, answer.header("allow").as_deref()), (405, Some("GET")));
    assert_eq!(world.judge.asked.load(Ordering::Relaxed), 0);
    assert_eq!(recorded.text(), "");
    assert_eq!(world.ask(&get("/orders/7")).status, 200);
}

#[test]
fn a_preflight_is_answered_before_authentication_and_never_proxied() {
    let (upstream, recorded) = service(ok);
    let cors =
        "cors = { origins = [\"https://app.example\"], headers = [\"content-type\"], max-age = \"1h\" }\n";
    let world = World::start(&config(upstream, &format!("{ANY}{cors}")));
    let preflight = |origin: &str| {
        world.ask(&format!(
            "OPTIONS /orders HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\r\n"
        ))
    };
    let answer = preflight("https://app.example");
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-headers", "authorization, x-api-key, content-type"),
        ("access-control-max-age", "3600"),
    ] {
        assert_eq!(answer.header(name).as_deref(), Some(value));
    }
    assert_eq!(preflight("https://evil.example").status, 403);
    assert_eq!((world.judge.asked.load(Ordering::Relaxed), recorded.text()), (0, String::new()));

    let answer = world.ask(&get("/orders").replace("Host", "Origin: https://app.example\r\nHost"));
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("https://app.example"));
    // The page may read why it is refused.
    let answer = world.ask(&with("Origin: https://app.example\r\n"));
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("https://app.example"));
    let answer = world.ask(&with("Origin: https://evil.example\r\n"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn a_deprecated_route_says_so() {
    let (upstream, _) = service(ok);
    let old = "deprecation = { since = \"2026-01-01T00:00:00Z\", sunset = \"2027-01-01T00:00:00Z\", \
               link = \"https://docs.example/v2\" }\n";
    let world = World::start(&config(upstream, &format!("{ANY}{old}")));
    let answer = world.ask(&get("/orders"));
    assert_eq!(answer.header("deprecation").as_deref(), Some("@1767225600"));
    assert_eq!(answer.header("sunset").as_deref(), Some("Fri, 01 Jan 2027 00:00:00 GMT"));
    assert_eq!(answer.header("link").as_deref(), Some("<https://docs.example/v2>; rel=\"deprecation\""));
}

#[test]
fn a_request_that_panics_ends_alone() {
    let (upstream, _) = service(ok);
    let world = World::start(&config(upstream, ANY));
    let mut other = world.connect();
    other.send(get("/orders"));
    assert_eq!(other.answer().status, 200);
    let answer = world.ask(&with("X-API-Key: panic\r\n"));
    assert_eq!((answer.status, &*answer.problem()), (500, "internal"));
    assert!(!answer.text().contains("a judge that panics"));
    other.send(get("/orders"));
    assert_eq!(other.answer().status, 200);
}

#[test]
fn operators_see_health_and_counts() {
    let (upstream, _) = service(ok);
    let world = World::start(&config(upstream, &format!("{ANY}# admin\n")));
    world.ask(&get("/orders"));
    world.ask(&with("X-API-Key: unknown\r\n"));
    world.ask("GET /../ HTTP/1.1\r\nHost: a\r\n\r\n");
    world.logged(3);
    let admin = |path: &str| {
        let mut client = crate::harness::Client::to(world.gateway.admin().unwrap());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.answer()
    };
    assert_eq!(admin("/livez").status, 200);
    assert_eq!(admin("/readyz").status, 200);
    world.judge.unready.store(true, Ordering::Relaxed);
    assert_eq!((admin("/readyz").status, admin("/readyz").text()), (503, "not confirmed\n".to_owned()));
    let text = admin("/metrics").text();
    for line in [
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/{rest...}\",http_response_status_code=\"200\"} 1",
        "keyvault_verdicts_total{outcome=\"valid\"} 1",
        "keyvault_verdicts_total{outcome=\"not-found\"} 1",
        "keyvault_refused_requests_total{reason=\"dot-segment\"} 1",
        "keyvault_ready 0",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
}
