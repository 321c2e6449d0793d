//! A second writer of the format, from docs/FORMAT.md alone: it holds a vault's keys and seals whatever it is told to.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use keyvault_core::clock::{Rng, RngError};
use keyvault_core::codec;
use keyvault_core::crypto::{self, Cost, SealingKey, Signed, SigningKey, argon2id, sha256};
use keyvault_core::identity::{Identity, Place};
use rusqlite::{Connection, params};

use super::sql;
use super::vector::hex;
use crate::by_hand::{Decoder, Encoder};

pub(crate) type Tag = [u8; 16];

pub(crate) const HEADER: u8 = 1;
pub(crate) const SLOT: u8 = 2;
pub(crate) const KEY: u8 = 3;
pub(crate) const SCOPE: u8 = 4;
pub(crate) const TOKEN: u8 = 5;
pub(crate) const NAMES: u8 = 7;
pub(crate) const TOKENS: u8 = 8;
pub(crate) const LEDGERS: u8 = 15;

/// The head of the vault's own ledger, as a condition.
pub(crate) const OWN: &str = "ledger = zeroblob(16)";
/// Its entries.
pub(crate) const OWN_LOG: &str = "id >> 32 = 0";

/// Bytes that follow from a word, instead of chance.
pub(crate) struct Seeded {
    word: Vec<u8>,
    count: AtomicU64,
}

impl Seeded {
    pub(crate) fn new(word: &str) -> Self {
        Self { word: word.as_bytes().to_vec(), count: AtomicU64::new(0) }
    }

    pub(crate) fn array<const N: usize>(&self) -> [u8; N] {
        let mut array = [0; N];
        self.fill(&mut array).unwrap();
        array
    }
}

impl Rng for Seeded {
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
        for block in target.chunks_mut(32) {
            let count = self.count.fetch_add(1, Relaxed);
            let bytes = sha256(&[b"keyvault test vectors", &count.to_le_bytes()[..], &self.word].concat());
            block.copy_from_slice(&bytes[..block.len()]);
        }
        Ok(())
    }
}

/// The keys of §2.
pub(crate) struct Keys {
    pub(crate) root: SealingKey,
    pub(crate) seed: SealingKey,
    pub(crate) metadata: SealingKey,
    pub(crate) index: SealingKey,
    pub(crate) wrapping: SealingKey,
    pub(crate) state: SealingKey,
    pub(crate) tree: SealingKey,
    pub(crate) events: SealingKey,
    pub(crate) append: SealingKey,
    pub(crate) signing: SigningKey,
}

impl Keys {
    pub(crate) fn of(root: SealingKey, identity: &Identity) -> Self {
        let whole = identity.whole();
        let daily = root.derive("keyvault root daily", &whole);
        let derive = |label: &str| daily.derive(label, &whole);
        Self {
            seed: root.derive("keyvault root chain seed", &whole),
            metadata: derive("keyvault daily metadata"),
            index: derive("keyvault daily blind index"),
            wrapping: derive("keyvault daily wrapping"),
            state: derive("keyvault daily state"),
            tree: derive("keyvault daily tree"),
            events: derive("keyvault daily audit events"),
            append: derive("keyvault daily audit append"),
            signing: SigningKey::of_seed(derive("keyvault daily signing")),
            root,
        }
    }
}

/// Where a text is sealed.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) table: &'a str,
    pub(crate) row: &'a [u8],
    pub(crate) version: u32,
    pub(crate) field: &'a str,
    pub(crate) revision: u64,
    pub(crate) bound: &'a [u8],
}

pub(crate) fn at<'a>(table: &'a str, row: &'a [u8], version: u32, revision: u64) -> At<'a> {
    At { table, row, version, field: "sealed", revision, bound: &[] }
}

/// Length of a state record without extensions.
const SHORT_RECORD: usize = 181;

/// The state record of §8.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) format: u32,
    pub(crate) vault: [u8; 16],
    pub(crate) epoch: u32,
    pub(crate) change: u64,
    pub(crate) time: i64,
    pub(crate) root: Tag,
    pub(crate) count: u64,
    pub(crate) head: [u8; 32],
    pub(crate) sets: [u8; 32],
    pub(crate) signer: [u8; 16],
    pub(crate) previous: [u8; 32],
    pub(crate) extensions: Vec<u8>,
}

