//! Streams: events, websockets, slow clients, trailers, and streams of a key that is revoked.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::harness::{ANY, KEY, World, config, get, ok, raw_service, read_request, service};

#[test]
fn events_pass_as_they_come() {
    let (upstream, _) = raw_service(|stream, recorded, at| {
        read_request(stream, recorded, at);
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            )
            .unwrap();
        for event in ["data: 1\n\n", "data: 2\n\n"] {
            stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).unwrap();
            // The client asks for the next one by a byte on a connection of its own; here a pause shows that nothing waits.
            std::thread::sleep(Duration::from_millis(300));
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let world = World::start(&config(upstream, ANY));
    let mut client = world.connect();
    client.send(get("/events"));
    assert_eq!(client.head().status, 200);
    let began = Instant::now();
    let first = String::from_utf8(client.at_least(14)).unwrap();
    assert!(first.contains("data: 1") && !first.contains("data: 2"), "{first}");
    assert!(began.elapsed() < Duration::from_millis(290), "{:?}", began.elapsed());
    assert!(String::from_utf8(client.at_least(14)).unwrap().contains("data: 2"));
}

#[test]
fn a_stream_of_a_revoked_key_is_cut() {
    let (upstream, _) = raw_service(|stream, recorded, at| {
        read_request(stream, recorded, at);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").unwrap();
        let _ = stream.read(&mut [0]);
    });
    let world = World::start(&config(upstream, ANY));
    let mut client = world.connect();
    client.send(get("/events"));
    assert_eq!(client.head().status, 200);
    client.at_least(6);
    world.judge.revoked.store(true, Ordering::Relaxed);
    let began = Instant::now();
    client.rest();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(world.logged(1)[0]["fault"], "the key is no longer accepted");
    assert_eq!(world.ask(&get("/events")).status, 401);
}

fn echo_service() -> (std::net::SocketAddr, crate::harness::Recorded) {
    raw_service(|stream, recorded, at| {
        let Some(request) = read_request(stream, recorded, at) else { return };
        if !request.to_lowercase().contains("upgrade: websocket") {
            stream.write_all(&ok("").unwrap()).unwrap();
            return;
        }
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Protocol: chat\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
        let mut piece = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            stream.write_all(&piece[..length]).unwrap();
        }
    })
}

fn handshake() -> String {
    format!(
        "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: keyvault.key.{KEY}, chat\r\n\r\n"
    )
}

