//! Tokens' records among the objects, and the list of them.

use crate::store::{ObjectKind, Tag};
use keyvault_core::codec::{Extensions, Malformed};
use keyvault_core::name::TokenName;
use keyvault_core::name::similar::nearest;

use super::error::TokenError;
use super::record::TokenRecord;
use crate::error::VaultError;
use crate::file::open::{Notice, World};
use crate::state::StateError;
use crate::store::Ledger;
use crate::tx::VerifiedTx;
use crate::tx::object::Object;

impl Object for TokenRecord {
    const KIND: ObjectKind = ObjectKind::Token;

    fn name(&self) -> &[u8] {
        self.name.as_str().as_bytes()
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn complete(self, _: u64) -> Result<Self, Malformed> {
        self.hold_kind()?;
        Ok(self)
    }
}

pub(crate) fn tag_of(tx: &VerifiedTx<'_>, name: &TokenName) -> Tag {
    tx.object_tag(ObjectKind::Token, name.as_str().as_bytes())
}

/// Every token's record, held against the tree, and none missing.
pub(crate) fn load_all(tx: &mut VerifiedTx<'_>) -> Result<Vec<TokenRecord>, VaultError> {
    let rows = tx.rows.objects(ObjectKind::Token)?;
    if !rows.iter().map(|row| &row.tag).eq(&tx.token_tags()?) {
        return Err(StateError::Mismatch { what: "the list of tokens".to_owned() }.into());
    }
    rows.iter().map(|row| tx.verified(row)).collect()
}

/// Takes the records away that the tree does not know, so that a change goes on without them. That one which it knows
/// is missing stays an error of whoever reads them all.
pub(crate) fn drop_strays(tx: &mut VerifiedTx<'_>, world: &World<'_>) -> Result<(), VaultError> {
    let mut strays = tx.rows.delete_malformed_objects(ObjectKind::Token)?;
    let rows = tx.rows.objects(ObjectKind::Token)?;
    if !rows.iter().map(|row| &row.tag).eq(&tx.token_tags()?) {
        for row in &rows {
            if tx.tree.leaf(&row.tag)?.is_none() {
                tx.rows.delete_object(ObjectKind::Token, &row.tag)?;
                strays += 1;
            }
        }
    }
    if strays > 0 {
        world.note(Notice::StrayTokenRows);
    }
    Ok(())
}

pub(crate) fn find(tx: &mut VerifiedTx<'_>, name: &TokenName) -> Result<Option<TokenRecord>, VaultError> {
    tx.object(name.as_str().as_bytes())
}

pub(crate) fn existing(tx: &mut VerifiedTx<'_>, name: &TokenName) -> Result<TokenRecord, VaultError> {
    if let Some(record) = find(tx, name)? {
        return Ok(record);
    }
    // Names that cannot be read are no reason for another error.
    let known = load_all(tx).unwrap_or_default().into_iter().map(|record| record.name);
    let near = nearest(known, name.as_str(), TokenName::as_str);
    Err(TokenError::Missing { name: name.clone(), near }.into())
}

pub(crate) fn put(
    tx: &mut VerifiedTx<'_>,
    record: &TokenRecord,
    world: &World<'_>,
) -> Result<(), VaultError> {
    let tag = tag_of(tx, &record.name);
    let revision = tx.rows.object(ObjectKind::Token, &tag)?.map_or(0, |row| row.revision);
    tx.enter_token(tag, true);
    tx.put_object(record, revision, world.rng)
}

/// Takes a token out of the tree whose record does not hold. What belongs to it goes with the rows of tokens that are
/// not known.
pub(crate) fn forget_damaged(tx: &mut VerifiedTx<'_>, name: &TokenName) -> Result<(), VaultError> {
    tx.entries.moved = true;
    let tag = tag_of(tx, name);
    tx.enter_token(tag, false);
    tx.delete_object(ObjectKind::Token, &tag)
}

/// Takes everything of a token away; its record goes with it.
pub(crate) fn forget(tx: &mut VerifiedTx<'_>, record: &TokenRecord) -> Result<(), VaultError> {
    tx.entries.needs(&record.apis);
    tx.rows.delete_view(&record.id)?;
    tx.rows.delete_ledger(Ledger::Token(record.id))?;
    forget_damaged(tx, &record.name)
}