impl Record {
    fn decode(bytes: &[u8]) -> Self {
        let mut from = Decoder::new(bytes);
        Self {
            format: from.u32().unwrap(),
            vault: from.array().unwrap(),
            epoch: from.u32().unwrap(),
            change: from.u64().unwrap(),
            time: from.i64().unwrap(),
            root: from.array().unwrap(),
            count: from.u64().unwrap(),
            head: from.array().unwrap(),
            sets: from.array().unwrap(),
            signer: {
                assert_eq!(from.u8(), Ok(1));
                from.array().unwrap()
            },
            previous: from.array().unwrap(),
            extensions: bytes[SHORT_RECORD - 4..].to_vec(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Encoder::new()
            .u32(self.format)
            .fixed(&self.vault)
            .u32(self.epoch)
            .u64(self.change)
            .i64(self.time)
            .fixed(&self.root)
            .u64(self.count)
            .fixed(&self.head)
            .fixed(&self.sets)
            .u8(1)
            .fixed(&self.signer)
            .fixed(&self.previous)
            .fixed(&self.extensions)
            .finish()
    }
}

/// A vault in memory and its keys.
pub(crate) struct Forge {
    pub(crate) connection: Connection,
    pub(crate) identity: Identity,
    pub(crate) keys: Keys,
    pub(crate) rng: Seeded,
}

impl Forge {
    /// The vault that these statements make; `word` is where its chance comes from.
    pub(crate) fn new(base: &str, root: &[u8], word: &str) -> Self {
        let connection = sql::in_memory(base);
        let (vault, epoch): (Vec<u8>, u32) = connection
            .query_row("SELECT vault_id, epoch FROM vault", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        let identity = Identity { vault_id: vault.try_into().unwrap(), epoch };
        let keys = Keys::of(SealingKey::from_bytes(root).unwrap(), &identity);
        Self { connection, identity, keys, rng: Seeded::new(word) }
    }

    // ── Seals ────────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn context(&self, at: At<'_>) -> Vec<u8> {
        context(&self.identity, at)
    }

    pub(crate) fn seal(&self, key: &SealingKey, label: &str, at: At<'_>, plain: &[u8]) -> Vec<u8> {
        crypto::seal(key, label, &self.context(at), plain, &self.rng).unwrap()
    }

    pub(crate) fn open(&self, key: &SealingKey, label: &str, at: At<'_>, sealed: &[u8]) -> Vec<u8> {
        crypto::open(key, label, &self.context(at), sealed).unwrap().expose().to_vec()
    }

    // ── Rows ─────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Runs statements in which `{key a}` is the tag of key `a`, `{id a}` its id, `{scope s}` the tag of a scope,
    /// `{names a}` that of the bucket of a key's name, `{bucket a}` the bucket's number, `{header}` and `{slot 1}` the
    /// tags of those, `{at key a}` the condition of an object's row, `{oid 9 key a}` the id of an object of another kind
    /// with this tag, `{kind 3}` the condition of all rows of a kind, and `{vid a 2}` the id of a version's row.
    pub(crate) fn sql(&self, statements: &str) {
        let statements = self.expand(statements, &|tag| format!("x'{}'", hex(tag)));
        self.connection.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
        self.connection.execute_batch(&statements).unwrap_or_else(|error| panic!("{error}: {statements}"));
    }

    /// Puts tags where `{…}` stands.
    pub(crate) fn expand(&self, text: &str, write: &dyn Fn(&[u8]) -> String) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (word, after) = after.split_once('}').unwrap();
            out.push_str(before);
            let (kind, name) = word.split_once(' ').unwrap_or((word, ""));
            match kind {
                "id" => out.push_str(&write(&self.id(name))),
                "bucket" => out.push_str(&bucket_of(&self.key_tag(name)).to_string()),
                // Another tag in the tree's bucket of a key.
                "beside" => out.push_str(&write(&[&self.key_tag(name)[..15], &[0]].concat())),
                "at" => {
                    let (kind, tag) = self.place(name);
                    write!(out, "id = {} AND tag = {}", object_id(kind, &tag), write(&tag)).unwrap();
                }
                "oid" => {
                    let (kind, words) = name.split_once(' ').unwrap();
                    let tag = self.place(words).1;
                    write!(out, "{}", object_id(kind.parse().unwrap(), &tag)).unwrap();
                }
                "kind" => write!(out, "(id >> 56 & 255) = {name}").unwrap(),
                "vid" => {
                    let (name, version) = name.split_once(' ').unwrap();
                    write!(out, "{}", version_id(&self.id(name), version.parse().unwrap())).unwrap();
                }
                // A version id of any other tag in the place of a key's id.
                "vidof" => {
                    let (words, version) = name.rsplit_once(' ').unwrap();
                    write!(out, "{}", version_id(&self.place(words).1, version.parse().unwrap())).unwrap();
                }
                _ => out.push_str(&write(&self.place(word).1)),
            }
            rest = after;
        }
        out + rest
    }

