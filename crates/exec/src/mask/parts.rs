//! Values within a value: its lines, the strings of JSON, the body of a PEM.
//!
//! Programs read a value and print a piece of it: the one password of a service account's file, a key without its
//! armour. Each piece counts as a value of its own, unless it [is common](is_common).

use super::{is_common, json};
use keyvault_core::secret::{SecretBytes, SecretWriter};

/// JSON in a string of JSON, and so on: as many times.
const DEEPEST: usize = 4;

pub struct Part {
    pub text: SecretBytes,
    /// True if it is a value by itself, which programs encode, and not just a line of a text.
    pub whole: bool,
}

/// The value and the pieces of it, each once.
#[must_use]
pub fn parts(value: &[u8]) -> Vec<Part> {
    let mut parts = Parts(vec![Part { text: SecretBytes::copy_from(value), whole: true }]);
    parts.of(value, DEEPEST);
    let mut parts = parts.0;
    parts.retain(|part| !is_common(part.text.expose()));
    // Of the same text that which is a value comes first.
    parts.sort_by(|a, b| a.text.expose().cmp(b.text.expose()).then(b.whole.cmp(&a.whole)));
    parts.dedup_by(|a, b| a.text.expose() == b.text.expose());
    parts
}

struct Parts(Vec<Part>);

impl Parts {
    fn add(&mut self, text: &[u8], whole: bool) {
        self.0.push(Part { text: SecretBytes::copy_from(text), whole });
    }

    fn of(&mut self, value: &[u8], deep: usize) {
        self.lines(value, deep);
        let text = value.strip_prefix(BYTE_ORDER_MARK).unwrap_or(value);
        if deep > 0 {
            for string in json::strings(text) {
                self.add(string.expose(), true);
                self.of(string.expose(), deep - 1);
            }
        }
    }

    fn lines(&mut self, value: &[u8], deep: usize) {
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let armoured = find(value, BEGIN).is_some();
        // An environment that holds one line only has a PEM with `\n` for its newlines.
        let broken =
            (armoured && !value.iter().any(is_end) && find(value, b"\\n").is_some()).then(|| unbroken(value));
        let value = broken.as_ref().map_or(value, SecretBytes::expose);
        if !value.iter().any(is_end) {
            return;
        }
        for line in value.split(is_end).map(<[u8]>::trim_ascii) {
            self.add(line, armoured);
            if deep > 0 && matches!(line.first(), Some(b'{' | b'[')) {
                self.of(line, deep - 1);
            }
        }
        if armoured {
            self.bodies(value);
        }
    }

    /// The text between `-----BEGIN …-----` and `-----END …-----`, without its newlines, headers and checksum.
    fn bodies(&mut self, value: &[u8]) {
        let mut body: Option<SecretWriter> = None;
        for line in value.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii) {
            if line.starts_with(BEGIN) {
                body = Some(SecretWriter::with_capacity(value.len()));
            } else if line.starts_with(b"-----END ") {
                if let Some(body) = body.take() {
                    self.add(body.written(), true);
                }
            } else if let Some(body) = &mut body
                && !line.contains(&b':')
                && !line.starts_with(b"=")
            {
                // It has room for the whole value.
                let _ = body.push(line);
            }
        }
    }
}

/// Some editors begin a file with it, and many readers pass over it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

