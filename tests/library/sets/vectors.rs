//! The vectors: each the shop with one thing about it that is different, and why.

use std::collections::BTreeMap;

use keyvault_core::codec::{self, encode};
use keyvault_core::crypto::{Signed, sha256};
use keyvault_core::identity::Identity;
use keyvault_core::name::Scope;
use keyvault_issue::hold::{Remembered, Seen};
use keyvault_issue::record::{
    Ascending, Client, Environment, HoldPoint, IssuerState, KeyRecord, Mark, Meaning, Override, Period,
    Prefix, Proof, Quota, State, VerifierState, Word,
};
use serde_json::{Value, json};

use super::base::{client, hold, id, key, kind_of, portals_key, put_all, shop};
use super::forge::{GATE, IDENTITY, PORTALS, Sets, Who, day, hex, list, log};

/// A vector: its name, the one reason for which something in it is refused (none if nothing is), and what was done.
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) comment: &'static str,
    pub(crate) value: Value,
}

pub(crate) fn all() -> Vec<Vector> {
    let mut all = Vec::new();
    right(&mut all);
    lists(&mut all);
    owners_header(&mut all);
    owners_pages(&mut all);
    owners_records(&mut all);
    issuers_header(&mut all);
    issuers_bounds(&mut all);
    issuers_records(&mut all);
    holds(&mut all);
    all
}

/// The shop after something was done before it was signed.
fn with(change: impl FnOnce(&mut Sets)) -> Value {
    let mut sets = shop();
    change(&mut sets);
    sets.build()
}

/// The shop after something was done to its rows.
fn after(change: impl FnOnce(&mut Value)) -> Value {
    let mut value = shop().build();
    change(&mut value);
    value
}

/// The shop as listed, with the portal's rows as it wrote them later.
fn later(change: impl FnOnce(&mut Sets)) -> Value {
    let newer = with(|sets| {
        sets.portal.number = 6;
        change(sets);
    });
    after(|value| value["issuers"] = newer["issuers"].clone())
}

/// The portal's keys, and these.
fn portals(keys: Vec<KeyRecord>) -> impl FnOnce(&mut Sets) {
    |sets| {
        let kind = sets.portal.kinds.get_mut(&4).unwrap();
        let old: Vec<KeyRecord> =
            kind.records.iter().map(|(_, record)| codec::decode(record).unwrap()).collect();
        let old = old.into_iter().filter(|old| keys.iter().all(|new| new.id != old.id)).collect::<Vec<_>>();
        *kind = kind_of(2, [old, keys].concat());
    }
}

/// A record of the owner's set after a change.
fn owners<T: keyvault_issue::record::Record>(
    at: usize,
    change: impl FnOnce(&mut T),
) -> impl FnOnce(&mut Sets) {
    move |sets| {
        let kind = sets.owner.kinds.get_mut(&(T::KIND as u8)).unwrap();
        let mut record: T = codec::decode(&kind.records[at].1).unwrap();
        change(&mut record);
        kind.records[at].1 = encode(&record);
    }
}

fn field(number: u16) -> codec::Extensions {
    codec::Extensions::default().with(number, vec![7])
}

fn unhex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn flip(value: &mut Value, at: usize) {
    let mut bytes = unhex(value);
    bytes[at] ^= 1;
    *value = json!(hex(&bytes));
}

/// Puts the list of these sets in the place of the one that is there.
fn relist(value: &mut Value) {
    let (list, bound) = list(&[&value["owners"], &value["issuers"][0]]);
    value["list"] = json!(list);
    value["bound"] = json!(bound);
}

/// The place of a page among a set's rows.
fn page(set: &Value, kind: u8, page: u32) -> usize {
    let rows = set["pages"].as_array().unwrap();
    rows.iter().position(|row| (&row[0], &row[1]) == (&json!(kind), &json!(page))).unwrap()
}

fn pin(number: u64, set: &Value) -> Value {
    let (header, signature) = (unhex(&set["header"]), unhex(&set["signature"]));
    json!({ hex(&PORTALS): [number, hex(&sha256(&encode(&(header, signature))))] })
}

/// A vector whose verifier has seen the portal's set of another.
fn pinned(mut value: Value, seen: &Value) -> Value {
    value["pins"] = pin(6, &seen["issuers"][0]);
    value
}

fn add(all: &mut Vec<Vector>, name: &'static str, reason: &'static str, comment: &'static str, value: Value) {
    all.push(Vector { name, reason, comment, value });
}

