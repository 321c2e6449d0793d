//! Output: data on stdout, everything else on stderr.
//!
//! Streams are written without a buffer in between, which would keep a copy of what passes through it. On a terminal
//! nothing from the vault is interpreted: control characters and direction marks are shown, not obeyed.

pub(crate) mod event;
pub(in crate::cli) mod issued;
pub(crate) mod loss;
pub(in crate::cli) mod ocsf;
mod pager;
pub(in crate::cli) mod table;
pub(crate) mod time;
pub(crate) mod view;

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use keyvault_core::secret::{SecretBytes, SecretWriter};
use keyvault_core::text::obeyed;
pub(crate) use keyvault_core::text::{harmless, harmless_line, quoted};
use keyvault_exec::supervise::streams::Callers;
use keyvault_os::process::{output, startup};

use super::context;
use super::errors::Failure;

/// Bold.
pub(in crate::cli) const STRONG: Style = Style::new().bold();
/// For what is fine.
pub(in crate::cli) const GOOD: Style = AnsiColor::Green.on_default();
/// For what wants attention.
pub(in crate::cli) const WARN: Style = AnsiColor::Yellow.on_default();
/// For what is refused.
pub(in crate::cli) const BAD: Style = AnsiColor::Red.on_default();

/// The standard streams as the caller gave them, for a child's output on its way there.
#[must_use]
pub(in crate::cli) fn callers() -> Callers<'static> {
    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
}

/// The two streams and how they are written.
#[derive(Debug, Clone)]
pub(crate) struct Ui {
    pub json: bool,
    quiet: bool,
    /// Set when something is printed, since most of `exec` prints nothing.
    color_out: OnceLock<bool>,
    color_err: OnceLock<bool>,
}

#[allow(clippy::unused_self, reason = "a stream is written through the `Ui` alone")]
impl Ui {
    /// Color only on a terminal that has it, and never against NO_COLOR.
    #[must_use]
    pub(crate) fn new(json: bool) -> Self {
        Self { json, quiet: false, color_out: OnceLock::new(), color_err: OnceLock::new() }
    }

    /// With `--quiet`: data, warnings, errors, and questions only.
    #[must_use]
    pub(in crate::cli) fn quiet(self, quiet: bool) -> Self {
        Self { quiet, ..self }
    }

    #[must_use]
    pub(crate) fn out_is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    #[must_use]
    pub(crate) fn err_is_terminal(&self) -> bool {
        io::stderr().is_terminal()
    }

    /// Bytes on stdout, as they are.
    pub(crate) fn data(&self, bytes: &[u8]) -> Result<(), Failure> {
        write_to(&io::stdout(), bytes).map_err(|error| Failure::output(&error))
    }

    /// Text of many lines on stdout, through a pager if one is set and the terminal is too low.
    pub(in crate::cli) fn paged(&self, text: &str) -> Result<(), Failure> {
        if self.out_is_terminal()
            && let Some(pager) = pager::wanted(text, rustix::stdio::stdout())
            && pager::show(&pager, text).is_ok()
        {
            return Ok(());
        }
        self.data(text.as_bytes())
    }

