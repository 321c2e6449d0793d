//! Vectors whose tree and record are right, made by a bearer of all keys, with texts that were sealed for another place.

use keyvault_core::crypto::{self, SealingKey, Signed, SigningKey};
use keyvault_core::identity::Identity;

use super::forge::{
    At, Forge, KEY, Keys, NAMES, OWN, OWN_LOG, Record, SCOPE, TOKEN, TOKENS, at, context, object_row, pad,
    wrapped_at,
};
use super::good::{enter_version, put_version};
use super::set::{Fails, Set};
use crate::by_hand::Encoder;

/// In what a place differs from the right one.
struct Slip {
    word: &'static str,
    comment: &'static str,
    identity: fn(Identity) -> Identity,
    place: for<'a> fn(At<'a>) -> At<'a>,
    label: fn(&str) -> String,
}

const HERE: Slip =
    Slip { word: "", comment: "", identity: |identity| identity, place: |place| place, label: str::to_owned };

/// A wrapped key and a sealed value.
type Texts = (Vec<u8>, Vec<u8>);

fn slips() -> Vec<Slip> {
    vec![
        Slip {
            word: "vault",
            comment: "for another vault",
            identity: |identity| Identity { vault_id: [0x5a; 16], ..identity },
            ..HERE
        },
        Slip {
            word: "epoch",
            comment: "for another epoch",
            identity: |identity| Identity { epoch: identity.epoch + 1, ..identity },
            ..HERE
        },
        Slip {
            word: "table",
            comment: "for another table",
            place: |place| At { table: "leaf", ..place },
            ..HERE
        },
        Slip {
            word: "row",
            comment: "for another row",
            place: |place| At { row: &[9; 16], ..place },
            ..HERE
        },
        Slip {
            word: "version",
            comment: "for another version",
            place: |place| At { version: place.version + 1, ..place },
            ..HERE
        },
        Slip {
            word: "field",
            comment: "for another field",
            place: |place| At { field: "header", ..place },
            ..HERE
        },
        Slip {
            word: "revision",
            comment: "for another revision",
            place: |place| At { revision: place.revision + 1, ..place },
            ..HERE
        },
        Slip {
            word: "bound",
            comment: "bound to something",
            place: |place| At { bound: b"x", ..place },
            ..HERE
        },
        Slip { word: "label", comment: "under another label", label: |label| format!("{label}s"), ..HERE },
    ]
}

fn sealed(f: &Forge, key: &SealingKey, label: &str, place: At<'_>, slip: &Slip, plain: &[u8]) -> Vec<u8> {
    let context = context(&(slip.identity)(f.identity), (slip.place)(place));
    crypto::seal(key, &(slip.label)(label), &context, plain, &f.rng).unwrap()
}

fn flipped(key: &SealingKey) -> SealingKey {
    let mut bytes = *key.expose();
    bytes[0] ^= 1;
    SealingKey::from_bytes(&bytes).unwrap()
}

/// Objects that are sealed elsewhere: the base, its words, the step at which it fails, and the row that a check names.
const OBJECTS: [(&str, &str, &str, &str, &str); 5] = [
    ("plain", "key a", "key", "read a", "key {key a}"),
    ("plain", "scope s", "scope", "scope s", "scope s"),
    ("plain", "names a", "names", "names", "names {bucket a}"),
    ("machines", "tokens", "tokens", "tokens", "tokens"),
    ("machines", "token ci", "token", "tokens", "token {token ci}"),
];

