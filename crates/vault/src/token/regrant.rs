//! What a change does to tokens: grants and views kept current, holders' chains held against what was recorded of them.

use std::collections::BTreeMap;

use crate::audit::{self, Action, Chain, Event, KeyRef, Seed};
use crate::state::StateError;
use crate::store::GrantRow;
use crate::unlock::token::{Token, TokenKeys};
use keyvault_core::clock::Moment;
use keyvault_core::crypto::{self, Digest, Key};
use keyvault_core::name::{Scope, TokenName};

use super::Issued;
use super::grant::{self, Grant, GrantedVersion, View};
use super::record::{Mark, Rule, TokenRecord, ViewMark};
use crate::error::VaultError;
use crate::file::open::{Notice, World};
use crate::file::restore_guard::is_damage;
use crate::key::edit::key_ref;
use crate::key::record::{Item, Version, VersionState};
use crate::tx::{Work, damaged};

const VIEW_MARK_LABEL: &[u8] = b"keyvault token view mark";

/// Whom keys are granted to, and which.
pub(crate) struct Grantee {
    pub(crate) name: TokenName,
    pub(crate) rule: Rule,
    pub(crate) expires: Option<Moment>,
    pub(crate) made: Moment,
    /// How far reads from bundles have been imported, which outlasts the secret that they were recorded under.
    pub(crate) places: Vec<([u8; 16], Mark)>,
}

impl Grantee {
    /// The same under another secret.
    pub(crate) fn of(record: &TokenRecord) -> Self {
        Self {
            name: record.name.clone(),
            rule: record.rule.clone(),
            expires: record.expires,
            made: record.created,
            places: record.places.clone(),
        }
    }
}

/// How the log says that a token was made.
pub(crate) fn created(name: &TokenName) -> String {
    format!("created {name}")
}

