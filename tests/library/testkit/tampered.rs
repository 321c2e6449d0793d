//! Vectors by somebody with the file and no key: rows altered, exchanged, deleted, added, put back.

use super::forge::{Forge, HEADER, KEY, LEDGERS, NAMES, OWN, OWN_LOG, SCOPE, SLOT, TOKEN, TOKENS, object_id};
use super::set::{Fails, Set};
use super::sql;
use super::vector::hex;

/// Salt, commitment, ciphertext, tag: one place in each.
const PARTS: [(&str, isize); 4] = [("salt", 3), ("commitment", 30), ("ciphertext", 60), ("tag", -1)];

pub(crate) fn all(set: &mut Set) {
    seals(set);
    keys(set);
    kinds(set);
    values(set);
    scopes(set);
    names(set);
    tree(set);
    state(set);
    header(set);
    log(set);
    ledgers(set);
    columns(set);
}

fn attach(f: &Forge, statements: &str, table: &str, condition: &str) {
    let from = sql::in_memory(statements);
    let columns = sql::TABLES.iter().find(|(name, ..)| *name == table).unwrap().1;
    let mut query = from.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let mut rows = query.query([]).unwrap();
    f.sql(&format!("CREATE TEMP TABLE taken AS SELECT * FROM {table} LIMIT 0"));
    while let Some(row) = rows.next().unwrap() {
        let values: Vec<_> = (0..columns.len()).map(|at| sql::literal(&row.get(at).unwrap())).collect();
        f.sql(&format!("INSERT INTO taken VALUES ({})", values.join(", ")));
    }
    if condition.is_empty() {
        f.sql(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM taken"));
    } else {
        f.sql(&format!("INSERT OR REPLACE INTO {table} SELECT * FROM taken WHERE {condition}"));
    }
}

/// A sealed column: table, column, condition, and how the vault fails; beside it the words for names and comments.
type Sealed = (&'static str, [&'static str; 2], &'static str, Fails<'static>, [&'static str; 2]);

const SEALED: [Sealed; 6] = [
    (
        "plain",
        ["object", "sealed"],
        "{at key a}",
        Fails("tree-key", "read a", "key {key a}"),
        ["key", "a key"],
    ),
    (
        "plain",
        ["object", "sealed"],
        "{at scope s}",
        Fails("tree-scope", "scope s", "scope s"),
        ["scope", "a scope"],
    ),
    (
        "plain",
        ["object", "sealed"],
        "{at names a}",
        Fails("tree-names", "names", "names {bucket a}"),
        ["names", "a bucket of names"],
    ),
    (
        "machines",
        ["object", "sealed"],
        "{at tokens}",
        Fails("tree-tokens", "tokens", "tokens"),
        ["tokens", "the list of tokens"],
    ),
    (
        "plain",
        ["version", "wrapped"],
        "key = {id a} AND version = 2",
        Fails("version-rows", "read a", "key a version 2"),
        ["version-wrapped", "a version's wrapped key"],
    ),
    (
        "plain",
        ["version", "sealed"],
        "key = {id a} AND version = 2",
        Fails("version-rows", "read a", "key a version 2"),
        ["version-sealed", "a version's sealed value"],
    ),
];

fn seals(set: &mut Set) {
    for (base, [table, column], condition, fails, [word, noun]) in SEALED {
        for (part, place) in PARTS {
            let comment = format!("one bit of {noun} is altered, in its {part}");
            set.forged(&format!("{word}-{part}"), base, fails, &comment, |f| {
                f.flip(table, column, condition, place);
            });
        }
        let comment = format!("{noun} is shorter than a seal");
        set.forged(&format!("{word}-short"), base, fails, &comment, |f| {
            f.put(table, column, condition, &[7; 71]);
        });
        let comment = format!("{noun} has no bytes");
        set.forged(&format!("{word}-no-bytes"), base, fails, &comment, |f| {
            f.put(table, column, condition, &[]);
        });
    }
}

/// Puts what one object's row holds into another's.
fn copied(from: &str, to: &str) -> String {
    format!(
        "UPDATE object SET (revision, sealed) = (SELECT revision, sealed FROM object WHERE {from}) WHERE {to}"
    )
}

/// Exchanges what two objects' rows hold.
fn swapped(one: &str, two: &str) -> String {
    format!(
        "CREATE TEMP TABLE p AS SELECT * FROM object WHERE {one};
         UPDATE object SET (revision, sealed) = (SELECT revision, sealed FROM object WHERE {two}) WHERE {one};
         UPDATE object SET (revision, sealed) = (SELECT revision, sealed FROM p) WHERE {two}"
    )
}

/// Adds a row of this kind, at the tag of what these words name, with what another row holds.
fn added(kind: u8, words: &str, from: &str) -> String {
    format!(
        "INSERT INTO object SELECT {{oid {kind} {words}}}, {{{words}}}, revision, sealed FROM object WHERE {from}"
    )
}

/// Moves a row to another kind, at the tag of what these words name.
fn moved(from: &str, kind: u8, words: &str) -> String {
    format!("UPDATE object SET (id, tag) = ({{oid {kind} {words}}}, {{{words}}}) WHERE {from}")
}

fn keys(set: &mut Set) {
    let a = Fails("tree-key", "read a", "key {key a}");
    set.bad("key-swapped", a, "two keys' rows are exchanged", |f| {
        f.sql(&swapped("{at key a}", "{at key b}"));
    });
    set.bad("key-copied", a, "a key has another key's row", |f| f.sql(&copied("{at key d}", "{at key a}")));
    let deleted = Fails("tree-key", "read a", "leaf {key a}");
    set.bad("key-deleted", deleted, "a key's row is deleted; that it is missing is proved", |f| {
        f.sql("DELETE FROM object WHERE {at key a}");
    });
    let list = Fails("key-missing", "list", "leaf {key a}");
    set.bad("key-deleted-list", list, "a key's row is deleted, and all keys are listed", |f| {
        f.sql("DELETE FROM object WHERE {at key a}");
    });
    set.bad(
        "key-moved",
        Fails("tree-key", "read absent", "key {key absent}"),
        "a key's row stands at the tag of a name that is not there",
        |f| f.sql(&moved("{at key d}", KEY, "key absent")),
    );
    set.bad(
        "key-added",
        Fails("tree-key", "list", "key {key absent}"),
        "a row was added at the tag of a name that is not there",
        |f| f.sql(&added(KEY, "key absent", "{at key a}")),
    );
    set.bad("key-revision-raised", a, "a row's revision is one higher", |f| {
        f.sql("UPDATE object SET revision = revision + 1 WHERE {at key a}");
    });
    set.bad("key-revision-lowered", a, "a row's revision is one lower", |f| {
        f.sql("UPDATE object SET revision = revision - 1 WHERE {at key a}");
    });
    set.bad("key-revision-highest", a, "a row's revision is 2^63 − 1", |f| {
        f.sql("UPDATE object SET revision = 9223372036854775807 WHERE {at key a}");
    });
    let (earlier, branch, other) =
        (set.plain.earlier.sql.clone(), set.plain.branch.sql.clone(), set.other.sql.clone());
    // A row that opens is named by its key.
    let still = Fails("tree-key", "read a", "key a");
    set.bad("key-aged", still, "a key's row is put back to an earlier state", |f| {
        attach(f, &earlier, "object", "{at key a}");
    });
    set.bad("key-of-a-branch", still, "a key's row is of another branch of the vault's history", |f| {
        attach(f, &branch, "object", "{at key a}");
    });
    set.bad("key-of-another-vault", a, "a key's row is that of the same name in another vault", |f| {
        let from = sql::in_memory(&other);
        let mut query = from.prepare("SELECT sealed FROM object WHERE id >> 56 = 3 LIMIT 1").unwrap();
        let sealed: Vec<u8> = query.query_row([], |row| row.get(0)).unwrap();
        f.put("object", "sealed", "{at key a}", &sealed);
    });
    set.bad("keys-all-aged", still, "all keys' rows are put back to an earlier state", |f| {
        f.sql("DELETE FROM object WHERE {kind 3}");
        attach(f, &earlier, "object", "{kind 3}");
    });
    set.bad("keys-all-deleted", deleted, "all keys' rows are deleted", |f| {
        f.sql("DELETE FROM object WHERE {kind 3}");
    });
    set.bad("objects-all-deleted", deleted, "the rows of all objects are deleted", |f| {
        f.sql("DELETE FROM object");
    });
}

/// Rows of one kind under another, and rows of kinds that the page does not define.
fn kinds(set: &mut Set) {
    for (word, kind) in [("later", 9), ("access", 130)] {
        let comment = format!("a key's row says that it is an object of kind {kind}");
        let row = format!("object {kind} {{key a}}");
        set.bad(&format!("key-as-{word}-kind"), Fails("tree-key", "read a", &row), &comment, |f| {
            f.sql(&moved("{at key a}", kind, "key a"));
        });
        let comment = format!("an object of kind {kind} was added, which the tree does not know");
        let row = format!("object {kind} {{key absent}}");
        set.bad(&format!("object-{word}-added"), Fails("row-forged", "list", &row), &comment, |f| {
            f.sql(&added(kind, "key absent", "{at key a}"));
        });
        let comment = format!("an object of kind {kind} was added at a key's tag");
        let row = format!("object {kind} {{key a}}");
        set.bad(&format!("object-{word}-at-a-key"), Fails("row-forged", "list", &row), &comment, |f| {
            f.sql(&added(kind, "key a", "{at key a}"));
        });
        // A writer without keys cannot seal anything; a copy does as well.
        let fails = Fails("tree-object", "check", &row);
        let comment = format!("a key's row stands at its tag once more, as an object of kind {kind}");
        set.bad(&format!("object-{word}-check"), fails, &comment, |f| {
            f.sql(&added(kind, "key a", "{at key a}"));
        });
    }
    for (word, kind) in [("reserved", 6), ("zero", 0), ("header", HEADER), ("slot", SLOT), ("highest", 255)] {
        let comment = format!("an object of kind {kind} was added, which the tree does not know");
        let row = format!("object {kind} {{key absent}}");
        set.bad(&format!("object-{word}-added"), Fails("row-forged", "list", &row), &comment, |f| {
            f.sql(&added(kind, "key absent", "{at key a}"));
        });
    }
    set.bad(
        "object-excuses-no-key",
        Fails("row-forged", "list", "leaf {key a}"),
        "a key's row is deleted, and a forged object stands at a tag of its own so that the number of rows is right",
        |f| {
            f.sql("DELETE FROM object WHERE {at key a}");
            f.sql(&added(9, "key absent", "{at key b}"));
        },
    );
    set.bad(
        "key-as-scope",
        Fails("tree-key", "read a", "scope {key a}"),
        "a key's row says that it is a scope",
        |f| f.sql(&moved("{at key a}", SCOPE, "key a")),
    );
    set.bad(
        "scope-as-key",
        Fails("tree-scope", "scope s", "key {scope s}"),
        "a scope's row says that it is a key",
        |f| f.sql(&moved("{at scope s}", KEY, "scope s")),
    );
    set.bad(
        "scope-at-a-key",
        Fails("tree-scope", "names", "scope {key a}"),
        "a scope was added at a key's tag",
        |f| f.sql(&added(SCOPE, "key a", "{at scope s}")),
    );
    set.bad(
        "key-at-a-scope",
        Fails("tree-key", "list", "key {scope s}"),
        "a key was added at a scope's tag",
        |f| f.sql(&added(KEY, "scope s", "{at key a}")),
    );
    set.bad(
        "names-at-a-key",
        Fails("tree-names", "names", "names {key a}"),
        "a bucket of names was added at a key's tag",
        |f| f.sql(&added(NAMES, "key a", "{at names a}")),
    );
    set.bad("key-with-a-scope", Fails("tree-key", "read a", "key {key a}"), "a key has a scope's row", |f| {
        f.sql(&copied("{at scope s}", "{at key a}"));
    });
    set.bad("scope-with-a-key", Fails("tree-scope", "scope s", "scope s"), "a scope has a key's row", |f| {
        f.sql(&copied("{at key a}", "{at scope s}"));
    });
    set.bad(
        "names-with-a-scope",
        Fails("tree-names", "names", "names {bucket a}"),
        "a bucket of names has a scope's row",
        |f| f.sql(&copied("{at scope s}", "{at names a}")),
    );
    set.bad(
        "token-in-a-vault-without",
        Fails("tokens", "tokens", "token {token ci}"),
        "a token's record was added where there are no tokens",
        |f| f.sql(&added(TOKEN, "token ci", "{at key a}")),
    );
    set.bad(
        "tokens-in-a-vault-without",
        Fails("tree-tokens", "tokens", "tokens"),
        "a list of tokens was added where there are no tokens",
        |f| f.sql(&added(TOKENS, "tokens", "{at key a}")),
    );
}

fn values(set: &mut Set) {
    let row = "key a version 2";
    let read = Fails("version-rows", "read a", row);
    for (column, noun) in [("wrapped", "wrapped key"), ("sealed", "sealed value")] {
        set.bad(
            &format!("version-{column}-swapped-versions"),
            read,
            &format!("two versions of a key have exchanged their {noun}"),
            |f| {
                f.sql(&format!(
                    "CREATE TEMP TABLE p AS SELECT * FROM version WHERE key = {{id a}};
                     UPDATE version SET {column} = (SELECT {column} FROM p WHERE p.version <> version.version)
                     WHERE key = {{id a}}"
                ));
            },
        );
        set.bad(
            &format!("version-{column}-of-another-version"),
            read,
            &format!("a version has the {noun} of the version before"),
            |f| {
                f.sql(&format!(
                    "UPDATE version SET {column} = (SELECT {column} FROM version WHERE key = {{id a}} AND version = 1)
                     WHERE key = {{id a}} AND version = 2"
                ));
            },
        );
        set.bad(
            &format!("version-{column}-of-another-key"),
            read,
            &format!("a version has the {noun} of another key"),
            |f| {
                f.sql(&format!(
                    "UPDATE version SET {column} = (SELECT {column} FROM version WHERE key = {{id d}})
                     WHERE key = {{id a}} AND version = 2"
                ));
            },
        );
    }
    set.bad("version-swapped", read, "two versions of a key have exchanged their rows", |f| {
        f.sql(
            "CREATE TEMP TABLE p AS SELECT * FROM version WHERE key = {id a};
             UPDATE version SET (wrapped, sealed) =
             (SELECT wrapped, sealed FROM p WHERE p.version <> version.version) WHERE key = {id a}",
        );
    });
    set.bad("version-of-another-key", read, "a version has another key's row", |f| {
        f.sql(
            "UPDATE version SET (wrapped, sealed) = (SELECT wrapped, sealed FROM version WHERE key = {id d})
             WHERE key = {id a} AND version = 2",
        );
    });
    set.bad("version-turned", read, "a version's wrapped key and sealed value have changed places", |f| {
        f.sql("UPDATE version SET (wrapped, sealed) = (sealed, wrapped) WHERE key = {id a} AND version = 2");
    });
    set.bad("version-copied-over", read, "a version's sealed value stands in both columns", |f| {
        f.sql("UPDATE version SET wrapped = sealed WHERE key = {id a} AND version = 2");
    });
    let missing = Fails("version-missing", "read a", row);
    set.bad("version-deleted", missing, "a version's row is deleted", |f| {
        f.sql("DELETE FROM version WHERE key = {id a} AND version = 2");
    });
    set.bad("version-renumbered", missing, "a version's row has another number", |f| {
        f.sql("UPDATE version SET (id, version) = ({vid a 3}, 3) WHERE id = {vid a 2}");
    });
    set.bad("version-moved", missing, "a version's row stands under another key's id", |f| {
        f.sql("UPDATE version SET (id, key) = ({vid d 2}, {id d}) WHERE id = {vid a 2}");
    });
    for (word, columns, comment) in [
        ("number", "version = 3", "the row of a version says another number than it was computed from"),
        ("key", "key = {id d}", "the row of a version says another key than it was computed from"),
        ("id", "id = id + 1", "the row of a version stands at the number of the next one"),
        ("id-far", "id = 7", "the row of a version stands at a number that none has"),
        ("id-negative", "id = -7", "the row of a version stands at a negative number"),
    ] {
        set.bad(&format!("version-other-{word}"), missing, comment, |f| {
            f.sql(&format!("UPDATE version SET {columns} WHERE id = {{vid a 2}}"));
        });
    }
    set.bad("version-ids-exchanged", missing, "two versions stand under one another's number", |f| {
        f.sql(
            "UPDATE version SET id = -1 WHERE id = {vid a 1}; UPDATE version SET id = {vid a 1} WHERE id = {vid a 2};
             UPDATE version SET id = {vid a 2} WHERE id = -1",
        );
    });
    set.bad("version-all-deleted", missing, "the rows of all versions are deleted", |f| {
        f.sql("DELETE FROM version");
    });
    let stray = Fails("version-stray", "check", "version");
    set.bad("version-added", stray, "a row belongs to no version of its key", |f| {
        f.sql("INSERT INTO version SELECT {vid a 9}, key, 9, wrapped, sealed FROM version WHERE key = {id a} AND version = 2");
    });
    set.bad("version-added-zero", stray, "a row has the number 0, which no version has", |f| {
        f.sql("INSERT INTO version SELECT {vid a 0}, key, 0, wrapped, sealed FROM version WHERE key = {id a} AND version = 2");
    });
    set.bad("version-added-key", stray, "a row belongs to no key", |f| {
        f.sql("INSERT INTO version SELECT {vidof key absent 1}, {key absent}, 1, wrapped, sealed FROM version WHERE key = {id d}");
    });
    set.bad("version-added-tag", stray, "a row stands under a key's tag instead of its id", |f| {
        f.sql("INSERT INTO version SELECT {vidof key a 2}, {key a}, 2, wrapped, sealed FROM version WHERE key = {id d}");
    });
    let (earlier, branch) = (set.plain.earlier.sql.clone(), set.plain.branch.sql.clone());
    set.bad(
        "version-of-a-branch",
        read,
        "a version's row is that of another branch of the vault's history",
        |f| attach(f, &branch, "version", "key = {id a} AND version = 2"),
    );
    set.bad("version-all-aged", missing, "the rows of all versions are put back to an earlier state", |f| {
        attach(f, &earlier, "version", "");
    });
}

fn scopes(set: &mut Set) {
    let s = Fails("tree-scope", "scope s", "scope s");
    set.bad("scope-swapped", s, "two scopes' rows are exchanged", |f| {
        f.sql(&swapped("{at scope s}", "{at scope t}"));
    });
    set.bad("scope-copied", s, "a scope has another scope's row", |f| {
        f.sql(&copied("{at scope t}", "{at scope s}"));
    });
    let deleted = |step| Fails("tree-scope", step, "leaf {scope s}");
    set.bad(
        "scope-deleted",
        deleted("scope s"),
        "a scope's row is deleted; that it is missing is proved",
        |f| f.sql("DELETE FROM object WHERE {at scope s}"),
    );
    set.bad(
        "scope-moved",
        Fails("tree-scope", "names", "scope {scope absent}"),
        "a scope's row stands at the tag of a scope that is not there",
        |f| f.sql(&moved("{at scope s}", SCOPE, "scope absent")),
    );
    for (word, by, comment) in
        [("", 1, "a scope's revision is one higher"), ("-lowered", -1, "a scope's revision is one lower")]
    {
        set.bad(&format!("scope-revision{word}"), s, comment, |f| {
            f.sql(&format!("UPDATE object SET revision = revision + {by} WHERE {{at scope s}}"));
        });
    }
    for (word, step, comment) in [
        ("", "scope absent", "a row was added at the tag of a scope that is not there"),
        (
            "-names",
            "names",
            "a row was added at the tag of a scope that is not there, and all scopes are listed",
        ),
    ] {
        let fails = Fails("tree-scope", step, "scope {scope absent}");
        set.bad(&format!("scope-added{word}"), fails, comment, |f| {
            f.sql(&added(SCOPE, "scope absent", "{at scope s}"));
        });
    }
    set.bad(
        "scope-excuses-no-key",
        Fails("row-forged", "list", "leaf {key a}"),
        "a key's row is deleted, and a forged scope stands at a tag of its own so that the number of rows is right",
        |f| {
            f.sql("DELETE FROM object WHERE {at key a}");
            f.sql(&added(SCOPE, "scope absent", "{at scope s}"));
        },
    );
    let (earlier, other) = (set.plain.earlier.sql.clone(), set.other.sql.clone());
    set.bad("scope-aged", s, "a scope is put back to an earlier state", |f| {
        attach(f, &earlier, "object", "{at scope s}");
    });
    set.bad("scope-of-another-vault", s, "a scope's row is that of another vault", |f| {
        let from = sql::in_memory(&other);
        let mut query = from.prepare("SELECT sealed FROM object WHERE id >> 56 = 4 LIMIT 1").unwrap();
        let sealed: Vec<u8> = query.query_row([], |row| row.get(0)).unwrap();
        f.put("object", "sealed", "{at scope s}", &sealed);
    });
}

fn names(set: &mut Set) {
    let fails = Fails("tree-names", "names", "names {bucket a}");
    set.bad("names-swapped", fails, "two buckets of names are exchanged", |f| {
        f.sql(&swapped("{at names a}", "{at names b}"));
    });
    set.bad("names-copied", fails, "a bucket of names has another bucket's row", |f| {
        f.sql(&copied("{at names b}", "{at names a}"));
    });
    set.bad("names-revision", fails, "a bucket's revision is one higher", |f| {
        f.sql("UPDATE object SET revision = revision + 1 WHERE {at names a}");
    });
    set.bad(
        "names-deleted",
        Fails("names-missing", "check", "names {bucket a}"),
        "a bucket of names is deleted",
        |f| f.sql("DELETE FROM object WHERE {at names a}"),
    );
    let at_63 = |f: &Forge| {
        let tag = f.tag(NAMES, &[63]);
        format!("{}, x'{}'", object_id(NAMES, &tag), hex(&tag))
    };
    let row_63 = format!("names {}", hex(&set.forge("plain", "").tag(NAMES, &[63])));
    set.bad(
        "names-moved",
        Fails("tree-names", "names", &row_63),
        "a bucket of names has another number",
        |f| f.sql(&format!("UPDATE object SET (id, tag) = ({}) WHERE {{at names a}}", at_63(f))),
    );
    set.bad(
        "names-moved-elsewhere",
        Fails("tree-names", "names", "names {key absent}"),
        "a bucket of names stands at a tag that no bucket has",
        |f| f.sql(&moved("{at names a}", NAMES, "key absent")),
    );
    set.bad(
        "names-added",
        Fails("tree-names", "names", &row_63),
        "a row was added for a bucket without names",
        |f| {
            let at = at_63(f);
            f.sql(&format!(
                "INSERT INTO object SELECT {at}, revision, sealed FROM object WHERE {{at names a}}"
            ));
        },
    );
}

fn tree(set: &mut Set) {
    fn read(row: &str) -> Fails<'_> {
        Fails("tree-path", "read a", row)
    }
    set.bad("leaf-altered", read("key a"), "one bit of a leaf is altered", |f| {
        f.flip("leaf", "digest", "tag = {key a}", 0);
    });
    set.bad("leaf-tag-altered", read("key a"), "a leaf stands at another tag of the same bucket", |f| {
        f.flip("leaf", "tag", "tag = {key a}", 15);
    });
    set.bad("leaf-deleted", read("key a"), "a leaf is deleted", |f| {
        f.sql("DELETE FROM leaf WHERE tag = {key a}");
    });
    set.bad("leaf-and-row-deleted", read("names {names a}"), "a key's row and its leaf are deleted", |f| {
        f.sql("DELETE FROM leaf WHERE tag = {key a}; DELETE FROM object WHERE {at key a}");
    });
    set.bad("leaf-swapped", read("key a"), "two leaves are exchanged", |f| {
        f.sql("CREATE TEMP TABLE p AS SELECT * FROM leaf WHERE tag IN ({key a}, {key b});
               UPDATE leaf SET digest = (SELECT digest FROM p WHERE p.tag <> leaf.tag) WHERE tag IN (SELECT tag FROM p)");
    });
    set.bad("leaf-added", read("leaf {beside a}"), "a leaf was added to a bucket", |f| {
        f.sql("INSERT INTO leaf SELECT CAST(substr(tag, 1, 15) || x'00' AS BLOB), digest FROM leaf WHERE tag = {key a}");
    });
    set.bad(
        "leaf-added-elsewhere",
        Fails("tree-leaves", "list", "leaf {key absent}"),
        "a leaf was added where there is no bucket",
        |f| {
            f.sql("INSERT INTO leaf SELECT {key absent}, digest FROM leaf WHERE tag = {key a}");
        },
    );
    set.bad("leaf-short", Fails("column", "read a", "leaf"), "a leaf has 15 bytes", |f| {
        f.sql("UPDATE leaf SET digest = substr(digest, 1, 15) WHERE tag = {key a}");
    });
    set.bad("leaf-all-deleted", Fails("tree-path", "state", ""), "all leaves are deleted", |f| {
        f.sql("DELETE FROM leaf");
    });
    let node = |f: &Forge, level: u32| {
        let tag = f.key_tag("a");
        let bits = u32::from_be_bytes([0, tag[0], tag[1], tag[2]]) >> 6;
        [0, 1 + (bits >> 12), 65 + (bits >> 6)][level as usize]
    };
    for (level, word) in [(1, "middle"), (2, "lower")] {
        let id = node(&set.forge("plain", ""), level);
        let row = format!("node {id}");
        let condition = format!("id = {id}");
        set.bad(
            &format!("node-{word}-bitmap"),
            read(&row),
            &format!("one bit of the bitmap of a {word} node is altered"),
            |f| f.flip("node", "body", &condition, 0),
        );
        set.bad(
            &format!("node-{word}-digest"),
            read(&row),
            &format!("one bit of a digest in a {word} node is altered"),
            |f| f.flip("node", "body", &condition, 8),
        );
        set.bad(&format!("node-{word}-longer"), read(&row), &format!("a {word} node has a byte more"), |f| {
            f.sql(&format!("UPDATE node SET body = CAST(body || x'00' AS BLOB) WHERE {condition}"));
        });
        set.bad(&format!("node-{word}-empty"), read(&row), &format!("a {word} node has no bytes"), |f| {
            f.put("node", "body", &condition, &[]);
        });
        set.bad(&format!("node-{word}-deleted"), read(&row), &format!("a {word} node is deleted"), |f| {
            f.sql(&format!("DELETE FROM node WHERE {condition}"));
        });
    }
    let state = Fails("tree-path", "state", "");
    set.bad("node-root-bitmap", state, "one bit of the root's bitmap is altered", |f| {
        f.flip("node", "body", "id = 0", 0);
    });
    set.bad("node-root-digest", state, "one bit of a digest in the root is altered", |f| f.sql("UPDATE node SET body = CAST(substr(body, 1, 8) || zeroblob(length(body) - 8) AS BLOB) WHERE id = 0"));
    set.bad("node-root-deleted", state, "the root is deleted", |f| f.sql("DELETE FROM node WHERE id = 0"));
    set.bad("node-all-deleted", state, "all nodes are deleted", |f| f.sql("DELETE FROM node"));
    set.bad(
        "node-added",
        Fails("tree-stray", "check", "node 4160"),
        "a node was added that nothing leads to",
        |f| f.sql("INSERT INTO node SELECT 4160, body FROM node WHERE id = 0"),
    );
    set.bad(
        "node-beyond",
        Fails("tree-stray", "check", "node 70000"),
        "a node was added whose number the tree does not have",
        |f| f.sql("INSERT INTO node SELECT 70000, body FROM node WHERE id = 0"),
    );
    set.bad("node-negative", Fails("row-shape", "check", "node"), "a node's number is negative", |f| {
        f.sql("INSERT INTO node SELECT -1, body FROM node WHERE id = 0");
    });
    let of_set = "x'53535353535353535353535353535353'";
    let id = (0x53_5353_5353_i64 << 23) + (4 << 20);
    set.bad(
        "sets-list-added",
        Fails("sets", "check", "issued_list"),
        "a list of sets was added that the record does not bind",
        |f| f.sql("INSERT INTO issued_list VALUES (1, x'01000000')"),
    );
    set.bad(
        "sets-header-added",
        Fails("sets", "check", "set 53535353535353535353535353535353"),
        "a set's header was added that the list does not have",
        |f| f.sql(&format!("INSERT INTO issued_set VALUES ({of_set}, x'01', x'01')")),
    );
    set.bad("sets-page-added", Fails("sets", "check", "issued_page"), "a page of no set was added", |f| {
        f.sql(&format!("INSERT INTO issued_page VALUES ({id}, {of_set}, 4, 0, 1, x'01')"));
    });
    set.bad(
        "sets-hold-added",
        Fails("sets", "check", "issued_hold"),
        "a hold of no verifier was added",
        |f| {
            f.sql(&format!("INSERT INTO issued_hold VALUES ({id}, {of_set}, 0, x'01')"));
        },
    );
    issued(set);
    let earlier = set.plain.earlier.sql.clone();
    set.bad(
        "tree-aged",
        Fails("tree-path", "state", ""),
        "leaves and nodes are put back to an earlier state",
        |f| {
            attach(f, &earlier, "leaf", "");
            f.sql("DROP TABLE taken");
            attach(f, &earlier, "node", "");
        },
    );
    set.bad(
        "rows-and-tree-aged",
        Fails("tree-path", "state", ""),
        "everything but record and log is put back to an earlier state",
        |f| {
            for table in ["object", "version", "leaf", "node"] {
                attach(f, &earlier, table, "");
                f.sql("DROP TABLE taken");
            }
        },
    );
}

fn state(set: &mut Set) {
    let fails = Fails("record", "state", "");
    for (word, place) in [
        ("format", 0),
        ("vault", 4),
        ("epoch", 20),
        ("change", 24),
        ("time", 32),
        ("root", 40),
        ("count", 56),
        ("log-mac", 64),
        ("sets", 96),
        ("previous", 145),
    ] {
        set.bad(
            &format!("record-{word}"),
            fails,
            &format!("one bit of the record's {word} is altered"),
            |f| f.flip("state", "record", "id = 1", place),
        );
    }
    set.bad("record-mac", fails, "one bit of the record's MAC is altered", |f| {
        f.flip("state", "mac", "id = 1", 31);
    });
    set.bad("record-mac-zero", fails, "the record's MAC is zero", |f| {
        f.put("state", "mac", "id = 1", &[0; 32]);
    });
    set.bad("record-short", fails, "the record has a byte less", |f| {
        f.sql("UPDATE state SET record = substr(record, 1, 127)");
    });
    set.bad("record-long", fails, "the record has a byte more", |f| {
        f.sql("UPDATE state SET record = CAST(record || x'00' AS BLOB)");
    });
    set.bad("record-signature", fails, "one bit of the record's signature is altered", |f| {
        f.flip("state", "signature", "id = 1", 20);
    });
    set.bad("record-deleted", Fails("missing-row", "state", ""), "the record is deleted", |f| {
        f.sql("DELETE FROM state");
    });
    set.bad("record-mac-short", Fails("column", "state", ""), "the record's MAC has 31 bytes", |f| {
        f.sql("UPDATE state SET mac = substr(mac, 1, 31)");
    });
    let (earlier, branch, other) =
        (set.plain.earlier.sql.clone(), set.plain.branch.sql.clone(), set.other.sql.clone());
    // Chain and tree go on from there; the record is authentic and old, and the chain still passes through its point.
    set.bad(
        "record-aged",
        Fails("tree-path", "state", ""),
        "the record is put back to an earlier one",
        |f| attach(f, &earlier, "state", ""),
    );
    set.bad(
        "record-of-a-branch",
        Fails("record-chain", "state", ""),
        "the record is that of another branch of the vault's history",
        |f| attach(f, &branch, "state", ""),
    );
    set.bad("record-of-another-vault", fails, "the record is that of another vault", |f| {
        attach(f, &other, "state", "");
    });
}

fn header(set: &mut Set) {
    let state = Fails("tree-header", "state", "");
    set.bad("header-written-by", state, "written_by is another version", |f| {
        f.sql("UPDATE vault SET written_by = '9.9.9'");
    });
    set.bad("header-seed", state, "one bit of the sealed k₀ is altered", |f| {
        f.flip("vault", "chain_seed", "id = 1", 60);
    });
    set.bad("header-signer", state, "one bit of the signer is altered", |f| {
        f.flip("vault", "signer", "id = 1", 20);
    });
    set.bad("header-seed-empty", state, "the sealed k₀ has no bytes", |f| {
        f.put("vault", "chain_seed", "id = 1", &[]);
    });
    let locked = Fails("wrong-credential", "open", "");
    set.bad("header-vault-id", locked, "one bit of the vault's id is altered", |f| {
        f.flip("vault", "vault_id", "id = 1", 0);
    });
    set.bad("header-epoch", locked, "the epoch is one higher", |f| f.sql("UPDATE vault SET epoch = 2"));
    set.bad("header-epoch-zero", locked, "the epoch is 0", |f| f.sql("UPDATE vault SET epoch = 0"));
    let column = Fails("column", "open", "");
    set.bad("header-epoch-negative", column, "the epoch is negative", |f| {
        f.sql("UPDATE vault SET epoch = -1");
    });
    set.bad("header-epoch-huge", column, "the epoch does not fit into 32 bits", |f| {
        f.sql("UPDATE vault SET epoch = 4294967297");
    });
    set.bad("header-vault-id-short", column, "the vault's id has 15 bytes", |f| {
        f.sql("UPDATE vault SET vault_id = substr(vault_id, 1, 15)");
    });
    set.bad("header-deleted", Fails("missing-row", "open", ""), "the header row is deleted", |f| {
        f.sql("DELETE FROM vault");
    });
    set.bad("header-row-two", Fails("missing-row", "open", ""), "the header row has the number 2", |f| {
        f.sql("UPDATE vault SET id = 2");
    });
    let other = set.other.sql.clone();
    set.bad("header-seed-of-another-vault", state, "the sealed k₀ is that of another vault", |f| {
        let from = sql::in_memory(&other);
        let seed: Vec<u8> = from.query_row("SELECT chain_seed FROM vault", [], |row| row.get(0)).unwrap();
        f.put("vault", "chain_seed", "id = 1", &seed);
    });
}

fn log(set: &mut Set) {
    let last = set.forge("plain", "").number(&format!("SELECT max(id) FROM log WHERE {OWN_LOG}"));
    let log = |reason| Fails(reason, "log", "log");
    for (part, place) in PARTS {
        set.bad(
            &format!("log-{part}"),
            log("event-seal"),
            &format!("one bit of the {part} of an event is altered"),
            |f| f.flip("log", "sealed", "id = 2", place),
        );
    }
    set.bad("log-mac", log("entry-mac"), "one bit of an entry's MAC is altered", |f| {
        f.flip("log", "mac", "id = 2", 0);
    });
    set.bad("log-first-deleted", log("entry-missing"), "the first entry is deleted", |f| {
        f.sql("DELETE FROM log WHERE id = 0");
    });
    set.bad("log-deleted", log("entry-missing"), "an entry in the middle is deleted", |f| {
        f.sql("DELETE FROM log WHERE id = 3");
    });
    set.bad("log-closed-up", log("event-seal"), "an entry is deleted, and those behind it close up to the record's", |f| {
        // Up to the entry that the record names; another one fills the place behind.
        f.sql("DELETE FROM log WHERE id = 3; UPDATE log SET id = 3 WHERE id = 4; INSERT INTO log SELECT 4, NULL, mac, sealed FROM log WHERE id = 3");
    });
    set.bad("log-swapped", log("event-seal"), "two entries are exchanged", |f| {
        f.sql("UPDATE log SET id = 1000 WHERE id = 2; UPDATE log SET id = 2 WHERE id = 3; UPDATE log SET id = 3 WHERE id = 1000");
    });
    set.bad("log-repeated", log("event-seal"), "an entry stands in the place of the next one as well", |f| {
        f.sql("UPDATE log SET (mac, sealed) = (SELECT mac, sealed FROM log WHERE id = 2) WHERE id = 3");
    });
    set.bad("log-added", log("head-count"), "the last entry stands once more behind the end", |f| {
        f.sql(&format!("INSERT INTO log SELECT id + 1, NULL, mac, sealed FROM log WHERE id = {last}"));
    });
    set.bad("log-cut", log("head-count"), "the last entry is cut off", |f| {
        f.sql(&format!("DELETE FROM log WHERE id = {last}"));
    });
    set.bad("log-gap", log("head-count"), "the last entry has a higher number", |f| {
        f.sql(&format!("UPDATE log SET id = id + 1 WHERE id = {last}"));
    });
    set.bad(
        "log-cut-both",
        Fails("head-count", "log", "log"),
        "both reads behind the last change are cut off",
        |f| f.sql(&format!("DELETE FROM log WHERE {OWN_LOG} AND id >= {}", last - 1)),
    );
    set.bad(
        "log-cut-and-counted",
        log("head-seal"),
        "the last entry is cut off, and the head counts one less",
        |f| {
            f.sql(&format!(
                "DELETE FROM log WHERE id = {last}; UPDATE log_head SET count = count - 1 WHERE {OWN}"
            ));
        },
    );
    set.bad(
        "log-cut-change",
        Fails("record-chain", "state", ""),
        "the last change and what follows are cut off",
        |f| f.sql(&format!("DELETE FROM log WHERE {OWN_LOG} AND id >= {}", last - 2)),
    );
    set.bad("log-all-deleted", Fails("record-chain", "state", ""), "all entries are deleted", |f| {
        f.sql("DELETE FROM log WHERE id >> 32 = 0");
    });
    set.bad(
        "log-change-mac",
        Fails("record-chain", "state", ""),
        "one bit of the MAC of the last change's entry is altered",
        |f| f.flip("log", "mac", &format!("id = {}", last - 2), 5),
    );
    set.bad("log-last-mac", log("head-last"), "one bit of the last entry's MAC is altered", |f| {
        f.flip("log", "mac", &format!("id = {last}"), 5);
    });
    set.bad("log-change-number", log("event-change"), "an entry is filed under another change", |f| {
        f.sql("UPDATE log SET change = 1000 WHERE id = 2");
    });
    set.bad("log-change-null", log("event-change"), "a change's entry is filed under no change", |f| {
        f.sql("UPDATE log SET change = NULL WHERE id = 2");
    });
    set.bad("log-read-as-change", log("event-change"), "a read's entry is filed under a change", |f| {
        f.sql(&format!("UPDATE log SET change = 1000 WHERE id = {last}"));
    });
    set.bad("log-negative", log("entry-missing"), "an entry stands before the first", |f| {
        f.sql("UPDATE log SET id = -1 WHERE id = 0");
    });
    for (part, place) in PARTS {
        set.bad(
            &format!("head-{part}"),
            log("head-seal"),
            &format!("one bit of the {part} of the chain's head is altered"),
            |f| f.flip("log_head", "sealed", OWN, place),
        );
    }
    set.bad("head-count-lower", log("head-seal"), "the head counts one entry less", |f| {
        f.sql("UPDATE log_head SET count = count - 1 WHERE number = 0");
    });
    set.bad("head-count-higher", log("head-seal"), "the head counts one entry more", |f| {
        f.sql("UPDATE log_head SET count = count + 1 WHERE number = 0");
    });
    set.bad("head-count-negative", Fails("column", "log", "log"), "the head counts −1 entries", |f| {
        f.sql("UPDATE log_head SET count = -1 WHERE number = 0");
    });
    set.bad("head-deleted", Fails("missing-row", "log", "log"), "the chain's head is deleted", |f| {
        f.sql("DELETE FROM log_head WHERE number = 0");
    });
    let (earlier, branch, other) =
        (set.plain.earlier.sql.clone(), set.plain.branch.sql.clone(), set.other.sql.clone());
    set.bad("head-aged", log("head-count"), "the chain's head is put back to an earlier one", |f| {
        attach(f, &earlier, "log_head", "");
    });
    set.bad(
        "head-of-a-branch",
        log("head-last"),
        "the chain's head is that of another branch of the vault's history",
        |f| attach(f, &branch, "log_head", ""),
    );
    set.bad("head-of-another-vault", log("head-seal"), "the chain's head is that of another vault", |f| {
        attach(f, &other, "log_head", "");
    });
    set.bad(
        "log-aged",
        Fails("record-chain", "state", ""),
        "log and head are put back to an earlier state",
        |f| {
            attach(f, &earlier, "log", "");
            f.sql("DROP TABLE taken");
            attach(f, &earlier, "log_head", "");
        },
    );
}

/// Rows under another ledger than the vault's own.
fn ledgers(set: &mut Set) {
    const OTHER: &str = "x'00112233445566778899aabbccddeeff'";
    let log = |reason| Fails(reason, "log", "log");
    let mut bad = |name: &str, fails: Fails<'_>, comment: &str, sql: &str| {
        // The ids of a ledger of number 7.
        let sql = sql.replace("OTHER", OTHER).replace("THERE", "(id + (7 << 32))");
        set.bad(name, fails, comment, |f| f.sql(&sql));
    };
    let moved = "UPDATE log SET id = THERE WHERE";
    let first = format!("{moved} id = 0");
    bad("ledger-of-the-first", log("entry-missing"), "the first entry stands in another ledger", &first);
    let third = format!("{moved} id = 3");
    bad("ledger-of-one", log("entry-missing"), "an entry in the middle stands in another ledger", &third);
    bad(
        "ledger-of-the-last",
        log("head-count"),
        "the last entry stands in another ledger",
        &format!("{moved} id = (SELECT max(id) FROM log WHERE id >> 32 = 0)"),
    );
    bad(
        "ledger-of-all",
        Fails("record-chain", "state", ""),
        "all entries and the head stand in another ledger",
        "UPDATE log SET id = THERE WHERE id >> 32 = 0; UPDATE log_head SET (ledger, number) = (OTHER, 7) WHERE number = 0",
    );
    let chain = Fails("record-chain", "state", "");
    bad(
        "ledger-of-entries",
        chain,
        "all entries stand in another ledger",
        "UPDATE log SET id = THERE WHERE id >> 32 = 0",
    );
    bad(
        "ledger-of-the-head",
        Fails("missing-row", "log", "log"),
        "the head stands in another ledger",
        "UPDATE log_head SET (ledger, number) = (OTHER, 7) WHERE number = 0",
    );
    bad(
        "ledger-of-the-head-without-a-number",
        Fails("missing-row", "log", "log"),
        "the head stands in another ledger, with the number of the vault's",
        "UPDATE log_head SET ledger = OTHER WHERE number = 0",
    );
    for (word, number) in
        [("seven", "7"), ("negative", "-1"), ("highest", "9223372036854775807"), ("beyond", "2147483648")]
    {
        let comment = format!("the number of the vault's own ledger is {number}");
        let sql = format!("UPDATE log_head SET number = {number} WHERE {OWN}");
        bad(&format!("ledger-number-{word}"), Fails("column", "log", "log"), &comment, &sql);
    }
    let stray = Fails("token-stray", "check", "token_view");
    bad(
        "ledger-once-more",
        stray,
        "log and head stand once more, in the ledger of nobody",
        "INSERT INTO log SELECT THERE, NULL, mac, sealed FROM log WHERE id >> 32 = 0;
         INSERT INTO log_head SELECT OTHER, 7, count, sealed FROM log_head WHERE number = 0",
    );
    bad(
        "ledger-added-head",
        stray,
        "a head stands in the ledger of nobody",
        "INSERT INTO log_head SELECT OTHER, 7, 0, sealed FROM log_head WHERE number = 0",
    );
    bad(
        "ledger-added-head-of-the-vault",
        stray,
        "a head stands in the ledger of nobody, with the number of the vault's",
        "INSERT INTO log_head SELECT OTHER, 0, count, sealed FROM log_head WHERE number = 0",
    );
    bad(
        "ledger-added-entry",
        stray,
        "an entry stands in the ledger of nobody",
        "INSERT INTO log SELECT THERE, NULL, mac, sealed FROM log WHERE id = 0",
    );
    bad(
        "ledger-added-change",
        stray,
        "a change's entry stands in the ledger of nobody as well",
        "INSERT INTO log SELECT THERE, change, mac, sealed FROM log WHERE id = 2",
    );
    for (word, to) in [("short", "zeroblob(15)"), ("long", "zeroblob(17)"), ("empty", "x''")] {
        let sql = format!("INSERT INTO log_head SELECT {to}, 7, count, sealed FROM log_head WHERE {OWN}");
        let comment = format!("the ledger of a head is not 16 bytes long: {word}");
        bad(&format!("log-head-ledger-{word}"), stray, &comment, &sql);
    }
    for (word, number) in [("negative", "-1"), ("highest", "9223372036854775807"), ("beyond", "2147483647")] {
        let sql =
            format!("INSERT INTO log_head SELECT OTHER, {number}, count, sealed FROM log_head WHERE {OWN}");
        let comment = format!("a head in the ledger of nobody has the number {number}");
        bad(&format!("log-head-number-{word}"), stray, &comment, &sql);
    }
    device_ledgers(set);
}

/// The ledger of the device that made the vault, which has number 1.
fn device_ledgers(set: &mut Set) {
    let base = set.forge("plain", "");
    let id: Vec<u8> = base.blob("SELECT ledger FROM log_head WHERE number = 1");
    drop(base);
    let row = format!("log of ledger {}", hex(&id[..4]));
    let first = 1_i64 << 32;
    let old = &set.plain.earlier.sql.clone();
    for (name, comment, sql) in [
        ("missing", "a listed ledger is missing", format!("DELETE FROM log WHERE id >= {first}; DELETE FROM log_head WHERE number = 1")),
        ("without-entries", "a listed ledger has its head alone", format!("DELETE FROM log WHERE id >= {first}")),
        ("without-a-head", "a listed ledger has no head", "DELETE FROM log_head WHERE number = 1".to_owned()),
        ("cut", "the last entry of a listed ledger is cut off", format!("DELETE FROM log WHERE id = {first} + 2")),
        ("first-deleted", "the first entry of a listed ledger is deleted", format!("DELETE FROM log WHERE id = {first}")),
        ("mac", "a MAC in a listed ledger is zero", format!("UPDATE log SET mac = zeroblob(32) WHERE id = {first} + 1")),
        ("counted-down", "the head of a listed ledger counts one entry less", "UPDATE log_head SET count = count - 1 WHERE number = 1".to_owned()),
        ("head-of-the-vault", "the head of a listed ledger is that of the vault's", "UPDATE log_head SET (count, sealed) = (SELECT count, sealed FROM log_head WHERE number = 0) WHERE number = 1".to_owned()),
        ("change", "an entry of a listed ledger is filed under a change", format!("UPDATE log SET change = 1000 WHERE id = {first} + 2")),
        ("exchanged", "two entries of a listed ledger are exchanged", format!("UPDATE log SET id = {first} + 9 WHERE id = {first}; UPDATE log SET id = {first} WHERE id = {first} + 1; UPDATE log SET id = {first} + 1 WHERE id = {first} + 9")),
    ] {
        set.bad(&format!("device-ledger-{name}"), Fails("reads-chain", "check", &row), comment, |f| f.sql(&sql));
    }
    set.bad(
        "device-ledger-aged",
        Fails("reads-chain", "check", &row),
        "a listed ledger is put back to an earlier state, head and all, and is shorter than listed",
        |f| {
            attach(f, old, "log_head", "number = 1");
            f.sql(&format!("DELETE FROM log WHERE id >= {first}"));
        },
    );
    let leaf = format!("leaf {}", hex(&set.forge("plain", "").tag(LEDGERS, &[])));
    let gone = Fails("leaf-stray", "check", &leaf);
    set.bad("ledgers-deleted", gone, "the list of ledgers is deleted", |f| {
        f.sql("DELETE FROM object WHERE id >> 56 = 15");
    });
    let altered = Fails("tree-ledgers", "check", "ledgers");
    for (part, place) in PARTS {
        let comment = format!("one bit of the list of ledgers is altered, in its {part}");
        set.bad(&format!("ledgers-{part}"), altered, &comment, |f| {
            f.flip("object", "sealed", "id >> 56 = 15", place);
        });
    }
}

fn columns(set: &mut Set) {
    set.bad("key-tag-short", Fails("column", "list", "object"), "a key's tag has 15 bytes", |f| {
        f.sql("INSERT INTO object SELECT id + 1, substr(tag, 1, 15), revision, sealed FROM object WHERE {at key a}");
    });
    set.bad(
        "key-revision-negative",
        Fails("column", "read a", "object"),
        "a key's revision is negative",
        |f| f.sql("UPDATE object SET revision = -1 WHERE {at key a}"),
    );
    for (word, columns, comment) in [
        ("tag", "tag = {key absent}", "the row of a key says another tag than it was computed from"),
        ("id", "id = id + 1", "the row of a key stands at another number"),
        ("id-of-a-scope", "id = {oid 4 key a}", "the row of a key stands at the number of a scope"),
        ("id-zero", "id = 0", "the row of a key stands at 0"),
        ("id-negative", "id = -1", "the row of a key stands at −1"),
    ] {
        let sql = format!("UPDATE object SET {columns} WHERE {{at key a}}");
        let read = if word == "id-of-a-scope" { "scope {key a}" } else { "leaf {key a}" };
        set.bad(&format!("key-other-{word}"), Fails("tree-key", "read a", read), comment, |f| f.sql(&sql));
        if word == "id-of-a-scope" {
            continue;
        }
        let listed = Fails("column", "list", "object");
        set.bad(
            &format!("key-other-{word}-listed"),
            listed,
            &format!("{comment}, and all keys are listed"),
            |f| f.sql(&sql),
        );
    }
    set.bad(
        "scope-other-tag",
        Fails("tree-scope", "scope s", "leaf {scope s}"),
        "the row of a scope says another tag than it was computed from",
        |f| {
            f.sql("UPDATE object SET tag = {scope absent} WHERE {at scope s}");
        },
    );
    set.bad(
        "names-other-tag",
        Fails("column", "names", "object"),
        "the row of a bucket of names says another tag than it was computed from",
        |f| {
            f.sql("UPDATE object SET tag = {names b} WHERE {at names a}");
        },
    );
    set.bad(
        "keys-ids-exchanged",
        Fails("tree-key", "read a", "leaf {key a}"),
        "two keys' rows stand under one another's number",
        |f| {
            f.sql(
            "UPDATE object SET id = 0 WHERE {at key a}; UPDATE object SET id = {oid 3 key a} WHERE {at key b};
             UPDATE object SET id = {oid 3 key b} WHERE id = 0",
        );
        },
    );
    set.bad("names-tag-short", Fails("column", "names", "object"), "a tag of names has 15 bytes", |f| {
        f.sql("UPDATE object SET tag = substr(tag, 1, 15) WHERE {at names a}");
    });
    set.bad("scope-tag-long", Fails("column", "names", "object"), "a scope's tag has 17 bytes", |f| {
        f.sql("INSERT INTO object SELECT id + 1, CAST(tag || x'00' AS BLOB), revision, sealed FROM object WHERE {at scope s}");
    });
    set.bad(
        "object-tag-empty",
        Fails("column", "list", "object"),
        "the tag of an object of kind 9 is empty",
        |f| {
            f.sql("INSERT INTO object SELECT 9 << 56, x'', revision, sealed FROM object WHERE {at scope s}");
        },
    );
    let version = Fails("version-stray", "check", "version");
    for (word, key, number) in [
        ("key-short", "substr(key, 1, 15)", "version"),
        ("key-long", "CAST(key || x'00' AS BLOB)", "version"),
        ("negative", "key", "-1"),
        ("beyond-32-bits", "key", "4294967298"),
        ("elsewhere", "key", "version"),
    ] {
        let comment = format!("a row of a version has another shape: {word}");
        set.bad(&format!("version-{word}"), version, &comment, |f| {
            f.sql(&format!(
                "INSERT INTO version SELECT id + 5, {key}, {number}, wrapped, sealed FROM version WHERE key = {{id d}}"
            ));
        });
    }
    set.bad("log-mac-short", Fails("column", "log", "log"), "an entry's MAC has 31 bytes", |f| {
        f.sql("UPDATE log SET mac = substr(mac, 1, 31) WHERE id = 1");
    });
    set.bad("log-change-negative", Fails("column", "log", "log"), "an entry's change is negative", |f| {
        f.sql("UPDATE log SET change = -2 WHERE id = 1");
    });
    set.bad(
        "second-record",
        Fails("second-row", "check", "file"),
        "there is a second record, against the condition of the table",
        |f| {
            f.sql("INSERT INTO state SELECT 2, record, signature, mac FROM state");
        },
    );
}

/// Rows of issued keys that whoever can write the file altered.
fn issued(set: &mut Set) {
    let id_of = |condition: &str| {
        let id =
            set.forge("issued", "ids").blob(&format!("SELECT set_id FROM issued_page WHERE {condition}"));
        format!("set {}", hex(&id))
    };
    let (own, portals) =
        (id_of("kind = 1"), id_of("set_id NOT IN (SELECT set_id FROM issued_page WHERE kind = 1)"));
    let owners = "set_id IN (SELECT set_id FROM issued_page WHERE kind = 1)";
    let log = "log of gateway";
    let mut bad = |name: &str, reason: &str, row: &str, comment: &str, make: &dyn Fn(&Forge)| {
        set.forged(name, "issued", Fails(reason, "check", row), comment, make);
    };
    bad("issued-page-altered", "sets", &own, "a bit of a page of the owner's set is altered", &|f| {
        f.flip("issued_page", "sealed", &format!("{owners} AND kind = 4"), 90);
    });
    bad("issued-page-gone", "sets", &portals, "a page of an issuer's set is gone", &|f| {
        f.sql(&format!("DELETE FROM issued_page WHERE NOT {owners}"));
    });
    bad(
        "issued-header-altered",
        "sets",
        &portals,
        "a bit of the header of an issuer's set is altered",
        &|f| {
            f.flip("issued_set", "header", &format!("NOT {owners}"), 60);
        },
    );
    bad("issued-hold-gone", "holds", log, "the last hold is gone", &|f| {
        f.sql("DELETE FROM issued_hold WHERE seq = 1");
    });
    bad("issued-hold-altered", "holds", log, "a bit of a hold is altered", &|f| {
        f.flip("issued_hold", "sealed", "seq = 0", 90);
    });
    bad("issued-holds-swapped", "holds", log, "two holds have changed places", &|f| {
        let sealed = |seq| f.blob(&format!("SELECT sealed FROM issued_hold WHERE seq = {seq}"));
        let (first, second) = (sealed(0), sealed(1));
        f.put("issued_hold", "sealed", "seq = 0", &second);
        f.put("issued_hold", "sealed", "seq = 1", &first);
    });
    let grants = "token_grant of gateway";
    // The verifier's, which is granted a key as well.
    const ALSO_A_KEYS: &str = "key = x'73686f702d6170692d30303030303031'
        AND token IN (SELECT token FROM token_grant GROUP BY token HAVING count(*) = 2)";
    bad("issued-api-grant-altered", "grants", grants, "a bit of the grant of an API is altered", &|f| {
        f.flip("token_grant", "sealed", ALSO_A_KEYS, 90);
    });
}
