//! Vectors that are authentic in every byte and say what the format does not have.

use super::forge::{
    self, Fields, Forge, HEADER, KEY, LEDGERS, NAMES, SCOPE, SLOT, TOKENS, Tag, bucket_of, names_plain,
    object_id, pad, tags_plain, text,
};
use super::good::put_version;
use super::set::{Fails, Set};
use super::vector::hex;
use crate::by_hand::Encoder;

pub(crate) fn all(set: &mut Set) {
    padding(set);
    keys(set);
    versions(set);
    places(set);
    others(set);
    none(set);
    scopes(set);
    names(set);
    tokens(set);
    ledgers(set);
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
    let key = Fails("key-malformed", "read a", "key {key a}");
    for (word, comment, padded) in badly_padded(&f.key("a")) {
        set.bad(&format!("key-padding-{word}"), key, &format!("a key's metadata: {comment}"), |f| {
            f.put_padded_key("a", &padded);
        });
    }
    let value = Fails("value-malformed", "read a", "key a version 2");
    for (word, comment, padded) in badly_padded(&f.value(&f.id("a"), 2)) {
        set.bad(&format!("value-padding-{word}"), value, &format!("a value: {comment}"), |f| {
            put_version(f, "a", 2, &[5; 32], &padded);
        });
    }
    let scope = Fails("scope-malformed", "scope s", "scope s");
    for (word, comment, padded) in badly_padded(&tags_plain(b"s", &f.members("s"))) {
        if ["none", "more", "not-zero", "length-beyond"].contains(&word) {
            set.bad(&format!("scope-padding-{word}"), scope, &format!("a scope: {comment}"), |f| {
                f.put_padded_scope("s", &padded);
            });
        }
    }
    let names = Fails("names-malformed", "names", "names {bucket a}");
    let bucket = bucket_of(&f.key_tag("a"));
    for (word, comment, padded) in badly_padded(&names_plain(bucket, &[b"a"])) {
        if ["none", "more", "not-zero", "length-beyond"].contains(&word) {
            set.bad(&format!("names-padding-{word}"), names, &format!("a bucket of names: {comment}"), |f| {
                f.put_padded_names(bucket, &padded);
            });
        }
    }
    let tokens = Fails("tokens-malformed", "tokens", "tokens");
    for (word, comment, padded) in badly_padded(&tags_plain(b"", &set.forge("machines", "").tokens())) {
        if ["none", "more", "not-zero", "length-beyond"].contains(&word) {
            let name = format!("tokens-padding-{word}");
            set.forged(&name, "machines", tokens, &format!("the list of tokens: {comment}"), |f| {
                f.put_padded(TOKENS, &f.tag(TOKENS, &[]), &padded);
            });
        }
    }
    let event = Fails("event-malformed", "log", "log");
    let last = forge::unpad(&f.events().last().unwrap().1);
    for (word, comment, padded) in badly_padded(&last) {
        if ["none", "more", "not-zero", "length-beyond"].contains(&word) {
            set.bad(&format!("event-padding-{word}"), event, &format!("the last event: {comment}"), |f| {
                put_event(f, &padded);
            });
        }
    }
}

/// The list of ledgers, which has one.
fn ledgers(set: &mut Set) {
    let f = set.forge("plain", "");
    let right = forge::unpad(&f.padded(LEDGERS, &f.tag(LEDGERS, &[])));
    // Name, count, id, k₀ with its length, state, count, MAC, extensions.
    let state = right.len() - 4 - 32 - 8 - 1;
    let with = |at: usize, bytes: &[u8]| [&right[..at], bytes, &right[at + bytes.len()..]].concat();
    let fails = Fails("ledgers-malformed", "check", "ledgers");
    let ledger = &right[8..right.len() - 4];
    let many = |count: u8| {
        let one = |number: u8| [&[number; 16], &ledger[16..]].concat();
        let all: Vec<u8> = (1..=count).flat_map(one).collect();
        [&[0; 4], &u32::from(count).to_le_bytes()[..], &all, &[0; 4]].concat()
    };
    for (name, comment, plain) in [
        ("trailing", "a byte behind the last field", [&right[..], &[0]].concat()),
        ("cut", "the last byte is missing", right[..right.len() - 1].to_vec()),
        ("none", "a list of no ledgers", vec![0; 12]),
        ("id-zero", "a ledger has the id of the vault's", with(8, &[0; 16])),
        ("state-zero", "a ledger has state 0", with(state, &[0])),
        ("state-three", "a ledger has state 3", with(state, &[3])),
        ("count-zero", "a ledger without entries has a MAC", with(state + 1, &[0; 8])),
        ("too-many", "65 ledgers", many(65)),
        ("twice", "a ledger is there twice", [&[0; 4], &[2, 0, 0, 0][..], ledger, ledger, &[0; 4]].concat()),
    ] {
        set.bad(&format!("ledgers-{name}"), fails, &format!("the list of ledgers: {comment}"), |f| {
            f.put_object(LEDGERS, b"", &plain);
        });
    }
    let second = f.tag(LEDGERS, b"second");
    let place = Fails("ledgers-place", "check", &format!("ledgers {}", hex(&second)));
    set.bad("ledgers-elsewhere", place, "the list of ledgers stands at another name's tag", |f| {
        f.put_padded(LEDGERS, &second, &pad(&right));
    });
}

