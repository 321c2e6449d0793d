//! The editing of an answer that is typed or pasted at a prompt.
//!
//! The terminal's own line editing stops at 4,096 bytes, less than a private key may take, so prompts turn it off and
//! do here what people expect of it: Backspace, Ctrl-U, Ctrl-W, Ctrl-D, Enter. The answer is a secret from its first
//! byte: it lives in one buffer of its full size, and only an answer that may be seen is echoed.
//!
//! Keys that are no characters (arrows, function keys, Alt with a letter) arrive as sequences that begin with ESC, and do
//! nothing. Two such sequences surround a text that is pasted, if the terminal was asked to mark it (bracketed paste,
//! xterm's control sequences): within them line ends are a part of the text.

use std::io::{self, Write};

use unicode_width::UnicodeWidthChar;

use keyvault_core::secret::{SecretBytes, SecretWriter};

/// The visibility of typed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    /// Nothing appears, not even how much was typed. A control character makes the answer unfit.
    Hidden,
    /// Typed characters appear. Control characters are left out of the line.
    Shown,
}

/// How much an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    One,
    /// Several lines, if they are pasted and marked as such. The last one has a line end, as in a file; an answer of one
    /// line has none.
    Several,
}

/// The effect of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Done,
    /// Ctrl-D on an empty line.
    Eof,
}

/// Why what was typed is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("the line is too long")]
    TooLong,
    /// More lines than are wanted, or than arrive whole.
    #[error("there is more than one line")]
    Lines,
    #[error("there is a control character")]
    Control,
}

/// How far a key has arrived that begins with ESC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    /// ESC alone, which is a key itself if nothing follows.
    Begun,
    /// A control sequence; its number, unless it has other parameters.
    Sequence(Option<u16>),
    /// One more byte: ESC O, and the Linux console's ESC [ [.
    OneMore,
    /// A character with Alt: what is left of its UTF-8.
    Alt,
    /// A terminal's answer in words, up to BEL or ESC.
    Words,
}

const ESC: u8 = 0x1b;

/// The numbers of the sequences around a text that is pasted, each ended by `~`.
const PASTE_BEGINS: u16 = 200;
const PASTE_ENDS: u16 = 201;

pub(super) struct Line {
    text: SecretWriter,
    limit: usize,
    /// Why it is no answer, until it is cleared. What does not fit is taken in and forgotten, lest it end up elsewhere.
    unfit: Option<Unfit>,
    /// A pasted text has ended the line.
    ended: bool,
    pasting: bool,
    /// The last byte was a CR of a pasted text; an LF behind it belongs to the same line end.
    after_cr: bool,
    escape: Escape,
    echo: Echo,
    lines: Lines,
}

impl Line {
    /// An empty answer of at most `limit` bytes.
    #[must_use]
    pub(super) fn new(limit: usize, echo: Echo, lines: Lines) -> Self {
        Self {
            // One more for the line end of the last of several lines.
            text: SecretWriter::with_capacity(limit + 1),
            limit,
            unfit: None,
            ended: false,
            pasting: false,
            after_cr: false,
            escape: Escape::None,
            echo,
            lines,
        }
    }

    /// Takes one byte from the terminal, and shows on `screen` what is to be seen of it.
    pub(super) fn key(&mut self, byte: u8, screen: &mut dyn Write) -> io::Result<Step> {
        if self.belongs_to_a_sequence(byte) {
            return Ok(Step::More);
        }
        if self.pasting { self.pasted(byte, screen).map(|()| Step::More) } else { self.typed(byte, screen) }
    }

    /// Returns `true` if ESC has come, and only time tells whether it was a key by itself.
    pub(super) fn awaits_rest_of_key(&self) -> bool {
        self.escape == Escape::Begun
    }

    /// Nothing followed ESC.
    pub(super) fn escape_was_a_key(&mut self) {
        self.escape = Escape::None;
        // Within a pasted text it was no key.
        self.refuse_if(self.pasting, Unfit::Control);
    }

    /// More came behind the end of the line. Of a shown line the person sees that it was all that was taken.
    pub(super) fn refuse_more(&mut self) {
        self.refuse_if(self.echo == Echo::Hidden, Unfit::Lines);
    }

    fn refuse_if(&mut self, is: bool, why: Unfit) {
        if is {
            self.unfit.get_or_insert(why);
        }
    }

