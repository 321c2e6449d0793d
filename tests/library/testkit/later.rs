//! The fate of fields that a later version put into a vault.

use std::path::PathBuf;

use keyvault_core::crypto::{Cost, SystemRng};
use keyvault_vault::state::StateError;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{Credential, Edit, Notices, Revocation, Vault, VaultError, World, key, slot};
use rusqlite::Connection;

use super::bases::{self, name};
use super::forge::{Fields, Forge, Record};
use super::machines_base::{Bearer, CI_EXPIRES, Machines};
use super::replay::Fixed;
use super::sql;

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
    forge.put_item("a", &Fields::of(&forge.item("a")).with("extensions", ODD).encode());
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
                assert!(!works && what == "the record of a key has field 3", "{of}: {what}");
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
