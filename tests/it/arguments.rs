//! Arguments: a value among them is refused and not repeated, and `-` is a stream and no file.

use pretty_assertions::assert_eq;

use crate::harness::{World, no_key};

const PEM: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAA\n";

/// clap takes it for a long option, and names the option that is not there.
#[test]
fn a_pem_file_in_the_place_of_a_value_is_not_repeated() {
    let world = World::new();
    for line in [&["add", "deploy", PEM][..], &["generate", "deploy", PEM], &["--json", "add", "deploy", PEM]]
    {
        let said = world.run(line).fails(2, "Unknown option. It is not repeated").err;
        assert!(!said.contains("b3Blb") && !said.contains("BEGIN"), "{said}");
    }
    world.run(&["add", "deploy", "--nonsense"]).fails_with(
        2,
        "
            error: Unknown option `--nonsense`.
                   Did you mean `--no-session`?
        ",
    );
    world.run(&["add", "deploy", "-Q"]).fails_with(
        2,
        "
            error: Unknown option `-Q`.
                   See its usage with `keyvault add --help`.
        ",
    );
}

#[test]
fn a_dash_is_standard_output_and_no_file() {
    let mut world = World::own();
    world.run_with_input(&["add", "a"], "value-a").ok();
    world.file("in", "x kv://a\n");
    assert_eq!(world.run(&["project", "render", "in", "-o", "-"]).ok().out, "x value-a\n");
    world.run(&["vault", "slot", "add", "recovery", "--recovery-file", "-"]).fails_with(
        2,
        "
                error: `--recovery-file` names a file: standard output may end up in a log.
                       `--json` includes the code in its answer.
            ",
    );
    world.set("KEYVAULT_VAULT", "other.db");
    world.run(&["init", "--recovery-file", "-"]).fails_with(
        2,
        "
            error: `--recovery-file` names a file: standard output may end up in a log.
                   `--json` includes the code in its answer.
        ",
    );
    assert!(!world.home().join("-").exists() && !world.home().join("other.db").exists());
}

#[test]
fn a_value_as_an_argument_is_refused_and_not_repeated() {
    let world = World::new();
    world.run(&["add", "stripe/live", "sk_live_abcdef"]).fails_with(2, "
            error: Values are not accepted as arguments, which other users, the shell history and logs can see.
                   If the value was real, treat it as leaked: get a new one from its issuer.
                   Then give it at a prompt: keyvault add stripe/live
        ");
    world.run(&["generate", "stripe/live", "sk_live_abcdef"]).fails_with(
        2,
        "
            error: Unexpected argument. It is not repeated here in case it is a secret.
                   See its usage with `keyvault generate --help`.
        ",
    );
}

#[test]
fn a_value_in_the_place_of_a_name_is_not_repeated() {
    let world = World::new();
    world.run(&["generate", "stripe"]).ok();
    let value = "sk_live_CANARY1234567890abcd";
    for arguments in [
        &["rotate", "stripe", value] as &[&str],
        &["rotate", value],
        &["revoke", value],
        &["history", value],
        &["show", value],
        &["vault", "recover", "--code-file", value, "--new-passphrase-file", "x", "--no-recovery"],
        &["vault", "passwd", "--new-passphrase-file", value],
    ] {
        let ran = world.run(arguments);
        assert!(ran.code != 0 && !ran.err.contains("CANARY"), "{arguments:?}: {}", ran.err);
    }
    world
        .run(&["show", "a-name/that-is-merely-long-and-has-a-1"])
        .fails_with(3, &no_key("a-name/that-is-merely-long-and-has-a-1"));
}

#[test]
fn an_argument_in_the_wrong_place_is_not_repeated() {
    let world = World::new();
    let secret = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
    for arguments in [
        &["show", "a", secret][..],
        &["add", "a", secret],
        &["add", "a", "--value", secret],
        &["add", "a", &format!("--secret={secret}")],
        &["generate", secret, "x"],
        &["generate", "a", "--expires", secret],
        &["generate", "a", "--recipe", secret],
        &["generate", "a", "--length", secret],
        &["edit", "a", "--tag", &format!("={secret}")],
        &["exec", "--all", secret],
        &["exec", "--only", &format!("a={secret}"), "--", "true"],
        &["exec", "--all", "--", &format!("API_KEY={secret}"), "true"],
        &[secret],
        &["completions", secret],
        &["import", "x", "--on-conflict", secret],
    ] {
        let ran = world.run(arguments);
        assert!(ran.code != 0, "{arguments:?}");
        assert!(!ran.err.contains("4eC39") && !ran.out.contains("4eC39"), "{arguments:?}: {}", ran.err);
    }
}
