//! `vault check` of tokens: records, views, grants and holders' chains, each held against the keys that there are.

use crate::store::TokenCounts;

use super::grant::Grant;
use super::record::TokenRecord;
use crate::check::{Check, Finding, Tagged};
use crate::error::VaultError;
use crate::key::record::{Item, VersionState};
use crate::tx::Work;

/// What findings about a holder's chain begin with.
const READS: &str = "token_audit of";

impl Finding {
    /// Whether it is about what a token's holder read: rows that are the holder's to write.
    #[must_use]
    pub fn is_of_reads(&self) -> bool {
        self.row.starts_with(READS)
    }
}

impl Check {
    pub(crate) fn tokens(&mut self, work: &mut Work<'_>, items: &[Tagged]) -> Result<(), VaultError> {
        let mut expected = TokenCounts::default();
        let rows = work.tx.tokens()?;
        if let Some((tag, leaf)) = work.tokens_leaf(&rows) {
            self.claim("tokens", &tag, leaf);
        }
        for row in rows {
            let opened = work.open_token(&row);
            let named = match &opened {
                Ok(record) => format!("token {}", record.name),
                Err(_) => format!("token {}", data_encoding::HEXLOWER.encode(&row.tag)),
            };
            self.claim(&named, &row.tag, work.token_leaf(&row));
            match opened {
                Err(error) => self.find(&named, &error.to_string()),
                Ok(record) if work.token_tag(&record.name) != row.tag => {
                    self.find(&named, "stands where another name belongs");
                }
                Ok(record) => {
                    // One that its holder took away is a fault of its reads, and found as such.
                    expected.ledgers += u64::from(work.tx.has_ledger(&record.id)?);
                    if let Err(error) = work.reads_of(&record) {
                        self.find(&format!("{READS} {}", record.name), &error.to_string());
                    }
                    if record.revoked.is_none() {
                        expected.views += 1;
                        expected.grants += self.grants(work, &record, items)?;
                    }
                }
            }
        }
        if work.tx.token_counts()? != expected {
            self.find("token_view", "there are rows of a token that is not known, or that was revoked");
        }
        Ok(())
    }

    fn grants(&mut self, work: &Work<'_>, record: &TokenRecord, items: &[Tagged]) -> Result<u64, VaultError> {
        let named = format!("token_grant of {}", record.name);
        let rows = match work.verified_grants(record) {
            Ok(rows) => rows,
            Err(error) => {
                self.find(&named, &error.to_string());
                return Ok(u64::try_from(work.tx.grants(&record.id)?.len()).unwrap_or(u64::MAX));
            }
        };
        let keys = record.keys(&work.identity);
        let mut due: Vec<&Item> =
            items.iter().map(|tagged| &tagged.item).filter(|item| record.rule.matches(item)).collect();
        for row in &rows {
            let place = due.iter().position(|item| item.id == row.item);
            let Some(item) = place.map(|place| due.swap_remove(place)) else {
                self.find(&named, "grants a key that the token does not match");
                continue;
            };
            match Grant::open(row, &keys, &work.identity) {
                Ok(grant) if grant.is_of(item, work)? => {}
                Ok(_) => self.find(&named, &format!("is not what {} is now", item.name)),
                Err(error) => self.find(&named, &error.to_string()),
            }
        }
        if work.view_is_over(record, &keys)? {
            due.clear();
        }
        for item in due {
            self.find(&named, &format!("does not grant {}", item.name));
        }
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }
}

impl Grant {
    /// Whether it tells of a key what its metadata says. Time may have ended a grace since it was written.
    fn is_of(&self, item: &Item, work: &Work<'_>) -> Result<bool, VaultError> {
        let written = work.current.record.time;
        let wanted = work.grant_of(item, written)?;
        let same = (&self.name, &self.variable, &self.scopes, self.expires)
            == (&wanted.name, &wanted.variable, &wanted.scopes, wanted.expires);
        let mut in_use = wanted.versions.iter().filter(|version| version.state == VersionState::Current);
        let has_all = in_use.all(|version| self.versions.contains(version));
        let known = |number| item.version(number).is_some();
        Ok(same && has_all && self.versions.iter().all(|version| known(version.number)))
    }
}
