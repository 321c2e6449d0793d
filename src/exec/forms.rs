//! The forms in which a value shows up in output: as it is, line by line, and as the encodings that programs print.
//!
//! - as it is; with each newline as a terminal prints it (`\r\n`)
//! - each line of a value of several, without the blanks around it, as indentation changes
//! - base64 and base64url wherever the value begins in what is encoded: three offsets, at each only the characters that
//!   do not depend on the neighbours, and those with the end of the value at the end, padded or not; long ones broken
//!   into lines of 64 or 76 characters
//! - hex in both cases, broken into lines of 60 characters as `xxd -p` prints it
//! - percent-encoding by the sets of RFC 3986, `encodeURI`, `encodeURIComponent` and forms, both cases, `+` for a blank;
//!   every byte escaped
//! - JSON strings as the usual writers make them: `/`, what is not ASCII, and `<>&'` escaped or not; and a string of
//!   JSON within JSON
//! - between single quotes of a shell
//!
//! The encodings are also those of the value without its final newlines.
//!
//! What is shorter than [`SHORTEST`] is no form: it would stand in the output by chance.

use crate::secret::{SecretBytes, SecretWriter};

/// The least number of bytes that is looked for in output.
pub const SHORTEST: usize = 4;

/// The value as it is, and its lines.
#[must_use]
pub fn plain(value: &[u8]) -> Vec<SecretBytes> {
    let mut forms = Forms(vec![SecretBytes::copy_from(value)]);
    if value.contains(&b'\n') {
        forms.add(value.len() * 2, |form| {
            for byte in value {
                form.push(if *byte == b'\n' { b"\r\n" } else { std::slice::from_ref(byte) });
            }
        });
        for line in value.split(|byte| *byte == b'\n') {
            forms.0.push(SecretBytes::copy_from(line.trim_ascii()));
        }
    }
    forms.without_short_ones()
}

/// The value as programs encode it, and without its final newlines, which `$(…)` takes away. Some of them may be alike,
/// or be the value itself.
#[must_use]
pub fn encoded(value: &[u8]) -> Vec<SecretBytes> {
    let mut forms = encodings(value);
    let kept = value.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
    if (SHORTEST..value.len()).contains(&kept) {
        forms.extend(encodings(value.get(..kept).unwrap_or_default()));
    }
    forms
}

fn encodings(value: &[u8]) -> Vec<SecretBytes> {
    let mut forms = Forms(Vec::new());
    forms.base64(value, b'+', b'/');
    forms.base64(value, b'-', b'_');
    forms.hex(value, LOWER);
    forms.hex(value, UPPER);
    for digits in [LOWER, UPPER] {
        for unescaped in [&b"-._~"[..], b"-_.!~*'()", b"-_.!~*'();/?:@&=+$,#", b"-._~/", b"*-._"] {
            for blank in [b' ', b'+'] {
                forms.percent(
                    value,
                    digits,
                    |byte| byte.is_ascii_alphanumeric() || unescaped.contains(&byte),
                    blank,
                );
            }
        }
        forms.percent(value, digits, |_| false, b' ');
    }
    for slash in [false, true] {
        for html in [false, true] {
            forms.json(value, Json { slash, html, ascii: None });
            forms.json(value, Json { slash, html, ascii: Some(LOWER) });
            forms.json(value, Json { slash, html, ascii: Some(UPPER) });
        }
    }
    for ascii in [None, Some(LOWER)] {
        let once = Forms::one(value.len() * 6, |form| json(value, Json { ascii, ..Json::default() }, form));
        forms.json(once.expose(), Json::default());
    }
    forms.add(value.len() * 4, |form| {
        for byte in value {
            form.push(if *byte == b'\'' { b"'\\''" } else { std::slice::from_ref(byte) });
        }
    });
    forms.without_short_ones()
}

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Bytes that are written once, into room that was measured before. What does not fit is a form that nothing prints.
struct Form(SecretWriter);

impl Form {
    fn push(&mut self, bytes: &[u8]) {
        let _ = self.0.push(bytes);
    }
}

struct Forms(Vec<SecretBytes>);

impl Forms {
    fn one(room: usize, write: impl FnOnce(&mut Form)) -> SecretBytes {
        let mut form = Form(SecretWriter::with_capacity(room));
        write(&mut form);
        form.0.finish()
    }