pub(crate) fn all(set: &mut Set) {
    for (base, object, word, step, row) in OBJECTS {
        for slip in slips() {
            let comment = format!("'{object}' is sealed {}", slip.comment);
            let fails = format!("{word}-seal");
            set.forged(&format!("{word}-for-{}", slip.word), base, Fails(&fails, step, row), &comment, |f| {
                reseal(f, object, &f.keys.metadata, &slip)
            });
        }
    }
    for slip in slips() {
        let word = slip.word;
        if ["vault", "epoch", "table", "row", "revision", "label"].contains(&word) {
            set.bad(
                &format!("event-for-{word}"),
                Fails("event-seal", "log", "log"),
                &format!("the last event is sealed {}, under a right MAC", slip.comment),
                |f| last_event(f, &f.keys.events, &slip),
            );
            set.bad(
                &format!("head-for-{word}"),
                Fails("head-seal", "log", "log"),
                &format!("the chain's head is sealed {}", slip.comment),
                |f| {
                    let (count, plain) = f.head();
                    let place = at("log_head", &[], 0, count);
                    let text = sealed(f, &f.keys.append, "keyvault audit head", place, &slip, &plain);
                    f.put("log_head", "sealed", OWN, &text);
                },
            );
        }
        if ["vault", "epoch", "table", "row", "version", "field", "label"].contains(&word) {
            let row = "key a version 2";
            set.bad(
                &format!("version-wrapped-for-{word}"),
                Fails("version-key-seal", "read a", row),
                &format!("a version's key is wrapped {}", slip.comment),
                |f| {
                    let id = f.id("a");
                    let (key, place) = (f.version_key(&id, 2), wrapped_at(&id, 2));
                    let wrapped =
                        sealed(f, &f.keys.wrapping, "keyvault version key", place, &slip, key.expose());
                    enter_version(f, "a", 2, &wrapped, &f.version_row("sealed", &id, 2));
                },
            );
            set.bad(
                &format!("version-sealed-for-{word}"),
                Fails("value-seal", "read a", row),
                &format!("a value is sealed {}", slip.comment),
                |f| {
                    let id = f.id("a");
                    let (plain, place) = (pad(&f.value(&id, 2)), at("version", &id, 2, 0));
                    let text = sealed(f, &f.version_key(&id, 2), "keyvault value", place, &slip, &plain);
                    enter_version(f, "a", 2, &f.version_row("wrapped", &id, 2), &text);
                },
            );
        }
    }
    kinds(set);
    versions(set);
    keys(set);
    record(set);
    chain(set);
}

/// Seals what an object holds once more, in another place or under another key, and signs.
fn reseal(f: &Forge, object: &str, key: &SealingKey, slip: &Slip) {
    let (kind, tag) = f.place(object);
    let (row, revision, plain) = (object_row(kind, &tag), f.revision(kind, &tag), f.padded(kind, &tag));
    let text = sealed(f, key, "keyvault object", at("object", &row, 0, revision), slip, &plain);
    f.put_row(kind, &tag, revision, &text);
    f.sign();
}

/// Objects of one kind as another's, all of them known to the tree.
fn kinds(set: &mut Set) {
    let names = [
        (KEY, "key a", "read a", "key {key a}"),
        (SCOPE, "scope s", "scope s", "scope s"),
        (NAMES, "names a", "names", "names {bucket a}"),
        (TOKEN, "token ci", "tokens", "token {token ci}"),
        (TOKENS, "tokens", "tokens", "tokens"),
    ];
    for (kind, object, step, row) in names {
        let word = object.split(' ').next().unwrap();
        let seal = format!("{word}-seal");
        for (_, other, ..) in names.iter().filter(|(other, ..)| *other != kind) {
            // The seal of another object, under this one's leaf.
            let from = other.split(' ').next().unwrap();
            set.forged(
                &format!("{word}-with-the-seal-of-{from}"),
                "machines",
                Fails(&seal, step, row),
                &format!("'{object}' has the row of '{other}', and the tree knows it"),
                |f| {
                    let (kind, tag) = f.place(object);
                    let text = f.blob(&format!("SELECT sealed FROM object WHERE {{at {other}}}"));
                    f.put_row(kind, &tag, f.revision(kind, &tag), &text);
                    f.sign();
                },
            );
        }
        for other in [9, 130] {
            set.forged(
                &format!("{word}-for-kind-{other}"),
                "machines",
                Fails(&seal, step, row),
                &format!("'{object}' is sealed as an object of kind {other}"),
                |f| {
                    let (kind, tag) = f.place(object);
                    let revision = f.revision(kind, &tag);
                    let text = f.seal_object(other, &tag, revision, &f.padded(kind, &tag));
                    f.put_row(kind, &tag, revision, &text);
                    f.sign();
                },
            );
        }
        let malformed = format!("{word}-malformed");
        for (other, words) in [(KEY, "key b"), (SCOPE, "scope t"), (NAMES, "names b"), (TOKENS, "tokens")] {
            if other == kind {
                continue;
            }
            let from = words.split(' ').next().unwrap();
            set.forged(
                &format!("{word}-with-what-is-in-{from}"),
                "machines",
                Fails(&malformed, step, row),
                &format!("'{object}' holds what belongs into '{words}'"),
                |f| {
                    let ((kind, tag), (other, from)) = (f.place(object), f.place(words));
                    f.put_padded(kind, &tag, &f.padded(other, &from));
                },
            );
        }
    }
}

