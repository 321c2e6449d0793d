//! Vectors whose tree and record are right, made by a bearer of all keys, with texts that were sealed for another place.

use keyvault_core::crypto::{self, SealingKey, Signed, SigningKey};
use keyvault_core::identity::Identity;

use super::forge::{At, Forge, Keys, Record, at, bucket_of, context};
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

pub(crate) fn all(set: &mut Set) {
    let seal = |reason, step, row| Fails(reason, step, row);
    for slip in slips() {
        let word = slip.word;
        let item = seal("key-seal", "read a", "key {item a}");
        set.bad(
            &format!("item-for-{word}"),
            item,
            &format!("a key's metadata is sealed {}", slip.comment),
            |f| {
                put_item(f, &f.keys.metadata, &slip);
            },
        );
        if ["vault", "epoch", "row", "revision", "label"].contains(&word) {
            set.bad(
                &format!("scope-for-{word}"),
                seal("scope-seal", "scope s", "scope s"),
                &format!("a scope is sealed {}", slip.comment),
                |f| {
                    let (tag, revision) = (
                        f.tag(super::forge::SCOPE, b"s"),
                        f.number("SELECT revision FROM scope WHERE tag = {scope s}").cast_unsigned(),
                    );
                    let place = at("scope", &tag, 0, revision);
                    let plain = f.open(
                        &f.keys.metadata,
                        "keyvault scope",
                        place,
                        &f.blob("SELECT sealed FROM scope WHERE tag = {scope s}"),
                    );
                    let text = sealed(f, &f.keys.metadata, "keyvault scope", place, &slip, &plain);
                    f.put("scope", "sealed", "tag = {scope s}", &text);
                    f.sign();
                },
            );
            set.bad(
                &format!("names-for-{word}"),
                seal("names-seal", "names", "directory {names a}"),
                &format!("a bucket of names is sealed {}", slip.comment),
                |f| {
                    let bucket = [bucket_of(&f.item_tag("a"))];
                    let place = at(
                        "directory",
                        &bucket,
                        0,
                        f.number("SELECT revision FROM directory WHERE bucket = {names a}").cast_unsigned(),
                    );
                    let plain = f.open(
                        &f.keys.metadata,
                        "keyvault directory",
                        place,
                        &f.blob("SELECT sealed FROM directory WHERE bucket = {names a}"),
                    );
                    let text = sealed(f, &f.keys.metadata, "keyvault directory", place, &slip, &plain);
                    f.put("directory", "sealed", "bucket = {names a}", &text);
                    f.sign();
                },
            );
            set.bad(
                &format!("event-for-{word}"),
                seal("event-seal", "log", "audit"),
                &format!("the last event is sealed {}, under a right MAC", slip.comment),
                |f| last_event(f, &f.keys.events, &slip),
            );
            set.bad(
                &format!("head-for-{word}"),
                seal("head-seal", "log", "audit"),
                &format!("the chain's head is sealed {}", slip.comment),
                |f| {
                    let (count, plain) = f.head();
                    let text = sealed(
                        f,
                        &f.keys.append,
                        "keyvault audit head",
                        at("audit_head", &[], 0, count),
                        &slip,
                        &plain,
                    );
                    f.put("audit_head", "sealed", "id = 1", &text);
                },
            );
        }
        if ["vault", "epoch", "row", "version", "label"].contains(&word) {
            let row = "key a version 2";
            set.bad(
                &format!("version-key-for-{word}"),
                seal("version-key-seal", "read a", row),
                &format!("a version's key is sealed {}", slip.comment),
                |f| {
                    let id = f.id("a");
                    let place = at("version_key", &id, 2, 0);
                    let key = f.version_key(&id, 2);
                    let wrapped =
                        sealed(f, &f.keys.wrapping, "keyvault version key", place, &slip, key.expose());
                    let value =
                        f.blob("SELECT sealed FROM version_value WHERE item = {id a} AND version = 2");
                    enter_version(f, "a", 2, &wrapped, &value);
                },
            );
            set.bad(
                &format!("value-for-{word}"),
                seal("value-seal", "read a", row),
                &format!("a value is sealed {}", slip.comment),
                |f| {
                    let id = f.id("a");
                    let wrapped =
                        f.blob("SELECT sealed FROM version_key WHERE item = {id a} AND version = 2");
                    let plain = super::forge::pad(&f.value(&id, 2));
                    let text = sealed(
                        f,
                        &f.version_key(&id, 2),
                        "keyvault value",
                        at("version_value", &id, 2, 0),
                        &slip,
                        &plain,
                    );
                    enter_version(f, "a", 2, &wrapped, &text);
                },
            );
        }
    }
    keys(set);
    record(set);
    chain(set);
}

fn put_item(f: &Forge, key: &SealingKey, slip: &Slip) {
    let (tag, plain) = (f.item_tag("a"), f.padded_item("a"));
    let text = sealed(f, key, "keyvault item", at("item", &tag, 0, f.revision("a")), slip, &plain);
    f.put("item", "sealed", "tag = {item a}", &text);
    f.sign();
}

