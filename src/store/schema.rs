//! The tables, word for word. A file whose schema differs in a single character is not opened: a trigger or a view
//! would run with every statement of ours.

/// Marks the file as a vault: `KVLT` in SQLite's `application_id`.
pub(super) const APPLICATION_ID: i32 = 0x4B56_4C54;

/// The format number, in SQLite's `user_version`.
pub use crate::identity::FORMAT;

/// Every object of the schema as (type, name, table, statement), ordered by name as SQLite compares it.
pub(super) const OBJECTS: [(&str, &str, &str, &str); 14] = [
    (
        "table",
        "audit",
        "audit",
        "CREATE TABLE audit (seq INTEGER PRIMARY KEY, change INTEGER, mac BLOB NOT NULL, sealed BLOB NOT NULL) STRICT",
    ),
    (
        "index",
        "audit_change",
        "audit",
        "CREATE UNIQUE INDEX audit_change ON audit (change) WHERE change IS NOT NULL",
    ),
    (
        "table",
        "audit_head",
        "audit_head",
        "CREATE TABLE audit_head (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
    ),
    (
        "table",
        "directory",
        "directory",
        "CREATE TABLE directory (bucket INTEGER PRIMARY KEY, revision INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
    ),
    (
        "table",
        "item",
        "item",
        "CREATE TABLE item (tag BLOB PRIMARY KEY, revision INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "table",
        "leaf",
        "leaf",
        "CREATE TABLE leaf (tag BLOB PRIMARY KEY, digest BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    ("table", "node", "node", "CREATE TABLE node (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT"),
    (
        "table",
        "scope",
        "scope",
        "CREATE TABLE scope (tag BLOB PRIMARY KEY, revision INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "table",
        "scope_member",
        "scope_member",
        "CREATE TABLE scope_member (scope BLOB NOT NULL, item BLOB NOT NULL, PRIMARY KEY (scope, item)) STRICT, WITHOUT ROWID",
    ),
    (
        "table",
        "slot",
        "slot",
        "CREATE TABLE slot (id INTEGER PRIMARY KEY, header BLOB NOT NULL, sealed BLOB NOT NULL) STRICT",
    ),
    (
        "table",
        "state",
        "state",
        "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), record BLOB NOT NULL, mac BLOB NOT NULL) STRICT",
    ),
    (
        "table",
        "vault",
        "vault",
        "CREATE TABLE vault (id INTEGER PRIMARY KEY CHECK (id = 1), vault_id BLOB NOT NULL, epoch INTEGER NOT NULL, written_by TEXT NOT NULL, chain_seed BLOB NOT NULL) STRICT",
    ),
    (
        "table",
        "version_key",
        "version_key",
        "CREATE TABLE version_key (item BLOB NOT NULL, version INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (item, version)) STRICT, WITHOUT ROWID",
    ),
    (
        "table",
        "version_value",
        "version_value",
        "CREATE TABLE version_value (item BLOB NOT NULL, version INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (item, version)) STRICT, WITHOUT ROWID",
    ),
];
