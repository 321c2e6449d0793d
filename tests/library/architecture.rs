//! The rules of the layout, held against the source: who imports whom, who may use which crate, who prints, who reads
//! the environment.
//!
//! A new room needs its place in [`ORDER`]; the rest holds by itself.

mod source;

use source::{Source, Token, sources};

/// The rooms, from the top down. A room imports from the lines below its own; only the rooms of the last line, which
/// are values without state, also import from each other.
const ORDER: [&[&str]; 11] = [
    &["main", "lib"],
    &["cli", "fuzzing"],
    &["gateway", "scan", "exchange", "project"],
    &["exec"],
    &["vault", "issue"],
    &["unlock"],
    &["state"],
    &["audit"],
    &["store", "crypto"],
    &["recipe", "sys"],
    &["secret", "name", "clock", "codec", "identity"],
];

/// Crates that one room alone may name, because that room is where they are understood.
const OWNED: [(&str, &str); 5] = [
    ("ring", "crypto"),
    ("chacha20poly1305", "crypto"),
    ("argon2", "crypto"),
    ("rusqlite", "store"),
    ("zbus", "unlock"),
];

#[test]
fn every_room_has_its_place_in_the_order() {
    hold(room_without_place);
}

#[test]
fn imports_point_downward() {
    hold(import_upward);
}

#[test]
fn a_crate_is_named_only_in_the_room_that_owns_it() {
    hold(crate_elsewhere);
}

#[test]
fn unsafe_stands_only_in_sys() {
    hold(unsafe_elsewhere);
}

#[test]
fn only_cli_prints() {
    hold(print_elsewhere);
}

#[test]
fn only_cli_context_unlock_and_sys_read_the_environment() {
    hold(environment_elsewhere);
}

#[test]
fn nothing_is_left_unfinished() {
    hold(unfinished);
}

/// A rule that finds nothing might be one that sees nothing: each is shown what it must find.
#[test]
fn each_rule_finds_what_is_planted_and_nothing_else() {
    type Rule = fn(&Source) -> Vec<Finding>;
    let planted: &[(Rule, &str, &str, &[usize])] = &[
        (room_without_place, "attic/mod.rs", "", &[1]),
        (room_without_place, "vault/open.rs", "", &[]),
        (import_upward, "store/a.rs", "use crate::vault::Vault;", &[1]),
        (import_upward, "store/a.rs", "use crate::crypto::Key;", &[1]),
        (import_upward, "store/a.rs", "use crate::{secret, state::Pin,\n audit::{Event}};", &[1, 2]),
        (import_upward, "store/a.rs", "\nfn f() { crate :: vault::open() }", &[2]),
        (import_upward, "store/a.rs", "use super::super::vault;", &[1]),
        (import_upward, "store/mod.rs", "use super::vault;", &[1]),
        (import_upward, "store/a.rs", "mod inner { use super::super::super::vault; }", &[1]),
        (import_upward, "secret.rs", "use super::crypto;", &[1]),
        (import_upward, "store/a.rs", "use crate::*;", &[1]),
        (import_upward, "store/a.rs", "use crate as root;", &[1]),
        (import_upward, "store/a.rs", "use super::vault; use crate::store::b; use crate::secret::S;", &[]),
        (import_upward, "store/a.rs", "pub(crate) fn f() {} pub(in crate::store) fn g() {}", &[]),
        (import_upward, "codec.rs", "use crate::secret::S;", &[]),
        (
            import_upward,
            "store/a.rs",
            "// crate::vault\n/* /* */ crate::vault */ const S: &str = r#\"\"crate::vault\"#;",
            &[],
        ),
        (import_upward, "store/a.rs", "#[cfg(test)]\nmod tests { use crate::vault; }", &[]),
        (
            import_upward,
            "store/a.rs",
            "#[cfg(test)] #[allow(x)] mod tests { fn f() { } }\nuse crate::vault;",
            &[2],
        ),
        (import_upward, "store/a.rs", "#[cfg(not(test))]\nuse crate::vault;", &[2]),
        (import_upward, "store/a.rs", "const C: char = '\"'; use crate::vault; const D: char = '\\'';", &[1]),
        (import_upward, "store/a.rs", "fn f<'a>(x: &'a str) { crate::vault::f(x) }", &[1]),
        (crate_elsewhere, "vault/a.rs", "use rusqlite::Connection;\nuse ring::digest;", &[1, 2]),
        (crate_elsewhere, "vault/a.rs", "use crate::crypto::argon2id; // ring", &[]),
        (crate_elsewhere, "store/a.rs", "use rusqlite::Row;", &[]),
        (crate_elsewhere, "sys/a.rs", "use ring as r;\nextern crate argon2;", &[1, 2]),
        (crate_elsewhere, "sys/a.rs", "fn f(ring: u8) { g(ring) }", &[]),
        (unsafe_elsewhere, "vault/a.rs", "#![allow(unsafe_code)]\nfn f() { unsafe { g() } }", &[2]),
        (unsafe_elsewhere, "vault/a.rs", "#[cfg(test)]\nmod tests { unsafe fn f() {} }", &[2]),
        (unsafe_elsewhere, "sys/a.rs", "unsafe fn f() {}", &[]),
        (
            print_elsewhere,
            "vault/a.rs",
            "fn f() { println!(\"\");\n std::io::stderr().lock();\n eprint!(\"\") }",
            &[1, 2, 3],
        ),
        (
            print_elsewhere,
            "vault/a.rs",
            "fn f(println: u8) { writeln!(out, \"println!\"); take_stdout() }",
            &[],
        ),
        (print_elsewhere, "cli/ui.rs", "fn f() { println!() }", &[]),
        (environment_elsewhere, "vault/a.rs", "fn f() { std::env::var(\"A\");\n env::vars_os(); }", &[1, 2]),
        (environment_elsewhere, "cli/ui.rs", "use std::env::{self, var_os};", &[1]),
        (environment_elsewhere, "cli/ui.rs", "use std::env::var as read;", &[1]),
        (environment_elsewhere, "cli/ui.rs", "fn f() { std::env::args_os(); env!(\"X\") }", &[]),
        (environment_elsewhere, "cli/context.rs", "fn f() { std::env::vars() }", &[]),
        (unfinished, "vault/a.rs", "// for now\nfn f() { todo!() }\n// A Placeholder", &[1, 2, 3]),
        (unfinished, "vault/a.rs", "// therefore nowhere; xxxx", &[]),
    ];
    for (rule, path, text, expected) in planted {
        let found: Vec<usize> = rule(&Source::of(path, text)).iter().map(|finding| finding.line).collect();
        assert_eq!(&found, expected, "{path}: {text}");
    }
}

