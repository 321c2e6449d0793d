//! Vectors of tokens: what a token's bearer gets of a vault and of a bundle, what a token's owner notices, and the
//! keyring's slot.

use keyvault_core::crypto::{SealingKey, Signed, SigningKey};

use super::bases::DAY;
use super::forge::{Forge, SLOT, TOKEN, at, pad, text, unpad};
pub(crate) use super::machines_base::Machines;
use super::machines_base::{Bearer, CI_EXPIRES, in_lines, out_of_lines};
use super::set::{Fails, Set};
use super::sql;
use super::vector::{Credential, Pin, Vector, hex};

pub(crate) fn all(set: &mut Set) {
    good(set);
    texts(set);
    views(set);
    grants(set);
    values(set);
    pins(set);
    good_bundles(set);
    bundles(set);
    records(set);
    checks(set);
    keyring(set);
}

fn token(set: &Set, name: &str) -> Credential {
    Credential::Token(set.machines.token(name).to_owned())
}

/// A token that reads, after `make` has worked on the vault.
fn holds(set: &mut Set, vector: &str, name: &str, comment: &str, edit: impl FnOnce(&mut Vector)) {
    let mut made = Vector { credential: token(set, name), ..set.blank(vector, "machines", comment) };
    edit(&mut made);
    let forge = set.forge("machines", vector);
    let content = Bearer::of(&forge, set.machines.token(name)).content(made.now);
    set.push_good(made, &content);
}

/// The vault fails for the bearer of `ci` after `make` has worked on it.
fn fails(
    set: &mut Set,
    vector: &str,
    fails: Fails<'_>,
    comment: &str,
    make: impl FnOnce(&Forge, &Bearer<'_>),
) {
    let ci = set.machines.token("ci").to_owned();
    let forge = set.forge("machines", vector);
    make(&forge, &Bearer::of(&forge, &ci));
    let sql = sql::difference(&sql::in_memory(&set.base("machines").sql), &forge.connection);
    assert!(!sql.is_empty(), "{vector}: nothing was done");
    let credential = Credential::Token(ci);
    let vector = Vector { credential, sql, ..set.failing(vector, "machines", fails, comment) };
    set.push(vector);
}

fn good(set: &mut Set) {
    holds(set, "token-by-scope", "ci", "the keys of a scope, one with a version in its grace", |_| ());
    holds(set, "token-by-name", "named", "two keys by name, and a scope that nothing carries", |_| ());
    holds(set, "token-of-nothing", "nothing", "there is a view, and no grant", |_| ());
    holds(set, "token-renewed", "again", "the token after its renewal", |_| ());
    holds(set, "token-grace-over", "ci", "the grace of the previous version is over", |vector| {
        vector.now += 31 * DAY;
    });
    holds(set, "token-last-moment", "ci", "a millisecond before the token expires", |vector| {
        vector.now = CI_EXPIRES - 1;
    });
    holds(set, "token-white-space", "ci", "the token with white space around it", |vector| {
        let Credential::Token(text) = &mut vector.credential else { return };
        *text = format!("\u{c} {text}\t ");
    });
}

fn texts(set: &mut Set) {
    let whole = set.machines.token("ci").to_owned();
    let not = Fails("not-a-token", "open", "");
    let mut slip = |name: &str, text: String, comment: &str| {
        set.edited(&format!("token-text-{name}"), "machines", not, comment, |vector| {
            vector.credential = Credential::Token(text);
        });
    };
    slip("prefix", whole.replace("kvt_", "kvx_"), "another first word");
    slip("upper-prefix", whole.replace("kvt_", "KVT_"), "the first word in upper case");
    slip("short", whole[..74].to_owned(), "the last character is missing");
    slip("long", format!("{whole}0"), "one character more");
    slip("prefix-only", "kvt_".to_owned(), "the first word alone");
    let last = if whole.ends_with('0') { '1' } else { '0' };
    slip("checksum", format!("{}{last}", &whole[..74]), "the last digit of the checksum is another");
    let swapped: String = [&whole[..4], &whole[5..6], &whole[4..5], &whole[6..]].concat();
    slip("swapped", swapped, "the first two characters are exchanged");
    slip("dash", format!("{}-{}", &whole[..20], &whole[21..]), "a character that base62 does not have");
    slip(
        "case",
        whole[4..].chars().fold("kvt_".to_owned(), |text, c| {
            text + &if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
                .to_string()
        }),
        "upper and lower case are exchanged",
    );
}

fn views(set: &mut Set) {
    let none = Fails("no-view", "granted", "");
    for (vector, name, comment) in [
        ("token-revoked", "revoked", "the token was revoked"),
        ("token-before-renewal", "renewed", "the token before its renewal"),
    ] {
        let credential = token(set, name);
        set.edited(vector, "machines", none, comment, |vector| vector.credential = credential);
    }
    let credential = token(set, "ci");
    set.edited("token-of-another-vault", "plain", none, "the token of another vault", |vector| {
        vector.credential = credential;
    });
    fails(set, "token-view-gone", none, "the view is gone, the grants are not", |f, ci| {
        f.sql(&format!("DELETE FROM token_view WHERE {}", ci.mine()));
    });
    fails(set, "token-tables-gone", none, "the tables of tokens are empty", |f, _| {
        f.sql("DELETE FROM token_view; DELETE FROM token_grant; DELETE FROM object WHERE {kind 5}");
    });
    let expired = Fails("token-expired", "granted", "");
    for (word, now) in [("at", CI_EXPIRES), ("after", CI_EXPIRES + DAY)] {
        let credential = token(set, "ci");
        let comment = format!("{} the token's expiry", if word == "at" { "at" } else { "a day after" });
        set.edited(&format!("token-expired-{word}"), "machines", expired, &comment, |vector| {
            (vector.credential, vector.now) = (credential, now);
        });
    }
    let seal = Fails("view-seal", "granted", "");
    for (word, place) in [("salt", 0), ("commitment", 24), ("text", 60), ("tag", -1)] {
        let comment = format!("a bit of the sealed view is altered, in its {word}");
        fails(set, &format!("token-view-{word}"), seal, &comment, |f, ci| {
            f.flip("token_view", "sealed", &ci.mine(), place);
        });
    }
    fails(set, "token-view-empty", seal, "the sealed view has no bytes", |f, ci| {
        f.put("token_view", "sealed", &ci.mine(), &[]);
    });
    for (word, by) in [("later", 1), ("before", -1)] {
        let comment = format!("the view stands at the change {word}");
        fails(set, &format!("token-view-change-{word}"), seal, &comment, |f, ci| {
            f.sql(&format!("UPDATE token_view SET change = change + {by} WHERE {}", ci.mine()));
        });
    }
    let named = set.machines.token("named").to_owned();
    fails(set, "token-view-of-another", seal, "the view of another token", |f, ci| {
        let other = Bearer::of(f, &named).mine();
        let sealed = f.blob(&format!("SELECT sealed FROM token_view WHERE {other}"));
        f.put("token_view", "sealed", &ci.mine(), &sealed);
    });
    let malformed = Fails("view-malformed", "granted", "");
    let mut bad = |word: &str, comment: &str, make: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        fails(set, &format!("token-view-{word}"), malformed, comment, |_, ci| {
            ci.put_view(&make(ci.view()));
        });
    };
    // Kind, token's id, change.
    let head = 1 + 16 + 8;
    bad("cut", "the view ends a byte early", &|view| view[..view.len() - 1].to_vec());
    bad("more", "the view has a byte more", &|view| [&view[..], &[0]].concat());
    bad("kind", "the view is of a token of another kind", &|view| [&[2], &view[1..]].concat());
    bad("other-id", "the view names another token", &|mut view| {
        view[1] ^= 1;
        view
    });
    bad("other-change", "the view names another change", &|mut view| {
        view[17] ^= 1;
        view
    });
    bad("no-name", "the view's name is empty", &|view| [&view[..head], &[0; 4], &view[head + 6..]].concat());
    bad("option", "the option of the view's expiry is 2", &|mut view| {
        view[head + 4 + 2 + 8] = 2;
        view
    });
    fails(set, "token-view-unpadded", malformed, "the view is not padded", |_, ci| {
        ci.put_padded_view(&ci.view());
    });
    let newer = Fails("view-newer", "granted", "");
    fails(set, "token-view-even-field", newer, "the view has an even field", |_, ci| {
        let view = ci.view();
        ci.put_view(&[&view[..view.len() - 4], &EVEN].concat());
    });
    let origin = Fails("view-origin", "granted", "");
    fails(set, "token-view-by-its-bearer", origin, "the bearer has signed the view itself", |_, ci| {
        ci.bind_itself();
    });
    fails(
        set,
        "token-view-by-its-bearer-as-owner",
        origin,
        "the bearer has signed the view, and put its signer into the vault",
        |f, ci| {
            let own = ci.bind_itself();
            f.put("vault", "signer", "id = 1", &own.signer().encode());
        },
    );
    fails(set, "token-view-unsigned", origin, "the view's signature has no parts", |_, ci| {
        ci.put_signed_view(&ci.view(), &[0; 4]);
    });
    fails(set, "token-view-signed-as-a-bundle", origin, "the view is signed as a bundle", |f, ci| {
        let view = ci.view();
        ci.put_signed_view(&view, &f.keys.signing.sign(Signed::Bundle, &f.identity, &view));
    });
    fails(set, "token-view-signer-altered", origin, "a bit of the vault's signer is altered", |f, _| {
        f.flip("vault", "signer", "id = 1", 20);
    });
}

