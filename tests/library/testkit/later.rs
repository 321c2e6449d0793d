//! The fate of fields that a later version put into a vault.

use keyvault_core::crypto::{Cost, SystemRng};
use keyvault_vault::state::StateError;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{Credential, Edit, Revocation, Vault, VaultError, key, slot};

use super::bases::{self, name};
use super::forge::{Fields, Forge};
use super::replay::Fixed;
use super::sql;

/// Extensions with field 3.
const ODD: [u8; 11] = [1, 0, 0, 0, 3, 0, 1, 0, 0, 0, 9];

#[test]
fn a_key_with_a_field_of_a_later_version_is_read_and_revoked_and_not_rewritten_otherwise() {
    let base = bases::plain().now;
    let forge = Forge::new(&base.sql, &base.root, "later");
    forge.put_item("a", &Fields::of(&forge.item("a")).with("extensions", ODD).encode());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.db");
    sql::run(&path, &sql::dump(&forge.connection));
    let pins = Pins::in_folder(folder.path().join("pins"));
    let (clock, rng) = (Fixed(base.now), SystemRng);
    let world = bases::world(&clock, &rng, pins.clone());
    let passphrase = bases::passphrase(std::str::from_utf8(&base.passphrase).unwrap());
    let mut vault = Vault::open(&path, &pins).unwrap();
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