fn right(all: &mut Vec<Vector>) {
    add(all, "everything", "", "nothing is wrong", shop().build());
    add(
        all,
        "without-names",
        "",
        "a verifier without the key of names, and without their rows",
        after(|value| {
            value["names_key"] = Value::Null;
            value["owners"]["pages"].as_array_mut().unwrap().retain(|row| row[0] != 6);
        }),
    );
    add(
        all,
        "names-skipped",
        "",
        "rows of names, without their key",
        after(|value| value["names_key"] = Value::Null),
    );
    add(
        all,
        "fresh",
        "",
        "the header is fresh until later",
        with(|sets| sets.owner.fresh_until = Some(day(1).0)),
    );
    add(
        all,
        "not-fresh",
        "",
        "the header was fresh until now",
        with(|sets| sets.owner.fresh_until = Some(day(0).0)),
    );
    add(
        all,
        "portal-newer",
        "",
        "the portal has issued a key since the owner's last change",
        later(portals(vec![portals_key("bbKEY0000005")])),
    );
    add(
        all,
        "portal-owners-signature",
        "",
        "the owner signed the portal's set, as after a rekey",
        with(|sets| sets.portal.signer = (1, Who::Owner)),
    );
    add(
        all,
        "many-pages",
        "",
        "more than 64 pages of one kind, and so two levels of nodes",
        with(|sets| {
            let words = |number| Word {
                number,
                meaning: Meaning::Scope(Scope::parse("a").unwrap()),
                extensions: codec::Extensions::default(),
            };
            let kind = sets.owner.kinds.get_mut(&2).unwrap();
            *kind = kind_of(128, (200..265).map(words).collect());
            put_all(kind, super::base::words());
            kind.records.sort_by_key(|(_, record)| codec::decode::<Word>(record).unwrap().number);
        }),
    );
    add(
        all,
        "odd-fields",
        "",
        "odd fields in the owner's header, API, issuer's entry, key, client, override, and scope",
        with(|sets| {
            sets.owner.extensions.insert(3, vec![7]);
            sets.api(|api| api.extensions = field(3));
            entry(sets, |entry| entry.extensions = field(5));
            owners::<KeyRecord>(0, |key| key.extensions = field(1))(sets);
            owners::<Client>(0, |client| client.extensions = field(1))(sets);
            owners::<Override>(0, |word| word.extensions = field(1))(sets);
            owners::<Word>(0, |word| word.extensions = field(1))(sets);
        }),
    );
}

/// Changes the portal's entry in the API's record.
fn entry(sets: &mut Sets, change: impl FnOnce(&mut keyvault_issue::record::IssuerEntry)) {
    sets.api(|api| {
        let mut entries = api.issuers.to_vec();
        change(&mut entries[0]);
        api.issuers = Ascending::of(entries);
    });
}

/// Changes the gate's entry in the API's record.
fn gate(sets: &mut Sets, change: impl FnOnce(&mut keyvault_issue::record::VerifierEntry)) {
    sets.api(|api| {
        let mut entries = api.verifiers.to_vec();
        change(&mut entries[0]);
        api.verifiers = Ascending::of(entries);
    });
}

fn lists(all: &mut Vec<Vector>) {
    add(
        all,
        "list-bit",
        "list",
        "a bit of a number in the list is flipped",
        after(|value| flip(&mut value["list"], 20)),
    );
    add(
        all,
        "list-before",
        "list",
        "list, headers, and pages as they were before the owner's last change",
        after(|value| {
            let before = with(|sets| {
                sets.owner.number = 39;
                owners::<KeyRecord>(1, |key| key.state = State::Active)(sets);
            });
            value["list"] = before["list"].clone();
            value["owners"] = before["owners"].clone();
        }),
    );
    add(
        all,
        "list-order",
        "list-malformed",
        "the sets in the list do not ascend",
        after(|value| {
            let mut bytes = unhex(&value["list"]);
            bytes[4..].rotate_left(56);
            value["bound"] = json!(hex(&sha256(&bytes)));
            value["list"] = json!(hex(&bytes));
        }),
    );
    add(
        all,
        "list-cut",
        "list-malformed",
        "the list ends within its last entry",
        after(|value| {
            let mut bytes = unhex(&value["list"]);
            bytes.pop();
            value["bound"] = json!(hex(&sha256(&bytes)));
            value["list"] = json!(hex(&bytes));
        }),
    );
}

