//! Which values are masked, and what is said where a mask altered data.

use pretty_assertions::assert_eq;

use crate::harness::project_file::{approved, run_in};
use crate::harness::{Ran, World};

const VALUE: &str = "Zq7vXk2Lw9TrNb4Hy8Jd3Fs6Gm1Pc5Qe";

fn told(times: &str) -> String {
    format!(
        "warning: Standard output was masked {times}, because CI is set. If it is data, run the command with `--no-mask`.\n"
    )
}

/// A world under CI with the key `a`.
fn under_ci() -> World {
    let mut world = World::new();
    world.run_with_input(&["add", "a"], VALUE).ok();
    world.set("CI", "true");
    world
}

/// A script as a CI service runs it: one process that has both streams of the log, and commands below it.
fn script(world: &World, line: &str) -> Ran {
    world.sh(line).ok()
}

// ── Common values ────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn common_values_are_not_masked_and_named_once_and_all_others_are() {
    let world = World::new();
    let common = ["true", "No", "LOCALHOST", "5432", "65535", "-5432", "on", "    ", "abc"];
    let secret = ["postgres", "postgres1", "truely", "123456", "localhost:5432", "abcd", "1234.5"];
    let mut flags = vec!["exec".to_owned(), "--mask".to_owned()];
    let mut line = String::new();
    for (at, value) in common.iter().chain(&secret).enumerate() {
        world.run_with_input(&["add", &format!("k{at:02}"), "--exact"], value).ok();
        flags.extend(["--only".to_owned(), format!("k{at:02}")]);
        line.push_str(&format!("echo \"<$K{at:02}>\";"));
    }
    flags.extend(["--", "sh", "-c", &line].map(str::to_owned));
    let ran = world.run(&flags.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    let shown = common.iter().map(|value| format!("<{value}>\n"));
    let expected: String = shown.chain(secret.iter().map(|_| "<[masked]>\n".to_owned())).collect();
    assert_eq!(ran.out, expected);
    let names: Vec<_> = (0..common.len()).map(|at| format!("k{at:02}")).collect();
    assert_eq!(ran.err, format!("warning: Not masked: {} (short or common values).\n", names.join(", ")));
}

#[test]
fn common_lines_and_fields_of_a_secret_are_not_masked_by_themselves() {
    let world = World::new();
    let json = "{\"ssl\": \"true\", \"port\": \"5432\", \"password\": \"hunter22\"}";
    world.run_with_input(&["add", "j"], json).ok();
    world.run_with_input(&["add", "l", "--exact"], "true\nhunter33\n5432").ok();
    let script = "echo true 5432 hunter22 hunter33; echo \"$J\"; echo \"$L\"";
    let ran = world.run(&["exec", "--mask", "--only", "j", "--only", "l", "--", "sh", "-c", script]).ok();
    assert_eq!(ran.out, "true 5432 [masked] [masked]\n[masked]\n[masked]\n");
}

#[test]
fn an_approved_default_of_the_project_file_is_no_secret() {
    let world = World::new();
    world.run_with_input(&["add", "db/user"], "postgres").ok();
    world.run_with_input(&["add", "db/password"], VALUE).ok();
    let text =
        "[keys]\nDB_USER = { key = \"db/user\", default = \"postgres\" }\nDB_PASSWORD = \"db/password\"\n";
    let folder = approved(&world, text);
    let command = ["exec", "--mask", "--", "sh", "-c", "echo $DB_USER $DB_PASSWORD"];
    run_in(&world, &folder, &command).is(
        0,
        "postgres [masked]\n",
        "warning: Not masked: db/user (public).\n",
    );
    // By itself it may be a password.
    let ran = world.run(&["exec", "--mask", "--only", "db/user", "--", "sh", "-c", "echo $DB_USER"]).ok();
    assert_eq!(ran.out, "[masked]\n");
}

