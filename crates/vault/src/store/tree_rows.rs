//! Rows of the hash tree and the state record.

use super::Tx;
use super::rows::{Columns, StateRow, Tag, damaged};
use super::table::{Result, Span, Table};

/// The only key of the state's table.
const ONLY: i64 = 1;

impl Tx<'_> {
    /// The leaves whose tags lie between the two, both included, ordered.
    pub(crate) fn leaves(&self, from: &Tag, to: &Tag) -> Result<Vec<(Tag, Tag)>> {
        let span = Span::Between(from.to_vec().into(), to.to_vec().into());
        self.list(Table::Leaf, &["tag", "digest"], &span, |columns| Ok((columns.array()?, columns.array()?)))
    }

    /// Writes a leaf, or deletes it.
    pub(crate) fn put_leaf(&self, tag: &Tag, digest: Option<&Tag>) -> Result<()> {
        match digest {
            Some(digest) => self.put(Table::Leaf, vec![tag.to_vec().into(), digest.to_vec().into()]),
            None => self.delete(Table::Leaf, &Span::one(tag.to_vec())).map(drop),
        }
    }

    pub(crate) fn node(&self, id: u32) -> Result<Option<Vec<u8>>> {
        self.first(Table::Node, &["body"], &Span::one(id), Columns::bytes)
    }

    /// The numbers of all nodes, ordered.
    pub(crate) fn node_ids(&self) -> Result<Vec<u32>> {
        self.list(Table::Node, &["id"], &Span::All, Columns::u32)
    }

    /// Writes a node, or deletes it.
    pub(crate) fn put_node(&self, id: u32, body: Option<&[u8]>) -> Result<()> {
        match body {
            Some(body) => self.put(Table::Node, vec![id.into(), body.to_vec().into()]),
            None => self.delete(Table::Node, &Span::one(id)).map(drop),
        }
    }

    pub(crate) fn state(&self) -> Result<StateRow> {
        let state =
            self.first(Table::State, &["record", "signature", "mac"], &Span::one(ONLY), |columns| {
                Ok(StateRow { record: columns.bytes()?, signature: columns.bytes()?, mac: columns.array()? })
            })?;
        state.ok_or_else(|| damaged("state"))
    }

    pub(crate) fn put_state(&self, state: &StateRow) -> Result<()> {
        let [record, signature, mac] =
            [&state.record[..], &state.signature, &state.mac].map(|part| part.to_vec().into());
        self.put(Table::State, vec![ONLY.into(), record, signature, mac])
    }
}
