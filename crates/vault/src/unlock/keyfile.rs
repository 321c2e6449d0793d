//! The key file: a slot for machines, 256 random bits in a file of one line.
//!
//! ```text
//! line = "keyvault-key-file:" ‖ base64url without padding of (32 random bytes ‖ first 4 bytes of
//!        SHA-256("keyvault key file" ‖ those 32))
//! ```

use data_encoding::BASE64URL_NOPAD;

use keyvault_core::clock::Rng;
use keyvault_core::crypto::sha256;
use keyvault_core::secret::{SecretBytes, SecretWriter};

use super::UnlockError;

const PREFIX: &[u8] = b"keyvault-key-file:";
const RANDOM: usize = 32;
const CHECK: usize = 4;

/// The longest file that can be one, in bytes: its line with some white space.
pub const MAX_LEN: usize = 256;

/// A key file's 256 bits.
#[derive(Debug)]
pub struct KeyFile(SecretBytes);

impl KeyFile {
    pub fn create(rng: &dyn Rng) -> Result<Self, UnlockError> {
        let mut random = SecretBytes::zeroed(RANDOM);
        rng.fill(random.expose_mut())?;
        Ok(Self(random))
    }

    /// The 32 bytes from which the slot's key is derived.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    pub fn line(&self) -> Result<SecretBytes, UnlockError> {
        let mut whole = SecretWriter::with_capacity(RANDOM + CHECK);
        whole.push(self.0.expose()).map_err(|_| UnlockError::NotAKeyFile)?;
        whole.push(&checksum(self.0.expose())).map_err(|_| UnlockError::NotAKeyFile)?;
        let whole = whole.finish();
        let mut text = SecretBytes::zeroed(BASE64URL_NOPAD.encode_len(whole.len()));
        BASE64URL_NOPAD.encode_mut(whole.expose(), text.expose_mut());
        let mut line = SecretWriter::with_capacity(PREFIX.len() + text.len() + 1);
        for part in [PREFIX, text.expose(), b"\n"] {
            line.push(part).map_err(|_| UnlockError::NotAKeyFile)?;
        }
        Ok(line.finish())
    }

    /// Reads a file's content back; white space around the line does not matter.
    pub fn parse(content: &[u8]) -> Result<Self, UnlockError> {
        let text = content.trim_ascii().strip_prefix(PREFIX).ok_or(UnlockError::NotAKeyFile)?;
        if BASE64URL_NOPAD.decode_len(text.len()) != Ok(RANDOM + CHECK) {
            return Err(UnlockError::NotAKeyFile);
        }
        let mut whole = SecretBytes::zeroed(RANDOM + CHECK);
        BASE64URL_NOPAD.decode_mut(text, whole.expose_mut()).map_err(|_| UnlockError::NotAKeyFile)?;
        let (random, check) = whole.expose().split_at_checked(RANDOM).ok_or(UnlockError::NotAKeyFile)?;
        if checksum(random) != *check {
            return Err(UnlockError::NotAKeyFile);
        }
        Ok(Self(SecretBytes::copy_from(random)))
    }
}

fn checksum(random: &[u8]) -> Vec<u8> {
    let mut input = SecretWriter::with_capacity(64);
    // 17 + 32 bytes fit.
    let fits = input.push(b"keyvault key file").and_then(|()| input.push(random));
    debug_assert!(fits.is_ok());
    sha256(input.written()).get(..CHECK).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyvault_core::crypto::SystemRng;

    #[test]
    fn a_key_file_reads_back_and_a_slip_is_noticed() -> Result<(), UnlockError> {
        let file = KeyFile::create(&SystemRng)?;
        let line = file.line()?;
        assert!(line.len() < MAX_LEN);
        assert_eq!(KeyFile::parse(line.expose())?.expose(), file.expose());
        let mut slip = line.expose().to_vec();
        if let Some(byte) = slip.get_mut(30) {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
        }
        assert!(KeyFile::parse(&slip).is_err());
        assert!(KeyFile::parse(b"").is_err());
        assert!(KeyFile::parse(b"keyvault-key-file:").is_err());
        Ok(())
    }
}
