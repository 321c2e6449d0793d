//! Questions that are answered with something that may be seen, on the caller's terminal, whatever the streams are.

use keyvault_core::secret::SecretBytes;
use keyvault_os::terminal::prompt::{self, PromptError};

use super::errors::Failure;
use super::output::{self, harmless, harmless_line};

/// Asks for a line that may be seen while it is typed. `None` is no usable answer: too long, or Ctrl-D.
pub(in crate::cli) fn line(question: &str, limit: usize) -> Result<Option<SecretBytes>, Failure> {
    match prompt::read_line(&format!("{}: ", harmless_line(question)), limit) {
        Ok(line) => Ok(Some(line)),
        Err(PromptError::TooLong { .. } | PromptError::Eof) => Ok(None),
        Err(error) => Err(Failure::prompt(&error)),
    }
}

/// Asks for yes or no on the caller's terminal, below `text` if there is any; Enter alone is no. A whole line is read, as
/// people type it: a single key would leave the rest of "yes" to the shell.
pub(in crate::cli) fn confirm(text: &str, question: &str) -> Result<bool, Failure> {
    const MAX: usize = 64;
    if !text.is_empty() {
        prompt::write_line(output::for_a_person(&harmless(text)).as_bytes())
            .map_err(|error| Failure::prompt(&error))?;
    }
    let prompt = format!("{} [y/N] ", harmless_line(question));
    loop {
        match prompt::read_line(&prompt, MAX).map(|line| said_yes(line.expose())) {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) | Err(PromptError::TooLong { .. }) => {
                prompt::write_line(b"Please answer yes or no.").map_err(|error| Failure::prompt(&error))?;
            }
            // Ctrl-D, or the terminal went away: that was no yes.
            Err(PromptError::Eof) => return Ok(false),
            Err(error) => return Err(Failure::prompt(&error)),
        }
    }
}

/// The answer in a line; none if it is neither.
fn said_yes(line: &[u8]) -> Option<bool> {
    match line.trim_ascii().to_ascii_lowercase().as_slice() {
        b"y" | b"yes" => Some(true),
        b"" | b"n" | b"no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_and_no_are_words_and_their_first_letters_and_nothing_else() {
        for yes in ["y", "Y", "yes", " Yes "] {
            assert_eq!(said_yes(yes.as_bytes()), Some(true), "{yes}");
        }
        for no in ["", " ", "n", "No"] {
            assert_eq!(said_yes(no.as_bytes()), Some(false), "{no}");
        }
        for neither in ["ye", "yess", "yes please", "q", "\u{fc}"] {
            assert_eq!(said_yes(neither.as_bytes()), None, "{neither}");
        }
    }
}
