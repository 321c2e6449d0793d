//! `verify`: a key that was presented, and the verdict as an exit code.

use pretty_assertions::assert_eq;

use super::issue::{id, issue, named, verify, with_key};
use crate::harness::{KEYVAULT, World, days};

#[test]
fn the_verdict_is_in_words_in_json_and_in_the_exit_code() {
    let world = World::own();
    world.run(&["client", "add", "acme"]).ok();
    let text = issue(&world, "acme/prod", &["--client", "acme", "--scope", "orders:read", "--rate", "100/m"]);
    let ids = [(id(&text), "ID")];
    let valid = world.run_with_input(&["verify"], &text);
    assert_eq!(
        (valid.code, named(&valid.out, &ids).as_str(), valid.err.as_str()),
        (0, "valid: acme/prod (ID), client acme, scopes orders:read\n", "")
    );
    let refused = world.run_with_input(&["verify", "--scope", "orders:write"], format!("{text}\n"));
    assert_eq!(
        (refused.code, named(&refused.out, &ids).as_str()),
        (6, "insufficient_permissions (scope): acme/prod (ID), client acme, scopes orders:read\n")
    );
    world.run_with_input(&["verify"], "kv_live_nothing").is(1, "not_found\n", "");
    let json = world.run_with_input(&["verify", "--json"], &text).ok().json();
    assert_eq!(
        json,
        serde_json::json!({
            "outcome": "valid", "cause": null, "id": id(&text), "name": "acme/prod", "api": "default",
            "client": "acme", "scopes": ["orders:read"],
            "limits": [{
                "rate": "requests", "quota": null, "counter": "key", "limit": 100, "remaining": 99, "reset": 1,
            }],
            "retry_after": null,
        })
    );
}

#[test]
fn what_is_not_a_key_of_ours_gets_one_answer() {
    let (world, text) = with_key(&[]);
    let json = |input: &str| world.run_with_input(&["verify", "--json"], input);
    let unknown = json("kv_live_000000000000_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    let mut wrong = text.clone().into_bytes();
    let at = text.len() - 20;
    wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
    let wrong = json(&String::from_utf8(wrong).unwrap());
    for ran in [&unknown, &wrong, &json(""), &json("x")] {
        assert_eq!((ran.code, &ran.out), (1, &unknown.out));
    }
}

#[test]
fn requirements_networks_and_the_rest_of_a_request_are_held_against_the_key() {
    let (world, text) = with_key(&[
        "--scope",
        "orders:read,stock:write",
        "--cidr",
        "203.0.113.0/24",
        "--method",
        "GET",
        "--path",
        "/orders/*",
        "--origin",
        "https://shop.example",
    ]);
    let fits = [
        "verify",
        "--ip",
        "203.0.113.9",
        "--method",
        "GET",
        "--path",
        "/orders/7",
        "--origin",
        "https://shop.example",
        "--scope",
        "orders:read AND (stock:* OR admin)",
    ];
    assert_eq!(world.run_with_input(&fits, &text).code, 0);
    for (option, value, cause) in [
        ("--ip", "198.51.100.1", "network"),
        ("--method", "POST", "method"),
        ("--path", "/orders/../admin", "path"),
        ("--origin", "https://other.example", "origin"),
        ("--scope", "admin:*", "scope"),
    ] {
        let mut words: Vec<&str> = fits.to_vec();
        let at = words.iter().position(|word| *word == option).unwrap();
        words[at + 1] = value;
        words.push("--json");
        let ran = world.run_with_input(&words, &text);
        assert_eq!((ran.code, ran.json()["cause"].as_str().unwrap()), (6, cause), "{option}");
    }
}

#[test]
fn states_and_times_are_verdicts_of_their_own() {
    let (world, text) = with_key(&["--not-before", "1d", "--expires", "10d"]);
    assert_eq!(verify(&world, &text), (6, "forbidden".to_owned()));
    world.advance(days(2));
    assert_eq!(verify(&world, &text), (0, "valid".to_owned()));
    world.advance(days(9));
    assert_eq!(verify(&world, &text), (6, "expired".to_owned()));
}

#[test]
fn a_batch_is_json_lines_with_limits_counted_within_it_and_the_worst_line_as_its_code() {
    let (world, text) = with_key(&["--rate", "2/m", "--scope", "orders:read"]);
    let line = format!("{{\"key\":\"{text}\",\"scope\":\"orders:read\"}}\n");
    let outcomes = |ran: &str| -> Vec<String> {
        ran.lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["outcome"]
                    .as_str()
                    .unwrap_or("error")
                    .to_owned()
            })
            .collect()
    };
    let ran = world.run_with_input(&["verify", "--batch"], line.repeat(3));
    assert_eq!(
        (ran.code, outcomes(&ran.out)),
        (6, vec!["valid".into(), "valid".into(), "rate_limited".into()])
    );
    let last: serde_json::Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["retry_after"], 30);
    let ran = world.run_with_input(&["verify", "--batch"], format!("{line}{{\"key\":\"nothing\"}}\n{line}"));
    assert_eq!((ran.code, outcomes(&ran.out)), (1, vec!["valid".into(), "not_found".into(), "valid".into()]));
    let ran =
        world.run_with_input(&["verify", "--batch"], format!("{{\"key\":\"nothing\"}}\n{text}\n{line}"));
    assert_eq!((ran.code, outcomes(&ran.out)), (2, vec!["not_found".into(), "error".into(), "valid".into()]));
    assert!(!ran.out.contains(&text[20..]), "{}", ran.out);
    let ran = world.run_with_input(&["verify", "--cost", "3", "--json"], &text);
    assert_eq!((ran.code, ran.json()["outcome"].as_str().unwrap()), (6, "rate_limited"));
}

