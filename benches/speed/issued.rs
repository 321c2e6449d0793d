//! A vault with a million keys that its owner issued.

use std::path::Path;

use keyvault_core::clock::{Moment, SystemClock};
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{SystemRng, sha256};
use keyvault_core::name::Label;
use keyvault_core::secret::SecretBytes;
use keyvault_issue::record::{
    Api, Ascending, Environment, Id, KeyRecord, Mark, Prefix, Proof, Reaction, State,
};
use keyvault_issue::set::{Changes, Content};
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{Holder, Holders, Notices, Vault, World, issued};

const API: [u8; 16] = [2; 16];
const KEYS: u32 = 1_000_000;

/// An id as chance would draw it.
fn id(number: u32) -> Id {
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let hash = sha256(&number.to_le_bytes());
    let drawn = hash.iter().take(10).map(|byte| char::from(digits[usize::from(*byte) % 62]));
    Id::parse(&format!("aa{}", drawn.collect::<String>())).unwrap()
}

fn key(number: u32) -> KeyRecord {
    KeyRecord {
        id: id(number),
        state: State::Active,
        proof: Proof::Own(sha256(&number.to_be_bytes())),
        environment: Environment::Live,
        prefix: Prefix::parse("kv").unwrap(),
        client: None,
        roles: Ascending::default(),
        scopes: Ascending::default(),
        created: Moment(1_800_000_000_000),
        not_before: None,
        expires: None,
        replaced: None,
        decoy: false,
        display_name: "".into(),
        conditions: None,
        extensions: Extensions::default(),
    }
}

fn api() -> Api {
    let prefix = Prefix::parse("kv").unwrap();
    Api {
        id: API,
        name: Label::parse("shop").unwrap(),
        mark: Mark::parse("aa").unwrap(),
        prefix,
        prefixes: Ascending::of([prefix]),
        reaction: Reaction::Alert,
        usage_keys: Ascending::default(),
        issuers: Ascending::default(),
        verifiers: Ascending::default(),
        extensions: Extensions::default(),
    }
}

/// Issues them in the vault of this home.
pub(crate) fn issue_in(home: &Path, passphrase: &str) {
    let state = home.join(".local/state/keyvault");
    let pins = Pins::in_folder(state.join("pins"));
    let mut vault = Vault::open(&home.join(".local/share/keyvault/vault.db"), &pins).unwrap();
    let passphrase = Passphrase::new(&SecretBytes::copy_from(passphrase.as_bytes())).unwrap();
    let access = vault.open_passphrase(&passphrase).unwrap();
    let own = Holder { command: "bench".to_owned(), pid: std::process::id() };
    let world = World {
        clock: &SystemClock,
        rng: &SystemRng,
        actor: Actor::default(),
        pins,
        holders: Holders::in_folder(state, own),
        notices: Notices::told_by(&|_| ()),
        waiting: &|_, _| (),
    };
    issued::create_api(&mut vault, &access, &world, &api()).unwrap();
    let put = || Content { keys: (0..KEYS).map(key).collect(), ..Content::default() };
    issued::change_api(&mut vault, &access, &world, &API, |_| {
        Ok(Changes { put: put(), removed: Vec::new() })
    })
    .unwrap();
}