const BEGIN: &[u8] = b"-----BEGIN ";

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The text with newlines for each `\n`, and nothing for each `\r`.
fn unbroken(text: &[u8]) -> SecretBytes {
    let mut whole = SecretWriter::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (before, after) = rest.split_at(at);
        let (written, skipped): (&[u8], usize) = match after.get(1) {
            Some(b'n') => (b"\n", 2),
            Some(b'r') => (b"", 2),
            _ => (b"\\", 1),
        };
        // Nothing gets longer.
        let _ = whole.push(before).and_then(|()| whole.push(written));
        rest = after.get(skipped..).unwrap_or_default();
    }
    let _ = whole.push(rest);
    whole.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn texts(value: &str) -> Vec<String> {
        let parts = parts(value.as_bytes());
        parts.iter().map(|part| String::from_utf8(part.text.expose().to_vec()).unwrap()).collect()
    }

    #[test]
    fn each_string_of_json_is_a_value_however_deep_and_names_and_short_ones_are_none() {
        let inner =
            serde_json::json!({ "inner": "in a string", "list": ["first", { "x": "sec\"ond" }, "abc"] });
        let text =
            serde_json::json!({ "name": "outer", "text": inner.to_string(), "number": 12345 }).to_string();
        let twice = text.replacen('{', "{\"name\":\"other\",", 1);
        let found = texts(&twice);
        for expected in ["outer", "other", "in a string", "first", "sec\"ond", &inner.to_string(), &twice] {
            assert!(found.iter().any(|text| text == expected), "{expected} {found:?}");
        }
        assert_eq!(found.len(), 7, "{found:?}");
        for no_json in ["{\"text\": \"value", "[\"value\"] and more", "{value}"] {
            assert_eq!(texts(no_json), [no_json]);
        }
    }

    #[test]
    fn the_strings_of_json_that_only_some_readers_take_are_values_and_its_names_are_none() {
        let deep = format!("{}\"deep-secret\"{}", "[".repeat(300), "]".repeat(300));
        for (document, expected) in [
            (r#"{"name-1": 1e999, "name-2": "first-secret"}"#, &["first-secret"][..]),
            (r#"{"name-1": [NaN, -Infinity, "first-secret"]}"#, &["first-secret"]),
            ("\u{feff}{\"name-1\": \"first-secret\"}", &["first-secret"]),
            (r#"{"name-1": ["first-secret", "second-secret",],}"#, &["first-secret", "second-secret"]),
            (
                "// \"comment-1\"\n{/* 'comment-2' */ \"name-1\": /* : */ \"http://first-secret\"} // end",
                &["http://first-secret"],
            ),
            (r"{name_1: 'first-\x73ecret', 'name-2': 'it\'s'}", &["first-secret", "it's"]),
            ("{'name-1': 'first-\\\nsecret'}", &["first-secret"]),
            (
                "{\n \"name-1\": \"first-secret\"\n}\n{\n \"name-1\": \"second-secret\"\n}\n",
                &["first-secret", "second-secret"],
            ),
            (
                r#"{"name-1": "first-secret\ud800second\udc00"}"#,
                &["first-secret", "second", "first-secret\u{fffd}second\u{fffd}"],
            ),
            (r#"{"name-1": "\ud83d\ude00\u00e9\/\"", "name-2": 1e999}"#, &["\u{1f600}\u{e9}/\""]),
            ("{\"name-1\": \"first\tsecret\"}", &["first\tsecret"]),
            (&deep, &["deep-secret"]),
        ] {
            let found = texts(document);
            for expected in expected {
                assert!(found.iter().any(|text| text == expected), "{document} {expected} {found:?}");
            }
            let others: Vec<_> =
                found.iter().filter(|text| text.starts_with("name") || text.starts_with("comment")).collect();
            assert!(others.is_empty(), "{document} {others:?}");
        }
        for no_json in [
            "{\"name-1\": \"value\"; }",
            "[section] name-1 = \"value\"",
            "{\"name-1\": \"value\"]",
            "\"user\",\"value\"",
            "[\"value\"](link)",
            "{\"name-1\": \"value\"} /* open",
            "// \"value\"",
        ] {
            assert_eq!(texts(no_json), [no_json]);
        }
    }

    #[test]
    fn lines_end_with_a_carriage_return_alone_as_well() {
        for ending in ["\n", "\r", "\r\n"] {
            let found = texts(&["first line", "second line"].join(ending));
            assert_eq!(found.iter().filter(|text| text.ends_with(" line")).count(), 3, "{found:?}");
            let pem = ["-----BEGIN PRIVATE KEY-----", "MIIEabcd", "efgh1234", "-----END PRIVATE KEY-----"]
                .join(ending);
            assert!(texts(&pem).iter().any(|text| text == "MIIEabcdefgh1234"), "{pem:?}");
        }
    }

    #[test]
    fn the_lines_and_the_body_of_a_pem_are_values_with_real_newlines_and_with_escaped_ones() {
        let pem = "-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEabcd\nefgh1234\nIJ==\n-----END PRIVATE KEY-----\n";
        for text in [pem.to_owned(), pem.replace('\n', "\\n"), pem.replace('\n', "\r\n")] {
            let found = texts(&text);
            for expected in ["MIIEabcd", "efgh1234", "IJ==", "MIIEabcdefgh1234IJ=="] {
                assert!(found.iter().any(|text| text == expected), "{expected} {found:?}");
            }
            let json = serde_json::json!({ "private_key": text }).to_string();
            assert!(texts(&json).iter().any(|text| text == "MIIEabcdefgh1234IJ=="));
        }
        assert!(parts(pem.as_bytes()).iter().all(|part| part.whole));
        assert!(!parts(b"line one\nline two").iter().all(|part| part.whole));
    }
}
