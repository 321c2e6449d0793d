//! Every command's answer under `--json` against docs/keyvault.json.schema.json, judged by another validator than ours
//! (Python's); and the schema and docs/json.md against the list of commands.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use super::project_schema::python;
use crate::harness::desktop::Bus;
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, finish, hours};

/// Commands that print text for a shell or a person, and no data.
const TEXT: [&str; 4] = ["completions", "direnv", "help", "man"];

/// Takes the schema and a list of [definition, answer], prints a line for each answer that does not fit.
const JUDGE: &str = r##"
import json, sys, jsonschema
schema, answers = json.load(sys.stdin)
jsonschema.Draft202012Validator.check_schema(schema)
for name, answer in answers:
    whole = {"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": "#/$defs/" + name}
    for error in jsonschema.Draft202012Validator(whole).iter_errors(answer):
        print(name, "/".join(map(str, error.absolute_path)), error.message, json.dumps(answer), sep=": ")
"##;

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&read("docs/keyvault.json.schema.json")).unwrap()
}

/// The commands that run something, their words joined by hyphens, from the manual, which is made from the grammar.
fn commands() -> BTreeSet<String> {
    let world = World::empty();
    world.run(&["man", "--all", "pages"]).ok();
    let pages = std::fs::read_dir(world.home().join("pages")).unwrap();
    let names: BTreeSet<String> = pages
        .filter_map(|page| {
            let name = page.unwrap().file_name().into_string().unwrap();
            Some(name.strip_prefix("keyvault-")?.strip_suffix(".1")?.to_owned())
        })
        .collect();
    let is_group = |name: &String| names.iter().any(|other| other.starts_with(&format!("{name}-")));
    names.iter().filter(|name| !is_group(name)).cloned().collect()
}

/// Answers by the definition that they have to fit.
struct Answers<'w> {
    world: &'w World,
    seen: Vec<(String, Value)>,
    failed: BTreeSet<String>,
}

