//! Bytes that must not leak.
//!
//! A secret lives in a buffer that is allocated once at its full size, is wiped when it is dropped, and
//! cannot be printed, cloned or serialized by accident. A buffer that grows leaves copies of itself behind in
//! freed memory, so nothing here grows: what comes from a stream is gathered in fixed pieces and joined once.

use std::fmt;
use std::io::{self, Read};

use borsh::{BorshDeserialize, BorshSerialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::codec::Malformed;

/// How much memory is taken before the bytes for it have come.
const PIECE: usize = 16 * 1024;

/// Secret bytes of fixed length, wiped on drop.
pub struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// `len` zero bytes, to be filled in place.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        Self(vec![0_u8; len].into_boxed_slice())
    }

    /// A copy of `bytes`; the source stays the caller's to wipe.
    #[must_use]
    pub fn copy_from(bytes: &[u8]) -> Self {
        Self(Box::from(bytes))
    }

    /// The bytes, for as long as they are looked at.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be filled in place.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a stream to its end, at most `limit` bytes.
    ///
    /// # Errors
    /// [`ReadError::TooLong`] as soon as more than `limit` bytes have come; [`ReadError::Io`] as the stream says.
    pub fn read_from(source: &mut dyn Read, limit: usize) -> Result<Self, ReadError> {
        let mut pieces: Vec<SecretWriter> = Vec::new();
        let mut total = 0_usize;
        loop {
            let mut piece = SecretWriter::with_capacity(PIECE);
            let got = piece.fill_from(source)?;
            total += got;
            if total > limit {
                return Err(ReadError::TooLong { limit });
            }
            if got > 0 {
                pieces.push(piece);
            }
            if got < PIECE {
                break;
            }
        }
        let mut whole = SecretWriter::with_capacity(total);
        for piece in &pieces {
            // The capacity is the sum of the pieces, so this cannot be full.
            whole.push(piece.written()).map_err(|_| ReadError::TooLong { limit })?;
        }
        Ok(whole.finish())
    }
}

impl SecretBytes {
    /// Writes the bytes behind their length: for a field of a structure that is encoded into a buffer that is wiped.
    pub fn write<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
        self.0.serialize(writer)
    }

    /// Reads what [`SecretBytes::write`] wrote.
    pub fn read<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let claimed = usize::try_from(u32::deserialize_reader(reader)?).map_err(|_| Malformed)?;
        let mut read = Self::zeroed(0);
        while read.len() < claimed {
            // No more than twice as much as has come.
            let longer = claimed.min(read.len().saturating_mul(2).max(PIECE));
            let mut next = Self::zeroed(longer);
            let (before, added) = next.0.split_at_mut_checked(read.len()).ok_or(Malformed)?;
            before.copy_from_slice(&read.0);
            reader.read_exact(added)?;
            read = next;
        }
        Ok(read)
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PartialEq for SecretBytes {
    /// Compares in time that depends on the lengths only.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

/// Why a secret could not be read from a stream.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stream held more than `limit` bytes.
    #[error("more than {limit} bytes")]
    TooLong {
        /// The most that was allowed, in bytes.
        limit: usize,
    },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// More was pushed than the buffer was made for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret buffer is full")]
pub struct Full;

/// Builds a secret piece by piece in a buffer whose capacity is chosen once.
pub struct SecretWriter {
    buffer: SecretBytes,
    written: usize,
}

impl SecretWriter {
    /// Room for `capacity` bytes, never more.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: SecretBytes::zeroed(capacity), written: 0 }
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`Full`], with nothing written, when they do not fit.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.written.checked_add(bytes.len()).ok_or(Full)?;
        self.buffer.0.get_mut(self.written..end).ok_or(Full)?.copy_from_slice(bytes);
        self.written = end;
        Ok(())
    }

    /// The bytes from the start up to the last one that was written.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        self.buffer.0.get(..self.written).unwrap_or_default()
    }

    /// Takes the last byte back (a backspace at a prompt) and wipes its place.
    pub fn pop(&mut self) -> Option<u8> {
        let last = self.written.checked_sub(1)?;
        let place = self.buffer.0.get_mut(last)?;
        let byte = *place;
        place.zeroize();
        self.written = last;
        Some(byte)
    }

    /// The secret, in a buffer of exactly its length.
    #[must_use]
    pub fn finish(self) -> SecretBytes {
        if self.written == self.buffer.len() { self.buffer } else { SecretBytes::copy_from(self.written()) }
    }

    /// Reads until the buffer is full or the stream ends; says how much came.
    fn fill_from(&mut self, source: &mut dyn Read) -> io::Result<usize> {
        while let Some(room) = self.buffer.0.get_mut(self.written..).filter(|room| !room.is_empty()) {
            match source.read(room) {
                Ok(0) => break,
                Ok(got) => self.written += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", SecretBytes::copy_from(b"hunter2")), "SecretBytes(…)");
    }

    #[test]
    fn a_stream_is_read_whole_across_pieces() {
        let long = vec![7_u8; 50_000];
        let read = SecretBytes::read_from(&mut long.as_slice(), 50_000).map(|secret| secret.expose() == long);
        assert!(matches!(read, Ok(true)));
    }

    #[test]
    fn a_stream_over_the_limit_is_refused() {
        let long = vec![7_u8; 50_001];
        let read = SecretBytes::read_from(&mut long.as_slice(), 50_000);
        assert!(matches!(read, Err(ReadError::TooLong { limit: 50_000 })));
    }

    #[test]
    fn a_writer_never_grows() {
        let mut writer = SecretWriter::with_capacity(3);
        assert_eq!(writer.push(b"ab"), Ok(()));
        assert_eq!(writer.push(b"cd"), Err(Full));
        assert_eq!(writer.written(), b"ab");
        assert_eq!(writer.pop(), Some(b'b'));
        assert_eq!(writer.finish().expose(), b"a");
    }
}
