//! A second writer of the format, from docs/FORMAT.md alone: it holds a vault's keys and seals whatever it is told to.

use std::cell::Cell;
use std::collections::BTreeMap;

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
pub(crate) const ITEM: u8 = 3;
pub(crate) const SCOPE: u8 = 4;
pub(crate) const TOKEN: u8 = 5;
pub(crate) const DIRECTORY: u8 = 7;
pub(crate) const TOKENS: u8 = 8;

/// Bytes that follow from a word, instead of chance.
pub(crate) struct Seeded {
    word: Vec<u8>,
    count: Cell<u64>,
}

impl Seeded {
    pub(crate) fn new(word: &str) -> Self {
        Self { word: word.as_bytes().to_vec(), count: Cell::new(0) }
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
            let count = self.count.replace(self.count.get() + 1);
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
const SHORT_RECORD: usize = 149;

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

    /// Runs statements in which `{item a}` is the tag of key `a`, `{id a}` its id, `{scope s}` the tag of a scope,
    /// `{names a}` the bucket of a name, `{header}` and `{slot 1}` the tags of those.
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
                "item" => out.push_str(&write(&self.item_tag(name))),
                "id" => out.push_str(&write(&self.id(name))),
                "scope" => out.push_str(&write(&self.tag(SCOPE, name.as_bytes()))),
                "names" => out.push_str(&bucket_of(&self.item_tag(name)).to_string()),
                "directory" => {
                    out.push_str(&write(&self.tag(DIRECTORY, &[bucket_of(&self.item_tag(name))])));
                }
                // Another tag in the bucket of a key.
                "bucket" => out.push_str(&write(&[&self.item_tag(name)[..15], &[0]].concat())),
                "header" => out.push_str(&write(&self.tag(HEADER, &[]))),
                "token" => out.push_str(&write(&self.tag(TOKEN, name.as_bytes()))),
                "tokens" => out.push_str(&write(&self.tag(TOKENS, &[]))),
                "slot" => {
                    out.push_str(&write(&self.tag(SLOT, &name.parse::<u32>().unwrap().to_le_bytes())));
                }
                other => panic!("{other}"),
            }
            rest = after;
        }
        out + rest
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

    pub(crate) fn item_tag(&self, name: &str) -> Tag {
        self.tag(ITEM, name.as_bytes())
    }

    pub(crate) fn put_leaf(&self, tag: &Tag, leaf: &Tag) {
        self.connection.execute("INSERT OR REPLACE INTO leaf VALUES (?, ?)", params![tag, leaf]).unwrap();
    }

    pub(crate) fn drop_leaf(&self, tag: &Tag) {
        self.connection.execute("DELETE FROM leaf WHERE tag = ?", params![tag]).unwrap();
    }

    fn row_leaf(&self, kind: u8, tag: &Tag, revision: u64, sealed: &[u8]) -> Tag {
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
        for (kind, table) in [(ITEM, "item"), (SCOPE, "scope"), (TOKEN, "token")] {
            for (revision, tag, sealed) in self.triples(&format!("SELECT revision, tag, sealed FROM {table}"))
            {
                let tag = tag.try_into().unwrap();
                self.put_leaf(&tag, &self.row_leaf(kind, &tag, revision.cast_unsigned(), &sealed));
            }
        }
        let tags = self.triples("SELECT 0, tag, x'' FROM token ORDER BY tag").into_iter();
        let tags: Vec<u8> = tags.flat_map(|(_, tag, _)| tag).collect();
        if !tags.is_empty() {
            let leaf = self.keys.tree.digest(&[b"keyvault tree leaf", &[TOKENS], &tags]);
            self.put_leaf(&self.tag(TOKENS, &[]), &leaf);
        }
        let names = "SELECT revision, CAST(bucket AS BLOB), sealed FROM directory";
        for (revision, bucket, sealed) in self.triples(names) {
            let bucket: u8 = String::from_utf8(bucket).unwrap().parse().unwrap();
            let tag = self.tag(DIRECTORY, &[bucket]);
            self.put_leaf(&tag, &self.row_leaf(DIRECTORY, &tag, revision.cast_unsigned(), &sealed));
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

    // ── Keys ─────────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn revision(&self, name: &str) -> u64 {
        self.number(&format!("SELECT revision FROM item WHERE tag = {{item {name}}}")).cast_unsigned()
    }

    /// The padded plaintext of a key.
    pub(crate) fn padded_item(&self, name: &str) -> Vec<u8> {
        let sealed = self.blob(&format!("SELECT sealed FROM item WHERE tag = {{item {name}}}"));
        let tag = self.item_tag(name);
        self.open(&self.keys.metadata, "keyvault item", at("item", &tag, 0, self.revision(name)), &sealed)
    }

    pub(crate) fn item(&self, name: &str) -> Vec<u8> {
        unpad(&self.padded_item(name))
    }

    pub(crate) fn id(&self, name: &str) -> Tag {
        self.item(name)[1..17].try_into().unwrap()
    }

    /// Seals a plaintext, padding and all, in a key's place, and signs.
    pub(crate) fn put_padded_item(&self, name: &str, padded: &[u8]) {
        let tag = self.item_tag(name);
        let place = at("item", &tag, 0, self.revision(name));
        let sealed = self.seal(&self.keys.metadata, "keyvault item", place, padded);
        self.put("item", "sealed", &format!("tag = {{item {name}}}"), &sealed);
        self.sign();
    }

    pub(crate) fn put_item(&self, name: &str, plain: &[u8]) {
        self.put_padded_item(name, &pad(plain));
    }

    pub(crate) fn version_key(&self, id: &Tag, version: u32) -> SealingKey {
        let sealed = self
            .connection
            .query_row(
                "SELECT sealed FROM version_key WHERE item = ? AND version = ?",
                params![id, version],
                |row| row.get::<_, Vec<u8>>(0),
            )
            .unwrap();
        let place = at("version_key", id, version, 0);
        SealingKey::from_bytes(&self.open(&self.keys.wrapping, "keyvault version key", place, &sealed))
            .unwrap()
    }

    pub(crate) fn value(&self, id: &Tag, version: u32) -> Vec<u8> {
        let sealed: Vec<u8> = self
            .connection
            .query_row(
                "SELECT sealed FROM version_value WHERE item = ? AND version = ?",
                params![id, version],
                |row| row.get(0),
            )
            .unwrap();
        let place = at("version_value", id, version, 0);
        unpad(&self.open(&self.version_key(id, version), "keyvault value", place, &sealed))
    }

    /// The digest that the metadata must have of a version's rows.
    pub(crate) fn version_digest(&self, id: &Tag, version: u32) -> Tag {
        let query = |table: &str| -> Vec<u8> {
            let query = format!("SELECT sealed FROM {table} WHERE item = ? AND version = ?");
            self.connection.query_row(&query, params![id, version], |row| row.get(0)).unwrap()
        };
        let hashes = [query("version_key"), query("version_value")].map(|sealed| sha256(&sealed));
        self.keys.tree.digest(&[b"keyvault version rows", &hashes[0], &hashes[1]])
    }

    // ── Scopes and names ─────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn members_digest(&self, scope: &Tag, members: &[Tag]) -> Tag {
        self.keys.tree.digest(&[b"keyvault scope members", scope, members.as_flattened()])
    }

    pub(crate) fn members(&self, scope: &str) -> Vec<Tag> {
        let scope = self.tag(SCOPE, scope.as_bytes());
        let mut statement =
            self.connection.prepare("SELECT item FROM scope_member WHERE scope = ? ORDER BY item").unwrap();
        let members = statement.query_map(params![scope], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        members.map(|member| member.unwrap().try_into().unwrap()).collect()
    }

    /// The row of a scope with this plaintext, signed.
    pub(crate) fn put_padded_scope(&self, scope: &str, padded: &[u8]) {
        let tag = self.tag(SCOPE, scope.as_bytes());
        let sealed = self.seal(&self.keys.metadata, "keyvault scope", at("scope", &tag, 0, 9), padded);
        self.connection
            .execute("INSERT OR REPLACE INTO scope VALUES (?, 9, ?)", params![tag, sealed])
            .unwrap();
        self.sign();
    }

    /// The row of a bucket with this plaintext, signed.
    pub(crate) fn put_padded_directory(&self, bucket: u8, padded: &[u8]) {
        let place = [bucket];
        let sealed =
            self.seal(&self.keys.metadata, "keyvault directory", at("directory", &place, 0, 9), padded);
        self.connection
            .execute("INSERT OR REPLACE INTO directory VALUES (?, 9, ?)", params![bucket, sealed])
            .unwrap();
        self.sign();
    }

    // ── The log ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// The events with their padding, and the numbers of their changes.
    pub(crate) fn events(&self) -> Vec<(Option<u64>, Vec<u8>)> {
        let mut statement =
            self.connection.prepare("SELECT seq, change, mac, sealed FROM audit ORDER BY seq").unwrap();
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get(2)?, row.get(3)?))
        });
        let mut before = vec![0; 32];
        let mut events = Vec::new();
        for (seq, change, mac, sealed) in rows.unwrap().map(Result::unwrap) {
            let (mac, sealed): (Vec<u8>, Vec<u8>) = (mac, sealed);
            let row = seq.to_le_bytes();
            let place = At { bound: &before, ..at("audit", &row, 0, 0) };
            let plain = self.open(&self.keys.events, "keyvault audit event", place, &sealed);
            events.push((change.map(i64::cast_unsigned), plain));
            before = mac;
        }
        events
    }

    pub(crate) fn first_key(&self) -> SealingKey {
        let sealed = self.blob("SELECT chain_seed FROM vault");
        let place = At { field: "chain_seed", ..at("vault", &[], 0, 0) };
        SealingKey::from_bytes(&self.open(&self.keys.seed, "keyvault audit seed", place, &sealed)).unwrap()
    }

    /// The whole chain anew with these events, up to the head and the record.
    pub(crate) fn put_chain(&self, events: &[(Option<u64>, Vec<u8>)]) {
        let recorded = self.record().count;
        self.connection.execute("DELETE FROM audit", []).unwrap();
        let mut key = self.first_key();
        let mut before = [0; 32];
        for (seq, (change, padded)) in (0_u64..).zip(events) {
            let row = seq.to_le_bytes();
            let place = At { bound: &before, ..at("audit", &row, 0, 0) };
            let sealed = self.seal(&self.keys.events, "keyvault audit event", place, padded);
            let head =
                Encoder::new().u64(seq).option(*change, Encoder::u64).fixed(&before).bytes(&sealed).finish();
            before = key.mac(&[b"keyvault audit entry", &head]);
            key = key.derive("keyvault audit step", &[]);
            self.connection
                .execute(
                    "INSERT INTO audit VALUES (?, ?, ?, ?)",
                    params![seq.cast_signed(), change.map(u64::cast_signed), before, sealed],
                )
                .unwrap();
            if seq + 1 == recorded {
                self.put_record(&Record { head: before, ..self.record() });
            }
        }
        self.put_head(events.len() as u64, &[&before[..], key.expose()].concat());
    }

    pub(crate) fn put_head(&self, count: u64, plain: &[u8]) {
        let sealed =
            self.seal(&self.keys.append, "keyvault audit head", at("audit_head", &[], 0, count), plain);
        self.connection
            .execute("UPDATE audit_head SET count = ?, sealed = ?", params![count.cast_signed(), sealed])
            .unwrap();
    }

    /// The plaintext of the head.
    pub(crate) fn head(&self) -> (u64, Vec<u8>) {
        let count = self.number("SELECT count FROM audit_head").cast_unsigned();
        let sealed = self.blob("SELECT sealed FROM audit_head");
        (count, self.open(&self.keys.append, "keyvault audit head", at("audit_head", &[], 0, count), &sealed))
    }
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

/// The plaintext of a scope's row.
pub(crate) fn scope_plain(name: &[u8], count: u32, members: &Tag) -> Vec<u8> {
    Encoder::new().bytes(name).u32(count).fixed(members).u32(0).finish()
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
        put("class", vec![from.u8().unwrap()]);
        put("id", from.fixed(16).unwrap().to_vec());
        put("name", text(from.bytes().unwrap()));
        put("variable", text(from.bytes().unwrap()));
        put("scopes", list(&mut from, 1));
        put("tags", list(&mut from, 2));
        put("note", text(from.bytes().unwrap()));
        put("created", from.fixed(8).unwrap().to_vec());
        put("expires", option(&mut from, 8));
        let recipe = match from.u8().unwrap() {
            0 => vec![0],
            _ => [&[1], from.fixed(5).unwrap(), &text(from.bytes().unwrap())].concat(),
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