/// Extensions with an even field.
const EVEN: [u8; 11] = [1, 0, 0, 0, 2, 0, 1, 0, 0, 0, 9];

/// Field 2 of a grant is known.
const UNKNOWN_OF_GRANT: [u8; 11] = [1, 0, 0, 0, 4, 0, 1, 0, 0, 0, 9];

fn grants(set: &mut Set) {
    let not = Fails("grants", "granted", "");
    let of =
        |f: &Forge, ci: &Bearer<'_>, name: &str| format!("{} AND key = x'{}'", ci.mine(), hex(&f.id(name)));
    fails(set, "token-grants-one-gone", not, "a grant is gone", |f, ci| {
        f.sql(&format!("DELETE FROM token_grant WHERE {}", of(f, ci, "a")));
    });
    fails(set, "token-grants-gone", not, "all grants are gone", |f, ci| {
        f.sql(&format!("DELETE FROM token_grant WHERE {}", ci.mine()));
    });
    fails(set, "token-grants-more", not, "the grant of another key, of another token, is added", |f, ci| {
        let sealed = f.blob(&format!("SELECT sealed FROM token_grant WHERE key = x'{}'", hex(&f.id("d"))));
        let row = format!("x'{}', x'{}', x'{}'", hex(&ci.id), hex(&f.id("d")), hex(&sealed));
        f.sql(&format!("INSERT INTO token_grant VALUES ({row})"));
    });
    fails(set, "token-grant-empty", not, "a sealed grant has no bytes", |f, ci| {
        f.put("token_grant", "sealed", &of(f, ci, "a"), &[]);
    });
    for (word, place) in [("salt", 3), ("commitment", 30), ("tag", -1)] {
        let comment = format!("a bit of a sealed grant is altered, in its {word}");
        fails(set, &format!("token-grant-{word}"), not, &comment, |f, ci| {
            f.flip("token_grant", "sealed", &of(f, ci, "a"), place);
        });
    }
    fails(set, "token-grants-exchanged", not, "two grants have changed places", |f, ci| {
        let [a, b] = ["a", "b"]
            .map(|name| f.blob(&format!("SELECT sealed FROM token_grant WHERE {}", of(f, ci, name))));
        f.put("token_grant", "sealed", &of(f, ci, "a"), &b);
        f.put("token_grant", "sealed", &of(f, ci, "b"), &a);
    });
    let (root, earlier) = (set.machines.earlier.root.clone(), set.machines.earlier.sql.clone());
    fails(set, "token-grant-earlier", not, "a grant from before the last change", |f, ci| {
        let before = Forge::new(&earlier, &root, "");
        let sealed = before.blob(&format!("SELECT sealed FROM token_grant WHERE {}", of(f, ci, "a")));
        f.put("token_grant", "sealed", &of(f, ci, "a"), &sealed);
    });
    let seal = Fails("grant-seal", "granted", "");
    fails(set, "token-grant-text", not, "a bit of a sealed grant is altered, in its text", |f, ci| {
        f.flip("token_grant", "sealed", &of(f, ci, "a"), 60);
    });
    fails(
        set,
        "token-grants-exchanged-bound",
        seal,
        "two grants have changed places, and the view says so",
        |f, ci| {
            let [a, b] = ["a", "b"]
                .map(|name| f.blob(&format!("SELECT sealed FROM token_grant WHERE {}", of(f, ci, name))));
            f.put("token_grant", "sealed", &of(f, ci, "a"), &b);
            f.put("token_grant", "sealed", &of(f, ci, "b"), &a);
            ci.bind();
        },
    );
    let named = set.machines.token("named").to_owned();
    fails(
        set,
        "token-grant-of-another-bound",
        seal,
        "a grant of another token, which the view names",
        |f, ci| {
            let other = Bearer::of(f, &named);
            let sealed = f.blob(&format!("SELECT sealed FROM token_grant WHERE {}", of(f, &other, "a")));
            f.put("token_grant", "sealed", &of(f, ci, "a"), &sealed);
            ci.bind();
        },
    );
    let a = |f: &Forge| f.id("a");
    fails(
        set,
        "token-grant-even-field",
        Fails("grant-newer", "granted", ""),
        "a grant has an even field",
        |f, ci| {
            let grant = ci.grant(&a(f));
            ci.put_padded_grant(&a(f), &pad(&[&grant[..grant.len() - 4], &UNKNOWN_OF_GRANT].concat()));
        },
    );
    let malformed = Fails("grant-malformed", "granted", "");
    let mut bad = |word: &str, comment: &str, make: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        fails(set, &format!("token-grant-{word}"), malformed, comment, |f, ci| {
            let a = f.id("a");
            ci.put_padded_grant(&a, &make(ci.grant(&a)));
        });
    };
    // A version: number, state, grace, key, hash; behind the last one, no extension.
    let version = 4 + 1 + 9 + 32 + 32;
    let current = 4 + 1 + 1 + 32 + 32 + 4;
    bad("unpadded", "the grant is not padded", &|grant| grant);
    bad("cut", "the grant ends a byte early", &|grant| pad(&grant[..grant.len() - 1]));
    bad("more", "the grant has a byte more", &|grant| pad(&[&grant[..], &[0]].concat()));
    bad("name", "the grant's name is not one of a key", &|grant| {
        pad(&[&text("-a")[..], &grant[5..]].concat())
    });
    bad("variable", "the grant's variable has an equals sign", &|grant| {
        pad(&[&grant[..5], &text("A=B"), &grant[10..]].concat())
    });
    bad("scope-twice", "the grant names a scope twice", &|grant| {
        pad(&[&grant[..10], &2_u32.to_le_bytes(), &text("s"), &text("s"), &grant[19..]].concat())
    });
    bad("scopes-disorder", "the grant's scopes are out of order", &|grant| {
        pad(&[&grant[..10], &2_u32.to_le_bytes(), &text("t"), &text("s"), &grant[19..]].concat())
    });
    bad("versions-disorder", "the grant's versions are out of order", &|grant| {
        let (head, versions) = grant.split_at(grant.len() - version - current);
        let (versions, end) = versions.split_at(versions.len() - 4);
        let (previous, now) = versions.split_at(version);
        pad(&[head, now, previous, end].concat())
    });
    bad("version-twice", "the grant names a version twice", &|mut grant| {
        let at = grant.len() - current;
        grant[at] = 1;
        pad(&grant)
    });
    bad("disabled", "a disabled key has versions", &|mut grant| {
        // Before the versions and their count: public, disabled, kind of value.
        let at = grant.len() - current - version - 4 - 2;
        grant[at] = 1;
        pad(&grant)
    });
    bad("state", "a version's state is 2", &|mut grant| {
        let at = grant.len() - current + 4;
        grant[at] = 2;
        pad(&grant)
    });
    bad("two-current", "two versions are current", &|mut grant| {
        let at = grant.len() - current - version + 4;
        grant[at] = 0;
        pad(&grant)
    });
}

