//! Variables for the steps that follow in a GitHub Actions job: what is appended to the file that `$GITHUB_ENV` names, and
//! the commands on stdout that have the runner mask the values in its log.
//!
//! A value stands between two lines with a delimiter that nobody can know before, so that no value ends itself early and
//! sets variables of its own (`NAME<<delimiter`, value, delimiter). Masks work on lines, so each line of a value gets one;
//! a short or common one would blot out the same text wherever it stands in the log, and is left.

use keyvault_core::clock::Rng;
use keyvault_core::secret::{Full, SecretBytes, SecretWriter};

use keyvault_exec::mask::is_common;

use super::{ExchangeError, Obstacle, cannot_carry};

/// Length of the random part of a delimiter, in bytes.
const DELIMITER: usize = 16;

/// Variables for a job's later steps.
#[derive(Debug)]
pub(crate) struct GithubEnv {
    /// To be appended to the file that `$GITHUB_ENV` names.
    pub file: SecretBytes,
    /// Workflow commands for stdout, to be printed before.
    pub masks: SecretBytes,
    /// Variables whose values have no line that is worth a mask.
    pub unmasked: Vec<String>,
}

/// Writes these variables, in the given order.
pub(super) fn write(entries: &[(&str, &[u8])], rng: &dyn Rng) -> Result<GithubEnv, ExchangeError> {
    let mut unmasked = Vec::new();
    let (mut file_len, mut masks_len) = (0, 0);
    for (variable, value) in entries {
        if std::str::from_utf8(value).is_err() {
            return Err(cannot_carry(variable, Obstacle::NotUtf8));
        }
        if value.contains(&0) {
            return Err(cannot_carry(variable, Obstacle::Nul));
        }
        // Name, `<<`, the delimiter twice, three line feeds.
        file_len += variable.len() + value.len() + 2 * (PREFIX.len() + 2 * DELIMITER) + 5;
        let masks = lines(value).map(|line| COMMAND.len() + escaped_len(line) + 1);
        masks_len += masks.sum::<usize>();
        if lines(value).next().is_none() && !value.is_empty() {
            unmasked.push((*variable).to_owned());
        }
    }
    let (mut file, mut masks) =
        (SecretWriter::with_capacity(file_len), SecretWriter::with_capacity(masks_len));
    for (variable, value) in entries {
        let delimiter = delimiter(value, rng)?;
        for piece in [variable.as_bytes(), b"<<", &delimiter, b"\n", value, b"\n", &delimiter, b"\n"] {
            file.push(piece)?;
        }
        for line in lines(value) {
            masks.push(COMMAND)?;
            push_escaped(line, &mut masks)?;
            masks.push(b"\n")?;
        }
    }
    Ok(GithubEnv { file: file.finish(), masks: masks.finish(), unmasked })
}

const PREFIX: &[u8] = b"keyvault_";
const COMMAND: &[u8] = b"::add-mask::";

/// A delimiter that is no line of the value; chance alone makes that certain, and it is looked at all the same.
fn delimiter(value: &[u8], rng: &dyn Rng) -> Result<Vec<u8>, ExchangeError> {
    loop {
        let mut random = [0; DELIMITER];
        rng.fill(&mut random)?;
        let delimiter = [PREFIX, data_encoding::HEXLOWER.encode(&random).as_bytes()].concat();
        if !value.windows(delimiter.len()).any(|piece| piece == delimiter) {
            return Ok(delimiter);
        }
    }
}

/// The lines that are masked, without the white space around them, which a log may show otherwise.
fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = value.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    lines.filter(|line| !is_common(line))
}

/// The runner takes `%25`, `%0D` and `%0A` in a command for the characters; only the first can stand in a line.
fn push_escaped(line: &[u8], target: &mut SecretWriter) -> Result<(), Full> {
    line.iter().try_for_each(|byte| match byte {
        b'%' => target.push(b"%25"),
        byte => target.push(&[*byte]),
    })
}

fn escaped_len(line: &[u8]) -> usize {
    line.iter().map(|byte| if *byte == b'%' { 3 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyvault_core::clock::RngError;
    use std::sync::atomic::AtomicU8;
    use std::sync::atomic::Ordering::Relaxed;

    struct Counting(AtomicU8);

    impl Rng for Counting {
        fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
            target.fill(self.0.fetch_add(1, Relaxed));
            Ok(())
        }
    }

    fn written(entries: &[(&str, &[u8])]) -> Result<(String, String, Vec<String>), ExchangeError> {
        let text = |bytes: &SecretBytes| String::from_utf8_lossy(bytes.expose()).into_owned();
        let written = write(entries, &Counting(AtomicU8::new(0)))?;
        Ok((text(&written.file), text(&written.masks), written.unmasked))
    }

    #[test]
    fn case_47_each_value_has_a_delimiter_of_its_own_and_each_line_a_mask() {
        let (zero, one) = ("00".repeat(16), "01".repeat(16));
        let (file, masks, unmasked) =
            written(&[("A", b"p%40ss"), ("PEM", b"-----\r\n  line two\n}\n")]).unwrap_or_default();
        let expected = format!(
            "A<<keyvault_{zero}\np%40ss\nkeyvault_{zero}\nPEM<<keyvault_{one}\n-----\r\n  line two\n}}\n\nkeyvault_{one}\n"
        );
        assert_eq!(file, expected);
        assert_eq!(masks, "::add-mask::p%2540ss\n::add-mask::-----\n::add-mask::line two\n");
        assert!(unmasked.is_empty());
    }

    #[test]
    fn case_47_a_value_that_guesses_the_delimiter_gets_another() {
        let guess = format!("x\nkeyvault_{}\nPATH=/evil", "00".repeat(16));
        let (file, ..) = written(&[("A", guess.as_bytes())]).unwrap_or_default();
        assert!(file.starts_with(&format!("A<<keyvault_{}\n", "01".repeat(16))), "{file}");
    }

    #[test]
    fn short_values_are_named_and_what_no_variable_carries_is_refused() {
        let (_, masks, unmasked) = written(&[("S", b"abc"), ("EMPTY", b"")]).unwrap_or_default();
        assert_eq!((masks.as_str(), unmasked), ("", vec!["S".to_owned()]));
        for (value, reason) in [(b"\xFF".as_slice(), Obstacle::NotUtf8), (b"a\0", Obstacle::Nul)] {
            assert_eq!(written(&[("A", value)]), Err(cannot_carry("A", reason)));
        }
    }
}
