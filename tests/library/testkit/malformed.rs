//! Vectors that are authentic in every byte and say what the format does not have.

use super::forge::{self, DIRECTORY, Fields, Forge, SCOPE, bucket_of, pad, text};
use super::good::put_version;
use super::set::{Fails, Set};
use crate::by_hand::Encoder;

pub(crate) fn all(set: &mut Set) {
    padding(set);
    items(set);
    versions(set);
    places(set);
    scopes(set);
    names(set);
    events(set);
}

/// A plaintext whose padding is wrong, by the word for what is wrong.
fn badly_padded(plain: &[u8]) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let right = pad(plain);
    let with_length = |length: u32| [&length.to_le_bytes()[..], &right[4..]].concat();
    let mut dirty = right.clone();
    *dirty.last_mut().unwrap() = 1;
    vec![
        ("none", "no padding at all", text(plain)),
        ("more", "a step of padding too many", [&right[..], &vec![0; right.len()]].concat()),
        ("byte-more", "a zero byte behind the padding", [&right[..], &[0]].concat()),
        ("byte-less", "a byte of padding missing", right[..right.len() - 1].to_vec()),
        ("not-zero", "a byte of the padding is not zero", dirty),
        (
            "length-beyond",
            "the length reaches beyond the text",
            with_length(u32::try_from(right.len()).unwrap()),
        ),
        ("length-highest", "the length is 2^32 − 1", with_length(u32::MAX)),
        ("empty", "no bytes, not even a length", Vec::new()),
        ("half-length", "two bytes of a length", right[..2].to_vec()),
    ]
}

fn padding(set: &mut Set) {
    let f = set.forge("plain", "");
    let item = Fails("key-malformed", "read a", "key {item a}");
    for (word, comment, padded) in badly_padded(&f.item("a")) {
        set.bad(&format!("item-padding-{word}"), item, &format!("a key's metadata: {comment}"), |f| {
            f.put_padded_item("a", &padded);
        });
    }
    let value = Fails("value-malformed", "read a", "key a version 2");
    for (word, comment, padded) in badly_padded(&f.value(&f.id("a"), 2)) {
        set.bad(&format!("value-padding-{word}"), value, &format!("a value: {comment}"), |f| {
            put_version(f, "a", 2, &[5; 32], &padded);
        });
    }
    let scope = Fails("scope-malformed", "scope s", "scope s");
    for (word, comment, padded) in badly_padded(&right_scope(&f, "s")) {
        if ["none", "more", "not-zero", "length-beyond"].contains(&word) {
            set.bad(&format!("scope-padding-{word}"), scope, &format!("a scope: {comment}"), |f| {
                f.put_padded_scope("s", &padded);
            });
        }
    }
    let names = Fails("names-malformed", "names", "directory {names a}");
    for (word, comment, padded) in badly_padded(&list(&[b"a"])) {
        if ["none", "more", "not-zero", "length-beyond"].contains(&word) {
            set.bad(&format!("names-padding-{word}"), names, &format!("a bucket of names: {comment}"), |f| {
                f.put_padded_directory(bucket_of(&f.item_tag("a")), &padded);
            });
        }
    }
    let event = Fails("event-malformed", "log", "audit");
    let last = forge::unpad(&f.events().last().unwrap().1);
    for (word, comment, padded) in badly_padded(&last) {
        if ["none", "more", "not-zero", "length-beyond"].contains(&word) {
            set.bad(&format!("event-padding-{word}"), event, &format!("the last event: {comment}"), |f| {
                put_event(f, &padded);
            });
        }
    }
}

/// Extensions with an even field.
const EVEN: [u8; 11] = [1, 0, 0, 0, 2, 0, 1, 0, 0, 0, 9];

fn list(texts: &[&[u8]]) -> Vec<u8> {
    let count = u32::try_from(texts.len()).unwrap().to_le_bytes().to_vec();
    texts.iter().fold(count, |list, bytes| [list, text(bytes)].concat())
}

