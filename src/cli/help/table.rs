//! The tables of help and manual pages: examples, variables, files, and exit codes.
//!
//! They are text in the program and not arrays of slices, each of which would cost a relocation at every start. A table
//! has blocks. A block's first line names the pages it is for: `[exec, project render]`, or `[all but man, help]`; the
//! page of the program itself is `keyvault`. An entry is a line, and below it, indented, a sentence about it.

/// A command line, a variable, a file, or an exit code, with a sentence about it.
pub(super) struct Entry {
    pub(super) term: &'static str,
    pub(super) text: &'static str,
}

pub(super) const EXAMPLES: &str = include_str!("examples.txt");
pub(super) const ENVIRONMENT: &str = include_str!("environment.txt");
pub(super) const FILES: &str = include_str!("files.txt");
pub(super) const EXIT_STATUS: &str = include_str!("exit_status.txt");

/// The entries of a table for a page, in the table's order.
pub(super) fn entries(table: &'static str, page: &str) -> Vec<Entry> {
    let blocks = table.split("\n\n").filter_map(|block| block.split_once('\n'));
    let concerned = blocks.filter(|(header, _)| covers(header, page));
    let mut found: Vec<Entry> = Vec::new();
    for line in concerned.flat_map(|(_, lines)| lines.lines()) {
        match (line.strip_prefix("    "), found.last_mut()) {
            (Some(text), Some(entry)) => entry.text = text,
            _ => found.push(Entry { term: line, text: "" }),
        }
    }
    found
}

fn covers(header: &str, page: &str) -> bool {
    let names = header.trim_matches(['[', ']']);
    match names.strip_prefix("all but ") {
        Some(others) => others.split(", ").all(|name| name != page),
        None => names.split(", ").any(|name| name == page),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::help::subject::Subject;

    /// The words that a shell would hand to keyvault, for lines without escapes and substitutions within them.
    fn command_lines(line: &str) -> Vec<Vec<String>> {
        let line = line.strip_prefix("source <(").and_then(|line| line.strip_suffix(')')).unwrap_or(line);
        let mut simple = vec![Vec::new()];
        let mut word: Option<String> = None;
        let mut quoted = false;
        for c in format!("{line} ").chars() {
            match c {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                ' ' if !quoted => match word.take().as_deref() {
                    Some("|" | "||" | "&&") => simple.push(Vec::new()),
                    Some(word) => {
                        if let Some(words) = simple.last_mut() {
                            words.push(word.to_owned());
                        }
                    }
                    None => {}
                },
                c => word.get_or_insert_default().push(c),
            }
        }
        for words in &mut simple {
            let end = words.iter().position(|word| word.starts_with(['>', '<'])).unwrap_or(words.len());
            words.truncate(end);
            let begin = words.iter().position(|word| !word.contains('=')).unwrap_or_default();
            words.drain(..begin);
        }
        simple
    }

    #[test]
    fn every_command_has_two_to_four_examples_that_parse_and_show_it() {
        for subject in Subject::all() {
            let page = subject.page();
            let examples = entries(EXAMPLES, page);
            assert!((2..=4).contains(&examples.len()), "{page}: {}", examples.len());
            let mut shown = 0;
            for Entry { term, text } in examples {
                assert!(text.ends_with('.') && term.len() <= 69, "{page}: {term}: {text}");
                let ours = command_lines(term);
                let ours: Vec<_> = ours
                    .iter()
                    .filter(|words| words.first().is_some_and(|word| word == "keyvault"))
                    .collect();
                for words in &ours {
                    let arguments: Vec<_> = words.iter().map(Into::into).collect();
                    let parsed = crate::cli::usage::parse(&arguments, "");
                    assert!(parsed.is_ok(), "{term}: {:?}", parsed.err().map(|error| error.to_string()));
                    let words = words.join(" ");
                    shown += usize::from(page == "keyvault" || words.contains(page));
                }
            }
            assert!(shown > 0, "{page} is in none of its examples");
        }
    }

    #[test]
    fn tables_name_only_pages_that_exist_and_say_something_of_every_entry() {
        let pages: Vec<_> = Subject::all().map(|subject| subject.page().to_owned()).collect();
        for table in [EXAMPLES, ENVIRONMENT, FILES, EXIT_STATUS] {
            for header in table.lines().filter(|line| line.starts_with('[')) {
                let names = header.trim_matches(['[', ']']);
                for name in names.strip_prefix("all but ").unwrap_or(names).split(", ") {
                    assert!(pages.iter().any(|page| page == name), "{header}: {name}");
                }
            }
            for page in &pages {
                for entry in entries(table, page) {
                    assert!(entry.text.ends_with('.'), "{page}: {}: {}", entry.term, entry.text);
                }
            }
        }
        for page in &pages {
            assert!(
                !entries(ENVIRONMENT, page).is_empty()
                    || ["completions", "direnv", "man"].contains(&page.as_str())
            );
            assert!(!entries(FILES, page).is_empty() && !entries(EXIT_STATUS, page).is_empty(), "{page}");
        }
    }

    /// The variables of all commands, as README.md has them.
    fn variables() -> String {
        // A variable that commands use in different ways has one line.
        let mut rows: Vec<(String, String)> = Vec::new();
        for block in ENVIRONMENT.split("\n\n").filter(|block| !block.starts_with("[keyvault]")) {
            let mut lines = block.lines().skip(1);
            while let (Some(names), Some(text)) = (lines.next(), lines.next()) {
                let names = names.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                match rows.iter_mut().find(|(known, _)| *known == names) {
                    Some((_, meaning)) => *meaning += &format!(" {}", text.trim()),
                    None => rows.push((names, text.trim().to_owned())),
                }
            }
        }
        let rows = rows.iter().map(|(names, meaning)| format!("| {names} | {meaning} |\n"));
        format!("| variable | meaning |\n| --- | --- |\n{}", rows.collect::<String>())
    }

    #[test]
    fn the_readme_has_every_variable() {
        const HEADING: &str = "### Environment variables\n\n";
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        let (before, after) = page.split_once(HEADING).unwrap_or_default();
        let (_, after) = after.split_once("## ").unwrap_or_default();
        let current = format!("{before}{HEADING}{}\n## {after}", variables());
        if std::env::var_os("KEYVAULT_WRITE").is_some() {
            let _ = std::fs::write(&path, &current);
        } else {
            assert!(page == current, "KEYVAULT_WRITE=1 cargo test --lib help rewrites README.md");
        }
    }
}
