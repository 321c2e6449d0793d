//! An owner: a vault with an API, its keys, and a verifier's token.

use std::path::{Path, PathBuf};

use keyvault_core::clock::{Clock, Moment, SystemClock};
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{Cost, SystemRng};
use keyvault_core::name::{Label, Scope, TokenName};
use keyvault_core::secret::SecretBytes;
use keyvault_issue::ApiId;
use keyvault_issue::record::{
    Api, Ascending, Client, Conditions, Environment, Id, KeyRecord, Limit, Mark, Meaning, Note, Prefix,
    Reaction, State, Word,
};
use keyvault_issue::set::Changes;
use keyvault_issue::text::mint;
use keyvault_vault::audit::Actor;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::{
    Access, Creation, Holder, Holders, NewToken, Notices, Vault, World as VaultWorld, file, issued, token,
};

const API: ApiId = [2; 16];
/// The scopes of the API, by their numbers.
const SCOPES: [&str; 2] = ["orders:read", "orders:write"];

pub(crate) struct Owner {
    pub(crate) folder: tempfile::TempDir,
    vault: Vault,
    access: Access,
    keys: u32,
}

fn world(folder: &Path) -> VaultWorld<'static> {
    VaultWorld {
        clock: &SystemClock,
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

impl Owner {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let passphrase = Passphrase::new(&SecretBytes::copy_from(b"correct horse battery staple")).unwrap();
        let creation = Creation { passphrase: &passphrase, cost: Cost::FLOOR, recovery: None };
        let path = folder.path().join("vault.db");
        file::create(&path, &creation, &world).unwrap();
        let mut vault = Vault::open(&path, &world.pins).unwrap();
        let access = vault.open_passphrase(&passphrase).unwrap();
        let prefix = Prefix::parse("kv").unwrap();
        let api = Api {
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
        };
        issued::create_api(&mut vault, &access, &world, &api).unwrap();
        let new = NewToken {
            name: TokenName::parse("gateway").unwrap(),
            scopes: Vec::new(),
            keys: Vec::new(),
            expires: None,
        };
        let made = token::create_verifier(&mut vault, &access, &world, &new, &[API]).unwrap();
        std::fs::write(folder.path().join("token"), made.token.text().expose()).unwrap();
        let mut owner = Self { folder, vault, access, keys: 0 };
        owner.change(|changes| {
            for (number, scope) in (1..).zip(SCOPES) {
                let meaning = Meaning::Scope(Scope::parse(scope).unwrap());
                changes.put.words.push(Word { number, meaning, extensions: Extensions::default() });
            }
            changes.put.clients.push(Client {
                id: Id::parse("aaclient0001").unwrap(),
                state: State::Active,
                name: Label::parse("acme").unwrap(),
                contact: "".into(),
                created: Moment(0),
                conditions: None,
                extensions: Extensions::default(),
            });
        });
        owner
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("vault.db")
    }

    fn change(&mut self, make: impl Fn(&mut Changes)) {
        let world = world(self.folder.path());
        issued::change_api(&mut self.vault, &self.access, &world, &API, |_| {
            let mut changes = Changes::default();
            make(&mut changes);
            Ok(changes)
        })
        .unwrap();
    }

    /// Issues a key with scopes by their numbers, and at most so many requests in an hour.
    pub(crate) fn issue(&mut self, scopes: &[u32], an_hour: Option<u32>) -> (String, KeyRecord) {
        self.keys += 1;
        let id = Id::parse(&format!("aa{:010}", self.keys)).unwrap();
        let prefix = Prefix::parse("kv").unwrap();
        let minted = mint(&prefix, Environment::Live, id, &SystemRng).unwrap();
        let limits = an_hour.map(|count| Limit {
            name: Label::parse("requests").unwrap(),
            count,
            per: 3_600_000,
            burst: count,
            cost: 1,
        });
        let conditions = Conditions { limits: Ascending::of(limits), ..Conditions::default() };
        let record = KeyRecord {
            id,
            state: State::Active,
            proof: minted.proof,
            environment: Environment::Live,
            prefix,
            client: Id::parse("aaclient0001"),
            roles: Ascending::default(),
            scopes: Ascending::of(scopes.iter().copied()),
            created: SystemClock.now(),
            not_before: None,
            expires: None,
            replaced: None,
            decoy: false,
            display_name: "".into(),
            conditions: an_hour.map(|_| Box::new(conditions)),
            extensions: Extensions::default(),
        };
        self.change(|changes| changes.put.keys.push(record.clone()));
        (String::from_utf8(minted.text.expose().to_vec()).unwrap(), record)
    }

    pub(crate) fn revoke(&mut self, record: &KeyRecord) {
        let note = Note { since: SystemClock.now(), reason: "leaked".into() };
        let revoked = KeyRecord { state: State::Revoked(Box::new(note)), ..record.clone() };
        self.change(|changes| changes.put.keys.push(revoked.clone()));
    }

    /// A configuration for this vault.
    pub(crate) fn config(&self, upstream: std::net::SocketAddr, further: &str) -> String {
        let folder = self.folder.path().display().to_string();
        crate::harness::config(upstream, further)
            .replace("\"/v\"", &format!("\"{folder}/vault.db\""))
            .replace("\"/t\"", &format!("\"{folder}/token\""))
            .replace("\"/s\"", &format!("\"{folder}/state\""))
    }
}
