//! The tables, word for word. A file whose schema differs in a single character is not opened: a trigger or a view
//! would run with every statement of ours.

/// Marks the file as a vault: `KVLT` in SQLite's `application_id`.
pub(super) const APPLICATION_ID: i32 = 0x4B56_4C54;

/// The format, in SQLite's `user_version`: 1000 + n until it is frozen as 3.
pub(super) const FORMAT: i32 = 1001;

/// Size of a page, in bytes.
pub(super) const PAGE: u32 = 4096;

/// An object of the schema as (type, name, table, statement).
pub(super) type Object = (&'static str, &'static str, &'static str, &'static str);

/// Every object, ordered by name as SQLite compares it.
pub(super) const OBJECTS: [Object; 19] = [
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
        "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), record BLOB NOT NULL, signature BLOB NOT NULL, mac BLOB NOT NULL) STRICT",
    ),
    (
        "table",
        "token",
        "token",
        "CREATE TABLE token (tag BLOB PRIMARY KEY, revision INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "table",
        "token_audit",
        "token_audit",
        "CREATE TABLE token_audit (token BLOB NOT NULL, seq INTEGER NOT NULL, mac BLOB NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (token, seq)) STRICT, WITHOUT ROWID",
    ),
    (
        "table",
        "token_audit_head",
        "token_audit_head",
        "CREATE TABLE token_audit_head (token BLOB PRIMARY KEY, count INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "table",
        "token_grant",
        "token_grant",
        "CREATE TABLE token_grant (token BLOB NOT NULL, item BLOB NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (token, item)) STRICT, WITHOUT ROWID",
    ),
    (
        "table",
        "token_view",
        "token_view",
        "CREATE TABLE token_view (token BLOB PRIMARY KEY, change INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "table",
        "vault",
        "vault",
        "CREATE TABLE vault (id INTEGER PRIMARY KEY CHECK (id = 1), vault_id BLOB NOT NULL, epoch INTEGER NOT NULL, written_by TEXT NOT NULL, chain_seed BLOB NOT NULL, signer BLOB NOT NULL) STRICT",
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
