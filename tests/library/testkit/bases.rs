//! The vaults that vectors are made from, written through the library at a fixed time and with bytes that follow from a
//! word instead of chance.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use keyvault_core::clock::{Clock, Moment};
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::Cost;
use keyvault_core::name::{EnvName, KeyName};
use keyvault_core::recipe::{Alphabet, Recipe, ValueKind};
use keyvault_core::secret::SecretBytes;
use keyvault_exec::release::Selection;
use keyvault_issue::hold;
use keyvault_issue::record::{
    Api, Ascending, Bounds, Environment, Id, KeyRecord, Mark, Prefix, Proof, Reaction, State,
};
use keyvault_issue::set::{Changes, Content};
use keyvault_vault::audit::{Action, Actor, Outcome};
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::keyfile::KeyFile;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::unlock::token::Token;
use keyvault_vault::{
    Access, Creation, Credential, Edit, Holder, Holders, NewIssuer, NewKey, NewToken, NewValue, Notices,
    Origin, Purpose, Revocation, Terms, Vault, Which, World, check, file, issued, key, slot, supply, token,
};
use rusqlite::Connection;

use super::content;
use super::forge::{self, Seeded};
use super::sql;
use super::vector::hex;

pub(crate) const PASSPHRASE: &str = "correct horse battery staple";

/// 2026-01-05T09:00:00Z.
pub(crate) const START: i64 = 1_767_603_600_000;
pub(crate) const DAY: i64 = 86_400_000;

/// A base and what opens it.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) sql: String,
    pub(crate) passphrase: Vec<u8>,
    pub(crate) code: String,
    pub(crate) key_file: String,
    pub(crate) root: Vec<u8>,
    /// When it was finished.
    pub(crate) now: i64,
    /// Further credentials: kind, and text.
    pub(crate) more: Vec<(String, String)>,
}

impl Base {
    /// The file: what opens it in comments, then the statements.
    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        writeln!(text, "-- {}", self.about).unwrap();
        let facts = [
            ("passphrase", String::from_utf8(self.passphrase.clone()).unwrap()),
            ("recovery code", self.code.clone()),
            ("key file", self.key_file.clone()),
            ("root", hex(&self.root)),
            ("finished", self.now.to_string()),
        ];
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            writeln!(text, "-- {name}: {value}").unwrap();
        }
        for (kind, value) in &self.more {
            writeln!(text, "-- {kind}: {value}").unwrap();
        }
        text + &self.sql
    }
}

struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Moment {
        Moment(self.0.load(Relaxed))
    }
}

/// A vault in the making.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
    pub(crate) rng: Seeded,
    clock: Ticking,
    passphrase: String,
    code: RecoveryCode,
    file: KeyFile,
    vault: Option<Vault>,
    access: Option<Access>,
}

pub(crate) fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(&SecretBytes::copy_from(text.as_bytes())).unwrap()
}

pub(crate) fn secret(bytes: impl AsRef<[u8]>) -> SecretBytes {
    SecretBytes::copy_from(bytes.as_ref())
}

pub(crate) fn name(text: &str) -> KeyName {
    KeyName::parse(text).unwrap()
}

/// A key that is to be made, as the bases need them.
pub(crate) fn key(text: &str, value: impl AsRef<[u8]>, scopes: &[&str]) -> NewKey {
    NewKey {
        public: false,
        name: name(text),
        variable: None,
        scopes: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
        tags: BTreeMap::new(),
        note: String::new(),
        expires: None,
        origin: Origin::Given(secret(value)),
    }
}

impl Lab {
    pub(crate) fn new(word: &str) -> Self {
        Self::with_passphrase(word, PASSPHRASE)
    }

    fn with_passphrase(word: &str, phrase: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("keyvault-bases-").tempdir().unwrap();
        let rng = Seeded::new(word);
        let (code, file) = (RecoveryCode::create(&rng).unwrap(), KeyFile::create(&rng).unwrap());
        let clock = Ticking(AtomicI64::new(START));
        let mut lab =
            Self { folder, rng, clock, passphrase: phrase.to_owned(), code, file, vault: None, access: None };
        let opening = passphrase(phrase);
        let creation = Creation { passphrase: &opening, cost: Cost::FLOOR, recovery: Some(&lab.code) };
        file::create(&lab.path(), &creation, &lab.world()).unwrap();
        let mut vault = Vault::open(&lab.path(), &lab.pins()).unwrap();
        lab.access = Some(vault.open_passphrase(&opening).unwrap());
        lab.vault = Some(vault);
        lab
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("vault.db")
    }