/// Where a rule is broken, and how.
struct Finding {
    line: usize,
    what: String,
}

fn finding(line: usize, what: impl Into<String>) -> Finding {
    Finding { line, what: what.into() }
}

/// Applies a rule to every file of `src/`.
fn hold(rule: fn(&Source) -> Vec<Finding>) {
    let sources = sources();
    assert!(sources.len() > 20, "only {} files of source were found", sources.len());
    let broken: Vec<String> = sources
        .iter()
        .flat_map(|source| {
            rule(source).into_iter().map(|f| format!("src/{}:{}: {}", source.path, f.line, f.what))
        })
        .collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

fn room_without_place(source: &Source) -> Vec<Finding> {
    match rank(source.room()) {
        Some(_) => vec![],
        None => vec![finding(1, format!("room `{}` has no place in ORDER", source.room()))],
    }
}

fn import_upward(source: &Source) -> Vec<Finding> {
    let own = source.room();
    // What has no place is reported by the rule above.
    let Some(own_rank) = rank(own) else { return vec![] };
    let values = ORDER.len() - 1;
    let mut found = Vec::new();
    for (line, import) in imports(source) {
        let allowed = match rank(&import) {
            Some(target) => import == own || target > own_rank || (target == values && own_rank == values),
            // Not a room: `crate::Name` that the library's root does not have, or all of it at once.
            None => false,
        };
        if !allowed {
            found.push(finding(line, format!("`{own}` imports `{import}`, which is not below it")));
        }
    }
    found
}

fn crate_elsewhere(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, token) in source.code.iter().enumerate() {
        let near = |at: usize, text: &str| source.code.get(at).is_some_and(|token| token.is(text));
        // A variable may have the same name: a crate's stands before `::`, or as a whole in an import.
        let path = near(at + 1, ":") && near(at + 2, ":");
        let import = at > 0 && (near(at - 1, "use") || near(at - 1, "crate"));
        for (name, owner) in OWNED {
            if token.is(name) && (path || import) && source.room() != owner {
                found.push(finding(token.line, format!("names `{name}`, which only `{owner}` may")));
            }
        }
    }
    found
}

/// Tests included: what is unsafe there can break the tests that run beside it.
fn unsafe_elsewhere(source: &Source) -> Vec<Finding> {
    let tokens = source.all.iter().filter(|token| token.is("unsafe") && source.room() != "sys");
    tokens.map(|token| finding(token.line, "`unsafe` outside `sys`")).collect()
}

