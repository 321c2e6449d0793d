//! An API with a set of the owner's, a portal's set, and a gate that holds keys: changed as the programs change them, and
//! loaded as a verifier loads them.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]
#![allow(
    clippy::unnecessary_wraps,
    clippy::needless_pass_by_value,
    reason = "records have it so, and tests read better"
)]

use std::collections::BTreeMap;

use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{SealingKey, SigningKey, SystemRng};
use keyvault_core::identity::Identity;
use keyvault_core::name::{Label, Scope};
use keyvault_issue::hold::{HoldLog, Ledger, Notice, Reason, Seen};
use keyvault_issue::issuer::accept;
use keyvault_issue::record::{
    Api, Ascending, Bounds, Client, Conditions, Environment, HoldPoint, Id, IssuerEntry, IssuerState,
    KeyRecord, Limit, Mark, Meaning, Note, Period, Prefix, Proof, Quota, Reaction, State, VerifierEntry,
    VerifierState, Word,
};
use keyvault_issue::set::{
    Changes, Content, Draft, List, Listed, LoadedSet, Origin, PageKeys, SealedPage, SetError, SignedHeader,
    SignerKind, VerifiedHeader, VerifiedList, Written,
};
use keyvault_issue::standing::Sets;

pub const IDENTITY: Identity = Identity { vault_id: [1; 16], epoch: 1 };
pub const API: [u8; 16] = [2; 16];
pub const OWNERS: [u8; 16] = [3; 16];
pub const PORTALS: [u8; 16] = [4; 16];
pub const GATE: [u8; 16] = [5; 16];
pub const NOW: Moment = Moment(1_800_000_000_000);
pub const DAY: i64 = 86_400_000;

type Rows = BTreeMap<(u8, u32), SealedPage<'static>>;

pub struct Shop {
    number: u64,
    owner: (LoadedSet, Rows),
    portal: (LoadedSet, Rows),
    list: VerifiedList,
    rows: Vec<Vec<u8>>,
    point: HoldPoint,
}

pub fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn signing(byte: u8) -> SigningKey {
    SigningKey::of_seed(SealingKey::from_bytes(&[byte; 32]).unwrap())
}

fn api_key() -> SealingKey {
    SealingKey::from_bytes(&[6; 32]).unwrap()
}

fn page_keys(set: &[u8; 16]) -> PageKeys {
    PageKeys::of_api(&api_key(), set)
}

/// An id of the owner's set.
pub fn id(number: u64) -> Id {
    Id::of_number(Mark::parse("aa").unwrap(), number).unwrap()
}

/// An id of the portal's set.
pub fn portals_id(number: u64) -> Id {
    Id::of_number(Mark::parse("bb").unwrap(), number).unwrap()
}

/// The secret of the key with an id: not a good one.
pub fn secret(id: Id) -> [u8; 43] {
    let mut secret = [b'0'; 43];
    secret[..12].copy_from_slice(id.as_bytes());
    secret
}

/// The text of a key with an id.
pub fn text(id: Id) -> Vec<u8> {
    text_with("kv", "live", id, &secret(id))
}

pub fn text_with(prefix: &str, environment: &str, id: Id, secret: &[u8; 43]) -> Vec<u8> {
    let secret = std::str::from_utf8(secret).unwrap();
    let body = format!("{prefix}_{environment}_{id}_{secret}");
    let checksum = keyvault_core::recipe::base62::<6>(u128::from(crc32(body.as_bytes())));
    [body.as_bytes(), &checksum].concat()
}

/// Bit by bit, from the definition.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

pub fn key(id: Id) -> KeyRecord {
    KeyRecord {
        id,
        state: State::Active,
        proof: Proof::of_own(&id, &secret(id)),
        environment: Environment::Live,
        prefix: Prefix::parse("kv").unwrap(),
        client: None,
        roles: Ascending::default(),
        scopes: Ascending::of([1]),
        created: Moment(0),
        not_before: None,
        expires: Some(NOW.plus_millis(30 * DAY)),
        replaced: None,
        decoy: false,
        display_name: "".into(),
        conditions: None,
        extensions: Extensions::default(),
    }
}

pub fn client(id: Id) -> Client {
    Client {
        id,
        state: State::Active,
        name: label("acme"),
        contact: "".into(),
        created: Moment(0),
        conditions: None,
        extensions: Extensions::default(),
    }
}

pub fn disabled() -> State {
    State::Disabled(Box::new(Note { since: Moment(0), reason: "asked".into() }))
}

pub fn revoked() -> State {
    State::Revoked(Box::new(Note { since: Moment(0), reason: "asked".into() }))
}

