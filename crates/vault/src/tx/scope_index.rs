//! Scopes and their members, indexed so that `--scope` reads its members only and cannot be shortened.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::state::StateError;
use crate::store::{ScopeRow, Tag};
use keyvault_core::clock::Rng;
use keyvault_core::codec::{self, Extensions};
use keyvault_core::crypto::{self, Digest};
use keyvault_core::name::Scope;

use super::leaf::LeafKind;
use super::{VerifiedTx, damaged, known, row_place};
use crate::error::VaultError;
use crate::key::record::KeyRecord;

const SCOPE_LABEL: &str = "keyvault scope";
const MEMBERS_LABEL: &[u8] = b"keyvault scope members";

#[derive(BorshSerialize, BorshDeserialize)]
pub(crate) struct ScopeSummary {
    pub(crate) name: Scope,
    pub(crate) count: u32,
    pub(crate) members: Digest,
    extensions: Extensions,
}

impl VerifiedTx<'_> {
    /// Enters what a key's name and scopes become; the rows are written when the change ends, once for each scope and
    /// each bucket of names.
    pub(crate) fn enter(&mut self, before: Option<&KeyRecord>, after: Option<&KeyRecord>) {
        for (key, member) in [(before, false), (after, true)] {
            let Some(key) = key else { continue };
            let tag = self.key_tag(&key.name);
            self.name_changes.insert(key.name.clone(), member);
            for scope in &key.scopes {
                self.scope_changes.entry(scope.clone()).or_default().insert(tag, member);
            }
        }
    }

    /// The members of a scope, verified to be all of them; empty if there is no such scope, which is proved too.
    pub(crate) fn scope_members(&mut self, scope: &Scope) -> Result<Vec<Tag>, VaultError> {
        let tag = self.tag(LeafKind::Scope, scope.as_str().as_bytes());
        Ok(self.scope_row(&tag)?.map_or_else(Vec::new, |(_, _, members)| members))
    }

    fn scope_row(&mut self, tag: &Tag) -> Result<Option<(ScopeRow, ScopeSummary, Vec<Tag>)>, VaultError> {
        let row = self.rows.scope(tag)?;
        let leaf = row.as_ref().map(|row| self.row_leaf(LeafKind::Scope, tag, row.revision, &row.sealed));
        self.expect_leaf(tag, leaf, "scope")?;
        let Some(row) = row else { return Ok(None) };
        let summary = self.open_scope(&row)?;
        let members = self.rows.scope_members(tag)?;
        let right = u32::try_from(members.len()) == Ok(summary.count)
            && self.members_digest(tag, &members) == summary.members;
        if right {
            Ok(Some((row, summary, members)))
        } else {
            Err(StateError::Mismatch { what: "scope_member".to_owned() }.into())
        }
    }

    pub(crate) fn open_scope(&self, row: &ScopeRow) -> Result<ScopeSummary, VaultError> {
        let context = self.identity.context(&row_place("scope", &row.tag, row.revision));
        let plain = crypto::open(&self.daily.metadata, SCOPE_LABEL, &context, &row.sealed)
            .map_err(|_| damaged("scope: does not open"))?;
        let summary = codec::unpad(&plain)
            .and_then(codec::decode)
            // A scope without members has no row.
            .and_then(
                |summary: ScopeSummary| if summary.count == 0 { Err(codec::Malformed) } else { Ok(summary) },
            )
            .map_err(|_| damaged("scope: malformed"))?;
        known("the record of a scope", &summary.extensions)?;
        Ok(summary)
    }

    pub(crate) fn members_digest(&self, scope: &Tag, members: &[Tag]) -> Digest {
        self.daily.tree.digest(&[MEMBERS_LABEL, scope, members.as_flattened()])
    }

    pub(crate) fn apply_scope_changes(&mut self, rng: &dyn Rng) -> Result<(), VaultError> {
        for (scope, moves) in std::mem::take(&mut self.scope_changes) {
            self.rewrite_scope(&scope, &moves, rng)?;
        }
        Ok(())
    }

    fn rewrite_scope(
        &mut self,
        scope: &Scope,
        moves: &BTreeMap<Tag, bool>,
        rng: &dyn Rng,
    ) -> Result<(), VaultError> {
        let tag = self.tag(LeafKind::Scope, scope.as_str().as_bytes());
        let before = self.scope_row(&tag)?;
        let revision = before.as_ref().map_or(0, |(row, ..)| row.revision) + 1;
        let extensions = before.map(|(_, summary, _)| summary.extensions).unwrap_or_default();
        self.rewrites("the record of a scope", &extensions);
        for (key, member) in moves {
            if *member {
                self.rows.put_scope_member(&tag, key)?;
            } else {
                self.rows.delete_scope_member(&tag, key)?;
            }
        }
        let members = self.rows.scope_members(&tag)?;
        if members.is_empty() {
            self.rows.delete_scope(&tag)?;
            self.leaf_changes.insert(tag, None);
            return Ok(());
        }
        let summary = ScopeSummary {
            name: scope.clone(),
            count: u32::try_from(members.len()).map_err(|_| damaged("scope: too many members"))?,
            members: self.members_digest(&tag, &members),
            extensions,
        };
        let padded =
            codec::pad(&codec::encode(&summary)).map_err(|_| damaged("scope: too long to encode"))?;
        let context = self.identity.context(&row_place("scope", &tag, revision));
        let sealed = crypto::seal(&self.daily.metadata, SCOPE_LABEL, &context, padded.expose(), rng)?;
        let leaf = self.row_leaf(LeafKind::Scope, &tag, revision, &sealed);
        self.rows.put_scope(&ScopeRow { tag, revision, sealed })?;
        self.leaf_changes.insert(tag, Some(leaf));
        Ok(())
    }
}
