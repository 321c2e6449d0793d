//! Reads of an attacker with a token, the vault's file, every older copy of it and full knowledge of the format, by
//! trying every key that it can derive on everything that is sealed.
//!
//! The program's refusals do not count here. The attacker uses the format's own primitives on raw rows, so what does
//! not open, does not open by cryptography.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use keyvault_core::clock::{Clock, Moment};
use keyvault_core::codec;
use keyvault_core::crypto::{self, Cost, SealingKey, SystemRng};
use keyvault_core::identity::{Identity, Place};
use keyvault_core::name::{EnvName, KeyName, Scope};
use keyvault_core::secret::SecretBytes;
use keyvault_exec::release::{self, ReleaseError, Released, Selection};
use keyvault_vault::audit::{Action, Actor};
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::unlock::token::Token;
use keyvault_vault::{
    Access, BearerKeys, Conflict, Creation, Credential, Edit, Holder, Holders, Import, Incoming, NewToken,
    NewValue, Notices, Purpose, Sought, Supply, Terms, Vault, VaultError, Which, World, check, file, key,
    slot, token,
};
use rusqlite::Connection;

const KEYS: usize = 1000;
const GRANTED: usize = 50;

const START: i64 = 1_767_225_600_000;
const DAY: i64 = 86_400_000;

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(START) };
}

struct Now;

impl Clock for Now {
    fn now(&self) -> Moment {
        Moment(NOW.get())
    }
}

/// The owner's side.
struct Owner {
    folder: tempfile::TempDir,
    access: Access,
    vault: Vault,
}

impl Owner {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.db");
        let passphrase = Passphrase::new(&SecretBytes::copy_from(b"correct horse battery staple")).unwrap();
        let creation = Creation { passphrase: &passphrase, cost: Cost::FLOOR, recovery: None };
        with_world(folder.path(), |world| file::create(&path, &creation, world)).unwrap();
        let mut vault = Vault::open(&path, &Pins::in_folder(folder.path().join("pins"))).unwrap();
        let access = vault.open_passphrase(&passphrase).unwrap();
        Self { folder, access, vault }
    }

    fn add(&mut self, numbers: Range<usize>, scope: &str) {
        let incoming = numbers.map(|number| Incoming {
            name: name(number),
            variable: name(number).default_variable().unwrap(),
            value: SecretBytes::copy_from(value(number, 1).as_bytes()),
        });
        let scopes = BTreeSet::from([scope.parse::<Scope>().unwrap()]);
        let import = Import {
            incoming: incoming.collect(),
            scopes: &scopes,
            conflict: Conflict::Fail,
            source: "test",
        };
        let Self { folder, access, vault } = self;
        with_world(folder.path(), |world| key::import(vault, access, world, import, &|_| ())).unwrap();
    }

    fn rotate(&mut self, number: usize) {
        let Self { folder, access, vault } = self;
        let key = key::show(vault, access, &name(number)).unwrap();
        let value = NewValue {
            name: name(number),
            key: key.id,
            value: SecretBytes::copy_from(value(number, 2).as_bytes()),
        };
        let which = Which::Names(vec![name(number)]);
        with_world(folder.path(), |world| {
            key::rotate(vault, access, world, &which, Some(&value), Terms::default())
        })
        .unwrap();
    }

    /// A limited session of an hour.
    fn session(&mut self, scope: &str) -> Token {
        let sought = Sought::Scopes(vec![scope.parse().unwrap()]);
        let Self { folder, access, vault } = self;
        with_world(folder.path(), |world| {
            token::begin_session(vault, access, world, &sought, (3_600_000, "1h"))
        })
        .unwrap()
        .token
    }

    fn token(&mut self, token: &str, scope: &str) -> Token {
        self.token_until(token, scope, None)
    }

    fn token_until(&mut self, token: &str, scope: &str, expires: Option<Moment>) -> Token {
        let new = NewToken {
            name: token.parse().unwrap(),
            scopes: vec![scope.parse().unwrap()],
            keys: Vec::new(),
            expires,
        };
        let Self { folder, access, vault } = self;
        with_world(folder.path(), |world| token::create(vault, access, world, &new)).unwrap().token
    }

    fn edit(&mut self, number: usize, edit: &Edit) {
        let Self { folder, access, vault } = self;
        with_world(folder.path(), |world| key::edit(vault, access, world, &[name(number)], edit)).unwrap();
    }

    fn undelete(&mut self, number: usize) {
        let Self { folder, vault, access, .. } = self;
        with_world(folder.path(), |world| key::undelete(vault, access, world, &name(number), None).map(drop))
            .unwrap();
    }

    fn remove(&mut self, number: usize) {
        let Self { folder, access, vault } = self;
        with_world(folder.path(), |world| key::remove(vault, access, world, &[name(number)])).unwrap();
    }

    /// The names of the tokens that got another secret.
    fn rekey(&mut self) -> Vec<String> {
        let passphrase = Passphrase::new(&SecretBytes::copy_from(b"correct horse battery staple")).unwrap();
        let Self { folder, access, vault } = self;
        let credentials = [Credential::Passphrase(&passphrase, Cost::FLOOR)];
        let rekeyed =
            with_world(folder.path(), |world| slot::rekey(vault, access, world, &credentials, &[], &|_| ()))
                .unwrap();
        self.access = self.vault.open_passphrase(&passphrase).unwrap();
        rekeyed.tokens.iter().map(|issued| issued.record.name.to_string()).collect()
    }

    fn revoke(&mut self, token: &str) {
        let Self { folder, access, vault } = self;
        with_world(folder.path(), |world| token::revoke(vault, access, world, &token.parse().unwrap()))
            .unwrap();
    }

    /// A copy of the file as it is now: every change ends with a folded log.
    fn copy(&self, name: &str) -> PathBuf {
        let copy = self.folder.path().join(name);
        std::fs::copy(self.folder.path().join("vault.db"), &copy).unwrap();
        copy
    }
}