fn owners_header(all: &mut Vec<Vector>) {
    let before = with(|sets| {
        sets.owner.number = 39;
        owners::<KeyRecord>(0, |key| key.scopes = Ascending::of([1, 2, 3]))(sets);
    });
    add(
        all,
        "owner-before",
        "not-listed",
        "header and pages of the owner's set as they were before",
        after(|value| value["owners"] = before["owners"].clone()),
    );
    let other = with(owners::<KeyRecord>(0, |key| key.scopes = Ascending::of([1, 2, 3])));
    add(
        all,
        "owner-other",
        "not-listed",
        "another header of the owner's set with the listed number, signed by everyday keys",
        after(|value| value["owners"] = other["owners"].clone()),
    );
    add(
        all,
        "owner-unlisted",
        "not-listed",
        "the list lacks the owner's set",
        after(|value| {
            let (list, bound) = list(&[&value["issuers"][0]]);
            (value["list"], value["bound"]) = (json!(list), json!(bound));
        }),
    );
    add(
        all,
        "owner-other-epoch",
        "other-vault",
        "the header is of the epoch before",
        with(|sets| sets.owner.identity.epoch = 1),
    );
    add(
        all,
        "owner-other-vault",
        "other-vault",
        "the header is of another vault",
        with(|sets| sets.owner.identity = Identity { vault_id: [1; 16], ..IDENTITY }),
    );
    add(
        all,
        "owner-other-api",
        "other-api",
        "the header is of another API of the vault",
        with(|sets| sets.owner.api = *b"shop-api-0000002"),
    );
    add(
        all,
        "owner-signature-bit",
        "origin",
        "a bit of the signature is flipped, and the list binds that",
        after(|value| {
            flip(&mut value["owners"]["signature"], 30);
            relist(value);
        }),
    );
    add(
        all,
        "owner-by-portal",
        "origin",
        "the portal signs the owner's set, as itself",
        with(|sets| sets.owner.signer = (1, Who::Portal)),
    );
    add(
        all,
        "owner-as-issuer",
        "origin",
        "the portal signs the owner's set, as an issuer",
        with(|sets| sets.owner.signer = (3, Who::Portal)),
    );
    let resigned = |who: Who, kind: Signed| {
        after(|value| {
            let header = unhex(&value["owners"]["header"]);
            value["owners"]["signature"] = json!(hex(&who.signing().sign(kind, &IDENTITY, &header)));
            relist(value);
        })
    };
    add(
        all,
        "owner-by-gate",
        "origin",
        "the gate signs in the owner's name",
        resigned(Who::Gate, Signed::SetHeader),
    );
    add(
        all,
        "owner-as-bundle",
        "origin",
        "the owner signed the header as a bundle",
        resigned(Who::Owner, Signed::Bundle),
    );
    let altered = |change: &dyn Fn(&mut Vec<u8>)| {
        after(|value| {
            let mut header = unhex(&value["owners"]["header"]);
            change(&mut header);
            let signature = Who::Owner.signing().sign(Signed::SetHeader, &IDENTITY, &header);
            value["owners"]["signature"] = json!(hex(&signature));
            value["owners"]["header"] = json!(hex(&header));
            relist(value);
        })
    };
    add(
        all,
        "owner-signer-id",
        "origin",
        "the owner signed a header that names another signer",
        altered(&|header| {
            // Behind it are no extensions.
            let at = header.len() - 20;
            header[at] ^= 1;
        }),
    );
    add(
        all,
        "owner-header-cut",
        "header-malformed",
        "the header lacks its last byte",
        altered(&|header| header.truncate(header.len() - 1)),
    );
    add(
        all,
        "owner-header-more",
        "header-malformed",
        "the header has one more byte",
        altered(&|header| header.push(0)),
    );
    add(
        all,
        "owner-header-format",
        "header-malformed",
        "the header says format 2",
        altered(&|header| header[0] = 2),
    );
    add(
        all,
        "owner-header-even",
        "header-newer",
        "the header has an even field",
        with(|sets| drop(sets.owner.extensions.insert(2, vec![7]))),
    );
    add(
        all,
        "owner-number",
        "header-malformed",
        "the header has the number 2^62",
        with(|sets| sets.owner.number = 1 << 62),
    );
    add(
        all,
        "owner-number-last",
        "",
        "the header has the number 2^62 - 1",
        with(|sets| sets.owner.number = (1 << 62) - 1),
    );
    add(
        all,
        "owner-three-pages",
        "header-malformed",
        "the header says that there are three pages of keys",
        with(|sets| {
            sets.owner.claims.insert(4, (3, 12));
        }),
    );
    add(
        all,
        "owner-endless-pages",
        "header-malformed",
        "the header says that there are 2^20 pages of two clients",
        with(|sets| {
            sets.owner.claims.insert(3, (1 << 20, 2));
        }),
    );
    add(
        all,
        "owner-full-pages",
        "header-malformed",
        "the header says that there are 129 records on a page",
        with(|sets| {
            sets.owner.claims.insert(5, (1, 129));
        }),
    );
    add(
        all,
        "owner-no-api",
        "shape",
        "the owner's set has no page of the API",
        with(|sets| drop(sets.owner.kinds.remove(&1))),
    );
}

