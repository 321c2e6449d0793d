//! Each row's place in the tree, and its leaf there.

use crate::store::{HeaderRow, SlotRow, Tag};
use keyvault_core::crypto::{self, Digest, SealingKey};

const LEAF_LABEL: &[u8] = b"keyvault tree leaf";
const INDEX_LABEL: &[u8] = b"keyvault blind index";

/// The kind of thing that a leaf stands for; the first byte under the MAC that is its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeafKind {
    Header = 1,
    Slot = 2,
    Key = 3,
    Scope = 4,
    Token = 5,
    // 6 issued keys by credential id: reserved.
    Directory = 7,
    /// Which tokens there are; a leaf without a row.
    Tokens = 8,
}

/// The blind index of something, under the index key.
pub(crate) fn tag(index: &SealingKey, kind: LeafKind, name: &[u8]) -> Tag {
    index.digest(&[INDEX_LABEL, &[kind as u8], name])
}

/// The leaf of the header row.
pub(crate) fn header_leaf(tree: &SealingKey, header: &HeaderRow) -> Digest {
    tree.digest(&[
        LEAF_LABEL,
        &[LeafKind::Header as u8],
        &header.vault_id,
        &header.epoch.to_le_bytes(),
        &len(&header.chain_seed),
        &header.chain_seed,
        &len(&header.signer),
        &header.signer,
        header.written_by.as_bytes(),
    ])
}

/// The leaf of a slot: its header and the whole of its sealed root. No one credential opens every slot, and damage in
/// one must not stay unseen until the day when it is needed.
pub(crate) fn slot_leaf(tree: &SealingKey, slot: &SlotRow) -> Digest {
    tree.digest(&[
        LEAF_LABEL,
        &[LeafKind::Slot as u8],
        &slot.id.to_le_bytes(),
        &len(&slot.sealed),
        &slot.sealed,
        &slot.header,
    ])
}

/// A length as u64le, so that two texts one after the other are told apart.
fn len(bytes: &[u8]) -> [u8; 8] {
    (bytes.len() as u64).to_le_bytes()
}

/// The leaf that says which tokens there are, by their tags in order; none if there is none.
pub(crate) fn tokens_leaf<'t>(tree: &SealingKey, tags: impl Iterator<Item = &'t Tag>) -> Option<Digest> {
    let tags: Vec<_> = tags.flatten().copied().collect();
    (!tags.is_empty()).then(|| tree.digest(&[LEAF_LABEL, &[LeafKind::Tokens as u8], &tags]))
}

/// The leaf of a row that has a revision and one sealed text: keys, scopes, names.
pub(crate) fn row_leaf(tree: &SealingKey, kind: LeafKind, tag: &Tag, revision: u64, sealed: &[u8]) -> Digest {
    tree.digest(&[LEAF_LABEL, &[kind as u8], tag, &revision.to_le_bytes(), &crypto::sha256(sealed)])
}
