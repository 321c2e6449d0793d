//! The target of a request: one that two readers could take for two paths is refused.
//!
//! A gateway decides by the path, and the service behind it decodes the path again, in its own way. Everything whose meaning
//! depends on that way is refused here: dot segments in any encoding, encoded slashes, backslashes, and control characters,
//! bytes that are no UTF-8 (overlong forms among them), and fragments. Nothing is rewritten.

use memchr::{memchr, memchr2};

use super::{Refusal, table};

/// Decodings of decodings that are looked at. A service that decodes a path more often than this is not known.
const DEPTH: usize = 4;

/// Checks a target in origin form.
pub(crate) fn check(target: &[u8]) -> Result<(), Refusal> {
    let end = memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at(end);
    // The characters that the `http` crate takes; the three others must be encoded by RFC 3986 as well.
    if !query.iter().fold(true, |all, byte| all & is_query_character(*byte)) {
        return Err(if query.contains(&b'#') { Refusal::Fragment } else { Refusal::TargetCharacter });
    }
    check_path(path)
}

fn is_query_character(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>')
}

fn check_path(path: &[u8]) -> Result<(), Refusal> {
    if path.first() != Some(&b'/') {
        return Err(Refusal::TargetForm);
    }
    if !path.iter().fold(true, |all, byte| all & is_path_character(*byte)) {
        return Err(match path.iter().find(|byte| !is_path_character(**byte)) {
            Some(b'#') => Refusal::Fragment,
            Some(b'\\') => Refusal::EncodedSlash,
            _ => Refusal::TargetCharacter,
        });
    }
    let is_plain = memchr2(b'%', b'.', path).is_none();
    if !is_plain {
        check_segments(path)?;
        if path.contains(&b'%') {
            check_decoded(path)?;
        }
    }
    Ok(())
}

/// True if two slashes follow each other, which a route has to allow.
pub(crate) fn has_empty_segment(path: &[u8]) -> bool {
    path.windows(2).any(|pair| pair == b"//")
}

/// The characters of a path by RFC 3986, and `%`.
fn is_path_character(byte: u8) -> bool {
    PATH.get(usize::from(byte)).copied().unwrap_or(false)
}

const PATH: [bool; 256] = table(b"/-_~!$&'()*+,;=:@%.");

/// Holds the result of each decoding of the path against the rules for the path itself.
fn check_decoded(path: &[u8]) -> Result<(), Refusal> {
    let mut form = path.to_vec();
    if decode(path).is_none() {
        return Err(Refusal::Encoding);
    }
    for _ in 0..DEPTH {
        // A sign that means itself after one decoding, such as in `100%25`, is no encoding; one beside it may be.
        let decoded = decode_valid(&form);
        let slashes = |bytes: &[u8]| bytes.iter().filter(|byte| matches!(byte, b'/' | b'\\')).count();
        if slashes(&decoded) > slashes(&form) {
            return Err(Refusal::EncodedSlash);
        }
        if decoded.iter().any(u8::is_ascii_control) {
            return Err(Refusal::EncodedControl);
        }
        if std::str::from_utf8(&decoded).is_err() {
            return Err(Refusal::NotUtf8);
        }
        check_segments(&decoded)?;
        if decoded == form {
            return Ok(());
        }
        form = decoded;
    }
    Err(Refusal::Encoding)
}

/// True if a `;` is in the path, in any encoding: some services drop what follows it before they look for a route, so that
/// `/secret;x` reaches what `/secret` names. A route has to allow it.
pub(crate) fn has_parameter(path: &[u8]) -> bool {
    // A path that passed is decoded whole after so many decodings.
    let mut form = path.to_vec();
    for _ in 0..=DEPTH {
        if form.contains(&b';') {
            return true;
        }
        if !form.contains(&b'%') {
            return false;
        }
        form = decode_valid(&form);
    }
    false
}

/// As [`decode`], but a `%` that begins no encoding means itself.
pub(crate) fn decode_valid(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, others)) = rest.split_first() {
        rest = others;
        if let (b'%', [high, low, behind @ ..]) = (byte, others)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            decoded.push(high << 4 | low);
            rest = behind;
        } else {
            decoded.push(*byte);
        }
    }
    decoded
}

