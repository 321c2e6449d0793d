//! dotenv, written so that the npm package `dotenv` 18 reads the same bytes back.
//!
//! The format has no escape that holds everything, so each value is written in the first of several styles that our
//! own reader, which is that package's equal, reads back. A value that none holds is refused.

use super::dotenv::{is_name, is_quote, read};
use super::{ExchangeError, Found, Obstacle, cannot_carry};
use keyvault_core::secret::{Full, SecretBytes, SecretWriter};

/// Writes one line for each entry; more where a value has line ends.
pub(super) fn write(entries: &[(&str, &[u8])]) -> Result<SecretBytes, ExchangeError> {
    let written: Vec<SecretBytes> =
        entries.iter().map(|(variable, value)| assignment(variable, value)).collect::<Result<_, _>>()?;
    let mut file = SecretWriter::with_capacity(written.iter().map(SecretBytes::len).sum());
    for assignment in &written {
        file.push(assignment.expose())?;
    }
    Ok(file.finish())
}

/// How a value can be written.
#[derive(Clone, Copy)]
enum Style {
    /// Characters that mean nothing to any reader. Not for the empty value, which would take a quoted text below.
    Plain,
    /// Between quotes that the value does not contain.
    Between(&'static [u8]),
    /// As it is, whatever characters it has, as long as it does not begin with a quote.
    Bare,
    /// Between double quotes, with CR and LF as `\r` and `\n`: the only place where a CR survives.
    Escaped,
    /// Between quotes that the value does contain. The package takes only the outer ones off.
    Around(&'static [u8]),
}

/// The styles that most readers agree on come first. A shell reads [`Style::Plain`] and single quotes as the package
/// does.
const STYLES: [Style; 9] = [
    Style::Plain,
    Style::Between(b"'"),
    Style::Between(b"\""),
    Style::Between(b"`"),
    Style::Bare,
    Style::Escaped,
    Style::Around(b"'"),
    Style::Around(b"\""),
    Style::Around(b"`"),
];

impl Style {
    /// The quotes around the value; `None` where the style is not for this value.
    fn quote(self, value: &[u8]) -> Option<&'static [u8]> {
        let begins_with_quote = value.first().is_some_and(|byte| is_quote(char::from(*byte)));
        match self {
            Self::Plain => (!value.is_empty() && value.iter().all(|byte| is_plain(*byte))).then_some(b""),
            Self::Bare => (!value.is_empty() && !begins_with_quote).then_some(b""),
            Self::Between(quote) => (!value.iter().any(|byte| quote.contains(byte))).then_some(quote),
            Self::Escaped => Some(b"\""),
            Self::Around(quote) => Some(quote),
        }
    }
}

/// The entry in the first style that reads back to the same bytes, ended by a line feed.
fn assignment(variable: &str, value: &[u8]) -> Result<SecretBytes, ExchangeError> {
    if std::str::from_utf8(value).is_err() {
        return Err(cannot_carry(variable, Obstacle::NotUtf8));
    }
    for style in STYLES {
        let Some(quote) = style.quote(value) else { continue };
        let written = styled(variable, value, style, quote)?;
        if reads_back(&written, variable, value)? {
            return Ok(written);
        }
    }
    let reason = if !variable.chars().all(is_name) || matches!(variable, "" | "__proto__") {
        Obstacle::Name
    } else if value.contains(&b'\r') {
        Obstacle::CarriageReturn
    } else {
        Obstacle::Quotes
    };
    Err(cannot_carry(variable, reason))
}

/// The entry in this style.
///
/// A reader looks for the closing quote up to the first that has no backslash before it, past any line end. Where
/// the entry has none, because the value ends with a backslash, a comment brings one that cannot close: something
/// stands behind it. So no entry runs into the next, and what reads back alone reads back in every file.
fn styled(variable: &str, value: &[u8], style: Style, quote: &[u8]) -> Result<SecretBytes, Full> {
    // At the longest two characters for each of the value's bytes; name, `=`, two quotes, comment and line feed.
    let mut text = SecretWriter::with_capacity(variable.len() + value.len() * 2 + 8);
    text.push(variable.as_bytes())?;
    text.push(b"=")?;
    text.push(quote)?;
    let mut stops = quote.is_empty();
    let mut before = 0_u8;
    for byte in value.iter().chain(quote) {
        stops |= quote.contains(byte) && before != b'\\';
        before = *byte;
        match (style, byte) {
            (Style::Escaped, b'\n') => text.push(br"\n")?,
            (Style::Escaped, b'\r') => text.push(br"\r")?,
            _ => text.push(&[*byte])?,
        }
    }
    if !stops {
        text.push(b" #")?;
        text.push(quote)?;
        text.push(b".")?;
    }
    text.push(b"\n")?;
    Ok(text.finish())
}

/// Returns `true` if a reader finds exactly this variable with this value.
fn reads_back(text: &SecretBytes, variable: &str, value: &[u8]) -> Result<bool, ExchangeError> {
    let mut found = Found::default();
    read(std::str::from_utf8(text.expose()).map_err(|_| ExchangeError::Size)?, &mut found)?;
    Ok(match found.entries.as_slice() {
        [entry] => entry.variable == variable && entry.value.expose() == value && found.duplicates.is_empty(),
        _ => false,
    })
}

/// Characters that neither a shell nor any reader of such files treats in a way of its own.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./:@%+,=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(file: &str) -> Vec<(String, String)> {
        let mut found = Found::default();
        assert_eq!(read(file, &mut found), Ok(()));
        let value = |value: &SecretBytes| String::from_utf8_lossy(value.expose()).into_owned();
        found.entries.iter().map(|entry| (entry.variable.clone(), value(&entry.value))).collect()
    }

    fn written(entries: &[(&str, &str)]) -> Result<String, ExchangeError> {
        let entries: Vec<_> = entries.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        write(&entries).map(|file| String::from_utf8_lossy(file.expose()).into_owned())
    }

    #[test]
    fn case_47_what_is_written_reads_back_whole_and_in_order_whatever_stands_beside_it() {
        let pieces =
            ["'", "\"", "`", "#", "\n", "\r", " ", "\\", "\\n", "\u{FEFF}", "\u{2028}", "=", "A='", "x"];
        let mut values: Vec<String> = vec![String::new()];
        for first in pieces {
            for second in pieces {
                values.extend(pieces.map(|third| [first, second, third].concat()));
            }
        }
        let names: Vec<String> = (0..values.len()).map(|number| format!("V{number}")).collect();
        let all = names.iter().map(String::as_str).zip(values.iter().map(String::as_str));
        let (carried, refused): (Vec<_>, Vec<_>) = all.partition(|entry| written(&[*entry]).is_ok());
        let file = written(&carried);
        let read = variables(file.as_deref().unwrap_or_default());
        let expected: Vec<_> =
            carried.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(read, expected);
        // It takes more than three pieces to defeat every style, unless one is a CR, which only one style holds.
        for (_, value) in refused {
            assert!(value.contains('\r'), "{value:?}");
        }
    }

    #[test]
    fn quotes_are_the_ones_most_readers_agree_on() {
        let line = |value| written(&[("A", value)]);
        for (value, expected) in [
            ("sk-1/2+3==", "A=sk-1/2+3==\n"),
            ("", "A=''\n"),
            ("$(id) \"`x`\"", "A='$(id) \"`x`\"'\n"),
            ("1\n2", "A='1\n2'\n"),
            ("it's", "A=\"it's\"\n"),
            ("1\r\n2", "A=\"1\\r\\n2\"\n"),
            ("'\"", "A=`'\"`\n"),
            ("C:\\", "A='C:\\' #'.\n"),
            ("a'b\"c`d", "A=a'b\"c`d\n"),
            ("\n'\"`", "A=\"\\n'\"`\"\n"),
            (" '\"`", "A=\" '\"`\"\n"),
        ] {
            assert_eq!(line(value).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_dotenv_cannot_carry_is_refused_with_the_obstacle() {
        let refusal = |variable: &str, value: &[u8]| match write(&[(variable, value)]) {
            Err(ExchangeError::CannotCarry { variable: named, reason }) if named == variable => Some(reason),
            _ => None,
        };
        assert_eq!(refusal("A", b"\xFF"), Some(Obstacle::NotUtf8));
        assert_eq!(refusal("A", b"\r\\n"), Some(Obstacle::CarriageReturn));
        assert_eq!(refusal("A", b"\n'\"`#"), Some(Obstacle::Quotes));
        for name in ["", "A B", "__proto__", "A=B", "Ä", "A\nB"] {
            assert_eq!(refusal(name, b"1"), Some(Obstacle::Name), "{name:?}");
        }
        assert_eq!(refusal("export", b"1"), None);
    }
}
