//! Help for a terminal: `--help` in full, and `-h` as a summary that fits one screen of 80 by 24.

use super::subject::{GLOBAL, Item, Section, Subject};
use super::table::{EXAMPLES, entries};
use crate::cli::args;
use crate::cli::output::{self, STRONG};

/// The widest help, in columns.
const MAX_WIDTH: u16 = 100;

/// Help of a width, with or without bold headings.
pub(super) struct Screen {
    width: u16,
    color: bool,
}

impl Screen {
    pub(super) fn new(columns: u16, color: bool) -> Self {
        Self { width: columns.min(MAX_WIDTH), color }
    }

    /// Everything about a command.
    pub(super) fn whole(&self, subject: &Subject) -> String {
        let mut text = self.paragraph(&subject.about(), "") + "\n";
        text += &format!("{} {}\n", self.strong("Usage:"), self.usage(subject));
        text += &format!("\n{}\n", self.strong("Examples:"));
        for entry in entries(EXAMPLES, subject.page()) {
            text += &self.paragraph(&format!("# {}", entry.text.trim_end_matches('.')), "  ");
            text += &format!("  {}\n", entry.term);
        }
        text += &if subject.is_root() { self.groups() } else { self.commands(subject) };
        for Section { heading, items } in subject.sections().into_iter().chain(subject.global()) {
            text += &format!(
                "\n{}\n{}",
                self.strong(&format!("{heading}:")),
                self.items(&items, |text, _| text.to_owned())
            );
        }
        if subject.is_root() {
            text += "\nRun `keyvault COMMAND --help` for more about a command.\n";
        } else if !subject.details().is_empty() {
            text += &format!("\n{}\n", self.strong("Details:"));
            let details: Vec<_> =
                subject.details().iter().map(|paragraph| self.paragraph(paragraph, "  ")).collect();
            text += &details.join("\n");
        }
        text
    }

    /// The usage, an example, and a line for each option that is in daily use.
    pub(super) fn summary(&self, subject: &Subject) -> String {
        let mut text = self.paragraph(&subject.about(), "") + "\n";
        text += &format!("{}   {}\n", self.strong("Usage:"), self.usage(subject));
        if let Some(example) = entries(EXAMPLES, subject.page()).first() {
            text += &format!("{} {}\n", self.strong("Example:"), example.term);
        }
        text.push('\n');
        if subject.is_root() {
            for (title, group) in args::groups() {
                let names =
                    group.get_subcommands().map(clap::Command::get_name).collect::<Vec<_>>().join(", ");
                let line = format!("  {title:10}{names}");
                text += &(output::hanging_at(&line, 12, self.width) + "\n");
            }
            text.push('\n');
        }
        let commands = subject.commands().filter(|_| !subject.is_root()).map(|command| Item {
            spec: command.names(),
            text: command.about(),
            rare: false,
        });
        let options = subject.sections().into_iter().flat_map(|section| section.items);
        let items: Vec<_> = commands.chain(options).filter(|item| !item.rare).collect();
        if !items.is_empty() {
            text += &(self.items(&items, gist) + "\n");
        }
        let global = subject.global().into_iter().flat_map(|section| section.items);
        let global: Vec<_> =
            global.map(|item| item.spec.split(", ").next().unwrap_or_default().to_owned()).collect();
        text += &self.paragraph(&format!("{GLOBAL}: {}", global.join(", ")), "");
        text + &self
            .paragraph(&format!("All options, with examples and details: {} --help", subject.name), "")
    }

    /// The commands by group, each with what it does.
    fn groups(&self) -> String {
        let groups = args::groups().map(|(title, group)| {
            let subjects =
                group.get_subcommands().map(|command| Subject::nearest([command.get_name()].into_iter()));
            (title, subjects.collect::<Vec<_>>())
        });
        let names = groups.iter().flat_map(|(_, subjects)| subjects).map(Subject::names);
        let column = names.map(|names| names.len()).max().unwrap_or_default();
        let list = groups.iter().map(|(title, subjects)| {
            let lines = subjects.iter().map(|subject| {
                let below: Vec<_> = subject.commands().map(|command| command.names()).collect();
                // Exit codes are for the command's own help.
                let about = subject.about().split(": ").next().unwrap_or_default().to_owned();
                let about = if below.is_empty() { about } else { format!("{about}: {}", below.join(", ")) };
                let line = format!("  {:column$}  {about}", subject.names());
                output::hanging_at(&line, column + 4, self.width) + "\n"
            });
            format!("\n{}\n{}", self.strong(&format!("{title}:")), lines.collect::<String>())
        });
        list.collect()
    }

    fn commands(&self, subject: &Subject) -> String {
        let items = subject.commands();
        let items: Vec<_> =
            items.map(|command| Item { spec: command.names(), text: command.about(), rare: false }).collect();
        if items.is_empty() {
            return String::new();
        }
        format!("\n{}\n{}", self.strong("Commands:"), self.items(&items, |text, _| text.to_owned()))
    }

    /// Two columns: names, and what `fit` makes of the texts for the room that is left. A name that is too long for its
    /// column has a line of its own.
    fn items(&self, items: &[Item], fit: fn(&str, usize) -> String) -> String {
        let width = usize::from(self.width);
        let any_short = items.iter().any(|item| item.spec.starts_with('-') && !item.spec.starts_with("--"));
        let indent = |item: &Item| if any_short && item.spec.starts_with("--") { "      " } else { "  " };
        let length = |item: &Item| indent(item).len() + item.spec.chars().count();
        let short_enough = items.iter().map(length).filter(|length| *length <= width / 3 + 2);
        let column = short_enough.max().unwrap_or(4) + 2;
        let lines = items.iter().map(|item| {
            let text = fit(&item.text, width - column);
            let name = format!("{}{}", indent(item), item.spec);
            let first = if length(item) + 2 <= column {
                format!("{name:column$}{text}")
            } else {
                format!("{name}\n{:column$}{text}", "")
            };
            let hanging = first.split('\n').map(|line| output::hanging_at(line, column, self.width));
            hanging.collect::<Vec<_>>().join("\n") + "\n"
        });
        lines.collect()
    }

    fn usage(&self, subject: &Subject) -> String {
        // Behind `Example: `, which is as long as what stands before the usage in a summary.
        let line = format!("{:9}{}", "", subject.usage);
        output::hanging_at(&line, 9, self.width).trim_start().to_owned()
    }

    fn paragraph(&self, text: &str, indent: &str) -> String {
        output::hanging_at(&format!("{indent}{text}"), indent.len(), self.width) + "\n"
    }

    fn strong(&self, text: &str) -> String {
        if self.color { format!("{STRONG}{text}{STRONG:#}") } else { text.to_owned() }
    }
}

/// A text that fits into `room` columns: all of it, or as many of its clauses as fit. A first clause that is too long stays
/// whole.
fn gist(text: &str, room: usize) -> String {
    let fits = |text: &&str| text.chars().count() <= room;
    if fits(&text) {
        return text.to_owned();
    }
    // Not at any comma: half a list would mislead.
    let marks = ["; ", ": ", " (", ", also ", ", if ", ", including ", ", instead ", ", such as ", ", with "];
    let ends = marks.into_iter().flat_map(|mark| text.match_indices(mark).map(|(end, _)| end));
    let clauses: Vec<_> = ends.filter_map(|end| text.get(..end)).collect();
    let whole = clauses.iter().copied().filter(fits).max_by_key(|clause| clause.len());
    let shortest = || clauses.iter().copied().min_by_key(|clause| clause.len());
    whole.or_else(shortest).unwrap_or(text).to_owned()
}
