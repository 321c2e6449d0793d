//! The corpus of requests that two readers could read in two ways.

use crate::harness::{ANY, KEY, World, config, get, ok, service};

struct Case {
    name: String,
    verdict: String,
    request: Vec<u8>,
}

fn corpus() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("../smuggling.txt").lines() {
        if let Some(title) = line.strip_prefix("== ") {
            let (name, verdict) = title.split_once(": ").unwrap();
            cases.push(Case { name: name.to_owned(), verdict: verdict.to_owned(), request: Vec::new() });
        } else if let Some(case) = cases.last_mut() {
            let line = line.replace("KEY", &format!("X-API-Key: {KEY}"));
            case.request.extend(unescape(&line));
        }
    }
    cases
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().unwrap() {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("\\{} is no escape", char::from(other)),
        });
    }
    bytes
}

/// The request as the service should get it: the target and the body byte for byte.
fn forwarded(request: &[u8]) -> (String, Vec<u8>) {
    let text = String::from_utf8_lossy(request);
    let line = text.lines().next().unwrap();
    let target = line.split(' ').nth(1).unwrap().trim_start_matches("http://a.example").to_owned();
    let end = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    (target, request[end..].to_vec())
}

#[test]
fn a_request_with_two_readings_is_refused_and_any_other_passes_as_it_is() {
    let cases = corpus();
    assert!(cases.len() > 100);
    let mut wrong = Vec::new();
    for case in &cases {
        // Whole, and cut into pieces that end anywhere.
        for step in [usize::MAX, 7] {
            let fault = hold(case, step);
            wrong.extend(fault.map(|fault| format!("{} ({step}): {fault}", case.name)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn hold(case: &Case, step: usize) -> Option<String> {
    let (upstream, recorded) = service(ok);
    let world = World::start(&config(upstream, ANY));
    let mut client = world.connect();
    for piece in case.request.chunks(step) {
        client.send(piece);
        if step < usize::MAX {
            std::thread::yield_now();
        }
    }
    let answer = client.answer();
    if case.verdict != "pass" {
        let (status, problem) = (answer.status, answer.problem());
        if problem != case.verdict {
            return Some(format!("{status} {problem:?} instead of {:?}", case.verdict));
        }
        let expected = if problem == "version" { 505 } else { 400 };
        if status != expected
            || answer.header("connection").as_deref() != Some("close")
            || !client.rest().is_empty()
        {
            return Some(format!("{status}, and the connection goes on"));
        }
        // The start of a body may have been forwarded; the service never has a whole request.
        let text = recorded.text();
        let is_partial = case.verdict == "body-framing" && !text.ends_with("0\r\n\r\n");
        return (!text.is_empty() && !is_partial).then(|| format!("reached the service: {text:?}"));
    }
    if answer.status != 200 {
        return Some(format!("{} {}", answer.status, answer.text()));
    }
    client.send(get("/next"));
    if client.answer().status != 200 {
        return Some("the next request is not one of its own".to_owned());
    }
    let text = recorded.all().concat();
    let (target, body) = forwarded(&case.request);
    let heads: Vec<usize> =
        text.windows(4).enumerate().filter(|(_, w)| *w == b"\r\n\r\n").map(|(at, _)| at).collect();
    let got = String::from_utf8_lossy(&text).into_owned();
    let line = got.lines().next().unwrap_or_default();
    let method = String::from_utf8_lossy(&case.request).split(' ').next().unwrap_or_default().to_owned();
    if line != format!("{method} {target} HTTP/1.1") {
        return Some(format!("the service got {line:?}"));
    }
    let got_body = &text[heads[0] + 4..];
    let got_body = &got_body[..got_body.windows(10).position(|w| w == b"GET /next ").unwrap()];
    // Chunks may be cut in another way, and extensions are dropped; here each comes at once.
    let expected = String::from_utf8_lossy(&body).replace(";a=b", "");
    if step == usize::MAX && got_body != expected.as_bytes() {
        return Some(format!("the service got the body {:?}", String::from_utf8_lossy(got_body)));
    }
    got.contains(KEY).then(|| "the key reached the service".to_owned())
}