#[test]
fn a_verifiers_token_verifies_the_keys_of_its_apis_and_learns_no_names() {
    let (mut world, text) = with_key(&["--scope", "orders:read"]);
    world.run(&["api", "add", "shop"]).ok();
    let other = issue(&world, "other", &["--api", "shop"]);
    let token = world.run(&["token", "create", "gateway", "--verifier"]).ok().out.trim_end().to_owned();
    let missing = world.run(&["token", "create", "second", "--verifier", "--api", "none"]);
    assert_eq!(missing.code, 3, "{}", missing.err);
    world.unset("KEYVAULT_PASSPHRASE");
    world.set("KEYVAULT_TOKEN", &token);
    let json = world.run_with_input(&["verify", "--json"], &text).ok().json();
    assert_eq!((&json["id"], &json["name"]), (&id(&text).into(), &serde_json::Value::Null));
    assert_eq!(verify(&world, &other), (1, "not_found".to_owned()));
}

#[test]
fn failures_of_its_own_are_no_verdicts() {
    let (mut world, text) = with_key(&[]);
    assert_eq!(world.run_with_input(&["verify", "--scope", "a AND"], &text).code, 2);
    assert_eq!(world.run_with_input(&["verify", "--vault", "/nonexistent/v.db"], &text).code, 125);
    assert_eq!(world.run_with_input(&["verify", "--api", "other"], &text).code, 125);
    let closed = world.sh(&format!("printf %s {text} | keyvault verify >&-; echo $? >&2"));
    assert!(closed.err.ends_with("125\n"), "{}", closed.err);
    world.unset("KEYVAULT_PASSPHRASE");
    assert_eq!(world.run_with_input(&["verify", "--non-interactive"], &text).code, 4);
}

#[test]
fn a_token_that_is_no_verifiers_or_an_api_that_it_does_not_have_gives_no_verdict() {
    let (mut world, text) = with_key(&[]);
    world.run(&["generate", "held", "--scope", "ci"]).ok();
    let create = |options: &[&str]| {
        let ran = world.run(&[&["token", "create"], options].concat()).ok();
        ran.out.trim_end().to_owned()
    };
    let (ordinary, verifier) = (create(&["ci", "--scope", "ci"]), create(&["gate", "--verifier"]));
    world.run(&["lock"]).ok();
    world.set("KEYVAULT_TOKEN", &ordinary);
    world.run_with_input(&["verify"], &text).fails(4, "The token is not a verifier's.");
    world.set("KEYVAULT_TOKEN", &verifier);
    world.run_with_input(&["verify"], &text).ok();
    world.run_with_input(&["verify", "--api", "typo"], &text).fails(125, "an API named `typo`");
}

#[test]
fn a_key_in_a_batch_is_the_string_and_not_how_it_is_written() {
    let (world, text) = with_key(&[]);
    let escaped = text.replace('_', "\\u005f");
    let line = |key: &str| world.run_with_input(&["verify", "--batch"], format!("{{\"key\":\"{key}\"}}\n"));
    assert_eq!(line(&escaped).ok().json()["outcome"], "valid");
    assert_eq!(line("a\\n\\\"\\\\").code, 1);
    assert_eq!(world.run_with_input(&["verify", "--batch"], "{\"key\":1}\n").code, 2);
}

#[test]
fn a_text_that_is_too_long_for_a_key_is_not_found() {
    let (world, _) = with_key(&[]);
    world.run_with_input(&["verify"], "x".repeat(5000)).is(1, "not_found\n", "");
}

#[test]
fn a_closed_stdin_gives_no_verdict() {
    let (world, _) = with_key(&[]);
    let ran = world.sh(&format!("'{KEYVAULT}' verify <&-"));
    assert_eq!((ran.code, ran.out.as_str()), (125, ""));
}

#[test]
fn a_verifiers_token_is_listed_and_shown_with_its_apis_and_no_scope_of_it_is_warned_of() {
    let (world, _) = with_key(&[]);
    let created = world.run(&["token", "create", "gate", "--verifier", "--scope", "none"]).ok();
    assert!(!created.err.contains("No key has the scope"), "{}", created.err);
    let list = world.run(&["token", "list"]).ok().out;
    assert!(list.contains("verifier of default"), "{list}");
    let show = world.run(&["token", "show", "gate"]).ok().out;
    assert!(show.contains("verifier of default"), "{show}");
    let json = world.run(&["token", "show", "gate", "--json"]).ok().json();
    assert_eq!((&json["kind"], &json["apis"]), (&"verifier".into(), &serde_json::json!(["default"])));
}
