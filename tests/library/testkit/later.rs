//! The fate of fields that a later version put into a vault.

use std::path::PathBuf;

use keyvault_core::crypto::{Cost, SystemRng};
use keyvault_vault::state::StateError;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{
    Access, Credential, Edit, Notices, Revocation, Vault, VaultError, World, check, key, slot,
};
use rusqlite::Connection;

use super::bases::{self, Base, name};
use super::forge::{Fields, Forge, Record, SLOT, pad, text, unpad};
use super::machines_base::{Bearer, CI_EXPIRES, Machines};
use super::replay::Fixed;
use super::{forge, sql};

/// Extensions with field 3.
const ODD: [u8; 11] = [1, 0, 0, 0, 3, 0, 1, 0, 0, 0, 9];

/// A forged vault as a file, and the pins of the machine that opens it.
struct Stage {
    folder: tempfile::TempDir,
    pins: Pins,
}

impl Stage {
    fn of(forge: &Forge) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::in_folder(folder.path().join("pins"));
        let stage = Self { folder, pins };
        sql::run(&stage.path(), &sql::dump(&forge.connection));
        stage
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("vault.db")
    }

    fn open(&self) -> Vault {
        Vault::open(&self.path(), &self.pins).unwrap()
    }
}

#[test]
fn a_key_with_a_field_of_a_later_version_is_read_disabled_and_revoked_and_not_rewritten_otherwise() {
    let base = bases::plain().now;
    let forge = Forge::new(&base.sql, &base.root, "later");
    forge.put_key("a", &Fields::of(&forge.key("a")).with("extensions", ODD).encode());
    let stage = Stage::of(&forge);
    let (clock, rng) = (Fixed(base.now), SystemRng);
    let world = bases::world(&clock, &rng, stage.pins.clone());
    let passphrase = bases::passphrase(std::str::from_utf8(&base.passphrase).unwrap());
    let mut vault = stage.open();
    let access = vault.open_passphrase(&passphrase).unwrap();

    key::reveal(&mut vault, &access, &world, &name("a"), None).unwrap();
    for (of, works) in [("d", true), ("a", false)] {
        let edit = Edit { note: Some("another".to_owned()), ..Edit::default() };
        match key::edit(&mut vault, &access, &world, &[name(of)], &edit) {
            Ok(_) => assert!(works, "{of}"),
            Err(VaultError::State(StateError::Newer { what })) => {
                assert!(!works && what == "the object of key has field 3", "{of}: {what}");
            }
            Err(error) => panic!("{of}: {error:?}"),
        }
    }
    key::disable(&mut vault, &access, &world, &[name("a")], "leaked?").unwrap();
    assert_eq!(extensions(&mut vault, &passphrase), ODD);
    assert!(matches!(
        key::enable(&mut vault, &access, &world, &[name("a")]),
        Err(VaultError::State(StateError::Newer { .. }))
    ));
    let revocation = Revocation { version: None, reason: "leaked".to_owned(), wipe: false };
    key::revoke(&mut vault, &access, &world, &[name("a")], &revocation).unwrap();
    assert_eq!(extensions(&mut vault, &passphrase), ODD);
    let credential = Credential::Passphrase(&passphrase, Cost::FLOOR);
    slot::rekey(&mut vault, &access, &world, &[credential], &[&access], &|_| ()).unwrap();
    assert_eq!(extensions(&mut vault, &passphrase), ODD);
}

/// The end of the record of key `a`.
fn extensions(vault: &mut Vault, passphrase: &Passphrase) -> Vec<u8> {
    let access = vault.open_passphrase(passphrase).unwrap();
    let record = vault.read(&access, |tx| Ok(tx.key(&name("a"))?.unwrap())).unwrap();
    let plain = record.encode();
    plain[plain.len() - ODD.len()..].to_vec()
}

