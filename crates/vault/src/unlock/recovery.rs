//! The recovery code: 160 random bits on paper, for the day on which the passphrase is gone.
//!
//! ```text
//! code = 20 random bytes ‖ first 5 bytes of SHA-256("keyvault recovery code" ‖ those 20)
//! text = 40 characters of Crockford's base32 in eight groups of five, joined by dashes
//! ```
//!
//! The checksum tells a slip of the pen from a wrong code (25 bytes are exactly 40 characters). Reading is lenient as
//! Crockford intended: case and dashes do not matter, I and L are 1, O is 0.

use data_encoding::{Encoding, Specification};

use keyvault_core::clock::Rng;
use keyvault_core::crypto::sha256;
use keyvault_core::secret::{SecretBytes, SecretWriter};

use super::UnlockError;

/// The random part, in bytes.
const RANDOM: usize = 20;
const CHECK: usize = 5;
const CHARACTERS: usize = 40;
const GROUP: usize = 5;

/// A recovery code's 160 bits.
#[derive(Debug)]
pub struct RecoveryCode(SecretBytes);

impl RecoveryCode {
    pub fn create(rng: &dyn Rng) -> Result<Self, UnlockError> {
        let mut random = SecretBytes::zeroed(RANDOM);
        rng.fill(random.expose_mut())?;
        Ok(Self(random))
    }

    /// The 20 bytes from which the slot's key is derived.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// The code as people keep it: eight groups of five.
    pub fn text(&self) -> Result<SecretBytes, UnlockError> {
        let mut whole = SecretWriter::with_capacity(RANDOM + CHECK);
        whole.push(self.0.expose()).map_err(|_| UnlockError::NotACode)?;
        whole.push(&checksum(self.0.expose())).map_err(|_| UnlockError::NotACode)?;
        let mut characters = SecretBytes::zeroed(CHARACTERS);
        crockford()?.encode_mut(whole.finish().expose(), characters.expose_mut());
        let mut text = SecretWriter::with_capacity(CHARACTERS + CHARACTERS / GROUP - 1);
        for (number, group) in characters.expose().chunks(GROUP).enumerate() {
            if number > 0 {
                text.push(b"-").map_err(|_| UnlockError::NotACode)?;
            }
            text.push(group).map_err(|_| UnlockError::NotACode)?;
        }
        Ok(text.finish())
    }

    pub fn parse(text: &[u8]) -> Result<Self, UnlockError> {
        let text = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text);
        let mut characters = SecretWriter::with_capacity(CHARACTERS);
        for byte in text.iter().filter(|byte| !matches!(byte, b'-' | b' ' | b'\t' | b'\r' | b'\n')) {
            characters.push(&[*byte]).map_err(|_| UnlockError::NotACode)?;
        }
        let characters = characters.finish();
        if characters.len() != CHARACTERS {
            return Err(UnlockError::NotACode);
        }
        let mut whole = SecretBytes::zeroed(RANDOM + CHECK);
        crockford()?
            .decode_mut(characters.expose(), whole.expose_mut())
            .map_err(|_| UnlockError::NotACode)?;
        let (random, check) = whole.expose().split_at_checked(RANDOM).ok_or(UnlockError::NotACode)?;
        if checksum(random) != *check {
            return Err(UnlockError::NotACode);
        }
        Ok(Self(SecretBytes::copy_from(random)))
    }
}

fn checksum(random: &[u8]) -> Vec<u8> {
    let mut input = SecretWriter::with_capacity(64);
    // 22 + 20 bytes fit.
    let fits = input.push(b"keyvault recovery code").and_then(|()| input.push(random));
    debug_assert!(fits.is_ok());
    sha256(input.written()).get(..CHECK).unwrap_or_default().to_vec()
}

fn crockford() -> Result<Encoding, UnlockError> {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    specification.translate.from.push_str("abcdefghjkmnpqrstvwxyzOoIiLl");
    specification.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ001111");
    specification.encoding().map_err(|_| UnlockError::NotACode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyvault_core::crypto::SystemRng;

    #[test]
    fn a_code_reads_back_however_it_is_typed() -> Result<(), UnlockError> {
        let code = RecoveryCode::create(&SystemRng)?;
        let text = code.text()?;
        assert_eq!(text.len(), 47);
        let sloppy =
            String::from_utf8_lossy(text.expose()).to_lowercase().replace('-', " ").replace('0', "o");
        assert_eq!(RecoveryCode::parse(sloppy.as_bytes())?.expose(), code.expose());
        Ok(())
    }

    #[test]
    fn every_slip_of_one_character_is_noticed() -> Result<(), UnlockError> {
        let text = RecoveryCode::create(&SystemRng)?.text()?;
        for place in (0..text.len()).filter(|place| text.expose().get(*place) != Some(&b'-')) {
            let mut slip = text.expose().to_vec();
            if let Some(byte) = slip.get_mut(place) {
                *byte = if *byte == b'7' { b'8' } else { b'7' };
            }
            assert!(RecoveryCode::parse(&slip).is_err(), "{place}");
        }
        Ok(())
    }
}