fn items(set: &mut Set) {
    let fails = Fails("key-malformed", "read b", "key {item b}");
    let mut field = |name: &str, comment: &str, field: &str, bytes: &[u8]| {
        set.bad(&format!("item-{name}"), fails, comment, |f| {
            f.put_item("b", &Fields::of(&f.item("b")).with(field, bytes).encode());
        });
    };
    field("class-zero", "class 0", "class", &[0]);
    field("class-issued", "class 2, which is reserved", "class", &[2]);
    field("class-unknown", "class 255", "class", &[255]);
    let long = vec![b'n'; 129];
    for (word, comment, bytes) in [
        ("empty", "a name of no bytes", &b""[..]),
        ("long", "a name of 129 bytes", &long),
        ("space", "a name with a space", b"a b"),
        ("escape", "a name with an escape code", b"a\x1b[31m"),
        ("not-utf-8", "a name that is not UTF-8", b"a\xff"),
        ("letter", "a name with a letter beyond ASCII", "\u{e4}".as_bytes()),
        ("slash", "a name that begins with a slash", b"/a"),
        ("dots", "a name with a part that begins with a dot", b"a/../b"),
        ("dash", "a name that begins with a dash", b"-a"),
        ("colon", "a name with a colon, which only scopes may have", b"a:b"),
        ("nul", "a name that ends with NUL", b"a\0"),
    ] {
        field(&format!("name-{word}"), comment, "name", &text(bytes));
    }
    for (word, comment, bytes) in [
        ("empty", "a variable of no bytes", &b""[..]),
        ("long", "a variable of 129 bytes", &long),
        ("digit", "a variable that begins with a digit", b"1A"),
        ("equals", "a variable with an equals sign", b"A=B"),
        ("not-utf-8", "a variable that is not UTF-8", b"A\xc3"),
    ] {
        field(&format!("variable-{word}"), comment, "variable", &text(bytes));
    }
    field("scopes-unsorted", "scopes that are not in byte order", "scopes", &list(&[b"t", b"s"]));
    field("scopes-twice", "a scope twice", "scopes", &list(&[b"s", b"s", b"t"]));
    field("scopes-grammar", "a scope with a space", "scopes", &list(&[b"s", b"t t"]));
    field("scopes-empty", "a scope of no bytes", "scopes", &list(&[b"", b"s"]));
    field("scopes-long", "a scope of 129 bytes", "scopes", &list(&[&[b's'; 129]]));
    field("scopes-not-utf-8", "a scope that is not UTF-8", "scopes", &list(&[b"s\xff"]));
    field("scopes-count", "a count of 2^32 − 1 scopes", "scopes", &[0xff; 4]);
    field(
        "scopes-count-short",
        "a count of one scope more than there are",
        "scopes",
        &[&[3, 0, 0, 0][..], &list(&[b"s", b"t"])[4..]].concat(),
    );
    let tags = |tags: &[&[u8]]| {
        [&u32::try_from(tags.len() / 2).unwrap().to_le_bytes()[..], &list(tags)[4..]].concat()
    };
    field("tags-unsorted", "tags that are not in byte order", "tags", &tags(&[b"team", b"x", b"env", b"y"]));
    field("tags-twice", "a tag twice", "tags", &tags(&[b"env", b"x", b"env", b"y"]));
    field("tags-twice-same", "a tag twice with one value", "tags", &tags(&[b"env", b"x", b"env", b"x"]));
    field("tags-grammar", "a tag's key with an equals sign", "tags", &tags(&[b"e=v", b"x"]));
    field("tags-value", "a tag's value that is not UTF-8", "tags", &tags(&[b"env", b"\x80"]));
    field("tags-count", "a count of 2^32 − 1 tags", "tags", &[0xff; 4]);
    field("note-not-utf-8", "a note that is not UTF-8", "note", &text(b"\xed\xa0\x80"));
    field("note-length", "a note that reaches beyond the end", "note", &[0xff, 0xff, 0, 0]);
    field("expires-flag", "a flag of 2 before the expiry", "expires", &[&[2][..], &[0; 8]].concat());
    let recipe = |kind: u8, length: u32, prefix: &[u8]| {
        Encoder::new().u8(1).u8(kind).u32(length).bytes(prefix).finish()
    };
    field("recipe-flag", "a flag of 255 before the recipe", "recipe", &[255]);
    field("recipe-kind-zero", "a recipe of kind 0", "recipe", &recipe(0, 32, b""));
    field("recipe-kind-next", "a recipe of kind 10", "recipe", &recipe(10, 32, b""));
    field("recipe-length-zero", "a token of no characters", "recipe", &recipe(1, 0, b"kv_"));
    field("recipe-length-short", "a recipe whose values could be guessed", "recipe", &recipe(1, 4, b"kv_"));
    field("recipe-length-long", "a recipe of 2^32 − 1 characters", "recipe", &recipe(1, u32::MAX, b""));
    field("recipe-length-fixed", "a UUID of a length", "recipe", &recipe(6, 36, b""));
    field("recipe-prefix-fixed", "a UUID with a prefix", "recipe", &recipe(6, 0, b"x"));
    field("recipe-prefix-long", "a prefix of 33 characters", "recipe", &recipe(1, 43, &[b'p'; 33]));
    field("recipe-prefix-space", "a prefix with a space", "recipe", &recipe(1, 43, b"a b"));
    field("recipe-prefix-not-utf-8", "a prefix that is not UTF-8", "recipe", &recipe(1, 43, b"\xff"));
    field("owner-not-utf-8", "an owner that is not UTF-8", "owner", &text(b"\xff"));
    field("display-name-not-utf-8", "a display name that is not UTF-8", "display name", &text(b"\xff"));
    field("public-flag", "a flag of 2 for a value that is no secret", "public", &[2]);
    field("disabled-flag", "a flag of 2 before the time of disabling", "disabled", &[2]);
    field(
        "disabled-short",
        "a time of disabling without a reason",
        "disabled",
        &[&[1][..], &[0; 8]].concat(),
    );
    field("decoy-flag", "a flag of 2 before a decoy", "decoy", &[2, 0, 0]);
    field("decoy-alarm", "an alarm of 2", "decoy", &[1, 2, 0]);
    field("decoy-on-trip", "a decoy that does 2 when it is read", "decoy", &[1, 1, 2]);
    field("rotate-every-flag", "a flag of 2 before the length of rotation", "rotate every", &[2]);
    field("warn-flag", "a flag of 2 before the length of warning", "warn", &[2]);
    field("unit-short", "a unit of 15 bytes", "unit", &[&[1][..], &[7; 15]].concat());
    let rotation = |mode: u8, step: u8, version: u32, outcome: u8| {
        let begin = Encoder::new().u8(1).u8(mode).u8(step).fixed(&[7; 16]);
        begin.u32(version).i64(0).u8(outcome).finish()
    };
    field("rotation-mode", "a rotation of mode 3", "rotation", &rotation(3, 1, 1, 0));
    field("rotation-mode-zero", "a rotation of mode 0", "rotation", &rotation(0, 1, 1, 0));
    field("rotation-step", "a rotation in step 5", "rotation", &rotation(1, 5, 1, 0));
    field("rotation-outcome", "a rotation with an outcome of 3", "rotation", &rotation(2, 1, 1, 3));
    field("rotation-version", "a rotation of a version that was not made", "rotation", &rotation(2, 1, 9, 0));
    field("versions-count", "a count of 2^32 − 1 versions", "count", &[0xff; 4]);
    field("versions-count-more", "a count of one version more than there are", "count", &2_u32.to_le_bytes());
    field(
        "versions-count-less",
        "a count of one version less than there are, so that one is left over",
        "count",
        &0_u32.to_le_bytes(),
    );
    set.bad("item-trailing", fails, "a byte behind the last version", |f| {
        f.put_item("b", &[f.item("b"), vec![0]].concat());
    });
    set.bad("item-cut", fails, "the last byte is missing", |f| {
        let plain = f.item("b");
        f.put_item("b", &plain[..plain.len() - 1]);
    });
    let newer = Fails("row-newer", "read b", "key {item b}");
    set.bad("item-even-field", newer, "a key has an even field", |f| {
        f.put_item("b", &Fields::of(&f.item("b")).with("extensions", EVEN).encode());
    });
    set.bad("item-nothing", fails, "no bytes within the padding", |f| f.put_item("b", &[]));
}