    /// A line on stdout; on a terminal as many as it needs.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.data(format!("{}\n", fitted(text, "", rustix::stdio::stdout())).as_bytes())
    }

    /// A line on stdout that confirms a change; with `--json`, where the answer is an object, on stderr. What `--quiet` leaves
    /// out is in the exit code.
    pub(in crate::cli) fn confirm(&self, text: &str) -> Result<(), Failure> {
        match (self.quiet, self.json) {
            (true, _) => Ok(()),
            (false, true) => {
                self.say(text);
                Ok(())
            }
            (false, false) => self.line(&harmless(text)),
        }
    }

    /// A line on stderr, made harmless; not with `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// A line on stderr that `--quiet` does not leave out: part of a question or of an answer to what was typed, or advice
    /// that someone who ignores it may lose by.
    pub(in crate::cli) fn say(&self, text: &str) {
        Self::styled_note(&fitted(&harmless(text), "", rustix::stdio::stderr()));
    }

    /// A line on stderr that may carry colors. A reader who closed it does not want to know.
    fn styled_note(text: &str) {
        let _ = write_to(&io::stderr(), format!("{text}\n").as_bytes());
    }

    /// One JSON value and a newline on stdout. On a terminal what could steer it is written as JSON's `\u` escapes.
    pub(crate) fn print_json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_vec(value)
            .map_err(|_| Failure::failed("The answer could not be written as JSON.", None))?;
        text.push(b'\n');
        self.json_lines(&text)
    }

    /// JSON on stdout, a value a line: exact to a pipe or file, harmless to a terminal.
    pub(crate) fn json_lines(&self, lines: &[u8]) -> Result<(), Failure> {
        if self.out_is_terminal() { self.data(&json_for_terminals(lines)) } else { self.data(lines) }
    }

    /// A written file on stdout: exact to a pipe or file; on a terminal what could steer it is shown instead.
    pub(crate) fn file(&self, bytes: &SecretBytes, json: bool) -> Result<(), Failure> {
        if !self.out_is_terminal() {
            return self.data(bytes.expose());
        }
        if json {
            return self.data(&json_for_terminals(bytes.expose()));
        }
        self.value(bytes)
    }

    /// A value on stdout: exact bytes to a pipe or file; on a terminal harmless and ended by a newline.
    pub(crate) fn value(&self, value: &SecretBytes) -> Result<(), Failure> {
        if !self.out_is_terminal() {
            return self.data(value.expose());
        }
        // Each byte becomes at most four (`\x1b`), and a character of four bytes at most ten (`\u{10ffff}`).
        let mut shown = SecretWriter::with_capacity(value.len() * 4 + 1);
        harmless_bytes(value.expose(), &mut shown);
        let _ = shown.push(b"\n");
        self.data(shown.written())
    }

    /// Help where none was asked for, on stderr.
    pub(in crate::cli) fn unasked_help(&self, text: &str) {
        let _ = write_to(&io::stderr(), text.as_bytes());
    }

    /// An error: what is wrong, and what to do.
    pub(in crate::cli) fn failure(&self, failure: &Failure) {
        if self.json {
            let body = serde_json::json!({
                "error": { "kind": failure.kind, "message": failure.message, "hint": failure.hint }
            });
            let text = json_for_terminals(body.to_string().as_bytes());
            return Self::styled_note(&String::from_utf8_lossy(&text));
        }
        let message = format!("{} {}", self.on_err(BAD, "error:"), harmless(&failure.message));
        let mut text = fitted_lists(&message, rustix::stdio::stderr());
        if let Some(hint) = &failure.hint {
            text.push('\n');
            text.push_str(&fitted(&harmless(hint), "       ", rustix::stdio::stderr()));
        }
        Self::styled_note(&text);
    }

    /// A warning in one line.
    pub(crate) fn warn(&self, text: &str) {
        let text = format!("{} {}", self.on_err(WARN, "warning:"), harmless(text));
        Self::styled_note(&fitted(&text, "", rustix::stdio::stderr()));
    }

    /// How far long work on keys is: on a terminal, after half a second.
    #[must_use]
    pub(crate) fn progress(&self, doing: &'static str, keys: usize) -> indicatif::ProgressBar {
        let target = if self.json || self.quiet || !self.err_is_terminal() {
            indicatif::ProgressDrawTarget::hidden()
        } else {
            indicatif::ProgressDrawTarget::stderr_with_hz(2)
        };
        let bar = indicatif::ProgressBar::with_draw_target(u64::try_from(keys).ok(), target);
        if let Ok(style) = indicatif::ProgressStyle::with_template("{msg} {pos} of {len} keys {wide_bar}") {
            bar.set_style(style);
        }
        bar.with_message(doing)
    }

    #[must_use]
    pub(crate) fn on_out(&self, style: Style, text: &str) -> String {
        styled(self.color(), style, text)
    }

    #[must_use]
    pub(crate) fn color(&self) -> bool {
        let colored = || !self.json && context::color_wanted() && self.out_is_terminal();
        *self.color_out.get_or_init(colored)
    }

    #[must_use]
    pub(in crate::cli) fn err_color(&self) -> bool {
        *self.color_err.get_or_init(|| context::color_wanted() && self.err_is_terminal())
    }

    fn on_err(&self, style: Style, text: &str) -> String {
        styled(self.err_color(), style, text)
    }
}

/// A command that has nowhere to answer changes nothing.
pub(in crate::cli) fn require_stdout() -> Result<(), Failure> {
    if startup::stdout_was_closed() {
        return Err(Failure::failed("Standard output is closed. Nothing was done.", None));
    }
    Ok(())
}

