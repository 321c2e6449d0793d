//! Parsers of files and text that people, or programs of theirs, bring.

use std::collections::BTreeMap;

use super::same;
use crate::exchange::{self, ExchangeError, Format, Obstacle, Parsed};
use keyvault_core::clock::{Rng, RngError};
use keyvault_core::secret::SecretBytes;
use keyvault_vault::state::pin_file;
use keyvault_vault::unlock::recovery::RecoveryCode;

/// The name that a value gets where only the value is in question.
const NAME: &str = "A";

/// A pin is written so that it reads back the same.
pub fn pin_file(bytes: &[u8]) -> bool {
    let pin = pin_file::parse(bytes);
    assert_eq!(pin.as_ref().and_then(|pin| pin_file::parse(&pin.encode().ok()?)), pin);
    pin.is_some()
}

/// A code that is taken is the one that was typed. As no fuzzer guesses a checksum, the first 20 bytes make a code as
/// well, which reads back, and the next two make a slip of one character in it, which is noticed.
pub fn recovery_code(bytes: &[u8]) -> bool {
    if let Ok(code) = RecoveryCode::create(&Given(bytes)) {
        let mut text = characters(&code);
        assert!(RecoveryCode::parse(&text).is_ok_and(|read| read.expose() == code.expose()));
        if let Some([place, typed]) = bytes.get(20..22).and_then(|slip| slip.first_chunk())
            && let Some(character) = text.get_mut(usize::from(*place) % 40)
        {
            let harmless = as_read(&[*typed]) == [*character];
            *character = *typed;
            assert_eq!(RecoveryCode::parse(&text).is_ok(), harmless);
        }
    }
    RecoveryCode::parse(bytes).is_ok_and(|code| same(&characters(&code), &as_read(bytes)))
}

/// A code's 40 characters.
fn characters(code: &RecoveryCode) -> Vec<u8> {
    code.text().map(|text| as_read(text.expose())).unwrap_or_default()
}

/// Typed text without the characters that do not matter in it.
fn as_read(typed: &[u8]) -> Vec<u8> {
    let visible = typed.iter().filter(|byte| !b"- \t\r\n".contains(byte));
    let upper = visible.map(|byte| match byte.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    });
    upper.collect()
}

/// Bytes of the input instead of chance; none where there are too few.
struct Given<'b>(&'b [u8]);

impl Rng for Given<'_> {
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
        target.copy_from_slice(self.0.get(..target.len()).ok_or(RngError)?);
        Ok(())
    }
}

/// Entries that were read from a dotenv file are written, where the writer does not refuse, so that they read back the
/// same: each variable alone, and all in one file. So is the input itself, as the value of one variable.
pub fn dotenv(bytes: &[u8]) -> bool {
    carried_by_dotenv(NAME, bytes);
    let Some(parsed) = parsed(bytes).filter(|parsed| parsed.format == Format::Dotenv) else { return false };
    let mut entries = entries(&parsed);
    entries.retain(|(variable, value)| carried_by_dotenv(variable, value));
    reads_back(&entries, exchange::write_dotenv(&entries), Format::Dotenv);
    true
}

/// Returns `true` if dotenv carries the value; if not, then only for the reasons there are for a good name.
fn carried_by_dotenv(variable: &str, value: &[u8]) -> bool {
    let one = [(variable, value)];
    match exchange::write_dotenv(&one) {
        Err(ExchangeError::CannotCarry { variable: named, reason }) => {
            assert_eq!(named, variable);
            assert_eq!(reason == Obstacle::NotUtf8, std::str::from_utf8(value).is_err());
            assert!(!matches!(reason, Obstacle::Name | Obstacle::Repeated), "{reason}");
            false
        }
        written => reads_back(&one, written, Format::Dotenv),
    }
}

/// Text that an independent reader takes for an object is taken for one, with equal members; and the result is
/// written so that it reads back the same.
pub fn json_import(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes);
    let theirs: Option<BTreeMap<String, String>> = serde_json::from_slice(text).ok();
    let parsed = parsed(bytes).filter(|parsed| parsed.format == Format::Json);
    let entries = parsed.as_ref().map(entries);
    let ours = entries.as_ref().map(|entries| entries.iter().copied().collect::<BTreeMap<_, _>>());
    let expected = theirs
        .as_ref()
        .map(|map| map.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect());
    assert!(expected.is_none() || ours == expected);
    entries.is_some_and(|entries| reads_back(&entries, exchange::write_json(&entries), Format::Json))
}

/// The file, if it is one. Whatever comes of it, it was taken for what its content shows.
fn parsed(bytes: &[u8]) -> Option<Parsed> {
    let shown = exchange::detect(bytes);
    let parsed = exchange::parse(&SecretBytes::copy_from(bytes));
    let taken_for = match &parsed {
        Ok(parsed) => parsed.format,
        Err(ExchangeError::Json { .. } | ExchangeError::TooDeep { .. }) => Format::Json,
        Err(ExchangeError::NotAnObject) => Format::Dotenv,
        Err(_) => shown,
    };
    assert_eq!(taken_for, shown);
    parsed.ok()
}

fn entries(parsed: &Parsed) -> Vec<(&str, &[u8])> {
    parsed.entries.iter().map(|entry| (entry.variable.as_str(), entry.value.expose())).collect()
}

/// The written text holds exactly these entries, in their order, each once.
fn reads_back(
    expected: &[(&str, &[u8])],
    written: Result<SecretBytes, ExchangeError>,
    format: Format,
) -> bool {
    let again = written.and_then(|file| exchange::parse(&file));
    assert!(
        again.as_ref().is_ok_and(|again| {
            (again.format == format || expected.is_empty())
                && again.duplicates.is_empty()
                && entries(again) == expected
        }),
        "{expected:?} reads back as {again:?}"
    );
    true
}
