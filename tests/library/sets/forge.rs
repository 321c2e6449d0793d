//! A second writer of docs/FORMAT.md §13: it holds everybody's keys, and pages, signs, and lists whatever it is told to.

use std::collections::BTreeMap;

use borsh::BorshSerialize;
use keyvault_core::clock::{Moment, Rng, RngError};
use keyvault_core::codec::{self, encode};
use keyvault_core::crypto::{self, SealingKey, Signed, Signer, SigningKey, sha256};
use keyvault_core::identity::{Identity, Place};
use keyvault_issue::record::Api;
use serde_json::{Value, json};

pub(crate) const IDENTITY: Identity = Identity { vault_id: *b"0123456789abcdef", epoch: 2 };
pub(crate) const API: [u8; 16] = *b"shop-api-0000001";
pub(crate) const OWNERS: [u8; 16] = *b"owners-set-00001";
pub(crate) const PORTALS: [u8; 16] = *b"portal-set-00001";
pub(crate) const GATE: [u8; 16] = *b"gate-token-00001";

/// The pairs of those who sign.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Owner,
    Portal,
    Gate,
    Stranger,
}

impl Who {
    pub(crate) fn signing(self) -> SigningKey {
        SigningKey::of_seed(SealingKey::from_bytes(&[40 + self as u8; 32]).unwrap())
    }

    pub(crate) fn signer(self) -> Signer {
        self.signing().signer()
    }
}

/// The random bytes of a seal: they follow from what is sealed, so that what did not change is sealed alike.
struct Derived(Vec<u8>);

impl Rng for Derived {
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
        target.copy_from_slice(&sha256(&self.0)[..target.len()]);
        Ok(())
    }
}

fn key(bytes: [u8; 32]) -> SealingKey {
    SealingKey::from_bytes(&bytes).unwrap()
}

fn issued_key() -> SealingKey {
    key([7; 32]).derive("keyvault daily issued keys", &IDENTITY.whole())
}

pub(crate) fn api_key() -> SealingKey {
    issued_key().derive("keyvault api", &API)
}