fn versions(set: &mut Set) {
    let fails = Fails("key-malformed", "read a", "key {item a}");
    let mut field = |name: &str, comment: &str, field: &str, bytes: &[u8]| {
        set.bad(&format!("version-{name}"), fails, comment, |f| {
            f.put_item("a", &Fields::of(&f.item("a")).with(field, bytes).encode());
        });
    };
    field("state-zero", "a version in state 0", "state 2", &[0]);
    field("state-next", "a version in state 6", "state 2", &[6]);
    field("origin-zero", "a version of origin 0", "origin 2", &[0]);
    field("origin-next", "a version of origin 4", "origin 2", &[4]);
    field("state-highest", "a version in state 255", "state 2", &[255]);
    field("grace-flag", "a flag of 2 before the end of a grace", "grace 2", &[2]);
    field("digest-flag", "a flag of 2 before the digest", "digest 2", &[&[2][..], &[0; 16]].concat());
    field(
        "due-flag",
        "a flag of 2 before the time at which a version was found past its keeping",
        "due 2",
        &[2],
    );
    field("public-flag", "a flag of 2 before the public half", "public 2", &[2]);
    field(
        "public-not-utf-8",
        "a public half that is not UTF-8",
        "public 2",
        &[&[1][..], &text(b"\xff")].concat(),
    );
    field("made-by-not-utf-8", "who made a version is not UTF-8", "made by 2", &text(b"\xff@host"));
    field("reason-not-utf-8", "a reason that is not UTF-8", "reason 2", &text(b"\xc0\x80"));
    field("numbers-twice", "two versions of one number", "number 2", &1_u32.to_le_bytes());
    field("numbers-falling", "versions whose numbers fall", "number 1", &9_u32.to_le_bytes());
    field("number-zero", "a version of number 0", "number 1", &0_u32.to_le_bytes());
    field("number-next", "a version of the number that the next one is to get", "next", &2_u32.to_le_bytes());
    field("two-current", "two versions are current", "state 1", &[2]);
    set.bad("version-order", fails, "two versions in the wrong order", |f| {
        let fields = Fields::of(&f.item("a"));
        f.put_item(
            "a",
            &[&fields.head()[..], &fields.version(2), &fields.version(1), fields.get("extensions")].concat(),
        );
    });
    let digest = Fails("version-rows", "read a", "key a version 2");
    set.bad("version-digest", digest, "the metadata names other rows than a version has", |f| {
        f.put_item("a", &Fields::of(&f.item("a")).with("digest 2", [&[1][..], &[7; 16]].concat()).encode());
    });
    set.bad(
        "version-digest-none",
        Fails("version-stray", "check", "version_key"),
        "the metadata says that a version was wiped, and its rows are there",
        |f| {
            f.put_item("a", &Fields::of(&f.item("a")).with("digest 1", [0]).encode());
        },
    );
    let print = Fails("fingerprint", "check", "key a version 2");
    set.bad("version-fingerprint", print, "the metadata has another fingerprint than the value's", |f| {
        f.put_item("a", &Fields::of(&f.item("a")).with("fingerprint 2", [7; 6]).encode());
    });
    set.bad(
        "version-fingerprint-of-another",
        print,
        "the value is that of the version before, sealed in its place",
        |f| {
            let value = f.value(&f.id("a"), 1);
            put_version(f, "a", 2, &[5; 32], &pad(&value));
        },
    );
}