    pub(crate) fn pins(&self) -> Pins {
        Pins::in_folder(self.folder.path().join("pins"))
    }

    fn world(&self) -> World<'_> {
        world(&self.clock, &self.rng, self.pins())
    }

    /// Does something a minute later.
    pub(crate) fn act<T>(&mut self, act: impl FnOnce(&mut Vault, &Access, &World<'_>) -> T) -> T {
        self.wait(60_000);
        let (mut vault, access) = (self.vault.take().unwrap(), self.access.take().unwrap());
        let done = act(&mut vault, &access, &self.world());
        (self.vault, self.access) = (Some(vault), Some(access));
        // The machine's pin is read when a vault is opened.
        self.vault = Some(Vault::open(&self.path(), &self.pins()).unwrap());
        done
    }

    fn wait(&mut self, millis: i64) {
        self.clock.0.fetch_add(millis, Relaxed);
    }

    pub(crate) fn add(&mut self, new: NewKey) {
        self.act(|vault, access, world| key::create(vault, access, world, &new, false).map(drop)).unwrap();
    }

    fn edit(&mut self, key: &str, edit: &Edit) {
        self.act(|vault, access, world| key::edit(vault, access, world, &[name(key)], edit)).unwrap();
    }

    pub(crate) fn rotate(&mut self, key: &str, value: Option<&[u8]>, terms: Terms) {
        self.act(|vault, access, world| {
            let which = Which::Names(vec![name(key)]);
            let value = value.map(|value| NewValue {
                name: name(key),
                key: key::show(vault, access, &name(key)).unwrap().id,
                value: secret(value),
            });
            key::rotate(vault, access, world, &which, value.as_ref(), terms)
        })
        .unwrap();
    }

    fn revoke(&mut self, key: &str, version: Option<u32>, reason: &str, wipe: bool) {
        let revocation = Revocation { version, reason: reason.to_owned(), wipe };
        self.act(|vault, access, world| key::revoke(vault, access, world, &[name(key)], &revocation))
            .unwrap();
    }

    /// Reads a minute later on a device without a ledger, with everyday keys.
    fn elsewhere<T>(&mut self, read: impl FnOnce(&mut Vault, &Access, &World<'_>) -> T) -> T {
        self.wait(60_000);
        let pins = Pins::in_folder(self.folder.path().join("elsewhere"));
        let mut vault = Vault::open(&self.path(), &pins).unwrap();
        let access = vault.open_passphrase(&passphrase(&self.passphrase)).unwrap().without_root();
        read(&mut vault, &access, &world(&self.clock, &self.rng, pins))
    }

    fn reveal(&mut self, key: &str) {
        self.elsewhere(|vault, access, world| key::reveal(vault, access, world, &name(key), None).map(drop))
            .unwrap();
    }

    /// Reads a minute later, into the ledger of the device that made the vault.
    fn reveal_here(&mut self, key: &str) {
        self.act(|vault, access, world| key::reveal(vault, access, world, &name(key), None).map(drop))
            .unwrap();
    }

    fn add_key_file(&mut self) {
        let file = KeyFile::parse(self.file.line().unwrap().expose()).unwrap();
        self.act(|vault, access, world| {
            slot::add(vault, access, world, Credential::KeyFile(&file)).map(drop)
        })
        .unwrap();
    }

    /// The vault as statements, as it stands now.
    fn dump(&mut self) -> String {
        self.vault = None;
        let connection = Connection::open(self.path()).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let text = sql::dump(&connection);
        connection.close().unwrap();
        self.vault = Some(Vault::open(&self.path(), &self.pins()).unwrap());
        text
    }

    pub(crate) fn base(&mut self, name: &str, about: &str) -> Base {
        let sql = self.dump();
        let checked = self.act(|vault, access, _| check::run(vault, access)).unwrap();
        assert_eq!(checked.findings, [], "{name}");
        let root = forge::root(&sql, passphrase(&self.passphrase).expose());
        let text =
            |secret: SecretBytes| String::from_utf8(secret.expose().to_vec()).unwrap().trim().to_owned();
        let with_file =
            sql.lines().any(|line| line.starts_with("INSERT INTO slot") && line.contains(", x'04"));
        Base {
            name: name.to_owned(),
            about: about.to_owned(),
            sql,
            passphrase: self.passphrase.clone().into_bytes(),
            code: text(self.code.text().unwrap()),
            key_file: if with_file { text(self.file.line().unwrap()) } else { String::new() },
            root,
            now: self.clock.0.load(Relaxed),
            more: Vec::new(),
        }
    }
}

pub(crate) fn world<'w>(
    clock: &'w dyn Clock,
    rng: &'w dyn keyvault_core::clock::Rng,
    pins: Pins,
) -> World<'w> {
    World {
        clock,
        rng,
        actor: Actor {
            user: "ada".to_owned(),
            host: "engine".to_owned(),
            pid: 1815,
            program: "bash".to_owned(),
            terminal: Some("/dev/pts/3".to_owned()),
            job: None,
        },
        pins,
        holders: Holders::in_folder(PathBuf::from("/dev/null"), Holder { command: String::new(), pid: 0 }),
        notices: Notices::told_by(&|notice| panic!("{notice:?}")),
        waiting: &|_, _| (),
    }
}

