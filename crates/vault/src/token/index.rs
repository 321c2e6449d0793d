//! Tokens' records: in their table, and in the tree, which knows which of them there are.

use crate::store::{Tag, TokenRow};
use keyvault_core::codec;
use keyvault_core::crypto::{self, Digest};
use keyvault_core::name::TokenName;

use super::error::TokenError;
use super::record::TokenRecord;
use crate::error::VaultError;
use crate::file::open::{Notice, World};
use crate::tx::leaf::{self, Kind};
use crate::tx::{Work, damaged, row_place};

const RECORD_LABEL: &str = "keyvault token record";

impl Work<'_> {
    pub(crate) fn token_tag(&self, name: &TokenName) -> Tag {
        self.tag(Kind::Token, name.as_str().as_bytes())
    }

    pub(crate) fn token_leaf(&self, row: &TokenRow) -> Digest {
        self.row_leaf(Kind::Token, &row.tag, row.revision, &row.sealed)
    }

    /// Where it stands which tokens there are, and what stands there.
    pub(crate) fn tokens_leaf(&self, rows: &[TokenRow]) -> Option<(Tag, Digest)> {
        let leaf = leaf::tokens_leaf(&self.keys.tree, rows.iter().map(|row| &row.tag))?;
        Some((self.tag(Kind::Tokens, &[]), leaf))
    }

    /// Every token's record, held against the tree, and that none is missing.
    pub(crate) fn load_tokens(&mut self) -> Result<Vec<TokenRecord>, VaultError> {
        let rows = self.tx.tokens()?;
        let leaf = self.tokens_leaf(&rows).map(|(_, leaf)| leaf);
        let tag = self.tag(Kind::Tokens, &[]);
        if self.leaf_changes.get(&tag) != Some(&leaf) {
            self.expect_leaf(&tag, leaf, "the list of tokens")?;
        }
        rows.iter().map(|row| self.verified_token(row)).collect()
    }

    /// Takes the records away that the tree does not know, so that a change goes on without them. That one which it knows
    /// is missing stays an error of whoever reads them all.
    pub(crate) fn drop_stray_tokens(&mut self, world: &World<'_>) -> Result<(), VaultError> {
        let mut strays = self.tx.delete_malformed_tokens()?;
        let rows = self.tx.tokens()?;
        let known = self.tree.leaf(&self.tag(Kind::Tokens, &[]))?;
        if known != self.tokens_leaf(&rows).map(|(_, leaf)| leaf) {
            for row in &rows {
                if self.tree.leaf(&row.tag)?.is_none() {
                    self.tx.delete_token(&row.tag)?;
                    strays += 1;
                }
            }
        }
        if strays > 0 {
            (world.notice)(Notice::StrayTokenRows);
        }
        Ok(())
    }

    pub(crate) fn verified_token(&mut self, row: &TokenRow) -> Result<TokenRecord, VaultError> {
        let leaf = self.token_leaf(row);
        // One that was written in this change is not in the tree yet.
        if self.leaf_changes.get(&row.tag) != Some(&Some(leaf)) {
            self.expect_leaf(&row.tag, Some(leaf), "token")?;
        }
        self.open_token(row)
    }

    pub(crate) fn open_token(&self, row: &TokenRow) -> Result<TokenRecord, VaultError> {
        let context = self.identity.context(&row_place("token", &row.tag, row.revision));
        let plain = crypto::open(&self.keys.metadata, RECORD_LABEL, &context, &row.sealed)
            .map_err(|_| damaged("token: does not open"))?;
        codec::unpad(&plain).and_then(TokenRecord::decode).map_err(|_| damaged("token: malformed"))
    }

    pub(crate) fn token(&mut self, name: &TokenName) -> Result<Option<TokenRecord>, VaultError> {
        let tag = self.token_tag(name);
        let Some(row) = self.tx.token(&tag)? else {
            self.expect_leaf(&tag, None, "token")?;
            return Ok(None);
        };
        self.verified_token(&row).map(Some)
    }

    pub(crate) fn existing_token(&mut self, name: &TokenName) -> Result<TokenRecord, VaultError> {
        Ok(self.token(name)?.ok_or_else(|| TokenError::Missing(name.clone()))?)
    }

    pub(crate) fn put_token(&mut self, record: &TokenRecord, world: &World<'_>) -> Result<(), VaultError> {
        let tag = self.token_tag(&record.name);
        let revision = self.tx.token(&tag)?.map_or(0, |row| row.revision) + 1;
        let padded = codec::pad(&record.encode()).map_err(|_| damaged("token: too long to encode"))?;
        let context = self.identity.context(&row_place("token", &tag, revision));
        let sealed = crypto::seal(&self.keys.metadata, RECORD_LABEL, &context, padded.expose(), world.rng)?;
        let row = TokenRow { tag, revision, sealed };
        self.leaf_changes.insert(tag, Some(self.token_leaf(&row)));
        self.tx.put_token(&row)?;
        if row.revision == 1 { self.note_tokens() } else { Ok(()) }
    }

    /// Notes which tokens there are by now.
    fn note_tokens(&mut self) -> Result<(), VaultError> {
        let leaf = self.tokens_leaf(&self.tx.tokens()?).map(|(_, leaf)| leaf);
        self.leaf_changes.insert(self.tag(Kind::Tokens, &[]), leaf);
        Ok(())
    }

    /// Takes a token out of the tree whose record does not hold. What belongs to it goes with the rows of tokens that are
    /// not known.
    pub(crate) fn forget_damaged_token(&mut self, name: &TokenName) -> Result<(), VaultError> {
        let tag = self.token_tag(name);
        self.tx.delete_token(&tag)?;
        self.leaf_changes.insert(tag, None);
        self.note_tokens()
    }

    /// Takes everything of a token away; its record goes with it.
    pub(crate) fn forget_token(&mut self, record: &TokenRecord) -> Result<(), VaultError> {
        let tag = self.token_tag(&record.name);
        self.tx.delete_view(&record.id)?;
        self.tx.delete_ledger(&record.id)?;
        self.tx.delete_token(&tag)?;
        self.leaf_changes.insert(tag, None);
        self.note_tokens()
    }
}
