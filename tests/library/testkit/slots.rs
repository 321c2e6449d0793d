//! Vectors of the slots: slots that are hostile, altered, exchanged, and credentials that are wrong.

use super::forge::Forge;
use super::set::{Fails, Set};
use super::sql;
use super::vector::{Credential, hex};

pub(crate) fn all(set: &mut Set) {
    headers(set);
    altered(set);
    credentials(set);
}

fn cost(f: &Forge, memory: u32, passes: u32, lanes: u32) {
    let mut header = f.blob("SELECT header FROM slot WHERE id = 1")[..33].to_vec();
    for number in [memory, passes, lanes] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    f.put("slot", "header", "id = 1", &header);
}

/// A slot is passed over that the passphrase would open; the recovery code opens the vault.
fn passed_over(set: &mut Set, name: &str, reason: &str, comment: &str, make: impl FnOnce(&Forge)) {
    set.bad(name, Fails(reason, "slots", "slot 1"), comment, make);
    let code = set.base("plain").code.clone();
    set.vectors.last_mut().unwrap().credential = Credential::RecoveryCode(code);
}

fn headers(set: &mut Set) {
    for (word, memory, passes, lanes) in [
        ("memory-zero", 0, 1, 1),
        ("memory-low", 19_455, 1, 1),
        ("memory-high", 1_048_577, 1, 1),
        ("memory-highest", u32::MAX, 1, 1),
        ("passes-zero", 19_456, 0, 1),
        ("passes-high", 19_456, 11, 1),
        ("passes-highest", 19_456, u32::MAX, 1),
        ("lanes-zero", 19_456, 1, 0),
        ("lanes-high", 19_456, 1, 9),
        ("lanes-highest", 19_456, 1, u32::MAX),
    ] {
        let comment = format!("{memory} KiB, {passes} passes, {lanes} lanes");
        passed_over(set, &format!("slot-{word}"), "slot-cost", &comment, |f| {
            cost(f, memory, passes, lanes);
        });
    }
    let none = Fails("no-slot", "open", "");
    set.bad("slot-cost-of-the-only-one", none, "the only slot for a passphrase asks for 4 TiB", |f| {
        cost(f, u32::MAX, 1, 1);
    });
    let header = "slot-header";
    passed_over(set, "slot-header-empty", header, "a slot's header has no bytes", |f| {
        f.put("slot", "header", "id = 1", &[]);
    });
    passed_over(set, "slot-header-kind-only", header, "a slot's header ends behind the kind", |f| {
        f.put("slot", "header", "id = 1", &[1]);
    });
    let of = |row| Fails("slot-header", "slots", row);
    set.bad("slot-header-short-salt", of("slot 2"), "a recovery slot's salt has 31 bytes", |f| {
        f.sql("UPDATE slot SET header = substr(header, 1, 32) WHERE id = 2");
    });
    passed_over(set, "slot-header-no-cost", header, "a passphrase slot has no cost", |f| {
        f.sql("UPDATE slot SET header = substr(header, 1, 33) WHERE id = 1");
    });
    passed_over(set, "slot-header-half-cost", header, "a passphrase slot ends within its lanes", |f| {
        f.sql("UPDATE slot SET header = substr(header, 1, 44) WHERE id = 1");
    });
    passed_over(set, "slot-header-long", header, "a passphrase slot's header has a byte more", |f| {
        f.sql("UPDATE slot SET header = CAST(header || x'00' AS BLOB) WHERE id = 1");
    });
    set.bad("slot-header-long-code", of("slot 2"), "a recovery slot's header has a cost", |f| {
        f.sql("UPDATE slot SET header = CAST(header || x'004c00000100000001000000' AS BLOB) WHERE id = 2");
    });
    set.bad("slot-header-long-file", of("slot 3"), "a key file's slot has a salt of 33 bytes", |f| {
        f.sql("UPDATE slot SET header = CAST(header || x'00' AS BLOB) WHERE id = 3");
    });
    let kind = Fails("slot-kind", "slots", "slot 3");
    for (word, number) in [("zero", 0), ("next", 5), ("highest", 255)] {
        let comment = format!("a slot is of kind {number}");
        set.bad(&format!("slot-kind-{word}"), kind, &comment, |f| {
            f.sql(&format!(
                "UPDATE slot SET header = CAST(x'{}' || substr(header, 2) AS BLOB) WHERE id = 3",
                hex(&[number])
            ));
        });
    }
    let number = |row| Fails("slot-number", "slots", row);
    set.forged("slot-33", "slots", number("slot 33"), "there are 33 slots", |f| {
        f.sql("INSERT INTO slot SELECT 33, header, sealed FROM slot WHERE id = 3");
    });
    set.bad(
        "slot-thousands",
        number("slot 100"),
        "there are 40 slots, none but the first three with a header of any sense",
        |f| {
            for id in 100..137 {
                f.sql(&format!("INSERT INTO slot VALUES ({id}, x'ff', x'')"));
            }
        },
    );
    let keyring = Credential::Keyring(set.machines.keyring.clone());
    let beside = Fails("slot-header", "slots", "slot 9");
    let comment = "a slot without a header, and the keyring opens the vault";
    set.edited("slot-header-beside-a-keyring", "machines", beside, comment, |vector| {
        vector.sql.push_str("INSERT INTO slot VALUES (9, x'', x'');\n");
        vector.row.push_str("slot 9");
        vector.credential = keyring;
    });
    set.bad("slot-number-zero", number("slot 0"), "a slot has the number 0", |f| {
        f.sql("UPDATE slot SET id = 0 WHERE id = 3");
    });
    set.bad("slot-number-negative", number("slot -1"), "a slot has a negative number", |f| {
        f.sql("UPDATE slot SET id = -1 WHERE id = 3");
    });
    set.bad(
        "slot-number-huge",
        number("slot 4294967296"),
        "a slot's number does not fit into 32 bits",
        |f| f.sql("UPDATE slot SET id = 4294967296 WHERE id = 3"),
    );
}