#[test]
fn a_websocket_is_a_tunnel_and_its_key_stays_here() {
    let (upstream, recorded) = echo_service();
    let world = World::start(&config(upstream, &format!("{ANY}websocket = true\n")));
    let mut client = world.connect();
    client.send(handshake());
    let answer = client.head();
    assert_eq!((answer.status, answer.header("sec-websocket-protocol").as_deref()), (101, Some("chat")));
    // Bytes that look like a request that would be refused are none here.
    client.send(b"GET /../ HTTP/1.1\n\n\x00\xff");
    assert_eq!(client.at_least(21), b"GET /../ HTTP/1.1\n\n\x00\xff");
    let text = recorded.text().to_lowercase();
    assert!(text.contains("sec-websocket-protocol: chat\r\n") && !text.contains("keyvault.key"), "{text}");
    world.judge.revoked.store(true, Ordering::Relaxed);
    let began = Instant::now();
    client.rest();
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[test]
fn an_upgrade_that_a_route_does_not_allow_is_an_ordinary_request() {
    let (upstream, recorded) = echo_service();
    let world = World::start(&config(upstream, ANY));
    let mut client = world.connect();
    client.send(handshake());
    assert_eq!(client.answer().status, 200);
    assert!(!recorded.text().to_lowercase().contains("upgrade"));
    // The connection goes on by the rules for requests.
    client.send("GET /../ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status, 400);
}

#[test]
fn trailers_pass_where_both_sides_speak_of_them() {
    let (upstream, recorded) = service(|_| {
        Some(
            b"HTTP/1.1 200 OK\r\nTrailer: Checksum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nChecksum: 7\r\n\r\n"
                .to_vec(),
        )
    });
    let world = World::start(&config(upstream, ANY));
    let mut client = world.connect();
    client.send(format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nTE: trailers\r\nTrailer: X-Sum\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 9\r\n\r\n"
    ));
    let text = String::from_utf8(client.rest()).unwrap().to_lowercase();
    assert!(text.ends_with("2\r\nok\r\n0\r\nchecksum: 7\r\n\r\n"), "{text}");
    assert!(recorded.text().to_lowercase().contains("x-sum: 9"), "{}", recorded.text());
}

#[test]
fn a_client_that_is_too_slow_with_its_head_is_answered_and_closed() {
    let (upstream, _) = service(ok);
    let bounds = "[bounds]\nhead-time = \"200ms\"\nidle-time = \"300ms\"\n";
    let world = World::start(&config(upstream, &format!("{ANY}{bounds}")));
    let mut client = world.connect();
    client.send("GET / HT");
    assert_eq!(client.answer().status, 408);
    let mut idle = world.connect();
    idle.send(get("/"));
    assert_eq!(idle.answer().status, 200);
    let began = Instant::now();
    assert_eq!(idle.rest(), b"");
    assert!(began.elapsed() > Duration::from_millis(200) && began.elapsed() < Duration::from_secs(3));
}

#[test]
fn interim_answers_reach_the_client_before_the_answer() {
    let (upstream, _) = service(|_| {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
        Some([early.as_bytes(), &ok("").unwrap()].concat())
    });
    let world = World::start(&config(upstream, ANY));
    let mut client = world.connect();
    for _ in 0..2 {
        client.send(get("/"));
        let early = client.head();
        assert_eq!(early.head, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
        assert_eq!(client.answer().text(), "ok");
    }
    client.send(get("/").replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(client.answer().status, 200);
}

#[test]
fn a_client_that_waits_for_it_is_told_to_go_on_with_its_body() {
    let (upstream, recorded) = service(ok);
    let world = World::start(&config(upstream, ANY));
    let mut client = world.connect();
    let head = format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    );
    client.send(&head);
    assert_eq!(client.head().status, 100);
    client.send("body");
    assert_eq!(client.answer().status, 200);
    assert!(recorded.text().ends_with("body") && !recorded.text().contains("expect"));
    // One whose request is refused is not.
    client.send(head.replace(KEY, "unknown"));
    assert_eq!(client.answer().status, 401);
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    let (upstream, recorded) = service(|request| {
        let target = request.split(' ').nth(1)?;
        Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len()).into_bytes())
    });
    let world = World::start(&config(upstream, ANY));
    let mut client = world.connect();
    let targets: Vec<String> = (0..50).map(|number| format!("/{number}")).collect();
    let requests: String = targets.iter().map(|target| get(target)).collect();
    client.send(format!("{requests}GET /../ HTTP/1.1\r\nHost: a\r\n\r\n{}", get("/beyond")));
    for target in &targets {
        assert_eq!(client.answer().text(), *target);
    }
    assert_eq!(client.answer().problem(), "dot-segment");
    assert_eq!(client.rest(), b"");
    assert!(!recorded.text().contains("beyond"));
}

#[test]
fn a_head_or_a_crowd_beyond_its_bound_is_refused() {
    let (upstream, _) = service(ok);
    let bounds = "[bounds]\nhead = \"2KiB\"\nheaders = 8\nconnections = 3\n";
    let world = World::start(&config(upstream, &format!("{ANY}{bounds}")));
    let padded = |header: &str| get("/").replace("\r\n\r\n", &format!("\r\n{header}\r\n"));
    assert_eq!(world.ask(&padded(&format!("X: {}\r\n", "a".repeat(3000)))).problem(), "head-too-large");
    assert_eq!(world.ask(&padded(&"X: a\r\n".repeat(9))).problem(), "too-many-headers");
    let mut endless = world.connect();
    endless.send(get("/").replace("\r\n\r\n", &format!("\r\nX: {}", "a".repeat(5000))));
    assert_eq!(endless.answer().status, 431);
    drop(endless);
    crate::harness::until(|| {
        let mut all: Vec<_> = (0..3).map(|_| world.connect()).collect();
        for client in &mut all {
            client.send(get("/"));
        }
        // Those of before may not have ended.
        all.iter_mut().all(|client| client.at_least(1).starts_with(b"HTTP/1.1 200"))
            && world.connect().rest().is_empty()
    });
    crate::harness::until(|| {
        let mut client = world.connect();
        client.send(get("/"));
        client.at_least(1).starts_with(b"HTTP/1.1 200")
    });
}

#[test]
fn an_upgrade_header_of_a_request_with_a_body_decides_nothing_about_the_next() {
    let (upstream, _) = echo_service();
    let world = World::start(&config(upstream, &format!("{ANY}websocket = true\n")));
    let mut client = world.connect();
    let posts = format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nab"
    );
    client.send(format!("{posts}{}", handshake()));
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.head().status, 101);
    client.send(b"\x81\x05hello frame");
    assert_eq!(client.at_least(13), b"\x81\x05hello frame");
}