    /// Returns `true` if the byte is a part of a sequence, and so of no text.
    #[allow(clippy::match_same_arms, reason = "one arm for each byte in each state, as a table")]
    fn belongs_to_a_sequence(&mut self, byte: u8) -> bool {
        let (next, taken) = match (self.escape, byte) {
            (Escape::None, ESC) => (Escape::Begun, true),
            (Escape::None, _) => return false,
            (Escape::Begun, b'[') => (Escape::Sequence(Some(0)), true),
            // In a pasted text there are no keys; this ESC is one of its characters.
            (Escape::Begun, _) if self.pasting => {
                self.refuse_if(true, Unfit::Control);
                (if byte == ESC { Escape::Begun } else { Escape::None }, byte == ESC)
            }
            (Escape::Begun, ESC) => (Escape::Begun, true),
            (Escape::Begun, b'O') => (Escape::OneMore, true),
            (Escape::Begun, b']' | b'P' | b'X' | b'^' | b'_') => (Escape::Words, true),
            (Escape::Begun, _) if byte.is_ascii_control() => (Escape::None, false),
            (Escape::Begun, _) => (Escape::Alt, true),
            (Escape::Alt, _) if is_continuation(byte) => (Escape::Alt, true),
            (Escape::Alt, ESC) => (Escape::Begun, true),
            (Escape::Alt, _) => (Escape::None, false),
            (Escape::OneMore, _) => (Escape::None, true),
            (Escape::Words, 0x07) => (Escape::None, true),
            (Escape::Words, ESC) => (Escape::OneMore, true),
            (Escape::Words, _) => (Escape::Words, true),
            (Escape::Sequence(Some(number)), b'0'..=b'9') => {
                let number = number.checked_mul(10).and_then(|tens| tens.checked_add(u16::from(byte - b'0')));
                (Escape::Sequence(number), true)
            }
            (Escape::Sequence(_), 0x20..=0x3f) => (Escape::Sequence(None), true),
            (Escape::Sequence(Some(0)), b'[') => (Escape::OneMore, true),
            (Escape::Sequence(number), 0x40..=0x7e) => {
                match number.filter(|_| byte == b'~') {
                    Some(PASTE_BEGINS) if !self.pasting => self.pasting = true,
                    Some(PASTE_ENDS) => (self.pasting, self.after_cr) = (false, false),
                    _ => self.refuse_if(self.pasting, Unfit::Control),
                }
                (Escape::None, true)
            }
            (Escape::Sequence(_), ESC) => (Escape::Begun, true),
            (Escape::Sequence(_), _) => (Escape::None, false),
        };
        self.escape = next;
        taken
    }

    fn pasted(&mut self, byte: u8, screen: &mut dyn Write) -> io::Result<()> {
        let second_half = std::mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n';
        match byte {
            b'\n' if second_half => {}
            // Most terminals send CR for each line end.
            b'\r' | b'\n' if self.lines == Lines::Several => self.append(b'\n', screen)?,
            b'\r' | b'\n' => self.ended = true,
            b'\t' if self.lines == Lines::Several => self.append(byte, screen)?,
            control if control.is_ascii_control() => {
                self.refuse_if(self.echo == Echo::Hidden, Unfit::Control);
            }
            _ => self.append(byte, screen)?,
        }
        Ok(())
    }

