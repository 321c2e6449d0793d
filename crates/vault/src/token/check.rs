//! `vault check` of tokens: records, views, grants and bearers' chains, each held against the keys that there are.

use std::collections::BTreeSet;

use crate::store::{Ledger, LedgerId, ObjectKind, ObjectRow, TokenCounts};

use super::api_grant::ApiGrant;
use super::former::{FormerToken, SignedSuccession};
use super::grant::{Grant, View};
use super::record::TokenRecord;
use super::{index, read_log, regrant};
use crate::check::{Check, Finding, Tagged};
use crate::error::VaultError;
use crate::key::record::KeyRecord;
use crate::ledger;
use crate::tx::VerifiedTx;
use crate::tx::index::{Entry, Tokens};

/// Prefix of the findings about the reads of a bearer, or of a device.
const READS: &str = "log of";

/// A device's ledger as the reader of a finding. No token has a name with a space.
pub(crate) fn device(id: &LedgerId) -> String {
    format!("ledger {}", ledger::short(id))
}

impl Finding {
    /// Returns `true` if it is about what a device read.
    #[must_use]
    pub fn is_of_a_device(&self) -> bool {
        self.row.strip_prefix(READS).is_some_and(|reader| reader.starts_with(" ledger "))
    }

    /// Returns `true` if it is about what a token's bearer or a device read: rows whose damage is in the way of nothing.
    #[must_use]
    pub fn is_of_reads(&self) -> bool {
        self.row.starts_with(READS)
    }
}

impl Check {
    pub(crate) fn tokens(&mut self, tx: &mut VerifiedTx<'_>, keys: &[Tagged]) -> Result<(), VaultError> {
        let [ledgers, headless] = self.ledgers(tx)?;
        let mut expected = TokenCounts { ledgers, headless, ..TokenCounts::default() };
        let rows = tx.rows.objects(ObjectKind::Token)?;
        self.list_of_tokens(tx, &rows)?;
        for row in rows {
            let opened = tx.opener().object::<TokenRecord>(&row);
            let named = match &opened {
                Ok(record) => format!("token {}", record.name),
                Err(_) => row.place(),
            };
            self.claim(&named, &row.tag, tx.object_leaf(&row));
            match opened {
                Err(error) => self.find(&named, &error.fault()),
                Ok(record) if index::tag_of(tx, &record.name) != row.tag => {
                    self.find(&named, "stands where another name belongs");
                }
                Ok(record) => {
                    // A head that its bearer took away is a fault of its reads, and found as such. Its entries may be there.
                    let has_ledger = tx.rows.has_ledger(Ledger::Token(record.id))?;
                    expected.ledgers += u64::from(has_ledger);
                    expected.headless += u64::from(!has_ledger);
                    if let Err(error) = read_log::reads_of(tx, &record) {
                        self.find_reads(record.name.as_str(), &error.fault());
                    }
                    if record.revoked.is_none() {
                        expected.views += 1;
                        expected.grants += self.grants(tx, &record, None, keys)?;
                    }
                }
            }
        }
        for row in tx.rows.objects(ObjectKind::Former)? {
            let opened = tx.opener().object::<FormerToken>(&row);
            let named = match &opened {
                Ok(former) => format!("former token {}", former.record.name),
                Err(_) => row.place(),
            };
            self.claim(&named, &row.tag, tx.object_leaf(&row));
            match opened {
                Err(error) => self.find(&named, &error.fault()),
                Ok(former) if tx.object_tag(ObjectKind::Former, &former.record.id) != row.tag => {
                    self.find(&named, "stands where another token belongs");
                }
                Ok(FormerToken { record, proof, .. }) => {
                    let has_ledger = tx.rows.has_ledger(Ledger::Token(record.id))?;
                    expected.ledgers += u64::from(has_ledger);
                    expected.headless += u64::from(!has_ledger);
                    if let Err(error) = read_log::reads_of(tx, &record) {
                        self.find_reads(record.name.as_str(), &error.fault());
                    }
                    expected.views += 1;
                    expected.grants += self.grants(tx, &record, Some(&proof), keys)?;
                }
            }
        }
        let counted = tx.rows.token_counts()?;
        if counted.headless > expected.headless
            || counted != (TokenCounts { headless: counted.headless, ..expected })
        {
            self.find("token_view", "there are rows of a token that is not known, or that was revoked");
        }
        Ok(())
    }

    /// A fault in the reads of a reader.
    pub(crate) fn find_reads(&mut self, reader: &str, what: &str) {
        self.find(&format!("{READS} {reader}"), what);
    }