/// The bytes that a text with `%xx` means; nothing if a `%` begins none.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'%' {
            let (high, low) = (hex(*bytes.next()?)?, hex(*bytes.next()?)?);
            decoded.push(high << 4 | low);
        } else {
            decoded.push(*byte);
        }
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Refuses `.` and `..`. Some services drop parameters (`..;v=1`) before they resolve dots.
fn check_segments(path: &[u8]) -> Result<(), Refusal> {
    let is_dots = |segment: &[u8]| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        name == b"." || name == b".."
    };
    if path.split(|byte| *byte == b'/').any(is_dots) { Err(Refusal::DotSegment) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_have_one_reading_pass() {
        for target in [
            "/",
            "/orders",
            "/a..b",
            "/...",
            "/a/.../b",
            "/.well-known/x",
            "/a.b/..c",
            "/%41",
            "/caf%C3%A9",
            "/100%25",
            "/a%20b",
            "/a;v=1",
            "/a?b=/../c",
            "/a?b=%2e%2e%2f",
            "/a?b=c%00",
            "/a?%",
            "/a?{}|\\^`",
            "/a%2Bb",
            "/~u/@x:y",
            "/a%2525",
        ] {
            assert!(check(target.as_bytes()).is_ok(), "{target}");
        }
    }

    #[test]
    fn paths_that_two_readers_could_take_for_two_are_refused() {
        for (refusal, targets) in [
            (
                Refusal::DotSegment,
                &[
                    "/.",
                    "/..",
                    "/a/./b",
                    "/a/../b",
                    "/a/..",
                    "/%2e",
                    "/%2E%2e/b",
                    "/a/.%2e/b",
                    "/a/%2e./b",
                    "/..;/b",
                    "/a/..;v=1/b",
                    "/%252e%252e/",
                    "/a/%25%32%65/b",
                    "/%25252e",
                    "/a/..?q",
                    "/a/%252e%252e/b/%25",
                    "/%25/%252e%252e/b",
                    "/%25zz/a/%25252e%25252e/%2525",
                ][..],
            ),
            (
                Refusal::EncodedSlash,
                &[
                    "/a%2fb",
                    "/a%2Fb",
                    "/a\\b",
                    "/a%5cb",
                    "/a%5Cb",
                    "/a%252fb",
                    "/a%255cb",
                    "/a%252fb%25",
                    "/%25/a%255cb",
                ],
            ),
            (Refusal::EncodedControl, &["/a%00", "/a%0d%0ab", "/%7f", "/a%2500"]),
            (Refusal::NotUtf8, &["/%c0%ae", "/%c0%af", "/%e0%80%ae", "/%f0%80%80%af", "/%ff", "/%ed%a0%80"]),
            (Refusal::Encoding, &["/%", "/%4", "/%zz", "/%u002e", "/a%2gb"]),
            (Refusal::Fragment, &["/a#b", "/a?b#c", "/#"]),
            (
                Refusal::TargetCharacter,
                &["/a\"b", "/a<b", "/a{b}", "/a|b", "/\u{e9}", "/a^b", "/a?\u{e9}", "/a?<", "/a?\"", "/a\tb"],
            ),
            (Refusal::TargetForm, &["", "a", "*", "?a"]),
        ] {
            for target in targets {
                assert_eq!(check(target.as_bytes()), Err(refusal), "{target}");
            }
        }
    }

    #[test]
    fn parameters_are_told_in_any_encoding() {
        for path in ["/a;x", "/a%3bx", "/a%3B", "/a%253b/%25", "/%25252525253b"] {
            assert!(has_parameter(path.as_bytes()) || check(path.as_bytes()).is_err(), "{path}");
        }
        for path in ["/", "/a:b", "/a%25", "/a%3a", "/3b"] {
            assert!(!has_parameter(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn empty_segments_are_told() {
        for (target, has) in [("//", true), ("/a//b", true), ("/a/b/", false), ("/a/", false)] {
            assert_eq!(has_empty_segment(target.as_bytes()), has, "{target}");
        }
    }
}