    fn add(&mut self, room: usize, write: impl FnOnce(&mut Form)) {
        self.0.push(Self::one(room, write));
    }

    fn without_short_ones(mut self) -> Vec<SecretBytes> {
        self.0.retain(|form| form.len() >= SHORTEST);
        self.0
    }

    /// Lines of so many bytes, the last of them shorter.
    fn broken(&mut self, text: &[u8], columns: usize) {
        if text.len() > columns {
            self.0.extend(text.chunks(columns).map(SecretBytes::copy_from));
        }
    }

    fn base64(&mut self, value: &[u8], plus: u8, slash: u8) {
        for offset in 0..3_usize {
            // What stands before is unknown: zeroes, whose characters are cut off again.
            let mut shifted = SecretWriter::with_capacity(offset + value.len());
            let _ = shifted.push([0; 3].get(..offset).unwrap_or_default());
            let _ = shifted.push(value);
            let shifted = shifted.finish();
            let bits = shifted.len() * 8;
            let text = Self::one(bits.div_ceil(24) * 4, |form| base64(shifted.expose(), plus, slash, form));
            let first = (offset * 8).div_ceil(6);
            // Up to what the following bytes change, up to the value's end, and up to the padding.
            for last in [bits / 6, bits.div_ceil(6), text.len()] {
                self.0.extend(text.expose().get(first..last).map(SecretBytes::copy_from));
            }
            if offset == 0 {
                // What follows the value, as the newline of `echo` does, takes the padding's place in its last line.
                let sure = text.expose().get(..bits / 6).unwrap_or_default();
                for columns in [64, 76] {
                    self.broken(text.expose(), columns);
                    self.broken(sure, columns);
                }
            }
        }
    }

    fn hex(&mut self, value: &[u8], digits: &[u8; 16]) {
        let text =
            Self::one(value.len() * 2, |form| value.iter().for_each(|byte| form.push(&hex(*byte, digits))));
        self.broken(text.expose(), 60);
        self.0.push(text);
    }

    fn percent(&mut self, value: &[u8], digits: &[u8; 16], unescaped: impl Fn(u8) -> bool, blank: u8) {
        self.add(value.len() * 3, |form| {
            for byte in value {
                match byte {
                    b' ' if blank == b'+' => form.push(b"+"),
                    byte if unescaped(*byte) => form.push(&[*byte]),
                    byte => {
                        form.push(b"%");
                        form.push(&hex(*byte, digits));
                    }
                }
            }
        });
    }

    fn json(&mut self, value: &[u8], how: Json) {
        self.add(value.len() * 6, |form| json(value, how, form));
    }
}

fn base64(bytes: &[u8], plus: u8, slash: u8, form: &mut Form) {
    let character = |sextet: u32| match u8::try_from(sextet & 63).unwrap_or(0) {
        letter @ 0..26 => b'A' + letter,
        letter @ 26..52 => b'a' + (letter - 26),
        digit @ 52..62 => b'0' + (digit - 52),
        62 => plus,
        _ => slash,
    };
    for group in bytes.chunks(3) {
        let byte = |at: usize| group.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let text = [bits >> 18, bits >> 12, bits >> 6, bits].map(character);
        form.push(text.get(..=group.len()).unwrap_or_default());
        form.push(b"==".get(..3 - group.len()).unwrap_or_default());
    }
}

fn hex(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| digits.get(usize::from(digit)).copied().unwrap_or_default())
}

/// What a writer of JSON escapes beside what it must.
#[derive(Debug, Clone, Copy, Default)]
struct Json {
    /// `/`
    slash: bool,
    /// `<`, `>`, `&` and `'`, so that the text may stand in HTML.
    html: bool,
    /// Everything that is not ASCII, with these digits.
    ascii: Option<&'static [u8; 16]>,
}

