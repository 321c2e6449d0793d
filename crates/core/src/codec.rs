//! The plain encoding of every structure that is sealed, signed, or authenticated. It is borsh: integers little-endian,
//! byte strings and lists behind a 32-bit length, nothing optional without a flag byte, sets and maps in strictly
//! ascending order. One value has one encoding; a reader that finds anything left over refuses.
//!
//! Structures derive it. A field that is a secret names its functions ([`SealingKey::write`], [`SecretBytes::write`]),
//! which the types do not offer by themselves: no structure gets a secret into its encoding by accident, and one that has
//! a secret is encoded by [`encode_secret`] into a buffer that never grows.
//!
//! A list or a text that claims more than there is fails at the end of the bytes; up to then it takes as much memory as
//! there are bytes, and at most 1 MiB more.
//!
//! [`SealingKey::write`]: crate::crypto::SealingKey::write

use std::collections::BTreeMap;

use borsh::io::{self, Read, Write};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::secret::{Full, SecretBytes, SecretWriter};

/// The bytes do not follow the structure that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed structure")]
pub struct Malformed;

impl From<Malformed> for io::Error {
    fn from(_: Malformed) -> Self {
        io::ErrorKind::InvalidData.into()
    }
}

/// Room for a context or a key's metadata without growing on the way.
const USUAL_LEN: usize = 384;

/// The encoding of something that holds no secret: the buffer may grow and leave copies behind.
#[must_use]
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_LEN);
    // Only a length of 4 GiB does not encode; nothing comes near it, and what was cut short would not decode.
    let _ = value.serialize(&mut bytes);
    bytes
}

/// The encoding of something that may hold secrets, in a buffer that has its length from the start and is wiped.
pub fn encode_secret<T: BorshSerialize + ?Sized>(value: &T) -> Result<SecretBytes, Full> {
    let len = borsh::object_length(value).map_err(|_| Full)?;
    let mut writer = SecretWriter::with_capacity(len);
    value.serialize(&mut writer).map_err(|_| Full)?;
    Ok(writer.finish())
}

/// The value that these bytes encode, all of them.
pub fn decode<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, Malformed> {
    let mut rest = bytes;
    let value = T::deserialize(&mut rest).map_err(|_| Malformed)?;
    if rest.is_empty() { Ok(value) } else { Err(Malformed) }
}

/// Takes bytes behind their 32-bit length off the front without copying them: a text that is only decoded once its
/// signature has been verified, a secret that is looked at in its place.
pub fn take_bytes<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let (len, rest) = from.split_first_chunk().ok_or(Malformed)?;
    let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| Malformed)?;
    let (bytes, rest) = rest.split_at_checked(len).ok_or(Malformed)?;
    *from = rest;
    Ok(bytes)
}

/// Reads a text of at most `LONGEST` bytes and parses it. It passes through the stack, so that a length which is only
/// claimed takes no memory.
pub(crate) fn read_short<const LONGEST: usize, R: Read, T, E>(
    reader: &mut R,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> io::Result<T> {
    let len = usize::try_from(u32::deserialize_reader(reader)?).map_err(|_| Malformed)?;
    let mut buffer = [0; LONGEST];
    let bytes = buffer.get_mut(..len).ok_or(Malformed)?;
    reader.read_exact(bytes)?;
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
    parse(text).map_err(|_| Malformed.into())
}

impl Write for SecretWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes).map_err(|Full| io::ErrorKind::WriteZero)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The fields behind a structure's own ones, where later versions add theirs: ascending numbers, each with its bytes.
///
/// A reader that does not know an odd one ignores it. An even one narrows what the others say, or changes their meaning:
/// a reader that does not know it refuses the structure.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Extensions(BTreeMap<u16, Vec<u8>>);

impl Extensions {
    /// The lowest field. None is known yet, so a structure that has one was written by a later version.
    #[must_use]
    pub fn first(&self) -> Option<u16> {
        self.0.keys().next().copied()
    }

    /// These extensions and one more field.
    #[must_use]
    pub fn with(mut self, field: u16, bytes: Vec<u8>) -> Self {
        self.0.insert(field, bytes);
        self
    }