/// Extensions with an even field.
const EVEN: [u8; 11] = [1, 0, 0, 0, 2, 0, 1, 0, 0, 0, 9];

fn list(texts: &[&[u8]]) -> Vec<u8> {
    let count = u32::try_from(texts.len()).unwrap().to_le_bytes().to_vec();
    texts.iter().fold(count, |list, bytes| [list, text(bytes)].concat())
}

fn keys(set: &mut Set) {
    let fails = Fails("key-malformed", "read b", "key {key b}");
    let mut field = |name: &str, comment: &str, field: &str, bytes: &[u8]| {
        set.bad(&format!("key-{name}"), fails, comment, |f| {
            f.put_key("b", &Fields::of(&f.key("b")).with(field, bytes).encode());
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
        Encoder::new().u8(1).u8(kind).u32(length).bytes(prefix).bytes(b"").finish()
    };
    let alphabet = |kind: u8, length: u32, set: &[u8]| {
        Encoder::new().u8(1).u8(kind).u32(length).bytes(b"").bytes(set).finish()
    };
    field("recipe-flag", "a flag of 255 before the recipe", "recipe", &[255]);
    field("recipe-kind-zero", "a recipe of kind 0", "recipe", &recipe(0, 32, b""));
    field("recipe-kind-next", "a recipe of kind 14", "recipe", &recipe(14, 0, b""));
    field("recipe-length-zero", "a token of no characters", "recipe", &recipe(1, 0, b"kv_"));
    field("recipe-length-short", "a recipe whose values could be guessed", "recipe", &recipe(1, 4, b"kv_"));
    field("recipe-length-long", "a recipe of 2^32 − 1 characters", "recipe", &recipe(1, u32::MAX, b""));
    field("recipe-length-fixed", "a UUID of a length", "recipe", &recipe(6, 36, b""));
    field("recipe-prefix-fixed", "a UUID with a prefix", "recipe", &recipe(6, 0, b"x"));
    field("recipe-prefix-long", "a prefix of 33 characters", "recipe", &recipe(1, 43, &[b'p'; 33]));
    field("recipe-prefix-space", "a prefix with a space", "recipe", &recipe(1, 43, b"a b"));
    field("recipe-prefix-not-utf-8", "a prefix that is not UTF-8", "recipe", &recipe(1, 43, b"\xff"));
    field("recipe-ecdsa-length", "an ECDSA key pair of a length", "recipe", &recipe(10, 256, b""));
    field("recipe-alphabet-one", "an alphabet of one character", "recipe", &alphabet(2, 4096, b"0"));
    field("recipe-alphabet-order", "an alphabet out of order", "recipe", &alphabet(2, 64, b"10"));
    field("recipe-alphabet-twice", "a character twice", "recipe", &alphabet(2, 64, b"001"));
    field("recipe-alphabet-space", "an alphabet with a space", "recipe", &alphabet(2, 64, b" 01"));
    field("recipe-alphabet-short", "63 bits of an alphabet", "recipe", &alphabet(2, 63, b"01"));
    field("recipe-alphabet-fixed", "random bytes of an alphabet", "recipe", &alphabet(3, 64, b"01"));
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
    set.bad("key-trailing", fails, "a byte behind the last version", |f| {
        f.put_key("b", &[f.key("b"), vec![0]].concat());
    });
    set.bad("key-cut", fails, "the last byte is missing", |f| {
        let plain = f.key("b");
        f.put_key("b", &plain[..plain.len() - 1]);
    });
    let newer = Fails("row-newer", "read b", "key {key b}");
    set.bad("key-even-field", newer, "a key has an even field", |f| {
        f.put_key("b", &Fields::of(&f.key("b")).with("extensions", EVEN).encode());
    });
    set.bad("key-nothing", fails, "no bytes within the padding", |f| f.put_key("b", &[]));
}

fn versions(set: &mut Set) {
    let fails = Fails("key-malformed", "read a", "key {key a}");
    let mut field = |name: &str, comment: &str, field: &str, bytes: &[u8]| {
        set.bad(&format!("version-{name}"), fails, comment, |f| {
            f.put_key("a", &Fields::of(&f.key("a")).with(field, bytes).encode());
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
        let fields = Fields::of(&f.key("a"));
        f.put_key(
            "a",
            &[&fields.head()[..], &fields.version(2), &fields.version(1), fields.get("extensions")].concat(),
        );
    });
    let digest = Fails("version-rows", "read a", "key a version 2");
    set.bad("version-digest", digest, "the key names another row than a version has", |f| {
        f.put_key("a", &Fields::of(&f.key("a")).with("digest 2", [&[1][..], &[7; 16]].concat()).encode());
    });
    set.bad("version-digest-turned", digest, "the key names a version's row with its columns turned", |f| {
        let [wrapped, sealed] = ["wrapped", "sealed"]
            .map(|column| keyvault_core::crypto::sha256(&f.version_row(column, &f.id("a"), 2)));
        let turned = f.keys.tree.digest(&[b"keyvault version rows", &sealed, &wrapped]);
        let fields = Fields::of(&f.key("a")).with("digest 2", [&[1][..], &turned].concat());
        f.put_key("a", &fields.encode());
    });
    set.bad("version-digest-of-another", digest, "the key names the row of the version before", |f| {
        let other = f.version_digest(&f.id("a"), 1);
        let fields = Fields::of(&f.key("a")).with("digest 2", [&[1][..], &other].concat());
        f.put_key("a", &fields.encode());
    });
    set.bad(
        "version-digest-none",
        Fails("version-stray", "check", "version"),
        "the key says that a version was wiped, and its row is there",
        |f| {
            f.put_key("a", &Fields::of(&f.key("a")).with("digest 1", [0]).encode());
        },
    );
    let print = Fails("fingerprint", "check", "key a version 2");
    set.bad("version-fingerprint", print, "the metadata has another fingerprint than the value's", |f| {
        f.put_key("a", &Fields::of(&f.key("a")).with("fingerprint 2", [7; 6]).encode());
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
        "key-of-another-name",
        Fails("key-place", "check", "key zz"),
        "a key stands at the tag of its old name",
        |f| f.put_key("d", &Fields::of(&f.key("d")).with("name", text("zz")).encode()),
    );
    set.bad(
        "key-added-authentic",
        Fails("names-keys", "check", "names {bucket d}"),
        "a key has a row and a leaf, and its name is in no bucket",
        |f| {
            let bucket = bucket_of(&f.key_tag("d"));
            f.put_padded_names(bucket, &pad(&names_plain(bucket, &[b"other-name-in-this-bucket"])));
        },
    );
    set.bad(
        "leaf-stray-authentic",
        Fails("leaf-stray", "check", "leaf {key absent}"),
        "the tree knows a row that is not there",
        |f| {
            f.put_leaf(&f.key_tag("absent"), &[1; 16]);
            f.sign_tree();
        },
    );
    for (object, base, reason, step, row) in [
        ("key d", "plain", "tree-key", "read d", "key d"),
        ("names d", "plain", "tree-names", "names", "names {bucket d}"),
        ("scope s", "plain", "tree-scope", "scope s", "scope s"),
        ("tokens", "machines", "tree-tokens", "tokens", "tokens"),
    ] {
        let word = object.split(' ').next().unwrap();
        let fails = Fails(reason, step, row);
        set.forged(
            &format!("{word}-unknown-to-the-tree"),
            base,
            fails,
            &format!("a tree that was made without the leaf of '{object}'"),
            |f| {
                f.drop_leaf(&f.place(object).1);
                f.sign_tree();
            },
        );
        for other in [SCOPE, KEY, 9] {
            set.forged(
                &format!("{word}-leaf-of-kind-{other}"),
                base,
                fails,
                &format!("the leaf of '{object}' is made as one of an object of kind {other}"),
                |f| {
                    let (kind, tag) = f.place(object);
                    // Where the kind is the right one, the next best.
                    let other = if other == kind { kind + 1 } else { other };
                    let sealed = f.blob(&format!("SELECT sealed FROM object WHERE {{at {object}}}"));
                    f.put_leaf(&tag, &f.object_leaf(other, &tag, f.revision(kind, &tag), &sealed));
                    f.sign_tree();
                },
            );
        }
        set.forged(
            &format!("{word}-leaf-of-another-revision"),
            base,
            fails,
            &format!("the leaf of '{object}' is made for another revision"),
            |f| {
                let (kind, tag) = f.place(object);
                let sealed = f.blob(&format!("SELECT sealed FROM object WHERE {{at {object}}}"));
                f.put_leaf(&tag, &f.object_leaf(kind, &tag, f.revision(kind, &tag) + 1, &sealed));
                f.sign_tree();
            },
        );
    }
}

/// Objects of kinds that the page does not define, which the tree knows.
fn others(set: &mut Set) {
    for kind in [9, 130] {
        let row = |f: &Forge, name: &[u8]| format!("object {kind} {}", hex(&f.tag(kind, name)));
        let mut bad = |word: &str, reason: &str, comment: &str, make: &dyn Fn(&Forge, &Tag)| {
            let named = row(&set.forge("plain", ""), b"later");
            let name = format!("object-of-kind-{kind}-{word}");
            let comment = format!("an object of kind {kind}, which the tree knows: {comment}");
            set.bad(&name, Fails(reason, "check", &named), &comment, |f| make(f, &f.tag(kind, b"later")));
        };
        let plain = [text("later"), b"what a later version says".to_vec()].concat();
        bad("of-another-name", "object-place", "it begins with another name", &|f, tag| {
            f.put_padded(kind, tag, &pad(&text("another")));
        });
        bad("of-no-name", "object-place", "its name is empty, and its tag another's", &|f, tag| {
            f.put_padded(kind, tag, &pad(&[&[0; 4], &plain[..]].concat()));
        });
        bad("of-a-key", "object-place", "it holds a key", &|f, tag| {
            f.put_padded(kind, tag, &f.padded(KEY, &f.key_tag("a")));
        });
        bad("nothing", "object-place", "it holds no bytes", &|f, tag| f.put_padded(kind, tag, &pad(&[])));
        bad("name-cut", "object-place", "its name reaches beyond the end", &|f, tag| {
            f.put_padded(kind, tag, &pad(&[&[99, 0, 0, 0], &b"later"[..]].concat()));
        });
        bad("unpadded", "object-malformed", "it is not padded", &|f, tag| f.put_padded(kind, tag, &plain));
        bad("dirty", "object-malformed", "a byte of its padding is not zero", &|f, tag| {
            let mut padded = pad(&plain);
            *padded.last_mut().unwrap() = 1;
            f.put_padded(kind, tag, &padded);
        });
        bad("for-another-kind", "object-seal", "it is sealed as an object of another kind", &|f, tag| {
            f.put_row(kind, tag, 9, &f.seal_object(kind + 1, tag, 9, &pad(&plain)));
            f.sign();
        });
        bad("for-another-revision", "object-seal", "it is sealed for another revision", &|f, tag| {
            f.put_row(kind, tag, 9, &f.seal_object(kind, tag, 8, &pad(&plain)));
            f.sign();
        });
        bad("for-another-tag", "object-seal", "it is sealed for another name", &|f, tag| {
            let other = f.tag(kind, b"another");
            f.put_row(kind, tag, 9, &f.seal_object(kind, &other, 9, &pad(&plain)));
            f.sign();
        });
        bad("short", "object-seal", "its sealed text is shorter than a seal", &|f, tag| {
            f.put_row(kind, tag, 9, &[7; 71]);
            f.sign();
        });
        bad("unknown", "tree-object", "its leaf is gone after all", &|f, tag| {
            f.put_padded(kind, tag, &pad(&plain));
            f.drop_leaf(tag);
            f.sign_tree();
        });
        bad("altered", "tree-object", "a bit of it was altered", &|f, tag| {
            f.put_padded(kind, tag, &pad(&plain));
            f.flip("object", "sealed", &format!("id = {}", object_id(kind, tag)), 60);
        });
        let leaf = format!("leaf {}", hex(&set.forge("plain", "").tag(kind, b"later")));
        set.bad(
            &format!("object-of-kind-{kind}-gone"),
            Fails("key-missing", "list", &leaf),
            &format!("an object of kind {kind}, which the tree knows, is not there"),
            |f| {
                f.put_object(kind, b"later", &plain);
                f.sql(&format!("DELETE FROM object WHERE {{kind {kind}}}"));
            },
        );
        set.bad(
            &format!("object-of-kind-{kind}-altered-list"),
            Fails("row-forged", "list", &row(&set.forge("plain", ""), b"later")),
            &format!("an object of kind {kind}, which the tree knows, has another revision, and all keys are listed"),
            |f| {
                f.put_object(kind, b"later", &plain);
                f.sql(&format!("UPDATE object SET revision = revision + 1 WHERE {{kind {kind}}}"));
            },
        );
    }
}

/// Objects of the kinds of the header and of slots, which the tree knows.
fn none(set: &mut Set) {
    for (word, kind, name) in [("header", HEADER, &b"second"[..]), ("slot", SLOT, &4_u32.to_le_bytes())] {
        let row = format!("object {kind} {}", hex(&set.forge("plain", "").tag(kind, name)));
        let comment = format!("there is an object of kind {kind}, which the tree knows");
        set.bad(&format!("object-of-kind-{word}"), Fails("object-kind", "check", &row), &comment, |f| {
            f.put_object(kind, name, &text(name));
        });
    }
}

fn scopes(set: &mut Set) {
    let malformed = Fails("scope-malformed", "scope s", "scope s");
    let f = set.forge("plain", "");
    let members = f.members("s");
    let mut scope = |name: &str, fails, comment: &str, plain: &[u8]| {
        set.bad(&format!("scope-{name}"), fails, comment, |f| f.put_padded_scope("s", &pad(plain)));
    };
    let right = tags_plain(b"s", &members);
    let even = [&right[..right.len() - 4], &EVEN].concat();
    scope("even-field", Fails("row-newer", "scope s", "scope s"), "a scope has an even field", &even);
    scope("trailing", malformed, "a byte behind the last field", &[&right[..], &[0]].concat());
    scope("cut", malformed, "the last byte is missing", &right[..right.len() - 1]);
    scope("nothing", malformed, "no bytes within the padding", &[]);
    scope("name-not-utf-8", malformed, "a name that is not UTF-8", &tags_plain(b"\xff", &members));
    scope("name-grammar", malformed, "a name with a space", &tags_plain(b"s s", &members));
    scope("name-empty", malformed, "a name of no bytes", &tags_plain(b"", &members));
    scope("name-long", malformed, "a name of 129 bytes", &tags_plain(&[b's'; 129], &members));
    scope(
        "name-other",
        Fails("scope-place", "check", "scope s"),
        "another name than its place has",
        &tags_plain(b"t", &members),
    );
    let with_count = |count: u32| [&right[..5], &count.to_le_bytes(), &right[9..]].concat();
    let count = u32::try_from(members.len()).unwrap();
    scope("count-lower", malformed, "a count of one key less than there are tags", &with_count(count - 1));
    scope("count-higher", malformed, "a count of one key more than there are tags", &with_count(count + 1));
    scope("count-highest", malformed, "a count of 2^32 − 1 keys", &with_count(u32::MAX));
    scope("no-keys", malformed, "a list of no keys", &tags_plain(b"s", &[]));
    scope("tag-short", malformed, "the last tag has 15 bytes", &{
        let tags = members.as_flattened();
        let tags = &tags[..tags.len() - 1];
        [&text("s")[..], &count.to_le_bytes(), tags, &[0; 4]].concat()
    });
    let mut others = members.clone();
    others.reverse();
    scope("unsorted", malformed, "keys that are not in byte order", &tags_plain(b"s", &others));
    others.clone_from(&members);
    others.insert(1, members[0]);
    scope("twice", malformed, "a key twice", &tags_plain(b"s", &others));
    others.clone_from(&members);
    others.push(members[members.len() - 1]);
    scope("last-twice", malformed, "the last key twice", &tags_plain(b"s", &others));
    let sorted = |mut tags: Vec<Tag>| {
        tags.sort_unstable();
        tags
    };
    let (d, absent) = (f.key_tag("d"), f.key_tag("absent"));
    let wrong = Fails("scope-members", "scope s", "scope s");
    let with = |tag: Tag| tags_plain(b"s", &sorted([&members[..], &[tag]].concat()));
    scope("key-too-many", wrong, "a key that does not carry the scope", &with(d));
    scope("key-absent", wrong, "the tag of a key that is not there", &with(absent));
    scope("key-id", wrong, "the id of a key instead of its tag", &with(f.id("d")));
    let tree = Fails("tree-key", "scope s", "scope s");
    scope("key-of-another-kind", tree, "the tag of a scope", &with(f.tag(SCOPE, b"t")));
    scope("key-exchanged", wrong, "another key in the place of one", &{
        tags_plain(b"s", &sorted([&members[1..], &[d]].concat()))
    });
    let keys = Fails("scope-keys", "check", "scope s");
    scope("key-too-few", keys, "a key less than carry it", &tags_plain(b"s", &members[1..]));
    scope("key-too-few-last", keys, "the last key less", &tags_plain(b"s", &members[..members.len() - 1]));
    set.bad(
        "scope-of-no-key",
        Fails("scope-keys", "check", "scope {scope new}"),
        "a scope that no key carries lists one",
        |f| f.put_object(SCOPE, b"new", &tags_plain(b"new", &[f.key_tag("d")])),
    );
    set.bad(
        "scope-without-members",
        Fails("scope-malformed", "scope new", "scope {scope new}"),
        "a scope without keys has an object",
        |f| f.put_object(SCOPE, b"new", &tags_plain(b"new", &[])),
    );
    set.bad(
        "scope-missing-authentic",
        Fails("scope-missing", "check", "scope s"),
        "a scope that keys carry has no object, and the tree says so",
        |f| {
            f.sql("DELETE FROM object WHERE {at scope s}");
            f.sign();
        },
    );
    set.bad(
        "scope-exchanged-authentic",
        Fails("scope-place", "check", "scope s"),
        "two scopes are sealed in one another's place",
        |f| {
            let [s, t] = ["scope s", "scope t"].map(|scope| f.place(scope).1);
            let (first, second) = (f.padded(SCOPE, &s), f.padded(SCOPE, &t));
            f.put_padded(SCOPE, &s, &second);
            f.put_padded(SCOPE, &t, &first);
        },
    );
}

fn names(set: &mut Set) {
    let fails = |reason| Fails(reason, "names", "names {bucket a}");
    let f = set.forge("plain", "");
    let bucket = bucket_of(&f.key_tag("a"));
    let mut names = |name: &str, fails, comment: &str, plain: &[u8]| {
        set.bad(&format!("names-{name}"), fails, comment, |f| f.put_padded_names(bucket, &pad(plain)));
    };
    let malformed = fails("names-malformed");
    let right = names_plain(bucket, &[b"a"]);
    names("trailing", malformed, "a byte behind the last field", &[&right[..], &[0]].concat());
    names("cut", malformed, "the last byte is missing", &right[..right.len() - 1]);
    names("nothing", malformed, "no bytes within the padding", &[]);
    names("unsorted", malformed, "names that are not in byte order", &names_plain(bucket, &[b"b", b"a"]));
    names("twice", malformed, "a name twice", &names_plain(bucket, &[b"a", b"a"]));
    names("grammar", malformed, "a name with a space", &names_plain(bucket, &[b"a a"]));
    names("name-empty", malformed, "a name of no bytes", &names_plain(bucket, &[b""]));
    names("not-utf-8", malformed, "a name that is not UTF-8", &names_plain(bucket, &[b"\xff"]));
    names("long", malformed, "a name of 129 bytes", &names_plain(bucket, &[&[b'n'; 129]]));
    names("none", malformed, "a list of no names", &names_plain(bucket, &[]));
    let behind = |bytes: &[u8]| [&right[..5], bytes].concat();
    names("count", malformed, "a count of 2^32 − 1 names", &behind(&[0xff; 4]));
    names("count-more", malformed, "a count of one name more than there are", &{
        [&right[..5], &[2, 0, 0, 0], &right[9..]].concat()
    });
    let numbered = |number: &[u8]| [&text(number)[..], &right[5..]].concat();
    names("bucket-none", malformed, "no number of the bucket", &numbered(&[]));
    names("bucket-long", malformed, "two bytes as the number of the bucket", &numbered(&[bucket, 0]));
    names(
        "bucket-as-u32",
        malformed,
        "four bytes as the number of the bucket",
        &numbered(&[bucket, 0, 0, 0]),
    );
    names("without-bucket", malformed, "the list without the number of the bucket", &right[5..]);
    names(
        "bucket-as-u8",
        malformed,
        "the number of the bucket without a length",
        &[&[bucket], &right[5..]].concat(),
    );
    let even = [&right[..right.len() - 4], &EVEN].concat();
    names("even-field", fails("row-newer"), "a bucket of names has an even field", &even);
    let keys = Fails("names-keys", "check", "names {bucket a}");
    names("missing", keys, "another name in the place of a key's", &names_plain(bucket, &[b"b"]));
    names("more", keys, "a name of no key", &names_plain(bucket, &[b"a", b"ghost"]));
    let place = Fails("names-place", "check", "names {bucket a}");
    let next = (bucket + 1) % 64;
    names("of-another-bucket", place, "the number of another bucket", &names_plain(next, &[b"a"]));
    names(
        "of-a-bucket-beyond",
        malformed,
        "the number of a bucket that there is not",
        &names_plain(bucket + 64, &[b"a"]),
    );
    set.bad(
        "names-missing-authentic",
        Fails("names-missing", "check", "names {bucket a}"),
        "a bucket that a key belongs into has no object, and the tree says so",
        |f| {
            f.sql("DELETE FROM object WHERE {at names a}");
            f.sign();
        },
    );
    for (word, number, reason, step, comment) in [
        ("unused", 63, "names-keys", "check", "names in a bucket that no key belongs into"),
        ("beyond", 64, "names-malformed", "names", "names in a bucket that six bits cannot say"),
        ("highest", 255, "names-malformed", "names", "names in the last bucket that a byte can say"),
    ] {
        let row = format!("names {}", hex(&f.tag(NAMES, &[number])));
        set.bad(&format!("names-bucket-{word}"), Fails(reason, step, &row), comment, |f| {
            f.put_padded_names(number, &pad(&names_plain(number, &[b"ghost"])));
        });
    }
    let tag = f.tag(NAMES, &[bucket, 1]);
    set.bad(
        "names-of-a-longer-number",
        Fails("names-malformed", "names", &format!("names {}", hex(&tag))),
        "names under the tag of a number of two bytes",
        |f| {
            let plain = [&text([bucket, 1])[..], &names_plain(bucket, &[b"ghost"])[5..]].concat();
            f.put_padded(NAMES, &tag, &pad(&plain));
        },
    );
}

fn tokens(set: &mut Set) {
    let f = set.forge("machines", "");
    let all = f.tokens();
    let mut tokens = |name: &str, fails, comment: &str, plain: &[u8]| {
        let make = |f: &Forge| f.put_object(TOKENS, b"", plain);
        set.forged(&format!("tokens-{name}"), "machines", fails, comment, make);
    };
    let malformed = Fails("tokens-malformed", "tokens", "tokens");
    let right = tags_plain(b"", &all);
    tokens("trailing", malformed, "a byte behind the last field", &[&right[..], &[0]].concat());
    tokens("cut", malformed, "the last byte is missing", &right[..right.len() - 1]);
    tokens("nothing", malformed, "no bytes within the padding", &[]);
    tokens("none", malformed, "a list of no tokens", &tags_plain(b"", &[]));
    tokens("named", malformed, "the list has a name", &tags_plain(b"tokens", &all));
    tokens("without-name", malformed, "the list does not begin with a name", &right[4..]);
    let count = u32::try_from(all.len()).unwrap();
    let with_count = |count: u32| [&right[..4], &count.to_le_bytes(), &right[8..]].concat();
    tokens("count-lower", malformed, "a count of one token less than there are tags", &with_count(count - 1));
    tokens(
        "count-higher",
        malformed,
        "a count of one token more than there are tags",
        &with_count(count + 1),
    );
    tokens("count-highest", malformed, "a count of 2^32 − 1 tokens", &with_count(u32::MAX));
    let mut others = all.clone();
    others.reverse();
    tokens("unsorted", malformed, "tokens that are not in byte order", &tags_plain(b"", &others));
    others.clone_from(&all);
    others.insert(1, all[0]);
    tokens("twice", malformed, "a token twice", &tags_plain(b"", &others));
    let even = [&right[..right.len() - 4], &EVEN].concat();
    tokens(
        "even-field",
        Fails("row-newer", "tokens", "tokens"),
        "the list of tokens has an even field",
        &even,
    );
    let wrong = Fails("tokens", "tokens", "tokens");
    tokens("one-less", wrong, "the list lacks a token", &tags_plain(b"", &all[1..]));
    tokens("last-less", wrong, "the list lacks the last token", &tags_plain(b"", &all[..all.len() - 1]));
    let with = |tag: Tag| {
        let mut all = [&all[..], &[tag]].concat();
        all.sort_unstable();
        tags_plain(b"", &all)
    };
    tokens("ghost", wrong, "the list names a token that there never was", &with(f.place("token ghost").1));
    tokens("key-listed", wrong, "the list names a key", &with(f.key_tag("a")));
    set.forged(
        "tokens-gone-authentic",
        "machines",
        wrong,
        "the list names a token whose record is gone, and the tree says so",
        |f| {
            f.sql("DELETE FROM object WHERE {at token named}");
            f.sign();
        },
    );
    set.forged(
        "tokens-exchanged",
        "machines",
        wrong,
        "the list names another token in the place of one",
        |f| {
            let mut all: Vec<Tag> = f.tokens();
            all.retain(|tag| *tag != f.place("token named").1);
            all.push(f.place("token ghost").1);
            all.sort_unstable();
            f.put_object(TOKENS, b"", &tags_plain(b"", &all));
        },
    );
    set.forged(
        "tokens-unlisted",
        "machines",
        wrong,
        "there are tokens, and no list of them, and the tree says so",
        |f| {
            f.sql("DELETE FROM object WHERE {at tokens}");
            f.sign();
        },
    );
    let second = set.forge("machines", "").tag(TOKENS, b"second");
    set.forged(
        "tokens-second-list",
        "machines",
        Fails("tokens-malformed", "check", &format!("tokens {}", hex(&second))),
        "there is a second list of tokens under a name, and the tree knows it",
        |f| {
            let plain = tags_plain(b"second", &f.tokens());
            f.put_object(TOKENS, b"second", &plain);
        },
    );
    set.forged(
        "tokens-second-list-unnamed",
        "machines",
        Fails("tokens-place", "check", &format!("tokens {}", hex(&second))),
        "the list of tokens stands at another tag as well, and the tree knows it",
        |f| f.put_padded(TOKENS, &second, &pad(&tags_plain(b"", &f.tokens()))),
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

/// Disabled keys of these ids, as a removal's entry has them.
fn disabled_before(ids: &[u8]) -> Vec<u8> {
    let count = u32::try_from(ids.len()).unwrap();
    let keys =
        ids.iter().fold(Encoder::new().u32(count), |keys, id| keys.fixed(&[*id; 16]).u64(1).bytes(b"leaked"));
    keys.finish()
}

/// Field 11 of an event: a revoked version of each of these keys.
fn revoked_before(ids: &[u8], flag: u8) -> Vec<u8> {
    let key = |from: Encoder, id: &u8| from.fixed(&[*id; 16]).u32(1).u32(1).i64(0).u64(0).u8(flag).bytes(b"");
    ids.iter().fold(Encoder::new().u32(u32::try_from(ids.len()).unwrap()), key).finish()
}

fn events(set: &mut Set) {
    let malformed = Fails("event-malformed", "log", "log");
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
        ("field-token-deed", "a deed of 5", 7, b"\x05\x02\0\0\0ci"),
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
        ("field-disabled-cut", "a count of one key that was disabled, and none", 13, &[1, 0, 0, 0]),
        (
            "field-disabled-order",
            "a disabled key of a greater id before one of a lesser",
            13,
            &disabled_before(&[2, 1]),
        ),
        ("field-disabled-twice", "a disabled key of one id twice", 13, &disabled_before(&[1, 1])),
        ("field-session-name", "the name of a session that is none", 15, b"\x01\0\0\0-\0\0\0\0"),
        ("field-session-cut", "a session without its maker", 15, b"\x01\0\0\0s"),
    ] {
        let field = Encoder::new().u32(1).fixed(&field.to_le_bytes()).bytes(bytes).finish();
        put(name, comment, &[&good[..good.len() - 4], &field].concat());
    }
    put("trailing", "a byte behind the last field", &[&good[..], &[0]].concat());
    put("cut", "the last byte is missing", &good[..good.len() - 1]);
    put("nothing", "no bytes within the padding", &[]);
    let change = Fails("event-change", "log", "log");
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