fn print_elsewhere(source: &Source) -> Vec<Finding> {
    if source.room() == "cli" {
        return vec![];
    }
    let prints = |pair: &&[Token]| {
        let [name, next] = pair else { return false };
        let macros = ["print", "println", "eprint", "eprintln", "dbg"];
        macros.iter().any(|it| name.is(it)) && next.is("!")
            || (name.is("stdout") || name.is("stderr")) && next.is("(")
    };
    let pairs = source.code.windows(2).filter(prints);
    pairs.map(|pair| finding(pair[0].line, format!("`{}` outside `cli`", pair[0].text))).collect()
}

fn environment_elsewhere(source: &Source) -> Vec<Finding> {
    if source.path == "cli/context.rs" || ["unlock", "sys"].contains(&source.room()) {
        return vec![];
    }
    let readers = ["var", "vars", "var_os", "vars_os"];
    let mut found = Vec::new();
    for (at, _) in source.code.iter().enumerate().filter(|(_, token)| token.is("env")) {
        for (line, name) in path_heads(&source.code, at + 1) {
            if readers.contains(&name.as_str()) || name == "*" {
                found.push(finding(line, format!("reads the environment: `env::{name}`")));
            }
        }
    }
    found
}

/// Comments and strings included: that is where such words stand.
fn unfinished(source: &Source) -> Vec<Finding> {
    let exact = ["todo!", "unimplemented!", "TODO", "FIXME", "XXX"];
    let in_any_case = ["for now", "placeholder"];
    let mut found = Vec::new();
    for (number, line) in source.text.lines().enumerate() {
        let lower = line.to_lowercase();
        let word = exact.iter().find(|word| line.contains(**word));
        let word = word.or_else(|| in_any_case.iter().find(|word| says(&lower, word)));
        if let Some(word) = word {
            found.push(finding(number + 1, format!("`{word}`")));
        }
    }
    found
}

/// Whether the phrase stands in the line as words of their own.
fn says(line: &str, phrase: &str) -> bool {
    line.match_indices(phrase).any(|(at, _)| {
        let edge = |c: Option<char>| !c.is_some_and(char::is_alphanumeric);
        edge(line[..at].chars().next_back())
            && (phrase == "placeholder" || edge(line[at + phrase.len()..].chars().next()))
    })
}

fn rank(room: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&room))
}

/// Every room that the code names: by `crate::`, by the crate's own name, or by as many `super::` as lead to the root.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let code = &source.code;
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let after = at + 1;
        // `pub(crate)` and `macro_rules!`' `$crate` lead nowhere by themselves.
        if code[at].is("crate") || (code[at].is("keyvault") && source.path == "main.rs") {
            let renamed = code.get(after).is_some_and(|next| next.is("as"));
            found.extend(renamed.then(|| (code[at].line, "crate".to_owned())));
            found.extend(path_heads(code, after));
        } else if code[at].is("super") {
            let mut supers = 1;
            let mut end = after;
            while [":", ":", "super"]
                .iter()
                .enumerate()
                .all(|(i, it)| code.get(end + i).is_some_and(|t| t.is(it)))
            {
                supers += 1;
                end += 3;
            }
            if supers >= source.depth() {
                // From a module within the file the same path stays lower; then its head is no room's name.
                let heads = path_heads(code, end).into_iter();
                found.extend(heads.filter(|(_, name)| rank(name).is_some()));
            }
            at = end - 1;
        }
        at += 1;
    }
    found
}

/// The names that follow `::` at `at`: one, or the first of each branch of a group.
fn path_heads(code: &[Token], at: usize) -> Vec<(usize, String)> {
    let is = |at: usize, text: &str| code.get(at).is_some_and(|token| token.is(text));
    if !is(at, ":") || !is(at + 1, ":") {
        return vec![];
    }
    let Some(first) = code.get(at + 2) else { return vec![] };
    if !first.is("{") {
        return vec![(first.line, first.text.clone())];
    }
    let mut heads = Vec::new();
    let mut depth = 0;
    for (previous, token) in code[at + 2..].iter().zip(&code[at + 3..]) {
        depth += i32::from(previous.is("{")) - i32::from(previous.is("}"));
        if depth == 0 {
            break;
        }
        let begins = depth == 1 && (previous.is("{") || previous.is(","));
        if begins && !token.is("}") && !token.is("self") {
            heads.push((token.line, token.text.clone()));
        }
    }
    heads
}
