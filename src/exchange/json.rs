//! JSON: one object whose members are all strings. Nothing nests, so depth is no danger.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::{ExchangeError, Found, Obstacle, cannot_carry};
use keyvault_core::secret::{SecretBytes, SecretWriter};

pub(super) fn read(text: &str, found: &mut Found) -> Result<(), ExchangeError> {
    let mut object = Object { found, member: String::new(), refusal: None };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let result = deserializer.deserialize_map(&mut object).and_then(|()| deserializer.end());
    match (object.refusal, result) {
        (Some(refusal), _) => Err(refusal),
        (None, Ok(())) => Ok(()),
        // The JSON is well-formed up to a value of a wrong type. The error itself may quote the value, so it goes.
        (None, Err(error)) if error.is_data() => Err(ExchangeError::NotAString { member: object.member }),
        (None, Err(error)) => Err(ExchangeError::Json { line: error.line(), column: error.column() }),
    }
}

/// Returns `true` if the text is JSON of any kind.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

struct Object<'f> {
    found: &'f mut Found,
    /// The member whose value is being read.
    member: String,
    /// Why the reading was broken off, if it was not for the JSON.
    refusal: Option<ExchangeError>,
}

impl<'de> Visitor<'de> for &mut Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(member) = map.next_key()? {
            self.member = member;
            let value = map.next_value_seed(Text)?;
            if let Err(refusal) = self.found.put(&self.member, value, false) {
                self.refusal = Some(refusal);
                return Err(M::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// A string, copied into its own buffer straight from the text (or from the parser's scratch, where it has escapes).
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = SecretBytes;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<SecretBytes, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Text {
    type Value = SecretBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<SecretBytes, E> {
        Ok(SecretBytes::copy_from(text.as_bytes()))
    }
}

/// Writes an object, two spaces before each member, a newline at the end.
pub(super) fn write(entries: &[(&str, &[u8])]) -> Result<SecretBytes, ExchangeError> {
    if let Some((variable, _)) = entries.iter().find(|(_, value)| std::str::from_utf8(value).is_err()) {
        return Err(cannot_carry(variable, Obstacle::NotUtf8));
    }
    // Once to count, once to write, so that the buffer never grows.
    let mut size = 0_usize;
    object(entries, &mut |piece| {
        size += piece.len();
        Ok(())
    })?;
    let mut text = SecretWriter::with_capacity(size);
    object(entries, &mut |piece| Ok(text.push(piece)?))?;
    Ok(text.finish())
}

type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), ExchangeError>;

fn object(entries: &[(&str, &[u8])], sink: Sink<'_>) -> Result<(), ExchangeError> {
    let mut before: &[u8] = b"\n  ";
    sink(b"{")?;
    for (variable, value) in entries {
        sink(before)?;
        string(variable.as_bytes(), sink)?;
        sink(b": ")?;
        string(value, sink)?;
        before = b",\n  ";
    }
    sink(if entries.is_empty() { b"}\n" } else { b"\n}\n" })
}

/// A string of UTF-8, with escapes where RFC 8259 §7 demands them and nowhere else.
fn string(text: &[u8], sink: Sink<'_>) -> Result<(), ExchangeError> {
    sink(b"\"")?;
    for byte in text {
        match byte {
            b'"' => sink(br#"\""#)?,
            b'\\' => sink(br"\\")?,
            0x08 => sink(br"\b")?,
            b'\t' => sink(br"\t")?,
            b'\n' => sink(br"\n")?,
            0x0C => sink(br"\f")?,
            b'\r' => sink(br"\r")?,
            0x00..=0x1F => {
                let mut digits = [0_u8; 2];
                data_encoding::HEXLOWER.encode_mut(&[*byte], &mut digits);
                sink(br"\u00")?;
                sink(&digits)?;
            }
            _ => sink(&[*byte])?,
        }
    }
    sink(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Result<Vec<(String, Vec<u8>)>, ExchangeError> {
        let mut found = Found::default();
        read(text, &mut found)?;
        Ok(found.entries.into_iter().map(|entry| (entry.variable, entry.value.expose().to_vec())).collect())
    }

    #[test]
    fn strings_are_read_with_their_escapes_undone() {
        let read = members("{\"A\": \"a\\n\\u00e4\\ud83d\\ude00\\\\\", \"\":\"\",\r\n\"b c\":\"'\\u0000\"}");
        let expected = [("A", "a\nä😀\\"), ("", ""), ("b c", "'\0")];
        assert_eq!(
            read,
            Ok(expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec())
        );
    }

    #[test]
    fn a_member_that_is_no_string_is_named_and_its_value_is_not() {
        for value in ["1", "-1.5", "true", "null", "[]", "{}", "[\"sesame\"]", "{\"sesame\":\"x\"}"] {
            let error = members(&format!("{{\"A\":\"1\",\"B\":{value},\"C\":\"2\"}}"));
            assert_eq!(error, Err(ExchangeError::NotAString { member: "B".to_owned() }), "{value}");
        }
        let deep = format!("{{\"B\":{}", "[".repeat(1_000_000));
        assert_eq!(members(&deep), Err(ExchangeError::NotAString { member: "B".to_owned() }));
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        assert_eq!(members("{\"A\":\"1\"\n}x"), Err(ExchangeError::Json { line: 2, column: 2 }));
        for bad in [
            "{",
            "{\"A\"",
            "{\"A\":\"1\",}",
            "{\"A\":\"\n\"}",
            "{\"A\":\"\\ud800\"}",
            "{A:\"1\"}",
            "{\"A\":1e999}",
        ] {
            assert!(matches!(members(bad), Err(ExchangeError::Json { .. })), "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_what_an_independent_writer_writes_and_reads_back_the_same() {
        let every: String = ('\0'..='\u{17F}').chain(['\u{2028}', '\u{FEFF}', '😀']).collect();
        let entries: [(&str, &[u8]); 3] = [("B", every.as_bytes()), ("A", b""), ("x.y-z", b"'\"`\\")];
        let map = entries.iter().map(|(name, value)| (*name, String::from_utf8_lossy(value).into_owned()));
        let map: std::collections::BTreeMap<_, _> = map.collect();
        let mut sorted = entries;
        sorted.sort_unstable();
        let ours = write(&sorted).map(|text| String::from_utf8_lossy(text.expose()).into_owned());
        let theirs = serde_json::to_string_pretty(&map).map(|text| text + "\n");
        assert_eq!(ours.as_ref().ok(), theirs.as_ref().ok());
        let expected = sorted.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        assert_eq!(members(ours.as_deref().unwrap_or_default()), Ok(expected));
        assert!(write(&[]).is_ok_and(|text| text.expose() == b"{}\n"));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let refusal = ExchangeError::CannotCarry { variable: "B".to_owned(), reason: Obstacle::NotUtf8 };
        assert_eq!(write(&[("A", b"1"), ("B", b"\xFF")]), Err(refusal));
    }
}
