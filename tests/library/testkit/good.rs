//! Vectors that open, with all that they hold.

use super::bases::DAY;
use super::forge::{
    Fields, Forge, SCOPE, TOKENS, at, bucket_of, names_plain, pad, tags_plain, text, unpad, wrapped_at,
};
use super::set::Set;
use super::vector::{Credential, Vector};
use crate::by_hand::Encoder;

fn nothing(_: &Forge) {}

pub(crate) fn all(set: &mut Set) {
    bases(set);
    ways_in(set);
    times(set);
    other_writers(set);
}

fn bases(set: &mut Set) {
    for base in [
        "plain", "empty", "unicode", "binary", "versions", "states", "aged", "recipes", "rekeyed", "slots",
        "many", "changed", "long", "adopted", "issued",
    ] {
        let about = set.base(base).about.clone();
        set.good(base, base, &about, nothing, |_| ());
    }
}

fn ways_in(set: &mut Set) {
    for base in ["plain", "rekeyed", "unicode"] {
        let code = set.base(base).code.clone();
        let with =
            |code: String| move |vector: &mut Vector| vector.credential = Credential::RecoveryCode(code);
        set.good(&format!("code-{base}"), base, "opened with the recovery code", nothing, with(code.clone()));
        if base == "plain" {
            let sloppy = code.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "L");
            set.good(
                "code-sloppy",
                base,
                "the recovery code in lower case, with spaces, o for 0 and L for 1",
                nothing,
                with(sloppy),
            );
            set.good(
                "code-no-dashes",
                base,
                "the recovery code without dashes",
                nothing,
                with(code.replace('-', "")),
            );
            set.good(
                "code-i-for-1",
                base,
                "the recovery code with I for 1",
                nothing,
                with(code.replace('1', "I")),
            );
        }
    }
    for base in ["plain", "slots"] {
        let file = set.base(base).key_file.clone();
        set.good(&format!("key-file-{base}"), base, "opened with the key file", nothing, |vector| {
            vector.credential = Credential::KeyFile(file);
        });
    }
    let passphrase = |text: &'static str| {
        move |vector: &mut Vector| vector.credential = Credential::Passphrase(text.as_bytes().to_vec())
    };
    set.good(
        "passphrase-second-slot",
        "slots",
        "a passphrase at another cost opens slot 17",
        nothing,
        passphrase("at another cost"),
    );
    set.good(
        "passphrase-decomposed",
        "unicode",
        "the passphrase in NFD opens the same slot",
        nothing,
        passphrase("Zoe\u{308} \u{1f511} u\u{308}ber \u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"),
    );
}

fn times(set: &mut Set) {
    let later = |days: i64| move |vector: &mut Vector| vector.now += days * DAY;
    set.good("states-in-6-days", "states", "graces are over, though no row says so", nothing, later(6));
    set.good("states-in-11-days", "states", "a key has expired", nothing, later(11));
    set.good(
        "states-in-400-days",
        "states",
        "long after; what is overdue is wiped by the next change and not by a look",
        nothing,
        later(400),
    );
    set.good(
        "states-before",
        "states",
        "the clock stands before everything that happened",
        nothing,
        later(-400),
    );
    set.good("plain-in-100-days", "plain", "a key has expired and a grace is over", nothing, later(100));
}