    /// Kind and tag of what these words name.
    pub(crate) fn place(&self, words: &str) -> (u8, Tag) {
        let (word, name) = words.split_once(' ').unwrap_or((words, ""));
        let (kind, name) = match word {
            "header" => (HEADER, Vec::new()),
            "slot" => (SLOT, name.parse::<u32>().unwrap().to_le_bytes().to_vec()),
            "key" => (KEY, name.as_bytes().to_vec()),
            "scope" => (SCOPE, name.as_bytes().to_vec()),
            "token" => (TOKEN, name.as_bytes().to_vec()),
            "names" => (NAMES, vec![bucket_of(&self.key_tag(name))]),
            "tokens" => (TOKENS, Vec::new()),
            other => panic!("{other}"),
        };
        (kind, self.tag(kind, &name))
    }

    pub(crate) fn blob(&self, query: &str) -> Vec<u8> {
        let query = self.expand(query, &|tag| format!("x'{}'", hex(tag)));
        self.connection
            .query_row(&query, [], |row| row.get(0))
            .unwrap_or_else(|error| panic!("{error}: {query}"))
    }

    pub(crate) fn number(&self, query: &str) -> i64 {
        let query = self.expand(query, &|tag| format!("x'{}'", hex(tag)));
        self.connection
            .query_row(&query, [], |row| row.get(0))
            .unwrap_or_else(|error| panic!("{error}: {query}"))
    }

    /// Writes a blob into a column.
    pub(crate) fn put(&self, table: &str, column: &str, condition: &str, bytes: &[u8]) {
        self.sql(&format!("UPDATE {table} SET {column} = x'{}' WHERE {condition}", hex(bytes)));
        assert_eq!(self.connection.changes(), 1, "{table} WHERE {condition}");
    }

    /// Alters one bit of a column; a negative place counts from the end.
    pub(crate) fn flip(&self, table: &str, column: &str, condition: &str, place: isize) {
        let mut bytes = self.blob(&format!("SELECT {column} FROM {table} WHERE {condition}"));
        let place =
            if place < 0 { bytes.len().checked_add_signed(place).unwrap() } else { place.unsigned_abs() };
        bytes[place] ^= 1;
        self.put(table, column, condition, &bytes);
    }