    fn typed(&mut self, byte: u8, screen: &mut dyn Write) -> io::Result<Step> {
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
                (self.unfit, self.ended) = (None, false);
            }
            // Where the end of a line lies that was too long, nobody knows any more.
            BACKSPACE | DELETE | CTRL_W if self.unfit == Some(Unfit::TooLong) => {}
            BACKSPACE | DELETE => {
                self.erase(screen)?;
            }
            CTRL_W => {
                while self.ends_in_space() && self.erase(screen)? {}
                while !self.ends_in_space() && self.erase(screen)? {}
            }
            control if control.is_ascii_control() => {
                self.refuse_if(self.echo == Echo::Hidden, Unfit::Control);
            }
            _ => self.append(byte, screen)?,
        }
        Ok(Step::More)
    }

    /// The answer as it stands.
    pub(super) fn finish(mut self) -> Result<SecretBytes, Unfit> {
        if let Some(unfit) = self.unfit {
            return Err(unfit);
        }
        if has_c1_control(self.text.written()) {
            return Err(Unfit::Control);
        }
        let ends = self.text.written().split(|byte| *byte == b'\n').skip(1).count();
        let ended = self.text.written().ends_with(b"\n");
        if ends == 1 && ended {
            self.text.pop();
        } else if ends > 0 && !ended {
            self.text.push(b"\n").map_err(|_| Unfit::TooLong)?;
        }
        Ok(self.text.finish())
    }

    fn append(&mut self, byte: u8, screen: &mut dyn Write) -> io::Result<()> {
        self.refuse_if(self.ended, Unfit::Lines);
        let fits = self.text.written().len() < self.limit && self.text.push(&[byte]).is_ok();
        self.refuse_if(!fits, Unfit::TooLong);
        if self.echo == Echo::Shown && fits { screen.write_all(&[byte]) } else { Ok(()) }
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

/// Returns `true` if U+0080 to U+009F is in the text: some terminals take these for the beginning of a sequence.
fn has_c1_control(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.contains(|c: char| c.is_control() && !c.is_ascii()))
}

