//! The hash tree: three levels of nodes with 64 children each, above buckets of leaves.
//!
//! A leaf is the MAC of a row, placed by the first 18 bits of its tag (a blind index), so the tree proves that
//! something is there, that it is *this*, and that something is not there. A path is three nodes and one bucket,
//! whatever the vault's size; at 100,000 keys a bucket holds 0.4 leaves on average.
//!
//! ```text
//! node 0            the root; child i is node 1 + i
//! nodes 1 … 64      child j of node 1 + i is node 65 + 64·i + j
//! nodes 65 … 4160   child k of node 65 + n is bucket 64·n + k: all leaves whose tag begins with those 18 bits
//! node body         u64le bitmap of the children that exist ‖ their 16-byte digests, lowest child first
//! node digest       HMAC("keyvault tree node" ‖ u32le node ‖ body), first 16 bytes
//! bucket digest     HMAC("keyvault tree bucket" ‖ u32le bucket ‖ tag ‖ leaf ‖ tag ‖ leaf …), first 16 bytes
//! ```
//!
//! Absence takes no space: an empty bucket or node is a clear bit in its parent.

use std::collections::BTreeMap;

use crate::store::{Tag, Tx};
use keyvault_core::crypto::{Digest, SealingKey};
use keyvault_os::process::cores::on_all_cores;

use super::StateError;

const NODE_LABEL: &[u8] = b"keyvault tree node";
const BUCKET_LABEL: &[u8] = b"keyvault tree bucket";
const FAN_OUT: u32 = 64;
const FIRST_MIDDLE: u32 = 1;
const FIRST_LOWER: u32 = 1 + FAN_OUT;

/// All leaves, ordered by tag.
pub(crate) type Leaves = Vec<(Tag, Digest)>;

/// Leaves by their tags.
pub(crate) type Bucket = BTreeMap<Tag, Digest>;

/// A tag's new leaf; `None` deletes the leaf.
type Change<'c> = (&'c Tag, &'c Option<Digest>);

/// A view of the tree under one root digest. Nodes are verified once, when they are first read.
pub(crate) struct Tree<'a> {
    tx: &'a Tx<'a>,
    key: &'a SealingKey,
    root: Option<Digest>,
    nodes: BTreeMap<u32, Node>,
}

#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Bit n is set if child n exists.
    bitmap: u64,
    /// Of the children that exist, lowest first.
    digests: Vec<Digest>,
}

/// The way from the root to a bucket: which child to take at each level.
#[derive(Clone, Copy)]
struct BucketPath {
    top: u32,
    middle: u32,
    lower: u32,
}

impl BucketPath {
    fn to(tag: &Tag) -> Self {
        let [a, b, c, ..] = *tag;
        let bits = u32::from_be_bytes([0, a, b, c]) >> 6;
        Self { top: bits >> 12, middle: bits >> 6 & 63, lower: bits & 63 }
    }

    fn middle_node(self) -> u32 {
        FIRST_MIDDLE + self.top
    }

    fn lower_node(self) -> u32 {
        FIRST_LOWER + self.top * FAN_OUT + self.middle
    }

    fn bucket(self) -> u32 {
        (self.top * FAN_OUT + self.middle) * FAN_OUT + self.lower
    }

    /// The lowest and the highest tag of the bucket.
    fn range(self) -> (Tag, Tag) {
        let tag = |bits: u32, rest: u8| {
            let [_, first @ ..] = bits.to_be_bytes();
            let mut tag = [rest; 16];
            tag.iter_mut().zip(first).for_each(|(place, byte)| *place = byte);
            tag
        };
        let lowest = self.bucket() << 6;
        (tag(lowest, 0), tag(lowest + 0x3F, 0xFF))
    }
}

impl<'a> Tree<'a> {
    /// The tree under `root`; `None` is the tree without a leaf.
    #[must_use]
    pub(crate) fn new(tx: &'a Tx<'a>, key: &'a SealingKey, root: Option<Digest>) -> Self {
        Self { tx, key, root, nodes: BTreeMap::new() }
    }

    /// The leaf at `tag`, or the proof that there is none.
    pub(crate) fn leaf(&mut self, tag: &Tag) -> Result<Option<Digest>, StateError> {
        let bucket = self.bucket(BucketPath::to(tag))?;
        Ok(bucket.get(tag).copied())
    }

    /// All leaves, ordered by tag, held against the root without reading a node.
    pub(crate) fn all_leaves(&self) -> Result<Leaves, StateError> {
        let (leaves, nodes) = self.rebuild()?;
        let root = nodes.get(&0).map(|node| self.node_digest(0, node));
        if root == self.root { Ok(leaves) } else { Err(mismatch("leaf: the set of leaves")) }
    }

