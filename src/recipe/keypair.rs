//! Ed25519 key pairs: the private half is the value, the public half stands in the metadata.

use data_encoding::BASE64;
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey};
use ssh_key::public::Ed25519PublicKey;
use zeroize::Zeroizing;

use crate::clock::Rng;
use crate::secret::{SecretBytes, SecretWriter};

use super::{Ed25519Public, Generated, RecipeError};

/// DER before the seed: PKCS#8 v1 with the algorithm id-Ed25519 (RFC 8410 §7).
const PRIVATE_HEAD: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// DER before the public key: SubjectPublicKeyInfo (RFC 8410 §4).
const PUBLIC_HEAD: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// PKCS#8 in PEM, and the public half as PEM too.
pub(super) fn pem(rng: &dyn Rng, public_of: Ed25519Public) -> Result<Generated, RecipeError> {
    let (seed, public) = draw(rng, public_of)?;
    let mut der = SecretWriter::with_capacity(48);
    der.push(&PRIVATE_HEAD)?;
    der.push(&*seed)?;
    let der = der.finish();
    // 48 bytes are 64 characters: one line.
    let mut body = SecretBytes::zeroed(BASE64.encode_len(der.len()));
    BASE64.encode_mut(der.expose(), body.expose_mut());
    let (begin, end) = (b"-----BEGIN PRIVATE KEY-----\n", b"\n-----END PRIVATE KEY-----\n");
    let mut value = SecretWriter::with_capacity(begin.len() + body.len() + end.len());
    value.push(begin)?;
    value.push(body.expose())?;
    value.push(end)?;
    let body = BASE64.encode(&[PUBLIC_HEAD.as_slice(), &public].concat());
    let public = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    Ok(Generated { value: value.finish(), public: Some(public) })
}

/// An unencrypted OpenSSH private key, and the line for `authorized_keys`.
pub(super) fn openssh(
    rng: &dyn Rng,
    public_of: Ed25519Public,
    comment: &str,
) -> Result<Generated, RecipeError> {
    let (seed, public) = draw(rng, public_of)?;
    let pair =
        Ed25519Keypair { public: Ed25519PublicKey(public), private: Ed25519PrivateKey::from_bytes(&seed) };
    let mut key = ssh_key::PrivateKey::from(pair);
    key.set_comment(comment);
    let text = key.to_openssh(ssh_key::LineEnding::LF).map_err(|_| RecipeError::KeyPair)?;
    let public = key.public_key().to_openssh().map_err(|_| RecipeError::KeyPair)?;
    Ok(Generated { value: SecretBytes::copy_from(text.as_bytes()), public: Some(public + "\n") })
}

type Pair = (Zeroizing<[u8; 32]>, [u8; 32]);

fn draw(rng: &dyn Rng, public_of: Ed25519Public) -> Result<Pair, RecipeError> {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill(&mut *seed)?;
    let public = public_of(&seed).ok_or(RecipeError::KeyPair)?;
    Ok((seed, public))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::RngError;

    /// The seed of RFC 8410 §10.3.
    struct Rfc8410;

    impl Rng for Rfc8410 {
        fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
            let seed = data_encoding::HEXLOWER
                .decode(b"d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842")
                .map_err(|_| RngError)?;
            for (place, byte) in target.iter_mut().zip(seed) {
                *place = byte;
            }
            Ok(())
        }
    }

    #[test]
    fn the_private_half_is_that_of_rfc_8410() {
        let made = pem(&Rfc8410, |_| Some([0; 32])).map(|made| made.value.expose().to_vec());
        let expected = b"-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----\n";
        assert_eq!(made, Ok(expected.to_vec()));
    }
}
