//! Vectors of the file: its bytes, its numbers, its schema.

use super::set::{Fails, Set};

pub(crate) fn all(set: &mut Set) {
    bytes(set);
    numbers(set);
    schema(set);
}

fn bytes(set: &mut Set) {
    let open = |reason| Fails(reason, "open", "");
    let whole = set.len("plain");
    let mut cut = |name: &str, reason, length: u64, comment: &str| {
        set.edited(name, "plain", open(reason), comment, |vector| vector.length = Some(length));
    };
    cut("file-empty", "empty-file", 0, "cut to nothing");
    cut("file-one-byte", "not-sqlite", 1, "cut to its first byte");
    cut("file-half-header", "pages", 50, "cut within SQLite's header");
    cut("file-within-first-page", "pages", 511, "cut within the first page");
    cut("file-within-last-page", "cut-off", whole - 3000, "cut within the last page");
    cut("file-first-page-only", "pages", 4096, "cut behind the first page");
    cut("file-half", "pages", 4096 * 7, "cut behind a page in the middle");
    cut("file-within-a-page", "pages", 4096 * 7 + 1000, "cut within a page in the middle");
    cut("file-last-page", "pages", whole - 4096, "cut before the last page");
    cut("file-one-byte-more", "cut-off", whole + 1, "one byte more");
    let mut write = |name: &str, reason, at: u64, bytes: &[u8], comment: &str| {
        set.edited(name, "plain", open(reason), comment, |vector| {
            vector.bytes = vec![(at, bytes.to_vec())];
        });
    };
    write("file-magic", "not-sqlite", 0, b"sqlite", "the magic of SQLite is in lower case");
    write("file-text", "not-sqlite", 0, &[b'#'; 100], "the header is text");
    write("file-page-size", "not-sqlite", 16, &[0x10, 0x01], "the page size is no power of two");
    write(
        "file-application-id-bytes",
        "application-id",
        68,
        &[0; 4],
        "application_id is 0, written into the header",
    );
    write("file-newer-bytes", "format", 60, &[0, 0, 3, 237], "user_version is 1005, written into the header");
    write("file-schema-page", "pages", 100, &[0; 40], "the head of the schema's b-tree is zero");
}

fn numbers(set: &mut Set) {
    let open = |reason| Fails(reason, "open", "");
    for (name, id) in [("zero", "0"), ("other", "1263946837"), ("negative", "-1")] {
        let name = format!("application-id-{name}");
        let sql = format!("PRAGMA application_id = {id}");
        set.statements(&name, open("application-id"), &format!("application_id is {id}"), &sql);
    }
    for (name, number) in
        [("zero", "0"), ("previous", "1003"), ("next", "1005"), ("highest", "2147483647"), ("negative", "-1")]
    {
        let name = format!("format-{name}");
        let sql = format!("PRAGMA user_version = {number}");
        set.statements(&name, open("format"), &format!("user_version is {number}"), &sql);
    }
    for (name, size) in [("smallest", 512), ("half", 2048), ("double", 8192), ("largest", 65536)] {
        let sql = format!(
            "PRAGMA journal_mode = DELETE; PRAGMA page_size = {size}; VACUUM; PRAGMA journal_mode = WAL"
        );
        let name = format!("page-size-{name}");
        set.statements(&name, open("page-size"), &format!("pages of {size} bytes"), &sql);
    }
    let sql = "PRAGMA journal_mode = DELETE";
    set.statements("journal-mode-delete", open("journal-mode"), "a rollback journal instead of WAL", sql);
    let sql = "PRAGMA user_version = 1005; DROP TABLE vault";
    set.statements(
        "format-next-without-head",
        open("format"),
        "user_version is 1005, and there is no table of the head",
        sql,
    );
}