fn owners_pages(all: &mut Vec<Vector>) {
    let pages = |change: &dyn Fn(&mut Vec<Value>)| {
        after(|value| change(value["owners"]["pages"].as_array_mut().unwrap()))
    };
    let base = shop().build();
    let at = |kind, number| page(&base["owners"], kind, number);
    add(
        all,
        "page-gone",
        "page-missing",
        "a page of keys is not there",
        pages(&|rows| drop(rows.remove(at(4, 3)))),
    );
    add(
        all,
        "pages-cut",
        "page-missing",
        "the last page of names is not there",
        pages(&|rows| drop(rows.pop())),
    );
    add(
        all,
        "page-gone-overrides",
        "page-missing",
        "the page of overrides is not there",
        pages(&|rows| drop(rows.remove(at(5, 0)))),
    );
    add(
        all,
        "page-repeated",
        "page-missing",
        "a page of keys is there twice",
        pages(&|rows| rows.insert(at(4, 3), rows[at(4, 3)].clone())),
    );
    add(
        all,
        "page-more",
        "page-extra",
        "there is a further page of names",
        pages(&|rows| rows.push(json!([6, 2, rows[at(6, 1)][2]]))),
    );
    add(
        all,
        "pages-exchanged",
        "page-seal",
        "two pages of keys are exchanged",
        pages(&|rows| {
            let (left, right) = (rows[at(4, 1)][2].clone(), rows[at(4, 2)][2].clone());
            (rows[at(4, 1)][2], rows[at(4, 2)][2]) = (right, left);
        }),
    );
    add(
        all,
        "page-of-kind",
        "page-seal",
        "a page of clients stands for one of keys",
        pages(&|rows| rows[at(4, 0)][2] = rows[at(3, 0)][2].clone()),
    );
    add(
        all,
        "page-of-set",
        "page-seal",
        "a page of the portal's keys stands for one of the owner's",
        pages(&|rows| rows[at(4, 0)][2] = base["issuers"][0]["pages"][1][2].clone()),
    );
    add(
        all,
        "page-cut",
        "page-seal",
        "a page lacks its last byte",
        pages(&|rows| {
            let mut bytes = unhex(&rows[at(4, 5)][2]);
            bytes.pop();
            rows[at(4, 5)][2] = json!(hex(&bytes));
        }),
    );
    // Place, key, and seal are right: only the root tells.
    let replaced = |change: &dyn Fn(&mut Sets), kind: u8| {
        let other = with(|sets| change(sets));
        after(|value| {
            let rows = other["owners"]["pages"].as_array().unwrap();
            for (at, row) in rows.iter().enumerate().filter(|(_, row)| row[0] == kind) {
                value["owners"]["pages"][at] = row.clone();
            }
        })
    };
    add(
        all,
        "page-unrevoked",
        "root",
        "the gate seals a page on which the revoked key is active",
        replaced(
            &|sets| {
                owners::<KeyRecord>(1, |key| (key.state, key.proof) = (State::Active, Proof::Own([1; 32])))(
                    sets,
                )
            },
            4,
        ),
    );
    add(
        all,
        "page-widened",
        "root",
        "the gate seals a page on which a key has one more scope",
        replaced(&|sets| owners::<KeyRecord>(0, |key| key.scopes = Ascending::of([1, 2, 3]))(sets), 4),
    );
    add(
        all,
        "page-minted",
        "root",
        "the gate seals a page on which a key has another hash",
        replaced(&|sets| owners::<KeyRecord>(8, |key| key.proof = Proof::Own([1; 32]))(sets), 4),
    );
    add(
        all,
        "page-bounds-widened",
        "root",
        "the gate seals a page of the API with wider bounds",
        replaced(&|sets| entry(sets, |entry| entry.bounds.scopes = Ascending::of([1, 2, 3])), 1),
    );
    add(
        all,
        "page-override-lost",
        "root",
        "the gate seals a page of overrides with another id",
        replaced(&|sets| owners::<Override>(0, |word| word.id = id("bbKEY0000009"))(sets), 5),
    );
    add(
        all,
        "page-of-names",
        "names-root",
        "a page of names as it was before",
        replaced(
            &|sets| owners::<keyvault_issue::record::NamedKey>(0, |named| named.note = "before".into())(sets),
            6,
        ),
    );
}

fn owners_records(all: &mut Vec<Vector>) {
    let keys =
        |change: &dyn Fn(&mut super::forge::Kind)| with(|sets| change(sets.owner.kinds.get_mut(&4).unwrap()));
    add(
        all,
        "record-twice",
        "page-malformed",
        "a key is there twice",
        keys(&|kind| kind.records.insert(0, kind.records[0].clone())),
    );
    add(
        all,
        "records-order",
        "page-malformed",
        "two scopes on a page do not ascend",
        with(|sets| sets.owner.kinds.get_mut(&2).unwrap().records.swap(0, 2)),
    );
    add(
        all,
        "record-page",
        "page-malformed",
        "a key is on the page of another",
        keys(&|kind| kind.records[0].0 = (kind.records[0].0 + 1) % 8),
    );
    add(
        all,
        "record-mark",
        "page-malformed",
        "a key of the owner's set has the portal's mark",
        keys(&|kind| {
            kind.put(id("bbKEY0000009").number(), &key("bbKEY0000009"));
        }),
    );
    add(
        all,
        "record-proof",
        "page-malformed",
        "a key has a proof of a kind that there is not",
        keys(&|kind| {
            let at = kind.records.iter().position(|(_, record)| record.starts_with(b"aaKEY0000009")).unwrap();
            kind.records[at].1[13] = 9;
        }),
    );
    add(
        all,
        "record-without-proof",
        "page-malformed",
        "an active key has no hash",
        with(owners::<KeyRecord>(1, |key| key.state = State::Active)),
    );
    add(
        all,
        "record-scopes-order",
        "page-malformed",
        "the scopes of a role do not ascend",
        with(|sets| {
            let kind = sets.owner.kinds.get_mut(&2).unwrap();
            let at = kind.records.iter().position(|(_, record)| record.starts_with(&[10, 0, 0, 0])).unwrap();
            let len = kind.records[at].1.len();
            // Two numbers and an empty list stand at the end.
            kind.records[at].1[len - 12..len - 4].rotate_left(4);
        }),
    );
    add(
        all,
        "records-129",
        "page-malformed",
        "129 scopes on a page",
        with(|sets| {
            let word = |number: u32| Word {
                number: number * 2,
                meaning: Meaning::Scope(Scope::parse("a").unwrap()),
                extensions: codec::Extensions::default(),
            };
            *sets.owner.kinds.get_mut(&2).unwrap() = kind_of(2, (0..129).map(word).collect());
        }),
    );
    add(
        all,
        "page-more-content",
        "page-malformed",
        "a byte is behind the last record of a page",
        with(|sets| drop(sets.owner.behind.insert(5, vec![0]))),
    );
    add(
        all,
        "records-fewer",
        "count",
        "there is one key less than the header says",
        with(|sets| {
            sets.owner.claims.insert(4, (8, 13));
        }),
    );
    add(
        all,
        "records-more",
        "count",
        "there is one key more than the header says",
        with(|sets| {
            sets.owner.claims.insert(4, (8, 11));
        }),
    );
    add(
        all,
        "api-id",
        "page-malformed",
        "the API's record has another id than the header",
        with(|sets| sets.api(|api| api.id = *b"shop-api-0000002")),
    );
    add(
        all,
        "api-prefix",
        "page-malformed",
        "the API's prefix is not among its prefixes",
        with(|sets| sets.api(|api| api.prefix = Prefix::parse("new").unwrap())),
    );
    add(
        all,
        "api-marks",
        "page-malformed",
        "the portal has the owner's mark",
        with(|sets| entry(sets, |entry| entry.mark = Mark::parse("aa").unwrap())),
    );
    add(
        all,
        "api-even",
        "api-newer",
        "the API's record has an even field",
        with(|sets| sets.api(|api| api.extensions = field(2))),
    );
    add(
        all,
        "api-verifier-even",
        "api-newer",
        "the gate's entry has an even field",
        with(|sets| gate(sets, |entry| entry.extensions = field(2))),
    );
    add(
        all,
        "key-even",
        "unknown",
        "a key has an even field",
        with(owners::<KeyRecord>(8, |key| key.extensions = field(2))),
    );
    add(
        all,
        "client-even",
        "refused: client",
        "a client has an even field: its keys are refused",
        with(owners::<Client>(0, |client| client.extensions = field(2))),
    );
    add(
        all,
        "override-even",
        "disabled",
        "an override has an even field: its key is disabled",
        with(owners::<Override>(0, |word| (word.id, word.extensions) = (id("bbKEY0000001"), field(2)))),
    );
    add(
        all,
        "scope-even",
        "scope",
        "a scope has an even field: nothing has it",
        with(owners::<Word>(0, |word| word.extensions = field(2))),
    );
}