fn altered(set: &mut Set) {
    let wrong = Fails("wrong-credential", "open", "");
    for (part, place) in [("salt", 3), ("commitment", 30), ("ciphertext", 60), ("tag", -1)] {
        set.bad(
            &format!("slot-{part}"),
            wrong,
            &format!("one bit of the {part} of a slot is altered"),
            |f| f.flip("slot", "sealed", "id = 1", place),
        );
    }
    set.bad("slot-short", wrong, "a slot's sealed root is shorter than a seal", |f| {
        f.put("slot", "sealed", "id = 1", &[1; 71]);
    });
    set.bad("slot-kdf-salt", wrong, "one bit of the salt of Argon2id is altered", |f| {
        f.flip("slot", "header", "id = 1", 5);
    });
    set.bad("slot-passes-within-bounds", wrong, "a slot asks for another pass than it was made with", |f| {
        cost(f, 19_456, 2, 1);
    });
    set.bad(
        "slot-memory-within-bounds",
        wrong,
        "a slot asks for another memory than it was made with",
        |f| cost(f, 20_000, 1, 1),
    );
    set.bad("slot-renumbered", wrong, "a slot has another number", |f| {
        f.sql("UPDATE slot SET id = 9 WHERE id = 1");
    });
    set.bad("slot-swapped", wrong, "the sealed roots of two slots are exchanged", |f| {
        f.sql(
            "CREATE TEMP TABLE p AS SELECT * FROM slot WHERE id IN (1, 2);
               UPDATE slot SET sealed = (SELECT sealed FROM p WHERE p.id <> slot.id) WHERE id IN (1, 2)",
        );
    });
    set.bad(
        "slot-of-other-kind",
        Fails("no-slot", "open", ""),
        "the passphrase's slot says that a key file opens it",
        |f| {
            f.sql("UPDATE slot SET header = CAST(x'04' || substr(header, 2, 32) AS BLOB) WHERE id = 1");
        },
    );
    set.bad("slot-deleted", Fails("no-slot", "open", ""), "the passphrase's slot is deleted", |f| {
        f.sql("DELETE FROM slot WHERE id = 1");
    });
    set.bad("slot-all-deleted", Fails("no-slot", "open", ""), "all slots are deleted", |f| {
        f.sql("DELETE FROM slot");
    });
    let (other, old) = (set.other.sql.clone(), set.plain.old_passphrase.sql.clone());
    let take = |f: &Forge, from: &str| {
        let from = sql::in_memory(from);
        let (header, sealed): (Vec<u8>, Vec<u8>) = from
            .query_row("SELECT header, sealed FROM slot WHERE id = 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        f.put("slot", "header", "id = 1", &header);
        f.put("slot", "sealed", "id = 1", &sealed);
    };
    set.bad(
        "slot-of-another-vault",
        wrong,
        "the slot is that of another vault with the same passphrase",
        |f| take(f, &other),
    );
    // Root is the same: only the tree knows that this slot has been replaced.
    set.bad(
        "slot-aged",
        Fails("tree-slot", "state", ""),
        "the slot is one that was replaced; its passphrase is the same",
        |f| take(f, &old),
    );
    let slots = |row| Fails("tree-slot", "slots", row);
    set.bad(
        "slot-other-altered",
        slots("slot 2"),
        "one bit of a slot is altered that is not the one that opens",
        |f| f.flip("slot", "sealed", "id = 2", 60),
    );
    set.bad(
        "slot-other-header",
        slots("slot 2"),
        "one bit of the salt of a slot is altered that is not the one that opens",
        |f| f.flip("slot", "header", "id = 2", 9),
    );
    set.bad("slot-added", slots("slot 4"), "a slot stands once more under another number", |f| {
        f.sql("INSERT INTO slot SELECT 4, header, sealed FROM slot WHERE id = 3");
    });
    set.bad(
        "slot-other-deleted",
        Fails("leaf-stray", "check", "leaf {slot 2}"),
        "a slot is deleted that is not the one that opens",
        |f| {
            f.sql("DELETE FROM slot WHERE id = 2");
        },
    );
}

fn credentials(set: &mut Set) {
    let wrong = Fails("wrong-credential", "open", "");
    let (code, file) = (set.base("plain").code.clone(), set.base("plain").key_file.clone());
    let (other_code, other_file) = (set.other.code.clone(), set.other.key_file.clone());
    let mut with = |name: &str, fails: Fails<'_>, comment: &str, credential: Credential| {
        set.edited(&format!("credential-{name}"), "plain", fails, comment, |vector| {
            vector.credential = credential;
        });
    };
    let passphrase = |text: &str| Credential::Passphrase(text.as_bytes().to_vec());
    with("passphrase-wrong", wrong, "another passphrase", passphrase("incorrect horse battery staple"));
    with("passphrase-case", wrong, "a letter in upper case", passphrase("Correct horse battery staple"));
    with("passphrase-space", wrong, "a space at the end", passphrase("correct horse battery staple "));
    with(
        "passphrase-newline",
        wrong,
        "a line break at the end, which belongs to the file and not to the passphrase",
        passphrase("correct horse battery staple\n"),
    );
    with(
        "passphrase-width",
        wrong,
        "a full-width letter: equal in NFKC, and not in NFC",
        passphrase("\u{ff43}orrect horse battery staple"),
    );
    let unfit = Fails("not-a-passphrase", "open", "");
    with("passphrase-empty", unfit, "no bytes", passphrase(""));
    with("passphrase-long", unfit, "4097 bytes", passphrase(&"a".repeat(4097)));
    with(
        "passphrase-longest",
        wrong,
        "4096 bytes, which a passphrase may have",
        passphrase(&"a".repeat(4096)),
    );
    with(
        "passphrase-not-utf-8",
        unfit,
        "not UTF-8",
        Credential::Passphrase(b"correct horse \xff staple".to_vec()),
    );
    let as_code = Credential::RecoveryCode;
    with("code-wrong", wrong, "the recovery code of another vault", as_code(other_code.clone()));
    let not = Fails("not-a-code", "open", "");
    with("code-short", not, "the last character is missing", as_code(code[..46].to_owned()));
    with("code-long", not, "a character more", as_code(format!("{code}0")));
    with("code-letter", not, "a U, which the alphabet does not have", as_code(format!("U{}", &code[1..])));
    let first = if code.starts_with('7') { "8" } else { "7" };
    with("code-checksum", not, "one character is another one", as_code(format!("{first}{}", &code[1..])));
    let swapped = format!("{}{}{}", &code[6..12], &code[..6], &code[12..]);
    with("code-groups", not, "two groups are exchanged", as_code(swapped));
    let as_file = Credential::KeyFile;
    with("file-wrong", wrong, "the key file of another vault", as_file(other_file));
    let not = Fails("not-a-key-file", "open", "");
    with("file-no-word", not, "the first word is missing", as_file(file[18..].to_owned()));
    with("file-other-word", not, "another first word", as_file(file.replacen("key", "kez", 1)));
    with("file-short", not, "the last character is missing", as_file(file[..file.len() - 1].to_owned()));
    with("file-padded", not, "padding of base64 at the end", as_file(format!("{file}==")));
    let at = 30;
    let letter = if file.as_bytes()[at] == b'A' { "B" } else { "A" };
    with(
        "file-checksum",
        not,
        "one character is another one",
        as_file(format!("{}{letter}{}", &file[..at], &file[at + 1..])),
    );
    with(
        "file-alphabet",
        not,
        "a character of base64 that base64url does not have",
        as_file(format!("{}+{}", &file[..at], &file[at + 1..])),
    );
    let none = Fails("no-slot", "open", "");
    set.edited("credential-no-file-slot", "empty", none, "a key file, where no slot is for one", |vector| {
        vector.credential = as_file(file.clone());
    });
}