fn places(set: &mut Set) {
    set.bad(
        "item-of-another-name",
        Fails("key-place", "check", "key zz"),
        "a key stands at the tag of its old name",
        |f| {
            f.put_item("d", &Fields::of(&f.item("d")).with("name", text("zz")).encode());
        },
    );
    set.bad(
        "item-added-authentic",
        Fails("names-keys", "check", "directory {names d}"),
        "a key has a row and a leaf, and no name in the directory",
        |f| {
            let bucket = bucket_of(&f.item_tag("d"));
            f.put_padded_directory(
                bucket,
                &pad(&[&list(&[b"other-name-in-this-bucket"])[..], &[0; 4]].concat()),
            );
        },
    );
    set.bad(
        "leaf-stray-authentic",
        Fails("leaf-stray", "check", "leaf {item absent}"),
        "the tree knows a row that is not there",
        |f| {
            f.put_leaf(&f.item_tag("absent"), &[1; 16]);
            f.sign_tree();
        },
    );
    set.bad(
        "item-unknown-to-the-tree",
        Fails("tree-key", "read d", "key d"),
        "a tree that was made without a key's leaf",
        |f| {
            f.drop_leaf(&f.item_tag("d"));
            f.sign_tree();
        },
    );
    set.bad(
        "item-leaf-of-other-kind",
        Fails("tree-key", "read d", "key d"),
        "a key's leaf is made as a scope's",
        |f| {
            let (tag, sealed) = (f.item_tag("d"), f.blob("SELECT sealed FROM item WHERE tag = {item d}"));
            let hash = keyvault_core::crypto::sha256(&sealed);
            let leaf = f.keys.tree.digest(&[
                b"keyvault tree leaf",
                &[SCOPE],
                &tag,
                &f.revision("d").to_le_bytes(),
                &hash,
            ]);
            f.put_leaf(&tag, &leaf);
            f.sign_tree();
        },
    );
    set.bad(
        "directory-unknown-to-the-tree",
        Fails("tree-names", "names", "directory {names d}"),
        "a tree that was made without the leaf of a bucket of names",
        |f| {
            f.drop_leaf(&f.tag(DIRECTORY, &[bucket_of(&f.item_tag("d"))]));
            f.sign_tree();
        },
    );
    set.bad(
        "scope-unknown-to-the-tree",
        Fails("tree-scope", "scope s", "scope s"),
        "a tree that was made without a scope's leaf",
        |f| {
            f.drop_leaf(&f.tag(SCOPE, b"s"));
            f.sign_tree();
        },
    );
}

