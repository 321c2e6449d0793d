//! The stage for the examples of docs/ci.md: their blocks, the vault's owner, and machines that have no vault.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use yaml_rust2::{Yaml, YamlLoader};

use crate::harness::{KEYVAULT, Ran, World, finish};

pub const DOC: &str = include_str!("../../docs/ci.md");

/// The values of the two keys that are granted. Nothing else holds the word.
pub const DB: &str = "canary/db+Zq7vXk2Lw9";
pub const STRIPE: &str = "canary/stripe+Hy8Jd3Fs";

/// The command of the examples: it wants its two keys, no other and no credential of ours, and shows them in the log.
const SHIP: &str = "#!/bin/sh
[ \"$DB_PASSWORD\" = 'canary/db+Zq7vXk2Lw9' ] && [ \"$STRIPE_LIVE\" = 'canary/stripe+Hy8Jd3Fs' ] || exit 91
[ \"$(env | grep -c canary)\" = 2 ] || exit 92
env | grep '^KEYVAULT_' | grep -v -e '^KEYVAULT_EXEC=1$' -e '^KEYVAULT_VAULT=/' && exit 93
echo \"ship with $DB_PASSWORD\"; echo \"ship to $STRIPE_LIVE\" >&2
";

/// The command of a later step: one key, from the job's environment.
const MIGRATE: &str = "#!/bin/sh
[ \"$DB_PASSWORD\" = 'canary/db+Zq7vXk2Lw9' ] && [ -z \"$STRIPE_LIVE$KEYVAULT_TOKEN\" ] || exit 94
echo \"migrate with $DB_PASSWORD\"
";

/// GitHub's command: a secret that is set, and an artifact that is fetched.
const GH: &str = "#!/bin/sh
case $* in
    'secret set KEYVAULT_TOKEN') exec cat > \"$CLOUD/token\" ;;
    'run download --name keyvault-reads') exec cp \"$CLOUD/keyvault-reads.jsonl\" . ;;
esac
echo \"gh: $*\" >&2; exit 64
";

const SSH: &str =
    "#!/bin/sh\ncase $1 in ship@server | root@server) cd \"$SERVER\" && exec sh -c \"$2\" ;; esac\nexit 64\n";

const SCP: &str = "#!/bin/sh\n[ \"$1\" = -p ] && shift\ncase $2 in
    *@server:/*) exec cp -p \"$1\" \"${2#*@server:}\" ;;
    *@server:*) exec cp -p \"$1\" \"$SERVER/${2#*@server:}\" ;;
esac\nexit 64\n";

/// A section's fenced blocks: language and text.
pub type Section = (String, Vec<(String, String)>);

/// The sections that have examples.
pub fn sections() -> Vec<Section> {
    let (mut sections, mut open): (Vec<Section>, Option<(String, String)>) = (Vec::new(), None);
    for line in DOC.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(_)) => sections.last_mut().unwrap().1.extend(open.take()),
            (Some((_, text)), None) => *text += &format!("{line}\n"),
            (None, None) => {
                sections.extend(line.strip_prefix("## ").map(|name| (name.to_owned(), Vec::new())));
            }
        }
    }
    assert!(open.is_none(), "a block is not closed");
    sections.retain(|(_, blocks)| !blocks.is_empty());
    sections
}

/// The text of a section's block.
pub fn block(section: &str, number: usize) -> String {
    sections().into_iter().find(|(name, _)| name == section).unwrap().1[number].1.clone()
}

/// The owner with a vault and a repository, prepared as docs/ci.md says, and a folder for each other machine.
pub struct Stage {
    pub world: World,
}

impl Stage {
    pub fn new() -> Self {
        let stage = Self { world: World::own() };
        for (key, value, scope) in [
            ("db/password", DB, "deploy"),
            ("stripe/live", STRIPE, "deploy"),
            ("other/key", "other", "other"),
        ] {
            stage.world.run_with_input(&["add", key, "--scope", scope], value).ok();
        }
        for folder in ["bin", "cloud", "server/app", "server/.config", "etc", "srv", "repo/ci", "machine"] {
            std::fs::create_dir_all(stage.at(folder)).unwrap();
        }
        // Users of containers and services go through these folders, and the binary's may be closed to them.
        std::fs::set_permissions(stage.world.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let binary = stage.at("bin/keyvault");
        std::fs::hard_link(KEYVAULT, &binary)
            .or_else(|_| std::fs::copy(KEYVAULT, &binary).map(drop))
            .unwrap();
        let install = block("Once, where the vault is", 2);
        let programs = [
            ("bin/gh", GH),
            ("bin/ssh", SSH),
            ("bin/scp", SCP),
            ("repo/ship", SHIP),
            ("repo/migrate", MIGRATE),
        ];
        for (path, text) in programs.into_iter().chain([("repo/ci/install-keyvault", install.as_str())]) {
            std::fs::write(stage.at(path), text).unwrap();
            std::fs::set_permissions(stage.at(path), PermissionsExt::from_mode(0o755)).unwrap();
        }
        stage.owner("git init -q -b main . && git add . && git commit -qm Start").ok();
        stage.owner(&block("Once, where the vault is", 0)).ok();
        stage
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.world.path().join(path)
    }

    pub fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap().trim_end().to_owned()
    }

    /// The secret that the service keeps.
    pub fn token(&self) -> String {
        self.text("cloud/token")
    }

    /// The paths of the examples, inside this world.
    pub fn placed(&self, text: &str) -> String {
        let mut text = text.replace("/usr/local/bin/keyvault", self.at("bin/keyvault").to_str().unwrap());
        for (path, folder) in [("/home/ship", "server"), ("/etc/ship", "etc/ship"), ("/srv/ship", "srv/ship")]
        {
            text = text.replace(path, self.at(folder).to_str().unwrap());
        }
        text
    }

    fn path_variable(&self) -> String {
        format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap())
    }

    /// Runs lines of shell as the vault's owner, in the repository; the first that fails ends them.
    pub fn owner(&self, lines: &str) -> Ran {
        let mut command = self.world.command("bash");
        command.args(["-eo", "pipefail", "-c", &self.placed(lines)]).current_dir(self.at("repo"));
        command
            .env("PATH", self.path_variable())
            .env("CLOUD", self.at("cloud"))
            .env("SERVER", self.at("server"));
        for (name, value) in [("NAME", "Ada"), ("EMAIL", "ada@example.org")] {
            command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
        finish(&mut command, b"")
    }

    /// A command on a machine that has no vault: nothing in its environment but a PATH.
    pub fn machine(&self, program: &str, folder: &Path) -> Command {
        let mut command = self.world.command(program);
        command.env_clear().env("PATH", self.path_variable()).current_dir(folder);
        command
    }

    /// A command with token and bundle, on another machine; what it reads is an artifact of the service.
    pub fn held(&self, token: &str, bundle: &Path, arguments: &[&str]) -> Ran {
        let mut command = self.machine("keyvault", &self.at("repo"));
        command.env("KEYVAULT_TOKEN", token).env("KEYVAULT_BUNDLE", bundle).env("CI", "true");
        command.env("KEYVAULT_READS", self.at("cloud/keyvault-reads.jsonl"));
        finish(command.args(arguments), b"")
    }

    /// Variables for `KEYVAULT_URL` and its hash.
    pub fn download(&self) -> [(&'static str, String); 2] {
        let binary = self.at("bin/keyvault");
        let hash = finish(self.world.command("sha256sum").arg(&binary), b"").ok().out;
        let hash = hash.split(' ').next().unwrap().to_owned();
        [("KEYVAULT_URL", format!("file://{}", binary.display())), ("KEYVAULT_SHA256", hash)]
    }
}

/// A log in which `ship` ran, and which shows no value.
#[track_caller]
pub fn shipped(log: &str) {
    assert!(log.contains("ship with [masked]\n") && log.contains("ship to [masked]\n"), "{log}");
    assert!(!log.contains("canary") && !log.contains("kvt_"), "{log}");
}

/// A pipeline of the page.
pub fn pipeline(text: &str) -> Yaml {
    YamlLoader::load_from_str(text).unwrap().remove(0)
}

/// Names and texts of a mapping; nothing, of nothing.
pub fn pairs(of: &Yaml) -> Vec<(&str, &str)> {
    let entries = of.as_hash().into_iter().flatten();
    entries.map(|(name, value)| (name.as_str().unwrap(), value.as_str().unwrap())).collect()
}

/// The texts of a list.
pub fn texts(of: &Yaml) -> Vec<&str> {
    of.as_vec().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}
