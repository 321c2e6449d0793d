//! Tokens' records: in their table, and in the tree, which knows which of them there are.

use crate::store::{Tag, TokenRow};
use keyvault_core::codec;
use keyvault_core::crypto::{self, Digest};
use keyvault_core::name::TokenName;

use super::error::TokenError;
use super::record::TokenRecord;
use crate::error::VaultError;
use crate::file::open::{Notice, World};
use crate::tx::leaf::{self, LeafKind};
use crate::tx::{VerifiedTx, damaged, known, row_place};

const RECORD_LABEL: &str = "keyvault token record";

pub(crate) fn tag_of(tx: &VerifiedTx<'_>, name: &TokenName) -> Tag {
    tx.tag(LeafKind::Token, name.as_str().as_bytes())
}

pub(crate) fn leaf_of(tx: &VerifiedTx<'_>, row: &TokenRow) -> Digest {
    tx.row_leaf(LeafKind::Token, &row.tag, row.revision, &row.sealed)
}

/// Where it stands which tokens there are, and what stands there.
pub(crate) fn leaf_of_all(tx: &VerifiedTx<'_>, rows: &[TokenRow]) -> Option<(Tag, Digest)> {
    let leaf = leaf::tokens_leaf(&tx.daily.tree, rows.iter().map(|row| &row.tag))?;
    Some((tx.tag(LeafKind::Tokens, &[]), leaf))
}

/// Every token's record, held against the tree, and that none is missing.
pub(crate) fn load_all(tx: &mut VerifiedTx<'_>) -> Result<Vec<TokenRecord>, VaultError> {
    let rows = tx.rows.tokens()?;
    let leaf = leaf_of_all(tx, &rows).map(|(_, leaf)| leaf);
    let tag = tx.tag(LeafKind::Tokens, &[]);
    if tx.leaf_changes.get(&tag) != Some(&leaf) {
        tx.expect_leaf(&tag, leaf, "the list of tokens")?;
    }
    rows.iter().map(|row| verified_record(tx, row)).collect()
}

/// Takes the records away that the tree does not know, so that a change goes on without them. That one which it knows
/// is missing stays an error of whoever reads them all.
pub(crate) fn drop_strays(tx: &mut VerifiedTx<'_>, world: &World<'_>) -> Result<(), VaultError> {
    let mut strays = tx.rows.delete_malformed_tokens()?;
    let rows = tx.rows.tokens()?;
    let known = tx.tree.leaf(&tx.tag(LeafKind::Tokens, &[]))?;
    if known != leaf_of_all(tx, &rows).map(|(_, leaf)| leaf) {
        for row in &rows {
            if tx.tree.leaf(&row.tag)?.is_none() {
                tx.rows.delete_token(&row.tag)?;
                strays += 1;
            }
        }
    }
    if strays > 0 {
        world.note(Notice::StrayTokenRows);
    }
    Ok(())
}

pub(crate) fn verified_record(tx: &mut VerifiedTx<'_>, row: &TokenRow) -> Result<TokenRecord, VaultError> {
    let leaf = leaf_of(tx, row);
    // One that was written in this change is not in the tree yet.
    if tx.leaf_changes.get(&row.tag) != Some(&Some(leaf)) {
        tx.expect_leaf(&row.tag, Some(leaf), "token")?;
    }
    open_record(tx, row)
}

pub(crate) fn open_record(tx: &VerifiedTx<'_>, row: &TokenRow) -> Result<TokenRecord, VaultError> {
    let context = tx.identity.context(&row_place("token", &row.tag, row.revision));
    let plain = crypto::open(&tx.daily.metadata, RECORD_LABEL, &context, &row.sealed)
        .map_err(|_| damaged("token: does not open"))?;
    let record =
        codec::unpad(&plain).and_then(TokenRecord::decode).map_err(|_| damaged("token: malformed"))?;
    known("the record of a token", &record.extensions)?;
    Ok(record)
}

pub(crate) fn find(tx: &mut VerifiedTx<'_>, name: &TokenName) -> Result<Option<TokenRecord>, VaultError> {
    let tag = tag_of(tx, name);
    let Some(row) = tx.rows.token(&tag)? else {
        tx.expect_leaf(&tag, None, "token")?;
        return Ok(None);
    };
    verified_record(tx, &row).map(Some)
}

pub(crate) fn existing(tx: &mut VerifiedTx<'_>, name: &TokenName) -> Result<TokenRecord, VaultError> {
    Ok(find(tx, name)?.ok_or_else(|| TokenError::Missing(name.clone()))?)
}

pub(crate) fn put(
    tx: &mut VerifiedTx<'_>,
    record: &TokenRecord,
    world: &World<'_>,
) -> Result<(), VaultError> {
    tx.rewrites("the record of a token", &record.extensions);
    let tag = tag_of(tx, &record.name);
    let revision = tx.rows.token(&tag)?.map_or(0, |row| row.revision) + 1;
    let padded = record.encode().and_then(|plain| codec::pad(plain.expose()));
    let padded = padded.map_err(|_| damaged("token: too long to encode"))?;
    let context = tx.identity.context(&row_place("token", &tag, revision));
    let sealed = crypto::seal(&tx.daily.metadata, RECORD_LABEL, &context, padded.expose(), world.rng)?;
    let row = TokenRow { tag, revision, sealed };
    tx.leaf_changes.insert(tag, Some(leaf_of(tx, &row)));
    tx.rows.put_token(&row)?;
    if row.revision == 1 { note_all(tx) } else { Ok(()) }
}

/// Notes which tokens there are by now.
fn note_all(tx: &mut VerifiedTx<'_>) -> Result<(), VaultError> {
    let leaf = leaf_of_all(tx, &tx.rows.tokens()?).map(|(_, leaf)| leaf);
    tx.leaf_changes.insert(tx.tag(LeafKind::Tokens, &[]), leaf);
    Ok(())
}

/// Takes a token out of the tree whose record does not hold. What belongs to it goes with the rows of tokens that are
/// not known.
pub(crate) fn forget_damaged(tx: &mut VerifiedTx<'_>, name: &TokenName) -> Result<(), VaultError> {
    let tag = tag_of(tx, name);
    tx.rows.delete_token(&tag)?;
    tx.leaf_changes.insert(tag, None);
    note_all(tx)
}

/// Takes everything of a token away; its record goes with it.
pub(crate) fn forget(tx: &mut VerifiedTx<'_>, record: &TokenRecord) -> Result<(), VaultError> {
    let tag = tag_of(tx, &record.name);
    tx.rows.delete_view(&record.id)?;
    tx.rows.delete_ledger(&record.id)?;
    tx.rows.delete_token(&tag)?;
    tx.leaf_changes.insert(tag, None);
    note_all(tx)
}
