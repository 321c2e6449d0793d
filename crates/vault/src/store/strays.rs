//! Rows that belong to nothing, as far as the rows themselves tell: most rows that a writer without keys adds or
//! removes show without a key as well. Rows that fit all the others are left to a check with keys.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::table::Result;

/// A table, what is wrong with some of its rows, and how many there are.
pub type Stray = (&'static str, &'static str, u64);

/// Rows that must not exist: their table, their fault, and a query that counts them.
const RULES: [(&str, &str, &str); 18] = [
    ("vault", "of another id or epoch than the state record", OTHER_IDENTITY),
    (
        "object",
        "of another shape",
        "SELECT count(*) FROM object WHERE length(tag) <> 16 OR revision < 0 \
         OR hex(substr(tag, 1, 7)) <> printf('%014X', id & 72057594037927935)",
    ),
    ("object", NO_LEAF, "SELECT count(*) FROM object WHERE tag NOT IN (SELECT tag FROM leaf)"),
    ("slot", "beyond the slots", "SELECT count(*) FROM slot WHERE id NOT BETWEEN 1 AND 32"),
    (
        "version",
        "of another shape",
        "SELECT count(*) FROM version WHERE length(key) <> 16 OR version NOT BETWEEN 0 AND 4294967295",
    ),
    (
        "version",
        "of more keys than there are",
        "SELECT max(0, (SELECT count(DISTINCT key) FROM version) - (SELECT count(*) FROM object WHERE id >> 56 IN (3, 14)))",
    ),
    ("leaf", "of another shape", "SELECT count(*) FROM leaf WHERE length(tag) <> 16 OR length(digest) <> 16"),
    (
        "log",
        "of another shape",
        "SELECT count(*) FROM log WHERE id < 0 OR length(mac) <> 32 \
         OR (change IS NOT NULL AND (change < 0 OR id >= 4294967296))",
    ),
    (
        "log",
        "that are not of the chain",
        "SELECT count(*) FROM log WHERE (id & 4294967295) >= \
         ifnull((SELECT max(count) FROM log_head WHERE number = id >> 32), 0)",
    ),
    (
        "log",
        "missing",
        "SELECT ifnull(max(0, (SELECT count FROM log_head WHERE number = 0) \
         - (SELECT count(*) FROM log WHERE id BETWEEN 0 AND (SELECT count FROM log_head WHERE number = 0) - 1)), 0)",
    ),
    (
        "log_head",
        "of another shape",
        "SELECT count(*) FROM log_head WHERE length(ledger) <> 16 OR count < 0 OR (number = 0) <> (ledger = zeroblob(16)) \
         OR number NOT BETWEEN 0 AND 2147483646",
    ),
    ("log_head", "with the number of another", "SELECT count(*) - count(DISTINCT number) FROM log_head"),
    (
        "token_view",
        "of another shape",
        "SELECT count(*) FROM token_view WHERE length(token) <> 16 OR change < 0",
    ),
    (
        "token_view",
        "of more tokens than there are",
        "SELECT max(0, (SELECT count(*) FROM token_view) - (SELECT count(*) FROM object WHERE id >> 56 = 5))",
    ),
    (
        "token_grant",
        "without a view",
        "SELECT count(*) FROM token_grant WHERE token NOT IN (SELECT token FROM token_view) \
         OR length(key) <> 16",
    ),
    (
        "object",
        "of names in a bucket that there is not",
        "SELECT max(0, (SELECT count(*) FROM object WHERE id >> 56 = 7) - 64)",
    ),
    (
        "object",
        "of more lists of tokens than one",
        "SELECT max(0, (SELECT count(*) FROM object WHERE id >> 56 = 8) - 1)",
    ),
    (
        "object",
        "of more lists of ledgers than one",
        "SELECT max(0, (SELECT count(*) FROM object WHERE id >> 56 = 15) - 1)",
    ),
];

const NO_LEAF: &str = "without a leaf";

/// The record begins with a number, the vault's id, and its epoch.
const OTHER_IDENTITY: &str = "SELECT count(*) FROM vault, state WHERE substr(record, 5, 16) <> vault_id \
     OR hex(substr(record, 21, 4)) <> printf('%02X%02X%02X%02X', \
     epoch & 255, epoch >> 8 & 255, epoch >> 16 & 255, epoch >> 24 & 255)";

/// Rows that a vault written only by keyvault does not have, as far as that shows without a key.
pub(super) fn all(connection: &Connection) -> Result<Vec<Stray>> {
    let mut strays = Vec::new();
    for (table, what, sql) in RULES {
        let rows = count(connection, sql)?;
        strays.extend((rows > 0).then_some((table, what, rows)));
    }
    // The header, each slot, and each object has a leaf of its own.
    let leaves = "SELECT abs((SELECT count(*) FROM leaf) - 1 - (SELECT count(*) FROM slot WHERE id BETWEEN 1 AND 32) \
         - (SELECT count(*) FROM object))";
    let leaves = count(connection, leaves)?;
    strays.extend((leaves > 0).then_some(("leaf", "more or fewer than there are rows", leaves)));
    let nodes = stray_nodes(connection)?;
    strays.extend((nodes > 0).then_some(("node", "more or fewer than the leaves need", nodes)));
    Ok(strays)
}

fn count(connection: &Connection, sql: &str) -> Result<u64> {
    Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))?.unsigned_abs())
}

/// The nodes that there must be follow from the leaves' tags: the first 6, 12 and 18 bits.
fn stray_nodes(connection: &Connection) -> Result<u64> {
    let mut wanted = BTreeSet::from([0]);
    let mut starts = connection.prepare("SELECT DISTINCT substr(tag, 1, 2) FROM leaf")?;
    for start in starts.query_map([], |row| row.get::<_, Vec<u8>>(0))? {
        if let [first, second] = *start? {
            let bits = i64::from(u16::from_be_bytes([first, second])) >> 4;
            wanted.extend([1 + (bits >> 6), 65 + bits]);
        }
    }
    let mut there = BTreeSet::new();
    for id in connection.prepare("SELECT id FROM node")?.query_map([], |row| row.get::<_, i64>(0))? {
        there.insert(id?);
    }
    Ok(wanted.symmetric_difference(&there).count() as u64)
}
