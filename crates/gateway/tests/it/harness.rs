//! A gateway with a judge of fixed keys, and a service behind it that records every byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use keyvault_gateway::{Asked, Config, Gateway, Judge, Known, LimitState, Log, Outcome, Verdict};

/// A key that is good for everything.
pub(crate) const KEY: &str = "kv_live_aa0000000001_0123456789012345678901234567890123456789012ABCDEF";
const PATIENCE: Duration = Duration::from_secs(20);

/// Knows [`KEY`], and keys named for the outcome that they have.
#[derive(Default)]
pub(crate) struct TestJudge {
    pub(crate) revoked: AtomicBool,
    pub(crate) asked: AtomicU64,
    pub(crate) unready: AtomicBool,
}

impl Judge for TestJudge {
    fn decide(&self, asked: &Asked<'_>) -> Verdict {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let text = std::str::from_utf8(asked.credential).unwrap_or_default();
        let outcome = match text {
            KEY if self.revoked.load(Ordering::Relaxed) => Outcome::Revoked,
            KEY => Outcome::Valid,
            "forbidden" => Outcome::Forbidden,
            "unscoped" => Outcome::InsufficientPermissions,
            "limited" => Outcome::RateLimited,
            "used" => Outcome::UsageExceeded,
            "disabled" => Outcome::Disabled,
            "expired" => Outcome::Expired,
            "unavailable" => Outcome::Unavailable,
            "panic" => panic!("a judge that panics"),
            _ => Outcome::NotFound,
        };
        let known = Known {
            id: "aa0000000001".into(),
            client: Some("acme".into()),
            scopes: "orders:read orders:write".into(),
        };
        let limit = LimitState {
            name: "requests".into(),
            quota: 100,
            window: Duration::from_secs(60),
            remaining: 41,
            reset: Duration::from_millis(29_500),
        };
        let proved = !matches!(outcome, Outcome::NotFound | Outcome::Unavailable);
        let limited = outcome == Outcome::RateLimited;
        Verdict {
            outcome,
            key: proved.then(|| Arc::new(known)),
            limits: if proved { vec![limit] } else { Vec::new() },
            retry_after: limited.then(|| Duration::from_millis(1500)),
        }
    }

    fn is_in_force(&self, _: &str) -> bool {
        !self.revoked.load(Ordering::Relaxed)
    }

    fn unready(&self) -> Option<&'static str> {
        self.unready.load(Ordering::Relaxed).then_some("not confirmed")
    }
}

/// Everything that came to the service, connection by connection.
#[derive(Clone, Default)]
pub(crate) struct Recorded(Arc<Mutex<Vec<Vec<u8>>>>);

impl Recorded {
    pub(crate) fn all(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }

    /// All bytes as text, whatever the connection.
    pub(crate) fn text(&self) -> String {
        self.all().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    fn begin(&self) -> usize {
        let mut all = self.0.lock().unwrap();
        all.push(Vec::new());
        all.len() - 1
    }

    fn add(&self, at: usize, bytes: &[u8]) {
        self.0.lock().unwrap()[at].extend_from_slice(bytes);
    }
}

/// Reads a request: its head, and its body by the framing that the head announces.
pub(crate) fn read_request(stream: &mut TcpStream, recorded: &Recorded, at: usize) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            let is_whole = match length {
                Some(length) => bytes.len() >= end + 4 + length,
                None if head.contains("transfer-encoding: chunked") => {
                    bytes.ends_with(b"0\r\n\r\n")
                        || bytes[end + 4..].windows(5).any(|w| w == b"\r\n0\r\n")
                            && bytes.ends_with(b"\r\n\r\n")
                }
                None => true,
            };
            if is_whole {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(length) => {
                recorded.add(at, &piece[..length]);
                bytes.extend_from_slice(&piece[..length]);
            }
        }
    }
}

