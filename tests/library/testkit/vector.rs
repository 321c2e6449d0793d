//! The text of a vector: header lines, then sections. The layout is described in tests/testkit/README.md.

use std::fmt::Write;

/// A credential, as the vector's file writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A passphrase, as bytes.
    Passphrase(Vec<u8>),
    /// The text of a recovery code.
    RecoveryCode(String),
    /// The line of a key file.
    KeyFile(String),
    /// The entry in the OS keyring.
    Keyring(String),
    /// The text of a token.
    Token(String),
}

/// A machine's memory of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    /// The change's number.
    pub(crate) change: u64,
    /// The record's MAC in hexadecimal.
    pub(crate) state: String,
    /// The epoch, if it is remembered.
    pub(crate) epoch: Option<u32>,
}

impl Pin {
    fn print(&self) -> String {
        let epoch = self.epoch.map(|epoch| format!(" {epoch}")).unwrap_or_default();
        format!("{} {}{epoch}", self.change, self.state)
    }
}

/// One vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vector {
    /// The file's name.
    pub(crate) name: String,
    /// The class: `success`, `damaged`, ….
    pub(crate) expect: String,
    /// Why it fails; empty for a success.
    pub(crate) reason: String,
    /// The base that is edited.
    pub(crate) base: String,
    pub(crate) credential: Credential,
    /// The step that fails.
    pub(crate) step: String,
    /// The row that a full check must name; empty where a check cannot begin.
    pub(crate) row: String,
    /// The present moment, in milliseconds.
    pub(crate) now: i64,
    pub(crate) pin: Option<Pin>,
    /// The name of the content of a success; empty for a failure.
    pub(crate) content: String,
    /// The alteration of the base, in words.
    pub(crate) comment: String,
    /// Statements.
    pub(crate) sql: String,
    /// Bytes that are written over the file's.
    pub(crate) bytes: Vec<(u64, Vec<u8>)>,
    /// The file's new length in bytes: cut, or filled up with zeros.
    pub(crate) length: Option<u64>,
    /// A bundle's text; there is no vault then.
    pub(crate) bundle: String,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

impl Vector {
    /// The file's text.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                assert!(!value.contains('\n'), "{name}: {value}");
                writeln!(text, "{name}: {value}").unwrap();
            }
        };
        line("expect", &self.expect);
        line("reason", &self.reason);
        line("base", &self.base);
        match &self.credential {
            Credential::Passphrase(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if !text.is_empty() && text.len() < 200 && text.trim() == text => {
                    line("passphrase", text);
                }
                _ => line("passphrase-hex", &format!("x{}", hex(bytes))),
            },
            Credential::RecoveryCode(code) => line("recovery-code", code),
            Credential::KeyFile(text) => line("key-file", text),
            Credential::Keyring(text) => line("keyring", text),
            Credential::Token(text) => line("token", text),
        }
        line("step", &self.step);
        line("row", &self.row);
        line("now", &self.now.to_string());
        line("pin", &self.pin.as_ref().map(Pin::print).unwrap_or_default());
        line("content", &self.content);
        line("comment", &self.comment);
        if !self.sql.is_empty() {
            write!(text, "\n== sql\n{}", self.sql).unwrap();
        }
        if !self.bytes.is_empty() {
            text.push_str("\n== bytes\n");
            self.bytes.iter().for_each(|(at, bytes)| writeln!(text, "{at} {}", hex(bytes)).unwrap());
        }
        if let Some(length) = self.length {
            write!(text, "\n== length\n{length}\n").unwrap();
        }
        if !self.bundle.is_empty() {
            write!(text, "\n== bundle\n{}", self.bundle).unwrap();
        }
        text
    }

    /// The vector of a file.
    pub(crate) fn parse(name: &str, text: &str) -> Self {
        let mut sections = text.split("\n== ");
        let mut vector = Self {
            name: name.to_owned(),
            expect: String::new(),
            reason: String::new(),
            base: String::new(),
            credential: Credential::Passphrase(Vec::new()),
            step: String::new(),
            row: String::new(),
            now: 0,
            pin: None,
            content: String::new(),
            comment: String::new(),
            sql: String::new(),
            bytes: Vec::new(),
            length: None,
            bundle: String::new(),
        };
        for line in sections.next().unwrap().lines() {
            let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("{name}: {line}"));
            let owned = value.to_owned();
            match field {
                "expect" => vector.expect = owned,
                "reason" => vector.reason = owned,
                "base" => vector.base = owned,
                "passphrase" => vector.credential = Credential::Passphrase(owned.into_bytes()),
                "passphrase-hex" => {
                    vector.credential = Credential::Passphrase(unhex(value.strip_prefix('x').unwrap()));
                }
                "recovery-code" => vector.credential = Credential::RecoveryCode(owned),
                "key-file" => vector.credential = Credential::KeyFile(owned),
                "keyring" => vector.credential = Credential::Keyring(owned),
                "token" => vector.credential = Credential::Token(owned),
                "step" => vector.step = owned,
                "row" => vector.row = owned,
                "now" => vector.now = value.parse().unwrap(),
                "pin" => {
                    let mut words = value.split(' ');
                    let mut word = || words.next().unwrap();
                    let (change, state) = (word().parse().unwrap(), word().to_owned());
                    let epoch = words.next().map(|epoch| epoch.parse().unwrap());
                    vector.pin = Some(Pin { change, state, epoch });
                }
                "content" => vector.content = owned,
                "comment" => vector.comment = owned,
                other => panic!("{name}: unknown field {other}"),
            }
        }
        for section in sections {
            let (kind, body) = section.split_once('\n').unwrap();
            match kind {
                "sql" => body.clone_into(&mut vector.sql),
                "bytes" => {
                    vector.bytes = body
                        .lines()
                        .filter(|line| !line.is_empty())
                        .map(|line| line.split_once(' ').unwrap())
                        .map(|(at, bytes)| (at.parse().unwrap(), unhex(bytes)))
                        .collect();
                }
                "length" => vector.length = Some(body.trim().parse().unwrap()),
                "bundle" => body.clone_into(&mut vector.bundle),
                other => panic!("{name}: unknown section {other}"),
            }
        }
        vector
    }
}
