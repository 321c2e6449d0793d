//! Texts that an owner signs for a token's bearer: views and bundles.
//!
//! ```text
//! plaintext = bytes(text) ‖ bytes(signature of text)
//! ```
//!
//! Owner and bearer share the keys that seal it, so the seal shows only that one of the two made it. The bearer's token
//! names the signer, and the vault, or the bundle itself, has the public keys.

use crate::store::TokenId;
use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::codec::{self, Malformed};
use keyvault_core::crypto::{SignatureError, Signed, Signer, SignerId};
use keyvault_core::identity::Identity;

use super::error::TokenError;
use super::record::TokenKind;

/// The head of every text that is signed for a bearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Head {
    kind: TokenKind,
    token: TokenId,
    change: u64,
}

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
    pub(crate) fn of(text: &'t [u8], signature: &'t [u8]) -> Self {
        Self { text, signature }
    }

    /// Takes a text and its signature off the front.
    pub(crate) fn take(from: &mut &'t [u8]) -> Result<Self, Malformed> {
        Ok(Self { text: codec::take_bytes(from)?, signature: codec::take_bytes(from)? })
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
            Signed::SetHeader => "set header",
            Signed::Hold => "hold",
            Signed::Succession => "succession",
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

impl Head {
    pub(crate) fn of(kind: TokenKind, token: &TokenId, change: u64) -> Self {
        Self { kind, token: *token, change }
    }

    /// The kind of a text that is right but for it, where it or the wanted kind is a verifier's or an issuer's.
    pub(crate) fn other_machines(
        text: &[u8],
        kind: TokenKind,
        token: &TokenId,
        change: u64,
    ) -> Option<TokenKind> {
        let head = Self::deserialize(&mut &text[..]).ok()?;
        let is_machines = |kind: TokenKind| matches!(kind, TokenKind::Verifier | TokenKind::Issuer);
        let differ = head.kind != kind && (is_machines(head.kind) || is_machines(kind));
        (differ && head == Self::of(head.kind, token, change)).then_some(head.kind)
    }
}
