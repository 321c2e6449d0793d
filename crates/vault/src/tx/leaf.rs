//! Each row's place in the tree, and its leaf there.

use crate::store::{HeaderRow, ObjectRow, SlotRow, Tag};
use keyvault_core::crypto::{self, Digest, SealingKey};

const LEAF_LABEL: &[u8] = b"keyvault tree leaf";
const INDEX_LABEL: &[u8] = b"keyvault blind index";

/// Kinds of leaves that stand for no object; the others have the numbers of [`ObjectKind`].
pub(super) const HEADER: u8 = 1;
pub(super) const SLOT: u8 = 2;

/// The blind index of a name, under the index key; the kind may be one of a later version.
pub(crate) fn tag(index: &SealingKey, kind: u8, name: &[u8]) -> Tag {
    index.digest(&[INDEX_LABEL, &[kind], name])
}

pub(crate) fn header_tag(index: &SealingKey) -> Tag {
    tag(index, HEADER, &[])
}

pub(crate) fn slot_tag(index: &SealingKey, id: u32) -> Tag {
    tag(index, SLOT, &id.to_le_bytes())
}

pub(crate) fn header_leaf(tree: &SealingKey, header: &HeaderRow) -> Digest {
    tree.digest(&[
        LEAF_LABEL,
        &[HEADER],
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
        &[SLOT],
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

pub(crate) fn object_leaf(tree: &SealingKey, row: &ObjectRow) -> Digest {
    let sealed = crypto::sha256(&row.sealed);
    tree.digest(&[LEAF_LABEL, &[row.kind], &row.tag, &row.revision.to_le_bytes(), &sealed])
}
