//! Every example of docs/ci.md is run, as far as a machine without those services can: the shell of their steps, with the
//! variables that they set and the streams that they give. A block that no section below takes fails the test.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use pretty_assertions::assert_eq;

use crate::ci_boxes;
use crate::ci_stage::{DB, DOC, STRIPE, Stage, block, pairs, pipeline, sections, shipped, texts};
use crate::harness::{Ran, World, finish};

/// Runs all blocks of a section.
type Run = fn(&Stage, &[&str]);

/// The sections with examples, the languages of their blocks, and what runs all of these.
const SECTIONS: [(&str, &[&str], Run); 11] = [
    ("Once, where the vault is", &["sh", "sh", "sh"], once),
    ("GitHub Actions", &["yaml"], github),
    ("GitLab CI", &["yaml"], gitlab),
    ("Jenkins", &["groovy"], jenkins),
    ("cron", &["sh", "crontab"], ci_boxes::cron),
    ("Docker", &["dockerfile", "sh", "sh"], ci_boxes::docker),
    ("systemd", &["sh", "ini"], ci_boxes::systemd),
    ("Nothing older", &["sh"], nothing_older),
    ("Import reads", &["sh"], import_reads),
    ("Changing what a token opens", &["sh"], changed),
    ("When a token leaked", &["sh", "sh"], leaked),
];

#[test]
fn every_example_of_the_ci_page_works() {
    let sections = sections();
    let found: Vec<_> = sections
        .iter()
        .map(|(name, blocks)| (name.as_str(), blocks.iter().map(|(language, _)| language.as_str()).collect()))
        .collect();
    let run: Vec<(_, Vec<_>)> =
        SECTIONS.iter().map(|(name, languages, _)| (*name, languages.to_vec())).collect();
    assert_eq!(found, run, "each block is run by its section");
    for ((name, blocks), (_, _, run)) in sections.iter().zip(SECTIONS) {
        println!("{name}");
        let texts: Vec<_> = blocks.iter().map(|(_, text)| text.as_str()).collect();
        run(&Stage::new(), &texts);
    }
}

/// The text of the only thing between two others.
fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

/// The variables and values that a bundle hands out.
fn opens(stage: &Stage, token: &str, bundle: &Path) -> BTreeMap<String, String> {
    let ran = stage.held(token, bundle, &["export", "--format", "json"]).ok();
    serde_json::from_str(&ran.out).unwrap()
}

fn earlier_bundle(stage: &Stage) -> std::path::PathBuf {
    stage.owner("git show HEAD~1:keys.kvb > ../earlier.kvb").ok();
    stage.at("earlier.kvb")
}