fn values(set: &mut Set) {
    let of = |f: &Forge, name: &str, version: u32| {
        format!("key = x'{}' AND version = {version}", hex(&f.id(name)))
    };
    let a = Fails("value-granted", "take a", "");
    fails(set, "token-value-gone", a, "the row of the value is gone", |f, _| {
        f.sql(&format!("DELETE FROM version WHERE {}", of(f, "a", 2)));
    });
    for (word, place) in [("salt", 0), ("text", 60), ("tag", -1)] {
        let comment = format!("a bit of the sealed value is altered, in its {word}");
        fails(set, &format!("token-value-{word}"), a, &comment, |f, _| {
            f.flip("version", "sealed", &of(f, "a", 2), place);
        });
    }
    fails(set, "token-value-previous", a, "the value of the version before", |f, _| {
        let sealed = f.blob(&format!("SELECT sealed FROM version WHERE {}", of(f, "a", 1)));
        f.put("version", "sealed", &of(f, "a", 2), &sealed);
    });
    let comment = "another value, which another bearer sealed under the version's own key";
    fails(set, "token-value-of-a-fellow", a, comment, |f, ci| {
        let id = f.id("a");
        let key = ci.value_key(&id, 2);
        let sealed = f.seal(&key, "keyvault value", at("version", &id, 2, 0), &pad(b"value-a-9"));
        f.put("version", "sealed", &of(f, "a", 2), &sealed);
    });
}

