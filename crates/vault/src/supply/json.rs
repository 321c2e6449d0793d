//! JSON text whose values are taken as they were written: a number keeps its digits, and no value is copied into memory
//! that is not wiped.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use keyvault_core::name::MAX_NAME;
use keyvault_core::secret::SecretBytes;

/// A JSON value, as its text was written.
#[derive(Debug, Clone, Copy)]
pub struct JsonText<'t>(&'t str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonKind {
    Object,
    List,
    Null,
    /// A string, a number, `true` or `false`.
    Plain,
}

/// The text is not JSON at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotJson {
    /// The line, from 1.
    pub line: usize,
    /// The byte within the line, from 1.
    pub column: usize,
}

impl From<serde_json::Error> for NotJson {
    /// The error itself may quote a value, so only its place is kept.
    fn from(error: serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column() }
    }
}

impl<'t> JsonText<'t> {
    /// Checks the text's syntax, to its end.
    pub fn parse(text: &'t str) -> Result<Self, NotJson> {
        let raw: &RawValue = serde_json::from_str(text)?;
        Ok(Self(raw.get()))
    }

    #[must_use]
    pub fn kind(self) -> JsonKind {
        match self.0.as_bytes().first() {
            Some(b'{') => JsonKind::Object,
            Some(b'[') => JsonKind::List,
            Some(b'n') => JsonKind::Null,
            _ => JsonKind::Plain,
        }
    }

    /// True for `{}`, whatever white space is in it.
    #[must_use]
    pub fn is_empty_object(self) -> bool {
        self.kind() == JsonKind::Object && self.0.get(1..).is_some_and(|rest| rest.trim_start() == "}")
    }

    /// The text as it was written.
    #[must_use]
    pub fn written(self) -> &'t str {
        self.0
    }

    /// A string with its escapes undone; anything else as it was written.
    pub fn value(self) -> Result<SecretBytes, NotJson> {
        if self.0.starts_with('"') {
            Ok(serde_json::Deserializer::from_str(self.0).deserialize_str(Characters)?)
        } else {
            Ok(SecretBytes::copy_from(self.0.as_bytes()))
        }
    }

    /// An object's members in their order, repeated ones too; none of what is no object.
    pub fn members(self) -> Result<Vec<(String, JsonText<'t>)>, NotJson> {
        if self.kind() != JsonKind::Object {
            return Ok(Vec::new());
        }
        Ok(serde_json::Deserializer::from_str(self.0).deserialize_map(Members)?)
    }

    fn elements(self) -> Result<Vec<JsonText<'t>>, NotJson> {
        let elements: Vec<&RawValue> = serde_json::from_str(self.0)?;
        Ok(elements.into_iter().map(|element| Self(element.get())).collect())
    }

    /// The value at a path of members' names and, in lists, of places from 0. Of repeated members the last counts.
    fn at(self, path: &JsonField) -> Result<Option<Self>, NotJson> {
        let mut found = self;
        for part in path.0.split('/') {
            let next = match found.kind() {
                JsonKind::Object => {
                    found.members()?.into_iter().rev().find(|(name, _)| name == part).map(|(_, value)| value)
                }
                JsonKind::List => match part.parse::<usize>() {
                    Ok(place) => found.elements()?.get(place).copied(),
                    Err(_) => None,
                },
                JsonKind::Null | JsonKind::Plain => None,
            };
            match next {
                Some(next) => found = next,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }
}

struct Characters;

impl Visitor<'_> for Characters {
    type Value = SecretBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<SecretBytes, E> {
        Ok(SecretBytes::copy_from(text.as_bytes()))
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, JsonText<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let value: &RawValue = map.next_value()?;
            members.push((name, JsonText(value.get())));
        }
        Ok(members)
    }
}

/// A field of a value that is JSON: the names of its members from the outermost in, joined by `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct JsonField(String);

/// The text is no path of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a field's name (1 to 128 letters, digits, _ . - in parts joined by /)")]
pub struct NotAField;

impl JsonField {
    pub fn parse(text: &str) -> Result<Self, NotAField> {
        let well_formed = |part: &str| !part.is_empty() && part.chars().all(is_of_a_field);
        if text.len() <= MAX_NAME && text.split('/').all(well_formed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAField)
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JsonField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn is_of_a_field(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-')
}

/// Why a value has no such field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldFault {
    #[error("its value is not JSON")]
    NotJson,
    #[error("its value has no such field")]
    Missing,
    #[error("the field is null")]
    Null,
}

/// The field of a value: a string with its escapes undone, anything else as it is written there.
pub(super) fn field(value: &[u8], path: &JsonField) -> Result<SecretBytes, FieldFault> {
    let text = std::str::from_utf8(value).map_err(|_| FieldFault::NotJson)?;
    let whole = JsonText::parse(text).map_err(|_| FieldFault::NotJson)?;
    let found = whole.at(path).map_err(|_| FieldFault::NotJson)?.ok_or(FieldFault::Missing)?;
    if found.kind() == JsonKind::Null {
        return Err(FieldFault::Null);
    }
    found.value().map_err(|_| FieldFault::NotJson)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str, path: &str) -> Result<String, FieldFault> {
        let path = JsonField::parse(path).map_err(|_| FieldFault::Missing)?;
        field(value.as_bytes(), &path).map(|found| String::from_utf8_lossy(found.expose()).into_owned())
    }

    #[test]
    fn a_field_is_what_its_string_says_or_what_is_written() {
        let value = r#" { "a": "x\n\u00e4", "n": 1.10, "big": 12345678901234567890123, "t": true, "e": 1e999,
            "o": { "p": "q", "l": [ 1, {"m": "z"} ] }, "s": "", "d": 1, "d": 2, "null": null } "#;
        for (path, expected) in [
            ("a", "x\nä"),
            ("n", "1.10"),
            ("big", "12345678901234567890123"),
            ("t", "true"),
            ("e", "1e999"),
            ("o/p", "q"),
            ("o/l/1/m", "z"),
            ("o/l", "[ 1, {\"m\": \"z\"} ]"),
            ("s", ""),
            ("d", "2"),
        ] {
            assert_eq!(of(value, path).as_deref(), Ok(expected), "{path}");
        }
        for path in ["A", "o/q", "a/b", "o/l/2", "o/l/x", "n/0"] {
            assert_eq!(of(value, path), Err(FieldFault::Missing), "{path}");
        }
        assert_eq!(of(value, "null"), Err(FieldFault::Null));
        for text in ["", "x", "{", "{}x", "{\"a\":\"\\ud800\"}", "{'a':1}"] {
            assert_eq!(of(text, "a"), Err(FieldFault::NotJson), "{text}");
        }
    }

    #[test]
    fn nesting_costs_no_stack() {
        let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
        assert_eq!(of(&deep, "0/0").as_deref().map(str::len), Ok((1 << 21) - 4));
    }

    #[test]
    fn the_grammar_of_a_fields_name_is_a_path() {
        for good in ["a", "private_key", "a.b-c/0/D"] {
            assert!(JsonField::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "a//b", "a b", "a}", "a|url", "ä", &"a".repeat(129)] {
            assert_eq!(JsonField::parse(bad), Err(NotAField), "{bad}");
        }
    }
}
