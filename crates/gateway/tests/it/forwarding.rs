//! Requests and answers on their way: parts that pass, and parts that do not.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{ANY, KEY, World, config, get, ok, raw_service, read_request, service};

#[test]
fn a_target_passes_byte_for_byte() {
    let (upstream, recorded) = service(ok);
    let world = World::start(&config(upstream, &format!("{ANY}empty-segments = true\nparameters = true\n")));
    let targets = [
        "/a..b",
        "/...",
        "/a%20b/%C3%A9;v=1",
        "/%41%2B",
        "/a?",
        "/a?x=/../..//%2e%2e%2f&y=%00{}|^`",
        "/a//b",
        "/a/",
        "/a?%",
    ];
    let mut client = world.connect();
    for target in targets {
        client.send(get(target));
        assert_eq!(client.answer().status, 200, "{target}");
    }
    client.send(get("http://API.example/absolute?x"));
    assert_eq!(client.answer().status, 200);
    let text = recorded.text();
    let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("GET ")).collect();
    let expected: Vec<String> =
        targets.iter().chain(&["/absolute?x"]).map(|target| format!("{target} HTTP/1.1")).collect();
    assert_eq!(lines, expected);
    assert_eq!(recorded.all().len(), 1, "the connection to the service was kept");
}

#[test]
fn a_service_learns_the_key_from_us_alone() {
    let (upstream, recorded) = service(ok);
    let world = World::start(&config(upstream, ANY));
    let request = format!(
        "POST /orders?a=b HTTP/1.1\r\nHost: api.example\r\nX-Keyvault-Key-Id: forged\r\nX-Keyvault-Client: forged\r\n\
         X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nClient-IP: 1.2.3.4\r\nVia: 1.1 x\r\nTailscale-User-Login: root\r\nX-Accel-Redirect: /x\r\nX-MS-Client-Principal: x\r\nX-API-Key: {KEY}\r\n\
         Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nX-Custom: kept\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nContent-Length: 4\r\n\r\nbody"
    );
    assert_eq!(world.ask(&request).status, 200);
    let text = recorded.text();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines.sort_unstable();
    let host = format!("host: {upstream}");
    let mut expected = vec![
        "POST /orders?a=b HTTP/1.1",
        "content-length: 4",
        &*host,
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-custom: kept",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: api.example",
        "x-forwarded-proto: http",
        "x-keyvault-client: acme",
        "x-keyvault-key-id: aa0000000001",
        "x-keyvault-scopes: orders:read orders:write",
    ];
    expected.sort_unstable();
    assert_eq!((lines, body), (expected, "body"));
}