impl Work<'_> {
    /// The tokens that are in force, with what their holders read, for a rekey.
    pub(crate) fn tokens_to_renew(
        &self,
        records: &[TokenRecord],
        world: &World<'_>,
    ) -> Result<Vec<(Grantee, Vec<Event>)>, VaultError> {
        let in_force = records.iter().filter(|record| record.revoked.is_none());
        in_force.map(|record| Ok((Grantee::of(record), self.reads_to_keep(record, world)?))).collect()
    }

    /// Each of them under a new secret.
    pub(crate) fn renew_all(
        &mut self,
        tokens: Vec<(Grantee, Vec<Event>)>,
        items: &[Item],
        world: &World<'_>,
    ) -> Result<Vec<Issued>, VaultError> {
        let renew = |(grantee, reads): (Grantee, Vec<Event>)| {
            let items: Vec<_> = items.iter().filter(|item| grantee.rule.matches(item)).cloned().collect();
            self.issue_token(grantee, &items, &reads, world)
        };
        tokens.into_iter().map(renew).collect()
    }

    /// Revokes those of the tokens in force that are `spent`.
    pub(crate) fn revoke_tokens(
        &mut self,
        spent: impl Fn(&TokenRecord) -> bool,
        world: &World<'_>,
    ) -> Result<(), VaultError> {
        for mut record in self.load_tokens()? {
            if record.revoked.is_none() && spent(&record) {
                self.revoke(&mut record, world)?;
            }
        }
        Ok(())
    }

    /// The token opens nothing any more; its record stays, with what its holder read.
    pub(crate) fn revoke(&mut self, record: &mut TokenRecord, world: &World<'_>) -> Result<(), VaultError> {
        self.tx.delete_view(&record.id)?;
        record.revoked = Some(world.now());
        record.view = None;
        // What its holder does to its log from here on concerns nobody.
        let keys = record.keys(&self.identity);
        self.note_reads(record, &keys, world)?;
        self.put_token(record, world)
    }

    /// The keys that a rule grants. Only before this change has touched any.
    pub(crate) fn matching(&mut self, rule: &Rule) -> Result<Vec<Item>, VaultError> {
        let mut items = match self.items() {
            // A row that somebody put there is nothing to grant, and keeps no token from being renewed; a token that
            // was taken out of the file does.
            Err(error) if is_damage(&error) => {
                self.load_tokens()?;
                self.items_that_hold()?
            }
            items => items?,
        };
        items.retain(|item| rule.matches(item));
        Ok(items)
    }

    /// The keys that the tree knows as they stand, whatever became of the others; without those that this change has
    /// written.
    fn items_that_hold(&mut self) -> Result<Vec<Item>, VaultError> {
        let mut items = Vec::new();
        for tag in self.tx.item_tags()? {
            if self.leaf_changes.contains_key(&tag) {
                continue;
            }
            match self.item_at(&tag) {
                Err(error) if is_damage(&error) => {}
                item => items.extend(item?),
            }
        }
        Ok(items)
    }

    /// A new token under a new secret, its grants and view, and its holder's chain with what was read before.
    pub(crate) fn issue_token(
        &mut self,
        grantee: Grantee,
        items: &[Item],
        reads: &[Event],
        world: &World<'_>,
    ) -> Result<Issued, VaultError> {
        let token = Token::create(world.rng)?;
        let mut record = TokenRecord {
            name: grantee.name,
            id: token.id(),
            rule: grantee.rule,
            created: grantee.made,
            expires: grantee.expires,
            revoked: None,
            made_by: format!("{}@{}", world.actor.user, world.actor.host),
            reader: token.reader(),
            first_key: Key::random(world.rng)?,
            view: None,
            read: Mark::START,
            // A chain that was not proved is not kept, and what it knew can be imported again.
            places: if reads.is_empty() { Vec::new() } else { grantee.places },
        };
        let keys = record.keys(&self.identity);
        let seed = Key::from_bytes(record.first_key.expose()).ok_or_else(|| damaged("token: k₀"))?;
        let chain = Chain::rewrite(Seed::from(seed), self.tx, &keys.audit, &self.identity, reads, world.rng)?;
        record.read = Mark { count: chain.count, head: chain.head };
        if !record.expired(world.now()) {
            for item in items {
                self.put_grant(&record, &keys, item, world)?;
            }
        }
        self.write_view(&mut record, &keys, false, world)?;
        self.put_token(&record, world)?;
        let lacks = |scope: &&Scope| !items.iter().any(|item| item.scopes.contains(*scope));
        let empty_scopes = record.rule.scopes.iter().filter(lacks).cloned().collect();
        let opened = items.iter().filter(|item| item.has_value(world.now()));
        let opened = opened.map(|item| item.name.clone()).collect();
        Ok(Issued { record, token, granted: opened, empty_scopes })
    }

    fn put_grant(
        &self,
        record: &TokenRecord,
        keys: &TokenKeys,
        item: &Item,
        world: &World<'_>,
    ) -> Result<(), VaultError> {
        let grant = self.grant_of(item, world.now())?;
        Ok(self.tx.put_grant(&grant.seal(keys, &self.identity, &record.id, world.rng)?)?)
    }

    /// What a holder is to know of a key: only versions that are good have their keys in it.
    pub(crate) fn grant_of(&self, item: &Item, now: Moment) -> Result<Grant, VaultError> {
        let mut versions = Vec::new();
        for version in &item.versions {
            let state = version.state_at(now);
            if matches!(state, VersionState::Current | VersionState::Previous) && version.digest.is_some() {
                match self.granted_version(item, version, state) {
                    // What another holder put in its place is not passed on as the owner's.
                    Err(error) if is_damage(&error) => {}
                    granted => versions.push(granted?),
                }
            }
        }
        Ok(Grant::of(item, versions))
    }

    fn granted_version(
        &self,
        item: &Item,
        version: &Version,
        state: VersionState,
    ) -> Result<GrantedVersion, VaultError> {
        let rows = self.version_rows(&item.id, version.number)?;
        drop(self.opener().value(&item.id, version, &rows)?);
        let key = self.opener().version_key(&item.id, version, &rows)?;
        let (number, grace_until) = (version.number, version.good_until());
        Ok(GrantedVersion { number, state, grace_until, key, sealed: crypto::sha256(&rows.1) })
    }

    /// A token's grants and view, from the owner's record and keys alone, in the place of whatever stands there.
    pub(crate) fn grant_anew(
        &mut self,
        record: &mut TokenRecord,
        items: &[Item],
        world: &World<'_>,
    ) -> Result<(), VaultError> {
        let keys = record.keys(&self.identity);
        // Whoever altered the view could also have made one that is over: that only takes something away.
        let was_over = self.view_is_over(record, &keys).unwrap_or(false);
        self.tx.delete_view(&record.id)?;
        if !was_over && !record.expired(world.now()) {
            for item in items.iter().filter(|item| record.rule.matches(item)) {
                self.put_grant(record, &keys, item, world)?;
            }
        }
        self.write_view(record, &keys, was_over, world)
    }

    /// Binds the grants as they stand now, under this change's number. `was_over`: the view before it was.
    fn write_view(
        &mut self,
        record: &mut TokenRecord,
        keys: &TokenKeys,
        was_over: bool,
        world: &World<'_>,
    ) -> Result<(), VaultError> {
        let rows = self.tx.grants(&record.id)?;
        let now = world.now();
        let over = record.expires.filter(|_| was_over);
        let view = View {
            change: self.next_change(),
            name: record.name.clone(),
            time: over.map_or(now, |expires| now.max(expires)),
            expires: record.expires,
            count: u32::try_from(rows.len()).map_err(|_| damaged("token_grant: too many"))?,
            grants: grant::grants_digest(keys, &rows),
        };
        let row = view.seal(keys, &self.identity, &record.id, world.rng)?;
        record.view = Some(ViewMark { change: view.change, digest: self.view_mark(&row.sealed) });
        Ok(self.tx.put_view(&row)?)
    }

    /// Whether the view was written when the token had expired. From then on it gets no grant, whatever the clock says:
    /// what such a view lacks was withheld.
    pub(crate) fn view_is_over(&self, record: &TokenRecord, keys: &TokenKeys) -> Result<bool, VaultError> {
        let Some((expires, row)) = record.expires.zip(self.tx.view(&record.id)?) else { return Ok(false) };
        Ok(expires <= View::open(&row, keys, &self.identity)?.time)
    }

    fn view_mark(&self, sealed: &[u8]) -> Digest {
        // All of it: the holder has the key, and could make another with the same salt, commitment and tag.
        self.keys.tree.digest(&[VIEW_MARK_LABEL, sealed])
    }

    /// A token's grants, held against its view, and that against its record: what a holder put there itself must not be
    /// bound by the next view.
    pub(crate) fn verified_grants(&self, record: &TokenRecord) -> Result<Vec<GrantRow>, VaultError> {
        let keys = record.keys(&self.identity);
        let wrong = |what: &str| StateError::Mismatch { what: format!("{what} of token {}", record.name) };
        let row = self.tx.view(&record.id)?;
        let mark =
            row.as_ref().map(|row| ViewMark { change: row.change, digest: self.view_mark(&row.sealed) });
        if mark != record.view {
            return Err(wrong("token_view").into());
        }
        let rows = self.tx.grants(&record.id)?;
        let Some(row) = row else {
            return if rows.is_empty() { Ok(rows) } else { Err(wrong("token_grant").into()) };
        };
        if View::open(&row, &keys, &self.identity)?.binds(&rows, &keys) {
            Ok(rows)
        } else {
            Err(wrong("token_grant").into())
        }
    }

    /// The keys that it could read, current versions: those that it matches, those that its grants open, and those that
    /// were read with it and are still as they were. The rows are its holder's to alter, so none of these is enough; and
    /// none that does not hold is in the way, for this is what an emergency asks.
    pub(crate) fn could_read(&mut self, record: &TokenRecord) -> Vec<KeyRef> {
        let keys = record.keys(&self.identity);
        let grants = self.tx.grants(&record.id).unwrap_or_default();
        let reads = self.reads_of(record).unwrap_or_default();
        let own = self.first_own(record, &reads);
        let read: Vec<_> = reads.into_iter().skip(own).flat_map(|read| read.keys).collect();
        let mut named = Vec::new();
        let items = match self.items() {
            Ok(items) => Ok(items),
            Err(_) => self.items_that_hold(),
        };
        if let Ok(items) = items {
            let now = items.iter().map(|item| (item, key_ref(item)));
            let could = now.filter(|(item, key)| record.rule.matches(item) || read.contains(key));
            named.extend(could.map(|(_, key)| key));
        }
        let opened = grants.iter().filter_map(|row| Grant::open(row, &keys, &self.identity).ok());
        named.extend(opened.map(|grant| grant.key_ref()));
        // What the vault says of a key stands before what its holder may have written.
        named.sort_by(|left, right| left.name.cmp(&right.name));
        named.dedup_by(|left, right| left.name == right.name);
        named
    }

    /// How many of these reads are of tokens that had its name before. There are none, whatever the times in its holder's
    /// entries, if the log knows of no such token; and behind the first read of its own none is another's.
    pub(crate) fn first_own(&self, record: &TokenRecord, reads: &[Event]) -> usize {
        let earlier = reads.iter().take_while(|read| read.time < record.created).count();
        if earlier == 0 {
            return 0;
        }
        let (mut made, detail) = (0, created(&record.name));
        let told = audit::read_what_opens(self.tx, &self.keys.audit, &self.identity, &mut |event| {
            made += u32::from(event.action == Action::Token && event.detail == detail);
        });
        if told.is_ok() && made > 1 { earlier } else { 0 }
    }

    /// Notes a key that this change writes (or removes: `None`), if there is a token that it may concern.
    pub(crate) fn touch(&mut self, id: [u8; 16], after: Option<&Item>) -> Result<(), VaultError> {
        if self.has_tokens.is_none() {
            self.has_tokens = Some(!self.tx.tokens()?.is_empty());
        }
        if self.has_tokens == Some(true) {
            self.touched.insert(id, after.cloned());
        }
        Ok(())
    }

    /// Writes what this change means for every token.
    pub(crate) fn apply_token_changes(&mut self, world: &World<'_>) -> Result<(), VaultError> {
        let touched = std::mem::take(&mut self.touched);
        let records = self.load_tokens()?;
        let ids = |records: &mut dyn Iterator<Item = &TokenRecord>| records.map(|record| record.id).collect();
        let in_force: Vec<_> = ids(&mut records.iter().filter(|record| record.revoked.is_none()));
        let known: Vec<_> = ids(&mut records.iter());
        if self.tx.delete_other_tokens(&in_force, &known)? > 0 {
            (world.notice)(Notice::StrayTokenRows);
        }
        for mut record in records {
            let keys = record.keys(&self.identity);
            let granted = record.revoked.is_none() && self.regrant(&mut record, &keys, &touched, world)?;
            let granted = granted || self.is_left_behind(&record);
            let read = record.revoked.is_none() && self.note_reads(&mut record, &keys, world)?;
            if granted {
                let was_over = self.view_is_over(&record, &keys)?;
                self.write_view(&mut record, &keys, was_over, world)?;
            }
            if granted || read {
                self.put_token(&record, world)?;
            }
        }
        Ok(())
    }

    /// Whether a restore or an adoption leaves a view behind under a number that its holder may have seen surpassed: it
    /// would take the owner's own decision for a rollback.
    fn is_left_behind(&self, record: &TokenRecord) -> bool {
        self.floor > 0 && record.view.is_some_and(|view| view.change < self.next_change())
    }

    fn regrant(
        &mut self,
        record: &mut TokenRecord,
        keys: &TokenKeys,
        touched: &BTreeMap<[u8; 16], Option<Item>>,
        world: &World<'_>,
    ) -> Result<bool, VaultError> {
        // One that was made in this very change has seen all keys.
        if (touched.is_empty() && self.floor == 0)
            || record.view.is_some_and(|view| view.change == self.next_change())
        {
            return Ok(false);
        }
        let rows = match self.verified_grants(record) {
            Err(error) if is_damage(&error) => {
                (world.notice)(Notice::GrantsAltered {
                    token: record.name.clone(),
                    fault: error.to_string(),
                });
                let mut items = self.items_that_hold()?;
                items.extend(touched.values().flatten().cloned());
                record.rule.keys.retain(|id| touched.get(id) != Some(&None));
                self.grant_anew(record, &items, world)?;
                return Ok(true);
            }
            rows => rows?,
        };
        // Its holder can turn a clock back, so a token that has expired is not trusted to refuse: it gets nothing of what
        // a key is from now on, not even its name. The first change that finds it so says it in the view.
        let was_over = self.view_is_over(record, keys)?;
        let over = was_over || record.expired(world.now());
        let mut changed = over && !was_over;
        for (id, after) in touched {
            match after.as_ref().filter(|item| !over && record.rule.matches(item)) {
                Some(item) => {
                    self.put_grant(record, keys, item, world)?;
                    changed = true;
                }
                None if rows.iter().any(|row| row.item == *id) => {
                    self.tx.delete_grant(&record.id, id)?;
                    changed = true;
                }
                None => {}
            }
            if after.is_none() {
                record.rule.keys.remove(id);
            }
        }
        Ok(changed)
    }
}