/// Files that this program does not write and a reader must take all the same.
fn other_writers(set: &mut Set) {
    let mut good = |name: &str, comment: &str, make: &dyn Fn(&Forge)| {
        set.good(&format!("written-{name}"), "plain", comment, make, |_| ());
    };
    let key = |f: &Forge| Fields::of(&f.key("a"));
    // The writer that makes the malformed vectors makes good ones as well.
    good("again", "a key sealed anew in its place", &|f| f.put_key("a", &f.key("a")));
    good("chain-again", "the whole log sealed anew from k₀", &|f| f.put_chain(&f.events()));
    good("head-again", "the head of the chain sealed anew", &|f| {
        let (count, head) = f.head();
        f.put_head(count, &head);
    });
    good("scope-again", "a scope sealed anew", &|f| {
        f.put_object(SCOPE, b"s", &tags_plain(b"s", &f.members("s")));
    });
    good("names-again", "a bucket of names sealed anew", &|f| {
        let bucket = bucket_of(&f.key_tag("a"));
        f.put_padded_names(bucket, &pad(&names_plain(bucket, &[b"a"])));
    });
    good("value-again", "a value sealed anew under a new key", &|f| {
        let id = f.id("a");
        let key = f.rng.array::<32>();
        let value = f.value(&id, 2);
        put_version(f, "a", 2, &key, &pad(&value));
    });
    good("key-wrapped-again", "a version's key wrapped anew, and its value as it was", &|f| {
        let id = f.id("a");
        let key = f.version_key(&id, 2);
        let wrapped = f.seal(&f.keys.wrapping, "keyvault version key", wrapped_at(&id, 2), key.expose());
        enter_version(f, "a", 2, &wrapped, &f.version_row("sealed", &id, 2));
    });
    for (kind, name) in
        [(10, "ecdsa-p256"), (11, "ecdsa-p384"), (12, "ssh-ecdsa-p256"), (13, "ssh-ecdsa-p384")]
    {
        good(&format!("recipe-{name}"), &format!("a key of the recipe {name}"), &|f| {
            let recipe = Encoder::new().u8(1).u8(kind).u32(0).bytes(b"").bytes(b"").finish();
            f.put_key("a", &key(f).with("recipe", recipe).encode());
        });
    }
    good("pending", "a version is pending", &|f| f.put_key("a", &key(f).with("state 2", [1]).encode()));
    for (object, noun) in [("key a", "a key"), ("scope s", "a scope"), ("names a", "a bucket of names")] {
        let word = object.split(' ').next().unwrap();
        let comment = format!("{noun} was rewritten 2^63 − 1 times");
        good(&format!("revision-of-{word}"), &comment, &|f| {
            let (kind, tag) = f.place(object);
            let last = u64::MAX >> 1;
            f.put_row(kind, &tag, last, &f.seal_object(kind, &tag, last, &f.padded(kind, &tag)));
            f.sign();
        });
    }
    good("times", "times before 1970 and at the end of what fits", &|f| {
        let fields = key(f).with("created", i64::MIN.to_le_bytes());
        let fields = fields.with("expires", [&[1][..], &i64::MAX.to_le_bytes()].concat());
        f.put_key("a", &fields.with("created 1", (-1_i64).to_le_bytes()).encode());
    });
    good("every-field", "a key with a content in every field", &|f| {
        let rotation = Encoder::new().u8(1).u8(2).u8(2).fixed(&[7; 16]).u32(1).i64(9).u8(2).finish();
        let fields = key(f).with("owner", text("payments")).with("display name", text("Stripe, \u{2713}"));
        let fields = fields.with("kind of value", [255]).with("public", [1]).with("decoy", [1, 1, 1]);
        let fields = fields.with("rotate every", [&[1][..], &u64::MAX.to_le_bytes()].concat());
        let fields = fields.with("warn", [1, 0, 0, 0, 0, 0, 0, 0, 0]).with("unit", [1; 17]);
        let fields = fields.with("rotation", rotation).with("origin 1", [3]);
        f.put_key("a", &fields.encode());
    });
    good("disabled", "a key is disabled", &|f| {
        let disabled = Encoder::new().u8(1).i64(7).bytes(b"leaked?").finish();
        f.put_key("a", &key(f).with("disabled", disabled).encode());
    });
    good("variable", "a variable that runs code was stored before that was known", &|f| {
        f.put_key("a", &key(f).with("variable", text("LD_PRELOAD")).encode());
    });
    good("version-numbers", "versions with gaps between their numbers", &|f| {
        let fields = key(f).with("next", 4_000_000_000_u32.to_le_bytes());
        f.put_key("a", &fields.encode());
    });
    good("no-versions", "a key without a version", &|f| {
        let mut head = key(f).head();
        let count = head.len() - 4;
        head[count..].fill(0);
        f.sql("DELETE FROM version WHERE key = {id a}");
        f.put_key("a", &[head, vec![0; 4]].concat());
    });
    good(
        "odd-fields",
        "a key, a scope, a bucket of names, and an event have odd fields of a later version",
        &|f| {
            f.put_key("a", &key(f).with("extensions", ODD).encode());
            let bucket = bucket_of(&f.key_tag("a"));
            f.put_padded_names(bucket, &pad(&with_odd_field(&names_plain(bucket, &[b"a"]))));
            f.put_object(SCOPE, b"s", &with_odd_field(&tags_plain(b"s", &f.members("s"))));
            let mut events = f.events();
            let (change, padded) = events.pop().unwrap();
            events.push((change, pad(&with_odd_field(&unpad(&padded)))));
            f.put_chain(&events);
        },
    );
    let later = [text("later"), b"what a later version says".to_vec()].concat();
    for kind in [6, 9, 16, 18, 31, 32, 127, 128, 130, 255] {
        let comment = format!("there is an object of kind {kind}, which the tree knows");
        good(&format!("object-of-kind-{kind}"), &comment, &|f| f.put_object(kind, b"later", &later));
    }
    good("objects-of-later-kinds", "there are objects of several later kinds, two of one", &|f| {
        for (kind, name) in [(9, "later"), (9, "another"), (13, "a"), (130, "later"), (255, "")] {
            f.put_object(kind, name.as_bytes(), &[text(name), vec![7; 300]].concat());
        }
    });
    good("object-of-a-binary-name", "the name of an object of kind 13 is no text", &|f| {
        f.put_object(13, b"\xff\0\xfe", &text(b"\xff\0\xfe"));
    });
    good("object-of-the-name-of-a-key", "an object of kind 9 has the name of a key", &|f| {
        f.put_object(9, b"a", &text("a"));
    });
    set.good(
        "written-tokens-again",
        "machines",
        "the list of tokens sealed anew",
        |f| f.put_object(TOKENS, b"", &tags_plain(b"", &f.tokens())),
        |_| (),
    );
    set.good(
        "written-tokens-odd-field",
        "machines",
        "the list of tokens has an odd field of a later version",
        |f| f.put_object(TOKENS, b"", &with_odd_field(&tags_plain(b"", &f.tokens()))),
        |_| (),
    );
}

