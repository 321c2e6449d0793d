//! Input from machines: tokens, grants, bundles, logs of reads.

use super::IDENTITY;
use super::same;
use keyvault_core::secret::SecretBytes;
use keyvault_vault::unlock::token::Token;
use keyvault_vault::{BundleContent, BundleLabel, Grant, Ledgers, ReadsLine, TokenRecord};

/// A token has one printed form, whatever white space is around it.
pub fn token(bytes: &[u8]) -> bool {
    Token::parse(bytes).is_ok_and(|token| same(token.text().expose(), bytes.trim_ascii()))
}

/// The plaintext of a grant has one encoding.
pub fn grant(bytes: &[u8]) -> bool {
    Grant::decode([0; 16], bytes)
        .is_ok_and(|grant| grant.encode().is_ok_and(|plain| same(plain.expose(), bytes)))
}

/// The plaintext of a token's record has one encoding.
pub fn token_record(bytes: &[u8]) -> bool {
    TokenRecord::decode(bytes)
        .is_ok_and(|record| record.encode().is_ok_and(|plain| same(plain.expose(), bytes)))
}

/// The plaintext of the list of ledgers has one encoding.
pub fn ledgers(bytes: &[u8]) -> bool {
    Ledgers::decode(bytes).is_ok_and(|list| same(&list.encode(), bytes))
}

/// The label whose content bundles are read as.
pub(super) const LABEL: BundleLabel = BundleLabel { identity: IDENTITY, token: [1; 16], change: 7 };

/// A bundle's file, as far as it is read before the seal, is written again as something that reads the same; and so is
/// its content.
pub fn bundle(bytes: &[u8]) -> bool {
    let content = SecretBytes::copy_from(bytes);
    let taken = BundleContent::decode(content.expose(), &LABEL).is_ok();
    let Ok((label, sealed)) = BundleLabel::parse(bytes) else { return taken };
    assert_eq!(BundleLabel::parse(&label.write(&sealed)), Ok((label, sealed)));
    true
}

/// A line of a log of reads is written again as something that reads the same.
pub fn reads(bytes: &[u8]) -> bool {
    let Some(line) = ReadsLine::parse(bytes) else { return false };
    let again = line.encode().unwrap_or_default();
    assert_eq!(ReadsLine::parse(&again), Some(line));
    true
}