fn with_world<T>(folder: &Path, act: impl FnOnce(&World<'_>) -> T) -> T {
    let notices = Mutex::new(Vec::new());
    let result = act(&World {
        clock: &Now,
        rng: &SystemRng,
        actor: Actor::default(),
        pins: Pins::in_folder(folder.join("pins")),
        holders: Holders::in_folder(folder.to_owned(), Holder { command: String::new(), pid: 0 }),
        notices: Notices::told_by(&|notice| notices.lock().unwrap().push(format!("{notice:?}"))),
        waiting: &|_, _| (),
    });
    assert_eq!(notices.into_inner().unwrap(), Vec::<String>::new());
    result
}

fn name(number: usize) -> KeyName {
    format!("key{number:04}").parse().unwrap()
}

fn value(number: usize, version: u32) -> String {
    format!("value of key {number:04}, version {version}")
}

/// Everything that is sealed in a file, with the context in which a reader would open it.
struct Sealed {
    row: Vec<u8>,
    /// Table and field.
    column: &'static str,
    label: &'static str,
    context: Vec<u8>,
    text: Vec<u8>,
}

/// The labels and places of FORMAT §3, for every row of a file.
fn everything_sealed(file: &Path) -> (Identity, Vec<Sealed>) {
    let connection = Connection::open(file).unwrap();
    let (vault_id, epoch): (Vec<u8>, u32) = connection
        .query_row("SELECT vault_id, epoch FROM vault", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let identity = Identity { vault_id: vault_id.try_into().unwrap(), epoch };
    let mut all = Vec::new();
    let columns: [(&str, &str, &str); 9] = [
        ("slot.sealed", "keyvault slot", "SELECT id, 0, 0, header, sealed FROM slot"),
        ("vault.chain_seed", "keyvault audit seed", "SELECT x'', 0, 0, x'', chain_seed FROM vault"),
        ("object.sealed", "keyvault object", "SELECT id, 0, revision, x'', sealed, tag FROM object"),
        ("version.wrapped", "keyvault version key", "SELECT key, version, 0, x'', wrapped FROM version"),
        ("version.sealed", "keyvault value", "SELECT key, version, 0, x'', sealed FROM version"),
        ("log_head.sealed", "keyvault audit head", "SELECT x'', 0, count, x'', sealed FROM log_head"),
        ("token_view.sealed", "keyvault token view", "SELECT token, 0, change, x'', sealed FROM token_view"),
        ("token_grant.sealed", "keyvault token grant", "SELECT key, 0, 0, token, sealed FROM token_grant"),
        (
            "log.sealed",
            "keyvault audit event",
            "SELECT a.id & 4294967295, 0, 0, ifnull(b.mac, zeroblob(32)), a.sealed FROM log a
             LEFT JOIN log b ON b.id >> 32 = a.id >> 32 AND b.id = a.id - 1",
        ),
    ];
    for (column, label, sql) in columns {
        let (table, field) = column.split_once('.').unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let key = match row.get_ref(0).unwrap() {
                rusqlite::types::ValueRef::Blob(bytes) => bytes.to_vec(),
                number if table == "log" => number.as_i64().unwrap().to_le_bytes().to_vec(),
                id if table == "object" => {
                    let [kind, ..] = id.as_i64().unwrap().to_be_bytes();
                    [vec![kind], row.get::<_, Vec<u8>>(5).unwrap()].concat()
                }
                number => u32::try_from(number.as_i64().unwrap()).unwrap().to_le_bytes().to_vec(),
            };
            let bound: Vec<u8> = row.get(3).unwrap();
            let place = Place {
                table,
                row: &key,
                version: row.get(1).unwrap(),
                field,
                revision: u64::try_from(row.get::<_, i64>(2).unwrap()).unwrap(),
                bound: &bound,
            };
            let row_key = key.clone();
            all.push(Sealed {
                row: row_key,
                column,
                label,
                context: identity.context(&place),
                text: row.get(4).unwrap(),
            });
        }
    }
    (identity, all)
}

/// Tries every key on everything until nothing new opens. Any 32 bytes of what opens may be a key: those that open a
/// row of the same key are tried on everything else.
fn break_in(token: &Token, files: &[PathBuf]) -> (BTreeMap<&'static str, usize>, BTreeSet<String>) {
    let mut opened = BTreeMap::new();
    let mut values = BTreeSet::new();
    for file in files {
        let (identity, all) = everything_sealed(file);
        let keys = token.reader().keys(&identity, &token.id());
        let own =
            [&keys.view, &keys.grants, &keys.bundle, &keys.reads, &keys.audit.events, &keys.audit.append];
        let mut keys: Vec<SealingKey> =
            own.iter().map(|key| SealingKey::from_bytes(key.expose()).unwrap()).collect();
        keys.push(SealingKey::from_bytes(token.reader().expose()).unwrap());
        // The daily keys, if the reader or any other key of the bearer's were the vault's.
        for purpose in
            ["metadata", "wrapping", "blind index", "state", "tree", "audit events", "audit append"]
        {
            let derived: Vec<_> = own
                .iter()
                .map(|key| key.derive(&format!("keyvault daily {purpose}"), &identity.whole()))
                .collect();
            keys.extend(derived);
        }
        let mut closed: Vec<&Sealed> = all.iter().collect();
        while !keys.is_empty() {
            let mut found: Vec<SealingKey> = Vec::new();
            closed.retain(|sealed| {
                let plain = keys
                    .iter()
                    .find_map(|key| crypto::open(key, sealed.label, &sealed.context, &sealed.text).ok());
                let Some(plain) = plain else { return true };
                *opened.entry(sealed.column).or_insert(0) += 1;
                if sealed.column == "version.sealed" {
                    values.insert(String::from_utf8(codec::unpad(&plain).unwrap().to_vec()).unwrap());
                } else {
                    let own: Vec<_> = all.iter().filter(|other| other.row == sealed.row).collect();
                    let opens = |key: &SealingKey| {
                        own.iter().any(|row| crypto::open(key, row.label, &row.context, &row.text).is_ok())
                    };
                    found.extend(plain.expose().windows(32).filter_map(SealingKey::from_bytes).filter(opens));
                }
                false
            });
            keys = found;
        }
    }
    (opened, values)
}

#[test]
fn of_1000_keys_a_token_for_50_opens_50_and_after_a_revoke_and_a_rotate_none_of_the_new() {
    let mut owner = Owner::new();
    owner.add(0..GRANTED, "granted");
    owner.add(GRANTED..KEYS, "other");
    let mut copies = vec![owner.copy("before.db")];
    let token = owner.token("ci", "granted");
    copies.push(owner.copy("granted.db"));
    // Others have tokens too, and keys change.
    let other = owner.token("other", "other");
    owner.rotate(GRANTED);
    copies.push(owner.copy("rotated.db"));

    let granted: BTreeSet<String> = (0..GRANTED).map(|number| value(number, 1)).collect();
    let (opened, values) = break_in(&token, &copies);
    println!("with the token, in {} copies: {opened:?}", copies.len());
    assert_eq!(values, granted);
    let columns: Vec<_> = opened.keys().copied().collect();
    assert_eq!(columns, ["log_head.sealed", "token_grant.sealed", "token_view.sealed", "version.sealed"]);

    owner.revoke("ci");
    copies.push(owner.copy("revoked.db"));
    for number in 0..GRANTED {
        owner.rotate(number);
    }
    copies.push(owner.copy("after.db"));
    let (_, values) = break_in(&token, &copies);
    assert_eq!(values, granted, "a new version opens, or more than was granted");
    let (opened, _) = break_in(&token, &copies[4..]);
    println!("after the revoke and the rotation: {opened:?}");
    assert_eq!(opened, BTreeMap::from([("log_head.sealed", 1)]), "more than the head of its own reads");

    // The attack finds what there is to find: with the other token, all of the others.
    let (_, values) = break_in(&other, &copies[2..3]);
    assert_eq!(values.len(), KEYS - GRANTED);
    assert!(values.contains(&value(GRANTED, 2)) && !values.contains(&value(GRANTED, 1)));
}

/// Its bearer can turn a clock back; a token that has expired gets nothing that a change makes after that.
#[test]
fn an_expired_token_opens_no_version_that_was_made_since() {
    let mut owner = Owner::new();
    owner.add(0..2, "granted");
    let token = owner.token_until("ci", "granted", Some(Moment(START + DAY)));
    let before = owner.copy("before.db");
    NOW.set(START + 2 * DAY);
    owner.rotate(0);
    owner.add(2..3, "granted");
    let after = owner.copy("after.db");
    let (_, values) = break_in(&token, &[before]);
    assert_eq!(values, [value(0, 1), value(1, 1)].into());
    // A value that was there and has not changed is in the older copy as well.
    let (_, values) = break_in(&token, &[after]);
    assert_eq!(values, [value(1, 1)].into());
    for day in [2, 0] {
        NOW.set(START + day * DAY);
        let findings = check::run(&mut owner.vault, &owner.access).unwrap().findings;
        assert!(findings.is_empty(), "{findings:?}");
    }
}

/// Facts of keys that the token's grants in a file give: names, variables, scopes, version keys.
fn granted(token: &Token, file: &Path) -> BTreeSet<Vec<u8>> {
    let (identity, all) = everything_sealed(file);
    let keys = token.reader().keys(&identity, &token.id()).grants;
    let grants = all.iter().filter(|row| row.column == "token_grant.sealed");
    grants
        .filter_map(|row| crypto::open(&keys, row.label, &row.context, &row.text).ok())
        .map(|plain| plain.expose().to_vec())
        .collect()
}

/// Nor does it learn a name: whatever a change does, the token's grants say nothing that they did not say before.
#[test]
fn an_expired_token_learns_nothing_from_a_later_change() {
    let mut owner = Owner::new();
    owner.add(0..6, "granted");
    owner.add(6..8, "other");
    let token = owner.token_until("ci", "granted", Some(Moment(START + DAY)));
    let in_force = owner.token("cd", "granted");
    let before = granted(&token, &owner.copy("before.db"));
    assert_eq!(before.len(), 6);
    NOW.set(START + 2 * DAY);
    let edits = [
        (0, Edit { rename: Some("renamed".parse().unwrap()), ..Edit::default() }),
        (1, Edit { variable: Some(EnvName::parse("ANOTHER").unwrap()), ..Edit::default() }),
        (2, Edit { scope: BTreeSet::from(["more".parse().unwrap()]), ..Edit::default() }),
        (3, Edit { expires: Some(Some(Moment(START + 9 * DAY))), ..Edit::default() }),
        (6, Edit { scope: BTreeSet::from(["granted".parse().unwrap()]), ..Edit::default() }),
    ];
    let mut copies = Vec::new();
    for (number, edit) in edits {
        owner.edit(number, &edit);
        copies.push(owner.copy(&format!("edited-{number}.db")));
    }
    owner.rotate(4);
    copies.push(owner.copy("rotated.db"));
    owner.add(8..10, "granted");
    copies.push(owner.copy("added.db"));
    owner.remove(5);
    copies.push(owner.copy("removed.db"));
    owner.undelete(5);
    copies.push(owner.copy("undeleted.db"));
    owner.remove(5);
    copies.push(owner.copy("removed-again.db"));
    for copy in &copies {
        let now = granted(&token, copy);
        assert!(now.is_subset(&before), "{}: {} more", copy.display(), now.difference(&before).count());
    }
    assert_eq!(granted(&token, copies.last().unwrap()).len(), 0, "what changed is granted no more");
    // The one that is in force gets all of it.
    assert_eq!(granted(&in_force, copies.last().unwrap()).len(), 8);
    for day in [2, 0] {
        NOW.set(START + day * DAY);
        let findings = check::run(&mut owner.vault, &owner.access).unwrap().findings;
        assert!(findings.is_empty(), "{findings:?}");
    }
    // A clock that went back brings it not back to life, and what it lacks stays no fault.
    NOW.set(START);
    owner.rotate(1);
    owner.add(10..11, "granted");
    let back = granted(&token, &owner.copy("back.db"));
    assert_eq!(back.len(), 0);
    let findings = check::run(&mut owner.vault, &owner.access).unwrap().findings;
    assert!(findings.is_empty(), "{findings:?}");
    // A token that a rekey gives another secret gets none either: nobody has that secret, and nobody needs it.
    NOW.set(START + 2 * DAY);
    let tokens = owner.rekey();
    assert_eq!(tokens, ["cd"]);
    let connection = Connection::open(owner.copy("rekeyed.db")).unwrap();
    let tokens: i64 =
        connection.query_row("SELECT count(DISTINCT token) FROM token_grant", [], |row| row.get(0)).unwrap();
    assert_eq!(tokens, 1);
    let findings = check::run(&mut owner.vault, &owner.access).unwrap().findings;
    assert!(findings.is_empty(), "{findings:?}");
}

/// Of a limited session the kernel keeps a token, which anyone with the user's rights can read; `lock` does not take it
/// back. What it opens, it opens until the owner's next change finds it expired.
#[test]
fn a_limited_session_opens_what_it_was_granted_until_it_expires() {
    NOW.set(START);
    let mut owner = Owner::new();
    owner.add(0..5, "granted");
    owner.add(5..50, "other");
    let session = owner.session("granted");
    owner.rotate(0);
    owner.rotate(5);
    let mut copies = vec![owner.copy("open.db")];
    let granted: BTreeSet<_> = (0..5).map(|number| value(number, if number == 0 { 2 } else { 1 })).collect();
    let (opened, values) = break_in(&session, &copies);
    assert_eq!(values, granted);
    let columns: Vec<_> = opened.keys().copied().collect();
    assert_eq!(columns, ["log_head.sealed", "token_grant.sealed", "token_view.sealed", "version.sealed"]);
    // At its end, and from then on, whatever the clock says.
    NOW.set(START + 3_600_000);
    owner.rotate(1);
    NOW.set(START);
    owner.rotate(2);
    copies = vec![owner.copy("over.db")];
    assert_eq!(break_in(&session, &copies), (BTreeMap::new(), BTreeSet::new()));
    let findings = check::run(&mut owner.vault, &owner.access).unwrap().findings;
    assert!(findings.is_empty(), "{findings:?}");
}

fn take(
    supply: &mut Supply,
    world: &World<'_>,
    selection: &Selection,
    purpose: Purpose,
) -> Result<Released, ReleaseError> {
    Ok(release::stage(supply.begin(world)?, selection)?.fit_anywhere()?.commit(purpose)?)
}

/// A bearer writes its log itself. What it says there that no bearer can do is not believed.
#[test]
fn what_a_bearer_says_that_it_did_with_a_key_hides_no_read_of_it() {
    let mut owner = Owner::new();
    owner.add(0..1, "granted");
    let token = owner.token("ci", "granted");
    let pins = Pins::in_folder(owner.folder.path().join("pins"));
    let file = owner.folder.path().join("vault.db");
    let say = |action, hour: i64| {
        NOW.set(START + hour * 3_600_000);
        let mut supply = Supply::Granted(Vault::open(&file, &pins).unwrap(), BearerKeys::of(&token, None));
        let choice = Selection { all: true, ..Selection::default() };
        let purpose = Purpose { action, detail: String::new() };
        with_world(owner.folder.path(), |world| take(&mut supply, world, &choice, purpose)).unwrap();
    };
    say(Action::Exec, 1);
    say(Action::Remove, 2);
    say(Action::Exec, 24 * 365);
    say(Action::Remove, 24 * 366);
    let (_, reads) = key::history(&mut owner.vault, &owner.access, &name(0)).unwrap();
    assert_eq!(reads.values().collect::<Vec<_>>(), [&Moment(START + 365 * DAY)]);
    let usage = key::usage(&mut owner.vault, &owner.access).unwrap();
    assert_eq!(usage.last_read.get(name(0).as_str()), Some(&Moment(START + 365 * DAY)));
    assert_eq!(usage.last_entry, Some(Moment(START)), "a clock is not judged by what a bearer says");
}

/// A value that a bearer seals in the place of one whose version key it was granted passes for the owner's nowhere.
#[test]
fn a_bearer_forges_no_value_for_another_bearer_or_the_owner() {
    let mut owner = Owner::new();
    owner.add(0..1, "shared");
    let token = owner.token("attacker", "shared");
    let other = owner.token("victim", "shared");
    let file = owner.folder.path().join("vault.db");
    let (identity, all) = everything_sealed(&file);
    let grants = token.reader().keys(&identity, &token.id()).grants;
    let value = all.iter().find(|row| row.column == "version.sealed").unwrap();
    let mut granted = all.iter().filter(|row| row.column == "token_grant.sealed");
    let grant =
        granted.find_map(|row| crypto::open(&grants, row.label, &row.context, &row.text).ok()).unwrap();
    let mut keys = grant.expose().windows(32).filter_map(SealingKey::from_bytes);
    let key = keys.find(|key| crypto::open(key, value.label, &value.context, &value.text).is_ok()).unwrap();
    let forged = codec::pad(b"the attacker's own").unwrap();
    let forged = crypto::seal(&key, value.label, &value.context, forged.expose(), &SystemRng).unwrap();
    Connection::open(&file).unwrap().execute("UPDATE version SET sealed = ?", [forged]).unwrap();

    let pins = Pins::in_folder(owner.folder.path().join("pins"));
    let choice = || Selection { all: true, ..Selection::default() };
    let purpose = || Purpose { action: Action::Exec, detail: String::new() };
    let folder = owner.folder.path().to_owned();
    let access = owner
        .vault
        .open_passphrase(&Passphrase::new(&SecretBytes::copy_from(b"correct horse battery staple")).unwrap())
        .unwrap();
    for mut supply in [
        Supply::Granted(Vault::open(&file, &pins).unwrap(), BearerKeys::of(&other, None)),
        Supply::Vault(Vault::open(&file, &pins).unwrap(), access),
    ] {
        let read = with_world(&folder, |world| take(&mut supply, world, &choice(), purpose()));
        let read =
            read.map(|all| all.values().iter().map(|key| key.value.expose().to_vec()).collect::<Vec<_>>());
        assert!(matches!(read, Err(ReleaseError::Vault(VaultError::State(_)))), "{read:?}");
    }
}
