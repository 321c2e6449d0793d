//! Tables, and the five things that a store does with their rows. A change is nothing but a list of rows that are put and
//! deleted, so that another store than a file can take it.

use std::collections::BTreeSet;

use rusqlite::types::Value;

use super::StoreError;
use super::strays::Stray;

pub(super) type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A row's columns, in the order of [`Table::columns`].
pub(super) type Cells = Vec<Value>;

/// A table. Its statement is in the schema, and FORMAT §4 says what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Vault,
    Slot,
    Object,
    Version,
    Leaf,
    Node,
    State,
    Log,
    LogHead,
    TokenView,
    TokenGrant,
    IssuedList,
    IssuedSet,
    IssuedPage,
    IssuedHold,
}

impl Table {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Slot => "slot",
            Self::Object => "object",
            Self::Version => "version",
            Self::Leaf => "leaf",
            Self::Node => "node",
            Self::State => "state",
            Self::Log => "log",
            Self::LogHead => "log_head",
            Self::TokenView => "token_view",
            Self::TokenGrant => "token_grant",
            Self::IssuedList => "issued_list",
            Self::IssuedSet => "issued_set",
            Self::IssuedPage => "issued_page",
            Self::IssuedHold => "issued_hold",
        }
    }

    /// The columns, those of the key first.
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Vault => &["id", "vault_id", "epoch", "written_by", "chain_seed", "signer"],
            Self::Slot => &["id", "header", "sealed"],
            Self::Object => &["id", "tag", "revision", "sealed"],
            Self::Version => &["id", "key", "version", "wrapped", "sealed"],
            Self::Leaf => &["tag", "digest"],
            Self::Node => &["id", "body"],
            Self::State => &["id", "record", "signature", "mac"],
            Self::Log => &["id", "change", "mac", "sealed"],
            Self::LogHead => &["ledger", "number", "count", "sealed"],
            Self::TokenView => &["token", "change", "sealed"],
            Self::TokenGrant => &["token", "key", "sealed"],
            Self::IssuedList => &["id", "list"],
            Self::IssuedSet => &["set_id", "header", "signature"],
            Self::IssuedPage => &["id", "set_id", "kind", "page", "change", "sealed"],
            Self::IssuedHold => &["id", "verifier", "seq", "sealed"],
        }
    }

    /// How many columns are its key.
    pub(super) fn key_len(self) -> usize {
        if self == Self::TokenGrant { 2 } else { 1 }
    }
}

/// The rows of a table that are meant, by the first column of its key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Span {
    All,
    /// From this to that, both included.
    Between(Value, Value),
    /// Everything but these.
    Except(BTreeSet<Key>),
}

/// A value of a key, with an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Integer(i64),
    Bytes(Vec<u8>),
}

impl Key {
    pub(super) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(Self::Integer(*number)),
            Value::Blob(bytes) => Some(Self::Bytes(bytes.clone())),
            _ => None,
        }
    }
}

impl Span {
    pub(super) fn one(key: impl Into<Value>) -> Self {
        let key = key.into();
        Self::Between(key.clone(), key)
    }

    pub(super) fn except<V: Into<Value>>(keys: impl IntoIterator<Item = V>) -> Self {
        Self::Except(keys.into_iter().filter_map(|key| Key::of(&key.into())).collect())
    }

    pub(super) fn ids([first, last]: [i64; 2]) -> Self {
        Self::Between(first.into(), last.into())
    }
}

/// The order in which rows are read, and how much of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    /// Only the last row.
    Last,
}

/// One transaction of a store: it sees one state, and what it writes is there as a whole or not at all. Dropped without
/// [`Rows::commit`], it leaves nothing behind.
pub(super) trait Rows {
    /// Gives these columns of each row in the span to `take`, in the order of the key.
    fn scan(
        &self,
        table: Table,
        columns: &'static [&'static str],
        span: &Span,
        order: Order,
        take: &mut dyn FnMut(Cells) -> Result<()>,
    ) -> Result<()>;

    /// Writes a row over the one that has its key.
    fn put(&self, table: Table, row: Cells) -> Result<()>;

    /// Writes a row whose key no other row has.
    fn append(&self, table: Table, row: Cells) -> Result<()>;

    /// Deletes the rows in the span whose second column, if one is given, is that; how many there were.
    fn delete(&self, table: Table, span: &Span, second: Option<&Value>) -> Result<usize>;

    /// The entry of the log with an id in the span that has the lowest change above this one.
    fn entry_of_next_change(&self, above: i64, span: [i64; 2]) -> Result<Option<Cells>>;

    /// Makes everything written so far permanent, or nothing.
    fn commit(self: Box<Self>) -> Result<()>;

    /// Faults of the pages that rows lie in, if they do.
    fn page_faults(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Rows that belong to nothing, where a writer without keys can put some.
    fn strays(&self) -> Result<Vec<Stray>> {
        Ok(Vec::new())
    }
}
