//! TLS on both sides, and plaintext from elsewhere.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;

use crate::harness::{ANY, Client, KEY, World, config, get, ok, service};

fn file(name: &str) -> String {
    format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn tls_is_spoken_to_clients_and_to_services() {
    let (upstream, recorded) = service(ok);
    let tls =
        format!("tls = {{ certificate = \"{}\", key = \"{}\" }}\n", file("certificate.pem"), file("key.pem"));
    let listening = |text: String| text.replace("[upstream.app]", &format!("{tls}[upstream.app]"));
    let inner = World::start(&listening(config(upstream, &format!("{ANY}public = true\n"))));
    let port = inner.address.port();
    let of = |host: &str, ca: &str| {
        let url = format!("http://{}", inner.address);
        let text = config(inner.address, ANY).replace(&url, &format!("https://{host}:{port}\"\nca = \"{ca}"));
        World::start(
            &text.replace("[upstream.app]\n", &format!("[upstream.app]\naddress = \"{}\"\n", inner.address)),
        )
    };
    let outer = of("localhost", &file("ca.pem"));
    let mut client = outer.connect();
    for _ in 0..2 {
        client.send(get("/orders?a=b"));
        assert_eq!(client.answer().text(), "ok");
    }
    assert!(recorded.text().contains("x-forwarded-proto: https"), "{}", recorded.text());
    // Another name than the certificate's, and another authority than ours.
    assert_eq!(of("other.example", &file("ca.pem")).ask(&get("/")).problem(), "upstream-connect");
    assert_eq!(of("localhost", &file("certificate.pem")).ask(&get("/")).problem(), "upstream-connect");
    // Plaintext to a port of TLS gets no HTTP.
    let mut plain = Client::to(inner.address);
    plain.send(get("/"));
    assert!(!plain.rest().starts_with(b"HTTP"));
}

#[test]
fn plaintext_from_elsewhere_than_this_machine_is_refused_for_every_key_alike() {
    // An address of this machine that is not the loopback's. Nothing is sent.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let Ok(()) = socket.connect("192.0.2.1:9") else { return };
    let own = socket.local_addr().unwrap().ip();
    if own.is_loopback() {
        return;
    }
    let (upstream, recorded) = service(ok);
    let world = World::start(&config(upstream, ANY).replace("127.0.0.1:0\"\n[up", "0.0.0.0:0\"\n[up"));
    let address = SocketAddr::new(own, world.address.port());
    let ask = |key: &str| {
        let mut client = Client::to(address);
        client.send(format!("GET /orders HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"));
        client.answer()
    };
    let (good, bad) = (ask(KEY), ask("unknown"));
    assert_eq!((good.status, &*good.problem()), (403, "plaintext"));
    assert_eq!((good.body, world.judge.asked.load(Ordering::Relaxed)), (bad.body, 0));
    assert_eq!(recorded.text(), "");
}