fn issuers_header(all: &mut Vec<Vector>) {
    let older = with(|sets| sets.portal.number = 4);
    let other = with(portals(vec![portals_key("bbKEY0000005")]));
    let newer = later(portals(vec![portals_key("bbKEY0000005")]));
    add(
        all,
        "portal-before",
        "older",
        "the portal's rows are older than the list",
        after(|value| value["issuers"] = older["issuers"].clone()),
    );
    add(
        all,
        "portal-before-pin",
        "older",
        "the portal's rows are as listed, and older than the pin",
        after(|value| value["pins"] = pin(6, &newer["issuers"][0])),
    );
    add(
        all,
        "portal-fork",
        "forked",
        "the portal's rows are others than listed, under the same number",
        after(|value| value["issuers"] = other["issuers"].clone()),
    );
    add(
        all,
        "portal-fork-pin",
        "forked",
        "the portal's rows are others than pinned, under the same number",
        pinned(later(|_| ()), &newer),
    );
    add(
        all,
        "portal-at-pin",
        "",
        "the portal's rows are newer than listed, and as pinned",
        pinned(newer.clone(), &newer),
    );
    add(
        all,
        "portal-by-stranger",
        "origin",
        "a stranger signs the portal's set",
        later(|sets| sets.portal.signer = (3, Who::Stranger)),
    );
    add(
        all,
        "portal-by-gate",
        "origin",
        "the gate signs the portal's set",
        later(|sets| sets.portal.signer = (3, Who::Gate)),
    );
    add(
        all,
        "portal-signature-bit",
        "origin",
        "a bit of the signature is flipped",
        after(|value| flip(&mut value["issuers"][0]["signature"], 40)),
    );
    add(
        all,
        "portal-owners-unlisted",
        "not-listed",
        "the owner signed the portal's set, and did not list it",
        later(|sets| sets.portal.signer = (1, Who::Owner)),
    );
    add(
        all,
        "portal-unlisted",
        "",
        "the owner has not listed the portal's set yet",
        after(|value| {
            let (list, bound) = list(&[&value["owners"]]);
            (value["list"], value["bound"]) = (json!(list), json!(bound));
        }),
    );
    let past = |value: Value| {
        let mut value = value;
        value["now"] = json!(day(10).0);
        value
    };
    add(
        all,
        "portal-past",
        "issuer-past",
        "after the issuer's end, a header that was never seen; its time is before the end",
        past(newer.clone()),
    );
    add(all, "portal-past-listed", "", "after the issuer's end, the listed header", past(shop().build()));
    add(
        all,
        "portal-past-pinned",
        "",
        "after the issuer's end, the pinned header",
        pinned(past(newer.clone()), &newer),
    );
    add(
        all,
        "portal-long-past",
        "expired",
        "after the issuer's end and the longest life, a key whose expiry is later",
        with(|sets| {
            entry(sets, |entry| entry.bounds.longest_life = 12 * 86_400_000);
            portals(vec![KeyRecord { expires: Some(day(30)), ..portals_key("bbKEY0000001") }])(sets);
            sets.now = day(22).0;
        }),
    );
    add(
        all,
        "portal-ended",
        "issuer-ended",
        "the issuer was taken away with its keys",
        with(|sets| entry(sets, |entry| entry.state = IssuerState::Ended)),
    );
    add(
        all,
        "portal-kept",
        "",
        "the issuer was taken away, and its keys are kept, whatever number a pin has",
        pinned(with(|sets| entry(sets, |entry| entry.state = IssuerState::KeysKept)), &newer),
    );
    add(
        all,
        "portal-kept-newer",
        "not-listed",
        "the issuer was taken away with its keys kept, and goes on",
        {
            let mut value = with(|sets| entry(sets, |entry| entry.state = IssuerState::KeysKept));
            value["issuers"] = newer["issuers"].clone();
            pinned(value, &newer)
        },
    );
    for (name, number) in [("portal-header-odd", 1), ("portal-header-even", 2)] {
        let value = later(|sets| drop(sets.portal.extensions.insert(number, vec![7])));
        add(all, name, "header-newer", "the portal's header has a field that is not known", value);
    }
    add(
        all,
        "portal-entry-even",
        "issuer-newer",
        "the owner's bounds for the portal have an even field",
        with(|sets| entry(sets, |entry| entry.extensions = field(2))),
    );
    add(
        all,
        "portal-other-set",
        "no-issuer",
        "rows of a set that no issuer has",
        after(|value| {
            let stranger = with(|sets| sets.portal.id = *b"portal-set-00002");
            value["issuers"].as_array_mut().unwrap().push(stranger["issuers"][0].clone());
        }),
    );
    add(
        all,
        "portal-other-api",
        "other-api",
        "the portal's header is of another API",
        later(|sets| sets.portal.api = *b"shop-api-0000002"),
    );
    let numbered = |number: u64| later(|sets| sets.portal.number = number);
    let rise = 1 << 32;
    add(
        all,
        "portal-number-rises",
        "",
        "the portal's number is 2^32 above the listed one",
        numbered(5 + rise),
    );
    add(
        all,
        "portal-number-far",
        "number",
        "the portal's number is 2^32 + 1 above the listed one",
        numbered(6 + rise),
    );
    add(all, "portal-number-end", "header-malformed", "the portal's number is 2^64 - 1", numbered(u64::MAX));
    let unlisted = |number: u64| {
        let mut value = numbered(number);
        let (list, bound) = list(&[&value["owners"]]);
        (value["list"], value["bound"]) = (json!(list), json!(bound));
        value
    };
    add(
        all,
        "portal-unlisted-number",
        "",
        "the owner has not listed the portal's set yet, and its number is 2^32",
        unlisted(rise),
    );
    add(
        all,
        "portal-unlisted-far",
        "number",
        "the owner has not listed the portal's set yet, and its number is 2^32 + 1",
        unlisted(rise + 1),
    );
    add(
        all,
        "portal-owners-number",
        "",
        "the owner signed the portal's set under a number that no verifier can have pinned",
        with(|sets| {
            sets.portal.number = 6 + rise;
            sets.portal.signer = (1, Who::Owner);
        }),
    );
    add(
        all,
        "portal-gone",
        "unavailable",
        "the portal's rows are not there",
        after(|value| value["issuers"] = json!([])),
    );
}