    // ── Tags, leaves, tree ───────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn tag(&self, kind: u8, name: &[u8]) -> Tag {
        self.keys.index.digest(&[b"keyvault blind index", &[kind], name])
    }

    pub(crate) fn key_tag(&self, name: &str) -> Tag {
        self.tag(KEY, name.as_bytes())
    }

    pub(crate) fn put_leaf(&self, tag: &Tag, leaf: &Tag) {
        self.connection.execute("INSERT OR REPLACE INTO leaf VALUES (?, ?)", params![tag, leaf]).unwrap();
    }

    pub(crate) fn drop_leaf(&self, tag: &Tag) {
        self.connection.execute("DELETE FROM leaf WHERE tag = ?", params![tag]).unwrap();
    }

    pub(crate) fn object_leaf(&self, kind: u8, tag: &Tag, revision: u64, sealed: &[u8]) -> Tag {
        let hash = sha256(sealed);
        self.keys.tree.digest(&[b"keyvault tree leaf", &[kind], tag, &revision.to_le_bytes(), &hash])
    }

    /// Every leaf anew from the rows, then the tree and the record: what is authentic from here on is what stands there.
    pub(crate) fn sign(&self) {
        self.connection.execute("DELETE FROM leaf", []).unwrap();
        let label = b"keyvault tree leaf";
        let (vault, epoch, seed, by, signer): (Vec<u8>, u32, Vec<u8>, String, Vec<u8>) = self
            .connection
            .query_row("SELECT vault_id, epoch, chain_seed, written_by, signer FROM vault", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            })
            .unwrap();
        let len = |bytes: &[u8]| (bytes.len() as u64).to_le_bytes();
        let parts: [&[u8]; 9] = [
            label,
            &[HEADER],
            &vault,
            &epoch.to_le_bytes(),
            &len(&seed),
            &seed,
            &len(&signer),
            &signer,
            by.as_bytes(),
        ];
        self.put_leaf(&self.tag(HEADER, &[]), &self.keys.tree.digest(&parts));
        for (id, header, sealed) in self.triples("SELECT id, header, sealed FROM slot") {
            let id = u32::try_from(id).unwrap().to_le_bytes();
            let parts: [&[u8]; 6] = [label, &[SLOT], &id, &len(&sealed), &sealed, &header];
            self.put_leaf(&self.tag(SLOT, &id), &self.keys.tree.digest(&parts));
        }
        let mut objects =
            self.connection.prepare("SELECT id >> 56 & 255, tag, revision, sealed FROM object").unwrap();
        let objects = objects.query_map([], |row| {
            Ok((
                row.get::<_, u8>(0)?,
                row.get::<_, Tag>(1)?,
                row.get::<_, i64>(2)?,
                row.get::<_, Vec<u8>>(3)?,
            ))
        });
        for (kind, tag, revision, sealed) in objects.unwrap().map(Result::unwrap) {
            self.put_leaf(&tag, &self.object_leaf(kind, &tag, revision.cast_unsigned(), &sealed));
        }
        self.sign_tree();
    }

    fn triples(&self, query: &str) -> Vec<(i64, Vec<u8>, Vec<u8>)> {
        let mut statement = self.connection.prepare(query).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// The nodes anew from the leaves, and the record.
    pub(crate) fn sign_tree(&self) {
        let mut statement = self.connection.prepare("SELECT tag, digest FROM leaf ORDER BY tag").unwrap();
        let leaves = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let mut buckets: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        for (tag, leaf) in leaves.map(Result::unwrap) {
            let (tag, leaf): (Vec<u8>, Vec<u8>) = (tag, leaf);
            let bucket = u32::from_be_bytes([0, tag[0], tag[1], tag[2]]) >> 6;
            buckets.entry(bucket).or_default().extend([tag, leaf].concat());
        }
        let tree = &self.keys.tree;
        let mut below: BTreeMap<u32, Tag> = buckets
            .iter()
            .map(|(bucket, leaves)| {
                (*bucket, tree.digest(&[b"keyvault tree bucket", &bucket.to_le_bytes(), leaves]))
            })
            .collect();
        self.connection.execute("DELETE FROM node", []).unwrap();
        let mut root = [0; 16];
        for first in [65, 1, 0] {
            let mut nodes: BTreeMap<u32, (u64, Vec<u8>)> = BTreeMap::new();
            for (child, digest) in &below {
                let node = nodes.entry(child >> 6).or_default();
                node.0 |= 1 << (child & 63);
                node.1.extend_from_slice(digest);
            }
            below = BTreeMap::new();
            for (place, (bitmap, digests)) in nodes {
                let id = first + place;
                let body = [&bitmap.to_le_bytes()[..], &digests].concat();
                root = tree.digest(&[b"keyvault tree node", &id.to_le_bytes(), &body]);
                below.insert(place, root);
                self.connection.execute("INSERT INTO node VALUES (?, ?)", params![id, body]).unwrap();
            }
        }
        self.put_record(&Record { root, ..self.record() });
    }

    // ── The record ───────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn record(&self) -> Record {
        Record::decode(&self.blob("SELECT record FROM state"))
    }

    pub(crate) fn record_hash(&self) -> [u8; 32] {
        let part = |column: &str| self.blob(&format!("SELECT {column} FROM state"));
        sha256(&Encoder::new().bytes(&part("record")).bytes(&part("signature")).finish())
    }

    pub(crate) fn put_record(&self, record: &Record) {
        self.put_record_bytes(&record.encode(), &self.keys.state);
    }

    pub(crate) fn put_record_bytes(&self, record: &[u8], key: &SealingKey) {
        let signature = self.keys.signing.sign(Signed::Record, &self.identity, record);
        self.put_signed_record(record, &signature, key);
    }

    pub(crate) fn put_signed_record(&self, record: &[u8], signature: &[u8], key: &SealingKey) {
        let both = Encoder::new().bytes(record).bytes(signature).finish();
        let mac = key.mac(&[b"keyvault state record", &both]);
        let sql = "UPDATE state SET record = ?, signature = ?, mac = ?";
        self.connection.execute(sql, params![record, signature, mac]).unwrap();
    }

    // ── Objects ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// The revision of an object's row; 9 for one that is not there yet.
    pub(crate) fn revision(&self, kind: u8, tag: &Tag) -> u64 {
        let query = "SELECT revision FROM object WHERE id = ?";
        let found = self.connection.query_row(query, [object_id(kind, tag)], |row| row.get::<_, i64>(0));
        found.map_or(9, i64::cast_unsigned)
    }

    pub(crate) fn seal_object(&self, kind: u8, tag: &Tag, revision: u64, padded: &[u8]) -> Vec<u8> {
        let row = object_row(kind, tag);
        self.seal(&self.keys.metadata, "keyvault object", at("object", &row, 0, revision), padded)
    }

    /// The padded plaintext of an object.
    pub(crate) fn padded(&self, kind: u8, tag: &Tag) -> Vec<u8> {
        let (query, id) = ("SELECT sealed FROM object WHERE id = ?", object_id(kind, tag));
        let sealed: Vec<u8> = self.connection.query_row(query, [id], |row| row.get(0)).unwrap();
        let (row, revision) = (object_row(kind, tag), self.revision(kind, tag));
        self.open(&self.keys.metadata, "keyvault object", at("object", &row, 0, revision), &sealed)
    }

    /// The row of an object, whatever is sealed in it.
    pub(crate) fn put_row(&self, kind: u8, tag: &Tag, revision: u64, sealed: &[u8]) {
        let sql = "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)";
        let id = object_id(kind, tag);
        self.connection.execute(sql, params![id, tag, revision.cast_signed(), sealed]).unwrap();
    }

    /// Seals a plaintext, padding and all, in an object's place, and signs.
    pub(crate) fn put_padded(&self, kind: u8, tag: &Tag, padded: &[u8]) {
        let revision = self.revision(kind, tag);
        self.put_row(kind, tag, revision, &self.seal_object(kind, tag, revision, padded));
        self.sign();
    }

    /// Puts an object under its name, and signs.
    pub(crate) fn put_object(&self, kind: u8, name: &[u8], plain: &[u8]) {
        self.put_padded(kind, &self.tag(kind, name), &pad(plain));
    }

    // ── Keys ─────────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn key(&self, name: &str) -> Vec<u8> {
        unpad(&self.padded(KEY, &self.key_tag(name)))
    }

    pub(crate) fn id(&self, name: &str) -> Tag {
        Fields::of(&self.key(name)).get("id").try_into().unwrap()
    }

    /// Seals a plaintext, padding and all, in a key's place, and signs.
    pub(crate) fn put_padded_key(&self, name: &str, padded: &[u8]) {
        self.put_padded(KEY, &self.key_tag(name), padded);
    }

    pub(crate) fn put_key(&self, name: &str, plain: &[u8]) {
        self.put_padded_key(name, &pad(plain));
    }

    /// A column of a version's row.
    pub(crate) fn version_row(&self, column: &str, id: &Tag, version: u32) -> Vec<u8> {
        let query = format!("SELECT {column} FROM version WHERE id = ?");
        self.connection.query_row(&query, [version_id(id, version)], |row| row.get(0)).unwrap()
    }

    pub(crate) fn version_key(&self, id: &Tag, version: u32) -> SealingKey {
        let wrapped = self.version_row("wrapped", id, version);
        let key = self.open(&self.keys.wrapping, "keyvault version key", wrapped_at(id, version), &wrapped);
        SealingKey::from_bytes(&key).unwrap()
    }

    pub(crate) fn value(&self, id: &Tag, version: u32) -> Vec<u8> {
        let sealed = self.version_row("sealed", id, version);
        let place = at("version", id, version, 0);
        unpad(&self.open(&self.version_key(id, version), "keyvault value", place, &sealed))
    }

    /// The digest that a key must have of a version's row.
    pub(crate) fn version_digest(&self, id: &Tag, version: u32) -> Tag {
        let hashes = ["wrapped", "sealed"].map(|column| sha256(&self.version_row(column, id, version)));
        self.keys.tree.digest(&[b"keyvault version rows", &hashes[0], &hashes[1]])
    }

    // ── Scopes, names, and the list of tokens ────────────────────────────────────────────────────────────────────

    /// The tags that a scope's object lists.
    pub(crate) fn members(&self, scope: &str) -> Vec<Tag> {
        let plain = unpad(&self.padded(SCOPE, &self.tag(SCOPE, scope.as_bytes())));
        tags_of(&plain)
    }

    pub(crate) fn put_padded_scope(&self, scope: &str, padded: &[u8]) {
        self.put_padded(SCOPE, &self.tag(SCOPE, scope.as_bytes()), padded);
    }

    /// The object of a bucket with this plaintext, signed.
    pub(crate) fn put_padded_names(&self, bucket: u8, padded: &[u8]) {
        self.put_padded(NAMES, &self.tag(NAMES, &[bucket]), padded);
    }

    /// The tags that the list of tokens names.
    pub(crate) fn tokens(&self) -> Vec<Tag> {
        tags_of(&unpad(&self.padded(TOKENS, &self.tag(TOKENS, &[]))))
    }

    // ── The log ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// The events with their padding, and the numbers of their changes.
    pub(crate) fn events(&self) -> Vec<(Option<u64>, Vec<u8>)> {
        self.events_in(&[0; 16], &self.keys.events)
    }

    pub(crate) fn events_in(&self, ledger: &Tag, key: &SealingKey) -> Vec<(Option<u64>, Vec<u8>)> {
        let query = "SELECT id & 4294967295, change, mac, sealed FROM log WHERE id >> 32 = ? ORDER BY id";
        let mut statement = self.connection.prepare(query).unwrap();
        let rows = statement.query_map([self.ledger_number(ledger)], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get(2)?, row.get(3)?))
        });
        let mut before = vec![0; 32];
        let mut events = Vec::new();
        for (seq, change, mac, sealed) in rows.unwrap().map(Result::unwrap) {
            let (mac, sealed): (Vec<u8>, Vec<u8>) = (mac, sealed);
            let row = seq.to_le_bytes();
            let place = At { bound: &before, ..at("log", &row, 0, 0) };
            let plain = self.open(key, "keyvault audit event", place, &sealed);
            events.push((change.map(i64::cast_unsigned), plain));
            before = mac;
        }
        events
    }

    /// The number of a ledger, of whose entries' ids it is the upper half.
    pub(crate) fn ledger_number(&self, ledger: &Tag) -> i64 {
        self.number(&format!("SELECT number FROM log_head WHERE ledger = x'{}'", hex(ledger)))
    }

    pub(crate) fn first_key(&self) -> SealingKey {
        let sealed = self.blob("SELECT chain_seed FROM vault");
        let place = At { field: "chain_seed", ..at("vault", &[], 0, 0) };
        SealingKey::from_bytes(&self.open(&self.keys.seed, "keyvault audit seed", place, &sealed)).unwrap()
    }

    /// The whole chain anew with these events, up to the head and the record.
    pub(crate) fn put_chain(&self, events: &[(Option<u64>, Vec<u8>)]) {
        let macs =
            self.put_chain_in(&[0; 16], self.first_key(), [&self.keys.events, &self.keys.append], events);
        let recorded = usize::try_from(self.record().count).unwrap();
        if let Some(head) = recorded.checked_sub(1).and_then(|last| macs.get(last)) {
            self.put_record(&Record { head: *head, ..self.record() });
        }
    }

    /// A ledger anew from its first key, with the keys of its events and of its head; the MACs of the entries.
    pub(crate) fn put_chain_in(
        &self,
        ledger: &Tag,
        first: SealingKey,
        [event_key, append]: [&SealingKey; 2],
        events: &[(Option<u64>, Vec<u8>)],
    ) -> Vec<[u8; 32]> {
        let number = self.ledger_number(ledger);
        self.connection.execute("DELETE FROM log WHERE id >> 32 = ?", [number]).unwrap();
        let mut key = first;
        let mut before = [0; 32];
        let mut macs = Vec::new();
        for (seq, (change, padded)) in (0_u64..).zip(events) {
            let row = seq.to_le_bytes();
            let place = At { bound: &before, ..at("log", &row, 0, 0) };
            let sealed = self.seal(event_key, "keyvault audit event", place, padded);
            let head =
                Encoder::new().u64(seq).option(*change, Encoder::u64).fixed(&before).bytes(&sealed).finish();
            before = key.mac(&[b"keyvault audit entry", &head]);
            macs.push(before);
            key = key.derive("keyvault audit step", &[]);
            let id = (number << 32) + seq.cast_signed();
            let values = params![id, change.map(u64::cast_signed), before, sealed];
            self.connection.execute("INSERT INTO log VALUES (?, ?, ?, ?)", values).unwrap();
        }
        self.put_head_in(ledger, append, events.len() as u64, &[&before[..], key.expose()].concat());
        macs
    }

    pub(crate) fn put_head(&self, count: u64, plain: &[u8]) {
        self.put_head_in(&[0; 16], &self.keys.append, count, plain);
    }

    fn put_head_in(&self, ledger: &Tag, key: &SealingKey, count: u64, plain: &[u8]) {
        let sealed = self.seal(key, "keyvault audit head", at("log_head", &[], 0, count), plain);
        let sql = "UPDATE log_head SET count = ?, sealed = ? WHERE ledger = ?";
        self.connection.execute(sql, params![count.cast_signed(), sealed, ledger]).unwrap();
    }

    /// The plaintext of the head.
    pub(crate) fn head(&self) -> (u64, Vec<u8>) {
        let count = self.number(&format!("SELECT count FROM log_head WHERE {OWN}")).cast_unsigned();
        let sealed = self.blob(&format!("SELECT sealed FROM log_head WHERE {OWN}"));
        (count, self.open(&self.keys.append, "keyvault audit head", at("log_head", &[], 0, count), &sealed))
    }
}