/// Wrapped keys and values in one another's place, all of them named by the key.
fn versions(set: &mut Set) {
    let row = "key a version 2";
    let wrapped = Fails("version-key-seal", "read a", row);
    let value = Fails("value-seal", "read a", row);
    let mut bad = |name: &str, fails, comment: &str, make: &dyn Fn(&Forge) -> Texts| {
        set.bad(name, fails, comment, |f| {
            let (wrapped, sealed) = make(f);
            enter_version(f, "a", 2, &wrapped, &sealed);
        });
    };
    let of = |f: &Forge, column: &str, name: &str, version: u32| f.version_row(column, &f.id(name), version);
    bad(
        "version-bound-wrapped-of-another-version",
        wrapped,
        "a version has the wrapped key of the version before, and the key names it",
        &|f| (of(f, "wrapped", "a", 1), of(f, "sealed", "a", 2)),
    );
    bad(
        "version-bound-wrapped-of-another-key",
        wrapped,
        "a version has the wrapped key of another key's version, and the key names it",
        &|f| (of(f, "wrapped", "d", 1), of(f, "sealed", "a", 2)),
    );
    bad(
        "version-bound-sealed-of-another-version",
        value,
        "a version has the sealed value of the version before, and the key names it",
        &|f| (of(f, "wrapped", "a", 2), of(f, "sealed", "a", 1)),
    );
    bad(
        "version-bound-sealed-of-another-key",
        value,
        "a version has the sealed value of another key, and the key names it",
        &|f| (of(f, "wrapped", "a", 2), of(f, "sealed", "d", 1)),
    );
    bad(
        "version-bound-row-of-another-version",
        wrapped,
        "a version has the row of the version before, and the key names it",
        &|f| (of(f, "wrapped", "a", 1), of(f, "sealed", "a", 1)),
    );
    bad(
        "version-bound-row-of-another-key",
        wrapped,
        "a version has the row of another key's version, and the key names it",
        &|f| (of(f, "wrapped", "d", 1), of(f, "sealed", "d", 1)),
    );
    bad(
        "version-bound-turned",
        wrapped,
        "a version's wrapped key and sealed value have changed places, and the key names them",
        &|f| (of(f, "sealed", "a", 2), of(f, "wrapped", "a", 2)),
    );
    // The key of the version before, wrapped in its place: its value opens there, and not here.
    bad(
        "version-bound-key-of-another-version",
        value,
        "the key of the version before is wrapped in this one's place with its value beside it",
        &|f| {
            let (id, key) = (f.id("a"), f.version_key(&f.id("a"), 1));
            let wrapped = f.seal(&f.keys.wrapping, "keyvault version key", wrapped_at(&id, 2), key.expose());
            (wrapped, of(f, "sealed", "a", 1))
        },
    );
    bad(
        "version-bound-key-of-another-key",
        value,
        "the key of another key's version is wrapped in this one's place with its value beside it",
        &|f| {
            let (id, key) = (f.id("a"), f.version_key(&f.id("d"), 1));
            let wrapped = f.seal(&f.keys.wrapping, "keyvault version key", wrapped_at(&id, 2), key.expose());
            (wrapped, of(f, "sealed", "d", 1))
        },
    );
    bad(
        "version-bound-wrapped-as-sealed",
        value,
        "what is sealed as the value is the version's key, wrapped",
        &|f| (of(f, "wrapped", "a", 2), of(f, "wrapped", "a", 2)),
    );
}

