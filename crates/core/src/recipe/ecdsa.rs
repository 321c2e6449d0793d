//! ECDSA key pairs on the curves P-256 and P-384, in the two formats that programs read. PKCS #8 comes whole from the
//! function handed in; the OpenSSH container is made of its parts.

use super::{Generated, RecipeError, keypair};
use crate::clock::Rng;
use crate::secret::{SecretBytes, SecretWriter};
use data_encoding::BASE64;

/// Makes a key pair, as PKCS #8 with an ECPrivateKey (RFC 5915) that has the public key and no parameters.
pub type EcdsaPair = fn() -> Option<SecretBytes>;

/// The sizes and names of a curve.
pub(super) struct Curve {
    /// As OpenSSH names it (RFC 5656 §6.1).
    name: &'static str,
    /// The place in PKCS #8 of the algorithm and the curve: the sequence of both identifiers.
    algorithm: std::ops::Range<usize>,
    /// The place in PKCS #8 of the scalar, big-endian with leading zeros. The public key is its end.
    scalar: std::ops::Range<usize>,
    /// Precedes the algorithm in SPKI, and follows it there, before the public key.
    spki: ([u8; 2], [u8; 3]),
    /// The length of the public key: 0x04 and both coordinates.
    point: usize,
}

pub(super) const P256: Curve = Curve {
    name: "nistp256",
    algorithm: 6..27,
    scalar: 36..68,
    spki: ([0x30, 0x59], [0x03, 0x42, 0x00]),
    point: 65,
};

pub(super) const P384: Curve = Curve {
    name: "nistp384",
    algorithm: 6..24,
    scalar: 35..83,
    spki: ([0x30, 0x76], [0x03, 0x62, 0x00]),
    point: 97,
};

/// How many characters OpenSSH puts into a line.
const OPENSSH_WIDTH: usize = 70;

/// PKCS #8 in PEM, and SPKI in PEM.
pub(super) fn pem(curve: &Curve, pair: EcdsaPair) -> Result<Generated, RecipeError> {
    let pkcs8 = pair().ok_or(RecipeError::KeyPair)?;
    let parts = Parts::of(curve, &pkcs8)?;
    let value = keypair::pem_text("PRIVATE KEY", pkcs8.expose())?;
    let (head, foot) = curve.spki;
    let spki = [&head, parts.algorithm, &foot, parts.point].concat();
    let public = keypair::pem_text("PUBLIC KEY", &spki)?;
    let public = String::from_utf8_lossy(public.expose()).into_owned();
    Ok(Generated { value, public: Some(public) })
}

/// OpenSSH's private key file, and the line for `authorized_keys`.
pub(super) fn openssh(
    rng: &dyn Rng,
    curve: &Curve,
    pair: EcdsaPair,
    comment: &str,
) -> Result<Generated, RecipeError> {
    keypair::check_comment(comment)?;
    let pkcs8 = pair().ok_or(RecipeError::KeyPair)?;
    let parts = Parts::of(curve, &pkcs8)?;
    let kind = format!("ecdsa-sha2-{}", curve.name);
    let mut public = Vec::new();
    for part in [kind.as_bytes(), curve.name.as_bytes(), parts.point] {
        public.extend(length(part.len())?);
        public.extend(part);
    }

    // Twice the same number, by which a reader of an encrypted key knows that the passphrase was right.
    let mut check = [0; 4];
    rng.fill(&mut check)?;
    let scalar = parts.mpint();
    let zero: &[u8] = if scalar.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    let bare = 8 + public.len() + 4 + zero.len() + scalar.len() + 4 + comment.len();
    let padding: &[u8] = &[1, 2, 3, 4, 5, 6, 7];
    let padding = padding.get(..bare.next_multiple_of(8) - bare).ok_or(RecipeError::Size)?;
    let mut private = SecretWriter::with_capacity(bare + padding.len());
    private.push(&check)?;
    private.push(&check)?;
    private.push(&public)?;
    private.push(&length(zero.len() + scalar.len())?)?;
    private.push(zero)?;
    private.push(scalar)?;
    private.push(&length(comment.len())?)?;
    private.push(comment.as_bytes())?;
    private.push(padding)?;

    // No cipher, no key derivation and no options for it, one key.
    let head = b"openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none\0\0\0\0\0\0\0\x01";
    let mut file = SecretWriter::with_capacity(head.len() + 4 + public.len() + 4 + private.written().len());
    file.push(head)?;
    file.push(&length(public.len())?)?;
    file.push(&public)?;
    file.push(&length(private.written().len())?)?;
    file.push(private.written())?;
    let value = keypair::armored("OPENSSH PRIVATE KEY", file.written(), OPENSSH_WIDTH)?;
    let line = format!("{kind} {} {comment}", BASE64.encode(&public));
    Ok(Generated { value, public: Some(line.trim_end().to_owned()) })
}