fn issuers_bounds(all: &mut Vec<Vector>) {
    let more = |count: usize| {
        let ids = ["bbKEY0000005", "bbKEY0000006", "bbKEY0000007"];
        ids[..count].iter().map(|id| portals_key(id)).collect::<Vec<_>>()
    };
    add(all, "portal-most-keys", "", "the portal has as many keys as it may have", later(portals(more(2))));
    add(all, "portal-keys", "too-many-keys", "the portal has one key too many", later(portals(more(3))));
    add(
        all,
        "portal-keys-hidden",
        "count",
        "the portal has one key too many, and its header does not say so",
        later(|sets| {
            portals(more(3))(sets);
            sets.portal.claims.insert(4, (2, 6));
        }),
    );
    add(
        all,
        "portal-clients",
        "too-many-clients",
        "the portal has one client too many",
        later(|sets| {
            let clients = ["bbCL00000001", "bbCL00000002", "bbCL00000003"];
            let clients = clients.map(|id| client(id, "portal-one")).to_vec();
            sets.portal.kinds.insert(3, kind_of(1, clients));
        }),
    );
    for (name, kind) in [("portal-api", 1), ("portal-words", 2), ("portal-overrides", 5)] {
        let value = later(|sets| {
            let content = sets.owner.kinds[&kind].clone();
            sets.portal.kinds.insert(kind, content);
        });
        add(all, name, "shape", "the portal's set has pages that are the owner's", value);
    }
    add(
        all,
        "portal-page-widened",
        "root",
        "the gate seals a page of the portal's on which the revoked key is active",
        {
            let other = with(portals(vec![portals_key("bbKEY0000004")]));
            after(|value| value["issuers"][0]["pages"] = other["issuers"][0]["pages"].clone())
        },
    );
    add(
        all,
        "portal-page-gone",
        "page-missing",
        "a page of the portal's is not there",
        after(|value| drop(value["issuers"][0]["pages"].as_array_mut().unwrap().pop())),
    );
    add(
        all,
        "bounds-narrowed",
        "",
        "the owner has narrowed the portal's scopes and limits since its keys were made",
        with(|sets| {
            entry(sets, |entry| {
                entry.bounds.scopes = Ascending::of([2]);
                entry.bounds.limits =
                    Ascending::of([super::base::limit("requests", 1, 1), super::base::limit("more", 2, 2)]);
            });
        }),
    );
    add(
        all,
        "bounds-of-role",
        "",
        "a role's scopes count as far as they are in bounds",
        with(|sets| entry(sets, |entry| entry.bounds.scopes = Ascending::of([1, 2, 4]))),
    );
    add(
        all,
        "bounds-narrowed-role",
        "refused: role",
        "the owner has taken a role from the portal since its keys were made",
        with(|sets| entry(sets, |entry| entry.bounds.roles = Ascending::default())),
    );
}

