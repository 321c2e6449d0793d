//! Reads `src/` as tokens, so that comments and strings do not count as code.
//!
//! What only tests see (`#[cfg(test)]`) is set apart. Macros are not expanded: a path that one makes is not seen.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of `src/`.
pub(crate) struct Source {
    /// Below `src/`, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Every token.
    pub(crate) all: Vec<Token>,
    /// The tokens of what is built into the program.
    pub(crate) code: Vec<Token>,
    /// Files that are modules for tests only, below `src/`.
    test_files: BTreeSet<String>,
}

impl Source {
    pub(crate) fn of(path: &str, text: &str) -> Self {
        let all = tokens(text);
        let (code, test_files) = without_tests(path, &all);
        Self { path: path.to_owned(), text: text.to_owned(), all, code, test_files }
    }

    /// The first part of the path, without `.rs`.
    pub(crate) fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many `super::` lead from the file's module to the root.
    pub(crate) fn depth(&self) -> usize {
        self.path.split('/').filter(|part| !["mod.rs", "lib.rs", "main.rs"].contains(part)).count()
    }
}

/// Every file of `src/`, in order; what only tests see has no `code`.
pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let mut sources: Vec<Source> = paths
        .iter()
        .map(|path| {
            let below =
                path.strip_prefix(&root).expect("below src").to_str().expect("UTF-8").replace('\\', "/");
            Source::of(&below, &fs::read_to_string(path).expect("source"))
        })
        .collect();
    let test_files: BTreeSet<String> = sources.iter().flat_map(|source| source.test_files.clone()).collect();
    for source in &mut sources {
        if test_files.contains(&source.path) {
            source.code.clear();
        }
    }
    sources
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// A word, a sign or a string, and its line.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) text: String,
    literal: bool,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        !self.literal && self.text == text
    }
}

/// Rust's tokens as far as the rules need them: signs one by one, no comments, literals marked as such.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let word = |c: &char| c.is_alphanumeric() || *c == '_';
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while let Some(&c) = chars.get(at) {
        let rest = &chars[at..];
        let (length, kind) = if rest.starts_with(&['/', '/']) {
            (rest.iter().take_while(|c| **c != '\n').count(), None)
        } else if rest.starts_with(&['/', '*']) {
            (block_comment(rest), None)
        } else if let Some(length) = string(rest) {
            (length, Some(true))
        } else if word(&c) {
            (rest.iter().take_while(|c| word(c)).count(), Some(false))
        } else {
            (1, (!c.is_whitespace()).then_some(false))
        };
        if let Some(literal) = kind {
            found.push(Token { line, text: rest[..length].iter().collect(), literal });
        }
        line += rest[..length].iter().filter(|c| **c == '\n').count();
        at += length;
    }
    found
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of the string or character that begins here, whatever its prefix; a lifetime is neither.
fn string(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|c| "bcr".contains(**c)).count();
    let raw = rest[..prefix].contains(&'r');
    let hashes = if raw { rest[prefix..].iter().take_while(|c| **c == '#').count() } else { 0 };
    let quote = *rest.get(prefix + hashes)?;
    let body = prefix + hashes + 1;
    if raw {
        let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
        let length = || rest[body..].windows(close.len()).position(|window| window == close);
        return (quote == '"').then(length)?.map(|length| body + length + close.len());
    }
    let character = quote == '\'' && (rest.get(body) == Some(&'\\') || rest.get(body + 1) == Some(&'\''));
    if quote != '"' && !character {
        return None;
    }
    let mut at = body;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    Some((at + 1).min(rest.len()))
}

/// The tokens without the items under `#[cfg(test)]` or `#[cfg(all(test, …))]`, and the files those items pull in.
fn without_tests(path: &str, all: &[Token]) -> (Vec<Token>, BTreeSet<String>) {
    let starts = |at: usize, signs: &[&str]| {
        signs.iter().enumerate().all(|(i, sign)| all.get(at + i).is_some_and(|token| token.is(sign)))
    };
    let for_tests = |at| {
        starts(at, &["cfg", "(", "test", ")"])
            || starts(at, &["cfg", "(", "all", "(", "test", ","])
            || starts(at, &["cfg", "(", "all", "(", "test", ")"])
    };
    if starts(0, &["#", "!", "["]) && for_tests(3) {
        return (vec![], BTreeSet::new());
    }
    let (mut code, mut files, mut at) = (Vec::new(), BTreeSet::new(), 0);
    while at < all.len() {
        if starts(at, &["#", "["]) && for_tests(at + 2) {
            let end = item_end(all, at);
            files.extend(module_file(path, &all[at..end]));
            at = end;
        } else {
            code.push(all[at].clone());
            at += 1;
        }
    }
    (code, files)
}

/// Where the item that begins at `at` with its attributes ends: after its `;` or its outermost `}`.
fn item_end(all: &[Token], at: usize) -> usize {
    let mut depth = 0_i32;
    for (offset, token) in all[at..].iter().enumerate() {
        let opens = ["{", "(", "["].iter().any(|sign| token.is(sign));
        let closes = ["}", ")", "]"].iter().any(|sign| token.is(sign));
        depth += i32::from(opens) - i32::from(closes);
        if depth < 0 {
            return at + offset;
        }
        if depth == 0 && (token.is("}") || token.is(";")) {
            return at + offset + 1;
        }
    }
    all.len()
}

/// The file of `mod name;`, by its `#[path]` if there is one.
fn module_file(path: &str, item: &[Token]) -> Option<String> {
    let [.., keyword, name, end] = item else { return None };
    if !keyword.is("mod") || !end.is(";") {
        return None;
    }
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let join =
        |parts: &[&str]| parts.iter().filter(|it| !it.is_empty()).copied().collect::<Vec<_>>().join("/");
    let named = item.windows(3).find(|three| three[0].is("path") && three[1].is("=") && three[2].literal);
    if let Some(three) = named {
        return Some(join(&[folder, three[2].text.trim_matches('"')]));
    }
    let stem = file.strip_suffix(".rs").filter(|stem| !["mod", "lib", "main"].contains(stem)).unwrap_or("");
    Some(join(&[folder, stem, &format!("{}.rs", name.text)]))
}