fn right_scope(f: &Forge, scope: &str) -> Vec<u8> {
    let members = f.members(scope);
    let digest = f.members_digest(&f.tag(SCOPE, scope.as_bytes()), &members);
    forge::scope_plain(scope.as_bytes(), u32::try_from(members.len()).unwrap(), &digest)
}

fn scopes(set: &mut Set) {
    let malformed = Fails("scope-malformed", "scope s", "scope s");
    let f = set.forge("plain", "");
    let members = f.members("s");
    let digest = f.members_digest(&f.tag(SCOPE, b"s"), &members);
    let count = u32::try_from(members.len()).unwrap();
    let mut scope = |name: &str, fails, comment: &str, plain: &[u8]| {
        set.bad(&format!("scope-{name}"), fails, comment, |f| f.put_padded_scope("s", &pad(plain)));
    };
    let right = forge::scope_plain(b"s", count, &digest);
    let even = [&right[..right.len() - 4], &EVEN].concat();
    scope("even-field", Fails("row-newer", "scope s", "scope s"), "a scope has an even field", &even);
    scope("trailing", malformed, "a byte behind the digest", &[&right[..], &[0]].concat());
    scope("cut", malformed, "the last byte is missing", &right[..right.len() - 1]);
    scope(
        "name-not-utf-8",
        malformed,
        "a name that is not UTF-8",
        &forge::scope_plain(b"\xff", count, &digest),
    );
    scope("name-grammar", malformed, "a name with a space", &forge::scope_plain(b"s s", count, &digest));
    scope("name-empty", malformed, "a name of no bytes", &forge::scope_plain(b"", count, &digest));
    scope("name-long", malformed, "a name of 129 bytes", &forge::scope_plain(&[b's'; 129], count, &digest));
    scope(
        "name-other",
        Fails("scope-name", "check", "scope s"),
        "another name than its place has",
        &forge::scope_plain(b"t", count, &digest),
    );
    let wrong = Fails("scope-members", "scope s", "scope s");
    scope("count-lower", wrong, "a count of one member less", &forge::scope_plain(b"s", count - 1, &digest));
    scope("count-higher", wrong, "a count of one member more", &forge::scope_plain(b"s", count + 1, &digest));
    scope("digest", wrong, "another digest of the members", &forge::scope_plain(b"s", count, &[1; 16]));
    let other = f.members_digest(&f.tag(SCOPE, b"t"), &members);
    scope(
        "digest-of-another",
        wrong,
        "the digest of the same members in another scope",
        &forge::scope_plain(b"s", count, &other),
    );
    let keys = Fails("scope-keys", "check", "scope s");
    set.bad("scope-too-many", keys, "a scope has a member that does not name it, and its row says so", |f| {
        f.sql("INSERT INTO scope_member VALUES ({scope s}, {item d})");
        f.put_padded_scope("s", &pad(&right_scope(f, "s")));
    });
    set.bad("scope-too-few", keys, "a scope lacks a member that names it, and its row says so", |f| {
        f.sql("DELETE FROM scope_member WHERE scope = {scope s} AND item = {item a}");
        f.put_padded_scope("s", &pad(&right_scope(f, "s")));
    });
    set.bad(
        "scope-of-no-key",
        Fails("scope-keys", "check", "scope {scope new}"),
        "a scope that no key names has a member, and its row says so",
        |f| {
            f.sql("INSERT INTO scope_member VALUES ({scope new}, {item d})");
            f.put_padded_scope("new", &pad(&right_scope(f, "new")));
        },
    );
    set.bad(
        "scope-without-members",
        Fails("scope-malformed", "scope new", "scope {scope new}"),
        "a scope without members has a row",
        |f| {
            f.put_padded_scope("new", &pad(&right_scope(f, "new")));
        },
    );
    set.bad(
        "scope-missing-authentic",
        Fails("scope-missing", "check", "scope s"),
        "a scope that keys name has no row, and the tree says so",
        |f| {
            f.sql(
                "DELETE FROM scope WHERE tag = {scope s}; DELETE FROM scope_member WHERE scope = {scope s}",
            );
            f.sign();
        },
    );
}