/// A service that answers each request with what `answer` makes of it, until that is nothing.
pub(crate) fn service(
    answer: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> (SocketAddr, Recorded) {
    raw_service(move |stream, recorded, at| {
        while let Some(request) = read_request(stream, recorded, at) {
            let Some(answer) = answer(&request) else { return };
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    })
}

/// A service with a connection's whole course in hand.
pub(crate) fn raw_service(
    serve: impl Fn(&mut TcpStream, &Recorded, usize) + Send + Sync + 'static,
) -> (SocketAddr, Recorded) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, recorded) = (listener.local_addr().unwrap(), Recorded::default());
    let (serve, kept) = (Arc::new(serve), recorded.clone());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, recorded, serve) = (stream.unwrap(), kept.clone(), Arc::clone(&serve));
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let at = recorded.begin();
                serve(&mut stream, &recorded, at);
            });
        }
    });
    (address, recorded)
}

#[allow(clippy::unnecessary_wraps, reason = "other answers end the connection")]
pub(crate) fn ok(_: &str) -> Option<Vec<u8>> {
    Some(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
}

/// A place for a log in memory.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    pub(crate) judge: Arc<TestJudge>,
    pub(crate) log: Lines,
}

/// A route for everything.
pub(crate) const ANY: &str = r#"
[[route]]
path = "/{rest...}"
methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]
upstream = "app"
"#;

pub(crate) fn config(upstream: SocketAddr, further: &str) -> String {
    format!(
        "vault = \"/v\"\ntoken-file = \"/t\"\nstate = \"/s\"\nworkers = 1\n{}\
         [[listener]]\naddress = \"127.0.0.1:0\"\n[upstream.app]\nurl = \"http://{upstream}\"\n{further}",
        if further.contains("admin") { "admin = { address = \"127.0.0.1:0\" }\n" } else { "" }
    )
}

impl World {
    pub(crate) fn start(config: &str) -> Self {
        let config = Config::parse(config).unwrap_or_else(|faults| panic!("{faults:?}"));
        let (judge, log) = (Arc::new(TestJudge::default()), Lines::default());
        let own: Arc<dyn Judge> = Arc::clone(&judge) as _;
        let gateway = Gateway::start(config, &own, Log::to(Box::new(log.clone()))).unwrap();
        let address = gateway.addresses()[0];
        Self { gateway, address, judge, log }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::to(self.address)
    }

    /// The answer to the only request of a connection.
    pub(crate) fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    /// The log's lines, once there are so many.
    pub(crate) fn logged(&self, lines: usize) -> Vec<serde_json::Value> {
        until(|| self.log.text().lines().count() >= lines);
        self.log.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Waits for a condition, and fails when it takes too long.
pub(crate) fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "it did not come");
        thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header's value; several are joined by `|`.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| {
            let (own, value) = line.split_once(": ")?;
            own.eq_ignore_ascii_case(name).then_some(value)
        });
        let values: Vec<&str> = lines.collect();
        (!values.is_empty()).then(|| values.join("|"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The kind of problem.
    pub(crate) fn problem(&self) -> String {
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        document["type"].as_str().unwrap_or_default().replace("urn:keyvault:problem:", "")
    }
}

impl Client {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The other side may have closed already; its answer tells.
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> bool {
        let mut piece = [0; 8192];
        match self.stream.read(&mut piece) {
            Ok(length) => {
                self.read.extend_from_slice(&piece[..length]);
                length > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}: {:?}", String::from_utf8_lossy(&self.read)),
        }
    }

    pub(crate) fn head(&mut self) -> Answer {
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return Answer { status, head, body: Vec::new() };
            }
            assert!(self.fill(), "closed in a head: {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// The next answer with its body.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if matches!(answer.status, 204 | 304) {
            return answer;
        }
        if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().unwrap();
            while self.read.len() < length && self.fill() {}
            answer.body = self.read.drain(..length.min(self.read.len())).collect();
        } else if answer.header("transfer-encoding").is_some() {
            while !self.read.ends_with(b"0\r\n\r\n") && self.fill() {}
            answer.body = self.read.drain(..).collect();
        } else {
            while self.fill() {}
            answer.body = self.read.drain(..).collect();
        }
        answer
    }

    /// The next answer, unless the other side closes before a byte of it.
    pub(crate) fn answer_if_any(&mut self) -> Option<Answer> {
        (!self.read.is_empty() || self.fill()).then(|| self.answer())
    }

    /// Everything until the other side closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.read)
    }

    /// Bytes that have come, at least so many.
    pub(crate) fn at_least(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length && self.fill() {}
        std::mem::take(&mut self.read)
    }
}

/// A GET with the key.
pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {KEY}\r\n\r\n")
}