    /// The fields that may be ignored.
    #[must_use]
    pub fn without_narrowing(mut self) -> Self {
        self.0.retain(|field, _| field % 2 == 1);
        self
    }

    /// The content of a field.
    #[must_use]
    pub fn get(&self, field: u16) -> Option<&[u8]> {
        self.0.get(&field).map(Vec::as_slice)
    }

    /// The first field that must be known to read the structure.
    #[must_use]
    pub fn must_be_known(&self) -> Option<u16> {
        self.must_be_known_besides(&[])
    }

    /// [`Self::must_be_known`] for a reader that knows some fields.
    #[must_use]
    pub fn must_be_known_besides(&self, known: &[u16]) -> Option<u16> {
        self.0.keys().copied().find(|field| field % 2 == 0 && !known.contains(field))
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
    let mut padding = padded.expose();
    let content = take_bytes(&mut padding)?;
    let padding_is_zero = padding.iter().all(|byte| *byte == 0);
    let length_is_right = padded.len() == padded_len(content.len().saturating_add(4));
    if padding_is_zero && length_is_right { Ok(content) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
        let read = |bytes: &[u8]| decode::<BTreeSet<u8>>(&encode(bytes)).map(Vec::from_iter);
        let fields = |fields: &[(u16, &[u8])]| decode::<Extensions>(&encode(fields));
        assert_eq!(fields(&[(1, b""), (3, b"x")]).map(|fields| fields.get(3).map(<[u8]>::len)), Ok(Some(1)));
        assert_eq!(fields(&[(3, b""), (1, b"x")]), Err(Malformed));
        assert_eq!(fields(&[(3, b""), (3, b"")]), Err(Malformed));
        for right in [&[][..], &[7], &[1, 2, 9]] {
            assert_eq!(read(right), Ok(right.to_vec()));
        }
        for wrong in [&[1, 1][..], &[2, 1], &[1, 3, 2]] {
            assert_eq!(read(wrong), Err(Malformed), "{wrong:?}");
        }
    }

    #[test]
    fn a_huge_count_is_refused() {
        let claim = u32::MAX.to_le_bytes();
        assert_eq!(decode::<Vec<u8>>(&claim), Err(Malformed));
        assert_eq!(decode::<String>(&claim), Err(Malformed));
        assert_eq!(decode::<Vec<[u8; 32]>>(&claim), Err(Malformed));
        assert_eq!(decode::<Extensions>(&claim), Err(Malformed));
        assert!(SecretBytes::read(&mut &claim[..]).is_err());
    }

    #[test]
    fn there_is_one_encoding_of_each_value() {
        assert_eq!(decode::<Option<u8>>(&[1, 7]), Ok(Some(7)));
        assert_eq!(decode::<(u8, bool)>(&[7, 1]), Ok((7, true)));
        for wrong in [&[2, 7][..], &[0, 7], &[1], &[1, 7, 0], &[]] {
            assert_eq!(decode::<Option<u8>>(wrong), Err(Malformed), "{wrong:?}");
        }
        assert_eq!(decode::<bool>(&[2]), Err(Malformed));
        assert_eq!(decode::<String>(&[1, 0, 0, 0, 0xFF]), Err(Malformed));
        assert_eq!(decode::<Extensions>(&encode(&[(1_u16, [7_u8].as_slice())][..])).map(|_| ()), Ok(()));
    }

    #[test]
    fn a_secret_is_written_and_read_in_buffers_of_its_own_length() {
        for len in [0_usize, 1, 16 * 1024, 16 * 1024 + 1, 200_000] {
            let secret = SecretBytes::copy_from(&vec![7; len]);
            let prefixed = [&u32::try_from(len).unwrap_or(0).to_le_bytes()[..], secret.expose()].concat();
            let mut writer = SecretWriter::with_capacity(4 + len);
            assert!(secret.write(&mut writer).is_ok() && writer.written() == prefixed);
            assert!(secret.write(&mut writer).is_err(), "a writer never grows");
            assert_eq!(SecretBytes::read(&mut &prefixed[..]).ok(), Some(secret), "{len}");
        }
    }
}
