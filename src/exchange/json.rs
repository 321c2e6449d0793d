//! JSON: one object. Strings are read with their escapes undone, numbers, booleans, and lists as they are written, and the
//! members of objects within it under the path that leads to them.

use super::{ExchangeError, Found, Obstacle, cannot_carry};
use keyvault_core::secret::{SecretBytes, SecretWriter};
use keyvault_vault::{JsonKind, JsonText, NotJson};

/// How many objects may be within each other. Each level reads its text once more.
const MAX_DEPTH: usize = 32;

/// Joins the names of members that are within each other, unless another text is asked for.
pub(super) const SEPARATOR: &str = "/";

pub(super) fn read(text: &str, separator: &str, found: &mut Found) -> Result<(), ExchangeError> {
    let whole =
        JsonText::parse(text).map_err(|NotJson { line, column }| ExchangeError::Json { line, column })?;
    Reader { text, separator, found }.members(whole, "", 0)
}

/// Returns `true` if the text is JSON of any kind.
pub(super) fn is_json(text: &str) -> bool {
    JsonText::parse(text).is_ok()
}

struct Reader<'r, 'f> {
    text: &'r str,
    separator: &'r str,
    found: &'f mut Found,
}

impl<'r> Reader<'r, '_> {
    fn members(&mut self, object: JsonText<'r>, prefix: &str, depth: usize) -> Result<(), ExchangeError> {
        let members = object.members().map_err(|place| self.fault(object, place))?;
        for (name, value) in members {
            let path = if prefix.is_empty() { name } else { [prefix, self.separator, &name].concat() };
            match value.kind() {
                JsonKind::Object if depth + 1 == MAX_DEPTH => {
                    return Err(ExchangeError::TooDeep { member: path });
                }
                JsonKind::Object if value.is_empty_object() => self.found.valueless.push(path),
                JsonKind::Object => self.members(value, &path, depth + 1)?,
                JsonKind::Null => self.found.valueless.push(path),
                JsonKind::List | JsonKind::Plain => {
                    let value = value.value().map_err(|place| self.fault(value, place))?;
                    self.found.put(&path, value, false)?;
                }
            }
        }
        Ok(())
    }

    /// A fault at a place within `part`, by its place in the whole text.
    fn fault(&self, part: JsonText<'r>, NotJson { line, column }: NotJson) -> ExchangeError {
        let start = part.written().as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let before = self.text.get(..start).unwrap_or_default();
        let (lines, last) = (before.matches('\n').count(), before.rsplit('\n').next().unwrap_or_default());
        ExchangeError::Json {
            line: lines + line,
            column: if line == 1 { last.len() + column } else { column },
        }
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
        read(text, SEPARATOR, &mut found)?;
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
    fn what_is_no_string_is_taken_as_written_and_objects_by_their_paths() {
        let text = r#"{"n": -1.50, "big":12345678901234567890, "t":true, "l": [1, "a\n"], "o": {"p":{"q":"x\u00e4"}, "r":1e999},
            "a/b": "c", "z": null, "e": {}}"#;
        let mut found = Found::default();
        assert_eq!(read(text, SEPARATOR, &mut found), Ok(()));
        let read: Vec<_> =
            found.entries.iter().map(|entry| (entry.variable.as_str(), entry.value.expose())).collect();
        let expected: [(&str, &[u8]); 7] = [
            ("n", b"-1.50"),
            ("big", b"12345678901234567890"),
            ("t", b"true"),
            ("l", br#"[1, "a\n"]"#),
            ("o/p/q", "xä".as_bytes()),
            ("o/r", b"1e999"),
            ("a/b", b"c"),
        ];
        assert_eq!(read, expected);
        assert_eq!(found.valueless, ["z", "e"]);
    }

    #[test]
    fn case_63_depth_is_bounded_and_costs_no_stack() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(members(&nested(MAX_DEPTH)).map(|members| members.len()), Ok(1));
        for depth in [MAX_DEPTH + 1, 100_000] {
            assert!(matches!(members(&nested(depth)), Err(ExchangeError::TooDeep { .. })), "{depth}");
        }
        let deep = format!("{{\"B\":{}", "[".repeat(1_000_000));
        assert!(matches!(members(&deep), Err(ExchangeError::Json { .. })));
        let list = format!("{{\"B\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(members(&list).map(|members| members.len()), Ok(1));
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        assert_eq!(members("{\"A\":\"1\"\n}x"), Err(ExchangeError::Json { line: 2, column: 2 }));
        let surrogate = "{\"A\":\"1\",\n \"B\":{\"C\": \"\\ud800\"}}";
        assert_eq!(members(surrogate), Err(ExchangeError::Json { line: 2, column: 19 }));
        for bad in [
            "{",
            "{\"A\"",
            "{\"A\":\"1\",}",
            "{\"A\":\"\n\"}",
            "{\"A\":\"\\ud800\"}",
            "{A:\"1\"}",
            "{\"A\":01}",
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
