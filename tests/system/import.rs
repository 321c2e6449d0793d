//! `import`: real files, conflicts, limits; then real programs with what was imported.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use pretty_assertions::assert_eq;

use crate::harness::World;

#[test]
fn curl_sends_the_token_to_a_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut header = String::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if line.to_lowercase().starts_with("authorization:") {
                header = line.trim().to_owned();
            }
        }
        reader
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            .unwrap();
        header
    });
    let world = World::new();
    world.run_with_input(&["import", "-"], "TOKEN=\"it's $ecret\"\n").ok();
    let script = format!("curl -sS --noproxy '*' -H \"Authorization: Bearer $TOKEN\" http://{address}/");
    assert_eq!(world.run(&["exec", "--all", "--", "sh", "-c", &script]).ok().out, "ok");
    assert_eq!(served.join().unwrap(), "Authorization: Bearer it's $ecret");
}

#[test]
fn psql_logs_in_with_the_password_that_was_imported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // As much of PostgreSQL's protocol 3 as it takes to be told a password.
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut startup = vec![0; 4];
        stream.read_exact(&mut startup).unwrap();
        let len = u32::from_be_bytes(startup.try_into().unwrap()) as usize;
        let mut parameters = vec![0; len - 4];
        stream.read_exact(&mut parameters).unwrap();
        stream.write_all(b"R\0\0\0\x08\0\0\0\x03").unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let mut password = vec![0; u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4];
        stream.read_exact(&mut password).unwrap();
        (parameters, password)
    });
    let world = World::new();
    let env = format!(
        "PGHOST=127.0.0.1\nPGPORT={port}\nPGUSER=app\nPGDATABASE=shop\nPGPASSWORD='p\"ass wörd'\nPGSSLMODE=disable\nPGGSSENCMODE=disable\n"
    );
    world.run_with_input(&["import", "-"], env).ok();
    let ran = world.run(&["exec", "--all", "--", "psql", "-c", "select 1"]);
    assert_ne!(ran.code, 127, "{}", ran.err);
    let (parameters, password) = served.join().unwrap();
    let has = |piece: &[u8]| parameters.windows(piece.len()).any(|window| window == piece);
    assert!(has(b"user\0app\0") && has(b"database\0shop\0"), "{parameters:?}");
    assert_eq!(password, "p\"ass wörd\0".as_bytes());
}
