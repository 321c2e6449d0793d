//! Texts that an owner signs for a token's bearer: views and bundles.
//!
//! ```text
//! plaintext = bytes(text) ‖ bytes(signature of text)
//! ```
//!
//! Owner and bearer share the keys that seal it, so the seal shows only that one of the two made it. The bearer's token
//! names the signer, and the vault, or the bundle itself, has the public keys.

use crate::store::TokenId;
use keyvault_core::codec::{Decoder, Encoder, Malformed};
use keyvault_core::crypto::{SignatureError, Signed, Signer, SignerId, SigningKey};
use keyvault_core::identity::Identity;

use super::error::TokenError;
use super::record::TokenKind;

/// A text and its signature, which may not have been verified.
pub(crate) struct SignedText<'t> {
    pub(crate) text: &'t [u8],
    signature: &'t [u8],
}

/// The signer for a token's bearer as a vault or a bundle names it; believed once its id is the token's.
pub(crate) struct NamedSigner<'s> {
    pub(crate) id: &'s SignerId,
    pub(crate) encoded: &'s [u8],
}

impl<'t> SignedText<'t> {
    pub(crate) fn encode(kind: Signed, text: &[u8], signing: &SigningKey, identity: &Identity) -> Encoder {
        Encoder::new().bytes(text).bytes(&signing.sign(kind, identity, text))
    }

    pub(crate) fn decode(decoder: &mut Decoder<'t>) -> Result<Self, Malformed> {
        Ok(Self { text: decoder.bytes()?, signature: decoder.bytes()? })
    }

    /// Refuses what the signer that the token names did not sign.
    pub(crate) fn verify(
        &self,
        kind: Signed,
        signer: &NamedSigner<'_>,
        identity: &Identity,
    ) -> Result<(), TokenError> {
        let what = match kind {
            Signed::Record => "record",
            Signed::View => "view",
            Signed::Bundle => "bundle",
        };
        if Signer::id_of(signer.encoded) != *signer.id {
            return Err(TokenError::NotByOwner { what });
        }
        let signer = Signer::decode(signer.encoded).map_err(|Malformed| TokenError::NotByOwner { what })?;
        signer.verify(kind, identity, self.text, self.signature).map_err(|error| match error {
            SignatureError::Wrong => TokenError::NotByOwner { what },
            SignatureError::UnknownAlgorithm => {
                TokenError::Newer { what: format!("the signature of the {what} has an algorithm") }
            }
        })
    }
}

/// The head of every text that is signed for a bearer: kind of token, its id, and the change.
pub(crate) fn head(kind: TokenKind, token: &TokenId, change: u64) -> Encoder {
    Encoder::new().u8(kind.code()).fixed(token).u64(change)
}

/// Reads a head, which must be that of this token and change.
pub(crate) fn expect_head(
    decoder: &mut Decoder<'_>,
    kind: TokenKind,
    token: &TokenId,
    change: u64,
) -> Result<(), Malformed> {
    let found = (decoder.u8()?, decoder.array()?, decoder.u64()?);
    if found == (kind.code(), *token, change) { Ok(()) } else { Err(Malformed) }
}