fn json(value: &[u8], how: Json, form: &mut Form) {
    let digits = how.ascii.unwrap_or(LOWER);
    let unit = |unit: u16, form: &mut Form| {
        let [high, low] = unit.to_be_bytes();
        form.push(b"\\u");
        form.push(&hex(high, digits));
        form.push(&hex(low, digits));
    };
    // What is not UTF-8 stands as it is: no writer of JSON agrees with another there.
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => form.push(b"\\\""),
                '\\' => form.push(b"\\\\"),
                '\n' => form.push(b"\\n"),
                '\r' => form.push(b"\\r"),
                '\t' => form.push(b"\\t"),
                '\u{8}' => form.push(b"\\b"),
                '\u{c}' => form.push(b"\\f"),
                '/' if how.slash => form.push(b"\\/"),
                control @ '\0'..='\u{1f}' => unit(control as u16, form),
                '<' | '>' | '&' | '\'' if how.html => unit(character as u16, form),
                other if !other.is_ascii() && how.ascii.is_some() => {
                    other.encode_utf16(&mut [0; 2]).iter().for_each(|half| unit(*half, form));
                }
                other => form.push(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        form.push(chunk.invalid());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn has(forms: &[SecretBytes], text: &[u8]) -> bool {
        forms.iter().any(|form| form.expose() == text)
    }

    #[test]
    fn each_encoding_is_what_the_usual_writers_make() {
        let value = "p/ä \"q\"\\<1>\n\u{1}'x".as_bytes();
        let forms = encoded(value);
        let standard = data_encoding::BASE64.encode(value);
        let url = data_encoding::BASE64URL.encode(value);
        let theirs = serde_json::to_string(std::str::from_utf8(value).unwrap()).unwrap();
        for expected in [
            standard.as_str(),
            standard.trim_end_matches('='),
            &url,
            &data_encoding::HEXLOWER.encode(value),
            &data_encoding::HEXUPPER.encode(value),
            theirs.trim_matches('"'),
            // Python's json.dumps, PHP's json_encode, Go's json.Marshal; `'` as the last two write it in HTML.
            "p/\\u00e4 \\\"q\\\"\\\\<1>\\n\\u0001'x",
            "p\\/\\u00e4 \\\"q\\\"\\\\<1>\\n\\u0001'x",
            "p/ä \\\"q\\\"\\\\\\u003c1\\u003e\\n\\u0001\\u0027x",
            // encodeURIComponent, urllib.parse.quote, a form.
            "p%2F%C3%A4%20%22q%22%5C%3C1%3E%0A%01'x",
            "p/%C3%A4%20%22q%22%5C%3C1%3E%0A%01%27x",
            "p%2F%C3%A4+%22q%22%5C%3C1%3E%0A%01%27x",
            "p%2f%c3%a4%20%22q%22%5c%3c1%3e%0a%01%27x",
            "p/ä \"q\"\\<1>\n\u{1}'\\''x",
        ] {
            assert!(has(&forms, expected.as_bytes()), "{expected}");
        }
    }

    /// Whatever surrounds the value, one of the forms stands in the encoding of the whole, and what it leaves over at
    /// either side depends on the neighbours too.
    #[test]
    fn base64_is_found_at_every_offset() {
        for length in 4..40_u8 {
            let value: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(89) ^ 0xA5).collect();
            let forms = encoded(&value);
            for before in 0..7_usize {
                for after in 0..4_usize {
                    let whole = [vec![b'<'; before], value.clone(), vec![b'>'; after]].concat();
                    for encoding in [data_encoding::BASE64, data_encoding::BASE64URL_NOPAD] {
                        let text = encoding.encode(&whole);
                        let first = (before * 8).div_ceil(6);
                        let last = if after == 0 { text.len() } else { (before + value.len()) * 8 / 6 };
                        assert!(
                            has(&forms, &text.as_bytes()[first..last]),
                            "{length} {before} {after} {text}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn lines_are_forms_without_their_indentation_and_short_ones_are_none() {
        let forms = plain(b"first line\r\n  second\n\nabc\n");
        for expected in [&b"first line\r\n  second\n\nabc\n"[..], b"first line", b"second"] {
            assert!(has(&forms, expected));
        }
        assert_eq!(forms.len(), 4, "the fourth has \\r\\n");
        assert!(plain(b"abc").is_empty() && has(&plain(b"abcd"), b"abcd"));
    }

    #[test]
    fn long_encodings_are_found_line_by_line() {
        let value = [7_u8; 100];
        let forms = encoded(&value);
        let base64 = data_encoding::BASE64.encode(&value);
        assert!(has(&forms, &base64.as_bytes()[..76]) && has(&forms, &base64.as_bytes()[76..]));
        assert!(has(&forms, &base64.as_bytes()[64..128]));
        assert!(has(&forms, &data_encoding::HEXLOWER.encode(&value).as_bytes()[180..]));
    }
}
