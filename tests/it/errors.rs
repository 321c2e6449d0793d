//! Usage errors: the last part of `tests/errors.txt`, to be read line by line.
//!
//! `KEYVAULT_WRITE=1 cargo test --test it errors::` writes it anew.

use std::path::Path;

use pretty_assertions::assert_eq;
use serde_json::Value;

use crate::harness::World;

const LINES: &[&str] = &[
    "--json",
    "help exce",
    "shwo",
    "nonsense-word",
    "rotat",
    "rotate a --grace",
    "generate new --env 1BAD",
    "delete a",
    "rename a d",
    "get a",
    "set a 1",
    "backup",
    "vault delete",
    "--nonsense",
    "show",
    "show a b",
    "show a --version one --reveal",
    "show a --version 1",
    "show b --public",
    "show a --public --reveal",
    "show ../x",
    "generate a --length many",
    "generate a --recipe strong",
    "generate new --recipe password --length 3",
    "generate new --expires tomorrow",
    "generate new --expires 2020-01-01",
    "generate new --scope a;b",
    "generate new --tag color",
    "generate new --env LD_PRELOAD",
    "generate new --env KEYVAULT_X",
    "generate a",
    "add new value",
    "add new --file nowhere",
    "add new --file x --exact",
    "list --status broken",
    "list --expiring soon",
    "list --json --json",
    "edit a",
    "edit a b --rename c",
    "edit a --rename b",
    "remove a",
    "remove nothing --yes",
    "rotate",
    "rotate a --scope s",
    "rotate b c",
    "rotate a --grace forever",
    "rotate a b --stdin",
    "rollback a",
    "rollback a --to 9",
    "rollback a --to x",
    "revoke",
    "revoke a b --version 1",
    "exec",
    "exec --all",
    "exec --all true",
    "exec -- true",
    "exec --only a --",
    "exec --as a -- true",
    "exec --as db/prod=DATABASE_URL -- true",
    "exec --as a=A -- true",
    "exec --only a --preserve-env X -- true",
    "exec --scope nothing -- true",
    "exec --fd 2=a -- true",
    "exec --fd a -- true",
    "exec --fd a=3 -- true",
    "exec --fd 3=a --fd 3=b -- true",
    "exec --file a -- true",
    "exec --file PATH=a -- true",
    "exec --file F=a --docker-env F -- true",
    "exec --docker-env F -- true",
    "exec --stdin a --stdin b -- true",
    "exec --only a --on-rotate HUP -- true",
    "exec --only a --watch --on-rotate HANGUP -- true",
    "exec --only a -- /nowhere/program",
    "import nowhere.env",
    "import list.json",
    "import broken.json",
    "import names.env",
    "import empty.env",
    "import one.env --on-conflict ask",
    "export",
    "export --all --format yaml",
    "init",
    "init --no-recovery",
    "unlock --for 13h",
    "unlock --for 1d",
    "audit --json",
    "audit log --since yesterday",
    "audit log --action read",
    "vault --json",
    "vault restore",
    "vault restore nowhere.db",
    "vault restore a --adopt",
    "vault backup",
    "vault passwd",
    "vault recover",
    "vault recover --code-file one.env --new-passphrase-file one.env --no-recovery",
    "vault rekey",
    "vault rekey --no-recovery",
    "vault rekey --keep-passphrase",
    "vault rekey --keep-passphrase --no-recovery",
    "vault rekey --keep-passphrase --key-file one.env --no-recovery --yes",
    "vault rekey --keep-passphrase --recovery-file code",
    "vault rekey --new-passphrase-file one.env --keep-passphrase",
    "vault slot add --json",
    "vault slot add recovery",
    "vault slot remove 1",
    "vault slot remove 1 --yes",
    "vault slot remove 9 --yes",
    "vault slot remove one",
    "exec --env-file nowhere.env -- true",
    "exec --env-file path.env -- true",
    "exec --env-file reference.env -- true",
    "exec --profile prod --all -- true",
    "exec --profile prod -- true",
    "export --all --format github-env",
    "project --json",
    "project add",
    "project add --as LD_PRELOAD=a",
    "project add --as HTTPS_PROXY=a",
    "project add --as A=b --profile a/b",
    "project add b --as A",
    "project allow",
    "project approve",
    "allow",
    "project check",
    "project render",
    "project render nowhere",
    "project render broken.txt",
    "project render list.json --force",
    "bundle create --token ci -o - --json",
    "completions",
    "completions tcsh",
];

#[test]
fn every_usage_error_stands_in_the_snapshot() {
    let world = World::own();
    world.run(&["generate", "a"]).ok();
    for name in ["b", "c"] {
        world.run_with_input(&["add", name], name).ok();
    }
    for (name, content) in [
        ("one.env", "a=1\n"),
        ("list.json", "[\"PORT\"]"),
        ("broken.json", "{\"PORT\""),
        ("names.env", "..x=1\nPORT=2\n"),
        ("empty.env", "# nothing\n"),
        ("path.env", "PATH=/evil\n"),
        ("reference.env", "A=x kv://a\n"),
        ("broken.txt", "\nkv://a?version=zero\n"),
    ] {
        world.file(name, content);
    }
    world.run(&["vault", "slot", "remove", "2", "--yes"]).ok();
    let mut text = String::from("\n# Usage\n\n");
    for line in LINES {
        let ran = world.run(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(ran.out, "", "{line}");
        assert!(ran.code != 0, "{line}");
        let said = ran.err.replace(world.home().to_str().unwrap(), "~");
        text += &format!("$ keyvault {line}\n{said}[{}]\n", ran.code);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors.txt");
    let known = std::fs::read_to_string(&path).unwrap();
    let (facts, usage) = known.split_once("\n# Usage").expect("it has two parts");
    if std::env::var_os("KEYVAULT_WRITE").is_some() {
        std::fs::write(&path, format!("{facts}{text}")).unwrap();
        return;
    }
    assert_eq!(
        format!("\n# Usage{usage}"),
        text,
        "KEYVAULT_WRITE=1 writes tests/errors.txt anew; read what changed"
    );
}

#[test]
fn with_json_an_error_is_an_object_with_a_kind_for_programs() {
    let world = World::new();
    for (arguments, code, kind) in [
        (&["show", "missing", "--json"][..], 3, "not_found"),
        (&["--json", "exec", "--all", "--", "/nowhere/command"], 127, "no_command"),
        (&["generate", "--json"], 2, "usage"),
        (&["generate", "x", "--length", "1", "--json"], 2, "usage"),
        (&["--vault", "/nowhere/vault.db", "list", "--json"], 3, "no_vault"),
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        assert_eq!(ran.out, "");
        let error: Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!(error["error"]["kind"], kind, "{arguments:?}");
        assert!(error["error"]["message"].is_string() && error["error"]["hint"].is_string(), "{error}");
    }
}