fn pins(set: &mut Set) {
    let ci = set.machines.token("ci").to_owned();
    let seen = |base: &super::bases::Base| {
        let forge = Forge::new(&base.sql, &base.root, "");
        let bearer = Bearer::of(&forge, &ci);
        Pin { change: bearer.change(), state: bearer.pin_state(), epoch: None }
    };
    let (now, earlier) = (seen(&set.machines.now), seen(&set.machines.earlier));
    for (word, pin, comment) in [
        ("same", now.clone(), "this very view was seen"),
        ("earlier", earlier.clone(), "the view before this one was seen"),
    ] {
        holds(set, &format!("token-pin-{word}"), "ci", comment, |vector| vector.pin = Some(pin));
    }
    let mut alarm = |word: &str, reason: &str, pin: Pin, comment: &str| {
        let credential = Credential::Token(ci.clone());
        set.edited(
            &format!("token-pin-{word}"),
            "machines",
            Fails(reason, "granted", ""),
            comment,
            |vector| {
                (vector.credential, vector.pin) = (credential, Some(pin));
            },
        );
    };
    let later = Pin { change: now.change + 1, ..now.clone() };
    alarm("rolled-back", "view-rolled-back", later, "a later view was seen");
    let other = Pin { state: earlier.state, ..now };
    alarm("forked", "view-forked", other, "another view of this change was seen");
}

fn good_bundles(set: &mut Set) {
    let whole = set.machines.bundle.clone();
    let lines: Vec<&str> = whole.lines().collect();
    let body = lines[1..].concat();
    let now = set.machines.now.now;
    for (word, bundle, now, comment) in [
        ("whole", whole.clone(), now, "the keys of a scope, one with a version in its grace"),
        ("grace-over", whole.clone(), now + 31 * DAY, "the grace of the previous version is over"),
        ("one-line", format!("keyvault bundle 1\n{body}\n"), now, "the text in one line"),
        ("no-last-newline", whole.trim_end().to_owned(), now, "no newline behind the last line"),
        ("spaces", lines.join(" \t\n  ") + "\n\n", now, "white space around the lines"),
    ] {
        let forge = set.forge("machines", word);
        let content = Bearer::of(&forge, set.machines.token("ci")).bundle_content(&whole, now);
        let vector = Vector {
            credential: token(set, "ci"),
            base: String::new(),
            bundle,
            now,
            ..set.blank(&format!("bundle-{word}"), "machines", comment)
        };
        set.push_good(vector, &content);
    }
}

fn bundles(set: &mut Set) {
    let whole = set.machines.bundle.clone();
    let bytes = out_of_lines(&whole);
    let forge = set.forge("machines", "bundles");
    let (ci, named) = (set.machines.token("ci").to_owned(), set.machines.token("named").to_owned());
    let bearer = Bearer::of(&forge, &ci);
    let (change, plain) = bearer.bundle(&whole);
    let now = set.machines.now.now;
    let mut bad = |word: &str, reason: &str, bundle: String, comment: &str| {
        let vector = Vector {
            credential: Credential::Token(ci.clone()),
            base: String::new(),
            bundle,
            now,
            ..set.failing(&format!("bundle-{word}"), "machines", Fails(reason, "open", ""), comment)
        };
        set.push(vector);
    };
    let not = "not-a-bundle";
    bad("next", not, whole.replacen("bundle 1", "bundle 2", 1), "another number in the first line");
    bad("other-file", not, "a letter to Ada\n".to_owned(), "another text");
    bad(
        "no-first-line",
        not,
        whole.lines().skip(1).collect::<Vec<_>>().join("\n"),
        "the first line is missing",
    );
    bad("first-line-twice", "bundle", format!("keyvault bundle 1\n{whole}"), "the first line stands twice");
    bad("first-line-only", "bundle", "keyvault bundle 1\n".to_owned(), "the first line alone");
    bad("cut", "bundle", whole[..whole.len() / 2].to_owned(), "cut in the middle");
    bad("not-base64", "bundle", whole.replacen('\n', "\n#", 1), "a character that base64 does not have");
    bad("short", "bundle", in_lines(&bytes[..43]), "cut within what stands before the seal");
    bad("no-seal", "bundle", in_lines(&bytes[..44]), "nothing is sealed");
    let mut alter = |word: &str, reason: &str, place: usize, comment: &str| {
        let mut bytes = bytes.clone();
        bytes[place] ^= 1;
        bad(word, reason, in_lines(&bytes), comment);
    };
    alter("vault", "bundle", 0, "the id of another vault");
    alter("epoch", "bundle", 16, "another epoch");
    alter("token-id", "other-bundle", 20, "another token's id");
    alter("change", "bundle", 36, "another change");
    alter("salt", "bundle", 44, "a bit of the sealed content is altered, in its salt");
    alter("commitment", "bundle", 44 + 24, "a bit of the sealed content is altered, in its commitment");
    alter("text", "bundle", 44 + 60, "a bit of the sealed content is altered, in its text");
    alter("tag", "bundle", bytes.len() - 1, "a bit of the sealed content is altered, in its tag");
    bad("unpadded", "bundle", bearer.bundle_of(change, &plain), "the content is not padded");
    let more = bearer.owners_bundle(change, &[&plain[..], &[0]].concat());
    bad("more", "bundle", more, "the content has a byte more");
    let less = bearer.owners_bundle(change, &plain[..plain.len() - 1]);
    bad("content-cut", "bundle", less, "the content ends a byte early");
    let other = bearer.owners_bundle(change, &[&[2], &plain[1..]].concat());
    bad("kind", "bundle", other, "the content is for a token of another kind");
    let later = bearer.owners_bundle(change + 1, &plain);
    bad("relabeled", "bundle", later, "the content is of another change than the label");
    let even = [&plain[..plain.len() - 4], &[1, 0, 0, 0, 2, 0, 0, 0, 0, 0]].concat();
    bad("even-field", "bundle-newer", bearer.owners_bundle(change, &even), "the content has an even field");
    let own = SigningKey::of_seed(SealingKey::from_bytes(&[9; 32]).unwrap());
    let owners = &forge.keys.signing;
    let mut minted = |word: &str, signing: &SigningKey, named: &SigningKey, comment: &str| {
        let bundle = bearer.bundle_of(change, &bearer.signed_content(&plain, signing, named));
        bad(word, "bundle-origin", bundle, comment);
    };
    minted("by-its-bearer", &own, &own, "someone who saw the token has signed it, and names themselves");
    minted(
        "by-its-bearer-as-owner",
        &own,
        owners,
        "someone who saw the token has signed it, and names the owner",
    );
    minted("signer-altered", owners, &own, "the owner has signed it; it names another signer");
    for (name, text, reason, now, comment) in [
        ("bundle-other-token", named, "other-bundle", now, "the token is another"),
        ("bundle-expired", ci.clone(), "token-expired", CI_EXPIRES, "at the token's expiry"),
        (
            "bundle-token-text",
            ci[..74].to_owned(),
            "not-a-token",
            now,
            "the token's last character is missing",
        ),
    ] {
        let vector = Vector {
            credential: Credential::Token(text),
            base: String::new(),
            bundle: whole.clone(),
            now,
            ..set.failing(name, "machines", Fails(reason, "open", ""), comment)
        };
        set.push(vector);
    }
}

