//! Values between their reading and the commit that records it.
//!
//! Values that do not fit their places must be refused before anything is recorded. So a value that was read can be
//! composed with others and answers what a place asks of it ([`Shape`]); its bytes come out only against the record of
//! an event that names every version it was made of.

use std::collections::BTreeSet;

use keyvault_core::secret::{Full, SecretBytes, SecretWriter};

use super::json::{self, FieldFault, JsonField};
use super::key_view::KeyView;
use crate::audit::KeyRef;
use crate::error::VaultError;
use crate::tx::damaged;

/// A value that was read, and that nobody has yet.
///
/// ```
/// use keyvault_core::secret::SecretBytes;
/// use keyvault_vault::{Recorded, Unrecorded, VaultError};
///
/// fn take(value: Unrecorded, recorded: &Recorded) -> Result<SecretBytes, VaultError> {
///     value.release(recorded)
/// }
/// ```
///
/// It shows no bytes:
///
/// ```compile_fail,E0599
/// use keyvault_vault::Unrecorded;
///
/// fn look(value: &Unrecorded) -> &[u8] {
///     value.expose()
/// }
/// ```
///
/// And nobody else can make the proof of a commit:
///
/// ```compile_fail,E0423
/// use keyvault_core::secret::SecretBytes;
/// use keyvault_vault::{Recorded, Unrecorded, VaultError};
///
/// fn take(value: Unrecorded) -> Result<SecretBytes, VaultError> {
///     value.release(&Recorded(Default::default()))
/// }
/// ```
#[derive(Debug)]
pub struct Unrecorded {
    value: SecretBytes,
    versions: BTreeSet<ReadVersion>,
}

/// A version that a value was read from. Names can change hands, so the key's id is part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReadVersion {
    pub(super) named: KeyRef,
    id: [u8; 16],
}

/// Proof that the log names these versions.
#[derive(Debug)]
pub struct Recorded(pub(super) BTreeSet<ReadVersion>);

/// The properties of a value that its destination may depend on, known before the value is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent answers, not states of one thing")]
pub struct Shape {
    /// In bytes.
    pub len: usize,
    pub has_nul: bool,
    pub has_newline: bool,
    pub ends_with_carriage_return: bool,
    pub is_utf8: bool,
}

impl Shape {
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        Self {
            len: value.len(),
            has_nul: value.contains(&0),
            has_newline: value.contains(&b'\n'),
            ends_with_carriage_return: value.ends_with(b"\r"),
            is_utf8: std::str::from_utf8(value).is_ok(),
        }
    }
}

/// How a value is written into a composed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Byte for byte.
    Raw,
    /// Percent-encoded but for the unreserved characters of RFC 3986, §2.3, so that it fits into any part of a URL.
    Url,
}

/// A piece of a composed value.
#[derive(Debug, Clone, Copy)]
pub enum Fragment<'f> {
    Text(&'f str),
    Value(&'f Unrecorded, Encoding),
}

impl Unrecorded {
    pub(crate) fn new(key: &KeyView, version: u32, value: SecretBytes) -> Self {
        let named = KeyRef { name: key.name().to_string(), version };
        Self { value, versions: BTreeSet::from([ReadVersion { named, id: *key.id() }]) }
    }

    /// One value out of several, with text between them. It is sized before it is filled: a buffer that grew would leave
    /// copies behind.
    pub fn compose(fragments: &[Fragment<'_>]) -> Result<Self, VaultError> {
        let len = |fragment: &Fragment<'_>| match fragment {
            Fragment::Text(text) => text.len(),
            Fragment::Value(value, encoding) => written_len(value.value.expose(), *encoding),
        };
        let mut whole = SecretWriter::with_capacity(fragments.iter().map(len).sum());
        let mut versions = BTreeSet::new();
        for fragment in fragments {
            match fragment {
                Fragment::Text(text) => whole.push(text.as_bytes()),
                Fragment::Value(value, encoding) => {
                    versions.extend(value.versions.iter().cloned());
                    write(value.value.expose(), *encoding, &mut whole)
                }
            }
            .map_err(|Full| damaged("a composed value has another size"))?;
        }
        Ok(Self { value: whole.finish(), versions })
    }

    /// A field of a value that is JSON.
    pub fn field(&self, path: &JsonField) -> Result<Self, FieldFault> {
        Ok(Self { value: json::field(self.value.expose(), path)?, versions: self.versions.clone() })
    }

    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape::of(self.value.expose())
    }

    /// The value, once the log names every version that it was made of.
    pub fn release(self, recorded: &Recorded) -> Result<SecretBytes, VaultError> {
        if self.versions.is_subset(&recorded.0) {
            Ok(self.value)
        } else {
            Err(damaged("audit: the event does not name a version that was read"))
        }
    }

    pub(super) fn versions(&self) -> impl Iterator<Item = &ReadVersion> {
        self.versions.iter()
    }
}