#[test]
fn a_field_that_must_be_known_in_the_state_record_stops_everything_but_what_seals_everything_anew() {
    let base = bases::plain().now;
    let forge = Forge::new(&base.sql, &base.root, "later");
    let even = [1, 0, 0, 0, 2, 0, 1, 0, 0, 0, 9].to_vec();
    forge.put_record(&Record { extensions: even, ..forge.record() });
    let stage = Stage::of(&forge);
    let (clock, rng) = (Fixed(base.now), SystemRng);
    let world = bases::world(&clock, &rng, stage.pins.clone());
    let passphrase = bases::passphrase(std::str::from_utf8(&base.passphrase).unwrap());
    let mut vault = stage.open();
    let access = vault.open_passphrase(&passphrase).unwrap();
    let newer = |error| matches!(error, VaultError::State(StateError::Newer { .. }));
    assert!(newer(key::reveal(&mut vault, &access, &world, &name("a"), None).unwrap_err()));
    let credential = Credential::Passphrase(&passphrase, Cost::FLOOR);
    let rekeyed = slot::rekey(&mut vault, &access, &world, &[credential], &[&access], &|_| ()).unwrap();
    assert!(rekeyed.loss.rows.iter().any(|row| row.what.contains("has field 2")), "{:?}", rekeyed.loss.rows);
    let access = vault.open_passphrase(&passphrase).unwrap();
    key::reveal(&mut vault, &access, &world, &name("a"), None).unwrap();
}

/// The forged vault opened, and what opens it.
fn opened(stage: &Stage, base: &Base) -> (Vault, Access, Passphrase) {
    let passphrase = bases::passphrase(std::str::from_utf8(&base.passphrase).unwrap());
    let mut vault = stage.open();
    let access = vault.open_passphrase(&passphrase).unwrap();
    (vault, access, passphrase)
}

fn edit(vault: &mut Vault, access: &Access, world: &World<'_>) -> Result<(), VaultError> {
    let edit = Edit { note: Some("another".to_owned()), ..Edit::default() };
    key::edit(vault, access, world, &[name("d")], &edit).map(drop)
}

#[test]
fn a_vault_with_an_object_of_a_later_version_is_read_and_revoked_in_and_not_changed_otherwise() {
    let base = bases::plain().now;
    for kind in [0, 6, 9, 13, 31, 127, 128, 130, 255] {
        let forge = Forge::new(&base.sql, &base.root, "later");
        forge.put_object(kind, b"later", &text("later"));
        let stage = Stage::of(&forge);
        let (clock, rng) = (Fixed(base.now), SystemRng);
        let world = bases::world(&clock, &rng, stage.pins.clone());
        let (mut vault, access, _) = opened(&stage, &base);

        key::reveal(&mut vault, &access, &world, &name("a"), None).unwrap();
        assert_eq!(key::list(&mut vault, &access).unwrap().len(), 5, "{kind}");
        match edit(&mut vault, &access, &world) {
            Err(VaultError::State(StateError::Newer { what })) => {
                assert_eq!(what, format!("the vault has an object of kind {kind}"));
            }
            other => panic!("{kind}: {other:?}"),
        }
        let revocation = Revocation { version: None, reason: "leaked".to_owned(), wipe: false };
        key::revoke(&mut vault, &access, &world, &[name("a")], &revocation).unwrap();
        assert_eq!(check::run(&mut vault, &access).unwrap().findings, [], "{kind}");
    }
}

#[test]
fn an_object_of_a_later_version_that_the_tree_does_not_know_is_in_the_way_of_no_change() {
    let base = bases::plain().now;
    let forge = Forge::new(&base.sql, &base.root, "later");
    forge.put_object(9, b"later", &text("later"));
    forge.drop_leaf(&forge.tag(9, b"later"));
    forge.sign_tree();
    // Rows that fit nothing, and one in the place of a key.
    forge.sql(
        "INSERT INTO object SELECT {oid 9 key b}, tag, revision, sealed FROM object WHERE {at key b};
         INSERT INTO object VALUES (130 << 56, x'', 1, x''), (13 << 56, zeroblob(16), -1, x''), (6 << 56, zeroblob(17), 1, x'')",
    );
    let stage = Stage::of(&forge);
    let (clock, rng) = (Fixed(base.now), SystemRng);
    let world = bases::world(&clock, &rng, stage.pins.clone());
    let (mut vault, access, _) = opened(&stage, &base);
    edit(&mut vault, &access, &world).unwrap();
}