/// Extensions with field 101, one byte.
const ODD: [u8; 11] = [1, 0, 0, 0, 101, 0, 1, 0, 0, 0, 9];

/// A structure without extensions, with that one.
fn with_odd_field(plain: &[u8]) -> Vec<u8> {
    [&plain[..plain.len() - 4], &ODD].concat()
}

/// Seals a version's row with this key and this plaintext, and enters it in the key.
pub(crate) fn put_version(f: &Forge, name: &str, version: u32, key: &[u8], padded: &[u8]) {
    let id = f.id(name);
    let wrapped = f.seal(&f.keys.wrapping, "keyvault version key", wrapped_at(&id, version), key);
    let key = keyvault_core::crypto::SealingKey::from_bytes(&[key, &[0; 32]].concat()[..32]).unwrap();
    let sealed = f.seal(&key, "keyvault value", at("version", &id, version, 0), padded);
    enter_version(f, name, version, &wrapped, &sealed);
}

/// Writes a version's row and what the key keeps of it.
pub(crate) fn enter_version(f: &Forge, name: &str, version: u32, wrapped: &[u8], sealed: &[u8]) {
    let id = f.id(name);
    let condition = format!("key = {{id {name}}} AND version = {version}");
    f.put("version", "wrapped", &condition, wrapped);
    f.put("version", "sealed", &condition, sealed);
    let digest = [&[1][..], &f.version_digest(&id, version)].concat();
    f.put_key(name, &Fields::of(&f.key(name)).with(&format!("digest {version}"), digest).encode());
}
