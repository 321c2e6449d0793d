//! Cases 74 to 77 of the fault catalog: damage does not block recovery.
//!
//! A writer without keys adds a row to any table, turns a bit of any sealed text, or takes a row away; a thief of a
//! session writes the log's head anew. Whatever it is: a rekey, and a backup with its restore, go through with
//! everything that verifies, and say what they dropped; so do a revocation, a rotation and a recovery, unless what they
//! write themselves is damaged.

use std::path::PathBuf;
use std::sync::Mutex;

use keyvault_core::clock::{Clock, Moment};
use keyvault_core::crypto::{self, Cost, SealingKey, SystemRng};
use keyvault_core::identity::{Identity, Place};
use keyvault_core::name::KeyName;
use keyvault_core::secret::SecretBytes;
use keyvault_exec::release::{self, Selection};
use keyvault_vault::audit::{Action, Actor, Event};
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{
    Access, Credential, Loss, NewKey, NewToken, NewValue, Notice, Notices, Of, Origin, Purpose, Revocation,
    Terms, Vault, VaultError, Which, World as VaultWorld, check, file, key, slot, supply, token,
};
use pretty_assertions::assert_eq;
use rusqlite::Connection;

use crate::harness::vault_file::{drop_side_files, put_back, tamper};
use crate::harness::{PASSPHRASE, START, World};

/// The losses by a damage.
#[derive(Clone, Default)]
struct Leaves {
    /// Keys that are gone.
    keys: Vec<&'static str>,
    /// Versions that are gone.
    values: Vec<(&'static str, u32)>,
    /// Entries of the log that cannot be proved.
    log: Vec<(u64, u64)>,
}

struct Damage {
    what: &'static str,
    sql: &'static str,
    /// True if a key that it does not touch is read as before.
    daily: bool,
    /// True if other keys can still be changed, and a new passphrase can be set.
    changes: bool,
    /// True if a backup without a key notices it.
    seen: bool,
    leaves: Leaves,
}

/// A row that belongs to nothing, or to something that does not notice.
fn stray(what: &'static str, sql: &'static str) -> Damage {
    Damage { what, sql, daily: true, changes: true, seen: true, leaves: Leaves::default() }
}

/// A row that is there and altered, or is not there.
fn broken(what: &'static str, sql: &'static str) -> Damage {
    Damage { seen: false, ..stray(what, sql) }
}

impl Damage {
    fn unseen(self) -> Self {
        Self { seen: false, ..self }
    }

    fn seen(self) -> Self {
        Self { seen: true, ..self }
    }

    /// A row that every command needs is damaged: only recovery goes through.
    fn stops_all(self) -> Self {
        Self { daily: false, changes: false, ..self }
    }

    fn stops_changes(self) -> Self {
        Self { changes: false, ..self }
    }

    fn loses(mut self, key: &'static str) -> Self {
        self.leaves.keys.push(key);
        self
    }

    fn loses_value(mut self, key: &'static str, version: u32) -> Self {
        self.leaves.values.push((key, version));
        self
    }