fn written_len(value: &[u8], encoding: Encoding) -> usize {
    match encoding {
        Encoding::Raw => value.len(),
        Encoding::Url => value.iter().map(|byte| if is_unreserved(*byte) { 1 } else { 3 }).sum(),
    }
}

fn write(value: &[u8], encoding: Encoding, whole: &mut SecretWriter) -> Result<(), Full> {
    if encoding == Encoding::Raw {
        return whole.push(value);
    }
    let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'A' - 10 };
    for byte in value {
        if is_unreserved(*byte) {
            whole.push(&[*byte])?;
        } else {
            whole.push(&[b'%', digit(byte >> 4), digit(byte & 15)])?;
        }
    }
    Ok(())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, version: u32, id: u8, value: &[u8]) -> Unrecorded {
        let named = KeyRef { name: name.to_owned(), version };
        let versions = BTreeSet::from([ReadVersion { named, id: [id; 16] }]);
        Unrecorded { value: SecretBytes::copy_from(value), versions }
    }

    fn recorded(values: &[&Unrecorded]) -> Recorded {
        Recorded(values.iter().flat_map(|value| value.versions.iter().cloned()).collect())
    }

    #[test]
    fn a_value_comes_out_only_if_the_event_names_each_version_of_each_key_it_was_made_of()
    -> Result<(), VaultError> {
        let (user, password) = (|| read("db/user", 1, 1, b"ada"), || read("db/password", 2, 2, b"p@ss"));
        let url = || {
            Unrecorded::compose(&[
                Fragment::Text("db://"),
                Fragment::Value(&user(), Encoding::Raw),
                Fragment::Text(":"),
                Fragment::Value(&password(), Encoding::Url),
            ])
        };
        let released = url()?.release(&recorded(&[&password(), &user()]))?;
        assert_eq!(released.expose(), b"db://ada:p%40ss");
        assert!(user().release(&recorded(&[&url()?])).is_ok());
        for others in [
            recorded(&[]),
            recorded(&[&user()]),
            recorded(&[&user(), &read("db/password", 1, 2, b"")]),
            recorded(&[&user(), &read("db/password", 2, 3, b"")]),
        ] {
            assert!(url()?.release(&others).is_err(), "{others:?}");
        }
        Ok(())
    }

    #[test]
    fn a_shape_tells_what_places_refuse() {
        let plain = Shape {
            len: 2,
            has_nul: false,
            has_newline: false,
            ends_with_carriage_return: false,
            is_utf8: true,
        };
        assert_eq!(read("a", 1, 1, b"ab").shape(), plain);
        assert_eq!(Shape::of(b"a\0"), Shape { has_nul: true, ..plain });
        assert_eq!(Shape::of(b"\na"), Shape { has_newline: true, ..plain });
        assert_eq!(Shape::of(b"\ra"), plain);
        assert_eq!(Shape::of(b"a\r"), Shape { ends_with_carriage_return: true, ..plain });
        assert_eq!(Shape::of(b"a\xFF"), Shape { is_utf8: false, ..plain });
        assert_eq!(Shape::of(b""), Shape { len: 0, ..plain });
    }

    #[test]
    fn a_percent_encoded_value_has_the_size_that_was_computed_and_nothing_but_unreserved_characters() {
        let all: Vec<u8> = (0..=255).collect();
        for (value, expected) in [(b"p@ss:w/d%\xFF~".as_slice(), "p%40ss%3Aw%2Fd%25%FF~"), (b"", "")] {
            let mut whole = SecretWriter::with_capacity(written_len(value, Encoding::Url));
            assert_eq!(write(value, Encoding::Url, &mut whole), Ok(()));
            assert_eq!(whole.written(), expected.as_bytes());
        }
        let size = written_len(&all, Encoding::Url);
        let mut whole = SecretWriter::with_capacity(size);
        assert_eq!(write(&all, Encoding::Url, &mut whole), Ok(()));
        assert!(whole.written().len() == size && whole.push(b"x").is_err());
        assert!(whole.written().iter().all(|byte| is_unreserved(*byte) || *byte == b'%'));
    }
}
