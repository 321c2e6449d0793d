//! The examples of docs/ci.md, run as far as a machine without those services can: each with the variables that its
//! service would set, and commands that say what they got.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{KEYVAULT, Ran, World, finish};

const PAGE: &str = include_str!("../../docs/ci.md");

/// The blocks of a language, in their order.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Every example has a test below: a block of another language, or one more of these, is one that nobody runs.
#[test]
fn every_example_is_of_a_kind_that_is_run() {
    let fences: Vec<_> = PAGE.lines().filter_map(|line| line.strip_prefix("```")).collect();
    let opened: Vec<_> = fences.iter().filter(|language| !language.is_empty()).copied().collect();
    assert_eq!(opened, ["sh", "yaml", "yaml", "groovy", "cron", "dockerfile", "ini", "sh"]);
}

/// An owner's world after the first example, and an empty machine with the bundle, `./ship` and its like.
fn machine() -> (World, World, String) {
    let mut owner = World::own();
    owner.run(&["unlock", "--for", "1h"]).ok();
    owner.unset("KEYVAULT_PASSPHRASE");
    for name in ["stripe/live", "db/prod"] {
        owner.run_with_input(&["add", name, "--scope", "deploy"], format!("value of {name}")).ok();
    }
    owner.run(&["generate", "other"]).ok();
    let first = blocks("sh").remove(0).replace("git add", "test -s");
    let token = owner.sh(&first).ok().out.trim().to_owned();
    let machine = World::empty();
    std::fs::copy(owner.home().join("keys.kvb"), machine.home().join("keys.kvb")).unwrap();
    for program in ["ship", "serve", "bin/backup"] {
        let path = machine.home().join(program);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(
            &path,
            "#!/bin/sh\nenv | grep -c '^OTHER\\|^KEYVAULT_'\necho \"<$STRIPE_LIVE|$DB_PROD>\"\n",
        )
        .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::create_dir_all(machine.home().join(".config/keyvault")).unwrap();
    let file = machine.file(".config/keyvault/token", &token);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    (owner, machine, token)
}

const PLAIN: &str = "<value of stripe/live|value of db/prod>";

/// The command got its keys, nothing of ours but the marker, and no other key.
#[track_caller]
fn shipped(ran: Ran, masked: bool) {
    let ran = ran.ok();
    let (count, line) = ran.out.split_once('\n').unwrap();
    assert_eq!(count, "1", "{}", ran.out);
    let plain = line.trim_end() == PLAIN;
    assert!(plain != masked && line.starts_with('<') && line.contains('|'), "{}", ran.out);
}

fn shell(world: &World, line: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = world.command("sh");
    let line = format!("keyvault() {{ '{KEYVAULT}' \"$@\"; }}\n{line}");
    finish(command.envs(variables.iter().copied()).args(["-c", &line]), b"")
}

#[test]
fn github_and_gitlab_jobs_get_their_keys_and_mask_them() {
    let (owner, machine, token) = machine();
    for block in blocks("yaml") {
        let steps = block.lines().map(str::trim);
        let step =
            steps.clone().find_map(|line| line.strip_prefix("- run: ").or(line.strip_prefix("- keyvault")));
        let step = step.unwrap();
        let line = if step.starts_with("keyvault") { step.to_owned() } else { format!("keyvault{step}") };
        let mut variables = vec![("CI", "true"), ("KEYVAULT_TOKEN", token.as_str())];
        for name in ["KEYVAULT_BUNDLE", "KEYVAULT_READS"] {
            let value = steps.clone().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            variables.extend(value.map(|value| (name, value)));
        }
        shipped(shell(&machine, &line, &variables), true);
    }
    // The artifact comes home.
    std::fs::copy(machine.home().join("reads.jsonl"), owner.home().join("reads.jsonl")).unwrap();
    let home = owner.run(&["audit", "import", "reads.jsonl"]).ok();
    assert_eq!(home.err, "Brought home 1 new reads with token ci.\n");
}

#[test]
fn a_jenkins_step_gets_its_keys() {
    let (_, machine, token) = machine();
    let block = blocks("groovy").remove(0);
    let line = block.split("sh '").nth(1).unwrap().split('\'').next().unwrap();
    shipped(shell(&machine, line, &[("CI", "true"), ("KEYVAULT_TOKEN", &token)]), true);
}

#[test]
fn a_line_of_cron_gets_its_keys_with_crons_bare_environment() {
    let (_, machine, _) = machine();
    let block = blocks("cron").remove(0);
    let line = block.trim().splitn(6, ' ').nth(5).unwrap().replace(" keyvault ", &format!(" '{KEYVAULT}' "));
    let mut command = machine.command("sh");
    command.env_clear().env("HOME", machine.home()).env("PATH", "/usr/bin:/bin").args(["-c", &line]);
    shipped(finish(&mut command, b""), false);
}

#[test]
fn a_container_without_kernel_keys_gets_its_keys() {
    let (_, machine, token) = machine();
    let block = blocks("dockerfile").remove(0);
    let field =
        |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let words = |json: &str| serde_json::from_str::<Vec<String>>(json).unwrap();
    let all = [words(&field("ENTRYPOINT")), words(&field("CMD"))].concat();
    assert_eq!(all[0], "keyvault");
    let mut command = machine.command("strace");
    command.args([
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=keyctl",
        "-e",
        "inject=keyctl:error=EPERM",
        KEYVAULT,
    ]);
    command.args(&all[1..]).env("KEYVAULT_TOKEN", &token).env_remove("HOME");
    for pair in field("ENV").split(' ') {
        let (name, value) = pair.split_once('=').unwrap();
        let here = value.replace("/etc/keyvault", ".").replace("/run", ".");
        command.env(name, machine.home().join(here));
    }
    // What keeps other state has to say where, too, when there is no home.
    command.env("XDG_STATE_HOME", machine.home().join("state"));
    shipped(finish(&mut command, b""), false);
}

#[test]
fn a_service_without_a_home_gets_its_keys() {
    let (_, machine, _) = machine();
    let unit = blocks("ini").remove(0);
    let home = machine.home();
    let place = |text: &str| {
        let text = text.replace("%d/keyvault-token", ".config/keyvault/token").replace("%S", "state");
        text.replace("/etc/keyvault/", "").replace("/usr/local/bin/", "")
    };
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let start = place(start);
    let mut words = start.split(' ');
    assert_eq!(words.next(), Some("keyvault"));
    let mut command = machine.command(KEYVAULT);
    command.env_clear().args(words.map(|word| if word == "serve" { "./serve" } else { word }));
    for line in unit.lines().filter_map(|line| line.strip_prefix("Environment=")) {
        for pair in line.split(' ') {
            let (name, value) = pair.split_once('=').unwrap();
            command.env(name, home.join(place(value)));
        }
    }
    shipped(finish(&mut command, b""), false);
}

#[test]
fn what_is_said_for_the_day_of_a_leak_works_word_for_word() {
    let (owner, ..) = machine();
    let block = blocks("sh").remove(1).replace("rotate stripe/live db/prod", "rotate other");
    let ran = owner.sh(&block).ok();
    assert!(ran.err.contains("keyvault rotate db/prod stripe/live"), "{}", ran.err);
    owner.run(&["vault", "check"]).ok();
}
