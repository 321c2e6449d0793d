//! Manual pages, in the order of sections of man-pages(7).

use std::collections::BTreeSet;

use super::subject::{Item, Section, Subject};
use super::table::{ENVIRONMENT, EXAMPLES, EXIT_STATUS, Entry, FILES, entries};
use crate::cli::args;

/// The page of a command, in the macros of man(7).
pub(super) fn page(subject: &Subject) -> String {
    let name = file_stem(&subject.name);
    // A date would make each build another one.
    let version = env!("CARGO_PKG_VERSION");
    let title = escaped(&name.to_uppercase());
    // A command that is broken at a hyphen, or spread over the line, cannot be read as one.
    let mut text = format!(".TH {title} 1 \"\" \"keyvault {version}\" \"keyvault manual\"\n.nh\n.ad l\n");
    let about = subject.about();
    let decapitalized = about
        .chars()
        .next()
        .map(|first| first.to_lowercase().chain(about.chars().skip(1)).collect::<String>());
    text += &format!(".SH NAME\n{} \\- {}\n", escaped(&name), marked(&decapitalized.unwrap_or_default()));
    text += &format!(".SH SYNOPSIS\n{}\n", synopsis(subject));
    text += ".SH DESCRIPTION\n";
    let details = subject.details();
    let about = format!("{about}.");
    let paragraphs: Vec<_> =
        std::iter::once(&about).chain(&details).map(|paragraph| line(&marked(paragraph))).collect();
    text += &paragraphs.join(".PP\n");
    text += &commands(subject);
    text += ".SH OPTIONS\n";
    let own = |section: &Section| ["Arguments", "Options"].contains(&section.heading.as_str());
    let (plain, headed): (Vec<_>, Vec<_>) = subject.sections().into_iter().partition(own);
    text += &plain.iter().flat_map(|section| &section.items).map(item).collect::<String>();
    for Section { heading, items } in headed.into_iter().chain(subject.global()) {
        text += &format!(".SS {}\n{}", escaped(&heading), items.iter().map(item).collect::<String>());
    }
    let listed = |title: &str, table: &'static str| {
        let found = entries(table, subject.page());
        let lines: String = found.iter().map(|Entry { term, text }| tagged(&bold(term), text)).collect();
        if lines.is_empty() { lines } else { format!(".SH {title}\n{lines}") }
    };
    text += &listed("EXIT STATUS", EXIT_STATUS);
    text += &listed("ENVIRONMENT", ENVIRONMENT);
    text += &listed("FILES", FILES);
    text += ".SH EXAMPLES\n";
    let examples = entries(EXAMPLES, subject.page());
    let examples = examples.iter().map(|Entry { term, text }| {
        format!("{}.PP\n.RS 4\n.nf\n{}.fi\n.RE\n", line(&marked(text)), line(&escaped(term)))
    });
    text += &examples.collect::<Vec<_>>().join(".PP\n");
    text + &see_also(subject)
}

/// `keyvault-vault-slot` for `keyvault vault slot`.
pub(super) fn file_stem(name: &str) -> String {
    name.replace(' ', "-")
}

fn synopsis(subject: &Subject) -> String {
    let arguments = subject.usage.strip_prefix(&subject.name).unwrap_or_default().trim();
    format!("\\fB{}\\fR {}", escaped(&subject.name), placeholders(arguments))
}

/// The commands of a group; those of the program by group.
fn commands(subject: &Subject) -> String {
    let entry = |command: &Subject| {
        tagged(
            &format!("\\fB{}\\fR(1)", escaped(&file_stem(&command.name))),
            &format!("{}.", command.about()),
        )
    };
    if subject.is_root() {
        let groups = args::groups();
        let groups = groups.iter().map(|(title, group)| {
            let names = group.get_subcommands().map(clap::Command::get_name);
            let entries: String = names.map(|name| entry(&Subject::nearest([name].into_iter()))).collect();
            format!(".SS {title}\n{entries}")
        });
        return format!(".SH COMMANDS\n{}", groups.collect::<String>());
    }
    let entries: String = subject.commands().map(|command| entry(&command)).collect();
    if entries.is_empty() { entries } else { format!(".SH COMMANDS\n{entries}") }
}

