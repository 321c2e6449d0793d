//! Ed25519 key pairs in the two formats that programs read. The seed is 32 random bytes; its public key comes from
//! the function handed in. No private byte stands outside a buffer that is wiped.

use super::{Ed25519Public, Generated, RecipeError};
use crate::clock::Rng;
use crate::secret::{SecretBytes, SecretWriter};
use data_encoding::BASE64;
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use ssh_key::public::Ed25519PublicKey;
use ssh_key::{LineEnding, PrivateKey};

/// Precedes the seed in PKCS #8 version 1 (RFC 8410 §7): a sequence of version 0, the algorithm 1.3.101.112, and the seed
/// in two octet strings.
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Precedes the public key in SPKI (RFC 8410 §4): a sequence of the algorithm and a bit string.
const SPKI_HEAD: [u8; 12] = [0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x03, 0x21, 0x00];

/// How many characters a line of PEM has.
const PEM_WIDTH: usize = 64;

/// A private key in the OpenSSH container is some 400 characters; a byte of comment adds less than 1.4.
const OPENSSH_ROOM: usize = 1024;

/// PKCS #8 in PEM, and SPKI in PEM.
pub(super) fn pem(rng: &dyn Rng, public: Ed25519Public) -> Result<Generated, RecipeError> {
    let (seed, public) = draw(rng, public)?;
    let mut private = SecretWriter::with_capacity(PKCS8_HEAD.len() + seed.len());
    private.push(&PKCS8_HEAD)?;
    private.push(seed.expose())?;
    let value = pem_text("PRIVATE KEY", private.written())?;
    let spki = pem_text("PUBLIC KEY", &[SPKI_HEAD.as_slice(), public.as_slice()].concat())?;
    let public = String::from_utf8_lossy(spki.expose()).into_owned();
    Ok(Generated { value, public: Some(public) })
}

/// Bytes in PEM (RFC 7468 §2).
pub(super) fn pem_text(label: &str, bytes: &[u8]) -> Result<SecretBytes, RecipeError> {
    armored(label, bytes, PEM_WIDTH)
}

/// Bytes in base64 between two lines that say what they are; a line has `width` characters.
pub(super) fn armored(label: &str, bytes: &[u8], width: usize) -> Result<SecretBytes, RecipeError> {
    let (head, foot) = (format!("-----BEGIN {label}-----\n"), format!("-----END {label}-----\n"));
    let mut body = SecretBytes::zeroed(BASE64.encode_len(bytes.len()));
    BASE64.encode_mut(bytes, body.expose_mut());
    let lines = body.len().div_ceil(width);
    let mut text = SecretWriter::with_capacity(head.len() + body.len() + lines + foot.len());
    text.push(head.as_bytes())?;
    for line in body.expose().chunks(width) {
        text.push(line)?;
        text.push(b"\n")?;
    }
    text.push(foot.as_bytes())?;
    Ok(text.finish())
}

/// The comment ends a line of `authorized_keys`; a newline in it would begin another.
pub(super) fn check_comment(comment: &str) -> Result<(), RecipeError> {
    if comment.chars().any(char::is_control) { Err(RecipeError::Comment) } else { Ok(()) }
}

/// OpenSSH's private key file, and the line for `authorized_keys`.
pub(super) fn openssh(rng: &dyn Rng, public: Ed25519Public, comment: &str) -> Result<Generated, RecipeError> {
    check_comment(comment)?;
    let (seed, public) = draw(rng, public)?;
    let seed = seed.expose().first_chunk::<32>().ok_or(RecipeError::Size)?;
    let pair =
        Ed25519Keypair { public: Ed25519PublicKey(public), private: Ed25519PrivateKey::from_bytes(seed) };
    let key = PrivateKey::new(KeypairData::Ed25519(pair), comment).map_err(|_| RecipeError::KeyPair)?;
    let mut room = SecretBytes::zeroed(OPENSSH_ROOM + comment.len() * 2);
    let text =
        key.encode_openssh(LineEnding::LF, room.expose_mut()).map_err(|_| RecipeError::KeyPair)?.as_bytes();
    let value = SecretBytes::copy_from(text);
    let public = key.public_key().to_openssh().map_err(|_| RecipeError::KeyPair)?;
    Ok(Generated { value, public: Some(public) })
}

/// A new seed and its public key.
fn draw(rng: &dyn Rng, public: Ed25519Public) -> Result<(SecretBytes, [u8; 32]), RecipeError> {
    let mut seed = SecretBytes::zeroed(32);
    rng.fill(seed.expose_mut())?;
    let bytes = seed.expose().first_chunk::<32>().ok_or(RecipeError::Size)?;
    let public = public(bytes).ok_or(RecipeError::KeyPair)?;
    Ok((seed, public))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;
    use crate::clock::RngError;
    use data_encoding::HEXLOWER;

    /// The key pair of RFC 8410 §10.
    const SEED: &str = "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842";
    const PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

    struct Seed;

    impl Rng for Seed {
        fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
            HEXLOWER.decode_mut(SEED.as_bytes(), target).map(|_| ()).map_err(|_| RngError)
        }
    }

    fn published(seed: &[u8; 32]) -> Option<[u8; 32]> {
        let known = HEXLOWER.encode(seed) == SEED;
        let public = HEXLOWER.decode(PUBLIC.as_bytes()).ok()?;
        public.try_into().ok().filter(|_| known)
    }

    #[test]
    fn pem_is_that_of_rfc_8410() {
        let made = pem(&Seed, published);
        let value = made.as_ref().map(|made| made.value.expose()).unwrap_or_default();
        let expected = b"-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----\n";
        assert!(value == expected, "the private key differs");
        let expected = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
            -----END PUBLIC KEY-----\n";
        assert_eq!(made.ok().and_then(|made| made.public).as_deref(), Some(expected));
    }

    #[test]
    fn the_openssh_container_gives_back_the_pair_and_the_comment() {
        for comment in ["deploy/key", "", &"long".repeat(300)] {
            let Ok(made) = openssh(&Seed, published, comment) else {
                panic!("no key for a comment of {} bytes", comment.len());
            };
            let Ok(key) = PrivateKey::from_openssh(made.value.expose()) else {
                panic!("the container does not parse");
            };
            let pair = key.key_data().ed25519().map(|pair| HEXLOWER.encode(&pair.private.to_bytes()));
            assert_eq!(pair.as_deref(), Some(SEED));
            assert_eq!(key.comment(), comment);
            let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh";
            let line = format!("{line} {comment}");
            assert_eq!(made.public.as_deref(), Some(line.trim_end()));
        }
    }

    #[test]
    fn a_seed_without_a_public_key_makes_no_pair() {
        assert!(matches!(pem(&Seed, |_| None), Err(RecipeError::KeyPair)));
        assert!(matches!(openssh(&Seed, |_| None, ""), Err(RecipeError::KeyPair)));
    }

    #[test]
    fn a_comment_cannot_begin_another_line() {
        assert!(matches!(openssh(&Seed, published, "a\nssh-rsa x"), Err(RecipeError::Comment)));
    }
}
