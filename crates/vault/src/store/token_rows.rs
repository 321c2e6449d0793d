//! Rows of tokens: the owner's record of each, and what its bearer reads.

use data_encoding::HEXLOWER;
use rusqlite::{Row, params};

use super::Tx;
use super::rows::{Result, Tag, array, damaged, number, unsigned};

/// Stands unsealed in all rows of a token. Derived from the token, so that its bearer finds them.
pub type TokenId = [u8; 16];

/// Which chain of audit entries: the vault's own, or the one that a token's bearer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ledger {
    Vault,
    Token(TokenId),
}

/// The owner's record of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenRow {
    /// The blind index of its name.
    pub tag: Tag,
    /// Raised by each rewrite.
    pub revision: u64,
    pub sealed: Vec<u8>,
}

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
    /// A token's record by the blind index of its name.
    pub(crate) fn token(&self, tag: &Tag) -> Result<Option<TokenRow>> {
        let sql = "SELECT tag, revision, sealed FROM token WHERE tag = ?";
        self.one(sql, [tag.as_slice()], "token", token_row)
    }

    /// All tokens' records, ordered by tag.
    pub(crate) fn tokens(&self) -> Result<Vec<TokenRow>> {
        let mut tokens = Vec::new();
        self.each("SELECT tag, revision, sealed FROM token ORDER BY tag", [], |row| {
            tokens.push(token_row(row)?);
            Ok(())
        })?;
        Ok(tokens)
    }

    pub(crate) fn put_token(&self, token: &TokenRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO token (tag, revision, sealed) VALUES (?, ?, ?)",
            params![token.tag, number(token.revision)?, token.sealed],
        )
    }

    /// Deletes records that are found by no name; how many there were.
    pub(crate) fn delete_malformed_tokens(&self) -> Result<usize> {
        Ok(self.connection.execute("DELETE FROM token WHERE length(tag) <> 16 OR revision < 0", [])?)
    }

    pub(crate) fn delete_token(&self, tag: &Tag) -> Result<()> {
        self.run("DELETE FROM token WHERE tag = ?", [tag.as_slice()])
    }

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
        let sql = "SELECT token, item, sealed FROM token_grant WHERE token = ? ORDER BY item";
        self.each(sql, [token.as_slice()], |row| {
            grants.push(GrantRow {
                token: array(row, 0, "token_grant.token")?,
                key: array(row, 1, "token_grant.item")?,
                sealed: row.get(2)?,
            });
            Ok(())
        })?;
        Ok(grants)
    }

    pub(crate) fn put_grant(&self, grant: &GrantRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO token_grant (token, item, sealed) VALUES (?, ?, ?)",
            params![grant.token, grant.key, grant.sealed],
        )
    }

    pub(crate) fn delete_grant(&self, token: &TokenId, key_id: &[u8; 16]) -> Result<()> {
        self.run("DELETE FROM token_grant WHERE token = ? AND item = ?", params![token, key_id])
    }

    /// Deletes a token's view and grants: it opens nothing any more.
    pub(crate) fn delete_view(&self, token: &TokenId) -> Result<()> {
        self.run("DELETE FROM token_view WHERE token = ?", [token.as_slice()])?;
        self.run("DELETE FROM token_grant WHERE token = ?", [token.as_slice()])
    }

    /// Deletes the chain that a token's bearer wrote.
    pub(crate) fn delete_ledger(&self, token: &TokenId) -> Result<()> {
        self.run("DELETE FROM token_audit WHERE token = ?", [token.as_slice()])?;
        self.run("DELETE FROM token_audit_head WHERE token = ?", [token.as_slice()])
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
        for (table, tokens) in [
            ("token_view", list(in_force)),
            ("token_grant", list(in_force)),
            ("token_audit", list(known)),
            ("token_audit_head", list(known)),
        ] {
            rows +=
                self.connection.execute(&format!("DELETE FROM {table} WHERE token NOT IN ({tokens})"), [])?;
        }
        Ok(rows)
    }

    /// Deletes the records of tokens, for a change that writes anew what stays.
    pub(crate) fn clear_records(&self) -> Result<()> {
        self.run("DELETE FROM token", [])
    }

    /// Deletes everything of tokens, for a rekey that writes anew what stays.
    pub(crate) fn clear_tokens(&self) -> Result<()> {
        let tables = ["token", "token_view", "token_grant", "token_audit", "token_audit_head"];
        tables.into_iter().try_for_each(|table| self.run(&format!("DELETE FROM {table}"), []))
    }

    /// Whether anything is left of what a token's bearer wrote.
    pub(crate) fn has_ledger(&self, token: &TokenId) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM token_audit WHERE token = ?1 \
                   UNION ALL SELECT 1 FROM token_audit_head WHERE token = ?1)";
        Ok(self.one(sql, [token.as_slice()], "token_audit", |row| Ok(row.get(0)?))?.unwrap_or(false))
    }

    /// How many rows there are besides the records.
    pub(crate) fn token_counts(&self) -> Result<TokenCounts> {
        let sql = "SELECT (SELECT count(*) FROM token_view), (SELECT count(*) FROM token_grant), \
                   (SELECT count(*) FROM (SELECT token FROM token_audit UNION SELECT token FROM token_audit_head))";
        let counts = self.one(sql, [], "token_view", |row| {
            let count = |column| unsigned(row.get(column)?);
            Ok(TokenCounts { views: count(0)?, grants: count(1)?, ledgers: count(2)? })
        })?;
        counts.ok_or_else(|| damaged("token_view"))
    }
}

fn token_row(row: &Row<'_>) -> Result<TokenRow> {
    Ok(TokenRow { tag: array(row, 0, "token.tag")?, revision: unsigned(row.get(1)?)?, sealed: row.get(2)? })
}