/// The usual base in the stages of its life, and a branch of it.
pub(crate) struct Plain {
    /// Before the last changes.
    pub(crate) earlier: Base,
    /// As the vectors have it.
    pub(crate) now: Base,
    /// The vault that `earlier` became elsewhere.
    pub(crate) branch: Base,
    /// An older passphrase slot, which opened it before.
    pub(crate) old_passphrase: Base,
}

pub(crate) fn plain() -> Plain {
    let mut lab = Lab::new("plain");
    lab.add(key("a", "value-a-1", &["s"]));
    lab.add(NewKey {
        note: "the second key".to_owned(),
        tags: BTreeMap::from([
            ("team".parse().unwrap(), "infra".to_owned()),
            ("env".parse().unwrap(), "prod".to_owned()),
        ]),
        expires: Some(Moment(START + 90 * DAY)),
        ..key("b", "value-b-1", &["s", "t"])
    });
    lab.add(NewKey {
        origin: Origin::Recipe(Recipe::new(ValueKind::Token, None, None).unwrap()),
        ..key("c/token", "", &["t"])
    });
    lab.add(key("d", "value-d-1", &[]));
    let new = passphrase("another passphrase entirely");
    let before = lab.base("plain-first-passphrase", "");
    lab.act(|vault, access, world| {
        let credential = Credential::Passphrase(&new, Cost::FLOOR);
        slot::replace(vault, access, world, Action::Passwd, &[credential]).map(drop)
    })
    .unwrap();
    let again = passphrase(PASSPHRASE);
    lab.access = lab.vault.as_mut().map(|vault| vault.open_passphrase(&new).unwrap());
    lab.act(|vault, access, world| {
        let credential = Credential::Passphrase(&again, Cost::FLOOR);
        slot::replace(vault, access, world, Action::Passwd, &[credential]).map(drop)
    })
    .unwrap();
    lab.access = lab.vault.as_mut().map(|vault| vault.open_passphrase(&again).unwrap());
    lab.add_key_file();
    let earlier = lab.base("plain-earlier", "");
    let bytes = std::fs::read(lab.path()).unwrap();
    let finish = |lab: &mut Lab, value: &str| {
        // Its device makes a ledger here where it remembers none.
        lab.rotate("a", Some(value.as_bytes()), Terms { grace: 30 * DAY, expires: None });
        lab.reveal_here("b");
        lab.reveal_here("a");
        lab.edit("b", &Edit { note: Some("the second key, edited".to_owned()), ..Edit::default() });
        lab.add(key("e", "value-e-1", &["s"]));
        lab.reveal("a");
        lab.elsewhere(|vault, access, world| vault.record_unlock(access, world, Outcome::Done, "")).unwrap();
        lab.reveal_here("b");
    };
    finish(&mut lab, "value-a-2");
    let now = lab.base(
        "plain",
        "Five keys, two scopes, three slots; the key a has a version in its grace; the log ends with two reads; a device has read three times, the last time since the last change.",
    );
    // The vault as it went on elsewhere, where nobody remembers the above.
    put_back(&mut lab, &bytes);
    lab.rng = Seeded::new("plain branch");
    lab.clock.0.store(earlier.now, Relaxed);
    finish(&mut lab, "value-a-3");
    let branch = lab.base("plain-branch", "");
    Plain { earlier, now, branch, old_passphrase: before }
}