fn styled(color: bool, style: Style, text: &str) -> String {
    if color { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// Straight to the descriptor: a duplicate of it could not be had when there are none left, which is an error that wants to
/// be printed.
fn write_to(stream: &impl AsFd, bytes: &[u8]) -> io::Result<()> {
    output::write_all(stream, bytes)
}

/// JSON without DEL, C1 controls and direction marks, which stand in strings only and may be escaped there.
fn json_for_terminals(json: &[u8]) -> Vec<u8> {
    let mut safe = String::with_capacity(json.len() + 16);
    for character in String::from_utf8_lossy(json).chars() {
        if character != '\n' && obeyed(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(character);
        }
    }
    safe.into_bytes()
}

/// A terminal that is narrower is treated as if it had so many columns.
const MIN_COLUMNS: u16 = 40;

/// The width of a terminal that has not been told its size: a serial line, a container's, one that a program made.
const USUAL_COLUMNS: u16 = 80;

/// How many columns a stream's terminal has; `None` if it is none.
fn columns_of(stream: impl AsFd) -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(if size.ws_col == 0 { USUAL_COLUMNS } else { size.ws_col.max(MIN_COLUMNS) })
}

/// How many columns stdout's terminal has; 80 if it is none.
#[must_use]
pub(crate) fn terminal_width() -> u16 {
    columns_of(rustix::stdio::stdout()).unwrap_or(USUAL_COLUMNS)
}

/// Text whose lines begin with `indent`, broken between words where a terminal would break within them. Lines that are
/// indented already are commands to copy or lists, and stay whole.
fn fitted(text: &str, indent: &str, stream: impl AsFd) -> String {
    let columns = columns_of(stream).unwrap_or(0);
    let lines = text.split('\n').map(|line| {
        let line = format!("{indent}{line}");
        if line.get(indent.len()..).is_some_and(|line| line.starts_with("  ")) {
            line
        } else {
            hanging_at(&line, indent.len(), columns)
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Text on the terminal of whoever is asked, broken between words for the first standard stream that is one.
pub(in crate::cli) fn for_a_person(text: &str) -> String {
    let streams = [rustix::stdio::stderr(), rustix::stdio::stdout(), rustix::stdio::stdin()];
    let terminal = streams.into_iter().find(|stream| columns_of(stream).is_some());
    terminal.map_or_else(|| text.to_owned(), |stream| fitted(text, "", stream))
}

/// A message whose indented lines are a list, each item broken between words as well. Commands to copy are in hints.
fn fitted_lists(text: &str, stream: impl AsFd) -> String {
    let (first, items) = text.split_once('\n').unwrap_or((text, ""));
    let mut shown = fitted(first, "", &stream);
    let columns = columns_of(&stream).unwrap_or(0);
    for item in items.lines() {
        shown.push('\n');
        shown.push_str(&hanging_at(item, 4, columns));
    }
    shown
}

/// A line whose text begins at `column`; on a terminal what does not fit goes on there in the next ones.
#[must_use]
pub(crate) fn hanging(line: &str, column: usize) -> String {
    let columns = columns_of(rustix::stdio::stdout()).unwrap_or(0);
    hanging_at(line, column, columns)
}

/// [`hanging`] for a terminal of so many columns, 0 for none.
pub(super) fn hanging_at(line: &str, column: usize, columns: u16) -> String {
    if columns == 0 {
        return line.to_owned();
    }
    let indent = " ".repeat(column);
    let (blanks, text) = line.split_at(line.len() - line.trim_start().len());
    let options = textwrap::Options::new(usize::from(columns.max(MIN_COLUMNS)))
        .initial_indent(blanks)
        .subsequent_indent(&indent)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    loosened(&textwrap::fill(&commands_whole(text), &options))
}

/// A text in lines of so many columns. A longer word is broken if `break_words` says so, and a command never is.
pub(super) fn broken_at(text: &str, columns: usize, break_words: bool) -> Vec<String> {
    let options = textwrap::Options::new(columns)
        .break_words(break_words)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(&commands_whole(text), &options).iter().map(|line| loosened(line)).collect()
}

/// In the place of a blank at which no line may end.
const FIRM_BLANK: &str = "\u{a0}";

/// How commands to paste begin where no backticks surround them: behind a colon or a parenthesis, or alone in a line.
const COMMANDS: [&str; 9] = ["chmod ", "sudo ", "mv ", "cp ", "rm ", "sed ", "mkdir ", "source ", "wsl "];

/// Returns `true` if a text begins with a command, and not with a sentence about keyvault.
fn begins_command(text: &str) -> bool {
    static VERBS: OnceLock<Vec<String>> = OnceLock::new();
    let verbs = || {
        let groups = super::args::groups();
        let verbs = groups.iter().flat_map(|(_, group)| group.get_subcommands());
        verbs.map(|verb| verb.get_name().to_owned()).collect()
    };
    match text.strip_prefix("keyvault ") {
        Some(rest) => {
            let verb = rest.split([' ', ')', '.', ',']).next().unwrap_or_default();
            VERBS.get_or_init(verbs).iter().any(|known| known == verb)
        }
        None => COMMANDS.iter().any(|command| text.starts_with(command)),
    }
}

/// The text with firm blanks within commands: those in backticks, and those that follow a colon or parenthesis.
fn commands_whole(text: &str) -> String {
    let option = |text: &str| text.starts_with("--");
    let begins = |text: &str| option(text) || begins_command(text);
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    if begins_command(text.trim_start()) && !text.contains('`') && !text.ends_with('.') {
        let (blanks, command) = text.split_at(text.len() - text.trim_start().len());
        return format!("{blanks}{}", command.replace(' ', FIRM_BLANK));
    }
    while let Some(at) = rest.find(['`', ':', '(']) {
        let (before, found) = rest.split_at(at);
        let (mark, behind) = found.split_at(1);
        whole += before;
        whole += mark;
        rest = behind;
        let command = match mark {
            "`" => behind.find('`').map_or("", |end| behind.get(..=end).unwrap_or_default()),
            "(" if begins(behind) => behind.split([')', ';']).next().unwrap_or_default(),
            ":" if behind.strip_prefix(' ').is_some_and(begins) => {
                whole.push(' ');
                rest = behind.trim_start();
                rest.split(". ").next().and_then(|text| text.split(", ").next()).unwrap_or_default()
            }
            _ => "",
        };
        whole += &command.replace(' ', FIRM_BLANK);
        rest = rest.get(command.len()..).unwrap_or_default();
    }
    whole + rest
}

/// The text with blanks again.
fn loosened(text: &str) -> String {
    text.replace(FIRM_BLANK, " ")
}

fn harmless_bytes(bytes: &[u8], shown: &mut SecretWriter) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let mut utf8 = [0; 4];
            let plain = c.encode_utf8(&mut utf8);
            if obeyed(c) && !matches!(c, '\n' | '\t') {
                for byte in plain.bytes() {
                    push_hex(byte, shown);
                }
            } else {
                let _ = shown.push(plain.as_bytes());
            }
        }
        chunk.invalid().iter().for_each(|byte| push_hex(*byte, shown));
    }
}

fn push_hex(byte: u8, shown: &mut SecretWriter) {
    let mut escaped = *b"\\x00";
    if let Some(digits) = escaped.get_mut(2..) {
        data_encoding::HEXLOWER.encode_mut(&[byte], digits);
    }
    // The buffer has four bytes for each.
    let _ = shown.push(&escaped);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_to_paste_is_never_broken() {
        for (line, whole) in [
            (
                "Extend it with `keyvault edit stripe/live --expires 30d`.",
                "`keyvault edit stripe/live --expires 30d`.",
            ),
            ("Give it another name first: keyvault edit a/b --rename NEW", "keyvault edit a/b --rename NEW"),
            (
                "  TOKEN <- old: revoked (keyvault rotate shop/old/one), and more",
                "(keyvault rotate shop/old/one),",
            ),
            (
                "A variable, not a key; swap the sides: --as STRIPE_KEY=stripe/live/key",
                "--as STRIPE_KEY=stripe/live/key",
            ),
            (
                "chmod 600 '/home/ada/.local/share/keyvault/vault.db'",
                "chmod 600 '/home/ada/.local/share/keyvault/vault.db'",
            ),
        ] {
            let shown = hanging_at(line, 2, 40);
            assert!(shown.lines().any(|line| line.trim() == whole || line.contains(whole)), "{shown}");
            let prose = shown.lines().filter(|line| !line.contains(whole));
            assert!(prose.into_iter().all(|line| line.len() <= 40), "{shown}");
        }
        assert_eq!(
            hanging_at("a `b and no end of words that goes on", 0, 40),
            "a `b and no end of words that goes on"
        );
    }

    #[test]
    fn case_36_a_value_is_never_interpreted() {
        let mut shown = SecretWriter::with_capacity(64);
        harmless_bytes(b"ok\x1b]0;x\x07\n\xff", &mut shown);
        assert_eq!(shown.written(), b"ok\\x1b]0;x\\x07\n\\xff");
    }
}
