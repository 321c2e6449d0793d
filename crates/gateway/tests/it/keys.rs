//! Keys of a real vault.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use keyvault_gateway::{Config, Gateway, Log};

use crate::harness::{ANY, Answer, Client, ok, service};
use crate::owner::Owner;

fn start(config: &str) -> Gateway {
    let config = Config::parse(config).unwrap_or_else(|faults| panic!("{faults:?}"));
    Gateway::open(config, Log::none(), |_| ()).unwrap()
}

fn ask(address: SocketAddr, key: &str) -> Answer {
    let mut client = Client::to(address);
    client.send(format!("GET /orders HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"));
    client.answer()
}

#[test]
fn keys_are_judged_by_the_vault_and_its_changes() {
    let mut owner = Owner::new();
    let (upstream, recorded) = service(ok);
    let (reader, _) = owner.issue(&[1], None);
    let gateway = start(&owner.config(upstream, &format!("{ANY}scope = \"orders:read AND orders:write\"\n")));
    let address = gateway.addresses()[0];
    assert_eq!(ask(address, &reader).problem(), "insufficient-permissions");
    let (writer, _) = owner.issue(&[1, 2], None);
    let began = Instant::now();
    while ask(address, &writer).status != 200 {
        assert!(began.elapsed() < Duration::from_secs(10), "a new key is not known");
    }
    let text = recorded.text();
    assert!(text.contains("x-keyvault-key-id: aa0000000002\r\n"), "{text}");
    assert!(text.contains("x-keyvault-client: acme\r\n"), "{text}");
    assert!(text.contains("x-keyvault-scopes: orders:read orders:write\r\n"), "{text}");
    // Another secret, and another id, are told nothing.
    let wrong = reader.replace("aa0000000001", "aa0000000009");
    assert_eq!(ask(address, &wrong).body, ask(address, &format!("{}x", &reader[..reader.len() - 1])).body);
}

#[test]
fn a_revoked_key_is_refused_within_a_hundred_milliseconds() {
    let mut owner = Owner::new();
    let (upstream, _) = service(ok);
    let keys: Vec<_> = (0..5).map(|_| owner.issue(&[1], None)).collect();
    let gateway = start(&owner.config(upstream, ANY));
    let address = gateway.addresses()[0];
    let mut times: Vec<Duration> = Vec::new();
    for (key, record) in &keys {
        assert_eq!(ask(address, key).status, 200);
        owner.revoke(record);
        let began = Instant::now();
        while ask(address, key).status == 200 {}
        times.push(began.elapsed());
        assert_eq!(ask(address, key).problem(), "revoked");
    }
    times.sort_unstable();
    // The machine may be busy with other things; not each time.
    assert!(times[2] < Duration::from_millis(100), "{times:?}");
}

#[test]
fn a_limit_of_the_vault_is_counted_and_told() {
    let mut owner = Owner::new();
    let (upstream, recorded) = service(ok);
    let (key, _) = owner.issue(&[1], Some(4));
    let gateway = start(&owner.config(upstream, &format!("{ANY}cost = {{ requests = 2 }}\n")));
    let address = gateway.addresses()[0];
    let first = ask(address, &key);
    assert_eq!(first.header("ratelimit-policy").as_deref(), Some("\"requests\";q=4;w=3600"));
    assert!(first.header("ratelimit").unwrap().starts_with("\"requests\";r=2;t="), "{first:?}");
    assert_eq!(ask(address, &key).status, 200);
    let third = ask(address, &key);
    assert_eq!((third.status, &*third.problem()), (429, "rate-limited"));
    let after: u32 = third.header("retry-after").unwrap().parse().unwrap();
    assert!((1700..=1800).contains(&after), "{after}");
    assert_eq!(recorded.text().matches("GET /orders").count(), 2);
}

#[test]
fn a_vault_that_is_gone_or_older_closes_the_gateway_and_never_opens_it() {
    let mut owner = Owner::new();
    let (upstream, _) = service(ok);
    let (key, record) = owner.issue(&[1], None);
    let older = std::fs::read(owner.path()).unwrap();
    owner.revoke(&record);
    let (good, _) = owner.issue(&[1], None);
    let config = format!("unconfirmed = \"1s\"\n{}", owner.config(upstream, ANY));
    let gateway = start(&config);
    let address = gateway.addresses()[0];
    assert_eq!((ask(address, &good).status, &*ask(address, &key).problem()), (200, "revoked"));
    // The copy from before the revocation takes the vault's place.
    let copy = owner.folder.path().join("copy.db");
    std::fs::write(&copy, older).unwrap();
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for side in ["vault.db-wal", "vault.db-shm"] {
        let _ = std::fs::remove_file(owner.folder.path().join(side));
    }
    std::fs::rename(&copy, owner.path()).unwrap();
    let began = Instant::now();
    loop {
        let answer = ask(address, &key);
        assert_ne!(answer.status, 200, "the older copy was believed");
        if ask(address, &good).status == 503 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(ask(address, &key).status, 503);
}

#[test]
fn a_gateway_without_a_usable_token_does_not_start() {
    let owner = Owner::new();
    let (upstream, _) = service(ok);
    let config = |text: &str| Config::parse(text).unwrap();
    let own = owner.config(upstream, ANY);
    let other = Owner::new();
    std::fs::copy(other.folder.path().join("token"), owner.folder.path().join("token")).unwrap();
    assert!(Gateway::open(config(&own), Log::none(), |_| ()).is_err());
    std::fs::write(owner.folder.path().join("token"), "kvt_nothing").unwrap();
    let error = Gateway::open(config(&own), Log::none(), |_| ()).err().unwrap().to_string();
    assert!(error.contains("does not contain a token"), "{error}");
}