/// The last event anew under a key and in a place, with the MAC that its text must have.
fn last_event(f: &Forge, events: &SealingKey, slip: &Slip) {
    let mut all = f.events();
    let (_, plain) = all.pop().unwrap();
    let count = all.len() as u64;
    let mut key = f.first_key();
    (0..count).for_each(|_| key = key.derive("keyvault audit step", &[]));
    let before: [u8; 32] =
        f.blob(&format!("SELECT mac FROM log WHERE id = {}", count - 1)).try_into().unwrap();
    let row = count.to_le_bytes();
    let place = At { bound: &before, ..at("log", &row, 0, 0) };
    let text = sealed(f, events, "keyvault audit event", place, slip, &plain);
    let head = Encoder::new().u64(count).u8(0).fixed(&before).bytes(&text).finish();
    let mac = key.mac(&[b"keyvault audit entry", &head]);
    f.put("log", "sealed", &format!("id = {count}"), &text);
    f.put("log", "mac", &format!("id = {count}"), &mac);
    f.put_head(count + 1, &[&mac[..], key.derive("keyvault audit step", &[]).expose()].concat());
}

fn keys(set: &mut Set) {
    let key = Fails("key-seal", "read a", "key {key a}");
    set.bad("key-under-wrapping-key", key, "a key's metadata is sealed under the wrapping key", |f| {
        reseal(f, "key a", &f.keys.wrapping, &HERE);
    });
    set.bad("key-under-root", key, "a key's metadata is sealed under root", |f| {
        reseal(f, "key a", &f.keys.root, &HERE);
    });
    set.bad(
        "key-under-key-of-another-epoch",
        key,
        "a key's metadata is sealed under the metadata key that would follow from root in the next epoch",
        |f| {
            let next = Identity { epoch: f.identity.epoch + 1, ..f.identity };
            let keys = Keys::of(SealingKey::from_bytes(f.keys.root.expose()).unwrap(), &next);
            reseal(f, "key a", &keys.metadata, &HERE);
        },
    );
    let row = "key a version 2";
    set.bad(
        "version-sealed-under-metadata-key",
        Fails("value-seal", "read a", row),
        "a value is sealed under the metadata key instead of its own",
        |f| {
            let id = f.id("a");
            let wrapped = f.version_row("wrapped", &id, 2);
            let plain = pad(&f.value(&id, 2));
            let text = f.seal(&f.keys.metadata, "keyvault value", at("version", &id, 2, 0), &plain);
            enter_version(f, "a", 2, &wrapped, &text);
        },
    );
    set.bad(
        "version-wrapped-under-metadata-key",
        Fails("version-key-seal", "read a", row),
        "a version's key is sealed under the metadata key",
        |f| {
            let id = f.id("a");
            let wrapped = f.seal(
                &f.keys.metadata,
                "keyvault version key",
                wrapped_at(&id, 2),
                f.version_key(&id, 2).expose(),
            );
            let value = f.version_row("sealed", &id, 2);
            enter_version(f, "a", 2, &wrapped, &value);
        },
    );
    for (word, len) in [("short", 31), ("long", 33), ("empty", 0)] {
        set.bad(
            &format!("version-wrapped-{word}-plaintext"),
            Fails("version-key-seal", "read a", row),
            &format!("a version's key has {len} bytes"),
            |f| {
                let id = f.id("a");
                let value = pad(&f.value(&id, 2));
                put_version(f, "a", 2, &[5; 33][..len], &value);
            },
        );
    }
    set.bad(
        "version-wrapped-exchanged",
        Fails("value-seal", "read a", row),
        "a version's key is another one than the value is sealed under",
        |f| {
            let id = f.id("a");
            let wrapped = f.seal(&f.keys.wrapping, "keyvault version key", wrapped_at(&id, 2), &[6; 32]);
            let value = f.version_row("sealed", &id, 2);
            enter_version(f, "a", 2, &wrapped, &value);
        },
    );
    set.bad(
        "event-under-append-key",
        Fails("event-seal", "log", "log"),
        "the last event is sealed under the key of the head, and has the right MAC",
        |f| last_event(f, &f.keys.append, &HERE),
    );
    set.bad(
        "head-under-events-key",
        Fails("head-seal", "log", "log"),
        "the chain's head is sealed under the key of the events",
        |f| {
            let (count, plain) = f.head();
            let text = f.seal(&f.keys.events, "keyvault audit head", at("log_head", &[], 0, count), &plain);
            f.put("log_head", "sealed", OWN, &text);
        },
    );
    let seed = Fails("seed-seal", "log", "");
    let put_seed = |f: &Forge, text: &[u8]| {
        f.put("vault", "chain_seed", "id = 1", text);
        f.sign();
    };
    let place = At { field: "chain_seed", ..at("vault", &[], 0, 0) };
    set.bad("seed-under-daily-key", seed, "k₀ is sealed under a daily key, and the tree knows it", |f| {
        put_seed(f, &f.seal(&f.keys.metadata, "keyvault audit seed", place, f.first_key().expose()));
    });
    set.bad("seed-for-field", seed, "k₀ is sealed for another field, and the tree knows it", |f| {
        put_seed(
            f,
            &f.seal(&f.keys.seed, "keyvault audit seed", at("vault", &[], 0, 0), f.first_key().expose()),
        );
    });
    set.bad("seed-short", seed, "k₀ has 31 bytes, and the tree knows it", |f| {
        put_seed(f, &f.seal(&f.keys.seed, "keyvault audit seed", place, &f.first_key().expose()[..31]));
    });
    set.bad(
        "seed-other",
        Fails("entry-mac", "log", "log"),
        "k₀ is another one than the chain was made from, and the tree knows it",
        |f| put_seed(f, &f.seal(&f.keys.seed, "keyvault audit seed", place, &[3; 32])),
    );
}