/// Returns `true` if a byte is within a UTF-8 character and not its first.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The answer after these keys, and what the screen got.
    fn typed(keys: &[u8], limit: usize, echo: Echo, lines: Lines) -> (Step, Result<Vec<u8>, Unfit>, Vec<u8>) {
        let (mut line, mut screen, mut step) = (Line::new(limit, echo, lines), Vec::new(), Step::More);
        for key in keys {
            step = line.key(*key, &mut screen).unwrap();
        }
        (step, line.finish().map(|secret| secret.expose().to_vec()), screen)
    }

    fn answer(keys: &[u8], lines: Lines) -> Result<Vec<u8>, Unfit> {
        let (_, line, screen) = typed(keys, 100, Echo::Hidden, lines);
        assert!(screen.is_empty());
        line
    }

    fn hidden(keys: &[u8]) -> Vec<u8> {
        answer(keys, Lines::One).unwrap()
    }

    #[test]
    fn editing_keys_work_on_whole_characters() {
        assert_eq!(hidden("aä\u{7f}b€\u{8}".as_bytes()), b"ab");
        assert_eq!(hidden(b"\x7f\x7fx"), b"x");
        assert_eq!(hidden(b"wrong\x15right"), b"right");
        assert_eq!(hidden(b"one two  \x17three"), b"one three");
        assert_eq!(hidden(b"\xff\x80\x80\x7fx"), b"x");
        assert_eq!(hidden(b"a\x04b"), b"ab");
    }

    #[test]
    fn keys_that_are_no_characters_do_nothing() {
        for key in [
            "\u{1b}[A",
            "\u{1b}[D",
            "\u{1b}OP",
            "\u{1b}[15~",
            "\u{1b}[1;5C",
            "\u{1b}[[A",
            "\u{1b}b",
            "\u{1b}ä",
            "\u{1b}[I",
            "\u{1b}[<0;3;4M",
            "\u{1b}]11;rgb:0/0/0\u{7}",
            "\u{1b}P1+r\u{1b}\\",
            "\u{1b}\u{1b}[A",
            "\u{1b}[?1;2c",
        ] {
            for lines in [Lines::One, Lines::Several] {
                let keys = ["ses", key, "ame"].concat();
                assert_eq!(answer(keys.as_bytes(), lines).as_deref(), Ok(&b"sesame"[..]), "{key:?}");
            }
        }
        // Enter ends the line, whatever began before it.
        for begun in ["\u{1b}", "\u{1b}[", "\u{1b}[1;", "\u{1b}ä"] {
            let keys = ["sesame", begun, "\r"].concat();
            let (step, line, _) = typed(keys.as_bytes(), 100, Echo::Hidden, Lines::One);
            assert_eq!((step, line.as_deref()), (Step::Done, Ok(&b"sesame"[..])), "{begun:?}");
        }
        let mut line = Line::new(9, Echo::Hidden, Lines::One);
        assert_eq!(line.key(ESC, &mut Vec::new()).unwrap(), Step::More);
        assert!(line.awaits_rest_of_key());
        line.escape_was_a_key();
        line.key(b'x', &mut Vec::new()).unwrap();
        assert_eq!(line.finish().unwrap().expose(), b"x");
    }

    #[test]
    fn other_control_characters_make_a_hidden_answer_unfit_until_it_is_cleared() {
        for keys in ["tab\tx", "x\0", "x\u{1}y", "x\u{85}y", "\u{9b}A"] {
            for lines in [Lines::One, Lines::Several] {
                assert_eq!(answer(keys.as_bytes(), lines), Err(Unfit::Control), "{keys:?}");
            }
        }
        assert_eq!(hidden(b"tab\t\x15x"), b"x");
    }

    /// The bytes that a terminal sends for a text that is pasted.
    fn paste(text: &str) -> Vec<u8> {
        format!("\u{1b}[200~{text}\u{1b}[201~").into_bytes()
    }

    #[test]
    fn several_pasted_lines_are_one_answer_without_the_marks() {
        for (text, expected) in [
            ("one", "one"),
            ("one\r", "one"),
            ("one\r\n", "one"),
            ("one\rtwo", "one\ntwo\n"),
            ("one\rtwo\r", "one\ntwo\n"),
            ("one\r\ntwo\r\n", "one\ntwo\n"),
            ("one\n\ntwo\n\n", "one\n\ntwo\n\n"),
            ("\tone\r\ttwo", "\tone\n\ttwo\n"),
            ("", ""),
            ("\r", ""),
        ] {
            let (step, line, _) = typed(&paste(text), 100, Echo::Hidden, Lines::Several);
            assert_eq!((step, line.as_deref()), (Step::More, Ok(expected.as_bytes())), "{text:?}");
        }
        let typed_around = [b"a", &paste("b\rc")[..], b"d\x7f", &paste("e")[..]].concat();
        assert_eq!(answer(&typed_around, Lines::Several).as_deref(), Ok(&b"ab\nce\n"[..]));
        for text in ["x\u{1b}[Ay", "x\u{1b}y", "x\u{7f}", "x\u{4}", "x\u{1b}\u{1b}[201~", "\u{1b}[200~x"] {
            assert_eq!(answer(&paste(text), Lines::Several), Err(Unfit::Control), "{text:?}");
        }
    }

    #[test]
    fn of_a_single_line_pasted_line_ends_are_its_end() {
        assert_eq!(hidden(&paste("one\r")), b"one");
        assert_eq!(hidden(&paste("one\r\n\r\n")), b"one");
        for keys in [paste("one\rtwo"), paste("one\r two\r"), [&paste("one\r")[..], b"two"].concat()] {
            assert_eq!(answer(&keys, Lines::One), Err(Unfit::Lines));
        }
        assert_eq!(answer(&paste("a\tb"), Lines::One), Err(Unfit::Control));
    }

    #[test]
    fn enter_and_ctrl_d_end_the_line() {
        let step = |keys| typed(keys, 9, Echo::Hidden, Lines::One).0;
        assert_eq!(step(b"a\r"), Step::Done);
        assert_eq!(step(b"\n"), Step::Done);
        assert_eq!(step(b"a\x04"), Step::More);
        assert_eq!(step(b"a\x7f\x04"), Step::Eof);
    }

    #[test]
    fn an_answer_over_the_limit_is_refused_until_it_is_cleared() {
        let line = |keys: &[u8], lines| typed(keys, 3, Echo::Hidden, lines).1;
        assert_eq!(line(b"abc", Lines::One), Ok(b"abc".to_vec()));
        assert_eq!(line(b"abcd\x7f\x7f\x17", Lines::One), Err(Unfit::TooLong));
        assert_eq!(line(b"abcd\x15xyz", Lines::One), Ok(b"xyz".to_vec()));
        assert_eq!(line(&paste("a\rb"), Lines::Several), Ok(b"a\nb\n".to_vec()));
        assert_eq!(line(&paste("a\rbc"), Lines::Several), Err(Unfit::TooLong));
    }

    #[test]
    fn a_shown_line_is_echoed_without_control_characters() {
        let (_, line, screen) = typed("a\u{1}b界\u{7f}\u{1b}[A".as_bytes(), 100, Echo::Shown, Lines::One);
        assert_eq!(line.unwrap(), b"ab");
        assert_eq!(screen, "ab界\u{8} \u{8}\u{8} \u{8}".as_bytes());
    }
}
