//! Rows in memory: a vault without a file. One transaction at a time; it works on the rows in place, and puts back those
//! that it touched if it is dropped without a commit.

use std::cell::RefCell;
use std::collections::BTreeMap;

use rusqlite::types::Value;

use super::table::{Cells, Key, Order, Result, Rows, Span, Table};
use super::{StoreError, Tx};

/// A row's place: its table, and the columns of its key as values that are ordered.
type Place = (Table, Vec<Key>);

#[derive(Debug, Default)]
pub(crate) struct MemoryStore(RefCell<BTreeMap<Place, Cells>>);

impl MemoryStore {
    /// Begins a transaction. There is one at a time: a vault in memory has one handle, which is borrowed for as long.
    pub(super) fn begin(&self) -> Tx<'_> {
        Tx::of(MemoryTx { store: self, undo: RefCell::default() })
    }
}

struct MemoryTx<'a> {
    store: &'a MemoryStore,
    /// The rows before this transaction, of those that it touched.
    undo: RefCell<BTreeMap<Place, Option<Cells>>>,
}

impl Drop for MemoryTx<'_> {
    fn drop(&mut self) {
        let mut rows = self.store.0.borrow_mut();
        for (place, before) in self.undo.take() {
            match before {
                Some(cells) => drop(rows.insert(place, cells)),
                None => drop(rows.remove(&place)),
            }
        }
    }
}

impl Rows for MemoryTx<'_> {
    fn scan(
        &self,
        table: Table,
        columns: &'static [&'static str],
        span: &Span,
        order: Order,
        take: &mut dyn FnMut(Cells) -> Result<()>,
    ) -> Result<()> {
        let all = table.columns();
        let places: Vec<_> =
            columns.iter().filter_map(|name| all.iter().position(|column| column == name)).collect();
        let picked = |cells: &Cells| places.iter().filter_map(|place| cells.get(*place).cloned()).collect();
        // `take` may read from the store as well.
        let mut found: Vec<Cells> = Vec::new();
        for (place, cells) in self.store.0.borrow().range((table, Vec::new())..) {
            if place.0 != table {
                break;
            }
            if is_in(span, cells) {
                found.push(picked(cells));
            }
        }
        match order {
            Order::Ascending => found.into_iter().try_for_each(take),
            Order::Last => found.pop().map_or(Ok(()), take),
        }
    }

    fn put(&self, table: Table, row: Cells) -> Result<()> {
        self.write(place(table, &row)?, Some(row));
        Ok(())
    }

    fn append(&self, table: Table, row: Cells) -> Result<()> {
        let place = place(table, &row)?;
        if self.store.0.borrow().contains_key(&place) {
            return Err(StoreError::Sqlite(format!("{}: the key is there", table.name())));
        }
        self.write(place, Some(row));
        Ok(())
    }

    fn delete(&self, table: Table, span: &Span, second: Option<&Value>) -> Result<usize> {
        let is_meant =
            |cells: &Cells| is_in(span, cells) && second.is_none_or(|value| cells.get(1) == Some(value));
        let places: Vec<_> = {
            let rows = self.store.0.borrow();
            let of_table = rows.range((table, Vec::new())..).take_while(|(place, _)| place.0 == table);
            of_table.filter(|(_, cells)| is_meant(cells)).map(|(place, _)| place.clone()).collect()
        };
        let count = places.len();
        for place in places {
            self.write(place, None);
        }
        Ok(count)
    }

    fn entry_of_next_change(&self, above: i64, [first, last]: [i64; 2]) -> Result<Option<Cells>> {
        let mut found: Option<(i64, Cells)> = None;
        self.scan(
            Table::Log,
            Table::Log.columns(),
            &Span::ids([first, last]),
            Order::Ascending,
            &mut |cells| {
                if let Some(Value::Integer(change)) = cells.get(1)
                    && *change > above
                    && found.as_ref().is_none_or(|(lowest, _)| change < lowest)
                {
                    found = Some((*change, cells));
                }
                Ok(())
            },
        )?;
        Ok(found.map(|(_, cells)| cells))
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.undo.take();
        Ok(())
    }
}

impl MemoryTx<'_> {
    fn write(&self, place: Place, row: Option<Cells>) {
        let mut rows = self.store.0.borrow_mut();
        let before = match row {
            Some(cells) => rows.insert(place.clone(), cells),
            None => rows.remove(&place),
        };
        self.undo.borrow_mut().entry(place).or_insert(before);
    }
}

fn place(table: Table, row: &Cells) -> Result<Place> {
    let key = row.iter().take(table.key_len()).map(Key::of).collect::<Option<_>>();
    key.map(|key| (table, key)).ok_or_else(|| StoreError::Sqlite(format!("{}: no key", table.name())))
}

