//! The plain encoding of every structure that is sealed or authenticated: integers little-endian, byte strings
//! behind a 32-bit length, nothing optional without a flag byte. One structure has one encoding; a reader that
//! finds anything left over refuses.

use crate::secret::{Full, SecretBytes};

/// The bytes do not follow the structure that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed structure")]
pub struct Malformed;

/// Writes fields one after another.
///
/// The buffer may grow: it holds metadata, never a key's value or another secret.
#[derive(Debug)]
pub struct Encoder(Vec<u8>);

/// The fields behind a structure's own ones, where later versions add theirs: ascending numbers, each with its bytes.
///
/// A reader that does not know an odd one ignores it. An even one narrows what the others say, or changes their meaning:
/// a reader that does not know it refuses the structure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions(Vec<(u16, Vec<u8>)>);

impl Extensions {
    /// The lowest field. None is known yet, so a structure that has one was written by a later version.
    #[must_use]
    pub fn first(&self) -> Option<u16> {
        self.0.first().map(|(field, _)| *field)
    }

    /// These extensions and one more field.
    #[must_use]
    pub fn with(mut self, field: u16, bytes: Vec<u8>) -> Self {
        self.0.retain(|(known, _)| *known != field);
        self.0.push((field, bytes));
        self.0.sort_unstable();
        self
    }

    /// The fields that may be ignored.
    #[must_use]
    pub fn without_narrowing(mut self) -> Self {
        self.0.retain(|(field, _)| field % 2 == 1);
        self
    }

    /// The content of a field.
    #[must_use]
    pub fn get(&self, field: u16) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == field).map(|(_, bytes)| bytes.as_slice())
    }

    /// The first field that must be known to read the structure.
    #[must_use]
    pub fn must_be_known(&self) -> Option<u16> {
        self.must_be_known_besides(&[])
    }

    /// [`Self::must_be_known`] for a reader that knows some fields.
    #[must_use]
    pub fn must_be_known_besides(&self, known: &[u16]) -> Option<u16> {
        self.0.iter().map(|(field, _)| *field).find(|field| field % 2 == 0 && !known.contains(field))
    }
}

/// A list that claims more elements than this grows as they are read.
const FEW: usize = 64;

/// Room for a context or a key's metadata without growing on the way.
const USUAL_LEN: usize = 384;

impl Encoder {
    #[must_use]
    #[allow(clippy::new_without_default, reason = "nothing asks for a default encoding")]
    pub fn new() -> Self {
        Self(Vec::with_capacity(USUAL_LEN))
    }

    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// Four bytes, little-endian.
    #[must_use]
    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Eight bytes, little-endian.
    #[must_use]
    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Eight bytes, little-endian, two's complement.
    #[must_use]
    pub fn i64(mut self, value: i64) -> Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Bytes whose length the structure fixes; no prefix.
    #[must_use]
    pub fn fixed(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    /// A 32-bit length, then the bytes.
    #[must_use]
    pub fn bytes(self, value: &[u8]) -> Self {
        // Nothing that is encoded comes near 4 GiB; a length that did not fit would not decode.
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX)).fixed(value)
    }

    /// A flag byte (0 or 1), then the value if there is one.
    #[must_use]
    pub fn option<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            None => self.u8(0),
            Some(value) => write(self.u8(1), value),
        }
    }

    /// A 32-bit count, then the elements.
    #[must_use]
    pub fn list<T>(self, items: &[T], write: impl Fn(Self, &T) -> Self) -> Self {
        let counted = self.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
        items.iter().fold(counted, write)
    }

    /// A list of (number, bytes).
    #[must_use]
    pub fn extensions(self, extensions: &Extensions) -> Self {
        self.list(&extensions.0, |encoder, (field, bytes)| encoder.fixed(&field.to_le_bytes()).bytes(bytes))
    }

    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads fields in the order in which they were written.
