//! Lookup ids: what logs show of a key, and what it is found by.

use std::fmt;

use borsh::io::{self, Read};
use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::recipe::base62;

/// Length of the id of a key or a client, in characters.
pub const ID_LEN: usize = 12;
const MARK_LEN: usize = 2;
const NUMBER_LEN: usize = ID_LEN - MARK_LEN;
/// How many ids a set can have.
pub const NUMBERS: u64 = 62_u64.pow(10);

/// Two base62 characters that the owner gave to one set, and never to another: every id of the set begins with them, so
/// that no set can have a record under another set's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Mark([u8; MARK_LEN]);

/// The id of a key or a client: 12 base62 characters, the first two of them its set's mark. Never used again for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Id([u8; ID_LEN]);

impl Mark {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().and_then(Self::of)
    }

    fn of(bytes: [u8; MARK_LEN]) -> Option<Self> {
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Id {
    /// No id: for places in a table that have none.
    pub(crate) const NONE: Self = Self([0; ID_LEN]);

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().and_then(Self::of)
    }

    /// The id of a set by its number; `None` from 62^10 on.
    #[must_use]
    pub fn of_number(mark: Mark, number: u64) -> Option<Self> {
        let [first, second] = mark.0;
        let mut id = [first, second, b'0', b'0', b'0', b'0', b'0', b'0', b'0', b'0', b'0', b'0'];
        let digits = id.get_mut(MARK_LEN..)?;
        digits.copy_from_slice(&base62::<NUMBER_LEN>(u128::from(number)));
        (number < NUMBERS).then_some(Self(id))
    }

    pub(crate) fn of(bytes: [u8; ID_LEN]) -> Option<Self> {
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; ID_LEN] {
        &self.0
    }

    #[must_use]
    pub fn mark(&self) -> Mark {
        let [first, second, ..] = self.0;
        Mark([first, second])
    }

    /// The characters behind the mark as a number in base62, below 2^60.
    #[must_use]
    pub fn number(&self) -> u64 {
        let [_, _, digits @ ..] = self.0;
        digits.iter().fold(0, |number, digit| number * 62 + u64::from(value(*digit)))
    }
}

/// A base62 digit's value: `0-9A-Za-z`.
fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'A'..=b'Z' => digit - b'A' + 10,
        _ => digit.wrapping_sub(b'a').wrapping_add(36),
    }
}

impl BorshDeserialize for Mark {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        Self::of(<[u8; MARK_LEN]>::deserialize_reader(reader)?)
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl BorshDeserialize for Id {
    fn deserialize_reader<R: Read>(reader: &mut R) -> io::Result<Self> {
        Self::of(<[u8; ID_LEN]>::deserialize_reader(reader)?).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_twelve_base62_characters_and_its_number_those_behind_the_mark() {
        let number = |text: &str| Id::parse(text).map(|id| id.number());
        assert_eq!(number("ab0000000000"), Some(0));
        assert_eq!(number("ab000000001z"), Some(62 + 61));
        assert_eq!(number("abzzzzzzzzzz"), Some(62_u64.pow(10) - 1));
        for text in ["ab0000000000", "ab000000001z", "zzzzzzzzzzzz"] {
            let id = Id::parse(text);
            assert_eq!(id.and_then(|id| Id::of_number(id.mark(), id.number())), id, "{text}");
        }
        assert_eq!(Mark::parse("ab").and_then(|mark| Id::of_number(mark, NUMBERS)), None);
        for wrong in ["ab000000000", "ab00000000000", "ab0000000-00", "abé000000000"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
        assert_eq!(Id::parse("ab0000000000").map(|id| id.mark()), Mark::parse("ab"));
    }
}