    /// Rebuilds the whole tree and names every node and leaf bucket that differs.
    pub(crate) fn check(&self) -> Result<Vec<String>, StateError> {
        let (_, nodes) = self.rebuild()?;
        let mut faults = Vec::new();
        if nodes.get(&0).map(|node| self.node_digest(0, node)) != self.root {
            faults.push("state: the root is not that of the leaves".to_owned());
        }
        let stored = self.tx.node_ids()?;
        for id in &stored {
            let body = self.tx.node(*id)?.unwrap_or_default();
            if nodes.get(id).map(Node::body) != Some(body) {
                faults.push(format!("node {id}: is not that of the leaves below it"));
            }
        }
        for id in nodes.keys().filter(|id| stored.binary_search(id).is_err()) {
            faults.push(format!("node {id}: is missing"));
        }
        faults.sort();
        Ok(faults)
    }

    /// Applies changes to leaves (`None` deletes) and returns the new root. Every bucket and node on the way is
    /// verified first, so that a change never signs what somebody else altered.
    pub(crate) fn apply(
        &mut self,
        changes: &BTreeMap<Tag, Option<Digest>>,
    ) -> Result<Option<Digest>, StateError> {
        let mut by_bucket: BTreeMap<u32, (BucketPath, Vec<Change<'_>>)> = BTreeMap::new();
        for (tag, leaf) in changes {
            let path = BucketPath::to(tag);
            by_bucket.entry(path.bucket()).or_insert((path, Vec::new())).1.push((tag, leaf));
        }
        let mut touched = BTreeMap::new();
        for (path, leaves) in by_bucket.into_values() {
            let mut bucket = self.bucket(path)?;
            for (tag, leaf) in leaves {
                self.tx.put_leaf(tag, leaf.as_ref())?;
                match leaf {
                    Some(leaf) => bucket.insert(*tag, *leaf),
                    None => bucket.remove(tag),
                };
            }
            let digest = self.bucket_digest(path, &bucket);
            self.nodes.entry(path.lower_node()).or_default().set(path.lower, digest);
            touched.insert(path.lower_node(), path);
        }
        let mut middle = BTreeMap::new();
        for (id, path) in touched {
            let digest = self.write_node(id)?;
            self.nodes.entry(path.middle_node()).or_default().set(path.middle, digest);
            middle.insert(path.middle_node(), path.top);
        }
        for (id, top) in middle {
            let digest = self.write_node(id)?;
            self.nodes.entry(0).or_default().set(top, digest);
        }
        self.root = self.write_node(0)?;
        Ok(self.root)
    }

    /// Loads and verifies the path to a bucket and the bucket itself.
    fn bucket(&mut self, path: BucketPath) -> Result<Bucket, StateError> {
        let top = self.node(0, self.root)?.get(path.top);
        let middle = self.node(path.middle_node(), top)?.get(path.middle);
        let expected = self.node(path.lower_node(), middle)?.get(path.lower);
        let (from, to) = path.range();
        let bucket: Bucket = self.tx.leaves(&from, &to)?.into_iter().collect();
        if self.bucket_digest(path, &bucket) == expected {
            Ok(bucket)
        } else {
            Err(mismatch(&format!("leaf bucket {}", path.bucket())))
        }
    }

    /// A node, verified against the digest that its parent holds. `None` means that it must not exist; a row that is
    /// there all the same counts for nothing, because nothing leads to it (`check` names it).
    fn node(&mut self, id: u32, expected: Option<Digest>) -> Result<&Node, StateError> {
        if !self.nodes.contains_key(&id) {
            let node = match expected {
                None => Node::default(),
                Some(expected) => {
                    let wrong = || mismatch(&format!("node {id}"));
                    let body = self.tx.node(id)?.ok_or_else(wrong)?;
                    if self.body_digest(id, &body) != expected {
                        return Err(wrong());
                    }
                    Node::parse(&body).ok_or_else(wrong)?
                }
            };
            self.nodes.insert(id, node);
        }
        Ok(self.nodes.entry(id).or_default())
    }

    fn write_node(&mut self, id: u32) -> Result<Option<Digest>, StateError> {
        let node = self.nodes.entry(id).or_default().clone();
        if node.bitmap == 0 {
            self.tx.put_node(id, None)?;
            return Ok(None);
        }
        self.tx.put_node(id, Some(&node.body()))?;
        Ok(Some(self.node_digest(id, &node)))
    }

    /// The leaves that the root proves, ordered by tag, whatever became of the others and of the nodes. `rows` are the
    /// leaves that the rows must have: they stand in for those that are missing or altered.
    pub(crate) fn proved(&self, rows: Leaves) -> Result<Leaves, StateError> {
        let stored: Leaves = self.tx.leaves(&[0; 16], &[0xFF; 16])?;
        let rebuilt = [self.nodes_of(&stored), self.nodes_of(&rows)];
        let mut buckets: BTreeMap<u32, [Bucket; 2]> = BTreeMap::new();
        for (source, leaves) in [stored, rows].into_iter().enumerate() {
            for (tag, leaf) in leaves {
                let both = buckets.entry(BucketPath::to(&tag).bucket()).or_default();
                if let Some(bucket) = both.get_mut(source) {
                    bucket.insert(tag, leaf);
                }
            }
        }
        let node = |id, digest| self.proved_node(id, digest, &rebuilt).unwrap_or_default();
        let mut proved = Leaves::new();
        let root = self.root.map(|digest| node(0, digest)).unwrap_or_default();
        for (top, digest) in root.children() {
            for (middle, digest) in node(FIRST_MIDDLE + top, digest).children() {
                for (lower, digest) in node(FIRST_LOWER + top * FAN_OUT + middle, digest).children() {
                    let path = BucketPath { top, middle, lower };
                    let [stored, rows] = buckets.remove(&path.bucket()).unwrap_or_default();
                    proved.extend(self.proved_bucket(path, digest, stored, rows).unwrap_or_default());
                }
            }
        }
        Ok(proved)
    }

    /// The node of that digest: as it is stored, or as the leaves below it make it.
    fn proved_node(&self, id: u32, digest: Digest, rebuilt: &[BTreeMap<u32, Node>]) -> Option<Node> {
        let stored = self.tx.node(id).ok().flatten().and_then(|body| Node::parse(&body));
        let rebuilt = rebuilt.iter().filter_map(|nodes| nodes.get(&id).cloned());
        stored.into_iter().chain(rebuilt).find(|node| self.node_digest(id, node) == digest)
    }

    /// The bucket of that digest, out of the leaves that are there and those that its rows must have.
    fn proved_bucket(
        &self,
        path: BucketPath,
        digest: Digest,
        stored: Bucket,
        rows: Bucket,
    ) -> Option<Bucket> {
        /// Of so many leaves every choice is tried.
        const FEW: usize = 10;
        let both: Bucket = stored
            .iter()
            .filter(|(tag, leaf)| rows.get(*tag) == Some(leaf))
            .map(|(tag, leaf)| (*tag, *leaf))
            .collect();
        let mut all: Vec<_> = stored.clone().into_iter().chain(rows.clone()).collect();
        all.sort_unstable();
        all.dedup();
        let is_it = |bucket: &Bucket| self.bucket_digest(path, bucket) == Some(digest);
        if let Some(bucket) = [stored, rows, both].into_iter().find(is_it) {
            return Some(bucket);
        }
        let choices = if all.len() <= FEW { 1_u32 << all.len() } else { 0 };
        let choose = |choice: u32| {
            let chosen = all.iter().enumerate().filter(|(place, _)| choice >> place & 1 == 1);
            chosen.map(|(_, leaf)| *leaf).collect()
        };
        (0..choices).map(choose).find(is_it)
    }

    fn rebuild(&self) -> Result<(Leaves, BTreeMap<u32, Node>), StateError> {
        let leaves: Leaves = self.tx.leaves(&[0; 16], &[0xFF; 16])?;
        let nodes = self.nodes_of(&leaves);
        Ok((leaves, nodes))
    }

    fn nodes_of(&self, leaves: &Leaves) -> BTreeMap<u32, Node> {
        let mut nodes: BTreeMap<u32, Node> = BTreeMap::new();
        let mut lower_paths = BTreeMap::new();
        let runs: Vec<_> = leaves
            .chunk_by(|left, right| BucketPath::to(&left.0).bucket() == BucketPath::to(&right.0).bucket())
            .filter_map(|run| run.first().map(|(tag, _)| (BucketPath::to(tag), run)))
            .collect();
        let key = self.key;
        let digests = on_all_cores(&runs, |(path, run)| {
            digest_of_run(key, *path, run.iter().map(|(tag, leaf)| (tag, leaf)))
        });
        for ((path, _), digest) in runs.into_iter().zip(digests) {
            nodes.entry(path.lower_node()).or_default().set(path.lower, Some(digest));
            lower_paths.insert(path.lower_node(), path);
        }
        let mut tops = BTreeMap::new();
        for (id, path) in lower_paths {
            let digest = nodes.get(&id).map(|node| self.node_digest(id, node));
            nodes.entry(path.middle_node()).or_default().set(path.middle, digest);
            tops.insert(path.middle_node(), path.top);
        }
        for (id, top) in tops {
            let digest = nodes.get(&id).map(|node| self.node_digest(id, node));
            nodes.entry(0).or_default().set(top, digest);
        }
        nodes
    }

    fn node_digest(&self, id: u32, node: &Node) -> Digest {
        self.body_digest(id, &node.body())
    }

    fn body_digest(&self, id: u32, body: &[u8]) -> Digest {
        self.key.digest(&[NODE_LABEL, &id.to_le_bytes(), body])
    }

    fn bucket_digest(&self, path: BucketPath, bucket: &Bucket) -> Option<Digest> {
        if bucket.is_empty() { None } else { Some(digest_of_run(self.key, path, bucket.iter())) }
    }
}

fn digest_of_run<'b>(
    key: &SealingKey,
    path: BucketPath,
    leaves: impl Iterator<Item = (&'b Tag, &'b Digest)>,
) -> Digest {
    let mut body = Vec::with_capacity(64);
    for (tag, leaf) in leaves {
        body.extend_from_slice(tag);
        body.extend_from_slice(leaf);
    }
    key.digest(&[BUCKET_LABEL, &path.bucket().to_le_bytes(), &body])
}