fn put_back(lab: &mut Lab, bytes: &[u8]) {
    lab.vault = None;
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", lab.path().display()));
    }
    std::fs::remove_dir_all(lab.folder.path().join("pins")).unwrap();
    std::fs::write(lab.path(), bytes).unwrap();
    lab.vault = Some(Vault::open(&lab.path(), &lab.pins()).unwrap());
}

/// Another vault with keys of the same names and the same passphrase.
pub(crate) fn other() -> Base {
    let mut lab = Lab::new("other");
    for name in ["a", "b"] {
        lab.add(key(name, format!("other-{name}"), &["s"]));
    }
    lab.add_key_file();
    lab.base("other", "Another vault with the same passphrase and names.")
}

fn empty() -> Base {
    Lab::new("empty").base("empty", "A vault as init makes it.")
}

fn unicode() -> Base {
    // The passphrase is in NFC; vectors give it in other forms.
    let mut lab = Lab::with_passphrase("unicode", "Zo\u{eb} \u{1f511} \u{fc}ber \u{d55c}\u{ae00}");
    lab.add(NewKey {
        note:
            "na\u{ef}ve \u{202e}evil\u{202c} \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{0}\u{7f}\n\ttab"
                .to_owned(),
        tags: BTreeMap::from([(
            "who".parse().unwrap(),
            "\u{0645}\u{0631}\u{062d}\u{0628}\u{0627}".to_owned(),
        )]),
        ..key("unicode/note", "p\u{e4}ssw\u{f6}rd \u{1f511}", &["repo:read"])
    });
    lab.add(key("unicode/decomposed", "Zoe\u{308}", &["repo:read"]));
    lab.add(key("A.b-c/_9", "\u{feff}bom\u{2028}", &["A.b:c-d/_9"]));
    lab.base("unicode", "Notes, tags, values and a passphrase beyond ASCII.")
}

fn binary() -> Base {
    let mut lab = Lab::new("binary");
    let all: Vec<u8> = (0..=255).collect();
    let with_variable = |name: &str, variable: &str, value: &[u8]| NewKey {
        variable: Some(EnvName::parse(variable).unwrap()),
        ..key(name, value, &[])
    };
    lab.add(with_variable("empty", "EMPTY_VALUE", b""));
    lab.add(with_variable("nul", "a.dotted-variable", b"\0"));
    lab.add(with_variable("all-bytes", "_ALL", &all));
    lab.add(with_variable("zeros", "Z", &[0; 28]));
    // The lengths at which padding steps.
    for len in [27, 28, 29, 60, 61, 124, 125, 252, 253, 1020, 1021] {
        lab.add(key(&format!("len-{len}"), vec![b'x'; len], &[]));
    }
    lab.base("binary", "Values of every byte, of no byte, and of the lengths at which padding steps.")
}

fn versions() -> Base {
    let mut lab = Lab::new("versions");
    lab.add(key("many", "value 1", &[]));
    for number in 2..=100 {
        lab.rotate("many", Some(format!("value {number}").as_bytes()), Terms::default());
    }
    lab.base("versions", "A key with a hundred versions.")
}