/// A token's record, opened.
fn record(f: &Forge, name: &str) -> Vec<u8> {
    unpad(&f.padded(TOKEN, &f.tag(TOKEN, name.as_bytes())))
}

fn put_padded_record(f: &Forge, name: &str, padded: &[u8]) {
    f.put_padded(TOKEN, &f.tag(TOKEN, name.as_bytes()), padded);
}

/// The owner's own rows.
fn records(set: &mut Set) {
    let tokens = Fails("tokens", "tokens", "tokens");
    let mut bad = |name: &str, fails: Fails<'_>, comment: &str, make: &dyn Fn(&Forge)| {
        set.forged(name, "machines", fails, comment, make);
    };
    bad("tokens-one-gone", tokens, "the record of a revoked token is gone", &|f| {
        f.sql("DELETE FROM object WHERE {at token revoked}");
    });
    bad(
        "tokens-all-gone",
        Fails("tree-tokens", "tokens", "leaf {tokens}"),
        "all rows of tokens are gone",
        &|f| {
            f.sql("DELETE FROM object WHERE {kind 5} OR {kind 8}; DELETE FROM token_view; DELETE FROM token_grant");
            f.sql("DELETE FROM log WHERE id >> 32 > 1");
            f.sql("DELETE FROM log_head WHERE number > 1");
        },
    );
    bad(
        "tokens-list-gone",
        Fails("tree-tokens", "tokens", "leaf {tokens}"),
        "the list of tokens is gone",
        &|f| f.sql("DELETE FROM object WHERE {at tokens}"),
    );
    bad("tokens-records-gone", tokens, "the records of all tokens are gone, and the list is not", &|f| {
        f.sql("DELETE FROM object WHERE {kind 5}");
    });
    bad(
        "tokens-list-moved",
        Fails("tree-tokens", "tokens", "leaf {tokens}"),
        "the list of tokens stands at a tag that it does not have",
        &|f| {
            f.sql("UPDATE object SET (id, tag) = ((8 << 56) + 0x00112233445566, x'00112233445566778899aabbccddeeff') WHERE {at tokens}")
        },
    );
    bad(
        "tokens-list-revision",
        Fails("tree-tokens", "tokens", "tokens"),
        "the list of tokens has another revision",
        &|f| f.sql("UPDATE object SET revision = revision + 1 WHERE {at tokens}"),
    );
    bad(
        "tokens-list-as-token",
        Fails("tree-tokens", "tokens", "token {tokens}"),
        "the list of tokens says that it is a token's record",
        &|f| f.sql("UPDATE object SET id = {oid 5 tokens} WHERE {at tokens}"),
    );
    bad("tokens-one-more", tokens, "a record is there twice, once at another tag", &|f| {
        f.sql(
            "INSERT INTO object SELECT (5 << 56) + 0x00112233445566, x'00112233445566778899aabbccddeeff', revision, sealed
             FROM object WHERE {at token ci}",
        );
    });
    bad("tokens-one-moved", tokens, "a record stands at a tag that no token has", &|f| {
        f.sql("UPDATE object SET (id, tag) = ((5 << 56) + 0x00112233445566, x'00112233445566778899aabbccddeeff') WHERE {at token ci}");
    });
    let tree = Fails("tree-token", "tokens", "token ci");
    bad(
        "token-record-revision",
        Fails("tree-token", "tokens", "token {token ci}"),
        "a record has another revision",
        &|f| {
            f.sql("UPDATE object SET revision = revision + 1 WHERE {at token ci}");
        },
    );
    bad("token-record-leaf", tree, "a record's leaf is gone", &|f| {
        f.drop_leaf(&f.tag(TOKEN, b"ci"));
        f.sign_tree();
    });
    let unnamed = Fails("tree-token", "tokens", "token {token ci}");
    for (word, place) in [("salt", 0), ("commitment", 30), ("tag", -1)] {
        let comment = format!("a bit of a sealed record is altered, in its {word}");
        bad(&format!("token-record-{word}"), unnamed, &comment, &|f| {
            f.flip("object", "sealed", "{at token ci}", place);
        });
    }
    bad("token-record-exchanged", unnamed, "two records have changed places", &|f| {
        let [ci, named] = ["ci", "named"]
            .map(|name| f.blob(&format!("SELECT sealed FROM object WHERE {{at token {name}}}")));
        f.put("object", "sealed", "{at token ci}", &named);
        f.put("object", "sealed", "{at token named}", &ci);
    });
    bad("token-record-text", unnamed, "a bit of a sealed record is altered, in its text", &|f| {
        f.flip("object", "sealed", "{at token ci}", 60);
    });
    let seal = Fails("token-seal", "tokens", "token {token ci}");
    bad(
        "token-record-text-known",
        seal,
        "a bit of a sealed record is altered, and the tree knows it",
        &|f| {
            f.flip("object", "sealed", "{at token ci}", 60);
            f.sign();
        },
    );
    let malformed = Fails("token-malformed", "tokens", "token {token ci}");
    bad("token-record-unpadded", malformed, "a record is not padded", &|f| {
        put_padded_record(f, "ci", &record(f, "ci"));
    });
    bad("token-record-more", malformed, "a record has a byte more", &|f| {
        put_padded_record(f, "ci", &pad(&[&record(f, "ci")[..], &[0]].concat()));
    });
    bad("token-record-cut", malformed, "a record ends a byte early", &|f| {
        let plain = record(f, "ci");
        put_padded_record(f, "ci", &pad(&plain[..plain.len() - 1]));
    });
    bad("token-record-kind", malformed, "a record is of a kind that is reserved", &|f| {
        let plain = record(f, "ci");
        put_padded_record(f, "ci", &pad(&[&plain[..6], &[3], &plain[7..]].concat()));
    });
    bad("token-record-bearer-with-api", malformed, "a record is of a bearer that has an API", &|f| {
        let plain = record(f, "ci");
        let api = [&[1, 0, 0, 0][..], &[7; 16], &[0], &[0; 4]].concat();
        put_padded_record(f, "ci", &pad(&[&plain[..plain.len() - 8], &api].concat()));
    });
    bad("token-record-verifier-with-set", malformed, "a record is of a verifier that has a set", &|f| {
        let plain = record(f, "ci");
        let api = [&[1, 0, 0, 0][..], &[7; 16], &[1], &[8; 16], &[0; 4]].concat();
        let head = &plain[7..plain.len() - 8];
        put_padded_record(f, "ci", &pad(&[&plain[..6], &[3], head, &api].concat()));
    });
    bad("token-record-session-without-end", malformed, "a record is of a session without expiry", &|f| {
        let plain = record(f, "ci");
        // Name, kind, id, reader, k₀, one scope, no key, time of creation.
        let at = 6 + 1 + 16 + 32 + 32 + 9 + 4 + 8;
        assert_eq!(plain[at], 1, "it has an expiry");
        put_padded_record(
            f,
            "ci",
            &pad(&[&plain[..6], &[2], &plain[7..at], &[0], &plain[at + 9..]].concat()),
        );
    });
    bad("token-record-name", malformed, "a record's name is not one of a token", &|f| {
        put_padded_record(f, "ci", &pad(&[&text("c=")[..], &record(f, "ci")[6..]].concat()));
    });
    let newer = Fails("row-newer", "tokens", "token {token ci}");
    bad("token-record-even-field", newer, "a record has an even field", &|f| {
        let plain = record(f, "ci");
        put_padded_record(f, "ci", &pad(&[&plain[..plain.len() - 4], &EVEN].concat()));
    });
    let place = Fails("token-place", "check", "token named");
    bad(
        "token-record-place",
        place,
        "a record stands at another name's tag, sealed and signed there",
        &|f| put_padded_record(f, "ci", &pad(&record(f, "named"))),
    );
}