fn record(set: &mut Set) {
    let fails = Fails("record", "state", "");
    let with = |f: &Forge, make: &dyn Fn(Record) -> Record| f.put_record(&make(f.record()));
    set.bad("record-under-tree-key", fails, "the record's MAC is made with the tree key", |f| {
        f.put_record_bytes(&f.record().encode(), &f.keys.tree);
    });
    set.bad("record-under-daily-flip", fails, "another root, under a MAC made with another key", |f| {
        let record = Record { root: [1; 16], ..f.record() };
        f.put_record_bytes(&record.encode(), &flipped(&f.keys.state));
    });
    set.bad("record-forged-change", fails, "a higher change, under a MAC made with another key", |f| {
        let record = Record { change: 1000, ..f.record() };
        f.put_record_bytes(&record.encode(), &flipped(&f.keys.state));
    });
    set.bad("record-forged-count", fails, "another count, under a MAC made with another key", |f| {
        let record = Record { count: 1, ..f.record() };
        f.put_record_bytes(&record.encode(), &flipped(&f.keys.state));
    });
    set.bad("record-mac-without-label", fails, "the record's MAC is made without its label", |f| {
        let record = f.record().encode();
        let both = Encoder::new().bytes(&record).bytes(&f.blob("SELECT signature FROM state")).finish();
        let mac = f.keys.state.mac(&[&both]);
        f.put("state", "mac", "id = 1", &mac);
    });
    set.bad("record-authentic-format", fails, "an authentic record of another layout", |f| {
        with(f, &|record| Record { format: 2, ..record });
    });
    set.bad("record-authentic-vault", fails, "an authentic record of another vault", |f| {
        with(f, &|record| Record { vault: [8; 16], ..record });
    });
    set.bad("record-authentic-epoch", fails, "an authentic record of another epoch", |f| {
        with(f, &|record| Record { epoch: 2, ..record });
    });
    set.bad("record-authentic-long", fails, "an authentic record with a byte more", |f| {
        f.put_record_bytes(&[&f.record().encode()[..], &[0]].concat(), &f.keys.state);
    });
    set.bad("record-authentic-short", fails, "an authentic record with a byte less", |f| {
        f.put_record_bytes(&f.record().encode()[..148], &f.keys.state);
    });
    set.bad(
        "record-authentic-change-highest",
        fails,
        "an authentic record of a change beyond all numbers",
        |f| {
            with(f, &|record| Record { change: 1 << 62, ..record });
        },
    );
    set.bad("record-authentic-count-highest", fails, "an authentic record that counts 2^32 entries", |f| {
        with(f, &|record| Record { count: 1 << 32, ..record });
    });
    set.bad(
        "record-authentic-signer-kind",
        fails,
        "an authentic record whose signer is of an unknown kind",
        |f| {
            let mut record = f.record().encode();
            record[128] = 2;
            f.put_record_bytes(&record, &f.keys.state);
        },
    );
    let newer = Fails("record-newer", "state", "");
    let field = |number: u8| [&[1, 0, 0, 0, number, 0][..], &[1, 0, 0, 0, 9]].concat();
    set.bad("record-authentic-even-field", newer, "an authentic record with an even field", |f| {
        with(f, &|record| Record { extensions: field(2), ..record });
    });
    set.bad("record-authentic-fields-repeated", fails, "an authentic record with a field twice", |f| {
        let twice = [&[2, 0, 0, 0][..], &field(1)[4..], &field(1)[4..]].concat();
        with(f, &|record| Record { extensions: twice.clone(), ..record });
    });
    let signature = Fails("record-signature", "check", "state");
    set.bad(
        "record-authentic-other-signer",
        signature,
        "an authentic record that names another signer",
        |f| {
            with(f, &|record| Record { signer: [1; 16], ..record });
        },
    );
    set.bad("record-authentic-unsigned", signature, "an authentic record with an empty signature", |f| {
        f.put_signed_record(&f.record().encode(), &[0; 4], &f.keys.state);
    });
    set.bad(
        "record-authentic-signed-by-another",
        signature,
        "an authentic record that another key has signed",
        |f| {
            let record = f.record().encode();
            let other = SigningKey::of_seed(flipped(&f.keys.state));
            let signature = other.sign(Signed::Record, &f.identity, &record);
            f.put_signed_record(&record, &signature, &f.keys.state);
        },
    );
    set.bad(
        "record-authentic-signed-as-a-view",
        signature,
        "an authentic record whose signature is one of a view",
        |f| {
            let record = f.record().encode();
            let signature = f.keys.signing.sign(Signed::View, &f.identity, &record);
            f.put_signed_record(&record, &signature, &f.keys.state);
        },
    );
    set.bad(
        "record-authentic-root",
        Fails("tree-path", "state", ""),
        "an authentic record of another root",
        |f| with(f, &|record| Record { root: [1; 16], ..record }),
    );
    let chain = Fails("record-chain", "state", "");
    set.bad("record-authentic-count-lower", chain, "an authentic record that counts an entry less", |f| {
        with(f, &|record| Record { count: record.count - 1, ..record });
    });
    set.bad("record-authentic-count-higher", chain, "an authentic record that counts an entry more", |f| {
        with(f, &|record| Record { count: record.count + 1, ..record });
    });
    set.bad(
        "record-authentic-count-beyond",
        chain,
        "an authentic record that counts more entries than there are",
        |f| with(f, &|record| Record { count: 1000, ..record }),
    );
    set.bad("record-authentic-count-zero", chain, "an authentic record that counts no entry", |f| {
        with(f, &|record| Record { count: 0, ..record });
    });
    set.bad("record-authentic-mac", chain, "an authentic record with another MAC of the last entry", |f| {
        with(f, &|record| Record { head: [2; 32], ..record });
    });
    let event = Fails("record-event", "check", "state");
    set.bad("record-authentic-change", event, "an authentic record of another change than its entry", |f| {
        with(f, &|record| Record { change: record.change + 1, ..record });
    });
    set.bad(
        "record-authentic-previous",
        event,
        "an authentic record after another one than its entry says",
        |f| with(f, &|record| Record { previous: [4; 32], ..record }),
    );
    set.bad("record-authentic-read", event, "an authentic record that names the entry of a read", |f| {
        let last = f.number(&format!("SELECT max(id) FROM log WHERE {OWN_LOG}"));
        let head = f.blob(&format!("SELECT mac FROM log WHERE id = {last}")).try_into().unwrap();
        with(f, &|record| Record { count: last.cast_unsigned() + 1, head, ..record });
    });
}