impl Node {
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (bitmap, digests) = body.split_first_chunk::<8>()?;
        let bitmap = u64::from_le_bytes(*bitmap);
        let (digests, rest) = digests.as_chunks();
        let counted = usize::try_from(bitmap.count_ones()) == Ok(digests.len());
        (counted && rest.is_empty() && bitmap != 0).then(|| Self { bitmap, digests: digests.to_vec() })
    }

    pub fn body(&self) -> Vec<u8> {
        [self.bitmap.to_le_bytes().as_slice(), self.digests.as_flattened()].concat()
    }

    pub fn get(&self, child: u32) -> Option<Digest> {
        if self.has(child) { self.digests.get(self.place(child)).copied() } else { None }
    }

    pub fn set(&mut self, child: u32, digest: Option<Digest>) {
        let place = self.place(child);
        match (digest, self.has(child)) {
            (Some(digest), true) => self.digests.splice(place..=place, [digest]).for_each(drop),
            (Some(digest), false) => self.digests.insert(place, digest),
            (None, true) => self.digests.splice(place..=place, []).for_each(drop),
            (None, false) => {}
        }
        let bit = 1 << child;
        self.bitmap = if digest.is_some() { self.bitmap | bit } else { self.bitmap & !bit };
    }

    /// The children that exist, lowest first.
    fn children(&self) -> impl Iterator<Item = (u32, Digest)> {
        (0..FAN_OUT).filter_map(|child| Some((child, self.get(child)?)))
    }

    fn has(&self, child: u32) -> bool {
        self.bitmap >> child & 1 == 1
    }

    /// How many children stand before this one.
    fn place(&self, child: u32) -> usize {
        (self.bitmap & ((1 << child) - 1)).count_ones() as usize
    }
}