/// A record's end behind the mark of its view: reads, the last one's MAC, no place of a bundle, no API, and no extension.
const BEHIND_MARK: usize = 8 + 32 + 4 + 4 + 4;

/// Has the record name the view that is there.
fn mark(f: &Forge, ci: &Bearer<'_>) {
    let sealed = f.blob(&format!("SELECT sealed FROM token_view WHERE {}", ci.mine()));
    let mark = f.keys.tree.digest(&[b"keyvault token view mark", &sealed]);
    let plain = record(f, "ci");
    let (head, tail) = plain.split_at(plain.len() - BEHIND_MARK);
    put_padded_record(f, "ci", &pad(&[&head[..head.len() - 16], &mark, tail].concat()));
}

/// Faults that only a check of the whole sees: rows that a bearer can write, and rows of nobody.
fn checks(set: &mut Set) {
    let (token, named) = (set.machines.token("ci").to_owned(), set.machines.token("named").to_owned());
    let revoked = set.machines.token("revoked").to_owned();
    let mut bad = |name: &str, reason: &str, row: &str, comment: &str, make: &dyn Fn(&Forge, &Bearer<'_>)| {
        set.forged(name, "machines", Fails(reason, "check", row), comment, |f| {
            make(f, &Bearer::of(f, &token));
        });
    };
    let grants = "token_grant of ci";
    bad("check-token-view-gone", "token-view", grants, "a view is gone", &|f, ci| {
        f.sql(&format!("DELETE FROM token_view WHERE {}", ci.mine()));
    });
    bad(
        "check-token-view-of-the-bearer",
        "token-view",
        grants,
        "the bearer has sealed its view anew",
        &|_, ci| {
            ci.bind();
        },
    );
    bad("check-token-grant-gone", "grants", grants, "a grant is gone", &|f, ci| {
        f.sql(&format!("DELETE FROM token_grant WHERE {} AND key = {{id a}}", ci.mine()));
    });
    bad("check-token-grant-text", "grants", grants, "a bit of a sealed grant is altered", &|f, ci| {
        f.flip("token_grant", "sealed", &format!("{} AND key = {{id a}}", ci.mine()), 60);
    });
    bad(
        "check-token-keys-less",
        "token-keys",
        grants,
        "a key that the token matches is not granted",
        &|f, ci| {
            f.sql(&format!("DELETE FROM token_grant WHERE {} AND key = {{id a}}", ci.mine()));
            ci.bind();
            mark(f, ci);
        },
    );
    bad(
        "check-token-keys-more",
        "token-keys",
        grants,
        "a key is granted that the token does not match",
        &|f, ci| {
            ci.add_grant(&f.id("d"), &[&text("d")[..], &ci.grant(&f.id("a"))[5..]].concat());
            mark(f, ci);
        },
    );
    bad(
        "check-token-keys-other",
        "token-keys",
        grants,
        "a grant says another variable than the key",
        &|f, ci| {
            let a = f.id("a");
            let grant = ci.grant(&a);
            ci.put_padded_grant(&a, &pad(&[&grant[..5], &text("B"), &grant[10..]].concat()));
            mark(f, ci);
        },
    );
    bad("check-token-stray-view", "token-stray", "token_view", "a revoked token has a view", &|f, ci| {
        let id = Bearer::of(f, &revoked).id;
        f.sql(&format!(
            "INSERT INTO token_view SELECT x'{}', change, sealed FROM token_view WHERE {}",
            hex(&id),
            ci.mine()
        ));
    });
    bad("check-token-stray-grant", "token-stray", "token_view", "an unknown token has a grant", &|f, _| {
        f.sql("INSERT INTO token_grant SELECT x'00112233445566778899aabbccddeeff', key, sealed FROM token_grant LIMIT 1");
    });
    bad("check-token-stray-reads", "token-stray", "token_view", "an unknown token has read", &|f, _| {
        f.sql("INSERT INTO log_head SELECT x'00112233445566778899aabbccddeeff', 77, count, sealed FROM log_head LIMIT 1");
    });
    let reads = "log of ci";
    for (word, statement, comment) in [
        ("last", "DELETE FROM log WHERE LOG AND SEQ = 2", "the last read is gone"),
        ("first", "DELETE FROM log WHERE LOG AND SEQ = 0", "the first read is gone"),
        ("all", "DELETE FROM log WHERE LOG; DELETE FROM log_head WHERE MINE", "all reads are gone"),
        ("entries", "DELETE FROM log WHERE LOG", "all reads are gone, the head is not"),
        ("head", "DELETE FROM log_head WHERE MINE", "the head is gone, the reads are not"),
        ("count", "UPDATE log_head SET count = count - 1 WHERE MINE", "the head counts one read less"),
        ("mac", "UPDATE log SET mac = zeroblob(32) WHERE LOG AND SEQ = 1", "a read's MAC is zero"),
        (
            "number-of-another",
            "UPDATE log_head SET number = (SELECT number FROM log_head WHERE ledger = NAMED) WHERE MINE",
            "the ledger has the number of another token's",
        ),
        (
            "number-of-none",
            "UPDATE log_head SET number = number + 50 WHERE MINE",
            "the ledger has a number without entries",
        ),
        (
            "number-of-the-vault",
            "UPDATE log_head SET number = 0 WHERE MINE",
            "the ledger has the number of the vault's",
        ),
        ("number-negative", "UPDATE log_head SET number = -5 WHERE MINE", "the ledger has a negative number"),
        (
            "number-beyond",
            "UPDATE log_head SET number = 2147483647 WHERE MINE",
            "the ledger has a number that none can have",
        ),
        (
            "number-highest",
            "UPDATE log_head SET number = 9223372036854775807 WHERE MINE",
            "the ledger has a number beyond all",
        ),
        ("change", "UPDATE log SET change = 7 WHERE LOG AND SEQ = 1", "a read is filed under a change"),
        ("change-zero", "UPDATE log SET change = 0 WHERE LOG AND SEQ = 1", "a read is filed under change 0"),
        (
            "changes",
            "UPDATE log SET change = (SELECT max(change) FROM log) + SEQ WHERE LOG",
            "all reads are filed under changes behind the vault's last",
        ),
        (
            "exchanged",
            "UPDATE log SET id = id + 7 WHERE LOG AND SEQ = 1; UPDATE log SET id = id - 1 WHERE LOG AND SEQ = 2; UPDATE log SET id = id - 6 WHERE LOG AND SEQ = 8",
            "two reads are exchanged",
        ),
        ("moved", "UPDATE log SET id = OTHERS WHERE LOG", "all reads stand in another token's ledger"),
        (
            "all-moved",
            "DELETE FROM log_head WHERE ledger = NAMED; UPDATE log_head SET ledger = NAMED WHERE MINE",
            "all reads and their head stand in another token's ledger",
        ),
        (
            "head-of-another",
            "UPDATE log_head SET (count, sealed) = (SELECT count, sealed FROM log_head WHERE ledger = NAMED) WHERE MINE",
            "the head is that of another token",
        ),
        (
            "head-of-the-vault",
            "UPDATE log_head SET (count, sealed) = (SELECT count, sealed FROM log_head WHERE ledger = zeroblob(16)) WHERE MINE",
            "the head is that of the vault's log",
        ),
        (
            "entry-of-the-vault",
            "UPDATE log SET (mac, sealed) = (SELECT mac, sealed FROM log WHERE id = 1) WHERE LOG AND SEQ = 1",
            "a read is an entry of the vault's log",
        ),
        (
            "log-of-the-vault",
            "DELETE FROM log WHERE LOG; DELETE FROM log_head WHERE MINE;
             INSERT INTO log SELECT id + (99 << 32), NULL, mac, sealed FROM log WHERE id >> 32 = 0;
             INSERT INTO log_head SELECT TOKEN, 99, count, sealed FROM log_head WHERE ledger = zeroblob(16)",
            "the vault's log stands in the place of the reads",
        ),
    ] {
        bad(&format!("check-reads-{word}"), "reads-chain", reads, comment, &|f, ci| {
            f.sql(&in_ledgers(statement, ci, &Bearer::of(f, &named)));
        });
    }
    bad(
        "check-reads-as-changes",
        "reads-chain",
        reads,
        "the bearer has filed a read under a change, event and all, and its chain holds",
        &|f, ci| {
            let mut events = ci.reads();
            let plain = unpad(&events[1].1);
            // No change, no extension.
            let changed = [&plain[..plain.len() - 5], &[1], &7_u64.to_le_bytes(), &[0; 32], &[0; 4]].concat();
            events[1] = (Some(7), pad(&changed));
            ci.put_reads(first_key(f, "ci"), &events);
        },
    );
    let log = Fails("event-seal", "log", "log");
    let mut bad = |name: &str, fails: Fails<'_>, comment: &str, statement: &str| {
        set.forged(name, "machines", fails, comment, |f| {
            f.sql(&in_ledgers(statement, &Bearer::of(f, &token), &Bearer::of(f, &named)));
        });
    };
    bad(
        "log-entry-of-a-token",
        log,
        "an entry of the vault's log is a token's read",
        "UPDATE log SET (mac, sealed) = (SELECT mac, sealed FROM log WHERE LOG AND SEQ = 1) WHERE id = 1",
    );
    bad(
        "log-head-of-a-token",
        Fails("head-seal", "log", "log"),
        "the head of the vault's log is that of a token's reads",
        "UPDATE log_head SET (count, sealed) = (SELECT count, sealed FROM log_head WHERE MINE) WHERE ledger = zeroblob(16)",
    );
    bad(
        "log-behind-the-end-by-a-token",
        Fails("head-count", "log", "log"),
        "a token's read stands behind the end of the vault's log",
        "INSERT INTO log SELECT (SELECT count FROM log_head WHERE ledger = zeroblob(16)), NULL, mac, sealed FROM log WHERE LOG AND SEQ = 1",
    );
    bad(
        "log-exchanged-with-a-token",
        Fails("record-chain", "state", ""),
        "the vault's log and a token's have changed places",
        "UPDATE log SET id = SEQ - 1000000 WHERE LOG; UPDATE log SET id = id + (NUMBER << 32) WHERE id >> 32 = 0;
         UPDATE log SET id = id + 1000000 WHERE id < 0",
    );
}