pub(crate) fn names_key() -> SealingKey {
    issued_key().derive("keyvault set names", &OWNERS)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// `x` behind its length.
fn bytes(x: &[u8]) -> Vec<u8> {
    encode(x)
}

fn seal(key: &SealingKey, label: &str, table: &str, row: &[u8], plain: &[u8]) -> Vec<u8> {
    let place = Place { table, row, version: 0, field: "sealed", revision: 0, bound: &[] };
    let context = IDENTITY.context(&place);
    let padded = codec::pad(plain).unwrap();
    let rng = Derived([&context[..], plain].concat());
    crypto::seal(key, label, &context, padded.expose(), &rng).unwrap()
}

/// Records of one kind, each on a page.
#[derive(Clone, Default)]
pub(crate) struct Kind {
    pub(crate) pages: u32,
    pub(crate) records: Vec<(u32, Vec<u8>)>,
}

impl Kind {
    pub(crate) fn of(pages: u32) -> Self {
        Self { pages, records: Vec::new() }
    }

    /// Puts a record on the page of its place. Records are put in the order of their keys.
    pub(crate) fn put(&mut self, place: u64, record: &impl BorshSerialize) -> &mut Self {
        let page = u32::try_from(place % u64::from(self.pages)).unwrap();
        self.records.push((page, encode(record)));
        self
    }
}

/// A set before it is sealed.
#[derive(Clone)]
pub(crate) struct Set {
    pub(crate) id: [u8; 16],
    pub(crate) identity: Identity,
    pub(crate) api: [u8; 16],
    pub(crate) number: u64,
    pub(crate) kinds: BTreeMap<u8, Kind>,
    pub(crate) time: i64,
    pub(crate) fresh_until: Option<i64>,
    pub(crate) signer: (u8, Who),
    pub(crate) extensions: BTreeMap<u16, Vec<u8>>,
    /// Pages and records of a kind that the header claims instead of those that there are.
    pub(crate) claims: BTreeMap<u8, (u32, u32)>,
    /// Bytes behind the records of each page of a kind.
    pub(crate) behind: BTreeMap<u8, Vec<u8>>,
}

impl Set {
    fn pages(&self) -> Vec<(u8, u32, Vec<u8>)> {
        let mut pages = Vec::new();
        for (kind, content) in &self.kinds {
            let key = match kind {
                6 => issued_key().derive("keyvault set names", &self.id),
                kind => api_key().derive("keyvault set", &[&self.id[..], &[*kind]].concat()),
            };
            for page in 0..content.pages {
                let records: Vec<_> =
                    content.records.iter().filter(|(at, _)| *at == page).map(|(_, record)| record).collect();
                let row = [&self.id[..], &[*kind], &page.to_le_bytes()].concat();
                let behind = self.behind.get(kind).map(Vec::as_slice).unwrap_or_default();
                let content = [&encode(&records), behind].concat();
                let sealed = seal(&key, "keyvault set page", "issued_page", &row, &content);
                pages.push((*kind, page, sealed));
            }
        }
        pages
    }

    fn top(&self, kind: u8, pages: &[(u8, u32, Vec<u8>)]) -> [u8; 32] {
        let of_kind = pages.iter().filter(|page| page.0 == kind);
        let mut hashes: Vec<[u8; 32]> = of_kind
            .map(|(kind, page, sealed)| {
                let parts = [b"keyvault set page", &self.id[..], &[*kind], &page.to_le_bytes(), sealed];
                sha256(&parts.concat())
            })
            .collect();
        let mut level = 0_u8;
        while hashes.len() > 1 {
            level += 1;
            let above = hashes.chunks(64).enumerate().map(|(place, below)| {
                let place = u32::try_from(place).unwrap().to_le_bytes();
                let below = below.concat();
                sha256(&[b"keyvault set node", &self.id[..], &[kind, level], &place, &below].concat())
            });
            hashes = above.collect();
        }
        hashes[0]
    }

    /// The rows of the set.
    pub(crate) fn build(&self) -> Value {
        let pages = self.pages();
        let tops: Vec<_> =
            self.kinds.iter().map(|(kind, of)| (*kind, of.pages, self.top(*kind, &pages))).collect();
        let kinds = tops.iter().filter(|(kind, ..)| *kind != 6);
        let kinds: Vec<_> =
            kinds.flat_map(|(kind, pages, top)| [&[*kind][..], &pages.to_le_bytes(), top].concat()).collect();
        let root = sha256(&[b"keyvault set root", &self.id[..], &kinds].concat());
        let names = tops.iter().find(|(kind, ..)| *kind == 6).map(|(_, _, top)| *top);
        let counts = self.kinds.iter().map(|(kind, of)| {
            let counted = (of.pages, u32::try_from(of.records.len()).unwrap());
            (*kind, self.claims.get(kind).copied().unwrap_or(counted))
        });
        let counts: BTreeMap<u8, (u32, u32)> = counts.collect();
        let (signer, who) = self.signer;
        let header = encode(&(
            (1_u32, self.identity, self.api, self.id, self.number),
            (root, names, counts, self.time, self.fresh_until),
            (signer, who.signer().id(), &self.extensions),
        ));
        let signature = who.signing().sign(Signed::SetHeader, &self.identity, &header);
        let rows = pages.iter().map(|(kind, page, sealed)| json!([kind, page, hex(sealed)]));
        json!({
            "set": hex(&self.id),
            "header": hex(&header),
            "signature": hex(&signature),
            "pages": rows.collect::<Vec<_>>(),
        })
    }
}

/// A hold before it is signed.
#[derive(Clone)]
pub(crate) struct Hold {
    pub(crate) id: &'static str,
    pub(crate) reason: u8,
    pub(crate) who: Who,
    pub(crate) fields: BTreeMap<u16, Vec<u8>>,
    /// The epoch in which it is signed.
    pub(crate) epoch: u32,
}

/// Rows of a log, and (count, head) behind each of them.
pub(crate) fn log(holds: &[Hold]) -> (Vec<String>, Vec<(u64, [u8; 32])>) {
    let mut points: Vec<(u64, [u8; 32])> = vec![(0, [0; 32])];
    let mut rows = Vec::new();
    let key = api_key().derive("keyvault holds", &GATE);
    for hold in holds {
        let (number, before) = *points.last().unwrap();
        let identity = Identity { epoch: hold.epoch, ..IDENTITY };
        let id: [u8; 12] = hold.id.as_bytes().try_into().unwrap();
        let text = encode(&(
            (1_u32, identity, API, GATE, number, before),
            (id, 5_i64, hold.reason, "", &hold.fields),
        ));
        let signature = hold.who.signing().sign(Signed::Hold, &identity, &text);
        let entry = [bytes(&text), bytes(&signature)].concat();
        let row = [&GATE[..], &number.to_le_bytes()].concat();
        rows.push(hex(&seal(&key, "keyvault hold", "issued_hold", &row, &entry)));
        points.push((number + 1, sha256(&entry)));
    }
    (rows, points)
}

/// The list of sets as rows have them, and its hash.
pub(crate) fn list(sets: &[&Value]) -> (String, String) {
    let unhex = |value: &Value| data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
    let entries: BTreeMap<[u8; 16], (u64, [u8; 32])> = sets
        .iter()
        .map(|set| {
            let (header, signature) = (unhex(&set["header"]), unhex(&set["signature"]));
            // Behind format, vault, epoch, API, and set.
            let number = u64::from_le_bytes(header[56..64].try_into().unwrap());
            let hash = sha256(&[bytes(&header), bytes(&signature)].concat());
            (unhex(&set["set"]).try_into().unwrap(), (number, hash))
        })
        .collect();
    let text = encode(&entries);
    (hex(&text), hex(&sha256(&text)))
}

/// Everything that a verifier finds, and its answers to which keys are asked for.
#[derive(Clone)]
pub(crate) struct Sets {
    pub(crate) now: i64,
    pub(crate) owner: Set,
    pub(crate) portal: Set,
    pub(crate) holds: Vec<Hold>,
    pub(crate) ask: Vec<&'static str>,
}

impl Sets {
    pub(crate) fn build(&self) -> Value {
        let (owner, portal) = (self.owner.build(), self.portal.build());
        let (list, bound) = list(&[&owner, &portal]);
        json!({
            "now": self.now,
            "vault": hex(&IDENTITY.vault_id),
            "epoch": IDENTITY.epoch,
            "owner": hex(&Who::Owner.signer().encode()),
            "api": hex(&API),
            "api_key": hex(api_key().expose()),
            "names_key": hex(names_key().expose()),
            "bound": bound,
            "list": list,
            "owners": owner,
            "issuers": [portal],
            "pins": {},
            "holds": { hex(&GATE): log(&self.holds).0 },
            "seen": {},
            "ask": self.ask,
        })
    }

    /// Rewrites the API's record.
    pub(crate) fn api(&mut self, change: impl FnOnce(&mut Api)) {
        let kind = self.owner.kinds.get_mut(&1).unwrap();
        let mut api: Api = codec::decode(&kind.records[0].1).unwrap();
        change(&mut api);
        kind.records[0].1 = encode(&api);
    }
}

/// A moment so many days after the vectors' now, or before.
pub(crate) fn day(days: i64) -> Moment {
    Moment(super::base::NOW + days * 86_400_000)
}

/// A row of a log, out of its place and sealed in another.
pub(crate) fn reseal_hold(key: &SealingKey, row: &str, from: u64, to: u64) -> String {
    let sealed = data_encoding::HEXLOWER.decode(row.as_bytes()).unwrap();
    let place = |number: u64| [&GATE[..], &number.to_le_bytes()].concat();
    let row = place(from);
    let at = Place { table: "issued_hold", row: &row, version: 0, field: "sealed", revision: 0, bound: &[] };
    let plain = crypto::open(key, "keyvault hold", &IDENTITY.context(&at), &sealed).unwrap();
    hex(&seal(key, "keyvault hold", "issued_hold", &place(to), codec::unpad(&plain).unwrap()))
}
