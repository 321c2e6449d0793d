//! Vectors of removed keys: authentic in every byte, and not what the format says.

use super::forge::{Forge, Tag, pad, text, unpad};
use super::set::{Fails, Set};
use super::vector::hex;

const REMOVED: u8 = 14;
const BASE: &str = "changed";

/// Where the base's removed key is.
fn place(forge: &Forge) -> Tag {
    forge.blob("SELECT tag FROM object WHERE id >> 56 = 14").try_into().unwrap()
}

pub(crate) fn all(set: &mut Set) {
    let forge = set.forge(BASE, "");
    let at = place(&forge);
    let plain = unpad(&forge.padded(REMOVED, &at));
    drop(forge);
    let row = format!("removed key {}", hex(&at));
    let mut bad = |name: &str, reason: &str, row: &str, comment: &str, make: &dyn Fn(&Forge)| {
        set.forged(&format!("removed-{name}"), BASE, Fails(reason, "check", row), comment, |f| make(f));
    };
    bad("unsealed", "removed-seal", &row, "a removed key's seal is random bytes", &|f| {
        f.put_row(REMOVED, &at, 1, &[7; 300]);
        f.sign();
    });
    let mut other = plain.clone();
    other[4] ^= 1;
    let malformed = [
        ("other-id", "the first field is not the id of the key", other),
        ("long-id", "the first field has 17 bytes", [text([7; 17]), plain[20..].to_vec()].concat()),
        ("cut-off", "the last byte is missing", plain[..plain.len() - 1].to_vec()),
        ("flag", "a flag of 2 before `due`", [&plain[..36], &[2], &plain[37..]].concat()),
        ("rest", "a byte too many", [&plain[..], &[0]].concat()),
    ];
    for (name, comment, text) in &malformed {
        bad(name, "removed-malformed", &row, comment, &|f| f.put_padded(REMOVED, &at, &pad(text)));
    }
    bad("elsewhere", "removed-place", "removed key third", "a removed key is at another id's tag", &|f| {
        f.sql("DELETE FROM object WHERE id >> 56 = 14");
        f.put_object(REMOVED, &[7; 16], &plain);
    });
}
