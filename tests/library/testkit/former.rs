//! Vectors of verifiers' former tokens: authentic in every byte, and not what the format says.

use super::forge::{Forge, Tag, pad, unpad};
use super::set::{Fails, Set};
use super::vector::hex;

const FORMER: u8 = 17;
const BASE: &str = "overlapping";

/// Where the base's former token is.
fn place(forge: &Forge) -> Tag {
    forge.blob("SELECT tag FROM object WHERE id >> 56 = 17").try_into().unwrap()
}

pub(crate) fn all(set: &mut Set) {
    let forge = set.forge(BASE, "");
    let at = place(&forge);
    let plain = unpad(&forge.padded(FORMER, &at));
    drop(forge);
    let row = format!("former token {}", hex(&at));
    let mut bad = |name: &str, reason: &str, row: &str, comment: &str, make: &dyn Fn(&Forge)| {
        set.forged(&format!("former-{name}"), BASE, Fails(reason, "check", row), comment, |f| make(f));
    };
    bad("unsealed", "former-seal", &row, "a former token's seal is random bytes", &|f| {
        f.put_row(FORMER, &at, 1, &[7; 300]);
        f.sign();
    });
    // Behind the id, its length, and that of the record stand the record's name and its length.
    let kind = 4 + 16 + 4 + 4 + "gateway".len();
    let altered = |at: usize| {
        let mut text = plain.clone();
        text[at] ^= 1;
        text
    };
    let malformed = [
        ("other-id", "the first field is not the id in the record", altered(4)),
        ("record-length", "the record has another length than it says", altered(20)),
        ("bearer", "the record is of a bearer", altered(kind)),
        ("cut-off", "the last byte is missing", plain[..plain.len() - 1].to_vec()),
        ("rest", "a byte too many", [&plain[..], &[0]].concat()),
    ];
    for (name, comment, text) in &malformed {
        bad(name, "former-malformed", &row, comment, &|f| f.put_padded(FORMER, &at, &pad(text)));
    }
    bad("elsewhere", "former-place", "former token gateway", "a former token is at another id's tag", &|f| {
        f.sql("DELETE FROM object WHERE id >> 56 = 17");
        f.put_object(FORMER, &[7; 16], &plain);
    });
}
