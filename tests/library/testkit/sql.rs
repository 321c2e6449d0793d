//! Vaults as statements: dumped, compared, and built again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::vector::hex;

/// A table, its columns, and how many of them are its key.
type Table = (&'static str, &'static [&'static str], usize);

/// Every table with its columns, the first of which are the key.
pub(crate) const TABLES: [Table; 15] = [
    ("vault", &["id", "vault_id", "epoch", "written_by", "chain_seed", "signer"], 1),
    ("slot", &["id", "header", "sealed"], 1),
    ("object", &["id", "tag", "revision", "sealed"], 1),
    ("version", &["id", "key", "version", "wrapped", "sealed"], 1),
    ("leaf", &["tag", "digest"], 1),
    ("node", &["id", "body"], 1),
    ("state", &["id", "record", "signature", "mac"], 1),
    ("log", &["id", "change", "mac", "sealed"], 1),
    ("log_head", &["ledger", "number", "count", "sealed"], 1),
    ("token_view", &["token", "change", "sealed"], 1),
    ("token_grant", &["token", "key", "sealed"], 2),
    ("issued_list", &["id", "list"], 1),
    ("issued_set", &["set_id", "header", "signature"], 1),
    ("issued_page", &["id", "set_id", "kind", "page", "change", "sealed"], 1),
    ("issued_hold", &["id", "verifier", "seq", "sealed"], 1),
];

type Rows = BTreeMap<Vec<String>, Vec<Value>>;

/// A value as SQL writes it.
pub(crate) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(bytes) => format!("x'{}'", hex(bytes)),
    }
}

fn rows(connection: &Connection, (table, columns, key): Table) -> Rows {
    let mut statement = connection.prepare(&format!("SELECT {} FROM {table}", columns.join(", "))).unwrap();
    let mut found = statement.query([]).unwrap();
    let mut rows = Rows::new();
    while let Some(row) = found.next().unwrap() {
        let values: Vec<Value> = (0..columns.len()).map(|column| row.get(column).unwrap()).collect();
        // Numbers in their own order: as wide as they get.
        let order = |value: &Value| match value {
            Value::Integer(number) => format!("{number:020}"),
            other => literal(other),
        };
        rows.insert(values[..key].iter().map(order).collect(), values);
    }
    rows
}

/// The statements that make the vault of this connection.
pub(crate) fn dump(connection: &Connection) -> String {
    let format: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let mut text = format!(
        "PRAGMA page_size = 4096;\nPRAGMA journal_mode = WAL;\nPRAGMA application_id = 1263946836;\n\
         PRAGMA user_version = {format};\nBEGIN;\n"
    );
    let mut schema = connection.prepare("SELECT sql FROM sqlite_schema ORDER BY rowid").unwrap();
    let statements = schema.query_map([], |row| row.get::<_, String>(0)).unwrap();
    statements.for_each(|statement| writeln!(text, "{};", statement.unwrap()).unwrap());
    for table in TABLES {
        for values in rows(connection, table).values() {
            let values: Vec<_> = values.iter().map(literal).collect();
            writeln!(text, "INSERT INTO {} VALUES ({});", table.0, values.join(", ")).unwrap();
        }
    }
    text.push_str("COMMIT;\n");
    text
}

/// A vault in memory, to be worked on.
pub(crate) fn in_memory(base: &str) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(base).unwrap();
    connection
}

/// Runs statements on a vault's file and folds the log.
pub(crate) fn run(path: &Path, statements: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    connection.execute_batch(statements).unwrap_or_else(|error| panic!("{error}: {statements}"));
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    connection.close().unwrap();
}

/// The statements that make `after` out of `before`.
pub(crate) fn difference(before: &Connection, after: &Connection) -> String {
    let mut text = String::new();
    for table in TABLES {
        let (name, columns, key) = table;
        let (old, new) = (rows(before, table), rows(after, table));
        let condition = |values: &[Value]| {
            let parts: Vec<_> = columns[..key]
                .iter()
                .zip(values)
                .map(|(column, value)| format!("{column} = {}", literal(value)))
                .collect();
            parts.join(" AND ")
        };
        if ["vault", "state"].contains(&name) && new.values().any(|row| row[0] != Value::Integer(1)) {
            text.push_str("PRAGMA ignore_check_constraints = ON;\n");
        }
        for (place, values) in &old {
            if !new.contains_key(place) {
                writeln!(text, "DELETE FROM {name} WHERE {};", condition(values)).unwrap();
            }
        }
        for (place, values) in &new {
            let Some(before) = old.get(place) else {
                let values: Vec<_> = values.iter().map(literal).collect();
                writeln!(text, "INSERT INTO {name} VALUES ({});", values.join(", ")).unwrap();
                continue;
            };
            let changes: Vec<_> = (key..columns.len())
                .filter(|column| before[*column] != values[*column])
                .map(|column| {
                    format!(
                        "{} = {}",
                        columns[column],
                        change(columns[column], &before[column], &values[column])
                    )
                })
                .collect();
            if !changes.is_empty() {
                writeln!(text, "UPDATE {name} SET {} WHERE {};", changes.join(", "), condition(values))
                    .unwrap();
            }
        }
    }
    text
}

/// A new value of a column; where only a few bytes differ, those alone.
fn change(column: &str, before: &Value, after: &Value) -> String {
    let (Value::Blob(old), Value::Blob(new)) = (before, after) else { return literal(after) };
    let whole = literal(after);
    if old.len() != new.len() {
        return whole;
    }
    let head = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let middle = &new[head..new.len() - tail];
    let short = format!(
        "CAST(substr({column}, 1, {head}) || x'{}' || substr({column}, {}) AS BLOB)",
        hex(middle),
        head + middle.len() + 1
    );
    if short.len() + 64 < whole.len() { short } else { whole }
}
