//! The tree of hashes over a set's sealed pages: for each kind a tree of 64 children a node, above them one root.
//!
//! Leaves, nodes, and the root have labels of their own, and each names its place: none can pass for another, and no page
//! or subtree for one elsewhere.

use keyvault_core::crypto::{Hash, sha256_of};

use super::Kind;
use crate::SetId;

const LEAF: &[u8] = b"keyvault set page";
const NODE: &[u8] = b"keyvault set node";
const ROOT: &[u8] = b"keyvault set root";

const FAN_OUT: usize = 64;

pub(super) fn leaf(set: &SetId, kind: Kind, page: u32, sealed: &[u8]) -> Hash {
    sha256_of(&[LEAF, set, &[kind as u8], &page.to_le_bytes(), sealed])
}

/// The node over all leaves of one kind; a single leaf is its own. `None` without leaves.
pub(super) fn top(set: &SetId, kind: Kind, leaves: &[Hash]) -> Option<Hash> {
    let mut level = 0_u8;
    let mut hashes = leaves.to_vec();
    while hashes.len() > 1 {
        level += 1;
        hashes = (0_u32..)
            .zip(hashes.chunks(FAN_OUT))
            .map(|(place, children)| {
                let below = children.as_flattened();
                sha256_of(&[NODE, set, &[kind as u8, level], &place.to_le_bytes(), below])
            })
            .collect();
    }
    hashes.first().copied()
}

/// The root over kinds, in ascending order, each with its number of pages.
pub(super) fn root<'a>(set: &SetId, kinds: impl Iterator<Item = (Kind, &'a [Hash])>) -> Hash {
    let mut parts = Vec::new();
    for (kind, leaves) in kinds {
        let Some(top) = top(set, kind, leaves) else { continue };
        parts.push(kind as u8);
        parts.extend_from_slice(&u32::try_from(leaves.len()).unwrap_or(u32::MAX).to_le_bytes());
        parts.extend_from_slice(&top);
    }
    sha256_of(&[ROOT, set, &parts])
}