/// The id of an object's row: its kind, and the first 7 bytes of its tag.
pub(crate) fn object_id(kind: u8, tag: &Tag) -> i64 {
    i64::from_be_bytes([&[kind], &tag[..7]].concat().try_into().unwrap())
}

/// The id of a version's row.
pub(crate) fn version_id(key: &Tag, version: u32) -> i64 {
    (u64::from_be_bytes(key[..8].try_into().unwrap()) >> 2).cast_signed() + i64::from(version)
}

/// The row of an object, as its seal names it.
pub(crate) fn object_row(kind: u8, tag: &Tag) -> [u8; 17] {
    [&[kind], &tag[..]].concat().try_into().unwrap()
}

/// Where a version's key is sealed.
pub(crate) fn wrapped_at(id: &Tag, version: u32) -> At<'_> {
    At { field: "wrapped", ..at("version", id, version, 0) }
}

pub(crate) fn context(identity: &Identity, at: At<'_>) -> Vec<u8> {
    let At { table, row, version, field, revision, bound } = at;
    identity.context(&Place { table, row, version, field, revision, bound })
}

/// Root, out of a passphrase slot.
pub(crate) fn root(base: &str, passphrase: &[u8]) -> Vec<u8> {
    let connection = sql::in_memory(base);
    let (vault, epoch): (Vec<u8>, u32) = connection
        .query_row("SELECT vault_id, epoch FROM vault", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let identity = Identity { vault_id: vault.try_into().unwrap(), epoch };
    let mut statement = connection.prepare("SELECT id, header, sealed FROM slot ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
    });
    for (id, header, sealed) in rows.unwrap().map(Result::unwrap).filter(|(_, header, _)| header[0] == 1) {
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let cost = Cost { memory_kib: number(33), passes: number(37), lanes: number(41) };
        let key = argon2id(passphrase, &header[1..33], cost).unwrap();
        let row = id.to_le_bytes();
        let place = At { bound: &header, ..at("slot", &row, 0, 0) };
        if let Ok(root) = crypto::open(&key, "keyvault slot", &context(&identity, place), &sealed) {
            return root.expose().to_vec();
        }
    }
    panic!("no slot opens")
}

