//! Signatures: whoever holds a vault's everyday keys signs, and a bearer, who shares symmetric keys with the owner, can
//! tell the two apart.
//!
//! A [`Signer`] is an ascending list of (algorithm, public key). A signature is an ascending list of (algorithm,
//! signature) that has exactly one part for each algorithm of its signer, so that a part cannot be left out to leave
//! only the weaker one. Algorithm 1 is Ed25519 (RFC 8032); 2 and 3 are reserved for ML-DSA-65 and ML-DSA-87 (FIPS 204).
//! Nothing outside of this file depends on the length of a key or a signature.

use std::collections::BTreeMap;

use borsh::BorshSerialize;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::{SealingKey, sha256};
use crate::codec::{self, Malformed};
use crate::identity::Identity;
use crate::secret::SecretBytes;

const LABEL: [u8; 15] = *b"keyvault signed";
const SIGNER_LABEL: &[u8] = b"keyvault signer";

const ALGORITHM_ED25519: u8 = 1;

/// Greatest length of an encoded signer or signature, in bytes. An ML-DSA-87 signature has 4,627.
const MAX_LEN: usize = 8 * 1024;

/// Length of what names a signer, in bytes.
pub const SIGNER_ID_LEN: usize = 16;

/// The first 16 bytes of SHA-256 over a label and the encoded signer.
pub type SignerId = [u8; SIGNER_ID_LEN];

/// The kind of text that is signed. A text signed as one kind is no text of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize)]
#[borsh(use_discriminant = true)]
pub enum Signed {
    Record = 1,
    View = 2,
    Bundle = 3,
    SetHeader = 4,
    Hold = 5,
    Succession = 6,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not by this signer, or not of this text, vault, epoch, and kind.
    #[error("the signature does not verify")]
    Wrong,
    /// The signer has a key of an algorithm that is not known here.
    #[error("the signature has an algorithm that this version does not know")]
    UnknownAlgorithm,
}

/// A key that signs: the seed of an Ed25519 pair.
pub struct SigningKey(SealingKey);

/// The public half of a [`SigningKey`], or of one made by a later version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer(Parts);

/// By algorithm: public keys, or signatures.
type Parts = BTreeMap<u8, Vec<u8>>;

impl SigningKey {
    /// The pair whose seed this key is. It is used for nothing else.
    #[must_use]
    pub fn of_seed(seed: SealingKey) -> Self {
        Self(seed)
    }

    // `None` only if the primitive refuses a seed of 32 bytes, which RFC 8032 knows no case of.
    fn pair(&self) -> Option<Ed25519KeyPair> {
        Ed25519KeyPair::from_seed_unchecked(self.0.expose()).ok()
    }

    #[must_use]
    pub fn signer(&self) -> Signer {
        let public = self.pair().map(|pair| (ALGORITHM_ED25519, pair.public_key().as_ref().to_vec()));
        Signer(public.into_iter().collect())
    }

    /// The encoded signature of a text.
    #[must_use]
    pub fn sign(&self, kind: Signed, identity: &Identity, text: &[u8]) -> Vec<u8> {
        let part = self
            .pair()
            .zip(message(kind, identity, text))
            .map(|(pair, message)| (ALGORITHM_ED25519, pair.sign(message.expose()).as_ref().to_vec()));
        codec::encode(&part.into_iter().collect::<Parts>())
    }
}

impl Signer {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&self.0)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let keys = decode(bytes)?;
        if keys.is_empty() { Err(Malformed) } else { Ok(Self(keys)) }
    }

    #[must_use]
    pub fn id(&self) -> SignerId {
        Self::id_of(&self.encode())
    }

    /// The id of an encoded signer that may not be one.
    #[must_use]
    pub fn id_of(encoded: &[u8]) -> SignerId {
        let mut id = [0; SIGNER_ID_LEN];
        for (place, byte) in id.iter_mut().zip(sha256(&[SIGNER_LABEL, encoded].concat())) {
            *place = byte;
        }
        id
    }

    /// Holds an encoded signature of a text against each of the signer's keys.
    pub fn verify(
        &self,
        kind: Signed,
        identity: &Identity,
        text: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let parts = decode(signature).map_err(|Malformed| SignatureError::Wrong)?;
        if self.0.is_empty() || !self.0.keys().eq(parts.keys()) {
            return Err(SignatureError::Wrong);
        }
        let message = message(kind, identity, text).ok_or(SignatureError::Wrong)?;
        self.0.iter().zip(parts.values()).try_for_each(|((algorithm, public), part)| match *algorithm {
            ALGORITHM_ED25519 => UnparsedPublicKey::new(&ED25519, public)
                .verify(message.expose(), part)
                .map_err(|_| SignatureError::Wrong),
            _ => Err(SignatureError::UnknownAlgorithm),
        })
    }
}