/// The last event anew under a key and in a place, with the MAC that its text must have.
fn last_event(f: &Forge, events: &SealingKey, slip: &Slip) {
    let mut all = f.events();
    let (_, plain) = all.pop().unwrap();
    let count = all.len() as u64;
    let mut key = f.first_key();
    (0..count).for_each(|_| key = key.derive("keyvault audit step", &[]));
    let before: [u8; 32] =
        f.blob(&format!("SELECT mac FROM audit WHERE seq = {}", count - 1)).try_into().unwrap();
    let row = count.to_le_bytes();
    let place = At { bound: &before, ..at("audit", &row, 0, 0) };
    let text = sealed(f, events, "keyvault audit event", place, slip, &plain);
    let head = Encoder::new().u64(count).u8(0).fixed(&before).bytes(&text).finish();
    let mac = key.mac(&[b"keyvault audit entry", &head]);
    f.put("audit", "sealed", &format!("seq = {count}"), &text);
    f.put("audit", "mac", &format!("seq = {count}"), &mac);
    f.put_head(count + 1, &[&mac[..], key.derive("keyvault audit step", &[]).expose()].concat());
}

fn keys(set: &mut Set) {
    let item = Fails("key-seal", "read a", "key {item a}");
    set.bad("item-under-wrapping-key", item, "a key's metadata is sealed under the wrapping key", |f| {
        put_item(f, &f.keys.wrapping, &HERE);
    });
    set.bad("item-under-root", item, "a key's metadata is sealed under root", |f| {
        put_item(f, &f.keys.root, &HERE);
    });
    set.bad(
        "item-under-key-of-another-epoch",
        item,
        "a key's metadata is sealed under the metadata key that would follow from root in the next epoch",
        |f| {
            let next = Identity { epoch: f.identity.epoch + 1, ..f.identity };
            let keys = Keys::of(SealingKey::from_bytes(f.keys.root.expose()).unwrap(), &next);
            put_item(f, &keys.metadata, &HERE);
        },
    );
    let row = "key a version 2";
    set.bad(
        "value-under-metadata-key",
        Fails("value-seal", "read a", row),
        "a value is sealed under the metadata key instead of its own",
        |f| {
            let id = f.id("a");
            let wrapped = f.blob("SELECT sealed FROM version_key WHERE item = {id a} AND version = 2");
            let plain = super::forge::pad(&f.value(&id, 2));
            let text = f.seal(&f.keys.metadata, "keyvault value", at("version_value", &id, 2, 0), &plain);
            enter_version(f, "a", 2, &wrapped, &text);
        },
    );
    set.bad(
        "version-key-under-metadata-key",
        Fails("version-key-seal", "read a", row),
        "a version's key is sealed under the metadata key",
        |f| {
            let id = f.id("a");
            let wrapped = f.seal(
                &f.keys.metadata,
                "keyvault version key",
                at("version_key", &id, 2, 0),
                f.version_key(&id, 2).expose(),
            );
            let value = f.blob("SELECT sealed FROM version_value WHERE item = {id a} AND version = 2");
            enter_version(f, "a", 2, &wrapped, &value);
        },
    );
    for (word, len) in [("short", 31), ("long", 33), ("empty", 0)] {
        set.bad(
            &format!("version-key-{word}-plaintext"),
            Fails("version-key-seal", "read a", row),
            &format!("a version's key has {len} bytes"),
            |f| {
                let id = f.id("a");
                let value = super::forge::pad(&f.value(&id, 2));
                put_version(f, "a", 2, &[5; 33][..len], &value);
            },
        );
    }
    set.bad(
        "version-key-exchanged",
        Fails("value-seal", "read a", row),
        "a version's key is another one than the value is sealed under",
        |f| {
            let id = f.id("a");
            let wrapped =
                f.seal(&f.keys.wrapping, "keyvault version key", at("version_key", &id, 2, 0), &[6; 32]);
            let value = f.blob("SELECT sealed FROM version_value WHERE item = {id a} AND version = 2");
            enter_version(f, "a", 2, &wrapped, &value);
        },
    );
    set.bad(
        "event-under-append-key",
        Fails("event-seal", "log", "audit"),
        "the last event is sealed under the key of the head, and has the right MAC",
        |f| last_event(f, &f.keys.append, &HERE),
    );
    set.bad(
        "head-under-events-key",
        Fails("head-seal", "log", "audit"),
        "the chain's head is sealed under the key of the events",
        |f| {
            let (count, plain) = f.head();
            let text = f.seal(&f.keys.events, "keyvault audit head", at("audit_head", &[], 0, count), &plain);
            f.put("audit_head", "sealed", "id = 1", &text);
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
        Fails("entry-mac", "log", "audit"),
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
            record[96] = 2;
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
        let last = f.number("SELECT max(seq) FROM audit");
        let head = f.blob(&format!("SELECT mac FROM audit WHERE seq = {last}")).try_into().unwrap();
        with(f, &|record| Record { count: last.cast_unsigned() + 1, head, ..record });
    });
}

fn chain(set: &mut Set) {
    let log = |reason| Fails(reason, "log", "audit");
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
            let last = f.number("SELECT max(seq) FROM audit");
            let mac = flipped(&f.keys.append).mac(&[b"keyvault audit entry"]);
            f.put("audit", "mac", &format!("seq = {last}"), &mac);
            let (count, plain) = f.head();
            f.put_head(count, &[&mac[..], &plain[32..]].concat());
        },
    );
}