/// The bucket of a name whose key has this tag.
pub(crate) fn bucket_of(tag: &Tag) -> u8 {
    tag[0] >> 2
}

pub(crate) fn pad(plain: &[u8]) -> Vec<u8> {
    codec::pad(plain).unwrap().expose().to_vec()
}

pub(crate) fn unpad(padded: &[u8]) -> Vec<u8> {
    let len = u32::from_le_bytes(padded[..4].try_into().unwrap()) as usize;
    padded[4..4 + len].to_vec()
}

/// The plaintext of a scope, or with an empty name of the list of tokens.
pub(crate) fn tags_plain(name: &[u8], tags: &[Tag]) -> Vec<u8> {
    let count = u32::try_from(tags.len()).unwrap();
    Encoder::new().bytes(name).u32(count).fixed(tags.as_flattened()).u32(0).finish()
}

/// The tags that a scope or the list of tokens lists.
fn tags_of(plain: &[u8]) -> Vec<Tag> {
    let mut from = Decoder::new(plain);
    from.bytes().unwrap();
    from.list(Decoder::array).unwrap()
}

/// The plaintext of a bucket of names.
pub(crate) fn names_plain(bucket: u8, names: &[&[u8]]) -> Vec<u8> {
    let count = u32::try_from(names.len()).unwrap();
    let all: Vec<u8> = names.iter().flat_map(text).collect();
    Encoder::new().bytes(&[bucket]).u32(count).fixed(&all).u32(0).finish()
}