pub fn limit(name: &str, count: u32, per: u64, burst: u32) -> Limit {
    Limit { name: label(name), count, per, burst, cost: 1 }
}

pub fn limits(limits: impl IntoIterator<Item = Limit>) -> Option<Box<Conditions>> {
    Some(Box::new(Conditions { limits: Ascending::of(limits), ..Conditions::default() }))
}

pub fn quota(period: Period, amount: u64) -> Option<Box<Conditions>> {
    let quotas = Ascending::of([Quota { period, amount }]);
    Some(Box::new(Conditions { quotas, ..Conditions::default() }))
}

pub fn scope_word(number: u32, name: &str) -> Word {
    Word { number, meaning: Meaning::Scope(Scope::parse(name).unwrap()), extensions: Extensions::default() }
}

pub fn role_word(number: u32, name: &str, scopes: &[u32]) -> Word {
    let scopes = Ascending::of(scopes.iter().copied());
    Word { number, meaning: Meaning::Role(label(name), scopes), extensions: Extensions::default() }
}

pub fn bounds() -> Bounds {
    Bounds {
        scopes: Ascending::of([1, 2]),
        roles: Ascending::of([10]),
        longest_life: 90 * DAY.unsigned_abs(),
        keys: 1000,
        clients: 100,
        owners_clients: Ascending::of([id(900)]),
        ..Bounds::default()
    }
}

pub fn issuer(bounds: Bounds, state: IssuerState) -> IssuerEntry {
    IssuerEntry {
        set: PORTALS,
        mark: Mark::parse("bb").unwrap(),
        name: label("portal"),
        signer: signing(8).signer(),
        state,
        ends: None,
        bounds,
        extensions: Extensions::default(),
    }
}

pub fn api(issuer: Option<IssuerEntry>) -> Api {
    let prefix = Prefix::parse("kv").unwrap();
    Api {
        id: API,
        name: label("shop"),
        mark: Mark::parse("aa").unwrap(),
        prefix,
        prefixes: Ascending::of([prefix]),
        reaction: Reaction::Alert,
        usage_keys: Ascending::default(),
        issuers: Ascending::of(issuer),
        verifiers: Ascending::of([VerifierEntry {
            id: GATE,
            name: label("gate"),
            signer: signing(9).signer(),
            epoch: 1,
            state: VerifierState::Writes,
            seen: HoldPoint::default(),
            settled: 0,
            lifted: Ascending::default(),
            extensions: Extensions::default(),
        }]),
        extensions: Extensions::default(),
    }
}

/// Scopes 1 to 3, and role 10 of scopes 2 and 3.
pub fn words() -> Vec<Word> {
    vec![
        scope_word(1, "orders:read"),
        scope_word(2, "orders:write"),
        scope_word(3, "stock:read"),
        role_word(10, "clerk", &[2, 3]),
    ]
}

fn draft(set: [u8; 16], number: u64, signer: SignerKind) -> Draft {
    Draft {
        identity: IDENTITY,
        api: API,
        set,
        number,
        time: Moment(0),
        fresh_until: None,
        signer,
        extensions: Extensions::default(),
    }
}

fn verified(header: &SignedHeader) -> (VerifiedList, VerifiedHeader) {
    let number = header.unverified().unwrap().number;
    let listed = Listed { set: OWNERS, number, header: header.hash() };
    let list = List(Ascending::of([listed])).encode();
    let origin = Origin { identity: IDENTITY, owner: signing(7).signer() };
    let list = VerifiedList::verify(&list, &List::hash(&list), origin).unwrap();
    let header = VerifiedHeader::of_owner(&list, &API, header).unwrap();
    (list, header)
}

fn keep(rows: &mut Rows, written: &Written) {
    for kind in &written.replaced {
        rows.retain(|(known, _), _| *known != *kind as u8);
    }
    for page in &written.pages {
        rows.insert((page.kind, page.page), page.clone());
    }
}

/// The next generation of a set: by the pages that changed if that leads there, else whole.
fn next(
    before: &LoadedSet,
    header: VerifiedHeader,
    set: &[u8; 16],
    written: &Written,
    rows: &Rows,
) -> LoadedSet {
    let whole = || LoadedSet::load(header.clone(), &page_keys(set), rows.values().cloned()).unwrap();
    match before.follow(header.clone(), &page_keys(set), written.pages.iter().cloned()) {
        Ok(set) => set,
        Err(SetError::LoadWhole) => whole(),
        Err(error) => panic!("{error}"),
    }
}

