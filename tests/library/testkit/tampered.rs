//! Vectors by somebody with the file and no key: rows altered, exchanged, deleted, added, put back.

use super::forge::Forge;
use super::set::{Fails, Set};
use super::sql;

/// Salt, commitment, ciphertext, tag: one place in each.
const PARTS: [(&str, isize); 4] = [("salt", 3), ("commitment", 30), ("ciphertext", 60), ("tag", -1)];

pub(crate) fn all(set: &mut Set) {
    seals(set);
    keys(set);
    values(set);
    scopes(set);
    names(set);
    tree(set);
    state(set);
    header(set);
    log(set);
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

fn seals(set: &mut Set) {
    let rows = [
        ("item", "sealed", "tag = {item a}", "tree-key", "read a", "key {item a}"),
        ("scope", "sealed", "tag = {scope s}", "tree-scope", "scope s", "scope s"),
        ("directory", "sealed", "bucket = {names a}", "tree-names", "names", "directory {names a}"),
        (
            "version_key",
            "sealed",
            "item = {id a} AND version = 2",
            "version-rows",
            "read a",
            "key a version 2",
        ),
        (
            "version_value",
            "sealed",
            "item = {id a} AND version = 2",
            "version-rows",
            "read a",
            "key a version 2",
        ),
    ];
    for (table, column, condition, tree, step, row) in rows {
        for (part, place) in PARTS {
            set.bad(
                &format!("{}-{part}", table.replace('_', "-")),
                Fails(tree, step, row),
                &format!("one bit of the {part} in {table} is altered"),
                |f| f.flip(table, column, condition, place),
            );
        }
        set.bad(
            &format!("{}-short", table.replace('_', "-")),
            Fails(tree, step, row),
            &format!("the sealed text in {table} is shorter than a seal"),
            |f| f.put(table, column, condition, &[7; 71]),
        );
        set.bad(
            &format!("{}-no-bytes", table.replace('_', "-")),
            Fails(tree, step, row),
            &format!("the sealed text in {table} has no bytes"),
            |f| f.put(table, column, condition, &[]),
        );
    }
}

fn keys(set: &mut Set) {
    let a = Fails("tree-key", "read a", "key {item a}");
    set.bad("item-swapped", a, "two keys' rows are exchanged", |f| {
        f.sql("CREATE TEMP TABLE p AS SELECT * FROM item WHERE tag IN ({item a}, {item b});
               UPDATE item SET (revision, sealed) = (SELECT revision, sealed FROM p WHERE p.tag <> item.tag) WHERE tag IN (SELECT tag FROM p)");
    });
    set.bad("item-copied", a, "a key has another key's row", |f| {
        f.sql("UPDATE item SET (revision, sealed) = (SELECT revision, sealed FROM item WHERE tag = {item d}) WHERE tag = {item a}");
    });
    let deleted = Fails("tree-key", "read a", "leaf {item a}");
    set.bad("item-deleted", deleted, "a key's row is deleted; that it is missing is proved", |f| {
        f.sql("DELETE FROM item WHERE tag = {item a}");
    });
    let list = Fails("key-missing", "list", "leaf {item a}");
    set.bad("item-deleted-list", list, "a key's row is deleted, and all keys are listed", |f| {
        f.sql("DELETE FROM item WHERE tag = {item a}");
    });
    set.bad(
        "item-moved",
        Fails("tree-key", "read absent", "key {item absent}"),
        "a key's row stands at the tag of a name that is not there",
        |f| {
            f.sql("UPDATE item SET tag = {item absent} WHERE tag = {item d}");
        },
    );
    set.bad(
        "item-added",
        Fails("tree-key", "list", "key {item absent}"),
        "a row was added at the tag of a name that is not there",
        |f| {
            f.sql("INSERT INTO item SELECT {item absent}, revision, sealed FROM item WHERE tag = {item a}");
        },
    );
    set.bad("item-revision-raised", a, "a row's revision is one higher", |f| {
        f.sql("UPDATE item SET revision = revision + 1 WHERE tag = {item a}");
    });
    set.bad("item-revision-lowered", a, "a row's revision is one lower", |f| {
        f.sql("UPDATE item SET revision = revision - 1 WHERE tag = {item a}");
    });
    set.bad("item-revision-highest", a, "a row's revision is 2^63 − 1", |f| {
        f.sql("UPDATE item SET revision = 9223372036854775807 WHERE tag = {item a}");
    });
    let (earlier, branch, other) =
        (set.plain.earlier.sql.clone(), set.plain.branch.sql.clone(), set.other.sql.clone());
    // A row that opens is named by its key.
    let still = Fails("tree-key", "read a", "key a");
    set.bad("item-aged", still, "a key's row is put back to an earlier state", |f| {
        attach(f, &earlier, "item", &format!("tag = {}", literal_tag(f, "a")));
    });
    set.bad("item-of-a-branch", still, "a key's row is of another branch of the vault's history", |f| {
        attach(f, &branch, "item", &format!("tag = {}", literal_tag(f, "a")));
    });
    set.bad("item-of-another-vault", a, "a key's row is that of the same name in another vault", |f| {
        let from = sql::in_memory(&other);
        let mut query = from.prepare("SELECT sealed FROM item LIMIT 1").unwrap();
        let sealed: Vec<u8> = query.query_row([], |row| row.get(0)).unwrap();
        f.put("item", "sealed", "tag = {item a}", &sealed);
    });
    set.bad("item-table-aged", still, "all keys' rows are put back to an earlier state", |f| {
        attach(f, &earlier, "item", "");
    });
    set.bad("item-all-deleted", deleted, "all keys' rows are deleted", |f| f.sql("DELETE FROM item"));
}

fn literal_tag(f: &Forge, name: &str) -> String {
    f.expand(&format!("{{item {name}}}"), &|tag| format!("x'{}'", super::vector::hex(tag)))
}

fn values(set: &mut Set) {
    let row = "key a version 2";
    for table in ["version_key", "version_value"] {
        let dashed = table.replace('_', "-");
        let read = Fails("version-rows", "read a", row);
        set.bad(&format!("{dashed}-swapped-versions"), read, &format!("the rows of two versions of a key in {table} are exchanged"), |f| {
            f.sql(&format!("CREATE TEMP TABLE p AS SELECT * FROM {table} WHERE item = {{id a}};
                UPDATE {table} SET sealed = (SELECT sealed FROM p WHERE p.version <> {table}.version) WHERE item = {{id a}}"));
        });
        set.bad(&format!("{dashed}-of-another-key"), read, &format!("a version has another key's row in {table}"), |f| {
            f.sql(&format!("UPDATE {table} SET sealed = (SELECT sealed FROM {table} WHERE item = {{id d}}) WHERE item = {{id a}} AND version = 2"));
        });
        let missing = Fails("version-missing", "read a", row);
        set.bad(
            &format!("{dashed}-deleted"),
            missing,
            &format!("a version's row in {table} is deleted"),
            |f| {
                f.sql(&format!("DELETE FROM {table} WHERE item = {{id a}} AND version = 2"));
            },
        );
        set.bad(
            &format!("{dashed}-renumbered"),
            missing,
            &format!("a version's row in {table} has another number"),
            |f| {
                f.sql(&format!("UPDATE {table} SET version = 3 WHERE item = {{id a}} AND version = 2"));
            },
        );
        set.bad(&format!("{dashed}-added"), Fails("version-stray", "check", table), &format!("a row in {table} belongs to no version of its key"), |f| {
            f.sql(&format!("INSERT INTO {table} SELECT item, 9, sealed FROM {table} WHERE item = {{id a}} AND version = 2"));
        });
        set.bad(
            &format!("{dashed}-added-key"),
            Fails("version-stray", "check", table),
            &format!("a row in {table} belongs to no key"),
            |f| {
                f.sql(&format!(
                    "INSERT INTO {table} SELECT {{item absent}}, 1, sealed FROM {table} WHERE item = {{id d}}"
                ));
            },
        );
    }
    let branch = set.plain.branch.sql.clone();
    set.bad(
        "version-of-a-branch",
        Fails("version-rows", "read a", row),
        "both rows of a version are those of another branch of the vault's history",
        |f| {
            let id = format!("item = x'{}' AND version = 2", super::vector::hex(&f.id("a")));
            attach(f, &branch, "version_key", &id);
            f.sql("DROP TABLE taken");
            attach(f, &branch, "version_value", &id);
        },
    );
}

fn scopes(set: &mut Set) {
    let s = Fails("tree-scope", "scope s", "scope s");
    set.bad("scope-swapped", s, "two scopes' rows are exchanged", |f| {
        f.sql("CREATE TEMP TABLE p AS SELECT * FROM scope;
               UPDATE scope SET (revision, sealed) = (SELECT revision, sealed FROM p WHERE p.tag <> scope.tag)");
    });
    set.bad(
        "scope-deleted",
        Fails("tree-scope", "scope s", "leaf {scope s}"),
        "a scope's row is deleted; that it is missing is proved",
        |f| {
            f.sql("DELETE FROM scope WHERE tag = {scope s}");
        },
    );
    set.bad("scope-revision", s, "a scope's revision is one higher", |f| {
        f.sql("UPDATE scope SET revision = revision + 1 WHERE tag = {scope s}");
    });
    set.bad(
        "scope-added",
        Fails("tree-scope", "scope absent", "scope {scope absent}"),
        "a row was added at the tag of a scope that is not there",
        |f| {
            f.sql(
                "INSERT INTO scope SELECT {scope absent}, revision, sealed FROM scope WHERE tag = {scope s}",
            );
        },
    );
    set.bad(
        "scope-added-names",
        Fails("tree-scope", "names", "scope {scope absent}"),
        "a row was added at the tag of a scope that is not there, and all scopes are listed",
        |f| {
            f.sql(
                "INSERT INTO scope SELECT {scope absent}, revision, sealed FROM scope WHERE tag = {scope s}",
            );
        },
    );
    set.bad("scope-excuses-no-key", Fails("row-forged", "list", "leaf {item a}"), "a key's row is deleted, and a forged scope row stands at a tag of its own so that the number of rows is right", |f| {
        f.sql("DELETE FROM item WHERE tag = {item a};
               INSERT INTO scope SELECT {scope absent}, revision, sealed FROM scope WHERE tag = {scope s}");
    });
    let earlier = set.plain.earlier.sql.clone();
    set.bad("scope-aged", s, "the scopes' rows and members are put back to an earlier state", |f| {
        attach(f, &earlier, "scope", "");
        f.sql("DROP TABLE taken");
        attach(f, &earlier, "scope_member", "");
    });
    let members = Fails("scope-members", "scope s", "scope s");
    set.bad("scope-member-added", members, "a key was made a member of a scope", |f| {
        f.sql("INSERT INTO scope_member VALUES ({scope s}, {item d})");
    });
    set.bad("scope-member-deleted", members, "a member of a scope is deleted", |f| {
        f.sql("DELETE FROM scope_member WHERE scope = {scope s} AND item = {item a}");
    });
    set.bad("scope-member-all-deleted", members, "all members of a scope are deleted", |f| {
        f.sql("DELETE FROM scope_member WHERE scope = {scope s}");
    });
    set.bad("scope-member-exchanged", members, "a member of a scope is exchanged for another key", |f| {
        f.sql("UPDATE scope_member SET item = {item d} WHERE scope = {scope s} AND item = {item a}");
    });
    set.bad("scope-member-short", Fails("column", "scope s", "scope s"), "a member's tag has 15 bytes", |f| {
        f.sql("UPDATE scope_member SET item = substr(item, 1, 15) WHERE scope = {scope s} AND item = {item a}");
    });
    set.bad(
        "scope-member-stray",
        Fails("member-stray", "check", "scope_member"),
        "a membership is of a scope that is not there",
        |f| {
            f.sql("INSERT INTO scope_member VALUES ({scope absent}, {item d})");
        },
    );
}

fn names(set: &mut Set) {
    let fails = Fails("tree-names", "names", "directory {names a}");
    set.bad("directory-swapped", fails, "two buckets of names are exchanged", |f| {
        f.sql("CREATE TEMP TABLE p AS SELECT * FROM directory WHERE bucket IN ({names a}, {names b});
               UPDATE directory SET (revision, sealed) = (SELECT revision, sealed FROM p WHERE p.bucket <> directory.bucket) WHERE bucket IN (SELECT bucket FROM p)");
    });
    set.bad("directory-revision", fails, "a bucket's revision is one higher", |f| {
        f.sql("UPDATE directory SET revision = revision + 1 WHERE bucket = {names a}");
    });
    set.bad(
        "directory-deleted",
        Fails("names-missing", "check", "directory {names a}"),
        "a bucket of names is deleted",
        |f| {
            f.sql("DELETE FROM directory WHERE bucket = {names a}");
        },
    );
    set.bad(
        "directory-moved",
        Fails("tree-names", "names", "directory 63"),
        "a bucket of names has another number",
        |f| {
            f.sql("UPDATE directory SET bucket = 63 WHERE bucket = {names a}");
        },
    );
    set.bad(
        "directory-bucket-64",
        Fails("tree-names", "names", "directory 64"),
        "a row was added for a bucket that cannot be",
        |f| {
            f.sql(
                "INSERT INTO directory SELECT 64, revision, sealed FROM directory WHERE bucket = {names a}",
            );
        },
    );
    set.bad(
        "directory-bucket-300",
        Fails("column", "names", "directory"),
        "a bucket's number is not even one byte",
        |f| {
            f.sql("UPDATE directory SET bucket = 300 WHERE bucket = {names a}");
        },
    );
}

fn tree(set: &mut Set) {
    fn read(row: &str) -> Fails<'_> {
        Fails("tree-path", "read a", row)
    }
    set.bad("leaf-altered", read("key a"), "one bit of a leaf is altered", |f| {
        f.flip("leaf", "digest", "tag = {item a}", 0);
    });
    set.bad("leaf-tag-altered", read("key a"), "a leaf stands at another tag of the same bucket", |f| {
        f.flip("leaf", "tag", "tag = {item a}", 15);
    });
    set.bad("leaf-deleted", read("key a"), "a leaf is deleted", |f| {
        f.sql("DELETE FROM leaf WHERE tag = {item a}");
    });
    set.bad(
        "leaf-and-row-deleted",
        read("directory {names a}"),
        "a key's row and its leaf are deleted",
        |f| {
            f.sql("DELETE FROM leaf WHERE tag = {item a}; DELETE FROM item WHERE tag = {item a}");
        },
    );
    set.bad("leaf-swapped", read("key a"), "two leaves are exchanged", |f| {
        f.sql("CREATE TEMP TABLE p AS SELECT * FROM leaf WHERE tag IN ({item a}, {item b});
               UPDATE leaf SET digest = (SELECT digest FROM p WHERE p.tag <> leaf.tag) WHERE tag IN (SELECT tag FROM p)");
    });
    set.bad("leaf-added", read("leaf {bucket a}"), "a leaf was added to a bucket", |f| {
        f.sql("INSERT INTO leaf SELECT CAST(substr(tag, 1, 15) || x'00' AS BLOB), digest FROM leaf WHERE tag = {item a}");
    });
    set.bad(
        "leaf-added-elsewhere",
        Fails("tree-leaves", "list", "leaf {item absent}"),
        "a leaf was added where there is no bucket",
        |f| {
            f.sql("INSERT INTO leaf SELECT {item absent}, digest FROM leaf WHERE tag = {item a}");
        },
    );
    set.bad("leaf-short", Fails("column", "read a", "leaf"), "a leaf has 15 bytes", |f| {
        f.sql("UPDATE leaf SET digest = substr(digest, 1, 15) WHERE tag = {item a}");
    });
    set.bad("leaf-all-deleted", Fails("tree-path", "state", ""), "all leaves are deleted", |f| {
        f.sql("DELETE FROM leaf");
    });
    let node = |f: &Forge, level: u32| {
        let tag = f.item_tag("a");
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
            for table in
                ["item", "version_key", "version_value", "scope", "scope_member", "directory", "leaf", "node"]
            {
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
        ("audit-mac", 64),
        ("previous", 96),
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
    let last = set.forge("plain", "").number("SELECT max(seq) FROM audit");
    let log = |reason| Fails(reason, "log", "audit");
    for (part, place) in PARTS {
        set.bad(
            &format!("audit-{part}"),
            log("event-seal"),
            &format!("one bit of the {part} of an event is altered"),
            |f| f.flip("audit", "sealed", "seq = 2", place),
        );
    }
    set.bad("audit-mac", log("entry-mac"), "one bit of an entry's MAC is altered", |f| {
        f.flip("audit", "mac", "seq = 2", 0);
    });
    set.bad("audit-first-deleted", log("entry-missing"), "the first entry is deleted", |f| {
        f.sql("DELETE FROM audit WHERE seq = 0");
    });
    set.bad("audit-deleted", log("entry-missing"), "an entry in the middle is deleted", |f| {
        f.sql("DELETE FROM audit WHERE seq = 3");
    });
    set.bad("audit-closed-up", log("event-seal"), "an entry is deleted, and those behind it close up to the record's", |f| {
        // Up to the entry that the record names; another one fills the place behind.
        f.sql("DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; INSERT INTO audit SELECT 4, NULL, mac, sealed FROM audit WHERE seq = 3");
    });
    set.bad("audit-swapped", log("event-seal"), "two entries are exchanged", |f| {
        f.sql("UPDATE audit SET seq = 1000 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 1000");
    });
    set.bad("audit-repeated", log("event-seal"), "an entry stands in the place of the next one as well", |f| {
        f.sql("UPDATE audit SET (mac, sealed) = (SELECT mac, sealed FROM audit WHERE seq = 2) WHERE seq = 3");
    });
    set.bad("audit-added", log("head-count"), "the last entry stands once more behind the end", |f| {
        f.sql(&format!("INSERT INTO audit SELECT seq + 1, NULL, mac, sealed FROM audit WHERE seq = {last}"));
    });
    set.bad("audit-cut", log("head-count"), "the last entry is cut off", |f| {
        f.sql(&format!("DELETE FROM audit WHERE seq = {last}"));
    });
    set.bad("audit-gap", log("head-count"), "the last entry has a higher number", |f| {
        f.sql(&format!("UPDATE audit SET seq = seq + 1 WHERE seq = {last}"));
    });
    set.bad(
        "audit-cut-both",
        Fails("head-count", "log", "audit"),
        "both reads behind the last change are cut off",
        |f| f.sql(&format!("DELETE FROM audit WHERE seq >= {}", last - 1)),
    );
    set.bad(
        "audit-cut-and-counted",
        log("head-seal"),
        "the last entry is cut off, and the head counts one less",
        |f| {
            f.sql(&format!("DELETE FROM audit WHERE seq = {last}; UPDATE audit_head SET count = count - 1"));
        },
    );
    set.bad(
        "audit-cut-change",
        Fails("record-chain", "state", ""),
        "the last change and what follows are cut off",
        |f| f.sql(&format!("DELETE FROM audit WHERE seq >= {}", last - 2)),
    );
    set.bad("audit-all-deleted", Fails("record-chain", "state", ""), "all entries are deleted", |f| {
        f.sql("DELETE FROM audit");
    });
    set.bad(
        "audit-change-mac",
        Fails("record-chain", "state", ""),
        "one bit of the MAC of the last change's entry is altered",
        |f| f.flip("audit", "mac", &format!("seq = {}", last - 2), 5),
    );
    set.bad("audit-last-mac", log("head-last"), "one bit of the last entry's MAC is altered", |f| {
        f.flip("audit", "mac", &format!("seq = {last}"), 5);
    });
    set.bad("audit-change-number", log("event-change"), "an entry is filed under another change", |f| {
        f.sql("UPDATE audit SET change = 1000 WHERE seq = 2");
    });
    set.bad("audit-change-null", log("event-change"), "a change's entry is filed under no change", |f| {
        f.sql("UPDATE audit SET change = NULL WHERE seq = 2");
    });
    set.bad("audit-read-as-change", log("event-change"), "a read's entry is filed under a change", |f| {
        f.sql(&format!("UPDATE audit SET change = 1000 WHERE seq = {last}"));
    });
    set.bad("audit-negative", log("entry-missing"), "an entry stands before the first", |f| {
        f.sql("UPDATE audit SET seq = -1 WHERE seq = 0");
    });
    for (part, place) in PARTS {
        set.bad(
            &format!("head-{part}"),
            log("head-seal"),
            &format!("one bit of the {part} of the chain's head is altered"),
            |f| f.flip("audit_head", "sealed", "id = 1", place),
        );
    }
    set.bad("head-count-lower", log("head-seal"), "the head counts one entry less", |f| {
        f.sql("UPDATE audit_head SET count = count - 1");
    });
    set.bad("head-count-higher", log("head-seal"), "the head counts one entry more", |f| {
        f.sql("UPDATE audit_head SET count = count + 1");
    });
    set.bad("head-count-negative", Fails("column", "log", "audit"), "the head counts −1 entries", |f| {
        f.sql("UPDATE audit_head SET count = -1");
    });
    set.bad("head-deleted", Fails("missing-row", "log", "audit"), "the chain's head is deleted", |f| {
        f.sql("DELETE FROM audit_head");
    });
    let (earlier, branch, other) =
        (set.plain.earlier.sql.clone(), set.plain.branch.sql.clone(), set.other.sql.clone());
    set.bad("head-aged", log("head-count"), "the chain's head is put back to an earlier one", |f| {
        attach(f, &earlier, "audit_head", "");
    });
    set.bad(
        "head-of-a-branch",
        log("head-last"),
        "the chain's head is that of another branch of the vault's history",
        |f| attach(f, &branch, "audit_head", ""),
    );
    set.bad("head-of-another-vault", log("head-seal"), "the chain's head is that of another vault", |f| {
        attach(f, &other, "audit_head", "");
    });
    set.bad(
        "log-aged",
        Fails("record-chain", "state", ""),
        "log and head are put back to an earlier state",
        |f| {
            attach(f, &earlier, "audit", "");
            f.sql("DROP TABLE taken");
            attach(f, &earlier, "audit_head", "");
        },
    );
}

fn columns(set: &mut Set) {
    set.bad("item-tag-short", Fails("column", "list", "item"), "a key's tag has 15 bytes", |f| {
        f.sql("INSERT INTO item SELECT substr(tag, 1, 15), revision, sealed FROM item WHERE tag = {item a}");
    });
    set.bad(
        "item-revision-negative",
        Fails("column", "read a", "item"),
        "a key's revision is negative",
        |f| {
            f.sql("UPDATE item SET revision = -1 WHERE tag = {item a}");
        },
    );
    set.bad("scope-tag-long", Fails("column", "names", "scope"), "a scope's tag has 17 bytes", |f| {
        f.sql("INSERT INTO scope SELECT CAST(tag || x'00' AS BLOB), revision, sealed FROM scope WHERE tag = {scope s}");
    });
    set.bad("audit-mac-short", Fails("column", "log", "audit"), "an entry's MAC has 31 bytes", |f| {
        f.sql("UPDATE audit SET mac = substr(mac, 1, 31) WHERE seq = 1");
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