    /// Without tokens there is no list, and there is never a second one.
    fn list_of_tokens(&mut self, tx: &VerifiedTx<'_>, tokens: &[ObjectRow]) -> Result<(), VaultError> {
        let own = tx.object_tag(ObjectKind::Tokens, &[]);
        let mut is_missing = !tokens.is_empty();
        for row in tx.rows.objects(ObjectKind::Tokens)? {
            let named = if row.tag == own { "tokens".to_owned() } else { row.place() };
            is_missing &= row.tag != own;
            self.claim(&named, &row.tag, tx.object_leaf(&row));
            match tx.opener().object::<Entry<Tokens>>(&row) {
                Err(error) => self.find(&named, &error.fault()),
                Ok(_) if row.tag != own => self.find(&named, "stands where another name belongs"),
                Ok(entry) if entry.members.iter().ne(tokens.iter().map(|token| &token.tag)) => {
                    self.find(&named, "lists other tokens than those that are there");
                }
                Ok(_) => {}
            }
        }
        if is_missing {
            self.find("tokens", "is missing");
        }
        Ok(())
    }

    fn grants(
        &mut self,
        tx: &VerifiedTx<'_>,
        record: &TokenRecord,
        proof: Option<&SignedSuccession>,
        key_records: &[Tagged],
    ) -> Result<u64, VaultError> {
        let named = format!("token_grant of {}", record.name);
        let rows = match regrant::verified_grants(tx, record) {
            Ok(rows) => rows,
            Err(error) => {
                self.find(&named, &error.fault());
                return Ok(u64::try_from(tx.rows.grants(&record.id)?.len()).unwrap_or(u64::MAX));
            }
        };
        let keys = record.keys(&tx.identity);
        if !is_signed(tx, record, proof)? {
            let view = format!("token_view of {}", record.name);
            self.find(&view, "is not signed by the vault's everyday keys");
        }
        let view = tx.rows.view(&record.id)?.map(|row| View::open(&row, record.kind, &keys, &tx.identity));
        if view.transpose()?.is_some_and(|view| view.apis != record.apis) {
            self.find(&named, "names other APIs than the token has");
        }
        let mut apis: BTreeSet<_> = record.apis.keys().copied().collect();
        let mut due: Vec<&KeyRecord> =
            key_records.iter().map(|tagged| &tagged.key).filter(|key| record.rule.matches(key)).collect();
        for row in &rows {
            if let Some(set) = record.apis.get(&row.key) {
                apis.remove(&row.key);
                match ApiGrant::open(row, &keys, &tx.identity) {
                    Ok(grant) if ApiGrant::of(tx, &row.key, set.as_ref())?.as_ref() == Some(&grant) => {}
                    Ok(_) => self.find(&named, "is not what the API is now"),
                    Err(error) => self.find(&named, &error.fault()),
                }
                continue;
            }
            let place = due.iter().position(|key| key.id == row.key);
            let Some(key) = place.map(|place| due.swap_remove(place)) else {
                self.find(&named, "grants a key that the token does not match");
                continue;
            };
            match Grant::open(row, &keys, &tx.identity) {
                Ok(grant) if grant.is_of(key, tx)? => {}
                Ok(_) => self.find(&named, &format!("is not what {} is now", key.name)),
                Err(error) => self.find(&named, &error.fault()),
            }
        }
        if regrant::view_is_over(tx, record, &keys)? {
            due.clear();
            apis.clear();
        }
        for api in apis {
            self.find(&named, &format!("does not grant API {}", data_encoding::HEXLOWER.encode(&api)));
        }
        for key in due {
            self.find(&named, &format!("does not grant {}", key.name));
        }
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }
}

/// Returns `true` if the token's bearer believes its view. One that is not there says nothing false.
fn is_signed(
    tx: &VerifiedTx<'_>,
    record: &TokenRecord,
    proof: Option<&SignedSuccession>,
) -> Result<bool, VaultError> {
    let Some(row) = tx.rows.view(&record.id)? else { return Ok(true) };
    let keys = record.keys(&tx.identity);
    let opened = View::open_own(&row, record.kind, &keys, &tx.identity, &tx.daily.signing);
    let follows = proof.is_none_or(|proof| proof.leads_to(&tx.daily.signing, &tx.identity));
    Ok(follows && opened.is_ok_and(|(_, behind)| behind.as_ref() == proof))
}

impl Grant {
    /// Returns `true` if it tells of a key what its metadata says. Time may have ended a grace since it was written.
    fn is_of(&self, key: &KeyRecord, tx: &VerifiedTx<'_>) -> Result<bool, VaultError> {
        let written = tx.current.record.time;
        let wanted = regrant::grant_of(tx, key, written)?;
        let told = |grant: &Self| (grant.expires, grant.public, grant.disabled, grant.value_kind);
        let same = (&self.name, &self.variable, &self.scopes, told(self))
            == (&wanted.name, &wanted.variable, &wanted.scopes, told(&wanted));
        let mut in_use = wanted.versions.iter().filter(|version| !version.previous);
        let has_all = in_use.all(|version| self.versions.contains(version));
        let known = |number| key.version(number).is_some();
        Ok(same && has_all && self.versions.iter().all(|version| known(version.number)))
    }
}
