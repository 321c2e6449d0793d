//! Tokens: a way for a machine to the keys that were granted to it, and to nothing else.
//!
//! ```text
//! token  = "kvt_" ‖ 43 random characters of base62 (256.03 bits) ‖ signer id in base62 (22)
//!          ‖ CRC-32 of all before in base62 (6): 75 characters
//! secret = HKDF of the 65 characters in between, label "keyvault token"
//! id     = first 16 bytes of HKDF(secret, "keyvault token id"): the bearer's rows stand under it
//! reader = HKDF(secret, "keyvault token reader")
//! ```
//!
//! The owner keeps the reader, never the secret: it writes what the bearer reads, and the token itself stands nowhere
//! but with its bearer. All other keys follow from the reader and the vault's epoch. Owner and bearer share those keys, so
//! the token also names the signer of what the owner writes; another signer makes another secret.

use crate::audit::AuditKeys;
use crate::store::{Ledger, TokenId};
use borsh::io;
use keyvault_core::clock::Rng;
use keyvault_core::crypto::{SealingKey, SignerId, SigningKey, wipe_stack};
use keyvault_core::identity::Identity;
use keyvault_core::recipe;
use keyvault_core::secret::SecretBytes;

use super::UnlockError;

const PREFIX: &str = "kvt_";
const RANDOM: usize = 43;
const SIGNER: usize = 22;
pub(super) const LEN: usize = PREFIX.len() + RANDOM + SIGNER + 6;

/// The longest text that can be one with white space around it, in bytes.
pub const MAX_LEN: usize = 256;

/// A token as its bearer has it.
#[derive(Debug)]
pub struct Token(SecretBytes);

/// The owner's part of a token, from which owner and bearer derive every key that they share.
#[derive(Debug, PartialEq, Eq)]
pub struct Reader(SealingKey);

/// The keys of what an owner writes for a token's bearer, each for one purpose.
pub struct TokenKeys {
    pub view: SealingKey,
    pub grants: SealingKey,
    pub bundle: SealingKey,
    /// MACs what is read from a bundle, where no vault is.
    pub reads: SealingKey,
    /// The bearer's audit chain in the vault.
    pub audit: AuditKeys,
}

impl Token {
    /// For what `signer` signs.
    pub fn create(signer: &SignerId, rng: &dyn Rng) -> Result<Self, UnlockError> {
        let signer: [u8; SIGNER] = recipe::base62(u128::from_be_bytes(*signer));
        recipe::token_with_tail(rng, PREFIX.as_bytes(), RANDOM, &signer)
            .map(Self)
            .map_err(|_| UnlockError::NotAToken)
    }

    /// Reads a token back; white space around it and a byte order mark before it do not matter.
    pub fn parse(text: &[u8]) -> Result<Self, UnlockError> {
        let text = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text).trim_ascii();
        let right = text.len() == LEN
            && text
                .strip_prefix(PREFIX.as_bytes())
                .is_some_and(|rest| rest.iter().all(u8::is_ascii_alphanumeric))
            && recipe::token_checksum_ok(text)
            && signer_of(text).is_some();
        // Its checksum goes through wide registers, which a build without optimization keeps on the stack.
        wipe_stack();
        if right { Ok(Self(SecretBytes::copy_from(text))) } else { Err(UnlockError::NotAToken) }
    }

    /// Signer of everything that the token opens.
    #[must_use]
    pub fn signer(&self) -> SignerId {
        signer_of(self.0.expose()).unwrap_or_default()
    }

    /// The printed form.
    #[must_use]
    pub fn text(&self) -> &SecretBytes {
        &self.0
    }

    #[must_use]
    pub fn id(&self) -> TokenId {
        let key = self.secret().derive("keyvault token id", &[]);
        let mut id = [0; 16];
        for (place, byte) in id.iter_mut().zip(key.expose()) {
            *place = *byte;
        }
        id
    }

    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader(self.secret().derive("keyvault token reader", &[]))
    }

    /// The pair with which a verifier signs holds and an issuer its set. It follows from what the owner does not keep.
    #[must_use]
    pub fn signing(&self, identity: &Identity) -> SigningKey {
        SigningKey::of_seed(self.secret().derive("keyvault token signing", &identity.whole()))
    }

    fn secret(&self) -> SealingKey {
        let between = PREFIX.len()..PREFIX.len() + RANDOM + SIGNER;
        let characters = self.0.expose().get(between).unwrap_or_default();
        SealingKey::derive_from(characters, "keyvault token", &[])
    }
}

fn signer_of(text: &[u8]) -> Option<SignerId> {
    let digits = text.get(PREFIX.len() + RANDOM..)?.get(..SIGNER)?;
    recipe::from_base62(digits).map(u128::to_be_bytes)
}

impl Reader {
    /// A reader that was kept.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        SealingKey::from_bytes(bytes).map(Self)
    }

    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    pub(crate) fn write<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        self.0.write(writer)
    }

    pub(crate) fn read<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        SealingKey::read(reader).map(Self)
    }

    /// The keys of one token in one epoch of a vault.
    #[must_use]
    pub fn keys(&self, identity: &Identity, token: &TokenId) -> TokenKeys {
        let context = identity.whole();
        let derive = |purpose: &str| self.0.derive(purpose, &context);
        TokenKeys {
            view: derive("keyvault token view"),
            grants: derive("keyvault token grants"),
            bundle: derive("keyvault token bundle"),
            reads: derive("keyvault token reads"),
            audit: AuditKeys {
                ledger: Ledger::Token(*token),
                events: derive("keyvault token audit events"),
                append: derive("keyvault token audit append"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyvault_core::crypto::SystemRng;

    #[test]
    fn a_token_reads_back_and_a_slip_is_noticed() -> Result<(), UnlockError> {
        let token = Token::create(&[7; 16], &SystemRng)?;
        let text = token.text().expose().to_vec();
        assert_eq!(text.len(), LEN);
        let padded = [b" \n", text.as_slice(), b"\n"].concat();
        let again = Token::parse(&padded)?;
        assert_eq!((again.id(), again.reader(), again.signer()), (token.id(), token.reader(), [7; 16]));
        for place in 0..text.len() {
            let mut slip = text.clone();
            if let Some(byte) = slip.get_mut(place) {
                *byte = if *byte == b'7' { b'8' } else { b'7' };
            }
            assert!(Token::parse(&slip).is_err(), "{place}");
        }
        assert!(Token::parse(b"").is_err() && Token::parse(b"kvt_").is_err());
        Ok(())
    }

    #[test]
    fn a_token_whose_signer_has_more_than_128_bits_is_none() -> Result<(), UnlockError> {
        let text = recipe::token_with_tail(&SystemRng, b"kvt_", RANDOM, b"7n42DGM5Tflk9n8mt7Fhc8");
        let text = text.map_err(|_| UnlockError::NotAToken)?;
        assert_eq!(text.len(), LEN);
        assert!(recipe::token_checksum_ok(text.expose()) && Token::parse(text.expose()).is_err());
        Ok(())
    }

    #[test]
    fn two_tokens_share_neither_id_nor_reader() -> Result<(), UnlockError> {
        let (one, other) = (Token::create(&[7; 16], &SystemRng)?, Token::create(&[7; 16], &SystemRng)?);
        assert_ne!(one.id(), other.id());
        assert_ne!(one.reader(), other.reader());
        Ok(())
    }
}
