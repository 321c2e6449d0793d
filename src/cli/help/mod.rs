//! Help: on a terminal, and as manual pages. Both are made from the grammar (`cli::args` and `cli::cmd`) and from the tables
//! beside this file; nothing here opens a vault.

mod man;
mod screen;
mod subject;
mod table;

use std::ffi::OsString;

use self::screen::Screen;
use self::subject::Subject;
use super::output;

/// The help that a command line asks for: of the command it names, a summary for `-h`.
pub(super) fn asked(arguments: &[OsString], color: bool) -> String {
    let words = || arguments.iter().take_while(|word| *word != "--");
    let screen = Screen::new(output::terminal_width(), color);
    let subject = named(arguments);
    if words().any(|word| word == "--help") { screen.whole(&subject) } else { screen.summary(&subject) }
}

/// All help of the command that a command line names.
pub(super) fn whole(arguments: &[OsString], color: bool) -> String {
    Screen::new(output::terminal_width(), color).whole(&named(arguments))
}

/// The command that was typed, as far as it is one of ours: `keyvault vault slot`.
pub(super) fn command_path(arguments: &[OsString]) -> String {
    named(arguments).name
}

/// The file name and text of each manual page.
pub(super) fn manual_pages() -> impl Iterator<Item = (String, String)> {
    Subject::all().map(|subject| (format!("{}.1", man::file_stem(&subject.name)), man::page(&subject)))
}

/// The manual page of the program itself.
pub(super) fn manual_page() -> String {
    man::page(&Subject::nearest(std::iter::empty()))
}

/// The command that the words before the first question for help lead to.
fn named(arguments: &[OsString]) -> Subject {
    let mut words =
        arguments.iter().skip(1).take_while(|word| *word != "--" && *word != "-h" && *word != "--help");
    let mut plain = Vec::new();
    while let Some(word) = words.next() {
        if word == "--vault" {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            plain.push(word.to_string_lossy());
        }
    }
    Subject::nearest(plain.iter().map(AsRef::as_ref))
}