/// The group of the command, its own commands, and the commands that the page names.
fn see_also(subject: &Subject) -> String {
    let mut pages = BTreeSet::new();
    if let Some((group, _)) = subject.name.rsplit_once(' ') {
        pages.insert(group.to_owned());
        pages.insert("keyvault".to_owned());
    }
    if !subject.is_root() {
        pages.extend(subject.commands().map(|command| command.name));
    }
    let items = subject.sections().into_iter().flat_map(|section| section.items).map(|item| item.text);
    for text in subject.details().into_iter().chain(items).chain([subject.about()]) {
        // Every second piece is between backticks.
        for code in text.split('`').skip(1).step_by(2) {
            let words = code.strip_prefix("keyvault ").unwrap_or(code);
            pages.insert(Subject::nearest(words.split(' ')).name);
        }
    }
    if subject.is_root() {
        pages.extend(["init", "exec", "project", "token"].map(|name| format!("keyvault {name}")));
    }
    pages.remove(&subject.name);
    let pages: Vec<_> =
        pages.iter().map(|page| format!("\\fB{}\\fR(1)", escaped(&file_stem(page)))).collect();
    format!(".SH SEE ALSO\n{}\n", pages.join(",\n"))
}

fn item(item: &Item) -> String {
    let spec: Vec<_> = item
        .spec
        .split(", ")
        .map(|spec| match spec.split_once(' ') {
            Some((option, value)) => format!("{} {}", bold(option), placeholders(value)),
            None if spec.starts_with('-') => bold(spec),
            None => placeholders(spec),
        })
        .collect();
    tagged(&spec.join(", "), &format!("{}.", item.text.trim_end_matches('.')))
}

/// Placeholders such as `<NAME>` in italics and without their angle brackets, options in bold.
fn placeholders(text: &str) -> String {
    let text = text.replace(['<', '>'], "");
    let word = |c: char| c.is_ascii_alphanumeric() || "-_=".contains(c);
    let pieces = text.split_inclusive(|c| !word(c)).flat_map(|piece| {
        let end = piece.find(|c| !word(c)).unwrap_or(piece.len());
        let (word, rest) = piece.split_at(end);
        let word = match word.chars().next() {
            Some('-') if word.len() > 2 => bold(word),
            Some(first) if first.is_ascii_uppercase() => format!("\\fI{}\\fR", escaped(word)),
            _ => escaped(word),
        };
        [word, escaped(rest)]
    });
    pieces.collect()
}

fn tagged(tag: &str, text: &str) -> String {
    format!(".TP\n{}{}", line(tag), line(&marked(text)))
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escaped(text))
}

/// Escaped text with code, which is between backticks, and options in bold.
fn marked(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces.map(|(place, piece)| if place % 2 == 1 { bold(piece) } else { prose(piece) }).collect()
}

/// Escaped text with the options that it names in bold.
fn prose(text: &str) -> String {
    let mut pieces = text.split("--");
    let mut shown = escaped(pieces.next().unwrap_or_default());
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(piece.len());
        let (name, rest) = piece.split_at(end);
        shown += &if name.is_empty() { escaped("--") } else { bold(&format!("--{name}")) };
        shown += &escaped(rest);
    }
    shown
}

fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\\' => shown += "\\e",
            '-' => shown += "\\-",
            '\'' => shown += "\\(aq",
            '`' => shown += "\\(ga",
            '^' => shown += "\\(ha",
            '~' => shown += "\\(ti",
            c => shown.push(c),
        }
    }
    shown
}

/// A line of text; one that begins as a request would gets a character of no width before it.
fn line(text: &str) -> String {
    if text.starts_with(['.', '\'']) { format!("\\&{text}\n") } else { format!("{text}\n") }
}
