//! Texts that a value shows up as, each looked for as a whole: the value as it is, and encodings that do not go character
//! by character. Those that do are [`spelling`](super::spelling)'s.
//!
//! - as it is; with each newline as a terminal prints it (`\r\n`)
//! - base64 and base64url wherever the value begins in what is encoded: three offsets, at each only the characters that
//!   do not depend on the neighbors, and those with the end of the value at the end, padded or not; long ones broken
//!   into lines of 64 or 76 characters
//! - hex in both cases, broken into lines of 60 characters as `xxd -p` prints it
//!
//! The encodings are also those of the value without its final newlines.
//!
//! A text shorter than [`SHORTEST`] is no form: it would stand in the output by chance.

use data_encoding::{BASE64, BASE64URL, Encoding, HEXLOWER, HEXUPPER};

use keyvault_core::secret::{SecretBytes, SecretWriter};

/// The least number of bytes that is looked for in output.
pub const SHORTEST: usize = 4;

#[must_use]
pub fn plain(value: &[u8]) -> Vec<SecretBytes> {
    let mut forms = Forms(vec![SecretBytes::copy_from(value)]);
    if value.contains(&b'\n') {
        forms.add(value.len() * 2, |form| {
            for byte in value {
                form.push(if *byte == b'\n' { b"\r\n" } else { std::slice::from_ref(byte) });
            }
        });
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
    forms.base64(value, &BASE64);
    forms.base64(value, &BASE64URL);
    forms.hex(value, &HEXLOWER);
    forms.hex(value, &HEXUPPER);
    forms.without_short_ones()
}

/// Bytes that are written once, into room that was measured before. What does not fit is a form that nothing prints.
struct Form(SecretWriter);

impl Form {
    fn push(&mut self, bytes: &[u8]) {
        let _ = self.0.push(bytes);
    }
}

struct Forms(Vec<SecretBytes>);

impl Forms {
    fn add(&mut self, room: usize, write: impl FnOnce(&mut Form)) {
        let mut form = Form(SecretWriter::with_capacity(room));
        write(&mut form);
        self.0.push(form.0.finish());
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

    fn base64(&mut self, value: &[u8], encoding: &Encoding) {
        for offset in 0..3_usize {
            // The bytes before are unknown: zeroes, whose characters are cut off again.
            let mut shifted = SecretWriter::with_capacity(offset + value.len());
            let _ = shifted.push([0; 3].get(..offset).unwrap_or_default());
            let _ = shifted.push(value);
            let shifted = shifted.finish();
            let bits = shifted.len() * 8;
            let text = encode(shifted.expose(), encoding);
            let first = (offset * 8).div_ceil(6);
            // Up to what the following bytes change, up to the value's end, and up to the padding.
            for last in [bits / 6, bits.div_ceil(6), text.len()] {
                self.0.extend(text.expose().get(first..last).map(SecretBytes::copy_from));
            }
            if offset == 0 {
                // A byte behind the value, such as the newline of `echo`, takes the padding's place in its last line.
                let sure = text.expose().get(..bits / 6).unwrap_or_default();
                for columns in [64, 76] {
                    self.broken(text.expose(), columns);
                    self.broken(sure, columns);
                }
            }
        }
    }

    fn hex(&mut self, value: &[u8], encoding: &Encoding) {
        let text = encode(value, encoding);
        self.broken(text.expose(), 60);
        self.0.push(text);
    }
}

/// Into a buffer that is wiped.
fn encode(value: &[u8], encoding: &Encoding) -> SecretBytes {
    let mut text = SecretBytes::zeroed(encoding.encode_len(value.len()));
    encoding.encode_mut(value, text.expose_mut());
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn has(forms: &[SecretBytes], text: &[u8]) -> bool {
        forms.iter().any(|form| form.expose() == text)
    }

    /// Whatever surrounds the value, one of the forms stands in the encoding of the whole, and what it leaves over at
    /// either side depends on the neighbors too.
    #[test]
    fn base64_is_found_at_every_offset() {
        for length in 4..40_u8 {
            let value: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(89) ^ 0xA5).collect();
            let forms = encoded(&value);
            for before in 0..7_usize {
                for after in 0..4_usize {
                    let whole = [vec![b'<'; before], value.clone(), vec![b'>'; after]].concat();
                    for encoding in [BASE64, data_encoding::BASE64URL_NOPAD] {
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
    fn a_value_is_itself_with_either_newline_unless_it_is_short() {
        let forms = plain(b"first line\n  second\n");
        assert!(has(&forms, b"first line\n  second\n") && has(&forms, b"first line\r\n  second\r\n"));
        assert!(plain(b"abc").is_empty() && has(&plain(b"abcd"), b"abcd"));
    }

    #[test]
    fn long_encodings_are_found_line_by_line() {
        let value = [7_u8; 100];
        let forms = encoded(&value);
        let base64 = BASE64.encode(&value);
        assert!(has(&forms, &base64.as_bytes()[..76]) && has(&forms, &base64.as_bytes()[76..]));
        assert!(has(&forms, &base64.as_bytes()[64..128]));
        assert!(has(&forms, &HEXLOWER.encode(&value).as_bytes()[180..]));
    }
}