/// Statements in which `MINE` is the condition of the head of a token's ledger, `LOG` that of its entries, `SEQ` the place
/// of an entry in its ledger, `NUMBER` the number of the token's ledger, `TOKEN` the token's id, `NAMED` that of another,
/// and `OTHERS` the id of an entry in the other's ledger.
fn in_ledgers(statement: &str, token: &Bearer<'_>, named: &Bearer<'_>) -> String {
    let id = |bearer: &Bearer<'_>| format!("x'{}'", hex(&bearer.id));
    let number = |bearer: &Bearer<'_>| bearer.forge.ledger_number(&bearer.id).to_string();
    let seq = "(id & 4294967295)";
    let words = [
        ("MINE", format!("ledger = {}", id(token))),
        ("LOG", format!("id >> 32 = {}", number(token))),
        ("OTHERS", format!("{seq} + ({} << 32)", number(named))),
        ("SEQ", seq.to_owned()),
        ("NUMBER", number(token)),
        ("TOKEN", id(token)),
        ("NAMED", id(named)),
    ];
    words.iter().fold(statement.to_owned(), |text, (word, sql)| text.replace(word, sql))
}

/// k₀ of a token's ledger, out of its record.
fn first_key(f: &Forge, name: &str) -> SealingKey {
    let behind_name = 4 + name.len() + 1;
    SealingKey::from_bytes(&record(f, name)[behind_name + 48..behind_name + 80]).unwrap()
}

