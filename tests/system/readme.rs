//! The README's commands, typed into a terminal one after the other as a newcomer would, and their answers; and the picture
//! of `list`.
//!
//! In a block that begins with ```` ```console ```` a line that begins with `$ ` is a command, and the lines below it are
//! its answer. Times, fingerprints, and secrets, which differ each time, are equal in both. `KEYVAULT_WRITE=1 cargo test
//! --test system readme` writes the answers and the picture.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;

use crate::harness::project_file::mode;
use crate::harness::terminal::Terminal;
use crate::harness::{PASSPHRASE, World, hours, minutes};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Holds a file of the repository to a text, or writes it.
fn is_current(name: &str, text: &str) {
    if std::env::var_os("KEYVAULT_WRITE").is_some() {
        std::fs::write(file(name), text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file(name)).unwrap_or_default(), text, "{name}");
}

/// Answers to the prompts of a command, in their order. An empty one is the end of the recovery code on the screen.
fn answers(command: &str) -> &'static [(&'static str, &'static str)] {
    match command {
        "keyvault init" => &[
            ("New passphrase:", PASSPHRASE),
            ("Repeat the passphrase:", PASSPHRASE),
            ("Type its last five characters:", ""),
        ],
        "keyvault unlock" => &[("Passphrase", PASSPHRASE)],
        "keyvault rotate shop/STRIPE_KEY" => &[("Value of shop/STRIPE_KEY:", "sk_live_new")],
        "keyvault vault recover" => &[
            ("Recovery code:", "code"),
            ("New passphrase:", PASSPHRASE),
            ("Repeat the passphrase:", PASSPHRASE),
            ("Type its last five characters:", ""),
        ],
        _ => &[],
    }
}

fn code_on(screen: &str) -> Option<String> {
    let line = screen.lines().rev().find(|line| line.len() == 47 && line.matches('-').count() == 7)?;
    Some(line.to_owned())
}

/// Returns `true` for the id of an issued key, by its mixed characters.
fn is_issued_id(word: &str) -> bool {
    let has = |of: fn(&u8) -> bool| word.bytes().any(|byte| of(&byte));
    word.len() == 12
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
}

/// An answer with its times, fingerprints, secrets, and places replaced by fixed ones.
fn equal(answer: &str, code: &str, world: &World) -> String {
    let answer = answer.replace(world.home().to_str().unwrap(), "~");
    let mut equal = String::new();
    for word in answer.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c))) {
        let bare = word.trim_end_matches(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c)));
        let hex = |length: usize| {
            bare.len() == length && bare.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        equal += if bare.starts_with("kvt_") {
            "kvt_8Qi0IasASk2KcuCUm4MewEWo6OgyGYq8Qi0IasASk2K1YcOzKxiFwHZoOrAKkO2Ro0kq9vz"
        } else if is_issued_id(bare) {
            "7HqW2bXk9LmT"
        } else if code_on(bare).is_some() {
            "K7Q2M-9XW4T-B3HZC-V8NRD-5FYGP-J6AES-0M1KT-W2Q9X"
        } else if hex(12) {
            "76926342add3"
        } else if hex(8) && bare.contains(|c: char| !c.is_ascii_digit()) || hex(8) && word.ends_with(':') {
            // The ledger of this device.
            "1a2b3c4d"
        } else if code.ends_with(bare) && bare.len() == 5 {
            "W2Q9X"
        } else {
            bare
        };
        equal += &word[bare.len()..];
    }
    let us = keyvault_os::process::actor::who();
    let mut equal = equal.replace(&format!("{}@{}", us.user, us.host), "ada@box");
    // The terminal's number, among the words about who made an entry.
    while let Some((before, after)) = equal.split_once("bash pts/") {
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        equal = format!("{before}bash tty{rest}");
    }
    equal.replace("bash tty", "bash pts/1").trim_end().to_owned()
}

struct Newcomer<'w> {
    world: &'w World,
    terminal: Terminal<'w>,
    /// The recovery code that was shown last.
    code: String,
}

impl Newcomer<'_> {
    /// Types a command and answers its prompts; all that it printed.
    fn types(&mut self, command: &str) -> String {
        let prompts = answers(command);
        self.terminal.run(command, prompts.first().map_or("", |(prompt, _)| prompt));
        for (prompt, answer) in prompts {
            self.terminal.wait_for(prompt);
            if answer.is_empty() {
                self.code = code_on(&self.terminal.screen()).unwrap();
                self.terminal.type_line(&self.code[self.code.len() - 5..]);
            } else {
                let answer = if *answer == "code" { self.code.clone() } else { (*answer).to_owned() };
                self.terminal.type_line(&answer);
            }
        }
        let (shown, _) = self.terminal.ended();
        equal(&shown, &self.code, self.world)
    }
}

