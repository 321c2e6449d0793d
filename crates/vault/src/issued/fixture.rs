//! A vault with an owner's set, for tests.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use keyvault_core::clock::{Clock, Moment};
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{Cost, SystemRng};
use keyvault_core::name::{Label, TokenName};
use keyvault_core::secret::SecretBytes;
use keyvault_issue::record::{
    Api, Ascending, Bounds, Environment, Id, KeyRecord, Mark, Note, Prefix, Proof, Reaction, State,
};
use keyvault_issue::set::{Content, Draft, SignerKind};
use keyvault_issue::{ApiId, SetId};

use super::{keys_of, put};
use crate::audit::{Action, Actor};
use crate::file::open::World;
use crate::state::pin::Pins;
use crate::unlock::passphrase::Passphrase;
use crate::{Access, Creation, Holder, Holders, Issued, NewIssuer, NewToken, Notices, Vault, file, token};

pub(crate) const SET: SetId = [3; 16];
pub(crate) const API: ApiId = [2; 16];

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Moment {
        Moment(1_800_000_000_000)
    }
}

pub(crate) fn world(folder: &std::path::Path) -> World<'static> {
    World {
        clock: &Noon,
        rng: &SystemRng,
        actor: Actor {
            user: "ada".to_owned(),
            host: "engine".to_owned(),
            pid: 1,
            program: "bash".to_owned(),
            terminal: None,
            job: None,
        },
        pins: Pins::in_folder(folder.join("pins")),
        holders: Holders::in_folder("/dev/null".into(), Holder { command: String::new(), pid: 0 }),
        notices: Notices::told_by(&|_| ()),
        waiting: &|_, _| (),
    }
}

pub(crate) fn key(state: State) -> KeyRecord {
    let id = Id::parse("aa0000000001").unwrap();
    KeyRecord {
        id,
        state,
        proof: Proof::of_own(&id, b"secret"),
        environment: Environment::Live,
        prefix: Prefix::parse("kv").unwrap(),
        client: None,
        roles: Ascending::default(),
        scopes: Ascending::default(),
        created: Moment(0),
        not_before: None,
        expires: None,
        replaced: None,
        decoy: false,
        display_name: "".into(),
        conditions: None,
        extensions: Extensions::default(),
    }
}

pub(crate) fn revoked() -> State {
    State::Revoked(Box::new(Note { since: Moment(1), reason: "leaked".into() }))
}

pub(crate) fn api() -> Api {
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

pub(crate) fn issue(vault: &mut Vault, access: &Access, world: &World<'_>) {
    vault
        .change(access, world, |tx| {
            let content = Content { api: Some(api()), keys: vec![key(State::Active)], ..Content::default() };
            let draft = Draft {
                identity: tx.identity,
                api: API,
                set: SET,
                number: tx.next_change(),
                time: world.now(),
                fresh_until: None,
                signer: SignerKind::Epoch,
                extensions: Extensions::default(),
            };
            let keys = keys_of(&tx.daily.issued, &API, &SET);
            let written = content.write(&draft, &keys, &tx.daily.signing, world.rng).unwrap();
            put(tx, &SET, &written)?;
            Ok(((), world.event(Action::Edit, Vec::new(), String::new())))
        })
        .unwrap();
}

pub(crate) fn token_name(text: &str) -> TokenName {
    TokenName::parse(text).unwrap()
}

/// The token `gateway` of a verifier.
pub(crate) fn verifier(vault: &mut Vault, access: &Access, world: &World<'_>) -> Issued {
    let new = NewToken { name: token_name("gateway"), scopes: Vec::new(), keys: Vec::new(), expires: None };
    token::create_verifier(vault, access, world, &new, &[API]).unwrap()
}

/// The token `portal` of an issuer of at most ten keys that live at most a day.
pub(crate) fn issuer(vault: &mut Vault, access: &Access, world: &World<'_>) -> Issued {
    let new = NewIssuer {
        name: token_name("portal"),
        api: API,
        mark: Mark::parse("bb").unwrap(),
        bounds: Bounds { longest_life: 86_400_000, keys: 10, ..Bounds::default() },
        expires: Some(Moment(i64::MAX)),
    };
    token::create_issuer(vault, access, world, &new).unwrap()
}

pub(crate) fn passphrase() -> Passphrase {
    Passphrase::new(&SecretBytes::copy_from(b"correct horse battery staple")).unwrap()
}

/// A vault that has an owner's set with one key.
pub(crate) fn vault(world: &World<'_>) -> (Vault, Access) {
    let passphrase = passphrase();
    let creation = Creation { passphrase: &passphrase, cost: Cost::FLOOR, recovery: None };
    let mut vault = file::create_in_memory(&creation, world).unwrap();
    let access = vault.open_passphrase(&passphrase).unwrap();
    issue(&mut vault, &access, world);
    (vault, access)
}