fn names(set: &mut Set) {
    let malformed = Fails("names-malformed", "names", "directory {names a}");
    let mut names = |name: &str, fails, comment: &str, plain: &[u8]| {
        set.bad(&format!("names-{name}"), fails, comment, |f| {
            f.put_padded_directory(bucket_of(&f.item_tag("a")), &pad(&[plain, &[0; 4]].concat()));
        });
    };
    names("trailing", malformed, "a byte behind the last name", &[&list(&[b"a"])[..], &[0]].concat());
    names("unsorted", malformed, "names that are not in byte order", &list(&[b"b", b"a"]));
    names("twice", malformed, "a name twice", &list(&[b"a", b"a"]));
    names("grammar", malformed, "a name with a space", &list(&[b"a a"]));
    names("not-utf-8", malformed, "a name that is not UTF-8", &list(&[b"\xff"]));
    names("long", malformed, "a name of 129 bytes", &list(&[&[b'n'; 129]]));
    names("count", malformed, "a count of 2^32 − 1 names", &[0xff; 4]);
    set.bad(
        "names-even-field",
        Fails("row-newer", "names", "directory {names a}"),
        "a bucket of names has an even field",
        |f| {
            let plain = [&list(&[b"a"])[..], &EVEN].concat();
            f.put_padded_directory(bucket_of(&f.item_tag("a")), &pad(&plain));
        },
    );
    let mut names = |name: &str, fails, comment: &str, plain: &[u8]| {
        set.bad(&format!("names-{name}"), fails, comment, |f| {
            f.put_padded_directory(bucket_of(&f.item_tag("a")), &pad(&[plain, &[0; 4]].concat()));
        });
    };
    names("none", malformed, "a list of no names", &list(&[]));
    let keys = Fails("names-keys", "check", "directory {names a}");
    names("missing", keys, "another name in the place of a key's", &list(&[b"b"]));
    names("more", keys, "a name of no key", &list(&[b"a", b"ghost"]));
    set.bad(
        "names-missing-authentic",
        Fails("names-missing", "check", "directory {names a}"),
        "a bucket that a key belongs into has no row, and the tree says so",
        |f| {
            f.sql("DELETE FROM directory WHERE bucket = {names a}");
            f.sign();
        },
    );
    set.bad(
        "names-bucket-unused",
        Fails("names-keys", "check", "directory 63"),
        "a row of names in a bucket that no key belongs into",
        |f| {
            f.put_padded_directory(63, &pad(&[&list(&[b"ghost"])[..], &[0; 4]].concat()));
        },
    );
    set.bad(
        "names-bucket-beyond",
        Fails("names-keys", "check", "directory 64"),
        "a row of names in a bucket that six bits cannot say",
        |f| {
            f.put_padded_directory(64, &pad(&[&list(&[b"ghost"])[..], &[0; 4]].concat()));
        },
    );
}

/// The last event with this plaintext.
fn put_event(f: &Forge, padded: &[u8]) {
    let mut events = f.events();
    let change = events.pop().unwrap().0;
    events.push((change, padded.to_vec()));
    f.put_chain(&events);
}

fn event(action: &str, outcome: u8, user: &[u8]) -> Encoder {
    let event = Encoder::new().i64(0).bytes(action.as_bytes()).u8(outcome).bytes(user);
    event.bytes(b"host").u32(1).bytes(b"bash")
}

/// Field 11 of an event: a revoked version of each of these keys.
fn revoked_before(ids: &[u8], flag: u8) -> Vec<u8> {
    let key = |from: Encoder, id: &u8| from.fixed(&[*id; 16]).u32(1).u32(1).i64(0).u64(0).u8(flag).bytes(b"");
    ids.iter().fold(Encoder::new().u32(u32::try_from(ids.len()).unwrap()), key).finish()
}