// A bundle's text has values in it. `None` only for a text of 4 GiB.
fn message(kind: Signed, identity: &Identity, text: &[u8]) -> Option<SecretBytes> {
    // A label has no length before it, and so is an array.
    codec::encode_secret(&(LABEL, kind, identity, text)).ok()
}

fn decode(bytes: &[u8]) -> Result<Parts, Malformed> {
    if bytes.len() > MAX_LEN { Err(Malformed) } else { codec::decode(bytes) }
}

/// Ed25519 as it is used above, for published test vectors.
#[cfg(test)]
pub(super) fn raw_verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

/// See [`raw_verify`].
#[cfg(test)]
pub(super) fn raw_sign(seed: &[u8; 32], message: &[u8]) -> Option<Vec<u8>> {
    Ed25519KeyPair::from_seed_unchecked(seed).ok().map(|pair| pair.sign(message).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { vault_id: [1; 16], epoch: 1 };

    fn key(byte: u8) -> SigningKey {
        SigningKey::of_seed(SealingKey::from_bytes(&[byte; 32]).unwrap_or_else(|| std::process::abort()))
    }

    #[test]
    fn a_signature_is_of_its_signer_kind_vault_epoch_and_text_alone() {
        let (key, other) = (key(1), key(2));
        let signature = key.sign(Signed::View, &IDENTITY, b"text");
        let verify = |signer: &Signer, kind, identity: Identity, text: &[u8]| {
            signer.verify(kind, &identity, text, &signature)
        };
        assert_eq!(verify(&key.signer(), Signed::View, IDENTITY, b"text"), Ok(()));
        let wrong = Err(SignatureError::Wrong);
        assert_eq!(verify(&other.signer(), Signed::View, IDENTITY, b"text"), wrong);
        assert_eq!(verify(&key.signer(), Signed::Bundle, IDENTITY, b"text"), wrong);
        assert_eq!(verify(&key.signer(), Signed::View, Identity { epoch: 2, ..IDENTITY }, b"text"), wrong);
        let elsewhere = Identity { vault_id: [2; 16], ..IDENTITY };
        assert_eq!(verify(&key.signer(), Signed::View, elsewhere, b"text"), wrong);
        assert_eq!(verify(&key.signer(), Signed::View, IDENTITY, b"texts"), wrong);
    }

    #[test]
    fn a_signature_has_one_part_for_each_algorithm_of_its_signer() {
        let key = key(1);
        let signature = key.sign(Signed::Record, &IDENTITY, b"");
        let mut parts = decode(&signature).unwrap_or_default();
        let verify = |signer: &Signer, parts: &Parts| {
            signer.verify(Signed::Record, &IDENTITY, b"", &codec::encode(parts))
        };
        let none = Parts::new();
        assert_eq!(verify(&key.signer(), &none), Err(SignatureError::Wrong), "none");
        assert_eq!(verify(&Signer(Parts::new()), &none), Err(SignatureError::Wrong), "nobody signs nothing");
        parts.insert(2, vec![0; 3309]);
        assert_eq!(verify(&key.signer(), &parts), Err(SignatureError::Wrong), "one that nobody asked for");
        let mut both = key.signer();
        both.0.insert(2, vec![0; 1952]);
        assert_eq!(verify(&both, &parts), Err(SignatureError::UnknownAlgorithm));
        parts.remove(&2);
        assert_eq!(verify(&both, &parts), Err(SignatureError::Wrong), "one left out");
    }

    #[test]
    fn a_signer_is_an_ascending_list_of_at_most_8_kib_that_names_somebody() {
        let signer = key(1).signer();
        let list = |parts: &[(u8, Vec<u8>)]| codec::encode(parts);
        assert_eq!(Signer::decode(&signer.encode()), Ok(signer.clone()));
        assert_eq!(Signer::id_of(&signer.encode()), signer.id());
        for wrong in [
            Vec::new(),
            list(&[]),
            list(&[(1, vec![1; 32]), (1, vec![1; 32])]),
            list(&[(2, vec![1; 32]), (1, vec![1; 32])]),
            list(&[(2, vec![1; MAX_LEN])]),
            [signer.encode(), vec![0]].concat(),
        ] {
            assert_eq!(Signer::decode(&wrong), Err(Malformed));
        }
    }
}