/// A number before a string of the SSH protocol (RFC 4251 §5).
fn length(len: usize) -> Result<[u8; 4], RecipeError> {
    u32::try_from(len).map(u32::to_be_bytes).map_err(|_| RecipeError::Size)
}

/// Places in a PKCS #8.
struct Parts<'a> {
    algorithm: &'a [u8],
    scalar: &'a [u8],
    point: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(curve: &Curve, pkcs8: &'a SecretBytes) -> Result<Self, RecipeError> {
        let pkcs8 = pkcs8.expose();
        let algorithm = pkcs8.get(curve.algorithm.clone()).ok_or(RecipeError::KeyPair)?;
        let scalar = pkcs8.get(curve.scalar.clone()).ok_or(RecipeError::KeyPair)?;
        let start = pkcs8.len().checked_sub(curve.point).ok_or(RecipeError::KeyPair)?;
        let point = pkcs8.get(start..).ok_or(RecipeError::KeyPair)?;
        // The byte before the scalar is its length. Bytes in other places are another encoding than the one counted on.
        let scalar_head = pkcs8.get(..curve.scalar.start).and_then(<[u8]>::last);
        let is_known = algorithm.first() == Some(&0x30)
            && scalar_head.copied().map(usize::from) == Some(scalar.len())
            && point.first() == Some(&0x04)
            && start == curve.scalar.end + 5;
        if is_known { Ok(Self { algorithm, scalar, point }) } else { Err(RecipeError::KeyPair) }
    }

    /// The scalar without leading zeros.
    fn mpint(&self) -> &'a [u8] {
        let zeros = self.scalar.iter().take_while(|byte| **byte == 0).count();
        self.scalar.get(zeros..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    #![allow(clippy::unnecessary_wraps, reason = "each is an `EcdsaPair`")]

    use super::super::draw::testing::Counter;
    use super::*;
    use data_encoding::HEXLOWER;

    /// A PKCS #8 whose scalar is `scalar` and whose point is not on the curve.
    fn pkcs8_of(scalar: &[u8; 32]) -> SecretBytes {
        let head =
            HEXLOWER.decode(b"308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420");
        let point = [[4].as_slice(), &[7; 64]].concat();
        let bytes =
            [&head.unwrap_or_default(), &scalar[..], &[0xa1, 0x44, 0x03, 0x42, 0x00], &point].concat();
        SecretBytes::copy_from(&bytes)
    }

    fn high() -> Option<SecretBytes> {
        Some(pkcs8_of(&[0x80; 32]))
    }

    fn low() -> Option<SecretBytes> {
        let mut scalar = [1; 32];
        scalar[..2].fill(0);
        Some(pkcs8_of(&scalar))
    }

    #[test]
    fn pem_lines_have_64_characters_and_name_the_curve() {
        let made = pem(&P256, || Some(pkcs8_of(&[5; 32])));
        let Ok(made) = made else { panic!("no key") };
        let text = String::from_utf8_lossy(made.value.expose()).into_owned();
        assert!(
            text.starts_with("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg")
        );
        assert!(text.lines().all(|line| line.len() <= 64) && text.ends_with("-----END PRIVATE KEY-----\n"));
        let public = made.public.unwrap_or_default();
        assert!(public.starts_with("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"));
    }

    #[test]
    fn the_container_pads_a_number_whose_first_bit_is_set_and_drops_leading_zeros() {
        for (pair, bytes) in [(high as EcdsaPair, 33_u8), (low, 30)] {
            for comment in ["deploy/key", "", "twelve chars", &"long".repeat(300)] {
                let Ok(made) = openssh(&Counter::new(9), &P256, pair, comment) else { panic!("no key") };
                let Ok(text) = std::str::from_utf8(made.value.expose()) else { panic!("no text") };
                assert!(text.lines().all(|line| line.len() <= 70));
                let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
                let Ok(file) = BASE64.decode(base64.as_bytes()) else { panic!("no base64") };
                let point = [7; 64];
                let Some(place) = file.windows(64).rposition(|part| part == point) else {
                    panic!("no point")
                };
                assert_eq!(file.get(place + 64..place + 68), Some(&[0, 0, 0, bytes][..]));
                assert_eq!((file.len() - place - 64 - 4 - usize::from(bytes) - 4 - comment.len()) / 8, 0);
            }
        }
    }

    #[test]
    fn another_layout_makes_no_pair() {
        let cut = || high().map(|pkcs8| SecretBytes::copy_from(pkcs8.expose().get(1..).unwrap_or_default()));
        for pair in [(|| None) as EcdsaPair, cut, || Some(SecretBytes::zeroed(0))] {
            assert!(matches!(pem(&P256, pair), Err(RecipeError::KeyPair)));
        }
        assert!(matches!(pem(&P384, high), Err(RecipeError::KeyPair)));
        assert!(matches!(openssh(&Counter::new(1), &P256, high, "a\nb"), Err(RecipeError::Comment)));
    }
}