fn issuers_records(all: &mut Vec<Vector>) {
    let one = |key: KeyRecord| later(portals(vec![key]));
    let fifth = || portals_key("bbKEY0000005");
    let role = KeyRecord { roles: Ascending::of([11]), ..fifth() };
    add(all, "portal-role", "refused: role", "a role that is not in bounds", one(role));
    let imported = KeyRecord { proof: Proof::ImportedSha256([1; 32]), ..fifth() };
    add(all, "portal-imported", "refused: imported", "an imported hash", one(imported));
    let prefix = KeyRecord { prefix: Prefix::parse("sk").unwrap(), ..fifth() };
    add(all, "portal-prefix", "refused: prefix", "a prefix that the API never had", one(prefix));
    let earlier =
        KeyRecord { prefix: Prefix::parse("old").unwrap(), environment: Environment::Test, ..fifth() };
    add(all, "portal-prefix-before", "", "a prefix that the API had before", one(earlier));
    let endless = KeyRecord { expires: None, ..fifth() };
    add(all, "portal-no-expiry", "refused: no-expiry", "a key without an expiry", one(endless));
    let longest = KeyRecord { expires: Some(day(90)), ..fifth() };
    add(all, "portal-longest-life", "", "a key of the longest life", one(longest));
    let long = KeyRecord { expires: Some(day(90).plus_millis(1)), ..fifth() };
    add(all, "portal-life", "refused: life", "a key that lives a millisecond too long", one(long));
    let owners = KeyRecord { client: Some(id("aaCL00000002")), ..fifth() };
    add(
        all,
        "portal-owners-client",
        "refused: client",
        "a client of the owner's that is not in bounds",
        one(owners),
    );
    let freed = KeyRecord {
        client: Some(id("aaCL00000001")),
        conditions: super::base::conditions(
            &[super::base::limit("requests", 90, 20)],
            &[Quota { period: Period::Day, amount: 900 }],
        ),
        ..fifth()
    };
    add(all, "portal-owners-limits", "", "limits of a key do not free it of its client's", one(freed));
    let nobody = KeyRecord { client: Some(id("bbCL00000009")), ..fifth() };
    add(all, "portal-no-client", "refused: client", "a client that is not there", one(nobody));
    let elsewhere = KeyRecord { client: Some(id("ccCL00000001")), ..fifth() };
    add(all, "portal-others-client", "refused: client", "a client with a mark of no set", one(elsewhere));
    add(
        all,
        "portal-client-name",
        "refused: client-name",
        "a client whose name does not begin as it must",
        later(|sets| {
            let clients = vec![client("bbCL00000001", "acme"), client("bbCL00000002", "portal-two")];
            sets.portal.kinds.insert(3, kind_of(1, clients));
        }),
    );
    add(
        all,
        "portal-client-odd",
        "refused: client",
        "a client with an odd field",
        later(|sets| {
            let odd = Client { extensions: field(1), ..client("bbCL00000001", "portal-one") };
            sets.portal.kinds.insert(3, kind_of(1, vec![odd]));
        }),
    );
    for (name, number) in [("portal-key-odd", 1), ("portal-key-even", 2)] {
        let value = one(KeyRecord { extensions: field(number), ..portals_key("bbKEY0000001") });
        add(all, name, "unknown", "a key with a field that is not known", value);
    }
    let raw = |change: &dyn Fn(&mut super::forge::Kind)| {
        later(|sets| change(sets.portal.kinds.get_mut(&4).unwrap()))
    };
    add(
        all,
        "portal-key-mark",
        "1 unreadable",
        "a key with the owner's mark",
        raw(&|kind| {
            kind.records.insert(
                0,
                (u32::try_from(id("aaKEY0000001").number() % 2).unwrap(), encode(&key("aaKEY0000001"))),
            )
        }),
    );
    add(
        all,
        "portal-key-malformed",
        "1 unreadable",
        "a record that is none",
        raw(&|kind| kind.records.push((0, b"nothing".to_vec()))),
    );
    add(
        all,
        "portal-key-page",
        "1 unreadable",
        "a key on the page of another",
        raw(&|kind| kind.records[0].0 = 1 - kind.records[0].0),
    );
    add(
        all,
        "portal-key-twice",
        "page-malformed",
        "a key that is there twice, first active and then revoked",
        later(|sets| {
            let kind = sets.portal.kinds.get_mut(&4).unwrap();
            let at = kind.records.iter().position(|(_, record)| record.starts_with(b"bbKEY0000004")).unwrap();
            let (page, _) = kind.records[at];
            kind.records.insert(at, (page, encode(&portals_key("bbKEY0000004"))));
        }),
    );
}

