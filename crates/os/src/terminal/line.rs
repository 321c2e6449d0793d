//! The editing of one line that is typed at a prompt.
//!
//! The terminal's own line editing stops at 4,096 bytes, less than a private key may take, so prompts turn it off and
//! do here what people expect of it: Backspace, Ctrl-U, Ctrl-W, Ctrl-D, Enter. The line is a secret from its first
//! byte: it lives in one buffer of its full size, and only a line that may be seen is echoed.

use std::io::{self, Write};

use unicode_width::UnicodeWidthChar;

use keyvault_core::secret::{SecretBytes, SecretWriter};

/// The visibility of typed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    /// Nothing appears, not even how much was typed. Every byte but the editing keys belongs to the line.
    Hidden,
    /// Typed characters appear. Control characters are left out of the line.
    Shown,
}

/// The effect of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Done,
    /// Ctrl-D on an empty line.
    Eof,
}

/// More was typed than is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the line is too long")]
pub(super) struct LineTooLong;

pub(super) struct Line {
    text: SecretWriter,
    /// Set by a byte for which there was no room; what follows is taken in and forgotten, lest it end up elsewhere.
    over: bool,
    echo: Echo,
}

impl Line {
    /// An empty line of at most `limit` bytes.
    #[must_use]
    pub(super) fn new(limit: usize, echo: Echo) -> Self {
        Self { text: SecretWriter::with_capacity(limit), over: false, echo }
    }

    /// Takes one byte from the terminal, and shows on `screen` what is to be seen of it.
    pub(super) fn key(&mut self, byte: u8, screen: &mut dyn Write) -> io::Result<Step> {
        const BACKSPACE: u8 = 0x08;
        const DELETE: u8 = 0x7f;
        const CTRL_D: u8 = 0x04;
        const CTRL_U: u8 = 0x15;
        const CTRL_W: u8 = 0x17;
        match byte {
            b'\r' | b'\n' => return Ok(Step::Done),
            CTRL_D if self.text.written().is_empty() => return Ok(Step::Eof),
            CTRL_D => {}
            CTRL_U => {
                while self.erase(screen)? {}
                self.over = false;
            }
            // Where the end of a line lies that was too long, nobody knows any more.
            BACKSPACE | DELETE | CTRL_W if self.over => {}
            BACKSPACE | DELETE => {
                self.erase(screen)?;
            }
            CTRL_W => {
                while self.ends_in_space() && self.erase(screen)? {}
                while !self.ends_in_space() && self.erase(screen)? {}
            }
            control if self.echo == Echo::Shown && control.is_ascii_control() => {}
            _ => self.append(byte, screen)?,
        }
        Ok(Step::More)
    }

    /// The line as it stands.
    pub(super) fn finish(self) -> Result<SecretBytes, LineTooLong> {
        if self.over { Err(LineTooLong) } else { Ok(self.text.finish()) }
    }

    fn append(&mut self, byte: u8, screen: &mut dyn Write) -> io::Result<()> {
        self.over |= self.text.push(&[byte]).is_err();
        if self.echo == Echo::Shown && !self.over { screen.write_all(&[byte]) } else { Ok(()) }
    }

    /// Takes the last character back, all its bytes; says whether there was one.
    fn erase(&mut self, screen: &mut dyn Write) -> io::Result<bool> {
        let Some(columns) = self.last_width() else { return Ok(false) };
        while self.text.pop().is_some_and(is_continuation) {}
        if self.echo == Echo::Shown {
            for _ in 0..columns {
                screen.write_all(b"\x08 \x08")?;
            }
        }
        Ok(true)
    }

    /// How many columns the last character takes on a terminal.
    fn last_width(&self) -> Option<usize> {
        let typed = self.text.written();
        let start = typed.iter().rposition(|byte| !is_continuation(*byte)).unwrap_or(0);
        let last = typed.get(start..).filter(|last| !last.is_empty())?;
        let character = std::str::from_utf8(last).ok().and_then(|text| text.chars().next());
        Some(character.and_then(UnicodeWidthChar::width).unwrap_or(1))
    }

    fn ends_in_space(&self) -> bool {
        self.text.written().last().is_some_and(u8::is_ascii_whitespace)
    }
}

/// Returns `true` if a byte is within a UTF-8 character and not its first.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The line after these keys, and what the screen got.
    fn typed(keys: &[u8], limit: usize, echo: Echo) -> (Step, Option<Vec<u8>>, Vec<u8>) {
        let (mut line, mut screen, mut step) = (Line::new(limit, echo), Vec::new(), Step::More);
        for key in keys {
            step = line.key(*key, &mut screen).unwrap();
        }
        (step, line.finish().ok().map(|secret| secret.expose().to_vec()), screen)
    }

    fn hidden(keys: &[u8]) -> Vec<u8> {
        let (_, line, screen) = typed(keys, 100, Echo::Hidden);
        assert!(screen.is_empty());
        line.unwrap()
    }

    #[test]
    fn editing_keys_work_on_whole_characters() {
        assert_eq!(hidden("aä\u{7f}b€\u{8}".as_bytes()), b"ab");
        assert_eq!(hidden(b"\x7f\x7fx"), b"x");
        assert_eq!(hidden(b"wrong\x15right"), b"right");
        assert_eq!(hidden(b"one two  \x17three"), b"one three");
        assert_eq!(hidden(b"\xff\x80\x80\x7fx"), b"x");
        assert_eq!(hidden(b"tab\tesc\x1b\x04end"), b"tab\tesc\x1bend");
    }

    #[test]
    fn enter_and_ctrl_d_end_the_line() {
        assert_eq!(typed(b"a\r", 9, Echo::Hidden).0, Step::Done);
        assert_eq!(typed(b"\n", 9, Echo::Hidden).0, Step::Done);
        assert_eq!(typed(b"a\x04", 9, Echo::Hidden).0, Step::More);
        assert_eq!(typed(b"a\x7f\x04", 9, Echo::Hidden).0, Step::Eof);
    }

    #[test]
    fn a_line_over_the_limit_is_refused_until_it_is_cleared() {
        assert_eq!(typed(b"abc", 3, Echo::Hidden).1, Some(b"abc".to_vec()));
        assert_eq!(typed(b"abcd\x7f\x7f\x17", 3, Echo::Hidden).1, None);
        assert_eq!(typed(b"abcd\x15xyz", 3, Echo::Hidden).1, Some(b"xyz".to_vec()));
    }

    #[test]
    fn a_shown_line_is_echoed_without_control_characters() {
        let (_, line, screen) = typed("a\u{1b}b界\u{7f}".as_bytes(), 100, Echo::Shown);
        assert_eq!(line.unwrap(), b"ab");
        assert_eq!(screen, "ab界\u{8} \u{8}\u{8} \u{8}".as_bytes());
    }
}