fn once(stage: &Stage, blocks: &[&str]) {
    let [_, update, install] = blocks else { unreachable!() };
    assert!(stage.token().starts_with("kvt_"), "the first block went before");
    assert_eq!(stage.owner("git ls-files").ok().out.lines().filter(|file| file.contains("key")).count(), 4);
    let both = |db: &str| {
        BTreeMap::from(
            [("DB_PASSWORD", db), ("STRIPE_LIVE", STRIPE)]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
    };
    assert_eq!(opens(stage, &stage.token(), &stage.at("repo/keys.kvb")), both(DB));
    stage.world.run_with_input(&["rotate", "db/password"], "another").ok();
    stage.owner(update).ok();
    assert_eq!(opens(stage, &stage.token(), &stage.at("repo/keys.kvb")), both("another"));
    assert_eq!(opens(stage, &stage.token(), &earlier_bundle(stage)), both(DB));

    let script = stage.at("repo/ci/install-keyvault");
    assert_eq!(std::fs::read_to_string(&script).unwrap(), **install);
    let fetch = |name: &str, hash: String| {
        let home = stage.at(name);
        let mut command = stage.machine(script.to_str().unwrap(), stage.world.path());
        let [url, _] = stage.download();
        let ran = finish(command.env("HOME", &home).env(url.0, url.1).env("KEYVAULT_SHA256", hash), b"");
        (ran, home.join(".local/bin/keyvault"))
    };
    let [_, (_, hash)] = stage.download();
    let (ran, binary) = fetch("good", hash);
    ran.ok();
    finish(stage.machine(binary.to_str().unwrap(), stage.world.path()).arg("--version"), b"").ok();
    let (ran, binary) = fetch("bad", "0".repeat(64));
    assert_ne!(ran.code, 0);
    assert!(stage.machine(binary.to_str().unwrap(), stage.world.path()).spawn().is_err(), "it cannot be run");
}

/// One job: its steps in order, each with the runner's variables, its own, and what earlier steps left for it.
fn github(stage: &Stage, blocks: &[&str]) {
    let workflow = pipeline(blocks[0]);
    let job = &workflow["jobs"]["ship"];
    let [workspace, variables, path] =
        ["machine/app", "machine/env", "machine/path"].map(|name| stage.at(name));
    let [(url, address), (sum, hash)] = stage.download();
    let known = BTreeMap::from([
        ("github.workspace".to_owned(), workspace.display().to_string()),
        ("secrets.KEYVAULT_TOKEN".to_owned(), stage.token()),
        (format!("vars.{url}"), address),
        (format!("vars.{sum}"), hash),
    ]);
    let filled = |text: &str| match between(text, "${{ ", " }}") {
        Some(name) => text.replace(&format!("${{{{ {name} }}}}"), &known[name]),
        None => text.to_owned(),
    };
    let of_job = pairs(&job["env"]);
    assert!(of_job.iter().all(|(name, _)| *name != "KEYVAULT_TOKEN"), "the token is for steps");
    let (mut log, mut masks, mut later, mut first) = (String::new(), Vec::new(), Vec::new(), String::new());
    for step in job["steps"].as_vec().unwrap() {
        match step["uses"].as_str() {
            Some("actions/checkout@v4") => drop(stage.owner("git clone -q . ../machine/app").ok()),
            Some("actions/upload-artifact@v4") => {
                let with = &step["with"];
                let kept = format!("cloud/{}.jsonl", with["name"].as_str().unwrap());
                std::fs::copy(workspace.join(with["path"].as_str().unwrap()), stage.at(&kept)).unwrap();
            }
            Some(other) => panic!("{other} is not known here"),
            None => {
                for file in [&variables, &path] {
                    std::fs::write(file, "").unwrap();
                }
                let mut command = stage.machine("bash", &workspace);
                let all = format!("{first}{}:{}", stage.at("gone").display(), "/usr/bin:/bin");
                command.args(["-e", "-c", &filled(step["run"].as_str().unwrap())]).env("PATH", all);
                command.env("HOME", stage.at("machine")).env("CI", "true").env("GITHUB_ACTIONS", "true");
                command.env("GITHUB_ENV", &variables).env("GITHUB_PATH", &path).env("GITHUB_RUN_ID", "77");
                command
                    .env("GITHUB_REPOSITORY", "ada/app")
                    .env("GITHUB_WORKFLOW", "ship")
                    .envs(later.clone());
                for (name, value) in of_job.iter().copied().chain(pairs(&step["env"])) {
                    command.env(name, filled(value));
                }
                let ran = finish(&mut command, b"");
                assert_eq!(ran.code, 0, "{step:?}: {}{}", ran.out, ran.err);
                for line in format!("{}{}", ran.out, ran.err).lines() {
                    match line.strip_prefix("::add-mask::") {
                        Some(mask) => masks.push(mask.to_owned()),
                        None => {
                            log += &masks
                                .iter()
                                .fold(format!("{line}\n"), |line, mask| line.replace(mask, "***"))
                        }
                    }
                }
                later.extend(github_variables(&std::fs::read_to_string(&variables).unwrap()));
                first.extend(std::fs::read_to_string(&path).unwrap().lines().map(|line| format!("{line}:")));
            }
        }
    }
    shipped(&log);
    assert!(log.contains("DB_PASSWORD  db/password  ready") && log.contains("migrate with ***\n"), "{log}");
    assert_eq!(later, [("DB_PASSWORD".to_owned(), DB.to_owned())]);
    // The log of reads came out of the job and goes home, with the job's name.
    stage.owner(&block("Import reads", 0)).ok();
    let home = stage.owner("keyvault audit log --token ci --json").ok().out;
    assert!(home.lines().count() == 2 && home.contains("ada/app ship 77"), "{home}");
    // A pull request from a fork has no secret.
    let mut command = stage.machine("keyvault", &workspace);
    command.env("KEYVAULT_TOKEN", "").env("KEYVAULT_BUNDLE", "keys.kvb").args(["exec", "--", "./ship"]);
    let said = between(DOC, "`keyvault` ends with `", "`").unwrap();
    finish(&mut command, b"").fails(125, said);
}

/// The variables that a file for later steps sets: NAME<<END, lines, END.
fn github_variables(text: &str) -> Vec<(String, String)> {
    let mut lines = text.lines();
    let mut found = Vec::new();
    while let Some((name, end)) = lines.next().map(|line| line.split_once("<<").expect("NAME<<END")) {
        let value: Vec<_> = lines.by_ref().take_while(|line| *line != end).collect();
        found.push((name.to_owned(), value.join("\n")));
    }
    found
}

/// Runs a script whose streams both go into one file, as where a service follows the log from elsewhere.
fn into_file(stage: &Stage, command: &mut std::process::Command) -> String {
    let file = stage.at("log");
    let log = File::create(&file).unwrap();
    let status = command.stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
    let log = std::fs::read_to_string(file).unwrap();
    assert!(status.success(), "{log}");
    log
}

fn gitlab(stage: &Stage, blocks: &[&str]) {
    stage.owner("git clone -q . ../machine/app").ok();
    let folder = stage.at("machine/app");
    stage.owner("chmod -R a+rwX ../machine/app").ok();
    let pipeline = pipeline(blocks[0]);
    let job = &pipeline["ship"];
    let script = [texts(&job["before_script"]), texts(&job["script"])].concat();
    let mut command = stage.machine("bash", &folder);
    command.args(["-eo", "pipefail", "-c", &script.join("\n")]).env("PATH", "/usr/bin:/bin");
    command.env("HOME", stage.at("machine")).envs([("CI", "true"), ("GITLAB_CI", "true")]);
    command.envs(stage.download()).env("KEYVAULT_TOKEN", stage.token());
    for (name, value) in pairs(&job["variables"]) {
        command.env(name, value.replace("$CI_PROJECT_DIR", folder.to_str().unwrap()));
    }
    shipped(&into_file(stage, &mut command));
    assert_eq!(texts(&job["artifacts"]["paths"]), ["keyvault-reads.jsonl"]);
    stage.owner("keyvault audit import ../machine/app/keyvault-reads.jsonl").ok();
}

fn jenkins(stage: &Stage, blocks: &[&str]) {
    stage.owner("git clone -q . ../machine/app").ok();
    let folder = stage.at("machine/app");
    let (mut variables, mut steps, mut kept) = (Vec::new(), Vec::new(), None);
    for line in blocks[0].lines().map(str::trim) {
        if let Some(script) = between(line, "sh '", "'") {
            steps.push(script);
        } else if let Some((name, value)) = line.split_once(" = ") {
            let value = match between(value, "credentials('", "')") {
                Some("keyvault-token") => stage.token(),
                _ => between(value, "\"", "\"").unwrap().replace("${WORKSPACE}", folder.to_str().unwrap()),
            };
            variables.push((name, value));
        } else if let Some(file) = between(line, "archiveArtifacts artifacts: '", "'") {
            kept = Some(file);
        } else {
            let block = line.is_empty() || line.starts_with("//") || line.ends_with('{') || line == "}";
            assert!(block || line == "agent any", "{line:?} is not understood");
        }
    }
    assert_eq!(steps.len(), 2);
    let mut log = String::new();
    for step in steps {
        let mut command = stage.machine("sh", &folder);
        command.args(["-xe", "-c", step]).env("HOME", stage.at("machine")).envs(variables.clone());
        command.envs([
            ("CI", "true"),
            ("JENKINS_URL", "http://x/"),
            ("JOB_NAME", "app"),
            ("BUILD_NUMBER", "7"),
        ]);
        log += &into_file(stage, &mut command);
    }
    shipped(&log);
    stage.owner(&format!("keyvault audit import ../machine/app/{}", kept.unwrap())).ok();
    assert!(stage.owner("keyvault audit log --json").ok().out.contains("JENKINS_URL app 7"));
}

fn nothing_older(stage: &Stage, blocks: &[&str]) {
    stage.owner("keyvault edit db/password --note new").ok();
    stage.owner(&block("Once, where the vault is", 1)).ok();
    let change = stage.owner("keyvault bundle update keys.kvb --json").ok().json()["change"].to_string();
    let run = |bundle: &Path| -> Ran {
        let mut command = stage.machine("sh", &stage.at("repo"));
        command.args(["-e", "-c", blocks[0]]).env("HOME", stage.at("machine")).env("CI", "true");
        command.env("KEYVAULT_MIN_SEQ", &change).env("KEYVAULT_TOKEN", stage.token());
        finish(command.env("KEYVAULT_BUNDLE", bundle), b"")
    };
    let ran = run(&stage.at("repo/keys.kvb")).ok();
    shipped(&format!("{}{}", ran.out, ran.err));
    run(&earlier_bundle(stage)).fails(125, &format!("at least {change} is required"));
}

fn import_reads(stage: &Stage, blocks: &[&str]) {
    stage.held(&stage.token(), &stage.at("repo/keys.kvb"), &["exec", "--", "./ship"]).ok();
    let ran = stage.owner(blocks[0]).ok();
    assert!(
        ran.out.contains("\nci:0 ") && ran.out.ends_with("db/password v1, stripe/live v1  (ship)\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.starts_with("Imported 1 new read"), "{}", ran.out);
    assert!(stage.owner(blocks[0]).ok().out.contains("Nothing new"));
}

fn changed(stage: &Stage, blocks: &[&str]) {
    stage.world.run(&["generate", "app/migrate", "--scope", "migrate"]).ok();
    let (token, bundle) = (stage.token(), stage.at("repo/keys.kvb"));
    assert_eq!(opens(stage, &token, &bundle).len(), 2);
    stage.owner(blocks[0]).ok();
    let opened = opens(stage, &token, &bundle);
    assert_eq!(opened.keys().collect::<Vec<_>>(), ["APP_MIGRATE", "DB_PASSWORD", "STRIPE_LIVE"]);
    let ran = stage.owner("keyvault token edit ci --unscope migrate").ok();
    assert!(ran.err.contains("keyvault rotate app/migrate"), "{}", ran.err);
}

fn leaked(stage: &Stage, blocks: &[&str]) {
    let [leak, renew] = blocks else { unreachable!() };
    // No one is here to type new values, so the keys are generated ones.
    stage.owner("keyvault remove db/password stripe/live --yes").ok();
    stage.owner("for key in db/password stripe/live; do keyvault generate $key --scope deploy; done").ok();
    stage.owner(&block("Once, where the vault is", 1)).ok();
    let bundle = stage.at("repo/keys.kvb");
    let reads = "cp ../cloud/keyvault-reads.jsonl . && rm ../cloud/keyvault-reads.jsonl";
    let token = stage.token();
    let before = opens(stage, &token, &bundle);
    stage.owner(reads).ok();
    let ran = stage.owner(leak).ok();
    assert!(ran.err.contains("keyvault rotate db/password stripe/live\n"), "{}", ran.err);
    assert!(ran.out.contains("\nci:0 "), "the reads are known: {}", ran.out);
    let second = stage.token();
    let after = opens(stage, &second, &bundle);
    assert_eq!(opens(stage, &token, &earlier_bundle(stage)), before, "what the page says of old bundles");
    assert!(before.len() == 2 && before.iter().all(|(name, value)| after[name] != *value));
    stage.held(&token, &bundle, &["exec", "--", "true"]).fails(125, "belongs to another token");

    std::fs::remove_file(stage.at("cloud/keyvault-reads.jsonl")).unwrap();
    opens(stage, &second, &bundle);
    stage.owner(reads).ok();
    stage.owner(renew).ok();
    assert_eq!(opens(stage, &stage.token(), &bundle), after);
    stage.held(&second, &bundle, &["exec", "--", "true"]).fails(125, "belongs to another token");
    stage.owner("keyvault bundle update keys.kvb && keyvault vault check").ok();
}

#[test]
fn a_token_cannot_do_what_the_ci_page_says_it_cannot() {
    let stage = Stage::new();
    let section = between(DOC, "## What a token cannot do\n", "It can do what it is for").unwrap();
    let commands: Vec<_> = section.split('`').filter(|code| code.starts_with("keyvault ")).collect();
    assert_eq!(commands.len(), 14, "{commands:?}");
    stage.held(&stage.token(), &stage.at("repo/keys.kvb"), &["exec", "--", "./ship"]).ok();
    std::fs::copy(stage.at("cloud/keyvault-reads.jsonl"), stage.at("repo/keyvault-reads.jsonl")).unwrap();
    let state = |world: &World| {
        let shown = ["list", "token list", "vault slot list", "audit log"].map(|command| {
            let words: Vec<_> = command.split(' ').chain(["--json"]).collect();
            world.run(&words).ok().out
        });
        (shown, std::fs::read(stage.at("repo/keys.kvb")).unwrap())
    };
    let before = state(&stage.world);
    for command in commands {
        let mut shell = stage.machine("sh", &stage.at("repo"));
        shell.env("KEYVAULT_VAULT", stage.world.vault()).env("KEYVAULT_TOKEN", stage.token());
        let ran = finish(shell.args(["-c", command]).env("HOME", stage.at("machine")), b"");
        assert!([3, 4, 125].contains(&ran.code), "{command}: {} {}{}", ran.code, ran.out, ran.err);
        assert!(!ran.out.contains("canary") && !ran.err.contains("canary"), "{command}");
    }
    assert_eq!(state(&stage.world), before);
}