fn chain(set: &mut Set) {
    let log = |reason| Fails(reason, "log", "log");
    set.bad("head-other-mac", log("head-last"), "the head holds another MAC than the last entry's", |f| {
        let (count, mut plain) = f.head();
        plain[0] ^= 1;
        f.put_head(count, &plain);
    });
    set.bad("head-other-key", log("head-key"), "the head holds another key than follows from k₀", |f| {
        let (count, mut plain) = f.head();
        plain[40] ^= 1;
        f.put_head(count, &plain);
    });
    set.bad("head-first-key", log("head-key"), "the head holds k₀ as the next entry's key", |f| {
        let (count, plain) = f.head();
        f.put_head(count, &[&plain[..32], f.first_key().expose()].concat());
    });
    set.bad("head-short", log("head-malformed"), "the head has 63 bytes", |f| {
        let (count, plain) = f.head();
        f.put_head(count, &plain[..63]);
    });
    set.bad("head-long", log("head-malformed"), "the head has 65 bytes", |f| {
        let (count, plain) = f.head();
        f.put_head(count, &[&plain[..], &[0]].concat());
    });
    set.bad("head-none", log("head-malformed"), "the head has no bytes", |f| f.put_head(f.head().0, &[]));
    set.bad("head-authentic-count", log("head-count"), "an authentic head that counts an entry more", |f| {
        let (count, plain) = f.head();
        f.put_head(count + 1, &plain);
    });
    // Forgeries by a stolen session, which has every key but those of the past. Links hold; the start does not.
    set.bad(
        "chain-from-another-start",
        log("entry-mac"),
        "the whole log is sealed anew from another k₀ than the header's",
        |f| {
            let seed = f.blob("SELECT chain_seed FROM vault");
            let place = At { field: "chain_seed", ..at("vault", &[], 0, 0) };
            let other = f.seal(&f.keys.seed, "keyvault audit seed", place, &[3; 32]);
            f.put("vault", "chain_seed", "id = 1", &other);
            f.put_chain(&f.events());
            f.put("vault", "chain_seed", "id = 1", &seed);
        },
    );
    set.bad(
        "chain-last-mac-other-key",
        log("entry-mac"),
        "the last entry's MAC is made with another key, and the head names it",
        |f| {
            let last = f.number(&format!("SELECT max(id) FROM log WHERE {OWN_LOG}"));
            let mac = flipped(&f.keys.append).mac(&[b"keyvault audit entry"]);
            f.put("log", "mac", &format!("id = {last}"), &mac);
            let (count, plain) = f.head();
            f.put_head(count, &[&mac[..], &plain[32..]].concat());
        },
    );
}