#[test]
fn a_rekey_carries_over_the_objects_of_a_later_version_that_are_proved_and_give_no_access() {
    let base = bases::plain().now;
    let forge = Forge::new(&base.sql, &base.root, "later");
    let content = |name: &str| [text(name), vec![7; 300]].concat();
    for (kind, name) in [(6, "issued"), (9, "policy"), (9, "b"), (127, ""), (128, "access"), (255, "more")] {
        forge.put_object(kind, name.as_bytes(), &content(name));
    }
    // Proved, and not in the place of its name.
    let moved = forge.tag(10, b"moved");
    forge.put_padded(10, &moved, &pad(&content("another")));
    forge.put_object(11, b"ghost", &content("ghost"));
    forge.drop_leaf(&forge.tag(11, b"ghost"));
    forge.sign_tree();
    let stage = Stage::of(&forge);
    let (clock, rng) = (Fixed(base.now), SystemRng);
    let world = bases::world(&clock, &rng, stage.pins.clone());
    let (mut vault, access, passphrase) = opened(&stage, &base);
    let credential = Credential::Passphrase(&passphrase, Cost::FLOOR);
    let rekeyed = slot::rekey(&mut vault, &access, &world, &[credential], &[&access], &|_| ()).unwrap();
    for kind in [128, 255, 10, 11] {
        let told = rekeyed.loss.rows.iter().any(|row| row.row.starts_with(&format!("object {kind} ")));
        assert!(told, "{kind}: {:?}", rekeyed.loss.rows);
    }
    for kind in [6, 9, 127] {
        let told = rekeyed.loss.rows.iter().any(|row| row.row.starts_with(&format!("object {kind} ")));
        assert!(!told, "{kind}: {:?}", rekeyed.loss.rows);
    }
    let access = vault.open_passphrase(&passphrase).unwrap();
    assert_eq!(check::run(&mut vault, &access).unwrap().findings, []);
    drop(vault);
    let after = sql::dump(&Connection::open(stage.path()).unwrap());
    let after = Forge::new(&after, &forge::root(&after, &base.passphrase), "");
    for (kind, name) in [(6, "issued"), (9, "policy"), (9, "b"), (127, "")] {
        let tag = after.tag(kind, name.as_bytes());
        assert_eq!(unpad(&after.padded(kind, &tag)), content(name), "{kind} {name}");
    }
    assert_eq!(after.number("SELECT count(*) FROM object WHERE NOT id >> 56 IN (3, 4, 5, 7, 8, 15)"), 4);
}

/// Kinds 1 and 2 are the header and the slots: an object of theirs would take the leaf of one.
#[test]
fn an_object_in_the_place_of_a_slot_is_found_and_does_not_outlive_a_rekey() {
    let base = bases::plain().now;
    let forge = Forge::new(&base.sql, &base.root, "later");
    for id in 4..=32_u32 {
        let id = id.to_le_bytes();
        forge.put_object(SLOT, &id, &text(id));
    }
    let stage = Stage::of(&forge);
    let (clock, rng) = (Fixed(base.now), SystemRng);
    let world = bases::world(&clock, &rng, stage.pins.clone());
    let (mut vault, access, passphrase) = opened(&stage, &base);
    let found = check::run(&mut vault, &access).unwrap().findings;
    assert_eq!(found.iter().filter(|finding| finding.row.starts_with("object 2 ")).count(), 29, "{found:?}");
    let credential = Credential::Passphrase(&passphrase, Cost::FLOOR);
    slot::rekey(&mut vault, &access, &world, &[credential], &[&access], &|_| ()).unwrap();
    let access = vault.open_passphrase(&passphrase).unwrap();
    assert_eq!(check::run(&mut vault, &access).unwrap().findings, []);
    edit(&mut vault, &access, &world).unwrap();
}

#[test]
fn a_view_that_its_bearer_made_does_not_end_the_token() {
    let machines = Machines::new();
    let base = &machines.now;
    let forge = Forge::new(&base.sql, &base.root, "later");
    let ci = Bearer::of(&forge, machines.token("ci"));
    // Written long after the token's end, signed by nobody that the owner knows.
    let mut text = ci.view();
    let written = 1 + 16 + 8 + 4 + "ci".len();
    text[written..written + 8].copy_from_slice(&(CI_EXPIRES + 1).to_le_bytes());
    ci.put_signed_view(&text, &[0; 4]);
    let stage = Stage::of(&forge);
    let (clock, rng) = (Fixed(base.now), SystemRng);
    let world =
        World { notices: Notices::told_by(&|_| ()), ..bases::world(&clock, &rng, stage.pins.clone()) };
    let passphrase = bases::passphrase(std::str::from_utf8(&base.passphrase).unwrap());
    let mut vault = stage.open();
    let access = vault.open_passphrase(&passphrase).unwrap();
    let edit = Edit { note: Some("another".to_owned()), ..Edit::default() };
    key::edit(&mut vault, &access, &world, &[name("a")], &edit).unwrap();
    let granted = Connection::open(stage.path()).unwrap();
    let sql = format!("SELECT count(*) FROM token_grant WHERE {}", ci.mine());
    let count: i64 = granted.query_row(&sql, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2);
}