fn mismatch(what: &str) -> StateError {
    StateError::Mismatch { what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn digest(of: u8) -> Digest {
        [of; 16]
    }

    #[test]
    fn a_node_keeps_its_children_in_order_and_by_number() {
        let mut node = Node::default();
        let mut expected = BTreeMap::new();
        for (child, of) in [(9, 1), (0, 2), (63, 3), (9, 4), (10, 5)] {
            node.set(child, Some(digest(of)));
            expected.insert(child, digest(of));
            let seen = |node: &Node| (0..64).filter_map(|child| Some((child, node.get(child)?))).collect();
            assert_eq!(expected, seen(&node));
            assert_eq!(expected, seen(&Node::parse(&node.body()).unwrap()));
        }
        for child in [9, 9, 63, 0, 10, 10] {
            node.set(child, None);
            assert_eq!(node.get(child), None);
        }
        assert_eq!(node.body(), [0; 8]);
    }

    #[test]
    fn a_node_has_a_digest_for_each_bit_and_at_least_one() {
        let body = |bits: u64, rest: usize| [bits.to_le_bytes().as_slice(), &vec![7; rest]].concat();
        assert!(Node::parse(&body(0b101, 32)).is_some());
        for wrong in [body(0, 0), body(0b101, 16), body(0b101, 48), body(0b101, 33), body(1, 0), vec![0; 7]] {
            assert!(Node::parse(&wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_bucket_is_all_tags_of_eighteen_bits() {
        for tag in [[0; 16], [0xFF; 16], *b"\x12\x34\x56 and so forth"] {
            let path = BucketPath::to(&tag);
            let (from, to) = path.range();
            assert!(from <= tag && tag <= to);
            assert_eq!(
                (from[..2].to_vec(), from[2] & 0x3F, from[3..].to_vec()),
                (to[..2].to_vec(), 0, vec![0; 13])
            );
            assert_eq!((from[2] | 0x3F, vec![0xFF; 13]), (to[2], to[3..].to_vec()));
            assert_eq!(
                (BucketPath::to(&from).bucket(), BucketPath::to(&to).bucket()),
                (path.bucket(), path.bucket())
            );
        }
    }
}
