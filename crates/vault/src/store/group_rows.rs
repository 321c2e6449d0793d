//! Rows that stand for several keys: scopes with their members, and the directory of names.

use rusqlite::{Row, params};

use super::Tx;
use super::rows::{Result, Tag, array, damaged, number, unsigned};

/// A scope's sealed name, count and member digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScopeRow {
    /// The blind index of its name.
    pub tag: Tag,
    /// Raised by each rewrite.
    pub revision: u64,
    /// Name, count, digest of the members.
    pub sealed: Vec<u8>,
}

/// One bucket of the names of all keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirectoryRow {
    pub bucket: u8,
    /// Raised by each rewrite.
    pub revision: u64,
    pub sealed: Vec<u8>,
}

impl Tx<'_> {
    /// A scope's row by the blind index of its name.
    pub(crate) fn scope(&self, tag: &Tag) -> Result<Option<ScopeRow>> {
        self.one(
            "SELECT tag, revision, sealed FROM scope WHERE tag = ?",
            [tag.as_slice()],
            "scope",
            scope_row,
        )
    }

    /// All scopes' rows, ordered by tag.
    pub(crate) fn each_scope(&self, mut take: impl FnMut(ScopeRow) -> Result<()>) -> Result<()> {
        self.each("SELECT tag, revision, sealed FROM scope ORDER BY tag", [], |row| take(scope_row(row)?))
    }

    pub(crate) fn put_scope(&self, scope: &ScopeRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO scope (tag, revision, sealed) VALUES (?, ?, ?)",
            params![scope.tag, number(scope.revision)?, scope.sealed],
        )
    }

    pub(crate) fn delete_scope(&self, tag: &Tag) -> Result<()> {
        self.run("DELETE FROM scope WHERE tag = ?", [tag.as_slice()])
    }

    /// The tags of a scope's members, ordered.
    pub(crate) fn scope_members(&self, scope: &Tag) -> Result<Vec<Tag>> {
        let mut members = Vec::new();
        self.each(
            "SELECT item FROM scope_member WHERE scope = ? ORDER BY item",
            [scope.as_slice()],
            |row| {
                members.push(array(row, 0, "scope_member.item")?);
                Ok(())
            },
        )?;
        Ok(members)
    }

    /// How many memberships there are in the whole vault.
    pub(crate) fn count_scope_members(&self) -> Result<u64> {
        self.one("SELECT count(*) FROM scope_member", [], "scope_member", |row| unsigned(row.get(0)?))?
            .ok_or_else(|| damaged("scope_member"))
    }

    /// Makes a key a member of a scope.
    pub(crate) fn put_scope_member(&self, scope: &Tag, key: &Tag) -> Result<()> {
        self.run("INSERT OR REPLACE INTO scope_member (scope, item) VALUES (?, ?)", params![scope, key])
    }

    /// Takes a key out of a scope.
    pub(crate) fn delete_scope_member(&self, scope: &Tag, key: &Tag) -> Result<()> {
        self.run("DELETE FROM scope_member WHERE scope = ? AND item = ?", params![scope, key])
    }

    pub(crate) fn directory(&self, bucket: u8) -> Result<Option<DirectoryRow>> {
        self.one(
            "SELECT bucket, revision, sealed FROM directory WHERE bucket = ?",
            [bucket],
            "directory",
            directory_row,
        )
    }

    /// All buckets of names, in order.
    pub(crate) fn each_directory(&self, mut take: impl FnMut(DirectoryRow) -> Result<()>) -> Result<()> {
        self.each("SELECT bucket, revision, sealed FROM directory ORDER BY bucket", [], |row| {
            take(directory_row(row)?)
        })
    }

    pub(crate) fn put_directory(&self, row: &DirectoryRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO directory (bucket, revision, sealed) VALUES (?, ?, ?)",
            params![row.bucket, number(row.revision)?, row.sealed],
        )
    }

    pub(crate) fn delete_directory(&self, bucket: u8) -> Result<()> {
        self.run("DELETE FROM directory WHERE bucket = ?", [bucket])
    }
}

fn directory_row(row: &Row<'_>) -> Result<DirectoryRow> {
    Ok(DirectoryRow { bucket: row.get(0)?, revision: unsigned(row.get(1)?)?, sealed: row.get(2)? })
}

fn scope_row(row: &Row<'_>) -> Result<ScopeRow> {
    Ok(ScopeRow { tag: array(row, 0, "scope.tag")?, revision: unsigned(row.get(1)?)?, sealed: row.get(2)? })
}