fn holds(all: &mut Vec<Vector>) {
    let gates = hex(&GATE);
    let (rows, points) = log(&shop().holds);
    let (count, head) = points[3];
    let remembered =
        |number: u64, of: &str| Remembered { number, id: id(of), time: keyvault_core::clock::Moment(5) };
    let seen = Seen {
        point: HoldPoint { count, head },
        holds: vec![
            remembered(0, "aaKEY0000009"),
            remembered(1, "aaKEY0000001"),
            remembered(2, "bbCL00000002"),
        ],
    };
    let seen = json!({ gates.clone(): hex(&encode(&seen)) });
    let logged = |held: &[super::forge::Hold]| json!({ gates.clone(): log(held).0 });
    let base = shop().holds;

    add(all, "holds-seen", "", "the log as it was seen", after(|value| value["seen"] = seen.clone()));
    add(
        all,
        "holds-more",
        "",
        "the log has gone on since it was seen",
        after(|value| {
            value["seen"] = seen.clone();
            value["holds"] = logged(&[base.clone(), vec![hold("aaKEY0000004")]].concat());
        }),
    );
    add(
        all,
        "holds-cut",
        "shorter 1 of 3",
        "two entries that were seen are missing",
        after(|value| {
            value["seen"] = seen.clone();
            value["holds"] = json!({ gates.clone(): rows[..1] });
        }),
    );
    add(
        all,
        "holds-cut-unseen",
        "shorter 0 of 1",
        "all entries are missing, and this verifier never saw them",
        after(|value| value["holds"] = json!({})),
    );
    add(
        all,
        "holds-rewritten",
        "other 2",
        "the gate's token wrote another log after the point that the owner saw",
        after(|value| {
            value["seen"] = seen.clone();
            value["holds"] = logged(&[&base[..1], &[hold("aaKEY0000004"), hold("aaKEY000000c")]].concat());
        }),
    );
    add(
        all,
        "holds-rewritten-whole",
        "other 0",
        "the gate's token wrote another log from the beginning",
        after(|value| value["holds"] = logged(&[hold("aaKEY0000004"), hold("aaKEY0000001")])),
    );
    add(
        all,
        "hold-by-stranger",
        "forged 2",
        "an entry is signed by someone else",
        after(|value| {
            let forged = super::forge::Hold { who: Who::Stranger, ..hold("aaKEY0000004") };
            value["holds"] = logged(&[&base[..2], &[forged]].concat());
        }),
    );
    add(
        all,
        "holds-exchanged",
        "damaged 1",
        "two rows are exchanged",
        after(|value| value["holds"] = json!({ gates.clone(): [&rows[0], &rows[2], &rows[1]] })),
    );
    add(
        all,
        "hold-left-out",
        "damaged 1",
        "a row is taken out, and the next one sealed in its place",
        after(|value| {
            // Signed as entry 2, which names the hash of entry 1.
            let key = super::forge::api_key().derive("keyvault holds", &GATE);
            let moved = super::forge::reseal_hold(&key, &rows[2], 2, 1);
            value["holds"] = json!({ gates.clone(): [&rows[0], &moved] });
        }),
    );
    add(
        all,
        "holds-spliced",
        "damaged 1",
        "an entry of another log of the gate's is behind the first one",
        after(|value| {
            let other = log(&[hold("aaKEY000000c"), hold("aaKEY0000004")]).0;
            value["holds"] = json!({ gates.clone(): [&rows[0], &other[1]] });
        }),
    );
    add(
        all,
        "hold-of-epoch",
        "damaged 2",
        "an entry is signed in another epoch",
        after(|value| {
            let other = super::forge::Hold { epoch: 1, ..hold("aaKEY0000004") };
            value["holds"] = logged(&[&base[..2], &[other]].concat());
        }),
    );
    add(
        all,
        "holds-of-epoch-before",
        "",
        "a log of the epoch before, sealed anew by the rekey, and closed",
        with(|sets| {
            for hold in &mut sets.holds {
                hold.epoch = 1;
            }
            let (count, head) = log(&sets.holds).1[3];
            gate(sets, |entry| {
                entry.epoch = 1;
                entry.state = VerifierState::Closed;
                entry.seen = HoldPoint { count, head };
            });
        }),
    );
    add(
        all,
        "holds-closed",
        "",
        "a verifier that was taken away wrote on: only what the owner saw counts",
        with(|sets| gate(sets, |entry| entry.state = VerifierState::Closed)),
    );
    add(
        all,
        "holds-settled",
        "",
        "the owner has decided all holds but the last",
        with(|sets| {
            let (count, head) = log(&sets.holds).1[3];
            gate(sets, |entry| {
                entry.seen = HoldPoint { count, head };
                entry.settled = 2;
                entry.lifted = Ascending::default();
            });
        }),
    );
    add(
        all,
        "holds-settled-beyond",
        "page-malformed",
        "holds are settled that the owner has not seen",
        with(|sets| gate(sets, |entry| entry.settled = 2)),
    );
    add(
        all,
        "hold-even",
        "held",
        "a hold with an even field and a reason that is not known counts",
        with(|sets| {
            sets.holds.push(super::forge::Hold {
                reason: 200,
                fields: BTreeMap::from([(2, vec![7])]),
                ..hold("aaKEY0000004")
            });
        }),
    );
    add(
        all,
        "hold-of-client",
        "held",
        "a hold on a client holds its keys",
        with(|sets| sets.holds.push(hold("bbCL00000001"))),
    );
}