fn states() -> Base {
    let mut lab = Lab::new("states");
    let grace = |days: i64| Terms { grace: days * DAY, expires: None };
    let expiring = |name: &str, days: i64| NewKey {
        expires: Some(Moment(START + days * DAY)),
        ..key(name, format!("{name} 1"), &["all"])
    };
    lab.add(key("active", "active 1", &["all"]));
    lab.add(expiring("expires", 10));
    lab.add(key("grace", "grace 1", &["all"]));
    lab.rotate("grace", Some(b"grace 2"), grace(5));
    lab.add(key("retired", "retired 1", &["all"]));
    lab.rotate("retired", Some(b"retired 2"), Terms::default());
    lab.add(key("rolled-back", "rolled-back 1", &["all"]));
    lab.rotate("rolled-back", Some(b"rolled-back 2"), Terms::default());
    lab.act(|vault, access, world| key::rollback(vault, access, world, &name("rolled-back"), None)).unwrap();
    lab.add(key("revoked", "revoked 1", &["all"]));
    lab.rotate("revoked", Some(b"revoked 2"), grace(5));
    lab.revoke("revoked", None, "leaked in a log", false);
    lab.add(key("revoked-one", "revoked-one 1", &["all"]));
    lab.rotate("revoked-one", Some(b"revoked-one 2"), grace(5));
    lab.revoke("revoked-one", Some(1), "", false);
    lab.add(key("wiped", "wiped 1", &["all"]));
    lab.rotate("wiped", Some(b"wiped 2"), Terms::default());
    lab.revoke("wiped", Some(1), "wiped \u{2014} at once", true);
    lab.base("states", "Keys that expire, rotate, return, and are revoked or wiped.")
}

/// Past the thirty days in which a retired version is kept.
fn aged() -> Base {
    let mut lab = Lab::new("aged");
    lab.add(key("old", "old 1", &[]));
    lab.rotate("old", Some(b"old 2"), Terms::default());
    lab.wait(31 * DAY);
    lab.rotate("old", Some(b"old 3"), Terms { grace: DAY, expires: None });
    lab.wait(DAY * 2);
    lab.edit("old", &Edit { note: Some("wiped by age".to_owned()), ..Edit::default() });
    lab.base("aged", "A key with a version that was wiped by age and one whose grace is over.")
}

fn recipes() -> Base {
    let mut lab = Lab::new("recipes");
    // The others take their chance from the system, and would be new vectors every time.
    let of_chance = |kind: &ValueKind| !kind.name().contains("ecdsa");
    for kind in ValueKind::ALL.into_iter().filter(of_chance) {
        let new = NewKey {
            origin: Origin::Recipe(Recipe::new(kind, None, None).unwrap()),
            ..key(&format!("kind/{}", kind.name()), "", &["generated"])
        };
        lab.add(new);
    }
    let prefixed = Recipe::new(ValueKind::Hex, Some(16), Some("sk_live_")).unwrap();
    lab.add(NewKey { origin: Origin::Recipe(prefixed), ..key("prefixed", "", &["generated"]) });
    let alphabet = Alphabet::parse("digits").unwrap();
    let digits = Recipe::of_alphabet(ValueKind::Password, alphabet, Some(20), None).unwrap();
    lab.add(NewKey { origin: Origin::Recipe(digits), ..key("digits", "", &["generated"]) });
    lab.base(
        "recipes",
        "A key of each recipe that draws from the generator of these vectors, and of an alphabet.",
    )
}

fn rekeyed() -> Base {
    let mut lab = Lab::new("rekeyed");
    lab.add(key("a", "value-a-1", &["s"]));
    lab.rotate("a", Some(b"value-a-2"), Terms { grace: 30 * DAY, expires: None });
    lab.add(key("b", "value-b-1", &["s"]));
    let opening = passphrase(PASSPHRASE);
    let code = RecoveryCode::parse(lab.code.text().unwrap().expose()).unwrap();
    for _ in 0..2 {
        lab.act(|vault, access, world| {
            let credentials = [Credential::Passphrase(&opening, Cost::FLOOR), Credential::Recovery(&code)];
            let by_code = vault.open_recovery(&code)?;
            slot::rekey(vault, access, world, &credentials, &[access, &by_code], &|_| ()).map(drop)
        })
        .unwrap();
        lab.access = lab.vault.as_mut().map(|vault| vault.open_passphrase(&opening).unwrap());
    }
    lab.add(key("c", "value-c-1", &["s"]));
    lab.base("rekeyed", "A vault in its third epoch.")
}