/// Bytes behind their length.
pub(crate) fn text(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    Encoder::new().bytes(bytes.as_ref()).finish()
}

/// The fields of a key's metadata, each as it is encoded.
#[derive(Clone)]
pub(crate) struct Fields(Vec<(String, Vec<u8>)>);

impl Fields {
    pub(crate) fn of(plain: &[u8]) -> Self {
        let mut from = Decoder::new(plain);
        let mut fields = Vec::new();
        let mut put = |name: &str, bytes: Vec<u8>| fields.push((name.to_owned(), bytes));
        let list = |from: &mut Decoder<'_>, texts: usize| {
            let count = from.u32().unwrap();
            let all = (0..count as usize * texts).flat_map(|_| text(from.bytes().unwrap()));
            let all: Vec<u8> = all.collect();
            [&count.to_le_bytes()[..], &all].concat()
        };
        let option = |from: &mut Decoder<'_>, len: usize| match from.u8().unwrap() {
            0 => vec![0],
            _ => [&[1], from.fixed(len).unwrap()].concat(),
        };
        put("name", text(from.bytes().unwrap()));
        put("class", vec![from.u8().unwrap()]);
        put("id", from.fixed(16).unwrap().to_vec());
        put("variable", text(from.bytes().unwrap()));
        put("scopes", list(&mut from, 1));
        put("tags", list(&mut from, 2));
        put("note", text(from.bytes().unwrap()));
        put("created", from.fixed(8).unwrap().to_vec());
        put("expires", option(&mut from, 8));
        let recipe = match from.u8().unwrap() {
            0 => vec![0],
            _ => {
                let start = [&[1], from.fixed(5).unwrap()].concat();
                let prefix = text(from.bytes().unwrap());
                [start, prefix, text(from.bytes().unwrap())].concat()
            }
        };
        put("recipe", recipe);
        put("owner", text(from.bytes().unwrap()));
        put("display name", text(from.bytes().unwrap()));
        put("kind of value", from.fixed(1).unwrap().to_vec());
        put("public", from.fixed(1).unwrap().to_vec());
        let disabled = match from.u8().unwrap() {
            0 => vec![0],
            _ => [&[1], from.fixed(8).unwrap(), &text(from.bytes().unwrap())].concat(),
        };
        put("disabled", disabled);
        put("decoy", option(&mut from, 2));
        put("rotate every", option(&mut from, 8));
        put("warn", option(&mut from, 8));
        put("unit", option(&mut from, 16));
        put("rotation", option(&mut from, 31));
        put("last change", from.fixed(8).unwrap().to_vec());
        put("next", from.fixed(4).unwrap().to_vec());
        let count = from.u32().unwrap();
        put("count", count.to_le_bytes().to_vec());
        for version in 1..=count {
            let mut put = |name: &str, bytes: Vec<u8>| put(&format!("{name} {version}"), bytes);
            put("number", from.fixed(4).unwrap().to_vec());
            put("state", from.fixed(1).unwrap().to_vec());
            put("origin", from.fixed(1).unwrap().to_vec());
            put("created", from.fixed(8).unwrap().to_vec());
            put("created by", from.fixed(8).unwrap().to_vec());
            put("since", from.fixed(8).unwrap().to_vec());
            put("since change", from.fixed(8).unwrap().to_vec());
            put("grace", option(&mut from, 8));
            put("fingerprint", from.fixed(6).unwrap().to_vec());
            put("digest", option(&mut from, 16));
            put("due", option(&mut from, 8));
            put("made by", text(from.bytes().unwrap()));
            let public = match from.u8().unwrap() {
                0 => vec![0],
                _ => [vec![1], text(from.bytes().unwrap())].concat(),
            };
            put("public", public);
            put("reason", text(from.bytes().unwrap()));
        }
        let count = from.u32().unwrap();
        let field = |_| [from.fixed(2).unwrap(), &text(from.bytes().unwrap())].concat();
        let all: Vec<u8> = (0..count).flat_map(field).collect();
        put("extensions", [&count.to_le_bytes()[..], &all].concat());
        from.end().unwrap();
        Self(fields)
    }

    pub(crate) fn get(&self, name: &str) -> &[u8] {
        &self.0.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}")).1
    }

    /// Replaces or adds one field.
    pub(crate) fn with(&self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let mut fields = self.clone();
        let field = fields.0.iter_mut().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}"));
        field.1 = bytes.as_ref().to_vec();
        fields
    }

    /// The names of one version's fields, in order.
    pub(crate) fn version(&self, number: u32) -> Vec<u8> {
        let end = format!(" {number}");
        self.0.iter().filter(|(name, _)| name.ends_with(&end)).flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Everything before the versions.
    pub(crate) fn head(&self) -> Vec<u8> {
        self.0.iter().take(23).flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}