#[test]
fn the_commands_of_the_readme_answer_as_it_says() {
    let world = World::empty();
    world.at("2026-11-21T08:00:00Z");
    let shop = world.home().join("shop");
    std::fs::create_dir(&shop).unwrap();
    let env = "STRIPE_KEY=sk_live_4eC39Hq\nDATABASE_URL=postgres://app:s3cret@localhost/shop\nPORT=3000\n";
    std::fs::write(shop.join(".env"), env).unwrap();
    std::fs::write(shop.join(".env.production"), "STRIPE_KEY=sk_live_9\n").unwrap();
    let mut newcomer = Newcomer { world: &world, terminal: Terminal::shell(&world), code: String::new() };
    let program = world.home().join("bin");
    std::fs::create_dir(&program).unwrap();
    std::fs::write(program.join("npm"), "#!/bin/sh\necho \"> shop listens on port $PORT\"\n").unwrap();
    std::fs::write(program.join("deploy"), "#!/bin/sh\n").unwrap();
    mode(&program.join("npm"), 0o755);
    mode(&program.join("deploy"), 0o755);
    std::fs::copy(program.join("deploy"), shop.join("deploy")).unwrap();
    newcomer.terminal.run(&format!("PATH={}:$PATH", program.display()), "");
    let page = std::fs::read_to_string(file("README.md")).unwrap();
    let (mut expected, mut inside) = (String::new(), false);
    for line in page.lines() {
        match (inside, line) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, _) => {
                let Some(command) = line.strip_prefix("$ ") else { continue };
                let answer = newcomer.types(command);
                let _ = writeln!(expected, "{line}");
                if !answer.is_empty() {
                    let _ = writeln!(expected, "{answer}");
                }
                if command.starts_with("keyvault rotate") {
                    world.advance(minutes(10));
                }
                continue;
            }
            (false, _) => {}
        }
        let _ = writeln!(expected, "{line}");
    }
    is_current("README.md", &expected);
}

/// Four lines of a page that is 120 columns wide.
#[test]
fn a_paragraph_of_the_readme_is_short() {
    const LONGEST: usize = 4 * 120;
    let page = std::fs::read_to_string(file("README.md")).unwrap();
    let paragraphs =
        page.split("\n\n").filter(|text| !text.starts_with(['`', ' ', '|']) || text.starts_with("`k"));
    for paragraph in paragraphs.flat_map(|text| text.split("\n- ")) {
        // A link's target is not seen.
        let seen: String =
            paragraph.split("](").map(|part| part.split_once(')').map_or(part, |(_, rest)| rest)).collect();
        assert!(seen.chars().count() <= LONGEST || paragraph.contains("\n$ "), "{}: {paragraph}", seen.len());
    }
}

/// The colors of the program's palette, by their codes in the terminal's escapes.
fn color(code: &str) -> Option<&'static str> {
    Some(match code {
        "31" => "#f85149",
        "32" => "#3fb950",
        "33" => "#d29922",
        _ => return None,
    })
}

/// A terminal's text as a picture.
fn picture(screen: &str) -> String {
    let lines: Vec<_> = screen.lines().collect();
    let height = 20 * lines.len() + 24;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{height}\" font-family=\"ui-monospace, Menlo, \
         Consolas, monospace\" font-size=\"14\" fill=\"#e6edf3\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" \
         fill=\"#0d1117\"/>\n"
    );
    for (number, line) in lines.iter().enumerate() {
        let _ = write!(svg, "<text x=\"14\" y=\"{}\" xml:space=\"preserve\">", 26 + 20 * number);
        let mut style = String::new();
        for (at, piece) in line.split("\u{1b}[").enumerate() {
            let (codes, text) = if at == 0 { ("", piece) } else { piece.split_once('m').unwrap() };
            for code in codes.split(';').filter(|_| at > 0) {
                match code {
                    "1" => style += " font-weight=\"bold\"",
                    "" | "0" | "39" => style.clear(),
                    code => style.extend(color(code).map(|color| format!(" fill=\"{color}\""))),
                }
            }
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            if !text.is_empty() {
                let _ = write!(svg, "<tspan{style}>{text}</tspan>");
            }
        }
        svg += "</text>\n";
    }
    svg + "</svg>\n"
}

#[test]
fn the_picture_of_list_is_what_list_prints() {
    let world = World::own();
    let make = |arguments: &[&str]| world.run(&[&["generate"], arguments].concat()).ok();
    world.run(&["unlock", "--for", "12h"]).ok();
    make(&["shop/DATABASE_URL", "--scope", "deploy"]);
    make(&["shop/STRIPE_KEY", "--scope", "deploy", "--expires", "90d"]);
    make(&["shop/SESSION_SECRET", "--scope", "deploy", "--expires", "3d"]);
    make(&["blog/MAILGUN_KEY", "--expires", "1h"]);
    make(&["blog/OLD_TOKEN"]);
    world.run(&["revoke", "blog/OLD_TOKEN"]).ok();
    world.advance(hours(3));
    world.run(&["rotate", "shop/SESSION_SECRET"]).ok();
    world.advance(hours(2));
    let terminal = Terminal::sized(&world, "bash --norc --noprofile", 90);
    terminal.type_line("PS1='READY> '; clear");
    terminal.wait_for("READY>");
    terminal.run("keyvault list", "");
    terminal.ended();
    let colored = terminal.colored();
    let (shown, _) = colored.split_once("[ended").unwrap();
    is_current("docs/list.svg", &picture(shown.trim_end()));
}