impl Shop {
    /// With the owner's keys, clients, and words, and the portal's keys.
    pub fn new(owners: Content, portals: Content) -> Self {
        let api = owners.api.or_else(|| Some(api(Some(issuer(bounds(), IssuerState::InForce)))));
        let owners = Content { api, ..owners };
        let written =
            owners.write(&draft(OWNERS, 1, SignerKind::Epoch), &page_keys(&OWNERS), &signing(7), &SystemRng);
        let written = written.unwrap();
        let (list, header) = verified(&written.header);
        let mut rows = Rows::new();
        keep(&mut rows, &written);
        let owner = LoadedSet::load(header, &page_keys(&OWNERS), rows.values().cloned()).unwrap();
        let by = SignerKind::Issuer;
        let written =
            portals.write(&draft(PORTALS, 1, by), &page_keys(&PORTALS), &signing(8), &SystemRng).unwrap();
        let mut portals_rows = Rows::new();
        keep(&mut portals_rows, &written);
        let header = accept(&list, &owner, &written.header, None, NOW).unwrap();
        let portal = LoadedSet::load(header, &page_keys(&PORTALS), portals_rows.values().cloned()).unwrap();
        Self {
            number: 1,
            owner: (owner, rows),
            portal: (portal, portals_rows),
            list,
            rows: Vec::new(),
            point: HoldPoint::default(),
        }
    }

    pub fn of_keys(keys: impl IntoIterator<Item = KeyRecord>) -> Self {
        let content = Content { words: words(), keys: keys.into_iter().collect(), ..Content::default() };
        Self::new(content, Content::default())
    }

    pub fn change(&mut self, changes: &Changes) {
        self.number += 1;
        let draft = draft(OWNERS, self.number, SignerKind::Epoch);
        let (set, rows) = &mut self.owner;
        let written = set.change(&draft, changes, &page_keys(&OWNERS), &signing(7), &SystemRng).unwrap();
        keep(rows, &written);
        let (list, header) = verified(&written.header);
        *set = next(set, header, &OWNERS, &written, rows);
        self.list = list;
    }

    pub fn change_portals(&mut self, changes: &Changes) {
        self.number += 1;
        let draft = draft(PORTALS, self.number, SignerKind::Issuer);
        let (set, rows) = &mut self.portal;
        let written = set.change(&draft, changes, &page_keys(&PORTALS), &signing(8), &SystemRng).unwrap();
        keep(rows, &written);
        let header = accept(&self.list, &self.owner.0, &written.header, None, NOW).unwrap();
        *set = next(set, header, &PORTALS, &written, rows);
    }

    /// Puts a record of the owner's or the portal's.
    pub fn put(&mut self, key: KeyRecord) {
        let mut changes = Changes::default();
        let is_owners = key.id.mark() == id(0).mark();
        changes.put.keys.push(key);
        if is_owners {
            self.change(&changes);
        } else {
            self.change_portals(&changes);
        }
    }

    pub fn put_client(&mut self, client: Client) {
        let mut changes = Changes::default();
        changes.put.clients.push(client);
        self.change(&changes);
    }

    pub fn hold(&mut self, id: Id) {
        let key = api_key();
        let ledger = Ledger { identity: IDENTITY, api: API, verifier: GATE, api_key: &key };
        let notice = Notice { id, time: NOW, reason: Reason::Asked, detail: "" };
        let (row, point) =
            ledger.append(&self.point, &notice, (&signing(9), ledger.identity.epoch), &SystemRng).unwrap();
        self.rows.push(row);
        self.point = point;
    }

    /// As a verifier has them that keeps everything.
    pub fn sets(&self) -> Sets {
        self.joined(self.owner.0.clone(), self.portal.0.clone())
    }

    /// As a verifier has them that keeps no records of keys.
    pub fn sets_without_keys(&self) -> Sets {
        self.joined(self.owner.0.clone().without_keys(), self.portal.0.clone().without_keys())
    }

    /// Keeps no records of keys any more.
    pub fn forget_keys(&mut self) {
        self.owner.0 = self.owner.0.clone().without_keys();
        self.portal.0 = self.portal.0.clone().without_keys();
    }

    pub fn without_portal(&self) -> Sets {
        let (owner, _) = &self.owner;
        Sets::join(&self.list, owner.clone(), Vec::new(), Vec::new(), NOW).0
    }

    fn joined(&self, owner: LoadedSet, portal: LoadedSet) -> Sets {
        let api = owner.api().unwrap();
        let verifier = api.verifiers.iter().next().unwrap();
        let rows = self.rows.iter().map(Vec::as_slice);
        let log = HoldLog::read(api, verifier, &api_key(), &IDENTITY, rows, &Seen::default());
        assert!(log.findings().is_empty());
        let (sets, _) = Sets::join(&self.list, owner, vec![portal], vec![log], NOW);
        sets
    }
}