#[test]
fn a_job_of_github_masks_no_common_and_no_public_value() {
    let mut world = World::new();
    for (name, value) in [("flag", "true"), ("port", "5432"), ("pem", "true\nhunter22"), ("a", VALUE)] {
        world.run_with_input(&["add", name, "--exact"], value).ok();
    }
    world.run_with_input(&["add", "region", "--public"], "eu-west-1").ok();
    let file = world.file("github.env", "");
    world.set("GITHUB_ACTIONS", "true");
    world.set("GITHUB_ENV", file.to_str().unwrap());
    let ran = world.run(&["export", "--all", "--format", "github-env"]).ok();
    assert_eq!(ran.out, format!("::add-mask::{VALUE}\n::add-mask::hunter22\n"));
    assert_eq!(
        ran.err,
        "warning: Not masked in the job log: FLAG, PORT (short or common values); REGION (public).\nSet 5 variables for the following steps.\n"
    );
    let written = std::fs::read_to_string(file).unwrap();
    assert!(written.contains("eu-west-1") && written.contains("FLAG<<"), "{written}");
}

// ── Data and logs ────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn output_that_leads_to_the_log_is_masked_and_nothing_is_said() {
    let world = under_ci();
    for line in [
        "keyvault exec --only a -- sh -c 'echo $A $A'; true",
        "sh -c '\"$0\" exec --only a -- sh -c \"echo \\$A \\$A\"; true' \"$KV\"; true",
        "(keyvault exec --only a -- sh -c 'echo $A $A'; true)",
        "{ keyvault exec --only a -- sh -c 'echo $A $A'; } 2>&1",
    ] {
        let ran = script(&world, &format!("KV='{}'; {line}", crate::harness::KEYVAULT));
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("[masked] [masked]\n", ""), "{line}");
    }
    // Nothing was masked in it.
    let ran = script(&world, "x=$(keyvault exec --only a -- sh -c 'echo none; echo $A >&2'); echo $x");
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("none\n", "[masked]\n"));
}

#[test]
fn output_that_is_data_is_masked_and_the_count_is_said_in_one_line() {
    let world = under_ci();
    for (line, out, times) in [
        ("x=$(keyvault exec --only a -- sh -c 'echo $A'); echo \"$x\"", "[masked]\n", "1 time"),
        ("x=`keyvault exec --only a -- sh -c 'echo $A'`; echo \"$x\"", "[masked]\n", "1 time"),
        (
            "keyvault exec --only a -- sh -c 'echo $A $A; echo $A' | cat",
            "[masked] [masked]\n[masked]\n",
            "3 times",
        ),
        ("keyvault exec --only a -- sh -c 'echo $A' | gzip | gzip -d", "[masked]\n", "1 time"),
        ("keyvault exec --watch --only a -- sh -c 'echo $A' | cat", "[masked]\n", "1 time"),
        ("keyvault exec --file F=a -- sh -c 'cat $F' | cat", "[masked]", "1 time"),
        ("sh -c 'echo $(exec \"$0\" exec --only a -- sh -c \"echo \\$A\")' \"$KV\"", "[masked]\n", "1 time"),
    ] {
        let ran = script(&world, &format!("KV='{}'; {line}", crate::harness::KEYVAULT));
        assert_eq!((ran.out.as_str(), ran.err), (out, told(times)), "{line}");
    }
    // A command that writes the replacement itself has nothing counted.
    let ran = script(&world, "keyvault exec --only a -- echo '[masked] [masked]' | cat");
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("[masked] [masked]\n", ""));
}

#[test]
fn whoever_chose_masking_or_none_hears_nothing() {
    let world = under_ci();
    for (flag, out) in [("--mask", "[masked]\n".to_owned()), ("--no-mask", format!("{VALUE}\n"))] {
        let ran = script(&world, &format!("keyvault exec {flag} --only a -- sh -c 'echo $A' | cat"));
        assert_eq!((ran.out, ran.err.as_str()), (out, ""), "{flag}");
    }
    let ran = script(&world, "keyvault exec --only a -- sh -c 'echo $A' > file; cat file");
    assert_eq!((ran.out, ran.err.as_str()), (format!("{VALUE}\n"), ""));
}

#[test]
fn the_commands_own_end_is_kept_where_something_is_said() {
    let world = under_ci();
    let ran =
        world.sh("{ keyvault exec --only a -- sh -c 'echo $A; exit 7'; echo \"code $?\" >&2; } | cat").ok();
    assert_eq!(ran.err, told("1 time") + "code 7\n");
    let ran = world
        .sh("{ keyvault exec --only a -- sh -c 'echo $A; kill -TERM $$'; echo \"code $?\" >&2; } | cat")
        .ok();
    assert!(ran.err.contains(&told("1 time")) && ran.err.ends_with("code 143\n"), "{}", ran.err);
}