fn slots() -> Base {
    let mut lab = Lab::new("slots");
    lab.add(key("a", "value-a-1", &[]));
    for number in 3..=32 {
        let file = KeyFile::create(&lab.rng).unwrap();
        lab.act(|vault, access, world| {
            let costly = passphrase("at another cost");
            let cost = Cost { memory_kib: 20_000, passes: 2, lanes: 3 };
            let credential =
                if number == 17 { Credential::Passphrase(&costly, cost) } else { Credential::KeyFile(&file) };
            slot::add(vault, access, world, credential).map(drop)
        })
        .unwrap();
        lab.file = file;
    }
    lab.base(
        "slots",
        "Thirty-two slots, which is as many as there may be; the passphrase 'at another cost' opens slot 17.",
    )
}

fn many() -> Base {
    let mut lab = Lab::new("many");
    for number in 0..40 {
        let scopes = ["all".to_owned(), format!("group:{}", number % 5)];
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        lab.add(key(&format!("service-{number:02}/key"), format!("value {number}"), &scopes));
    }
    lab.base("many", "Forty keys in six scopes, so that nodes have several children.")
}

fn changed() -> Base {
    let mut lab = Lab::new("changed");
    for name in ["first", "second", "third"] {
        lab.add(key(name, format!("{name} 1"), &["s", name]));
    }
    lab.edit("first", &Edit { rename: Some(name("renamed")), ..Edit::default() });
    lab.edit("second", &Edit { unscope: BTreeSet::from(["s".parse().unwrap()]), ..Edit::default() });
    lab.act(|vault, access, world| key::remove(vault, access, world, &[name("third")])).unwrap();
    let purpose = || Purpose { action: Action::Exec, detail: "printenv".to_owned() };
    let all = Selection { all: true, ..Selection::default() };
    lab.elsewhere(|vault, access, world| {
        content::take(supply::begin(vault, access, world).unwrap(), &all, purpose()).map(drop).unwrap();
    });
    lab.base("changed", "Keys that were renamed, taken out of a scope and removed; the log ends with a read.")
}

fn long() -> Base {
    let mut lab = Lab::new("long");
    let longest = "n".repeat(128);
    lab.add(NewKey {
        variable: Some(EnvName::parse(&"V".repeat(128)).unwrap()),
        note: "note ".repeat(100),
        tags: BTreeMap::from([("t".repeat(128).parse().unwrap(), "x".repeat(300))]),
        ..key(&longest, "y".repeat(3000), &["s".repeat(128).as_str()])
    });
    lab.add(key("0", "a name of one digit", &[]));
    lab.base("long", "Names as long as they may be.")
}

/// The copy of an earlier state, adopted where a later one had been seen: numbers are skipped.
fn adopted() -> Base {
    let mut lab = Lab::new("adopted");
    lab.add(key("a", "value-a-1", &["s"]));
    lab.dump();
    let bytes = std::fs::read(lab.path()).unwrap();
    for number in 2..=5 {
        lab.rotate("a", Some(format!("value-a-{number}").as_bytes()), Terms::default());
    }
    lab.vault = None;
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", lab.path().display()));
    }
    std::fs::write(lab.path(), bytes).unwrap();
    lab.vault = Some(Vault::open(&lab.path(), &lab.pins()).unwrap());
    lab.act(|vault, access, world| file::adopt(vault, access, world).map(drop)).unwrap();
    lab.base(
        "adopted",
        "An earlier state that was adopted where a later one had been seen; change numbers were skipped.",
    )
}

/// Every base but the usual one.
/// The API of [`issued`].
const SHOP: [u8; 16] = *b"shop-api-0000001";

/// A key of the mark's set that is good until the base's third day.
fn issued_key(id: &str) -> KeyRecord {
    let id = Id::parse(id).unwrap();
    KeyRecord {
        id,
        state: State::Active,
        proof: Proof::of_own(&id, b"secret"),
        environment: Environment::Live,
        prefix: Prefix::parse("kv").unwrap(),
        client: None,
        roles: Ascending::default(),
        scopes: Ascending::default(),
        created: Moment(START),
        not_before: None,
        expires: Some(Moment(START + 2 * DAY)),
        replaced: None,
        decoy: false,
        display_name: "".into(),
        conditions: None,
        extensions: Extensions::default(),
    }
}

