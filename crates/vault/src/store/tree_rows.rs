//! Rows of the hash tree and the state record.

use rusqlite::params;

use super::Tx;
use super::rows::{Result, StateRow, Tag, array, damaged};

impl Tx<'_> {
    /// The leaves whose tags lie between the two, both included, ordered.
    pub(crate) fn leaves(&self, from: &Tag, to: &Tag) -> Result<Vec<(Tag, Tag)>> {
        let mut leaves = Vec::new();
        self.each(
            "SELECT tag, digest FROM leaf WHERE tag BETWEEN ? AND ? ORDER BY tag",
            params![from, to],
            |row| {
                leaves.push((array(row, 0, "leaf.tag")?, array(row, 1, "leaf.digest")?));
                Ok(())
            },
        )?;
        Ok(leaves)
    }

    /// Writes a leaf, or deletes it.
    pub(crate) fn put_leaf(&self, tag: &Tag, digest: Option<&Tag>) -> Result<()> {
        match digest {
            Some(digest) => {
                self.run("INSERT OR REPLACE INTO leaf (tag, digest) VALUES (?, ?)", params![tag, digest])
            }
            None => self.run("DELETE FROM leaf WHERE tag = ?", [tag.as_slice()]),
        }
    }

    pub(crate) fn node(&self, id: u32) -> Result<Option<Vec<u8>>> {
        self.one("SELECT body FROM node WHERE id = ?", [id], "node", |row| Ok(row.get(0)?))
    }

    /// The numbers of all nodes, ordered.
    pub(crate) fn node_ids(&self) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        self.each("SELECT id FROM node ORDER BY id", [], |row| {
            ids.push(row.get(0)?);
            Ok(())
        })?;
        Ok(ids)
    }

    /// Writes a node, or deletes it.
    pub(crate) fn put_node(&self, id: u32, body: Option<&[u8]>) -> Result<()> {
        match body {
            Some(body) => self.run("INSERT OR REPLACE INTO node (id, body) VALUES (?, ?)", params![id, body]),
            None => self.run("DELETE FROM node WHERE id = ?", [id]),
        }
    }

    pub(crate) fn state(&self) -> Result<StateRow> {
        self.one("SELECT record, signature, mac FROM state WHERE id = 1", [], "state", |row| {
            Ok(StateRow { record: row.get(0)?, signature: row.get(1)?, mac: array(row, 2, "state.mac")? })
        })?
        .ok_or_else(|| damaged("state"))
    }

    pub(crate) fn put_state(&self, state: &StateRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO state (id, record, signature, mac) VALUES (1, ?, ?, ?)",
            params![state.record, state.signature, state.mac],
        )
    }
}
