//! Rows that a token's bearer reads.

use data_encoding::HEXLOWER;
use rusqlite::params;

use super::Tx;
use super::log_rows::Ledger;
use super::rows::{Result, array, damaged, number, unsigned};

/// Stands unsealed in all rows of a token. Derived from the token, so that its bearer finds them.
pub type TokenId = [u8; 16];

/// The row that a bearer reads first; it binds the grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ViewRow {
    pub token: TokenId,
    /// The vault's change that wrote it.
    pub change: u64,
    pub sealed: Vec<u8>,
}

/// One key, as a token's bearer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrantRow {
    pub token: TokenId,
    pub key: [u8; 16],
    pub sealed: Vec<u8>,
}

/// How many rows a vault has in the tables of tokens, for a check that looks for strays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TokenCounts {
    pub views: u64,
    pub grants: u64,
    /// Tokens that have entries in a chain of their own.
    pub ledgers: u64,
}

impl Tx<'_> {
    pub(crate) fn view(&self, token: &TokenId) -> Result<Option<ViewRow>> {
        let sql = "SELECT token, change, sealed FROM token_view WHERE token = ?";
        self.one(sql, [token.as_slice()], "token_view", |row| {
            Ok(ViewRow {
                token: array(row, 0, "token_view.token")?,
                change: unsigned(row.get(1)?)?,
                sealed: row.get(2)?,
            })
        })
    }

    pub(crate) fn put_view(&self, view: &ViewRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO token_view (token, change, sealed) VALUES (?, ?, ?)",
            params![view.token, number(view.change)?, view.sealed],
        )
    }

    /// A token's grants, ordered by the keys' ids.
    pub(crate) fn grants(&self, token: &TokenId) -> Result<Vec<GrantRow>> {
        let mut grants = Vec::new();
        let sql = "SELECT token, key, sealed FROM token_grant WHERE token = ? ORDER BY key";
        self.each(sql, [token.as_slice()], |row| {
            grants.push(GrantRow {
                token: array(row, 0, "token_grant.token")?,
                key: array(row, 1, "token_grant.key")?,
                sealed: row.get(2)?,
            });
            Ok(())
        })?;
        Ok(grants)
    }

    pub(crate) fn put_grant(&self, grant: &GrantRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO token_grant (token, key, sealed) VALUES (?, ?, ?)",
            params![grant.token, grant.key, grant.sealed],
        )
    }

    pub(crate) fn delete_grant(&self, token: &TokenId, key_id: &[u8; 16]) -> Result<()> {
        self.run("DELETE FROM token_grant WHERE token = ? AND key = ?", params![token, key_id])
    }

    /// Deletes a token's view and grants: it opens nothing any more.
    pub(crate) fn delete_view(&self, token: &TokenId) -> Result<()> {
        self.run("DELETE FROM token_view WHERE token = ?", [token.as_slice()])?;
        self.run("DELETE FROM token_grant WHERE token = ?", [token.as_slice()])
    }

    /// Deletes what belongs to none of these tokens: views and grants if it is in force, chains whatever became of it.
    /// How many rows there were. Their columns may be anything.
    pub(crate) fn delete_other_tokens(&self, in_force: &[TokenId], known: &[TokenId]) -> Result<usize> {
        let list = |tokens: &[TokenId]| {
            let literals: Vec<_> =
                tokens.iter().map(|token| format!("x'{}'", HEXLOWER.encode(token))).collect();
            literals.join(", ")
        };
        let mut rows = 0;
        let heads = format!(
            "ledger <> x'{}' AND ledger NOT IN ({})",
            HEXLOWER.encode(&Ledger::Vault.id()),
            list(known)
        );
        for (table, condition) in [
            ("token_view", format!("token NOT IN ({})", list(in_force))),
            ("token_grant", format!("token NOT IN ({})", list(in_force))),
            ("log_head", heads),
            // The entries of the vault's own ledger are below 2^32, and the others have a head.
            (
                "log",
                "id < 0 OR (id >= 4294967296 AND id >> 32 NOT IN (SELECT number FROM log_head))".to_owned(),
            ),
        ] {
            rows += self.connection.execute(&format!("DELETE FROM {table} WHERE {condition}"), [])?;
        }
        Ok(rows)
    }

    /// Deletes what every token's bearer reads and wrote, for a rekey that gives each another secret.
    pub(crate) fn clear_tokens(&self) -> Result<()> {
        self.delete_other_tokens(&[], &[]).map(drop)
    }

    /// How many rows of tokens there are besides the records.
    pub(crate) fn token_counts(&self) -> Result<TokenCounts> {
        let sql = "SELECT (SELECT count(*) FROM token_view), (SELECT count(*) FROM token_grant), \
                   (SELECT count(*) FROM log_head WHERE ledger <> ?1) + (SELECT count(*) FROM \
                   (SELECT DISTINCT id >> 32 AS number FROM log WHERE id >= 4294967296) \
                   WHERE number NOT IN (SELECT number FROM log_head))";
        let counts = self.one(sql, [Ledger::Vault.id()], "token_view", |row| {
            let count = |column| unsigned(row.get(column)?);
            Ok(TokenCounts { views: count(0)?, grants: count(1)?, ledgers: count(2)? })
        })?;
        counts.ok_or_else(|| damaged("token_view"))
    }
}
