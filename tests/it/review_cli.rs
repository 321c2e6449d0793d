//! Bugs that a review of the commands found, each by the name of its finding.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, PASSPHRASE, World};
use crate::terminal::Terminal;
use crate::tokens::{filled, held, token};

const PEM: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAA\n";

/// clap takes it for a long option, and names the option that is not there.
#[test]
fn a_pem_file_in_the_place_of_a_value_is_not_repeated() {
    let world = World::new();
    for line in [&["add", "deploy", PEM][..], &["generate", "deploy", PEM], &["--json", "add", "deploy", PEM]]
    {
        let ran = world.run(line);
        assert_eq!(ran.code, 2);
        assert!(ran.err.contains("There is no such option. It is not shown"), "{}", ran.err);
        assert!(!ran.err.contains("b3Blb") && !ran.err.contains("BEGIN"), "{}", ran.err);
    }
    world.run(&["add", "deploy", "--nonsense"]).fails(2, "There is no option --nonsense.");
    world.run(&["add", "deploy", "-Q"]).fails(2, "There is no option -Q.");
}

/// A key that bears the name of its variable, and digits, as an import names it.
#[test]
fn who_allows_a_project_file_sees_which_key_it_would_get() {
    let world = World::own();
    world.run_with_input(&["add", "S3_SECRET_ACCESS_KEY"], "s3").ok();
    world.run_with_input(&["add", "abcdefghij0123456789xyz"], "long").ok();
    world.file(
        ".keyvault.toml",
        "[keys]\nLOG_TOKEN = 'S3_SECRET_ACCESS_KEY'\nOTHER = 'abcdefghij0123456789xyz'\n",
    );
    let refused = world.run(&["exec", "--", "true"]);
    assert!(
        refused.code == 125 && refused.err.contains("LOG_TOKEN <- S3_SECRET_ACCESS_KEY"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains("OTHER <- (a name that looks like a value)"), "{}", refused.err);
    let terminal = Terminal::shell(&world);
    terminal.run("keyvault exec -- true", "Allow it");
    terminal.wait_for("LOG_TOKEN <- S3_SECRET_ACCESS_KEY");
    terminal.wait_for("OTHER <- abcdefghij0123456789xyz");
    terminal.type_line("n");
    assert_eq!(terminal.ended().1, 125);
    let allowed = world.run(&["project", "allow", "--yes"]).ok();
    assert!(allowed.out.contains("OTHER <- abcdefghij0123456789xyz"), "{}", allowed.out);
}

/// Without a prefix the names in the repository's .env.example are those of keys that were imported without one.
#[test]
fn a_project_in_a_folder_without_letters_is_not_allowed_anything_at_once() {
    let world = World::own();
    world.run_with_input(&["add", "AWS_SECRET_ACCESS_KEY"], "aws").ok();
    for (folder, arguments) in [("日本", ""), ("plain", "--prefix ''")] {
        let begun = world
            .sh(&format!(
                "mkdir {folder}; cd {folder}; echo AWS_SECRET_ACCESS_KEY= > .env.example; keyvault project init {arguments}"
            ))
            .ok();
        assert!(begun.err.contains("'keyvault import .env' takes the values in"), "{}", begun.err);
        assert!(begun.err.contains("nothing is allowed yet"), "{}", begun.err);
        world.sh(&format!("cd {folder}; keyvault exec -- true")).fails(125, "project allow");
    }
}

#[test]
fn json_on_a_terminal_steers_nothing_and_json_errors_are_json() {
    let world = World::own();
    world.run_with_input(&["add", "a"], "1").ok();
    world.run(&["revoke", "a", "--reason", "\u{9b}31m\u{202e}"]).ok();
    let terminal = Terminal::shell(&world);
    terminal.run(
        "script -qec 'keyvault audit log --json --action revoke' /dev/null > shown; wc -l shown",
        "shown",
    );
    terminal.ended();
    let shown = std::fs::read_to_string(world.home().join("shown")).unwrap();
    assert!(shown.contains("\\u009b31m\\u202e"), "{shown}");
    let error = |line: &str| {
        let ran = world.sh(&format!("{line} 2>&1"));
        let json: serde_json::Value =
            serde_json::from_str(&ran.out).unwrap_or_else(|why| panic!("{why}: {}", ran.out));
        json["error"]["message"].as_str().unwrap().to_owned()
    };
    let odd = "a \u{200d} \u{7f} \u{9b} .env";
    assert!(error(&format!("keyvault --json import '{odd}'")).contains("a \u{200d}"));
    let long = format!("{KEYVAULT} --json import '{}'", "word ".repeat(60));
    assert!(error(&format!("script -qec \"{long}\" /dev/null | tr -d '\\r'")).contains("word word"));
}

/// bash puts what it is given into the line as it is.
#[test]
fn a_file_s_name_is_no_code_in_a_line_that_bash_completes() {
    let world = World::own();
    for name in ["a;touch ran", "b$(touch ran)", "c`touch ran`", "d file", "f&touch ran", "g*", "gone"] {
        world.file(name, "A=1\n");
    }
    world.sh("mkdir 'my folder'; touch 'my folder/in it'").ok();
    let terminal = Terminal::start(&world, "bash --norc --noprofile");
    terminal.type_line("PS1='READY> '; source <(keyvault completions bash); clear");
    terminal.wait_for("READY>");
    for (typed, whole) in [
        ("a", r"a\;touch\ ran"),
        ("b", r"b\$\(touch\ ran\)"),
        ("c", r"c\`touch\ ran\`"),
        ("\"d", "\"d file\""),
        (r"d\ f", r"d\ file"),
        ("'f", "'f&touch ran'"),
        (r"g\*", r"g\*"),
        (r"my\ folder/in", r"my\ folder/in\ it"),
        ("go", "gone"),
        ("~/go", "~/gone"),
        ("\"go", "\"gone\""),
    ] {
        terminal.type_text(&format!("keyvault import {typed}"));
        terminal.press("Tab");
        terminal.wait_for(&format!("READY> keyvault import {whole}"));
        terminal.press("C-u");
        terminal.press("C-l");
    }
    assert!(!world.home().join("ran").exists());
}

/// A pipe gives a passphrase once.
#[test]
fn audit_verify_reads_a_passphrase_once() {
    let mut world = World::own();
    world.unset("KEYVAULT_PASSPHRASE");
    let verify = "KEYVAULT_PASSPHRASE_FILE=- keyvault audit verify";
    let ran = world.sh(&format!("printf '%s' '{}' | {verify}", PASSPHRASE)).ok();
    assert!(ran.out.contains("from the start"), "{}", ran.out);
}

#[test]
fn a_dash_is_standard_output_and_no_file() {
    let mut world = World::own();
    world.run_with_input(&["add", "a"], "value-a").ok();
    world.file("in", "x kv://a\n");
    assert_eq!(world.run(&["project", "render", "in", "-o", "-"]).ok().out, "x value-a\n");
    world
        .run(&["vault", "slot", "add", "recovery", "--recovery-file", "-"])
        .fails(2, "--recovery-file names a file");
    world.set("KEYVAULT_VAULT", "other.db");
    world.run(&["init", "--recovery-file", "-"]).fails(2, "--recovery-file names a file");
    assert!(!world.home().join("-").exists() && !world.home().join("other.db").exists());
}

#[test]
fn a_project_file_that_could_not_be_begun_is_not_left() {
    let world = World::own();
    world.run(&["project", "add", "path"]).fails(2, "Name another with --as VAR.");
    let before = world.every_file();
    world.file(".env.example", "A=\n");
    let state = world.home().join(".local/state/keyvault/projects");
    std::fs::remove_dir_all(&state).ok();
    std::fs::write(&state, "in the way").unwrap();
    world.run(&["project", "init"]).fails(1, "could not be written down");
    std::fs::remove_file(&state).unwrap();
    assert!(!world.home().join(".keyvault.toml").exists(), "{before:?}");
    world.run(&["project", "init"]).ok();
}

#[test]
fn doctor_looks_at_a_bundle_without_a_home_and_waits_for_no_pipe() {
    let world = filled();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    world.run(&["bundle", "create", "--token", "ci", "-o", "keys.kvb"]).ok();
    let mut away = World::empty();
    std::fs::copy(world.home().join("keys.kvb"), away.home().join("keys.kvb")).unwrap();
    away.set("KEYVAULT_BUNDLE", "keys.kvb");
    away.set("KEYVAULT_READS", "reads.jsonl");
    away.unset("HOME");
    let ran = held(&away, &token, &["doctor"]).ok();
    assert!(ran.out.contains("ci opens keys.kvb") && ran.out.contains("HOME does not name"), "{}", ran.out);
    let mut piped = World::own();
    piped.sh("mkfifo pipe").ok();
    piped.set("KEYVAULT_TOKEN_FILE", "pipe");
    assert!(piped.run(&["doctor"]).out.contains("KEYVAULT_TOKEN_FILE is no regular file"));
    assert!(piped.run(&["status", "-v"]).out.contains("KEYVAULT_TOKEN_FILE is no regular file"));
}

/// At the terminal's width it became two lines, and no entry of an `authorized_keys` file.
#[test]
fn a_public_key_stays_one_line_on_a_terminal() {
    let world = World::own();
    world.run(&["generate", "deploy/of-the-office-and-at-home", "--recipe", "ssh-ed25519"]).ok();
    let ran =
        world.sh(&format!("script -qec 'stty cols 60; {KEYVAULT} show deploy/of-the-office-and-at-home --public' /dev/null | tr -d '\\r'")).ok();
    assert_eq!(ran.out, world.run(&["show", "deploy/of-the-office-and-at-home", "--public"]).ok().out);
}

#[test]
fn keys_that_are_named_are_handed_out_in_a_folder_that_is_gone() {
    let world = World::own();
    world.run_with_input(&["add", "a"], "value-a").ok();
    let ran = world.sh("mkdir gone; cd gone; rmdir ../gone; keyvault exec --only a -- printenv A").ok();
    assert_eq!(ran.out, "value-a\n");
}

/// What was to write it had failed, and the key was there, with nothing in it.
#[test]
fn an_empty_pipe_makes_no_key() {
    let world = World::own();
    world.sh("false | keyvault add a").fails(2, "what was to write it may have failed");
    world.run(&["show", "a"]).fails(3, "");
    world.sh("false | keyvault add a --file -").fails(2, "what was to write it may have failed");
    world.run(&["add", "a", "--file", "/dev/null"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "");
}