fn put_key(id: &str) -> Changes {
    let put = Content { keys: vec![issued_key(id)], ..Content::default() };
    Changes { put, removed: Vec::new() }
}

fn issued() -> Base {
    with_machines("issued")
        .0
        .base("issued", "an API with a verifier, which holds two keys back, and an issuer of two keys")
}

/// A rekey after which the verifier's token of before goes on, and a hold by each of its two tokens since.
fn overlapping() -> Base {
    let (mut lab, gateway) = with_machines("overlapping");
    let opening = passphrase(PASSPHRASE);
    let rekeyed = lab
        .act(|vault, access, world| {
            let credential = Credential::Passphrase(&opening, Cost::FLOOR);
            slot::rekey_overlapping(vault, access, world, &[credential], &[access], Some(DAY), &|_| ())
        })
        .unwrap();
    lab.access = lab.vault.as_mut().map(|vault| vault.open_passphrase(&opening).unwrap());
    let mut tokens = rekeyed.tokens.into_iter();
    let present = tokens.find(|issued| issued.record.name.as_str() == "gateway").unwrap().token;
    for (token, id) in [(&gateway, "aa0000000001"), (&present, "bb0000000002")] {
        hold_back(&mut lab, token, id);
    }
    lab.edit("upstream", &Edit { note: Some("listed again".to_owned()), ..Edit::default() });
    lab.base("overlapping", "a rekeyed vault in which a verifier's former token goes on")
}

fn hold_back(lab: &mut Lab, gateway: &Token, id: &str) {
    lab.act(|vault, _, world| {
        let (id, time) = (Id::parse(id).unwrap(), world.now());
        let notice = hold::Notice { id, time, reason: hold::Reason::Leaked, detail: "in a repository" };
        issued::hold(vault, gateway, world, &SHOP, &notice)
    })
    .unwrap();
}

fn with_machines(name: &str) -> (Lab, Token) {
    let mut lab = Lab::new(name);
    lab.add(key("upstream", "value", &["gateway"]));
    let prefix = Prefix::parse("kv").unwrap();
    let shop = Api {
        id: SHOP,
        name: "shop".parse().unwrap(),
        mark: Mark::parse("aa").unwrap(),
        prefix,
        prefixes: Ascending::of([prefix]),
        reaction: Reaction::Alert,
        usage_keys: Ascending::default(),
        issuers: Ascending::default(),
        verifiers: Ascending::default(),
        extensions: Extensions::default(),
    };
    lab.act(|vault, access, world| issued::create_api(vault, access, world, &shop)).unwrap();
    let new = NewToken {
        name: "gateway".parse().unwrap(),
        scopes: vec!["gateway".parse().unwrap()],
        keys: Vec::new(),
        expires: None,
    };
    let gateway = lab
        .act(|vault, access, world| token::create_verifier(vault, access, world, &new, &[SHOP]))
        .unwrap()
        .token;
    let new = NewIssuer {
        name: "portal".parse().unwrap(),
        api: SHOP,
        mark: Mark::parse("bb").unwrap(),
        bounds: Bounds { longest_life: 3 * DAY as u64, keys: 10, ..Bounds::default() },
        expires: Some(Moment(START + 9 * DAY)),
    };
    let portal =
        lab.act(|vault, access, world| token::create_issuer(vault, access, world, &new)).unwrap().token;
    lab.act(|vault, access, world| {
        issued::change_api(vault, access, world, &SHOP, |_| Ok(put_key("aa0000000001")))
    })
    .unwrap();
    for id in ["bb0000000001", "bb0000000002"] {
        lab.act(|vault, _, world| issued::write_set(vault, &portal, world, |_| Ok(put_key(id)))).unwrap();
    }
    for id in ["aa0000000001", "bb0000000001"] {
        hold_back(&mut lab, &gateway, id);
    }
    lab.edit("upstream", &Edit { note: Some("listed".to_owned()), ..Edit::default() });
    (lab, gateway)
}

pub(crate) fn others() -> Vec<Base> {
    vec![
        empty(),
        unicode(),
        binary(),
        versions(),
        states(),
        aged(),
        recipes(),
        rekeyed(),
        slots(),
        many(),
        changed(),
        long(),
        adopted(),
        issued(),
        overlapping(),
    ]
}