fn is_in(span: &Span, cells: &Cells) -> bool {
    let Some(first) = cells.first() else { return false };
    match span {
        Span::All => true,
        Span::Between(from, to) => {
            let (from, at, to) = (Key::of(from), Key::of(first), Key::of(to));
            at.is_some() && from <= at && at <= to
        }
        Span::Except(keys) => Key::of(first).is_none_or(|key| !keys.contains(&key)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::super::{Durability, FileStore, Store};
    use super::*;

    const TABLES: [Table; 4] = [Table::Node, Table::Leaf, Table::Log, Table::TokenGrant];

    /// One call of a store, on a handful of keys.
    #[derive(Debug, Clone)]
    enum Call {
        Put(usize, u8, u8),
        Append(usize, u8, u8),
        Delete(usize, Span, Option<u8>),
        Scan(usize, Span, bool),
        Next(u8),
        Commit,
        Drop,
    }

    fn key_of(table: usize, key: u8) -> Value {
        if table.is_multiple_of(2) { Value::Integer(i64::from(key) - 3) } else { Value::Blob(vec![key; 16]) }
    }

    fn row(table: usize, key: u8, content: u8) -> Cells {
        let mut cells = vec![key_of(table, key)];
        let rest = TABLES.get(table).map_or(0, |table| table.columns().len()) - 1;
        cells.extend((0..rest).map(|column| match (TABLES.get(table), column) {
            (Some(Table::Log), 0) if content.is_multiple_of(2) => Value::Null,
            (Some(Table::Log), 0) => Value::Integer(content.into()),
            _ => Value::Blob(vec![content; 16]),
        }));
        cells
    }

    fn calls() -> impl Strategy<Value = Vec<Call>> {
        let span = |table: usize| {
            prop_oneof![
                Just(Span::All),
                (0..6_u8).prop_map(move |key| Span::one(key_of(table, key))),
                (0..6_u8, 0..6_u8).prop_map(move |(a, b)| Span::Between(key_of(table, a), key_of(table, b))),
                proptest::collection::vec(0..6_u8, 0..3)
                    .prop_map(move |keys| Span::except(keys.iter().map(|key| key_of(table, *key)))),
            ]
        };
        let call = (0..TABLES.len()).prop_flat_map(move |table| {
            prop_oneof![
                4 => (0..6_u8, 0..4_u8).prop_map(move |(key, content)| Call::Put(table, key, content)),
                2 => (0..6_u8, 0..4_u8).prop_map(move |(key, content)| Call::Append(table, key, content)),
                2 => (span(table), proptest::option::of(0..4_u8))
                    .prop_map(move |(span, second)| Call::Delete(table, span, second)),
                4 => (span(table), any::<bool>()).prop_map(move |(span, last)| Call::Scan(table, span, last)),
                1 => (0..4_u8).prop_map(Call::Next),
                1 => Just(Call::Commit),
                1 => Just(Call::Drop),
            ]
        });
        proptest::collection::vec(call, 1..60)
    }

    fn answer(tx: &Tx<'_>, call: &Call) -> String {
        match call {
            Call::Put(table, key, content) => {
                format!("{:?}", tx.rows.put(TABLES[*table], row(*table, *key, *content)).is_ok())
            }
            Call::Append(table, key, content) => {
                format!("{:?}", tx.rows.append(TABLES[*table], row(*table, *key, *content)).is_ok())
            }
            Call::Delete(table, span, second) => {
                let second = second
                    .map(|content| row(*table, 0, content).swap_remove(1))
                    .filter(|it| *it != Value::Null);
                format!("{:?}", tx.rows.delete(TABLES[*table], span, second.as_ref()).ok())
            }
            Call::Scan(table, span, last) => {
                let order = if *last { Order::Last } else { Order::Ascending };
                let mut rows = Vec::new();
                let table = TABLES[*table];
                let scanned = tx.rows.scan(table, table.columns(), span, order, &mut |cells| {
                    rows.push(cells);
                    Ok(())
                });
                format!("{:?} {rows:?}", scanned.is_ok())
            }
            Call::Next(change) => {
                format!("{:?}", tx.rows.entry_of_next_change((*change).into(), [-1, 1]).ok())
            }
            Call::Commit | Call::Drop => String::new(),
        }
    }

    /// A statement of SQLite has at most 32,766 parameters.
    #[test]
    fn everything_but_any_number_of_keys_can_be_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.db");
        std::fs::write(&path, "").unwrap();
        for mut store in [Store::in_memory(), FileStore::create(path).unwrap().into()] {
            let tx = store.begin(Durability::Logged, &mut |_| ()).unwrap();
            for key in 0..3 {
                tx.rows.put(Table::Node, vec![key.into(), vec![7].into()]).unwrap();
            }
            let kept = Span::except((1..40_000_i64).map(Value::from));
            assert_eq!(tx.rows.delete(Table::Node, &kept, None).unwrap(), 1);
            assert_eq!(tx.node_ids().unwrap(), [1, 2]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

        #[test]
        fn memory_answers_every_sequence_of_calls_as_a_file_does(calls in calls()) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("vault.db");
            std::fs::write(&path, "").unwrap();
            let mut stores = [Store::in_memory(), FileStore::create(path).unwrap().into()];
            let mut heard = Vec::new();
            for store in &mut stores {
                let mut answers = Vec::new();
                let mut open = Some(store.begin(Durability::Logged, &mut |_| ()).unwrap());
                for call in &calls {
                    let Some(tx) = open.take() else { break };
                    answers.push(answer(&tx, call));
                    match call {
                        Call::Commit => tx.commit().unwrap(),
                        Call::Drop => drop(tx),
                        _ => {
                            open = Some(tx);
                            continue;
                        }
                    }
                    break;
                }
                drop(open);
                // The next transaction sees what was committed.
                let tx = store.begin_reading().unwrap();
                let all = (0..TABLES.len()).map(|table| answer(&tx, &Call::Scan(table, Span::All, false)));
                answers.extend(all);
                heard.push(answers);
            }
            prop_assert_eq!(&heard[0], &heard[1]);
        }
    }
}
