//! Rows that belong to nothing, as far as the rows themselves tell: most rows that a writer without keys adds or
//! removes show without a key as well. Rows that fit all the others are left to a check with keys.

use std::collections::BTreeSet;

use super::Tx;
use super::rows::{Result, unsigned};

/// A table, what is wrong with some of its rows, and how many there are.
pub type Stray = (&'static str, &'static str, u64);

/// Rows that must not exist: their table, their fault, and a query that counts them.
const RULES: [(&str, &str, &str); 24] = [
    ("vault", "of another id or epoch than the state record", OTHER_IDENTITY),
    ("item", "of another shape", "SELECT count(*) FROM item WHERE length(tag) <> 16 OR revision < 0"),
    ("item", NO_LEAF, "SELECT count(*) FROM item WHERE tag NOT IN (SELECT tag FROM leaf)"),
    ("scope", "of another shape", "SELECT count(*) FROM scope WHERE length(tag) <> 16 OR revision < 0"),
    ("scope", NO_LEAF, "SELECT count(*) FROM scope WHERE tag NOT IN (SELECT tag FROM leaf)"),
    (
        "scope",
        "without a member",
        "SELECT count(*) FROM scope WHERE tag NOT IN (SELECT scope FROM scope_member)",
    ),
    (
        "scope_member",
        "of a scope or key that is not there",
        "SELECT count(*) FROM scope_member WHERE scope NOT IN (SELECT tag FROM scope) \
         OR item NOT IN (SELECT tag FROM item)",
    ),
    (
        "directory",
        "of another shape",
        "SELECT count(*) FROM directory WHERE bucket NOT BETWEEN 0 AND 63 OR revision < 0",
    ),
    ("slot", "beyond the slots", "SELECT count(*) FROM slot WHERE id NOT BETWEEN 1 AND 32"),
    (
        "version_key",
        "of another shape",
        "SELECT count(*) FROM version_key WHERE length(item) <> 16 OR version NOT BETWEEN 0 AND 4294967295",
    ),
    (
        "version_key",
        "without a value",
        "SELECT count(*) FROM version_key k WHERE NOT EXISTS \
         (SELECT 1 FROM version_value v WHERE v.item = k.item AND v.version = k.version)",
    ),
    (
        "version_value",
        "without a key",
        "SELECT count(*) FROM version_value v WHERE NOT EXISTS \
         (SELECT 1 FROM version_key k WHERE k.item = v.item AND k.version = v.version)",
    ),
    (
        "version_key",
        "of more keys than there are",
        "SELECT max(0, (SELECT count(DISTINCT item) FROM version_key) - (SELECT count(*) FROM item))",
    ),
    ("leaf", "of another shape", "SELECT count(*) FROM leaf WHERE length(tag) <> 16 OR length(digest) <> 16"),
    (
        "audit",
        "that are not of the chain",
        "SELECT count(*) FROM audit WHERE seq < 0 OR seq >= ifnull((SELECT max(count) FROM audit_head), 0) \
         OR length(mac) <> 32",
    ),
    (
        "audit",
        "missing",
        "SELECT ifnull(max(0, (SELECT max(count) FROM audit_head) \
         - (SELECT count(*) FROM audit WHERE seq >= 0 AND seq < (SELECT max(count) FROM audit_head))), 0)",
    ),
    ("token", "of another shape", "SELECT count(*) FROM token WHERE length(tag) <> 16 OR revision < 0"),
    ("token", NO_LEAF, "SELECT count(*) FROM token WHERE tag NOT IN (SELECT tag FROM leaf)"),
    (
        "token_view",
        "of another shape",
        "SELECT count(*) FROM token_view WHERE length(token) <> 16 OR change < 0",
    ),
    (
        "token_view",
        "of more tokens than there are",
        "SELECT max(0, (SELECT count(*) FROM token_view) - (SELECT count(*) FROM token))",
    ),
    (
        "token_grant",
        "without a view",
        "SELECT count(*) FROM token_grant WHERE token NOT IN (SELECT token FROM token_view) \
         OR length(item) <> 16",
    ),
    (
        "token_audit",
        "that are not of a chain",
        "SELECT count(*) FROM token_audit a WHERE seq < 0 OR length(mac) <> 32 \
         OR seq >= ifnull((SELECT count FROM token_audit_head h WHERE h.token = a.token), 0)",
    ),
    (
        "token_audit_head",
        "of another shape",
        "SELECT count(*) FROM token_audit_head WHERE length(token) <> 16 OR count < 0",
    ),
    (
        "token_audit_head",
        "of more tokens than there are",
        "SELECT max(0, (SELECT count(*) FROM token_audit_head) - (SELECT count(*) FROM token))",
    ),
];

const NO_LEAF: &str = "without a leaf";

/// The record begins with a number, the vault's id, and its epoch.
const OTHER_IDENTITY: &str = "SELECT count(*) FROM vault, state WHERE substr(record, 5, 16) <> vault_id \
     OR hex(substr(record, 21, 4)) <> printf('%02X%02X%02X%02X', \
     epoch & 255, epoch >> 8 & 255, epoch >> 16 & 255, epoch >> 24 & 255)";

impl Tx<'_> {
    /// Rows that a vault written only by keyvault does not have. Without a key nothing is proved by them.
    pub(crate) fn strays(&self) -> Result<Vec<Stray>> {
        let mut strays = Vec::new();
        for (table, what, sql) in RULES {
            let rows = self.one(sql, [], table, |row| unsigned(row.get(0)?))?.unwrap_or(0);
            strays.extend((rows > 0).then_some((table, what, rows)));
        }
        strays.extend(self.stray_leaves()?);
        strays.extend(self.stray_nodes()?);
        Ok(strays)
    }

    /// Every leaf stands for a row that has none of its own, but for the one over all tokens.
    fn stray_leaves(&self) -> Result<Option<Stray>> {
        let sql = "SELECT abs((SELECT count(*) FROM leaf) - 1 - (SELECT count(*) FROM slot WHERE id BETWEEN 1 AND 32) \
             - (SELECT count(*) FROM item) - (SELECT count(*) FROM scope) - (SELECT count(*) FROM directory) \
             - (SELECT count(*) + (count(*) > 0) FROM token))";
        let rows = self.one(sql, [], "leaf", |row| unsigned(row.get(0)?))?.unwrap_or(0);
        Ok((rows > 0).then_some(("leaf", "more or fewer than there are rows", rows)))
    }

    /// The nodes that there must be follow from the leaves' tags: the first 6, 12 and 18 bits.
    fn stray_nodes(&self) -> Result<Option<Stray>> {
        let mut wanted = BTreeSet::from([0]);
        self.each("SELECT DISTINCT substr(tag, 1, 2) FROM leaf", [], |row| {
            let start: Vec<u8> = row.get(0)?;
            if let [first, second] = *start {
                let bits = u32::from(u16::from_be_bytes([first, second])) >> 4;
                wanted.extend([1 + (bits >> 6), 65 + bits]);
            }
            Ok(())
        })?;
        let mut there = BTreeSet::new();
        let mut others = 0;
        self.each("SELECT id FROM node", [], |row| {
            match u32::try_from(row.get::<_, i64>(0)?) {
                Ok(id) => drop(there.insert(id)),
                Err(_) => others += 1,
            }
            Ok(())
        })?;
        let others = others + wanted.symmetric_difference(&there).count() as u64;
        Ok((others > 0).then_some(("node", "more or fewer than the leaves need", others)))
    }
}