impl Answers<'_> {
    /// Runs a command, whose words end before the arguments, and keeps each line of its answer.
    #[track_caller]
    fn code(&mut self, code: i32, command: &str, arguments: &[&str]) -> Value {
        self.input(code, command, arguments, "")
    }

    #[track_caller]
    fn ok(&mut self, command: &str, arguments: &[&str]) -> Value {
        self.code(0, command, arguments)
    }

    #[track_caller]
    fn input(&mut self, code: i32, command: &str, arguments: &[&str], input: &str) -> Value {
        let ran = self.run(command, arguments, input);
        assert_eq!(ran.code, code, "{command} {arguments:?}\n{}{}", ran.out, ran.err);
        let name = command.replace(' ', "-");
        let mut last = Value::Null;
        // Only the audit log and its export are streams; a file that was asked for in JSON may have several lines.
        let lines: Vec<&str> = if ["audit-log", "audit-export"].contains(&name.as_str()) {
            ran.out.lines().collect()
        } else {
            vec![ran.out.as_str()]
        };
        for line in lines {
            last = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {command}: {line}"));
            self.seen.push((name.clone(), last.clone()));
        }
        last
    }

    /// Runs a command that must print nothing but an error, behind warnings at most.
    #[track_caller]
    fn fails(&mut self, code: i32, kind: &str, command: &str, arguments: &[&str]) {
        let ran = self.run(command, arguments, "");
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{command} {arguments:?}\n{}", ran.err);
        let error: Value = serde_json::from_str(ran.err.lines().last().unwrap()).expect(&ran.err);
        assert_eq!(error["error"]["kind"], kind, "{command} {arguments:?}\n{error}");
        self.seen.push(("error".to_owned(), error));
        self.failed.insert(command.replace(' ', "-"));
    }

    fn run(&self, command: &str, arguments: &[&str], input: &str) -> Ran {
        let words: Vec<_> = command.split(' ').collect();
        let arguments = [&["--json", "--non-interactive"], words.as_slice(), arguments].concat();
        self.world.run_with_input(&arguments, input)
    }

    fn judge(&self) -> String {
        let mut judge = python();
        let mut judge = judge
            .args(["-W", "ignore", "-c", JUDGE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let question = serde_json::to_vec(&(schema(), &self.seen)).unwrap();
        let mut stdin = judge.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || stdin.write_all(&question).unwrap());
        let output = judge.wait_with_output().unwrap();
        feeder.join().unwrap();
        assert!(output.status.success(), "the judge failed; its message is above");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn every_answer_fits_its_definition() {
    let mut world = World::empty();
    let _bus = Bus::with_keyring(&mut world);
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.file("pass", "another long passphrase of ours");
    std::process::Command::new("chmod").arg("600").arg(world.home().join("pass")).status().unwrap();
    world.file(".env", "X=1\nY=2 # two\n");
    let mut answers = Answers { world: &world, seen: Vec::new(), failed: BTreeSet::new() };

    without_a_vault(&mut answers);
    let code = answers.ok("init", &[])["recovery_code"].as_str().unwrap().to_owned();
    answers.fails(6, "refused", "init", &[]);
    world.file("code", &code);
    nothing_yet(&mut answers);
    keys(&mut answers);
    runs(&mut answers);
    own_api(&mut answers);
    project(&mut answers);
    machines(&mut answers);
    vault(&mut answers);
    sessions(&mut answers);
    removals(&mut answers);

    assert_eq!(answers.judge(), "");
    let mut answered: BTreeSet<String> = answers.seen.iter().map(|(name, _)| name.clone()).collect();
    answered.remove("error");
    let commands: BTreeSet<_> =
        commands().into_iter().filter(|name| !TEXT.contains(&name.as_str())).collect();
    assert_eq!(answered, commands, "each command answers here once at least");
    // Neither needs anything that may be missing.
    let cannot_fail = ["doctor", "status", "tour"].map(str::to_owned);
    assert_eq!(answers.failed, commands.into_iter().filter(|name| !cannot_fail.contains(name)).collect());
}

fn without_a_vault(answers: &mut Answers<'_>) {
    answers.code(3, "status", &["--verbose"]);
    answers.code(1, "doctor", &[]);
    for command in ["list", "audit log", "audit verify", "vault check", "vault passwd", "vault slot list"] {
        answers.fails(3, "no_vault", command, &[]);
    }
    for command in ["unlock", "lock", "token list", "vault slot add keyring", "vault slot add recovery"] {
        answers.fails(3, "no_vault", command, &[]);
    }
    answers.fails(3, "no_vault", "vault slot add keyfile", &["kf"]);
    answers.fails(3, "no_vault", "vault rekey", &["--keep-passphrase"]);
}

fn nothing_yet(answers: &mut Answers<'_>) {
    assert_eq!(answers.ok("list", &[]), json!({ "keys": [] }));
    assert_eq!(answers.ok("token list", &[]), json!({ "tokens": [], "sessions": [] }));
    assert_eq!(answers.ok("rotate", &["--expired"]), json!({ "keys": [] }));
    answers.fails(6, "refused", "export", &["--all"]);
    answers.fails(125, "refused", "exec", &["--all", "--dry-run", "--", "true"]);
    answers.ok("audit log", &["-n", "1"]);
    answers.ok("audit export", &[]);
    answers.ok("audit export", &["--format", "ocsf"]);
    answers.fails(2, "usage", "audit export", &["--format", "xml"]);
    answers.code(4, "status", &[]);
}

fn keys(answers: &mut Answers<'_>) {
    let labels = ["--scope", "dev", "--tag", "team=web", "--note", "a note", "--expires", "90d"];
    answers.ok("generate", &[&["a"][..], &labels].concat());
    answers.ok("generate", &["b", "--print"]);
    answers.ok("generate", &["pair", "--recipe", "ed25519"]);
    answers.fails(2, "usage", "generate", &["x", "--length", "1"]);
    answers.input(0, "add", &["c", "--public", "--scope", "dev"], "value");
    answers.input(0, "add", &["db"], "{\"user\": \"ada\"}");
    answers.fails(6, "refused", "add", &["a"]);
    for arguments in [&["a"][..], &["c"], &["pair"], &["a", "--reveal"], &["a", "--reveal", "--version", "1"]]
    {
        answers.ok("show", arguments);
    }
    answers.fails(3, "not_found", "show", &["none"]);
    answers.ok("list", &[]);
    answers.ok("list", &["a"]);
    answers.ok("edit", &["a", "--owner", "ada", "--display-name", "A"]);
    answers.ok("edit", &["a", "b", "--scope", "ci"]);
    answers.fails(3, "not_found", "edit", &["none", "--note", "x"]);
    answers.ok("rotate", &["a"]);
    answers.ok("rotate", &["a", "b", "--grace", "1h"]);
    answers.fails(3, "not_found", "rotate", &["none"]);
    answers.ok("rollback", &["a"]);
    answers.fails(6, "refused", "rollback", &["pair"]);
    answers.ok("history", &["a"]);
    answers.fails(3, "not_found", "history", &["none"]);
    answers.ok("disable", &["a", "--reason", "a leak"]);
    answers.ok("disable", &["b", "pair"]);
    answers.ok("show", &["a"]);
    answers.fails(3, "not_found", "disable", &["none"]);
    answers.ok("enable", &["a"]);
    answers.ok("enable", &["b", "pair"]);
    answers.fails(3, "not_found", "enable", &["none"]);
    answers.ok("revoke", &["a", "--version", "1"]);
    answers.ok("revoke", &["pair"]);
    answers.ok("revoke", &["pair", "db"]);
    answers.fails(3, "not_found", "revoke", &["none"]);
    answers.ok("history", &["pair"]);
    answers.ok("list", &[]);
}

fn runs(answers: &mut Answers<'_>) {
    answers.ok("import", &[".env", "--prefix", "p/", "--dry-run"]);
    answers.ok("import", &[".env", "--prefix", "p/"]);
    answers.ok("import", &[".env", "--prefix", "p/", "--on-conflict", "skip"]);
    answers.ok("import", &[".env", "--prefix", "p/", "--on-conflict", "replace"]);
    answers.fails(3, "not_found", "import", &["none.env"]);
    answers.ok("export", &["--only", "c"]);
    answers.ok("export", &["--all"]);
    answers.fails(2, "usage", "export", &[]);
    let places = ["--fd", "3=b", "--file", "F=a", "--stdin", "c", "--docker-env", "D"];
    answers.ok("exec", &[&["--scope", "dev", "--dry-run"][..], &places, &["--", "true"]].concat());
    answers.ok("exec", &["--all", "--dry-run", "--", "true"]);
    answers.fails(125, "usage", "exec", &["--", "true"]);
    answers.fails(127, "no_command", "exec", &["--only", "b", "--", "/nowhere/program"]);
    answers.ok("tour", &[]);
}

fn own_api(answers: &mut Answers<'_>) {
    answers.fails(3, "not_found", "issue", &["i/x", "--client", "none"]);
    answers.ok("client add", &["acme", "--contact", "ops", "--rate", "100/m,burst=5", "--quota", "1M/month"]);
    answers.fails(6, "refused", "client add", &["acme"]);
    answers.ok("role add", &["reader", "--scope", "orders:read"]);
    answers.fails(6, "refused", "role add", &["reader", "--scope", "x"]);
    answers.ok("role edit", &["reader", "--scope", "stock:read"]);
    answers.fails(3, "not_found", "role edit", &["none", "--scope", "x"]);
    let options = [
        "--client",
        "acme",
        "--role",
        "reader",
        "--scope",
        "admin",
        "--expires",
        "90d",
        "--cidr",
        "10.0.0.0/8",
        "--method",
        "GET",
        "--path",
        "/a/*",
        "--origin",
        "https://a.example",
        "--app",
        "a",
        "--tag",
        "team=web",
    ];
    let key = answers.ok("issue", &[&["i/x"][..], &options].concat());
    let text = key["key"].as_str().unwrap().to_owned();
    answers.ok("issue", &["i/y"]);
    answers.input(6, "verify", &[], &text);
    answers.input(
        0,
        "verify",
        &[
            "--ip",
            "10.1.1.1",
            "--method",
            "GET",
            "--path",
            "/a/b",
            "--origin",
            "https://a.example",
            "--app",
            "a",
        ],
        &text,
    );
    answers.input(1, "verify", &[], "nothing");
    answers.fails(2, "usage", "verify", &["--scope", "a AND"]);
    answers.ok("list", &["--issued"]);
    answers.ok("show", &["i/x"]);
    answers.ok("rotate", &["i/x", "--grace", "1h"]);
    answers.ok("history", &["i/x"]);
    answers.ok("disable", &["i/x", "--reason", "a leak"]);
    answers.ok("enable", &["i/x"]);
    answers.ok("edit", &["i/x", "--note", "x", "--clear", "cidrs"]);
    answers.ok("revoke", &["i/y"]);
    answers.ok("remove", &["i/x", "i/y", "--yes"]);
    answers.ok("list", &["--issued", "--removed"]);
    answers.ok("undelete", &["i/x"]);
    answers.ok("api add", &["shop", "--prefix", "shop"]);
    answers.fails(6, "refused", "api add", &["shop"]);
    answers.ok("api edit", &["shop", "--on-leak", "hold"]);
    answers.fails(3, "not_found", "api edit", &["none", "--on-leak", "hold"]);
    answers.ok("api list", &[]);
    answers.fails(2, "usage", "api list", &["x"]);
    answers.ok("api show", &["shop"]);
    answers.fails(3, "not_found", "api show", &["none"]);
    answers.ok("client show", &["acme"]);
    answers.fails(3, "not_found", "client show", &["none"]);
    answers.ok("client edit", &["acme", "--contact", ""]);
    answers.fails(2, "usage", "client edit", &["acme"]);
    answers.ok("client disable", &["acme", "--reason", "unpaid"]);
    answers.fails(3, "not_found", "client disable", &["none"]);
    answers.ok("client enable", &["acme"]);
    answers.fails(3, "not_found", "client enable", &["none"]);
    answers.ok("client list", &[]);
    answers.fails(3, "not_found", "client list", &["--api", "none"]);
    answers.fails(6, "refused", "client remove", &["acme"]);
    answers.ok("client add", &["empty"]);
    answers.ok("client remove", &["empty"]);
    answers.ok("role list", &[]);
    answers.fails(3, "not_found", "role list", &["--api", "none"]);
    answers.fails(6, "refused", "role remove", &["reader"]);
    answers.ok("edit", &["i/x", "--unrole", "reader"]);
    answers.ok("role remove", &["reader"]);
    answers.ok("audit log", &[]);
}

fn project(answers: &mut Answers<'_>) {
    for command in ["project add", "project check", "project approve"] {
        let name: &[&str] = if command == "project add" { &["none"] } else { &[] };
        // `project add` makes a file where there is none.
        if name.is_empty() {
            answers.fails(3, "not_found", command, &[]);
        }
    }
    answers.ok("project init", &["--no-schema"]);
    answers.fails(6, "refused", "project init", &[]);
    answers.ok("project add", &["b"]);
    answers.ok("project add", &["c", "--profile", "prod"]);
    answers.fails(2, "usage", "project add", &["b", "--profile", "a/b"]);
    answers.ok("project approve", &["--yes"]);
    answers.code(3, "project check", &[]);
    answers.world.file(".keyvault.toml", "[keys]\nB = 'b'\nD = { template = '{c}', description = 'x' }\n");
    answers.code(6, "project check", &[]);
    answers.ok("project approve", &["--yes"]);
    answers.ok("project check", &[]);
    answers.ok("project approve", &["--withdraw"]);
    answers.ok("project trust", &["--yes"]);
    answers.ok("project trust", &["--withdraw"]);
    answers.ok("project trust", &["--withdraw"]);
    answers.fails(2, "usage", "project trust", &[]);
    answers.world.file("template", "c: kv://c b: kv://b\n");
    answers.ok("project render", &["template", "--output", "filled"]);
    answers.fails(3, "not_found", "project render", &["none"]);
}

fn machines(answers: &mut Answers<'_>) {
    let token = answers.ok("token create", &["ci", "--scope", "dev", "--expires", "30d"]);
    answers.ok("token create", &["empty", "--scope", "nothing"]);
    answers.fails(6, "refused", "token create", &["ci", "--scope", "dev"]);
    answers.ok("bundle create", &["--token", "ci", "-o", "ci.kvb"]);
    answers.fails(6, "refused", "bundle create", &["--token", "ci", "-o", "ci.kvb"]);
    answers.ok("bundle update", &["ci.kvb"]);
    answers.ok("rotate", &["a"]);
    answers.ok("bundle update", &["ci.kvb"]);
    answers.fails(3, "not_found", "bundle update", &["none.kvb"]);
    let mut away = World::empty();
    std::fs::copy(answers.world.home().join("ci.kvb"), away.home().join("ci.kvb")).unwrap();
    away.set("KEYVAULT_READS", "reads.jsonl");
    away.set("KEYVAULT_TOKEN", token["token"].as_str().unwrap());
    away.run(&["exec", "--bundle", "ci.kvb", "--", "true"]).ok();
    std::fs::copy(away.home().join("reads.jsonl"), answers.world.home().join("reads.jsonl")).unwrap();
    answers.ok("audit import", &["reads.jsonl"]);
    answers.world.file("broken.jsonl", "nonsense\n");
    answers.code(5, "audit import", &["broken.jsonl"]);
    answers.fails(3, "not_found", "audit import", &["none.jsonl"]);
    answers.ok("token list", &[]);
    answers.ok("token show", &["ci"]);
    answers.ok("token edit", &["ci", "--expires", "20d"]);
    answers.fails(3, "not_found", "token edit", &["none", "--expires", "20d"]);
    answers.fails(3, "not_found", "token show", &["none"]);
    answers.ok("token renew", &["ci"]);
    answers.fails(3, "not_found", "token renew", &["none"]);
    answers.ok("token revoke", &["empty"]);
    answers.fails(3, "not_found", "token revoke", &["none"]);
    answers.ok("audit log", &[]);
    answers.ok("audit verify", &[]);
}

fn vault(answers: &mut Answers<'_>) {
    answers.ok("vault slot add keyfile", &["kf"]);
    answers.ok("vault slot add keyring", &[]);
    answers.ok("vault slot add recovery", &[]);
    answers.ok("vault slot list", &[]);
    answers.ok("vault slot remove", &["3", "--yes"]);
    answers.fails(3, "not_found", "vault slot remove", &["99", "--yes"]);
    answers.ok("vault check", &[]);
    answers.ok("vault backup", &["one.db"]);
    answers.ok("vault backup", &["two.db", "--verify"]);
    answers.fails(6, "refused", "vault backup", &["one.db"]);
    answers.ok("generate", &["later"]);
    answers.ok("rotate", &["b"]);
    answers.ok("revoke", &["c"]);
    answers.ok("disable", &["a"]);
    answers.ok("vault diff", &["one.db"]);
    answers.fails(3, "not_found", "vault diff", &["none.db"]);
    answers.ok("vault restore", &["one.db", "--only", "a", "--only", "b", "--yes"]);
    answers.ok("vault restore", &["one.db", "--yes"]);
    answers.ok("vault restore", &["--adopt"]);
    answers.fails(3, "not_found", "vault restore", &["none.db"]);
    answers.fails(
        4,
        "wrong_credential",
        "vault recover",
        &["--code-file", "pass", "--new-passphrase-file", "pass"],
    );
    answers.ok("vault recover", &["--code-file", "code", "--new-passphrase-file", "pass"]);
    let mut command = answers.world.command(KEYVAULT);
    let arguments = ["--json", "vault", "passwd"];
    command
        .env("KEYVAULT_PASSPHRASE_FILE", "pass")
        .env("KEYVAULT_NEW_PASSPHRASE", PASSPHRASE)
        .args(arguments);
    let ran = finish(command.env_remove("KEYVAULT_PASSPHRASE"), b"").ok();
    answers.seen.push(("vault-passwd".to_owned(), ran.json()));
    answers.ok("vault rekey", &["--keep-passphrase", "--yes"]);
    answers.ok("doctor", &[]);
}

fn sessions(answers: &mut Answers<'_>) {
    answers.ok("unlock", &[]);
    answers.ok("status", &["--verbose"]);
    answers.ok("unlock", &["--scope", "dev", "--yes"]);
    answers.ok("status", &[]);
    answers.ok("token list", &[]);
    answers.ok("lock", &[]);
    answers.ok("lock", &[]);
    answers.world.advance(hours(2));
    answers.ok("audit verify", &[]);
    answers.ok("audit log", &[]);
}

fn removals(answers: &mut Answers<'_>) {
    answers.ok("remove", &["a", "--yes"]);
    answers.ok("remove", &["b", "p/X", "--yes"]);
    answers.fails(3, "not_found", "remove", &["none", "--yes"]);
    answers.ok("list", &["--removed"]);
    answers.ok("undelete", &["b"]);
    answers.fails(3, "not_found", "undelete", &["none"]);
    answers.ok("copy", &["b", "another"]);
    answers.fails(3, "not_found", "copy", &["none", "other"]);
    answers.ok("remove", &["b", "another", "--wipe", "--yes"]);
}

#[test]
fn every_command_has_a_definition_and_a_place_in_the_page() {
    let (schema, page, commands) = (schema(), read("docs/json.md"), commands());
    let definitions = schema["$defs"].as_object().unwrap();
    for name in &commands {
        let is_text = TEXT.contains(&name.as_str());
        assert_eq!(definitions.contains_key(name), !is_text, "the definition of {name}");
        assert!(page.contains(&format!("`{}`", name.replace('-', " "))), "{name} is not in docs/json.md");
    }
    let mut reached = commands.clone();
    reached.insert("error".to_owned());
    // A definition that nothing refers to is a command that is gone.
    let text = schema.to_string();
    let unused: Vec<_> = definitions
        .keys()
        .filter(|name| !reached.contains(*name) && !text.contains(&format!("\"#/$defs/{name}\"")))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// The kinds of tests/errors.txt, which has every error, and those of prompts and of a command that is no program.
#[test]
fn the_page_has_every_kind_of_error_with_its_exit_code() {
    let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in read("tests/errors.txt").lines() {
        let Some((code, (kind, _))) =
            line.split_once(' ').map(|(code, rest)| (code, rest.split_once(": ").unwrap_or((rest, ""))))
        else {
            continue;
        };
        let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit());
        if is_code && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            kinds.entry(kind.to_owned()).or_default().insert(code.to_owned());
        }
    }
    let page = read("docs/json.md");
    let rows: BTreeMap<String, BTreeSet<String>> = page
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let kind = cells.next()?.strip_suffix('`')?.to_owned();
            let codes = cells.next()?;
            let is_codes = codes.bytes().all(|byte| byte.is_ascii_digit() || b", ".contains(&byte));
            (is_codes && !codes.is_empty()).then(|| (kind, codes.split(", ").map(str::to_owned).collect()))
        })
        .collect();
    assert_eq!(rows, kinds);
    let of_schema = schema()["$defs"]["kind"]["enum"].as_array().unwrap().clone();
    let of_schema: BTreeSet<_> = of_schema.iter().map(|kind| kind.as_str().unwrap().to_owned()).collect();
    assert_eq!(of_schema, kinds.into_keys().collect());
}