#[test]
fn headers_of_the_services_connection_do_not_reach_the_client() {
    let (upstream, _) = service(|_| {
        Some(b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-End: 2\r\nContent-Length: 2\r\n\r\nok".to_vec())
    });
    let world = World::start(&config(upstream, ANY));
    let answer = world.ask(&get("/"));
    assert_eq!(answer.header("x-end").as_deref(), Some("2"));
    for name in ["x-hop", "keep-alive", "connection"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[test]
fn an_answer_with_two_readings_is_not_passed_on() {
    let (upstream, _) = service(|request| {
        let answer = match request.split(' ').nth(1)? {
            "/two" => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            "/differ" => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            "/both" => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "/gzip" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "/list" => "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
            "/101" => "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "/host" => "HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nok",
            "/garbage" => "ICY 200 OK\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        Some(answer.as_bytes().to_vec())
    });
    let world = World::start(&config(upstream, ANY));
    for path in ["/two", "/differ", "/both", "/gzip", "/list", "/101", "/host", "/garbage"] {
        let answer = world.ask(&get(path));
        assert_eq!(answer.status, 502, "{path}");
        assert_eq!(world.ask(&get("/next")).text(), "ok", "after {path}");
    }
}

#[test]
fn bodies_pass_with_their_framing() {
    let (upstream, recorded) = service(|request| {
        let (head, body) = request.split_once("\r\n\r\n")?;
        let length = body.len();
        Some(if head.starts_with("HEAD") {
            b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".to_vec()
        } else if head.starts_with("DELETE") {
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
        } else if head.starts_with("PUT") {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()
        } else {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
        })
    });
    let world = World::start(&config(upstream, ANY));
    let auth = format!("Host: a\r\nX-API-Key: {KEY}\r\n");
    let mut client = world.connect();
    client.send(format!("POST /x HTTP/1.1\r\n{auth}Content-Length: 5\r\n\r\nhello"));
    assert_eq!(client.answer().text(), "hello");
    client.send(format!(
        "POST /x HTTP/1.1\r\n{auth}Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"
    ));
    assert!(client.answer().text().contains("hello"));
    client.send(format!("HEAD /x HTTP/1.1\r\n{auth}\r\n"));
    let answer = client.head();
    assert_eq!((answer.status, answer.header("content-length").as_deref()), (200, Some("1234")));
    client.send(format!("DELETE /x HTTP/1.1\r\n{auth}\r\n"));
    assert_eq!(client.answer().status, 204);
    client.send(format!("PUT /x HTTP/1.1\r\n{auth}Content-Length: 0\r\n\r\n"));
    assert_eq!(client.answer().text(), "3\r\nabc\r\n0\r\n\r\n");
    let text = recorded.text();
    assert!(!text.contains("ext=1"), "{text}");
    assert!(text.contains("PUT /x HTTP/1.1\r\n") && text.contains("content-length: 0"), "{text}");
}

#[test]
fn a_body_beyond_its_routes_bound_is_refused() {
    let (upstream, recorded) = service(ok);
    let world = World::start(&config(upstream, &format!("{ANY}body = 10\n")));
    let auth = format!("Host: a\r\nX-API-Key: {KEY}\r\n");
    let answer = world.ask(&format!("POST /x HTTP/1.1\r\n{auth}Content-Length: 11\r\n\r\nhello world"));
    assert_eq!((answer.status, &*answer.problem()), (413, "body-too-large"));
    assert_eq!(recorded.text(), "");
    let answer = world.ask(&format!(
        "POST /x HTTP/1.1\r\n{auth}Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n"
    ));
    assert_eq!((answer.status, &*answer.problem()), (413, "body-too-large"));
    assert!(!recorded.text().contains("0\r\n\r\n"), "the service must not take the body for whole");
    assert_eq!(
        world.ask(&format!("POST /x HTTP/1.1\r\n{auth}Content-Length: 10\r\n\r\n0123456789")).status,
        200
    );
}

/// A service that closes each connection when its second request has come.
fn closes_at_second(answer_first_byte: bool) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let (address, _) = raw_service(move |stream, recorded, at| {
        if read_request(stream, recorded, at).is_none() {
            return;
        }
        counted.fetch_add(1, Ordering::SeqCst);
        stream.write_all(&ok("").unwrap()).unwrap();
        if read_request(stream, recorded, at).is_some() {
            counted.fetch_add(1, Ordering::SeqCst);
            if answer_first_byte {
                let _ = stream.write_all(b"H");
            }
        }
    });
    (address, requests)
}

#[test]
fn a_request_is_repeated_only_where_that_is_safe() {
    for (method, has_byte, status, requests) in
        [("GET", false, 200, 3), ("POST", false, 502, 2), ("GET", true, 502, 2)]
    {
        let (upstream, counted) = closes_at_second(has_byte);
        let world = World::start(&config(upstream, ANY));
        let mut client = world.connect();
        client.send(get("/1"));
        assert_eq!(client.answer().status, 200);
        client.send(get("/2").replacen("GET", method, 1));
        assert_eq!(client.answer().status, status, "{method} {has_byte}");
        assert_eq!(counted.load(Ordering::SeqCst), requests, "{method} {has_byte}");
    }
}

#[test]
fn a_request_is_repeated_once_however_many_connections_are_idle() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let together = Arc::new(std::sync::Barrier::new(4));
    let (upstream, _) = raw_service(move |stream, recorded, at| {
        if read_request(stream, recorded, at).is_some_and(|request| request.contains("GET /1 ")) {
            together.wait();
            stream.write_all(&ok("").unwrap()).unwrap();
            read_request(stream, recorded, at);
        }
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let world = World::start(&config(upstream, ANY));
    let mut clients: Vec<_> = (0..4).map(|_| world.connect()).collect();
    for client in &mut clients {
        client.send(get("/1"));
    }
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
    std::thread::sleep(Duration::from_millis(100));
    clients[0].send(get("/2"));
    assert_eq!(clients[0].answer().status, 502);
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[test]
fn a_service_that_is_not_there_or_silent_has_an_answer_in_time() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::start(&config(gone, ANY));
    assert_eq!((world.ask(&get("/")).status, &*world.ask(&get("/")).problem()), (502, "upstream-connect"));

    let (silent, _) =
        raw_service(|stream, recorded, at| while read_request(stream, recorded, at).is_some() {});
    let world = World::start(&config(silent, &format!("answer-time = \"100ms\"\n{ANY}")));
    let began = Instant::now();
    assert_eq!(world.ask(&get("/")).problem(), "upstream-timeout");
    assert!(began.elapsed() < Duration::from_secs(5));

    let world = World::start(&config(silent, &format!("connections = 1\n{ANY}")));
    let mut first = world.connect();
    first.send(get("/"));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(world.ask(&get("/")).problem(), "upstream-busy");
}

#[test]
fn the_log_has_one_line_for_each_request() {
    let (upstream, _) = service(ok);
    let world = World::start(&config(upstream, ANY));
    world.ask(&get("/orders?page=2"));
    let lines = world.logged(1);
    for (field, value) in [
        ("client_address", "127.0.0.1"),
        ("method", "GET"),
        ("path", "/orders"),
        ("query", "page=2"),
        ("route", "/{rest...}"),
        ("outcome", "valid"),
        ("key", "aa0000000001"),
        ("client", "acme"),
    ] {
        assert_eq!(lines[0][field], value);
    }
    assert_eq!((&lines[0]["status"], &lines[0]["sent"]), (&200.into(), &2.into()));
}

#[test]
fn a_reload_takes_effect_for_the_next_request_and_a_bad_one_changes_nothing() {
    let (upstream, _) = service(ok);
    let world = World::start(&config(upstream, ANY));
    let listening = config(upstream, ANY).replace("127.0.0.1:0", &world.address.to_string());
    let mut client = world.connect();
    client.send(get("/a"));
    assert_eq!(client.answer().status, 200);
    let only_b = listening.replace("/{rest...}", "/b");
    world.gateway.reload(keyvault_gateway::Config::parse(&only_b).unwrap()).unwrap();
    client.send(get("/a"));
    assert_eq!(client.answer().status, 404);
    client.send(get("/b"));
    assert_eq!(client.answer().status, 200);
    let moved = listening.replace("\"/v\"", "\"/elsewhere\"");
    assert!(world.gateway.reload(keyvault_gateway::Config::parse(&moved).unwrap()).is_err());
    client.send(get("/b"));
    assert_eq!(client.answer().status, 200);
}

#[test]
fn draining_ends_requests_that_have_begun_and_accepts_no_more() {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock().unwrap();
    let waits = Arc::clone(&gate);
    let (upstream, recorded) = service(move |request| {
        drop(waits.lock());
        ok(request)
    });
    let world = World::start(&config(upstream, ANY));
    let (mut idle, mut client) = (world.connect(), world.connect());
    client.send(get("/"));
    crate::harness::until(|| recorded.text().contains("GET /"));
    let address = world.address;
    let draining = std::thread::spawn(move || world.gateway.drain());
    crate::harness::until(|| std::net::TcpStream::connect(address).is_err());
    drop(held);
    assert_eq!(client.answer().status, 200);
    assert_eq!(idle.rest(), b"");
    draining.join().unwrap();
}

#[test]
fn a_second_gateway_takes_over_without_a_refused_connection() {
    let (upstream, _) = service(ok);
    let first = World::start(&config(upstream, ANY));
    let address = first.address;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load: Vec<_> = (0..2)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let (mut answered, mut closed) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    let mut client = crate::harness::Client::to(address);
                    client.send(get("/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
                    match client.answer_if_any() {
                        Some(answer) => assert_eq!(answer.status, 200),
                        None => closed += 1,
                    }
                    answered += 1;
                }
                (answered, closed)
            })
        })
        .collect();
    let second = World::start(&config(upstream, ANY).replace("127.0.0.1:0", &address.to_string()));
    std::thread::sleep(Duration::from_millis(100));
    first.gateway.drain();
    std::thread::sleep(Duration::from_millis(100));
    stop.store(true, Ordering::Relaxed);
    // The kernel resets a connection that comes between the last look at the queue and the socket's end; its client has not
    // had a byte, and asks again. Each client has one connection at a time.
    for thread in load {
        let (answered, closed) = thread.join().unwrap();
        assert!(answered > 10 && closed <= 1, "{answered} {closed}");
    }
    drop(second);
}

#[test]
fn a_key_in_a_place_that_reaches_the_service_or_the_log_is_refused_there() {
    let (upstream, recorded) = service(ok);
    let world = World::start(&config(upstream, ANY));
    let bare = KEY.trim_start_matches("kv_live_");
    let encoded = KEY.replace('_', "%255f");
    let host = |host: &str| get("/a").replace("api.example", host);
    let header = |line: &str| get("/a").replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
    let requests = [
        get(&format!("/a/{KEY}")),
        get(&format!("/a/{encoded}/b")),
        get(&format!("/a/{bare}")),
        get(&format!("/a?x={bare}")),
        get(&format!("/a?x={encoded}&y=%")),
        host(&format!("{KEY}.example")),
        header(&format!("Cookie: a=b; k={KEY}")),
        header(&format!("Referer: https://a.example/?k={encoded}")),
        header(&format!("X-Foo: {bare}")),
        header(&format!("Sec-WebSocket-Protocol: {KEY}")),
        get("/a").replacen("GET", KEY, 1),
    ];
    for request in &requests {
        let answer = world.ask(request);
        assert!(matches!(answer.status, 400 | 405), "{request} {}", answer.status);
    }
    assert_eq!(recorded.text(), "");
    let lines = world.logged(requests.len());
    assert!(lines.iter().all(|line| !line.to_string().contains(&bare[13..])), "{lines:?}");
    assert_eq!(world.ask(&header("Cookie: a=b%")).status, 200);
    let token = "eyJ0.".repeat(20);
    assert_eq!(world.ask(&header(&format!("Cookie: t={token}")).replace(KEY, &token)).status, 401);
}
