//! A set on its way into another epoch, or out of a backup.

use keyvault_core::clock::{Moment, Rng};
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::SigningKey;

use super::content::Rows;
use super::page::{self, At};
use super::{Changes, Draft, Found, LoadedSet, PageKeys, SealedPage, SetError, WriteError, Written, tree};
use crate::record::{Api, IssuerEntry, IssuerState, Note, Override, State, VerifierEntry, VerifierState};

impl LoadedSet {
    /// Seals the set again, for a rekey: page by page and byte for byte, so that records of later versions come along. The
    /// pages are the rows that the set was loaded from; each is held against its leaf. The new header is by `draft`.
    pub fn reseal<'a>(
        &self,
        pages: impl IntoIterator<Item = SealedPage<'a>>,
        old: &PageKeys,
        draft: &Draft,
        new: &PageKeys,
        signing: &SigningKey,
        rng: &dyn Rng,
    ) -> Result<Written, WriteError> {
        let header = self.header().header();
        let mut rows = Rows::new(draft, new, rng);
        let mut pages = pages.into_iter();
        for count in &*header.kinds {
            let kind = count.kind;
            let no_key = WriteError::NoKey(kind as u8);
            let (old_key, new_key) = old.get(kind).zip(new.get(kind)).ok_or(no_key)?;
            let known = self.leaves.get(&kind).ok_or(no_key)?;
            for (page, known) in (0..count.pages).zip(known) {
                let other = SetError::PageMissing { kind: kind as u8, page };
                let row =
                    pages.next().filter(|row| (row.kind, row.page) == (kind as u8, page)).ok_or(other)?;
                if tree::leaf(&header.set, kind, page, &row.sealed) != *known {
                    return Err(other.into());
                }
                let from = At { identity: &header.identity, set: &header.set, kind, page };
                let to = At { identity: &draft.identity, set: &draft.set, kind, page };
                rows.keep_page(kind, page, page::reseal(from, old_key, to, new_key, &row.sealed, rng)?);
            }
            rows.records.insert(kind, count.records);
        }
        Ok(rows.sign(signing))
    }
}

/// The change that a set from a backup needs so that nothing which the replaced set of the same API refuses comes back:
/// overrides, revocations of keys and clients, the ends of issuers and verifiers. Ids that only the replaced set has revoked
/// stay, and so do issuers that only it has, as ended ones: no one gets an id or a mark again.
#[must_use]
pub fn narrowings(backup: &LoadedSet, replaced: &LoadedSet, now: Moment) -> Changes {
    let mut changes = Changes::default();
    changes.put.api = backup.api().zip(replaced.api()).and_then(|(own, other)| narrowed(own, other));
    for word in replaced.overrides() {
        let is_kept = match backup.r#override(&word.id) {
            Found::Record(own) => own.state.is_revoked() || !word.state.is_revoked(),
            Found::Newer => true,
            Found::Absent => false,
        };
        if !is_kept {
            changes.put.overrides.push(word.clone());
        }
    }
    for id in replaced.newer_overrides() {
        if matches!(backup.r#override(&id), Found::Absent) {
            let note = Note { since: now, reason: "by an override of a later version".into() };
            let state = State::Disabled(Box::new(note));
            changes.put.overrides.push(Override { id, state, extensions: Extensions::default() });
        }
    }
    for key in replaced.keys().filter(|key| key.state.is_revoked()) {
        match backup.key(&key.id) {
            Found::Absent => changes.put.keys.push(key.clone()),
            Found::Record(own) if !own.state.is_revoked() => {
                let mut own = own.clone();
                own.state = key.state.clone();
                changes.put.keys.push(own);
            }
            Found::Record(_) | Found::Newer => {}
        }
    }
    for client in replaced.clients().filter(|client| client.state.is_revoked()) {
        match backup.client(&client.id) {
            Found::Absent => changes.put.clients.push(client.clone()),
            Found::Record(own) if !own.state.is_revoked() => {
                let mut own = own.clone();
                own.state = client.state.clone();
                changes.put.clients.push(own);
            }
            Found::Record(_) | Found::Newer => {}
        }
    }
    changes
}

/// The API's record of a backup with what has ended since; `None` if that changes nothing.
fn narrowed(own: &Api, replaced: &Api) -> Option<Api> {
    let mut issuers: Vec<IssuerEntry> = own.issuers.to_vec();
    for issuer in &mut issuers {
        let Some(other) = replaced.issuers.find(&issuer.set) else { continue };
        issuer.state = issuer.state.max(other.state);
        issuer.ends = issuer.ends.into_iter().chain(other.ends).min();
    }
    let is_new = |issuer: &&IssuerEntry| !own.issuers.has(&issuer.set);
    let ended = |issuer: &IssuerEntry| IssuerEntry { state: IssuerState::Ended, ..issuer.clone() };
    issuers.extend(replaced.issuers.iter().filter(is_new).map(ended));

    let mut verifiers: Vec<VerifierEntry> = own.verifiers.to_vec();
    for verifier in &mut verifiers {
        let Some(other) = replaced.verifiers.find(&verifier.id) else { continue };
        verifier.state = verifier.state.max(other.state);
        if other.seen.count > verifier.seen.count {
            verifier.seen = other.seen;
        }
    }
    let is_new = |verifier: &&VerifierEntry| !own.verifiers.has(&verifier.id);
    let closed =
        |verifier: &VerifierEntry| VerifierEntry { state: VerifierState::Closed, ..verifier.clone() };
    verifiers.extend(replaced.verifiers.iter().filter(is_new).map(closed));

    let is_other = issuers != own.issuers.to_vec() || verifiers != own.verifiers.to_vec();
    is_other.then(|| own.with(issuers, verifiers))
}
