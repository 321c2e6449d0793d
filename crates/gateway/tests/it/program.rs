//! The program: its example, its signals.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use keyvault_gateway::{Config, Log, run};

use crate::harness::{ANY, Client, ok, service, until};
use crate::owner::Owner;

/// Names the configuration for [`process`].
const CONFIG: &str = "KEYVAULT_GATEWAY_TEST_CONFIG";

/// The program that the other tests start: this test's binary, told to run this test alone.
#[test]
fn process() {
    let Some(path) = std::env::var_os(CONFIG) else { return };
    run(path.as_ref(), Log::to(Box::new(std::io::stdout())), |line| eprintln!("said: {line}")).unwrap();
    eprintln!("said: ended");
}

struct Program {
    child: Child,
    said: std::sync::mpsc::Receiver<String>,
}

impl Program {
    fn start(config: &std::path::Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "program::process", "--nocapture"])
            .env(CONFIG, config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(said) = line.strip_prefix("said: ") {
                    let _ = sender.send(said.to_owned());
                }
            }
        });
        Self { child, said }
    }

    fn says(&self) -> String {
        self.said.recv_timeout(std::time::Duration::from_secs(20)).unwrap()
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn signals_reload_and_end_the_program() {
    let mut owner = Owner::new();
    let (upstream, _) = service(ok);
    let (key, _) = owner.issue(&[1], None);
    let path = owner.folder.path().join("gateway.toml");
    std::fs::write(&path, owner.config(upstream, ANY)).unwrap();
    let program = Program::start(&path);
    let address: std::net::SocketAddr =
        program.says().strip_prefix("listening on ").unwrap().parse().unwrap();
    let status = |path: &str| {
        let mut client = Client::to(address);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"));
        client.answer().status
    };
    assert_eq!(status("/a"), 200);

    std::fs::write(&path, "vault = 1\n").unwrap();
    program.signal("HUP");
    let said = program.says();
    assert!(
        said.starts_with("kept the configuration: ") && said.contains("is not a usable configuration"),
        "{said}"
    );
    assert_eq!(status("/a"), 200);

    let listening = owner.config(upstream, ANY).replace("127.0.0.1:0", &address.to_string());
    std::fs::write(&path, listening.replace("/{rest...}", "/b")).unwrap();
    program.signal("HUP");
    // The faults of before had lines of their own.
    until(|| program.says() == "reloaded the configuration");
    assert_eq!((status("/a"), status("/b")), (404, 200));

    program.signal("TERM");
    assert_eq!((&*program.says(), &*program.says()), ("draining", "ended"));
}

fn example() -> String {
    let page = include_str!("../../../../docs/gateway.md");
    page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn the_example_of_the_page_runs() {
    let explain = |method: &str, path: &str| Config::parse(&example()).unwrap().explain(method, path);
    assert_eq!(
        explain("GET", "/orders/7?page=2"),
        "GET /orders/7?page=2\n  route: /orders/{id}\n  key: with the scopes orders:read OR orders:admin\n  \
         body: at most 1048576 bytes\n  upstream: orders (127.0.0.1:3000)\n"
    );
    assert_eq!(
        explain("POST", "/orders"),
        "POST /orders\n  route: /orders\n  key: with the scopes orders:write\n  cost: 5 of limit `requests`\n  \
         body: at most 65536 bytes\n  upstream: orders (127.0.0.1:3000)\n"
    );
    for (method, path, line) in [
        ("DELETE", "/orders/7", "refused: 405 method: The path has routes for GET, HEAD only."),
        ("GET", "/orders/7/lines", "refused: 404 no-route: There is no route for this path."),
        ("GET", "/orders/..", "refused: 400 dot-segment: The path contains a dot segment."),
        ("GET", "/status", "key: none"),
    ] {
        assert!(explain(method, path).contains(line), "{}", explain(method, path));
    }

    // With the places of this test in it, it serves.
    let mut owner = Owner::new();
    let (upstream, _) = service(ok);
    let (key, _) = owner.issue(&[1, 2], None);
    let (folder, tls) = (owner.folder.path().display(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls"));
    let text = example()
        .replace("/var/lib/keyvault/vault.db", &format!("{folder}/vault.db"))
        .replace("/etc/keyvault-gateway/token", &format!("{folder}/token"))
        .replace("/var/lib/keyvault-gateway", &format!("{folder}/state"))
        .replace("/etc/keyvault-gateway/chain.pem", &format!("{tls}/certificate.pem"))
        .replace("/etc/keyvault-gateway/key.pem", &format!("{tls}/key.pem"))
        .replace("0.0.0.0:8443", "127.0.0.1:0")
        .replace("127.0.0.1:8080", "127.0.0.2:0")
        .replace("127.0.0.1:9090", "127.0.0.1:0")
        .replace("127.0.0.1:3000", &upstream.to_string());
    let gateway =
        keyvault_gateway::Gateway::open(Config::parse(&text).unwrap(), Log::none(), |_| ()).unwrap();
    let plain =
        gateway.addresses().into_iter().find(|address| address.ip().to_string() == "127.0.0.2").unwrap();
    let ask = |request: &str| {
        let mut client = Client::to(plain);
        client.send(format!("{request} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"));
        client.answer().status
    };
    assert_eq!(
        (ask("GET /orders/7"), ask("POST /orders"), ask("GET /status"), ask("GET /")),
        (200, 200, 200, 404)
    );
}
