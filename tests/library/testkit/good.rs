//! Vectors that open, with all that they hold.

use super::bases::DAY;
use super::forge::{Fields, Forge, at, text};
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
        "many", "changed", "long", "adopted",
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
    let item = |f: &Forge| Fields::of(&f.item("a"));
    // The writer that makes the malformed vectors makes good ones as well.
    good("again", "a key's metadata sealed anew in its place", &|f| f.put_item("a", &f.item("a")));
    good("chain-again", "the whole log sealed anew from k₀", &|f| f.put_chain(&f.events()));
    good("head-again", "the head of the chain sealed anew", &|f| {
        let (count, head) = f.head();
        f.put_head(count, &head);
    });
    good("scope-again", "a scope sealed anew", &|f| {
        let tag = f.tag(super::forge::SCOPE, b"s");
        let members = f.members("s");
        let count = u32::try_from(members.len()).unwrap();
        f.put_padded_scope(
            "s",
            &super::forge::pad(&super::forge::scope_plain(b"s", count, &f.members_digest(&tag, &members))),
        );
    });
    good("names-again", "a bucket of names sealed anew", &|f| {
        let bucket = super::forge::bucket_of(&f.item_tag("a"));
        let names = [&1_u32.to_le_bytes()[..], &text("a"), &[0; 4]].concat();
        f.put_padded_directory(bucket, &super::forge::pad(&names));
    });
    good("value-again", "a value sealed anew under a new key", &|f| {
        let id = f.id("a");
        let key = f.rng.array::<32>();
        let value = f.value(&id, 2);
        put_version(f, "a", 2, &key, &super::forge::pad(&value));
    });
    good("pending", "a version is pending", &|f| f.put_item("a", &item(f).with("state 2", [1]).encode()));
    good("revision", "a key was rewritten 2^63 − 1 times", &|f| {
        let (tag, plain) = (f.item_tag("a"), f.padded_item("a"));
        let last = u64::MAX >> 1;
        let sealed = f.seal(&f.keys.metadata, "keyvault item", at("item", &tag, 0, last), &plain);
        f.sql("UPDATE item SET revision = 9223372036854775807 WHERE tag = {item a}");
        f.put("item", "sealed", "tag = {item a}", &sealed);
        f.sign();
    });
    good("times", "times before 1970 and at the end of what fits", &|f| {
        let fields = item(f).with("created", i64::MIN.to_le_bytes());
        let fields = fields.with("expires", [&[1][..], &i64::MAX.to_le_bytes()].concat());
        f.put_item("a", &fields.with("created 1", (-1_i64).to_le_bytes()).encode());
    });
    good("every-field", "a key with a content in every field", &|f| {
        let rotation = Encoder::new().u8(1).u8(2).u8(2).fixed(&[7; 16]).u32(1).i64(9).u8(2).finish();
        let fields = item(f).with("owner", text("payments")).with("display name", text("Stripe, \u{2713}"));
        let fields = fields.with("kind of value", [255]).with("public", [1]).with("decoy", [1, 1, 1]);
        let fields = fields.with("rotate every", [&[1][..], &u64::MAX.to_le_bytes()].concat());
        let fields = fields.with("warn", [1, 0, 0, 0, 0, 0, 0, 0, 0]).with("unit", [1; 17]);
        let fields = fields.with("rotation", rotation).with("origin 1", [3]);
        f.put_item("a", &fields.encode());
    });
    good("disabled", "a key is disabled", &|f| {
        let disabled = Encoder::new().u8(1).i64(7).bytes(b"leaked?").finish();
        f.put_item("a", &item(f).with("disabled", disabled).encode());
    });
    good("variable", "a variable that runs code was stored before that was known", &|f| {
        f.put_item("a", &item(f).with("variable", text("LD_PRELOAD")).encode());
    });
    good("version-numbers", "versions with gaps between their numbers", &|f| {
        let fields = item(f).with("next", 4_000_000_000_u32.to_le_bytes());
        f.put_item("a", &fields.encode());
    });
    good("no-versions", "a key without a version", &|f| {
        let mut head = item(f).head();
        let count = head.len() - 4;
        head[count..].fill(0);
        f.sql("DELETE FROM version_key WHERE item = {id a}; DELETE FROM version_value WHERE item = {id a}");
        f.put_item("a", &[head, vec![0; 4]].concat());
    });
    good(
        "odd-fields",
        "a key, a scope, a bucket of names, and an event have odd fields of a later version",
        &|f| {
            // Field 3, one byte.
            let odd = [1, 0, 0, 0, 0xF1, 0xFF, 1, 0, 0, 0, 9];
            f.put_item("a", &item(f).with("extensions", odd).encode());
            let names = [&1_u32.to_le_bytes()[..], &text("a"), &odd].concat();
            f.put_padded_directory(super::forge::bucket_of(&f.item_tag("a")), &super::forge::pad(&names));
            let tag = f.tag(super::forge::SCOPE, b"s");
            let members = f.members("s");
            let count = u32::try_from(members.len()).unwrap();
            let scope = super::forge::scope_plain(b"s", count, &f.members_digest(&tag, &members));
            f.put_padded_scope("s", &super::forge::pad(&[&scope[..scope.len() - 4], &odd].concat()));
            let mut events = f.events();
            let (change, padded) = events.pop().unwrap();
            let event = super::forge::unpad(&padded);
            events.push((change, super::forge::pad(&[&event[..event.len() - 4], &odd].concat())));
            f.put_chain(&events);
        },
    );
}

/// Seals a version's rows with this key and this plaintext, and enters them in the metadata.
pub(crate) fn put_version(f: &Forge, name: &str, version: u32, key: &[u8], padded: &[u8]) {
    let id = f.id(name);
    let wrapped = f.seal(&f.keys.wrapping, "keyvault version key", at("version_key", &id, version, 0), key);
    let key = keyvault_core::crypto::SealingKey::from_bytes(&[key, &[0; 32]].concat()[..32]).unwrap();
    let sealed = f.seal(&key, "keyvault value", at("version_value", &id, version, 0), padded);
    enter_version(f, name, version, &wrapped, &sealed);
}

/// Writes a version's rows and what the metadata keeps of them.
pub(crate) fn enter_version(f: &Forge, name: &str, version: u32, wrapped: &[u8], sealed: &[u8]) {
    let id = f.id(name);
    let condition = format!("item = {{id {name}}} AND version = {version}");
    f.put("version_key", "sealed", &condition, wrapped);
    f.put("version_value", "sealed", &condition, sealed);
    let digest = [&[1][..], &f.version_digest(&id, version)].concat();
    f.put_item(name, &Fields::of(&f.item(name)).with(&format!("digest {version}"), digest).encode());
}
