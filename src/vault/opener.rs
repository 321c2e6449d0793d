//! Opening metadata apart from the transaction that it came from, so that many rows are opened on all cores.

use crate::codec;
use crate::crypto::{self, Digest};
use crate::identity::Identity;
use crate::state::StateError;
use crate::store::{ItemRow, Tag};
use crate::sys::cores::on_all_cores;
use crate::unlock::keys::DailyKeys;

use super::error::VaultError;
use super::item::Item;
use super::leaves::{self, Kind};
use super::work::{damaged, row_place};

pub(super) const ITEM_LABEL: &str = "keyvault item";

/// What it takes to open a key's metadata.
#[derive(Clone, Copy)]
pub(super) struct Opener<'k> {
    pub(super) keys: &'k DailyKeys,
    pub(super) identity: Identity,
}

impl Opener<'_> {
    pub(super) fn open(self, row: &ItemRow) -> Result<Item, VaultError> {
        let context = self.identity.context(&row_place("item", &row.tag, row.revision));
        let plain = crypto::open(&self.keys.metadata, ITEM_LABEL, &context, &row.sealed)
            .map_err(|_| damaged("item: the metadata does not open"))?;
        codec::unpad(&plain)
            .and_then(|bytes| Item::decode(bytes, row.revision))
            .map_err(|_| damaged("item: the metadata is malformed"))
    }

    /// Opens rows that must all be leaves of the tree; `leaves` are ordered by tag.
    pub(super) fn open_all(
        self,
        rows: &[ItemRow],
        leaves: &[(Tag, Digest)],
    ) -> Result<Vec<Item>, VaultError> {
        on_all_cores(rows, |row| self.open_known(row, leaves)).into_iter().collect()
    }

    fn open_known(self, row: &ItemRow, leaves: &[(Tag, Digest)]) -> Result<Item, VaultError> {
        let leaf = leaves::row_leaf(&self.keys.tree, Kind::Item, &row.tag, row.revision, &row.sealed);
        let known =
            leaves.binary_search_by(|(tag, _)| tag.cmp(&row.tag)).ok().and_then(|place| leaves.get(place));
        if known == Some(&(row.tag, leaf)) {
            self.open(row)
        } else {
            Err(StateError::Mismatch { what: "item".to_owned() }.into())
        }
    }
}