fn schema(set: &mut Set) {
    let fails = Fails("schema", "open", "");
    for table in super::sql::TABLES.map(|(table, ..)| table) {
        let name = format!("schema-no-{}", table.replace('_', "-"));
        set.statements(
            &name,
            fails,
            &format!("the table {table} is missing"),
            &format!("DROP TABLE {table}"),
        );
    }
    let mut with = |name: &str, comment: &str, sql: &str| {
        set.statements(&format!("schema-{name}"), fails, comment, sql);
    };
    with("no-index", "the index is missing", "DROP INDEX log_change");
    with("extra-table", "a table more", "CREATE TABLE zz (x)");
    with("extra-table-first", "a table more, before all others", "CREATE TABLE aa (x)");
    with("extra-view", "a view more", "CREATE VIEW extra AS SELECT * FROM object");
    with("extra-index", "an index more", "CREATE INDEX extra ON object (revision)");
    with(
        "extra-trigger",
        "a trigger that would run with a change",
        "CREATE TRIGGER extra AFTER INSERT ON log BEGIN DELETE FROM slot; END",
    );
    with(
        "sequence",
        "a table of SQLite's own, for AUTOINCREMENT",
        "CREATE TABLE zz (x INTEGER PRIMARY KEY AUTOINCREMENT)",
    );
    with("statistics", "the tables that ANALYZE makes", "ANALYZE");
    with(
        "view-for-table",
        "a view in the place of a table",
        "DROP TABLE object; CREATE VIEW object AS SELECT 3 id, x'00' tag, 1 revision, x'00' sealed",
    );
    with("column-more", "a column more", "ALTER TABLE slot ADD COLUMN more BLOB");
    with("column-renamed", "a column has another name", "ALTER TABLE slot RENAME COLUMN sealed TO opened");
    let mut instead = |name: &str, comment: &str, table: &str, statement: &str| {
        set.statements(
            &format!("schema-{name}"),
            fails,
            comment,
            &format!("DROP TABLE {table}; {statement}"),
        );
    };
    instead(
        "column-type",
        "a column is TEXT instead of BLOB",
        "node",
        "CREATE TABLE node (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT",
    );
    instead(
        "not-strict",
        "a table is not STRICT",
        "node",
        "CREATE TABLE node (id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    );
    instead(
        "rowid",
        "a table has a rowid that must have none",
        "leaf",
        "CREATE TABLE leaf (tag BLOB PRIMARY KEY, digest BLOB NOT NULL) STRICT",
    );
    instead(
        "null-allowed",
        "a column may be NULL that must not",
        "node",
        "CREATE TABLE node (id INTEGER PRIMARY KEY, body BLOB) STRICT",
    );
    instead(
        "default",
        "a column has a default that calls a function",
        "node",
        "CREATE TABLE node (id INTEGER PRIMARY KEY, body BLOB NOT NULL DEFAULT (randomblob(8))) STRICT",
    );
    instead(
        "no-check",
        "the condition that there is one row is missing",
        "state",
        "CREATE TABLE state (id INTEGER PRIMARY KEY, record BLOB NOT NULL, mac BLOB NOT NULL) STRICT",
    );
    instead(
        "white-space",
        "one space more in a statement",
        "node",
        "CREATE TABLE node (id INTEGER PRIMARY KEY,  body BLOB NOT NULL) STRICT",
    );
    for (word, comment, statement) in [
        (
            "unique",
            "the index is unique",
            "CREATE UNIQUE INDEX log_change ON log (change) WHERE change IS NOT NULL",
        ),
        ("whole", "the index has entries without a change", "CREATE INDEX log_change ON log (change)"),
        (
            "of-the-entry",
            "the index begins with the entry",
            "CREATE INDEX log_change ON log (id, change) WHERE change IS NOT NULL",
        ),
        (
            "elsewhere",
            "the index is one of another table",
            "CREATE INDEX log_change ON token_view (change) WHERE change IS NOT NULL",
        ),
    ] {
        let sql = format!("DROP INDEX log_change; {statement}");
        set.statements(&format!("schema-index-{word}"), fails, comment, &sql);
    }
    // The tables of the format before this one, whose number is this one's.
    for (word, statement) in [
        (
            "item",
            "CREATE TABLE item (tag BLOB PRIMARY KEY, revision INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
        ),
        (
            "scope-member",
            "CREATE TABLE scope_member (scope BLOB NOT NULL, item BLOB NOT NULL, PRIMARY KEY (scope, item)) STRICT, WITHOUT ROWID",
        ),
    ] {
        let comment = format!("a table of the format before is there: {word}");
        set.statements(&format!("schema-extra-{word}"), fails, &comment, statement);
    }
    let mut instead = |name: &str, comment: &str, table: &str, statement: &str| {
        let sql = format!("DROP TABLE {table}; {statement}");
        set.statements(&format!("schema-{name}"), fails, comment, &sql);
    };
    instead(
        "object-kind",
        "the objects have a kind and a tag as their key",
        "object",
        "CREATE TABLE object (kind INTEGER NOT NULL, tag BLOB NOT NULL, revision INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (kind, tag)) STRICT, WITHOUT ROWID",
    );
    instead(
        "object-columns-turned",
        "two columns of the objects have changed places",
        "object",
        "CREATE TABLE object (id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, tag BLOB NOT NULL, sealed BLOB NOT NULL) STRICT",
    );
    instead(
        "object-autoincrement",
        "the ids of the objects count up",
        "object",
        "CREATE TABLE object (id INTEGER PRIMARY KEY AUTOINCREMENT, tag BLOB NOT NULL, revision INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
    );
    instead(
        "version-columns-turned",
        "wrapped keys and values have changed places",
        "version",
        "CREATE TABLE version (id INTEGER PRIMARY KEY, key BLOB NOT NULL, version INTEGER NOT NULL, sealed BLOB NOT NULL, wrapped BLOB NOT NULL) STRICT",
    );
    instead(
        "log-of-ledgers",
        "the log has ledgers as its key",
        "log",
        "CREATE TABLE log (ledger BLOB NOT NULL, seq INTEGER NOT NULL, change INTEGER, mac BLOB NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (ledger, seq)) STRICT, WITHOUT ROWID; CREATE INDEX log_change ON log (change) WHERE change IS NOT NULL",
    );
    instead(
        "log-head-without-a-number",
        "the ledgers have no numbers",
        "log_head",
        "CREATE TABLE log_head (ledger BLOB PRIMARY KEY, count INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
    );
}
