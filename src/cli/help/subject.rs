//! The command that help is about, and its parts as help shows them.

use clap::{Arg, Command, CommandFactory};

use crate::cli::args::Cli;

/// The heading of the options that every command takes.
pub(super) const GLOBAL: &str = "Global options";

/// A command with the words that lead to it.
pub(super) struct Subject {
    /// `keyvault vault slot`
    pub(super) name: String,
    /// `keyvault vault slot remove [OPTIONS] [NUMBER]`
    pub(super) usage: String,
    command: Command,
}

/// An argument or option.
pub(super) struct Item {
    /// `-o, --output <FILE>`, or `<NAME>...`
    pub(super) spec: String,
    pub(super) text: String,
    /// Not in the summary of `-h`.
    pub(super) rare: bool,
}

/// Items under a heading.
pub(super) struct Section {
    pub(super) heading: String,
    pub(super) items: Vec<Item>,
}

impl Subject {
    /// The command that `words` lead to, as far as they are commands.
    pub(super) fn nearest<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let mut found = Self::of("keyvault".to_owned(), Cli::command());
        for word in words {
            let Some(below) = found.command.find_subcommand(word).cloned() else { break };
            found = found.below(below);
        }
        found
    }

    /// Every command and group; the program itself comes first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let mut waiting = vec![Self::nearest(std::iter::empty())];
        std::iter::from_fn(move || {
            let next = waiting.pop()?;
            waiting.extend(next.commands());
            Some(next)
        })
    }

    /// The commands below it.
    pub(super) fn commands(&self) -> impl Iterator<Item = Self> {
        self.command.get_subcommands().map(|command| self.below(command.clone()))
    }

    fn below(&self, command: Command) -> Self {
        let name = format!("{} {}", self.name, command.get_name());
        Self::of(name, command)
    }

    fn of(name: String, command: Command) -> Self {
        let mut command = command.bin_name(&name);
        // This also lays out the arguments, which cannot be shown before, and hands global ones down by one level.
        let usage = command.render_usage().to_string();
        let usage = usage.trim().trim_start_matches("Usage: ").to_owned();
        Self { name, usage, command }
    }

    /// Its name in the tables: the words behind `keyvault`.
    pub(super) fn page(&self) -> &str {
        self.name.strip_prefix("keyvault ").unwrap_or(&self.name)
    }

    /// Returns `true` for the program itself.
    pub(super) fn is_root(&self) -> bool {
        self.name == "keyvault"
    }

    /// Its name and aliases: `list, ls`.
    pub(super) fn names(&self) -> String {
        let names = std::iter::once(self.command.get_name()).chain(self.command.get_visible_aliases());
        names.collect::<Vec<_>>().join(", ")
    }

    /// The command's purpose, in one line without a full stop.
    pub(super) fn about(&self) -> String {
        let about = self.command.get_about().map(ToString::to_string).unwrap_or_default();
        about.trim_end_matches('.').to_owned()
    }

    /// The paragraphs about it.
    pub(super) fn details(&self) -> Vec<String> {
        let long = self.command.get_long_about().map(ToString::to_string).unwrap_or_default();
        long.split("\n\n").skip(1).map(|paragraph| paragraph.replace('\n', " ")).collect()
    }

    /// Its arguments and options by heading, in the order in which they are declared.
    pub(super) fn sections(&self) -> Vec<Section> {
        // clap's own `--help` and `--version` are described below.
        let ours = |arg: &&Arg| !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version");
        let own = self.command.get_arguments().filter(ours);
        let mut sections = sections(own, &|arg| match arg.get_help_heading() {
            Some(heading) => heading,
            None if arg.is_positional() => "Arguments",
            None => "Options",
        });
        // Positional arguments come first.
        sections.sort_by_key(|section| section.heading != "Arguments");
        let flag = |spec: &str, text: &str, rare| Item { spec: spec.to_owned(), text: text.to_owned(), rare };
        let mut flags = vec![flag("-h, --help", "Print help; -h prints a summary", true)];
        if self.is_root() {
            flags.push(flag("-V, --version", "Print the version", false));
        }
        match sections.iter_mut().find(|section| section.heading == "Options") {
            Some(section) => section.items.extend(flags),
            None => sections.push(Section { heading: "Options".to_owned(), items: flags }),
        }
        sections
    }

    /// The options that every command takes.
    pub(super) fn global(&self) -> Vec<Section> {
        sections(self.command.get_arguments().filter(|arg| arg.is_global_set()), &|_| GLOBAL)
    }
}

fn sections<'a>(
    arguments: impl Iterator<Item = &'a Arg>,
    heading: &dyn Fn(&'a Arg) -> &'a str,
) -> Vec<Section> {
    let mut found: Vec<Section> = Vec::new();
    for arg in arguments.filter(|arg| !arg.is_hide_set()) {
        let heading = heading(arg);
        match found.iter_mut().find(|section| section.heading == heading) {
            Some(section) => section.items.push(item(arg)),
            None => found.push(Section { heading: heading.to_owned(), items: vec![item(arg)] }),
        }
    }
    found
}

fn item(arg: &Arg) -> Item {
    let spec = match arg.get_short().filter(|_| arg.get_long().is_some()) {
        Some(short) => format!("-{short}, {arg}"),
        None => arg.to_string(),
    };
    let mut text = arg
        .get_long_help()
        .or(arg.get_help())
        .map(ToString::to_string)
        .unwrap_or_default()
        .replace("\n\n", " ");
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if arg.get_action().takes_values() && defaults.iter().any(|value| !value.is_empty()) {
        text += &format!(" [default: {}]", defaults.join(", "));
    }
    Item { spec, text, rare: arg.is_hide_short_help_set() }
}
