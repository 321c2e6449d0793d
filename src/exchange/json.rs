//! A JSON object whose members are all strings.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use zeroize::Zeroizing;

use crate::secret::{SecretBytes, SecretWriter};

use super::{Entry, ExchangeError};

const NOT_AN_OBJECT: &str = "not an object of strings";

pub(super) fn read(text: &str) -> Result<Vec<Entry>, ExchangeError> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let placed = |error: serde_json::Error| ExchangeError::Json {
        what: if error.is_data() { NOT_AN_OBJECT } else { "not JSON" },
        line: error.line(),
        column: error.column(),
    };
    let entries = reader.deserialize_map(Members).map_err(placed)?;
    reader.end().map_err(placed)?;
    Ok(entries)
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Vec<Entry>, A::Error> {
        let mut entries = Vec::new();
        while let Some(variable) = members.next_key::<String>()? {
            // serde's own type error would repeat the value.
            let value = members.next_value::<Text>()?;
            entries.push(Entry { variable, value: SecretBytes::copy_from(value.0.as_bytes()) });
            if entries.len() > super::MAX_ENTRIES {
                return Err(A::Error::custom("too many entries"));
            }
        }
        Ok(entries)
    }
}

/// A string member, wiped behind us.
struct Text(Zeroizing<String>);

impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

pub(super) fn write(variables: &[(&str, &SecretBytes)]) -> Result<SecretBytes, ExchangeError> {
    if variables.is_empty() {
        return Ok(SecretBytes::copy_from(b"{}\n"));
    }
    // An escape takes at most six bytes (`\u001f`).
    let total = variables.iter().map(|(name, value)| name.len() + 6 * value.len() + 10).sum::<usize>() + 8;
    let mut file = SecretWriter::with_capacity(total);
    for (place, (name, value)) in variables.iter().enumerate() {
        file.push(if place == 0 { b"{\n  \"" } else { b",\n  \"" })?;
        file.push(name.as_bytes())?;
        file.push(b"\": \"")?;
        let text = std::str::from_utf8(value.expose()).map_err(|_| ExchangeError::CannotCarry {
            variable: (*name).to_owned(),
            format: "JSON",
            why: "it is not UTF-8",
        })?;
        push_escaped(&mut file, text)?;
        file.push(b"\"")?;
    }
    file.push(b"\n}\n")?;
    Ok(file.finish())
}

/// RFC 8259 §7: quotation mark, backslash and control characters must be escaped; nothing else is.
fn push_escaped(file: &mut SecretWriter, text: &str) -> Result<(), ExchangeError> {
    for byte in text.bytes() {
        match byte {
            b'"' => file.push(b"\\\"")?,
            b'\\' => file.push(b"\\\\")?,
            b'\n' => file.push(b"\\n")?,
            b'\r' => file.push(b"\\r")?,
            b'\t' => file.push(b"\\t")?,
            0..=0x1F => {
                let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).map_or(b'0', |c| c as u8);
                file.push(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)])?;
            }
            _ => file.push(&[byte])?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_character_reads_back() {
        let value: String = (0..0x80).map(char::from).chain("é\u{2028}".chars()).collect();
        let written = write(&[("NAME", &SecretBytes::copy_from(value.as_bytes()))]);
        let text =
            written.map(|file| String::from_utf8_lossy(file.expose()).into_owned()).unwrap_or_default();
        let read =
            read(&text).map(|entries| entries.iter().any(|entry| entry.value.expose() == value.as_bytes()));
        assert_eq!(read, Ok(true));
    }

    #[test]
    fn anything_but_an_object_of_strings_is_refused_without_repeating_it() {
        for bad in [
            "{\"A\": 7}",
            "{\"A\": {\"B\": \"secret\"}}",
            "{\"A\": null}",
            "{\"A\": [\"secret\"]}",
            "{",
            "{} x",
        ] {
            let error = read(bad).map_err(|error| error.to_string());
            assert!(error.is_err_and(|text| !text.contains("secret")), "{bad}");
        }
    }
}
