//! The tables, word for word. A file whose schema differs in a single character is not opened: a trigger or a view
//! would run with every statement of ours.
//!
//! Tables whose rows may be long have an integer key, which is computed from what the row is found by: in a table
//! `WITHOUT ROWID` SQLite reads a whole row, with all its overflow pages, to compare its key, and holds rows in inner pages,
//! so that a search goes through many more of them.

/// Marks the file as a vault: `KVLT` in SQLite's `application_id`.
pub(super) const APPLICATION_ID: i32 = 0x4B56_4C54;

/// The format, in SQLite's `user_version`: 1000 + n until it is frozen as 3.
pub(super) const FORMAT: i32 = 1004;

/// Size of a page, in bytes.
pub(super) const PAGE: u32 = 4096;

/// An object of the schema as (type, name, table, statement).
pub(super) type Object = (&'static str, &'static str, &'static str, &'static str);

/// Every object, ordered by name as SQLite compares it.
pub(super) const OBJECTS: [Object; 16] = [
    (
        "table",
        "issued_hold",
        "issued_hold",
        "CREATE TABLE issued_hold (id INTEGER PRIMARY KEY, verifier BLOB NOT NULL, seq INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
    ),
    (
        "table",
        "issued_list",
        "issued_list",
        "CREATE TABLE issued_list (id INTEGER PRIMARY KEY CHECK (id = 1), list BLOB NOT NULL) STRICT",
    ),
    (
        "table",
        "issued_page",
        "issued_page",
        "CREATE TABLE issued_page (id INTEGER PRIMARY KEY, set_id BLOB NOT NULL, kind INTEGER NOT NULL, page INTEGER NOT NULL, change INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
    ),
    (
        "table",
        "issued_set",
        "issued_set",
        "CREATE TABLE issued_set (set_id BLOB PRIMARY KEY, header BLOB NOT NULL, signature BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "table",
        "leaf",
        "leaf",
        "CREATE TABLE leaf (tag BLOB PRIMARY KEY, digest BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "table",
        "log",
        "log",
        "CREATE TABLE log (id INTEGER PRIMARY KEY, change INTEGER, mac BLOB NOT NULL, sealed BLOB NOT NULL) STRICT",
    ),
    ("index", "log_change", "log", "CREATE INDEX log_change ON log (change) WHERE change IS NOT NULL"),
    (
        "table",
        "log_head",
        "log_head",
        "CREATE TABLE log_head (ledger BLOB PRIMARY KEY, number INTEGER NOT NULL, count INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    ("table", "node", "node", "CREATE TABLE node (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT"),
    (
        "table",
        "object",
        "object",
        "CREATE TABLE object (id INTEGER PRIMARY KEY, tag BLOB NOT NULL, revision INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
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
        "token_grant",
        "token_grant",
        "CREATE TABLE token_grant (token BLOB NOT NULL, key BLOB NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (token, key)) STRICT, WITHOUT ROWID",
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
        "version",
        "version",
        "CREATE TABLE version (id INTEGER PRIMARY KEY, key BLOB NOT NULL, version INTEGER NOT NULL, wrapped BLOB NOT NULL, sealed BLOB NOT NULL) STRICT",
    ),
];