    fn breaks_log(mut self, from: u64, to: u64) -> Self {
        self.leaves.log.push((from, to));
        self
    }
}

/// `{tag a}` is the tag of key `a`, `{id a}` its id, `{ci}` the id of the token, `{flip x}` the column x with its last
/// bit turned.
fn damages() -> Vec<Damage> {
    vec![
        stray("a key's row", "INSERT INTO object VALUES ({stray 3}, 1, randomblob(200))"),
        stray(
            "a key's row of another shape",
            "INSERT INTO object VALUES (3 << 56, x'0102', 1, x''), ({stray 3}, -1, x''), ((3 << 56) + 9, randomblob(16), 1, x'')",
        ),
        stray(
            "a key under another kind",
            "INSERT INTO object SELECT id + (6 << 56), tag, revision, sealed FROM object WHERE tag = {tag a}",
        ),
        stray("a scope", "INSERT INTO object VALUES ({stray 4}, 1, randomblob(120))"),
        stray("a scope of another shape", "INSERT INTO object VALUES (4 << 56, x'', 1, x'')"),
        stray("names", "INSERT INTO object VALUES ({free names}, 1, randomblob(80))"),
        stray("names of no bucket", "INSERT INTO object VALUES ({stray 7}, 1, randomblob(80))"),
        stray("names of another shape", "INSERT INTO object VALUES (7 << 56, x'05', 1, x''), ({stray 7}, -3, x'')"),
        stray("another list of tokens", "INSERT INTO object VALUES ({stray 8}, 1, randomblob(80))"),
        stray("an object of a later version", "INSERT INTO object VALUES ({stray 9}, 1, randomblob(80))"),
        stray("an object that gives access", "INSERT INTO object VALUES ({stray 130}, 1, randomblob(80))"),
        stray(
            "objects of kinds that there are not",
            "INSERT INTO object VALUES ({stray 0}, 1, x''), ({stray 1}, 1, x''), ({stray 2}, 1, x'')",
        ),
        stray(
            "objects of a later version in another shape",
            "INSERT INTO object VALUES (9 << 56, x'', 1, x''), ((9 << 56) + 1, randomblob(17), 1, x''),
             ({stray 14}, -1, x''), (-5, randomblob(16), 1, x'')",
        ),
        stray(
            "a version of no key",
            "INSERT INTO version VALUES ((0x1122334455667788 >> 2) + 1, x'1122334455667788112233445566FFFF', 1, randomblob(120), randomblob(120))",
        ),
        stray("a version of a key", "INSERT INTO version SELECT id + 76, key, 77, randomblob(120), randomblob(80) FROM version WHERE key = {id a}")
            .unseen(),
        stray(
            "a version of another shape",
            "INSERT INTO version VALUES (1, x'01', -7, x'', x''), (-9, {id a}, 5000000000, x'', x''), (7, {id a}, 1, x'', x'')",
        ),
        stray("a leaf", "INSERT INTO leaf VALUES (randomblob(16), randomblob(16))"),
        stray(
            "a leaf beside another",
            "INSERT INTO leaf SELECT CAST(substr(tag, 1, 8) || randomblob(8) AS BLOB), randomblob(16) FROM leaf WHERE tag = {tag a}",
        ),
        stray("a leaf of another shape", "INSERT INTO leaf VALUES (x'', x''), (randomblob(17), x'00')"),
        stray("a node", "INSERT INTO node SELECT max(id) + 1, randomblob(24) FROM node"),
        stray("a node of another shape", "INSERT INTO node VALUES (70000, x''), (-4, x'00')"),
        stray("a token's record", "INSERT INTO object VALUES ({stray 5}, 1, randomblob(200))"),
        stray(
            "a token's record of another shape",
            "INSERT INTO object VALUES (5 << 56, x'00', 1, x''), ({stray 5}, -1, x'')",
        ),
        stray("a view", "INSERT INTO token_view VALUES (randomblob(16), 1, randomblob(80))"),
        stray(
            "a grant of no token",
            "INSERT INTO token_grant VALUES (randomblob(16), randomblob(16), randomblob(80))",
        ),
        stray("a grant of a token", "INSERT INTO token_grant VALUES ({ci}, randomblob(16), randomblob(80))")
            .unseen(),
        stray("a grant of another shape", "INSERT INTO token_grant VALUES ({ci}, x'01', x'')"),
        stray(
            "a read of no token",
            "INSERT INTO log VALUES (7 << 32, NULL, randomblob(32), x'')",
        ),
        stray(
            "a read in a ledger of another shape",
            "INSERT INTO log_head VALUES (x'', 7, 1, x''), (x'01', -4, 1, x''), (randomblob(16), 9223372036854775807, 1, x'')",
        ),
        stray("heads of reads", "INSERT INTO log_head VALUES (randomblob(16), 7, 1, x'')").unseen(),
        stray(
            "a log entry behind the head",
            "INSERT INTO log VALUES (500, NULL, zeroblob(32), x'')",
        )
        .stops_all(),
        stray(
            "a log entry right behind the head",
            "INSERT INTO log SELECT count, NULL, zeroblob(32), x'' FROM log_head WHERE number = 0",
        )
        .stops_all(),
        stray(
            "a log entry before the first",
            "INSERT INTO log VALUES (-1, NULL, x'00', x'')",
        ),
        broken("the bit of a key", "UPDATE object SET sealed = {flip sealed} WHERE tag = {tag a}").loses("a"),
        broken("the age of a key", "UPDATE object SET revision = revision + 1 WHERE tag = {tag a}").loses("a"),
        broken("the kind of a key", "UPDATE object SET id = id + (6 << 56) WHERE tag = {tag a}").seen().loses("a"),
        broken(
            "the bit of a version's key",
            "UPDATE version SET wrapped = {flip wrapped} WHERE key = {id b} AND version = 2",
        )
        .loses_value("b", 2),
        broken(
            "the bit of a value",
            "UPDATE version SET sealed = {flip sealed} WHERE key = {id b} AND version = 1",
        )
        .loses_value("b", 1),
        broken("the bit of a scope", "UPDATE object SET sealed = {flip sealed} WHERE id >> 56 = 4"),
        broken("the bit of names", "UPDATE object SET sealed = {flip sealed} WHERE id >> 56 = 7"),
        broken(
            "the bits of a key and of names",
            "UPDATE object SET sealed = {flip sealed} WHERE id >> 56 = 7; DELETE FROM object WHERE tag = {tag a}",
        )
        .seen()
        .loses("(unnamed)"),
        broken("the bit of a leaf", "UPDATE leaf SET digest = {flip digest} WHERE tag = {tag a}"),
        broken("the bit of a node", "UPDATE node SET body = {flip body}").stops_all(),
        broken("the bit of an old log entry", "UPDATE log SET sealed = {flip sealed} WHERE id = 2")
            .breaks_log(2, 2),
        broken("the bit of an old log entry's MAC", "UPDATE log SET mac = {flip mac} WHERE id = 2")
            .breaks_log(2, 3),
        broken("the bit of the log's head", "UPDATE log_head SET sealed = {flip sealed} WHERE ledger = zeroblob(16)").stops_all(),
        broken("the bit of the log's first key", "UPDATE vault SET chain_seed = {flip chain_seed}")
            .stops_all()
            .breaks_log(0, u64::MAX),
        broken("the writer's version", "UPDATE vault SET written_by = '9.9.9'").stops_all(),
        broken("the bit of a view", "UPDATE token_view SET sealed = {flip sealed}"),
        broken("the bit of a grant", "UPDATE token_grant SET sealed = {flip sealed}"),
        broken("the bit of a token", "UPDATE object SET sealed = {flip sealed} WHERE id >> 56 = 5").stops_changes(),
        broken("the bit of the list", "UPDATE object SET sealed = {flip sealed} WHERE id >> 56 = 8").stops_changes(),
        broken("no key", "DELETE FROM object WHERE tag = {tag a}").seen().loses("a"),
        broken("no version", "DELETE FROM version WHERE key = {id b} AND version = 2").loses_value("b", 2),
        broken("no scope", "DELETE FROM object WHERE id >> 56 = 4").seen(),
        broken("no names", "DELETE FROM object WHERE id >> 56 = 7").seen(),
        broken("no leaf", "DELETE FROM leaf WHERE tag = {tag a}").seen(),
        broken("no nodes", "DELETE FROM node").seen().stops_all(),
        broken("no old log entry", "DELETE FROM log WHERE id = 2").seen().breaks_log(2, 3),
        broken("no head of the log", "DELETE FROM log_head WHERE ledger = zeroblob(16)").seen().stops_all(),
        broken("no token", "DELETE FROM object WHERE id >> 56 = 5").seen().stops_changes(),
        broken("no list", "DELETE FROM object WHERE id >> 56 = 8").seen().stops_changes(),
        broken("no view", "DELETE FROM token_view").seen(),
        broken("no grant", "DELETE FROM token_grant WHERE key = {id a}"),
        broken("the head of the log by a thief", "UPDATE log_head SET sealed = {forged head} WHERE ledger = zeroblob(16)"),
    ]
}

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// A vault with four keys, two of them granted to a token and one in two versions, and what opens it.
struct Bench {
    world: World,
    vault: Vec<u8>,
    pins: Vec<(PathBuf, Vec<u8>)>,
    notices: Mutex<Vec<String>>,
    /// Access by the passphrase, derived once.
    access: Option<Access>,
}

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

fn value(key: &str, version: u32) -> SecretBytes {
    SecretBytes::copy_from(format!("value of {key}, version {version}").as_bytes())
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(&SecretBytes::copy_from(text.as_bytes())).unwrap()
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            world: World::own(),
            vault: Vec::new(),
            pins: Vec::new(),
            notices: Mutex::default(),
            access: None,
        };
        let (mut vault, access) = bench.open_with(PASSPHRASE);
        for key in KEYS {
            let scope: &[&str] = if matches!(key, "a" | "b") { &["s"] } else { &[] };
            let new = NewKey {
                public: false,
                name: name(key),
                variable: None,
                scopes: scope.iter().map(|scope| scope.parse().unwrap()).collect(),
                tags: Default::default(),
                note: String::new(),
                expires: None,
                origin: Origin::Given(value(key, 1)),
            };
            bench.with(|world| key::create(&mut vault, &access, world, &new, false)).unwrap();
        }
        bench.rotate(&mut vault, &access, "b").unwrap();
        let token = NewToken {
            name: "ci".parse().unwrap(),
            scopes: vec!["s".parse().unwrap()],
            keys: Vec::new(),
            expires: None,
        };
        bench.with(|world| token::create(&mut vault, &access, world, &token)).unwrap();
        bench.read(&mut vault, &access, "c").unwrap();
        assert_eq!(check::strays(&mut vault).unwrap(), []);
        drop(vault);
        let connection = Connection::open(bench.world.vault()).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(connection);
        let vault = std::fs::read(bench.world.vault()).unwrap();
        let pins =
            bench.world.every_file().into_iter().filter(|(path, _)| path.starts_with(bench.world.pins()));
        let pins = pins.collect();
        Self { vault, pins, access: Some(access), ..bench }
    }

    fn with<T>(&self, act: impl FnOnce(&VaultWorld<'_>) -> T) -> T {
        act(&VaultWorld {
            clock: &START,
            rng: &SystemRng,
            actor: Actor::default(),
            pins: Pins::in_folder(self.world.pins()),
            holders: crate::harness::nobody(),
            notices: Notices::told_by(&|notice: Notice| {
                self.notices.lock().unwrap().push(format!("{notice:?}"))
            }),
            waiting: &|_, _| (),
        })
    }

    fn open_with(&self, word: &str) -> (Vault, Access) {
        let mut vault = Vault::open(&self.world.vault(), &Pins::in_folder(self.world.pins())).unwrap();
        let access = vault.open_passphrase(&passphrase(word)).unwrap();
        (vault, access)
    }

    fn open(&self) -> (Vault, &Access) {
        let vault = Vault::open(&self.world.vault(), &Pins::in_folder(self.world.pins())).unwrap();
        (vault, self.access.as_ref().unwrap())
    }

    fn rotate(&self, vault: &mut Vault, access: &Access, key: &str) -> Result<(), VaultError> {
        let key_record = key::show(vault, access, &name(key))?;
        let new =
            NewValue { name: name(key), key: key_record.id, value: value(key, key_record.next_version) };
        let terms = Terms { grace: 3_600_000, expires: None };
        let which = Which::Names(vec![name(key)]);
        self.with(|world| key::rotate(vault, access, world, &which, Some(&new), terms)).map(drop)
    }

    /// Reads a key as `exec` does; its value.
    fn read(&self, vault: &mut Vault, access: &Access, key: &str) -> Result<Vec<u8>, VaultError> {
        let choice = Selection { only: vec![name(key)], ..Selection::default() };
        let purpose = Purpose { action: Action::Exec, detail: String::new() };
        self.with(|world| {
            let staged = release::stage(supply::begin(vault, access, world)?, &choice)?;
            let released = staged.fit_anywhere().expect("nothing is wrong with the key").commit(purpose)?;
            Ok(released.values()[0].value.expose().to_vec())
        })
    }

    /// The vault as it was, with this damage.
    fn damage(&self, damage: &Damage) {
        put_back(&self.world, &self.vault);
        std::fs::remove_dir_all(self.world.pins()).unwrap();
        std::fs::create_dir(self.world.pins()).unwrap();
        self.pins.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        let sql = self.expand(damage.sql);
        tamper(&self.world, &sql);
        self.notices.lock().unwrap().clear();
    }

    fn expand(&self, sql: &str) -> String {
        let (mut vault, access) = self.open();
        let keys = access.daily.keys(&vault.identity());
        let hex = |bytes: &[u8]| format!("x'{}'", data_encoding::HEXLOWER.encode(bytes));
        let mut sql = sql.to_owned();
        for key in KEYS {
            let tag = keys.index.digest(&[b"keyvault blind index", &[3], key.as_bytes()]);
            sql = sql.replace(&format!("{{tag {key}}}"), &hex(&tag));
            sql = sql.replace(
                &format!("{{id {key}}}"),
                &hex(&key::show(&mut vault, access, &name(key)).unwrap().id),
            );
        }
        for column in ["sealed", "wrapped", "digest", "body", "mac", "chain_seed"] {
            let last = format!("substr({column}, length({column}))");
            let turned = format!(
                "CAST(substr({column}, 1, length({column}) - 1) || CASE {last} WHEN x'00' THEN x'01' ELSE x'00' END AS BLOB)"
            );
            sql = sql.replace(&format!("{{flip {column}}}"), &turned);
        }
        let connection = Connection::open(self.world.vault()).unwrap();
        let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        sql = sql.replace("{ci}", &hex(&one("SELECT token FROM token_view")));
        let names = |bucket: u8| keys.index.digest(&[b"keyvault blind index", &[7], &[bucket]]);
        let taken = |tag: &[u8; 16]| {
            let count = "SELECT count(*) FROM object WHERE id >> 56 = 7 AND tag = ?";
            connection.query_row(count, [tag], |row| row.get::<_, i64>(0)).unwrap() > 0
        };
        let free = (0..64).map(names).find(|tag| !taken(tag)).unwrap();
        let id = i64::from_be_bytes([&[7], &free[..7]].concat().try_into().unwrap());
        sql = sql.replace("{free names}", &format!("{id}, {}", hex(&free)));
        while let Some((before, after)) = sql.split_once("{stray ") {
            let (kind, after) = after.split_once('}').unwrap();
            let tag: [u8; 16] = SealingKey::random(&SystemRng).unwrap().expose()[..16].try_into().unwrap();
            let id = i64::from_be_bytes([&[kind.parse().unwrap()], &tag[..7]].concat().try_into().unwrap());
            sql = format!("{before}{id}, {}{after}", hex(&tag));
        }
        if sql.contains("{forged own head}") {
            let head = "SELECT ledger, count, (SELECT mac FROM log WHERE id = (1 << 32) + count - 1) FROM log_head WHERE number = 1";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            let (ledger, count, mac): ([u8; 16], i64, Vec<u8>) = connection.query_row(head, [], row).unwrap();
            let identity = vault.identity();
            let append = keys
                .audit
                .append
                .derive("keyvault ledger append", &[identity.whole().as_slice(), &ledger].concat());
            sql = sql.replace("{forged own head}", &hex(&forged_head(&append, &identity, count, &mac)));
        }
        if sql.contains("{forged head}") {
            let (count, mac): (i64, Vec<u8>) = connection
                .query_row(
                    "SELECT id + 1, mac FROM log WHERE id >> 32 = 0 ORDER BY id DESC LIMIT 1",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .unwrap();
            let head = forged_head(&keys.audit.append, &vault.identity(), count, &mac);
            sql = sql.replace("{forged head}", &hex(&head));
        }
        drop(connection);
        drop_side_files(&self.world.vault());
        sql
    }

    /// Returns `true` if a revocation has mended what was in its way, and nothing else is in the way of what comes
    /// next.
    fn revoked(&self, damage: &Damage, mut vault: Vault, what: &str) {
        let access = self.access.as_ref().unwrap();
        let mended = self.notices.lock().unwrap().join("").contains("Mended");
        if !damage.changes {
            assert!(mended, "{what}");
        }
        if mended {
            assert_eq!(check::run(&mut vault, access).unwrap().findings, [], "{what}");
            assert_eq!(check::strays(&mut vault).unwrap(), [], "{what}");
        }
        assert_eq!(self.read(&mut vault, access, "d").unwrap(), value("d", 1).expose(), "{what}");
        self.rotate(&mut vault, access, "d").unwrap_or_else(|error| panic!("{what}: {error}"));
    }

    /// Returns `true` if what is left is what must be left, and nothing is damaged any more.
    fn hold(&self, (mut vault, access): (Vault, &Access), damage: &Damage, loss: &Loss, by: &str) {
        let what = format!("{}, {by}: {loss:?}", damage.what);
        assert_eq!(check::run(&mut vault, access).unwrap().findings, [], "{what}");
        assert_eq!(check::strays(&mut vault).unwrap(), [], "{what}");
        let entries = check::audit_log(&mut vault, access).unwrap().entries;
        let lost: Vec<_> = loss.keys.iter().map(KeyName::as_str).collect();
        let unnamed = damage.leaves.keys == ["(unnamed)"];
        let gone = if unnamed { vec!["a"] } else { damage.leaves.keys.clone() };
        assert_eq!(lost, if unnamed { vec![] } else { gone.clone() }, "{what}");
        let values: Vec<_> = loss.values.iter().map(|key| (key.name.as_str(), key.version)).collect();
        assert_eq!(values, damage.leaves.values, "{what}");
        let log: Vec<_> = loss.log.iter().map(|gap| (gap.from, gap.to)).collect();
        match damage.leaves.log.as_slice() {
            [(0, u64::MAX)] => assert!(log.len() == 1 && log[0].0 == 0 && entries <= 3, "{what}: {log:?}"),
            expected => assert_eq!(log, expected, "{what}"),
        }
        let rows_said = !loss.rows.is_empty() || !loss.values.is_empty() || !loss.log.is_empty();
        assert!(rows_said, "{what}: nothing is reported");
        for key in KEYS {
            if gone.contains(&key) {
                assert!(key::show(&mut vault, access, &name(key)).is_err(), "{what}");
                continue;
            }
            let newest = if key == "b" { 2 } else { 1 };
            for version in 1..=newest {
                let revealed =
                    self.with(|world| key::reveal(&mut vault, access, world, &name(key), Some(version)));
                if damage.leaves.values.contains(&(key, version)) {
                    assert!(revealed.is_err(), "{what}");
                } else {
                    assert_eq!(revealed.unwrap().1.expose(), value(key, version).expose(), "{what}");
                }
            }
        }
        // It is a vault like any other.
        let new = NewKey {
            public: false,
            name: name("later"),
            variable: None,
            scopes: ["s".parse().unwrap()].into(),
            tags: Default::default(),
            note: String::new(),
            expires: None,
            origin: Origin::Given(value("later", 1)),
        };
        self.with(|world| key::create(&mut vault, access, world, &new, false)).unwrap();
        assert_eq!(check::run(&mut vault, access).unwrap().findings, [], "{what}");
    }
}

/// The head of a ledger that goes on with another key.
fn forged_head(append: &SealingKey, identity: &Identity, count: i64, mac: &[u8]) -> Vec<u8> {
    let place = Place {
        table: "log_head",
        row: &[],
        version: 0,
        field: "sealed",
        revision: count.unsigned_abs(),
        bound: &[],
    };
    let plain = [mac, SealingKey::random(&SystemRng).unwrap().expose()].concat();
    crypto::seal(append, "keyvault audit head", &identity.context(&place), &plain, &SystemRng).unwrap()
}

/// Runs a case for each damage and tells of all that fail.
fn each(bench: &Bench, which: impl Fn(&Damage) -> bool, case: impl Fn(&Damage)) {
    let mut failed = Vec::new();
    for damage in damages().iter().filter(|damage| which(damage)) {
        let run = std::panic::AssertUnwindSafe(|| {
            bench.damage(damage);
            case(damage);
        });
        if std::panic::catch_unwind(run).is_err() {
            failed.push(damage.what);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn case_74_daily_work_goes_on_and_a_backup_notices_without_a_key() {
    let bench = Bench::new();
    each(
        &bench,
        |_| true,
        |damage| {
            let (mut vault, access) = bench.open();
            if damage.daily {
                let read = bench
                    .read(&mut vault, access, "d")
                    .unwrap_or_else(|error| panic!("{}: {error}", damage.what));
                assert_eq!(read, value("d", 1).expose(), "{}", damage.what);
            }
            assert_eq!(
                check::is_damaged(&mut vault, None).unwrap(),
                damage.seen,
                "{}: {:?}",
                damage.what,
                check::strays(&mut vault)
            );
            let found = check::run(&mut vault, access).map(|checked| checked.findings);
            assert!(
                found.as_ref().map_or(true, |found| !found.is_empty()),
                "{}: a check finds nothing",
                damage.what
            );
        },
    );
}

#[test]
fn case_74_a_rekey_carries_over_everything_that_verifies() {
    let bench = Bench::new();
    each(
        &bench,
        |_| true,
        |damage| {
            let (mut vault, access) = bench.open();
            let before = slot::before_rekey(&mut vault, access)
                .unwrap_or_else(|error| panic!("{}: {error}", damage.what));
            let new = passphrase("another");
            let credentials = [Credential::Passphrase(&new, Cost::FLOOR)];
            let rekeyed =
                bench.with(|world| slot::rekey(&mut vault, access, world, &credentials, &[], &|_| ()));
            let rekeyed = rekeyed.unwrap_or_else(|error| panic!("{}: {error}", damage.what));
            assert_eq!(rekeyed.loss, before.loss, "{}", damage.what);
            let tokens = usize::from(!matches!(damage.what, "the bit of a token" | "no token"));
            assert_eq!(rekeyed.tokens.len(), tokens, "{}", damage.what);
            drop(vault);
            let (vault, access) = bench.open_with("another");
            bench.hold((vault, &access), damage, &rekeyed.loss, "rekeyed");
        },
    );
}

#[test]
fn case_74_a_backup_of_a_damaged_vault_restores_with_everything_that_verifies() {
    let bench = Bench::new();
    let copy = bench.world.home().join("copy.db");
    each(
        &bench,
        |_| true,
        |damage| {
            let _ = std::fs::remove_file(&copy);
            let (mut vault, access) = bench.open();
            bench.with(|world| file::backup(&vault, &copy, world)).unwrap();
            let mut backup = Vault::open(&copy, &Pins::in_folder(bench.world.pins())).unwrap();
            let mark = file::mark(&mut vault);
            let path = bench.world.vault();
            let difference =
                file::difference(&mut backup, access, Some((&mut vault, Some(access))), &path, START.now());
            let difference = difference.unwrap_or_else(|error| panic!("{}: {error}", damage.what));
            let restored = bench.with(|world| {
                file::restore(&mut backup, access, Some((&mut vault, &mark)), &difference, None, &path, world)
            });
            let restored = restored.unwrap_or_else(|error| panic!("{}: {error}", damage.what));
            assert_eq!(restored.loss, difference.loss, "{}", damage.what);
            drop((vault, backup));
            drop_side_files(&copy);
            bench.hold(bench.open(), damage, &restored.loss, "restored");
        },
    );
}

#[test]
fn case_74_rotate_and_recover_go_through_beside_what_is_damaged() {
    let bench = Bench::new();
    each(
        &bench,
        |damage| damage.changes,
        |damage| {
            let (mut vault, access) = bench.open();
            let new = passphrase("another");
            let credentials = [Credential::Passphrase(&new, Cost::FLOOR)];
            let all = bench.with(|world| {
                bench.rotate(&mut vault, access, "d")?;
                slot::replace(&mut vault, access, world, Action::Recover, &credentials)
            });
            all.unwrap_or_else(|error| panic!("{}: {error}", damage.what));
        },
    );
}

/// Damage in the way of a revocation is mended with it; other damage stays.
#[test]
fn case_74_revoke_goes_through_whatever_is_damaged() {
    let bench = Bench::new();
    let turn = std::cell::Cell::new(0);
    each(
        &bench,
        |_| true,
        |damage| {
            turn.set(turn.get() + 1);
            let revoked = ["a", "b", "c"][turn.get() % 3];
            let what = format!("{}, {revoked}", damage.what);
            let (mut vault, access) = bench.open();
            bench
                .with(|world| {
                    key::revoke(&mut vault, access, world, &[name(revoked)], &Revocation::default())
                })
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            match key::show(&mut vault, access, &name(revoked)) {
                Ok(key) => assert!(key.current().is_none(), "{what}"),
                Err(error) => {
                    assert!(matches!(error, VaultError::NoSuchKeys { .. }), "{what}: {error}");
                    assert!(revoked == "a" && !damage.leaves.keys.is_empty(), "{what}");
                }
            }
            bench.revoked(damage, vault, &what);
        },
    );
}

#[test]
fn case_74_a_token_is_revoked_whatever_is_damaged() {
    let bench = Bench::new();
    each(
        &bench,
        |_| true,
        |damage| {
            let (mut vault, access) = bench.open();
            bench
                .with(|world| token::revoke(&mut vault, access, world, &"ci".parse().unwrap()))
                .unwrap_or_else(|error| panic!("{}: {error}", damage.what));
            let connection = Connection::open(bench.world.vault()).unwrap();
            let rows =
                connection.query_row("SELECT count(*) FROM token_view", [], |row| row.get::<_, i64>(0));
            assert_eq!(rows.unwrap(), 0, "{}", damage.what);
            // A token whose own record is damaged is taken out without more.
            if !damage.what.ends_with("token") {
                bench.revoked(damage, vault, damage.what);
            }
        },
    );
}

/// Daily keys cannot write the log's first key anew, and say so.
#[test]
fn case_74_a_session_that_cannot_revoke_is_told_that_the_passphrase_can() {
    let bench = Bench::new();
    let session = bench.open_with(PASSPHRASE).1.without_root();
    each(
        &bench,
        |_| true,
        |damage| {
            let before = std::fs::read(bench.world.vault()).unwrap();
            let (mut vault, _) = bench.open();
            let revoked = bench
                .with(|world| key::revoke(&mut vault, &session, world, &[name("c")], &Revocation::default()));
            drop(vault);
            match revoked {
                Ok(_) => assert!(damage.changes, "{}", damage.what),
                Err(VaultError::DamagedNeedsRoot(_)) => {
                    assert!(!damage.changes, "{}", damage.what);
                    assert!(std::fs::read(bench.world.vault()).unwrap() == before, "{}", damage.what);
                }
                Err(error) => panic!("{}: {error}", damage.what),
            }
        },
    );
}

#[test]
fn case_74_a_recovery_goes_through_whatever_is_damaged() {
    let bench = Bench::new();
    each(
        &bench,
        |_| true,
        |damage| {
            let (mut vault, access) = bench.open();
            let new = passphrase("another");
            let credentials = [Credential::Passphrase(&new, Cost::FLOOR)];
            let recovered = bench.with(|world| slot::recover(&mut vault, access, world, &credentials));
            let (_, loss) = recovered.unwrap_or_else(|error| panic!("{}: {error}", damage.what));
            assert_eq!(loss == Loss::default(), damage.changes, "{}: {loss:?}", damage.what);
            drop(vault);
            let (vault, access) = bench.open_with("another");
            if !damage.changes {
                bench.hold((vault, &access), damage, &loss, "recovered");
            }
        },
    );
}

#[test]
fn case_77_a_token_whose_record_is_damaged_is_revoked_all_the_same() {
    let bench = Bench::new();
    for sql in [
        "DELETE FROM object WHERE id >> 56 = 5",
        "UPDATE object SET sealed = {flip sealed} WHERE id >> 56 = 5",
    ] {
        bench.damage(&broken("record", sql));
        let (mut vault, access) = bench.open();
        assert!(bench.rotate(&mut vault, access, "a").is_err());
        bench.with(|world| token::revoke(&mut vault, access, world, &"ci".parse().unwrap())).unwrap();
        assert!(bench.notices.lock().unwrap().join("").contains("TokenDamaged"));
        bench.rotate(&mut vault, access, "a").unwrap();
        assert_eq!(check::run(&mut vault, access).unwrap().findings, [], "{sql}");
        let missing = bench.with(|world| token::revoke(&mut vault, access, world, &"ci".parse().unwrap()));
        assert!(matches!(missing, Err(VaultError::Token(_))));
    }
}

#[test]
fn case_74_a_backup_that_lost_a_value_takes_a_vaults_place_only_if_that_is_meant() {
    let world = crate::harness::vault_file::filled();
    world.run(&["vault", "backup", "copy"]).ok();
    let good = std::fs::read(world.vault()).unwrap();
    tamper(
        &world,
        "UPDATE version SET key = randomblob(16) WHERE key = (SELECT max(key) FROM version);
         INSERT INTO version SELECT id + 7, randomblob(16), 1, wrapped, sealed FROM version LIMIT 1",
    );
    world.run(&["vault", "backup", "damaged"]).fails_with(5, "
            error: The vault is copied to damaged, but it is damaged.
                   Keep the older backups: a restore of this one drops the damaged rows. `keyvault vault check` shows them;
                   `keyvault vault rekey` keeps everything else.
        ");
    put_back(&world, &good);
    let restore = ["vault", "restore", "damaged", "--yes"];
    let refused = world.run(&restore);
    // Keys have random numbers, so any of them may be the last.
    let damaged = ["a", "b", "c"].into_iter().find(|name| refused.err.contains(&format!("dropped: {name} ")));
    let damaged = damaged.unwrap_or("none of them");
    refused.fails_with(5, &format!("
            warning: Damaged values would be dropped: {damaged} version 1. The keys stay; give each a new value with `keyvault rotate NAME`.
            warning: 1 damaged row would be dropped or rebuilt: version has 2 rows that no key names.
            error: damaged is damaged: 1 value would be lost.
                   Nothing was changed. Restore another backup, or continue without them with `--drop-damaged`.
        "));
    assert!(std::fs::read(world.vault()).unwrap() == good);
    let said = world.run(&[&restore[..], &["--drop-damaged"]].concat()).ok().err;
    assert!(
        said.contains("Damaged values would be dropped: ") && said.contains("`keyvault rotate NAME`"),
        "{said}"
    );
    world.run(&["vault", "check"]).ok();
    world.run(&["vault", "restore", "copy", "--yes"]).ok();
    for (name, value) in [("a", "value-a"), ("b", "value-b"), ("c", "value-c")] {
        assert_eq!(
            world.run(&["show", name, "--reveal"]).ok().out,
            value,
            "a damaged value is not a revoked one"
        );
    }
}

/// A writer without a key gives ledgers the highest possible numbers.
#[test]
fn a_stray_ledger_of_the_highest_number_keeps_no_token_from_being_made() {
    let bench = Bench::new();
    for sql in [
        "INSERT INTO log_head VALUES (randomblob(16), 2147483646, 1, x'')",
        "INSERT INTO log_head VALUES (randomblob(16), 9223372036854775807, 1, x'')",
        "INSERT INTO log VALUES (2147483646 << 32, NULL, zeroblob(32), x'')",
        "INSERT INTO log VALUES (9223372036854775807, NULL, zeroblob(32), x'')",
        "UPDATE log_head SET number = 2147483646 WHERE number <> 0",
    ] {
        bench.damage(&broken("ledger", sql));
        let (mut vault, access) = bench.open();
        let token = NewToken {
            name: "other".parse().unwrap(),
            scopes: vec!["s".parse().unwrap()],
            keys: Vec::new(),
            expires: None,
        };
        bench
            .with(|world| token::create(&mut vault, access, world, &token))
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        bench.rotate(&mut vault, access, "a").unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// A writer without a key puts rows where the next version or the next object belongs.
#[test]
fn rows_in_the_place_of_the_next_version_or_object_keep_no_change_from_going_on() {
    let bench = Bench::new();
    for sql in [
        "INSERT INTO version SELECT id + 1, randomblob(16), 9, wrapped, sealed FROM version WHERE key = {id d}",
        "INSERT INTO version SELECT id + 1, CAST(substr(key, 1, 8) || randomblob(8) AS BLOB), 2, wrapped, sealed FROM version WHERE key = {id d}",
        // The key and number of a version that there is, in another place than its own.
        "INSERT INTO version SELECT id + 1, key, version, x'00', x'00' FROM version WHERE key = {id d}",
    ] {
        bench.damage(&broken("place", sql));
        let (mut vault, access) = bench.open();
        bench.rotate(&mut vault, access, "d").unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(bench.read(&mut vault, access, "d").unwrap(), value("d", 2).expose());
    }
    // The row of a key that was removed, under a tag that begins as its own.
    bench.damage(&broken("nothing", ""));
    let (place, other) = (bench.expand("{tag a}"), bench.expand("{tag d}"));
    let other = other.split_once('\'').unwrap().1[..32].to_owned();
    let (mut vault, access) = bench.open();
    bench.with(|world| key::remove(&mut vault, access, world, &[name("a")])).unwrap();
    let (_, place) = place.split_once('\'').unwrap();
    let (first, last) = (&place[..14], "00".repeat(9));
    let id = i64::from_str_radix(&format!("03{first}"), 16).unwrap();
    for tag in [format!("{first}{last}"), other] {
        tamper(&bench.world, &format!("INSERT OR REPLACE INTO object VALUES ({id}, x'{tag}', 1, x'00')"));
    }
    let new = NewKey {
        public: false,
        name: name("a"),
        variable: None,
        scopes: Default::default(),
        tags: Default::default(),
        note: String::new(),
        expires: None,
        origin: Origin::Given(value("a", 1)),
    };
    bench.with(|world| key::create(&mut vault, access, world, &new, false)).unwrap();
    assert_eq!(bench.read(&mut vault, access, "a").unwrap(), value("a", 1).expose());
}

/// The owner keeps what its tokens' grants are written from.
#[test]
fn case_77_altered_grants_are_written_anew_and_the_token_is_named() {
    let bench = Bench::new();
    for sql in [
        "DELETE FROM token_grant",
        "DELETE FROM token_grant WHERE key = {id a}",
        "UPDATE token_grant SET sealed = {flip sealed}",
        "UPDATE token_grant SET sealed = (SELECT sealed FROM token_grant WHERE key = {id a})",
        "INSERT INTO token_grant VALUES ({ci}, randomblob(16), randomblob(80))",
        "INSERT INTO token_grant VALUES ({ci}, x'01', x'')",
        "DELETE FROM token_view",
        "UPDATE token_view SET sealed = {flip sealed}",
        "UPDATE token_view SET change = change + 1",
    ] {
        for change in ["rotate a", "rotate d", "revoke a", "edit", "remove"] {
            bench.damage(&broken("grants", sql));
            let (mut vault, access) = bench.open();
            let names = [name("a")];
            let done = match change {
                "rotate a" => bench.rotate(&mut vault, access, "a"),
                "rotate d" => bench.rotate(&mut vault, access, "d"),
                "revoke a" => bench
                    .with(|world| key::revoke(&mut vault, access, world, &names, &Revocation::default()))
                    .map(drop),
                "edit" => {
                    let edit = keyvault_vault::Edit { note: Some("x".to_owned()), ..Default::default() };
                    bench.with(|world| key::edit(&mut vault, access, world, &names, &edit)).map(drop)
                }
                _ => bench.with(|world| key::remove(&mut vault, access, world, &names)).map(drop),
            };
            done.unwrap_or_else(|error| panic!("{sql}, {change}: {error}"));
            let notices = bench.notices.lock().unwrap().join("\n");
            assert!(
                notices.contains("GrantsAltered") && notices.contains("ci"),
                "{sql}, {change}: {notices}"
            );
            assert_eq!(check::run(&mut vault, access).unwrap().findings, [], "{sql}, {change}");
        }
    }
}

/// The owner revokes a key by its version while another one's rows are altered.
#[test]
fn case_77_a_damaged_value_keeps_no_other_version_from_being_revoked() {
    let bench = Bench::new();
    bench.damage(&broken(
        "value",
        "UPDATE version SET sealed = {flip sealed} WHERE key = {id b} AND version = 2",
    ));
    let (mut vault, access) = bench.open();
    let revocation = Revocation { version: Some(1), ..Revocation::default() };
    bench.with(|world| key::revoke(&mut vault, access, world, &[name("b")], &revocation)).unwrap();
    bench.rotate(&mut vault, access, "b").unwrap();
}

/// Daily keys cannot tell a key that follows from one that does not; this machine remembers which one it left.
#[test]
fn case_76_a_check_with_a_session_finds_a_head_that_a_thief_rewrote() {
    let bench = Bench::new();
    let by_session = || bench.open_with(PASSPHRASE).1.without_root();
    let found = |access: &Access| {
        let findings = check::run(&mut bench.open().0, access).unwrap().findings;
        findings.iter().map(|finding| finding.row.clone()).collect::<Vec<_>>()
    };
    bench.damage(&broken("nothing", ""));
    assert_eq!(found(&by_session()), [""; 0]);
    let (mut vault, access) = bench.open();
    bench.read(&mut vault, access, "d").unwrap();
    // A change folds the write-ahead log, so that the read is in the file.
    bench.rotate(&mut vault, access, "d").unwrap();
    drop(vault);
    let head = bench.expand("UPDATE log_head SET sealed = {forged own head} WHERE number = 1");
    tamper(&bench.world, &head);
    let session = by_session();
    assert_eq!(found(&session), ["log_head"]);
    // Reads and changes go on from there, and so does the finding.
    let (mut vault, _) = bench.open();
    bench.read(&mut vault, &session, "d").unwrap();
    bench.rotate(&mut vault, &session, "d").unwrap();
    drop(vault);
    assert_eq!(found(&session), ["log_head"]);
    let (mut vault, access) = bench.open();
    let new = passphrase("another");
    let credentials = [Credential::Passphrase(&new, Cost::FLOOR)];
    bench.with(|world| slot::rekey(&mut vault, access, world, &credentials, &[], &|_| ())).unwrap();
    drop(vault);
    let (mut vault, access) = bench.open_with("another");
    bench.read(&mut vault, &access, "d").unwrap();
    assert_eq!(found(&access.without_root()), [""; 0]);
}

/// Entries after a forged head are not proved, and nothing that was revoked meanwhile is forgotten with them.
#[test]
fn case_76_what_follows_a_forged_head_is_a_recorded_break() {
    let bench = Bench::new();
    bench.damage(&broken("head", "UPDATE log_head SET sealed = {forged head} WHERE ledger = zeroblob(16)"));
    let (mut vault, access) = bench.open();
    let proved = check::run(&mut vault, access).unwrap().change;
    bench.read(&mut vault, access, "d").unwrap();
    bench.with(|world| key::revoke(&mut vault, access, world, &[name("a")], &Revocation::default())).unwrap();
    let new = passphrase("another");
    let credentials = [Credential::Passphrase(&new, Cost::FLOOR)];
    let rekeyed =
        bench.with(|world| slot::rekey(&mut vault, access, world, &credentials, &[], &|_| ())).unwrap();
    let [gap] = rekeyed.loss.log.as_slice() else { panic!("{:?}", rekeyed.loss) };
    assert!(
        gap.to == gap.from && gap.from >= proved && gap.since.is_some_and(|at| at > Moment(0)),
        "{gap:?}"
    );
    let (mut vault, access) = bench.open_with("another");
    let mut details = Vec::new();
    let mut note = |_: &Of, event: &Event| details.push((event.action, event.detail.clone()));
    token::whole_log(&mut vault, &access, &mut note).unwrap();
    let (action, detail) = details.last().unwrap();
    assert_eq!(*action, Action::Rekey);
    assert!(detail.contains(&format!("log entries {} to {} cannot be proved", gap.from, gap.to)), "{detail}");
    assert!(check::audit_log(&mut vault, &access).is_ok());
}

#[test]
fn case_74_a_stray_row_is_noticed_by_backup_and_doctor_and_goes_with_a_rekey_or_a_restore() {
    let world = crate::harness::vault_file::filled();
    let backup = |name: &str| world.run(&["vault", "backup", name]);
    backup("before").ok();
    let rows = |world: &World| {
        let checks = world.run(&["doctor", "--json"]).json()["checks"].clone();
        checks.as_array().unwrap().iter().find(|check| check["check"] == "rows").unwrap()["state"].clone()
    };
    assert_eq!(rows(&world), "ok");
    tamper(
        &world,
        "INSERT INTO version SELECT (0x1122334455667788 >> 2) + 1, x'1122334455667788112233445566FFFF', 1, wrapped, sealed FROM version LIMIT 1",
    );
    assert_eq!(rows(&world), "finding");
    backup("copy").fails_with(5, "
            error: The vault is copied to copy, but it is damaged.
                   Keep the older backups: a restore of this one drops the damaged rows. `keyvault vault check` shows them;
                   `keyvault vault rekey` keeps everything else.
        ");
    let rekey = ["vault", "rekey", "--keep-passphrase", "--no-recovery", "--yes"];
    let said = world.run(&rekey).ok().err;
    assert!(
        said.contains("1 damaged row would be dropped or rebuilt: version has 1 row that no key names"),
        "{said}"
    );
    world.run(&["vault", "check"]).ok();
    assert_eq!(rows(&world), "ok");
    let restored = world.run(&["vault", "restore", "copy", "--yes", "--json"]).ok();
    assert_eq!(restored.json()["lost_to_damage"]["rows"][0]["row"], "version");
    world.run(&["vault", "check"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "value-a");
    let log = world.run(&["audit", "log", "--action", "rekey"]).ok().out;
    assert!(log.contains("epoch 2, for a restore, rows that did not hold: 1"), "{log}");
}