/// A service whose answer has no end; the flag tells that it has lost its reader.
fn endless_service() -> (std::net::SocketAddr, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let tells = std::sync::Arc::clone(&ended);
    let (upstream, _) = raw_service(move |stream, recorded, at| {
        read_request(stream, recorded, at);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        let chunk = [&b"10000\r\n"[..], &vec![b'a'; 0x10000], b"\r\n"].concat();
        while stream.write_all(&chunk).is_ok() {}
        tells.store(true, Ordering::SeqCst);
    });
    (upstream, ended)
}

#[test]
fn a_client_that_reads_nothing_is_cut_when_its_key_is_revoked() {
    let (upstream, ended) = endless_service();
    let world = World::start(&config(upstream, ANY));
    let mut client = world.connect();
    client.send(get("/endless"));
    assert_eq!(client.head().status, 200);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!ended.load(Ordering::SeqCst));
    world.judge.revoked.store(true, Ordering::Relaxed);
    let began = Instant::now();
    crate::harness::until(|| ended.load(Ordering::SeqCst));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_client_that_reads_nothing_for_too_long_is_cut() {
    let (upstream, ended) = endless_service();
    let world = World::start(&config(upstream, &format!("{ANY}[bounds]\nbody-time = \"1s\"\n")));
    let mut client = world.connect();
    client.send(get("/endless"));
    assert_eq!(client.head().status, 200);
    crate::harness::until(|| ended.load(Ordering::SeqCst));
}

fn websocket(world: &World) -> crate::harness::Client {
    let mut client = world.connect();
    client.send(handshake());
    assert_eq!(client.head().status, 101);
    client
}

#[test]
fn a_websocket_takes_a_place_on_both_sides_until_it_ends() {
    let (upstream, _) = echo_service();
    let websockets = format!("{ANY}websocket = true\n");
    let bounded = format!("{websockets}[bounds]\nconnections = 1\n");
    let world = World::start(&config(upstream, &bounded));
    let client = websocket(&world);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(world.connect().rest(), b"");
    drop(client);
    crate::harness::until(|| {
        let mut client = world.connect();
        client.send(get("/"));
        client.at_least(1).starts_with(b"HTTP/1.1 200")
    });

    let world = World::start(&config(upstream, &format!("connections = 1\n{websockets}")));
    let client = websocket(&world);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(world.ask(&get("/")).problem(), "upstream-busy");
    drop(client);
    crate::harness::until(|| world.ask(&get("/")).status == 200);
}

#[test]
fn a_websocket_without_a_byte_for_too_long_is_closed() {
    let (upstream, _) = echo_service();
    let further = format!("{ANY}websocket = true\n[bounds]\nwebsocket-time = \"600ms\"\n");
    let world = World::start(&config(upstream, &further));
    let (mut client, began) = (websocket(&world), Instant::now());
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(300));
        client.send(b"x");
        assert_eq!(client.at_least(1), b"x");
    }
    assert_eq!(client.rest(), b"");
    assert!(began.elapsed() > Duration::from_millis(1700) && began.elapsed() < Duration::from_secs(5));
}

#[test]
fn draining_leaves_websockets_their_time() {
    let (upstream, _) = echo_service();
    let world =
        World::start(&config(upstream, &format!("{ANY}websocket = true\n[bounds]\ndrain-time = \"1s\"\n")));
    let mut client = websocket(&world);
    let began = Instant::now();
    let draining = std::thread::spawn(move || world.gateway.drain());
    std::thread::sleep(Duration::from_millis(400));
    client.send(b"still");
    assert_eq!(client.at_least(5), b"still");
    client.rest();
    assert!(began.elapsed() > Duration::from_millis(900) && began.elapsed() < Duration::from_secs(5));
    draining.join().unwrap();
}

#[test]
fn a_new_connection_without_a_byte_is_closed_sooner_than_one_between_requests() {
    let (upstream, _) = service(ok);
    let world = World::start(&config(upstream, &format!("{ANY}[bounds]\nhead-time = \"300ms\"\n")));
    let (mut silent, mut used, began) = (world.connect(), world.connect(), Instant::now());
    used.send(get("/"));
    assert_eq!(used.answer().status, 200);
    assert_eq!(silent.rest(), b"");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    std::thread::sleep(Duration::from_millis(400));
    used.send(get("/"));
    assert_eq!(used.answer().status, 200);
}