fn keyring(set: &mut Set) {
    let entry = set.machines.keyring.clone();
    let comment = set.base("machines").about.clone();
    set.good("machines", "machines", &comment, |_| (), |_| ());
    set.good(
        "keyring",
        "machines",
        "opened with the keyring's entry",
        |_| (),
        |vector| {
            vector.credential = Credential::Keyring(entry.clone());
        },
    );
    let with = |vector: &mut Vector| vector.credential = Credential::Keyring(entry.clone());
    let mut bad = |name: &str, fails: Fails<'_>, comment: &str, make: &dyn Fn(&Forge)| {
        set.forged(name, "machines", fails, comment, make);
        with(set.vectors.last_mut().unwrap());
    };
    let condition = "substr(header, 1, 1) = x'03'";
    bad("keyring-no-slot", Fails("no-slot", "open", ""), "the keyring's slot is gone", &|f| {
        f.sql(&format!("DELETE FROM slot WHERE {condition}"));
    });
    bad("keyring-salt", Fails("wrong-credential", "open", ""), "the slot's salt is altered", &|f| {
        f.flip("slot", "header", condition, 5);
    });
    bad("keyring-sealed", Fails("wrong-credential", "open", ""), "the slot's sealed key is altered", &|f| {
        f.flip("slot", "sealed", condition, 60);
    });
    bad("keyring-leaf", Fails("tree-slot", "state", ""), "the slot is not in the tree", &|f| {
        let id = u32::try_from(f.number(&format!("SELECT id FROM slot WHERE {condition}"))).unwrap();
        f.drop_leaf(&f.tag(SLOT, &id.to_le_bytes()));
        f.sign_tree();
    });
    bad("keyring-read", Fails("tree-key", "read a", "key {key a}"), "a key's metadata is altered", &|f| {
        f.flip("object", "sealed", "{at key a}", 60);
    });
}
