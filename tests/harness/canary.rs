//! A value that is easy to recognize, in pieces that are looked for.

use std::collections::HashSet;

/// No eight bytes of it are found anywhere by chance.
pub const CANARY: &str = "Zq7vXk2Lw9TrNb4Hy8Jd3Fs6Gm1Pc5Qe";

pub const PIECE: usize = 8;

/// Where the canary or a piece of it stands.
pub fn pieces(bytes: &[u8]) -> Vec<(usize, String)> {
    pieces_of(CANARY, bytes)
}

/// Where a secret or a piece of it stands.
pub fn pieces_of(secret: &str, bytes: &[u8]) -> Vec<(usize, String)> {
    let known: HashSet<&[u8]> = secret.as_bytes().windows(PIECE).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + PIECE) {
        if known.contains(window) {
            let end = bytes.len().min(at + secret.len());
            found.push((at, String::from_utf8_lossy(&bytes[at..end]).into_owned()));
            at += PIECE;
        } else {
            at += 1;
        }
    }
    found
}