fn events(set: &mut Set) {
    let malformed = Fails("event-malformed", "log", "audit");
    let rest = |event: Encoder| event.u8(0).u8(0).u32(0).bytes(b"").u8(0).u32(0).finish();
    let mut put = |name: &str, comment: &str, plain: &[u8]| {
        set.bad(&format!("event-{name}"), malformed, comment, |f| put_event(f, &pad(plain)));
    };
    let good = rest(event("exec", 0, b"ada"));
    put("even-field", "an even field", &[&good[..good.len() - 4], &EVEN].concat());
    put("action-unknown", "an action that §9 does not have", &rest(event("steal", 0, b"ada")));
    put("action-case", "an action in upper case", &rest(event("Exec", 0, b"ada")));
    put("action-empty", "an action of no bytes", &rest(event("", 0, b"ada")));
    put("outcome", "an outcome of 2", &rest(event("exec", 2, b"ada")));
    put("not-utf-8", "a user that is not UTF-8", &rest(event("exec", 0, b"\xff")));
    put(
        "terminal-flag",
        "a flag of 2 before the terminal",
        &event("exec", 0, b"ada").u8(2).u8(0).u32(0).bytes(b"").u8(0).finish(),
    );
    put(
        "job-flag",
        "a flag of 2 before the CI job",
        &event("exec", 0, b"ada").u8(0).u8(2).u32(0).bytes(b"").u8(0).finish(),
    );
    put(
        "keys-count",
        "a count of 2^32 − 1 keys",
        &event("exec", 0, b"ada").u8(0).u8(0).u32(u32::MAX).bytes(b"").u8(0).finish(),
    );
    put(
        "change-flag",
        "a flag of 2 before the change",
        &event("exec", 0, b"ada").u8(0).u8(0).u32(0).bytes(b"").u8(2).finish(),
    );
    put(
        "change-short",
        "a change without the hash of the record before",
        &event("exec", 0, b"ada").u8(0).u8(0).u32(0).bytes(b"").u8(1).u64(99).finish(),
    );
    for (name, comment, field, bytes) in [
        ("field-missing", "the number of missing entries has seven bytes", 1_u16, &[0; 7][..]),
        ("field-renamed", "a new name that is none", 3, b"\x01\0\0\0-"),
        ("field-wiped", "a byte in the field that has none", 5, b"\0"),
        ("field-token-deed", "a deed of 4", 7, b"\x04\x02\0\0\0ci"),
        ("field-token-name", "the name of a token that is none", 7, b"\x01\x02\0\0\0c:"),
        ("field-grace", "a byte behind the grace", 9, &[0; 9]),
        ("field-revoked-cut", "a count of one key that was revoked, and none", 11, &[1, 0, 0, 0]),
        (
            "field-revoked-flag",
            "a flag of 2 behind the time of a revoked version",
            11,
            &revoked_before(&[1], 2),
        ),
        (
            "field-revoked-order",
            "revoked versions of a greater id before a lesser",
            11,
            &revoked_before(&[2, 1], 1),
        ),
        ("field-revoked-twice", "revoked versions of one id twice", 11, &revoked_before(&[1, 1], 1)),
    ] {
        let field = Encoder::new().u32(1).fixed(&field.to_le_bytes()).bytes(bytes).finish();
        put(name, comment, &[&good[..good.len() - 4], &field].concat());
    }
    put("trailing", "a byte behind the last field", &[&good[..], &[0]].concat());
    put("cut", "the last byte is missing", &good[..good.len() - 1]);
    put("nothing", "no bytes within the padding", &[]);
    let change = Fails("event-change", "log", "audit");
    set.bad(
        "event-change-unfiled",
        change,
        "the last event says that it is a change, and its row does not",
        |f| {
            let plain = event("edit", 0, b"ada")
                .u8(0)
                .u8(0)
                .u32(0)
                .bytes(b"")
                .u8(1)
                .u64(99)
                .fixed(&[0; 32])
                .u32(0)
                .finish();
            put_event(f, &pad(&plain));
        },
    );
    set.bad(
        "event-change-filed",
        change,
        "the last event says that it is no change, and its row says that it is one",
        |f| {
            let mut events = f.events();
            let (_, plain) = events.pop().unwrap();
            events.push((Some(99), plain));
            f.put_chain(&events);
        },
    );
    set.bad("event-change-other", change, "an event is of another change than its row says", |f| {
        let mut events = f.events();
        events[1].0 = Some(500);
        f.put_chain(&events);
    });
}