#[derive(Debug)]
pub struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// Eight bytes, little-endian, two's complement.
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    /// Exactly `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    /// Exactly `len` bytes.
    pub fn fixed(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    /// Bytes behind a 32-bit length.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        self.fixed(len)
    }

    /// UTF-8 text behind a 32-bit length.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// A value behind a flag byte.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Malformed),
        }
    }

    /// Elements behind a 32-bit count. Each takes at least one byte, so the count bounds the memory.
    pub fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        if count > self.0.len() {
            return Err(Malformed);
        }
        // As many as there are, where there are few: most lists have one element, and memory costs time.
        let mut list = Vec::with_capacity(count.min(FEW));
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    /// A list whose keys ascend without repetition: what sets and maps are written as. In another order the same set
    /// would have another encoding.
    pub fn ascending<T, K: Ord>(
        &mut self,
        read: impl FnMut(&mut Self) -> Result<T, Malformed>,
        key: impl Fn(&T) -> &K,
    ) -> Result<Vec<T>, Malformed> {
        let list = self.list(read)?;
        if list.is_sorted_by(|left, right| key(left) < key(right)) { Ok(list) } else { Err(Malformed) }
    }

    /// The fields that later versions added, none of them judged yet.
    pub fn extensions(&mut self) -> Result<Extensions, Malformed> {
        let read =
            |decoder: &mut Self| Ok((decoder.array().map(u16::from_le_bytes)?, decoder.bytes()?.to_vec()));
        self.ascending(read, |(field, _)| field).map(Extensions)
    }

    /// Everything must have been read.
    pub fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// The padded length of `len` bytes: 32, 64, 128, 256, then steps of at most 12 %, so that a sealed row tells its
/// length only roughly.
///
/// Above 256 a step is a sixteenth of the power of two below the length, so at most 6.3 % of it.
#[must_use]
fn padded_len(len: usize) -> usize {
    match len {
        0..=32 => 32,
        33..=256 => len.next_power_of_two(),
        _ => {
            let octave = (len - 1).ilog2();
            let step = 1_usize << octave.saturating_sub(4);
            len.div_ceil(step).saturating_mul(step)
        }
    }
}

/// `content` behind its 32-bit length, zero bytes behind it up to the padded length.
pub fn pad(content: &[u8]) -> Result<SecretBytes, Full> {
    let len = u32::try_from(content.len()).map_err(|_| Full)?;
    let mut padded = SecretBytes::zeroed(padded_len(content.len().saturating_add(4)));
    let (prefix, rest) = padded.expose_mut().split_first_chunk_mut::<4>().ok_or(Full)?;
    *prefix = len.to_le_bytes();
    rest.get_mut(..content.len()).ok_or(Full)?.copy_from_slice(content);
    Ok(padded)
}

/// The content of a padded plaintext. Length and padding must be exactly as [`pad`] makes them.
pub fn unpad(padded: &SecretBytes) -> Result<&[u8], Malformed> {
    let mut decoder = Decoder::new(padded.expose());
    let content = decoder.bytes()?;
    let padding_is_zero = decoder.0.iter().all(|byte| *byte == 0);
    let length_is_right = padded.len() == padded_len(content.len().saturating_add(4));
    if padding_is_zero && length_is_right { Ok(content) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_steps_never_exceed_twelve_percent_beyond_256() {
        for len in 257..200_000_usize {
            let padded = padded_len(len);
            assert!(padded >= len && (padded - len) * 100 <= len * 12, "{len} → {padded}");
        }
        assert_eq!([padded_len(0), padded_len(33), padded_len(65), padded_len(256)], [32, 64, 128, 256]);
    }

    #[test]
    fn padding_is_undone_and_a_changed_pad_refused() {
        for len in [0_usize, 1, 27, 28, 29, 252, 253, 1000] {
            let content = vec![0xAB; len];
            let mut padded = pad(&content).ok().filter(|padded| unpad(padded) == Ok(content.as_slice()));
            let last = padded.as_mut().and_then(|padded| padded.expose_mut().last_mut());
            if let Some(last) = last.filter(|last| **last == 0) {
                *last = 1;
                assert_eq!(padded.as_ref().map(unpad), Some(Err(Malformed)), "{len}");
            }
        }
    }

    #[test]
    fn what_must_rise_is_refused_out_of_order_or_twice() {
        let read = |bytes: &[u8]| {
            let list = Encoder::new().list(bytes, |encoder, byte| encoder.u8(*byte)).finish();
            Decoder::new(&list).ascending(Decoder::u8, |byte| byte)
        };
        for right in [&[][..], &[7], &[1, 2, 9]] {
            assert_eq!(read(right), Ok(right.to_vec()));
        }
        for wrong in [&[1, 1][..], &[2, 1], &[1, 3, 2]] {
            assert_eq!(read(wrong), Err(Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn a_huge_count_is_refused_before_memory_is_taken() {
        let claim = u32::MAX.to_le_bytes();
        assert_eq!(Decoder::new(&claim).list(Decoder::u8), Err(Malformed));
    }
}
