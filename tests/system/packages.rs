//! The files under dist/: packages are made of this build and looked into, and the shell of the pipelines is run, as far as a
//! machine without those services can.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use pretty_assertions::assert_eq;
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use crate::harness::{Ran, finish};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A release that `dist/pack` made of this build, without symbols.
struct Release {
    folder: PathBuf,
}

impl Release {
    /// One for all tests: `dist/pack` works in target/dist.
    fn get() -> &'static Self {
        static RELEASE: OnceLock<Release> = OnceLock::new();
        RELEASE.get_or_init(|| {
            // Nothing would remove a temporary folder, because a static is never dropped.
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            let release = Self { folder };
            let binary = release.at("keyvault");
            run(Command::new("strip").arg("-o").arg(&binary).arg(env!("CARGO_BIN_EXE_keyvault")));
            release.pack("release");
            release
        })
    }

    fn pack(&self, name: &str) {
        let mut pack = Command::new(format!("{ROOT}/dist/pack"));
        pack.arg(self.at("keyvault")).arg(self.at(name));
        run(pack.env("SOURCE_DATE_EPOCH", "1796082510").env("PACK_FAST", "1"));
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.at("release").join(name)
    }

    fn tarball(&self) -> PathBuf {
        self.file(&format!("keyvault-{VERSION}-x86_64-linux.tar.gz"))
    }

    /// A new empty folder.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.at(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    }
}

fn run(command: &mut Command) -> Ran {
    let ran = finish(command, b"");
    assert_eq!(ran.code, 0, "{command:?}: {}{}", ran.out, ran.err);
    ran
}

fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// The names and texts of a folder of the repository.
fn committed(folder: &str) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(Path::new(ROOT).join(folder)).unwrap().map(Result::unwrap);
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

/// A system in which a package is installed has all its files where the system looks for them, and the program runs there
/// though nothing else is.
fn holds_everything(system: &Path, zsh: &str) {
    let version = run(Command::new("/usr/sbin/chroot")
        .arg(system)
        .args(["/usr/bin/keyvault", "--version"])
        .env_clear());
    assert_eq!(version.out, format!("keyvault {VERSION}\n"));
    for (name, page) in committed("man") {
        let installed = system.join(format!("usr/share/man/man1/{name}.gz"));
        let unpacked = run(Command::new("gzip").arg("-dc").arg(&installed));
        assert!(unpacked.bytes == page, "{name}");
    }
    for (name, path) in [
        ("keyvault.bash", "usr/share/bash-completion/completions/keyvault".to_owned()),
        ("keyvault.fish", "usr/share/fish/vendor_completions.d/keyvault.fish".to_owned()),
        ("_keyvault", format!("usr/share/zsh/{zsh}/_keyvault")),
    ] {
        let script = text(&format!("completions/{name}"));
        assert_eq!(std::fs::read_to_string(system.join(path)).unwrap(), script, "{name}");
    }
}

#[test]
fn the_deb_installs_everything_and_lintian_finds_nothing() {
    let release = Release::get();
    let package = release.file(&format!("keyvault_{VERSION}-1_amd64.deb"));
    let system = release.folder("debian");
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates"] {
        std::fs::create_dir_all(system.join(folder)).unwrap();
    }
    std::fs::write(system.join("var/lib/dpkg/status"), "").unwrap();
    run(Command::new("dpkg").arg("--root").arg(&system).arg("--install").arg(&package));
    holds_everything(&system, "vendor-completions");
    // Only a first upload to Debian's own archive closes a bug there. A static program needs no package, and one that can
    // be loaded at any address looks like a library.
    let ignored = "initial-upload-closes-no-bugs,empty-field,shared-library-lacks-prerequisites";
    let mut lintian = Command::new("lintian");
    let found = run(lintian
        .args(["--allow-root", "--fail-on=error,warning", "--suppress-tags", ignored])
        .arg(&package));
    assert_eq!(found.out, "");
}

#[test]
fn the_rpm_installs_everything_and_needs_nothing() {
    let release = Release::get();
    let package = release.file(&format!("keyvault-{VERSION}-1.x86_64.rpm"));
    let needs = run(Command::new("rpm").args(["-qp", "--requires"]).arg(&package)).out;
    assert!(needs.lines().all(|need| need.starts_with("rpmlib(")), "{needs}");
    let system = release.folder("fedora");
    let mut install = Command::new("rpm");
    run(install.arg("--root").arg(&system).args(["--nosignature", "--ignorearch", "-i"]).arg(&package));
    holds_everything(&system, "site-functions");
}

#[test]
fn the_tarball_is_a_context_for_an_image_of_the_binary_alone() {
    let release = Release::get();
    let folder = release.folder("unpacked");
    run(Command::new("tar").arg("-xzf").arg(release.tarball()).arg("-C").arg(&folder));
    let folder = folder.join(format!("keyvault-{VERSION}-x86_64-linux"));
    // The image: what the file copies, and nothing else.
    let image = release.folder("image");
    let mut entrypoint = None;
    for line in std::fs::read_to_string(folder.join("Dockerfile")).unwrap().lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["FROM", base] => assert_eq!(base, "scratch"),
            ["COPY", "--chmod=755", source, target] => {
                std::fs::copy(folder.join(source), image.join(target.trim_start_matches('/'))).unwrap();
            }
            ["ENTRYPOINT", program] => {
                entrypoint = Some(program.trim_matches(['[', ']', '"']).to_owned());
            }
            ["USER", user] => assert!(user.starts_with(|c: char| c.is_ascii_digit() && c != '0'), "{user}"),
            ref other => assert!(other[0].is_empty() || other[0] == "#", "{line}"),
        }
    }
    let mut program = Command::new("/usr/sbin/chroot");
    program.args(["--userspec=65532:65532"]).arg(&image).arg(entrypoint.unwrap()).arg("--version");
    assert_eq!(run(program.env_clear()).out, format!("keyvault {VERSION}\n"));
}

#[test]
fn packing_again_gives_the_same_bytes() {
    let release = Release::get();
    let sums = std::fs::read_to_string(release.file("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), 5, "{sums}");
    run(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(release.at("release")));
    release.pack("again");
    assert_eq!(std::fs::read_to_string(release.at("again/SHA256SUMS")).unwrap(), sums);
}

#[test]
fn the_bill_of_materials_has_what_is_linked_and_no_tools_of_tests() {
    let bill = std::fs::read(Release::get().file("keyvault.cdx.json")).unwrap();
    let bill: Value = serde_json::from_slice(&bill).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(bill["metadata"]["component"]["purl"], format!("pkg:cargo/keyvault@{VERSION}"));
    let components = bill["components"].as_array().unwrap();
    let names: BTreeSet<_> = components.iter().map(|part| part["name"].as_str().unwrap()).collect();
    for linked in ["keyvault-vault", "rusqlite", "libsqlite3-sys", "ring", "zbus"] {
        assert!(names.contains(linked), "{linked}");
    }
    for tool in ["proptest", "pretty_assertions", "windows-sys", "clap_mangen"] {
        assert!(!names.contains(tool), "{tool}");
    }
    let ours = |part: &Value| part["name"].as_str().unwrap().starts_with("keyvault");
    assert!(components.iter().all(|part| part["hashes"][0]["content"].is_string() || ours(part)));
    assert!(components.iter().all(|part| part["licenses"][0]["expression"].is_string()));
    let refs: BTreeSet<_> = components
        .iter()
        .chain([&bill["metadata"]["component"]])
        .map(|part| &part["bom-ref"])
        .map(Value::to_string)
        .collect();
    assert_eq!(refs.len(), components.len() + 1);
    for dependency in bill["dependencies"].as_array().unwrap() {
        let named = dependency["dependsOn"].as_array().unwrap().iter().chain([&dependency["ref"]]);
        assert!(named.map(Value::to_string).all(|name| refs.contains(&name)), "{dependency}");
    }
}

#[test]
fn the_formula_and_the_nix_expression_are_well_formed() {
    let formula = Release::get().file("keyvault.rb");
    let content = std::fs::read_to_string(&formula).unwrap();
    assert!(content.contains(&format!("/keyvault-{VERSION}.crate\"")) && !content.contains("@SHA256@"));
    run(Command::new("ruby").arg("-c").arg(&formula));
    run(Command::new("nix-instantiate").args(["--parse", "dist/nix/package.nix"]).current_dir(ROOT));
    // The line that the expression edits, and the files that it installs, exist.
    assert!(text(".cargo/config.toml").contains("\"-C\", \"target-feature=+crt-static\", "));
    for file in text("dist/nix/package.nix")
        .split(char::is_whitespace)
        .filter(|word| word.starts_with("completions/"))
    {
        assert!(Path::new(ROOT).join(file).exists(), "{file}");
    }
}

/// A server of releases, and a machine that installs from it.
struct Runner {
    folder: PathBuf,
    releases: String,
    hash: String,
}

impl Runner {
    fn new(name: &str) -> Self {
        let release = Release::get();
        let folder = release.folder(name);
        let tag = folder.join(format!("releases/v{VERSION}"));
        std::fs::create_dir_all(&tag).unwrap();
        let tarball = release.tarball();
        std::fs::copy(&tarball, tag.join(tarball.file_name().unwrap())).unwrap();
        let sum = run(Command::new("sha256sum").arg(&tarball)).out;
        let releases = format!("file://{}", folder.join("releases").display());
        Self { folder, releases, hash: sum.split(' ').next().unwrap().to_owned() }
    }

    /// Bash as services run it.
    fn bash(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(&self.folder);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command
    }
}

fn documents(path: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&text(path)).unwrap()
}

#[test]
fn the_github_action_installs_a_release_and_refuses_another_hash() {
    let action = documents("dist/action/action.yml").remove(0);
    let runner = Runner::new("github");
    let [step] = &action["runs"]["steps"].as_vec().unwrap()[..] else { panic!("one step") };
    let path = runner.folder.join("path");
    let install = |hash: &str| {
        std::fs::write(&path, "").unwrap();
        let mut command = runner.bash(step["run"].as_str().unwrap());
        for (name, value) in step["env"].as_hash().unwrap() {
            let value = match value.as_str().unwrap() {
                "${{ inputs.version }}" => VERSION,
                "${{ inputs.sha256 }}" => hash,
                "${{ inputs.releases }}" => &runner.releases,
                other => panic!("{other}"),
            };
            command.env(name.as_str().unwrap(), value);
        }
        finish(command.env("RUNNER_TEMP", &runner.folder).env("GITHUB_PATH", &path), b"")
    };
    assert_ne!(install(&"0".repeat(64)).code, 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    install(&runner.hash).ok();
    let folder = std::fs::read_to_string(&path).unwrap();
    run(Command::new(Path::new(folder.trim_end()).join("keyvault")).arg("--version").env_clear());
}

#[test]
fn the_gitlab_component_installs_a_release_and_refuses_another_hash() {
    let documents = documents("dist/gitlab/keyvault.yml");
    let [spec, jobs] = &documents[..] else { panic!("a specification and jobs") };
    let inputs: BTreeSet<_> =
        spec["spec"]["inputs"].as_hash().unwrap().keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(inputs, BTreeSet::from(["releases", "sha256", "version"]));
    let runner = Runner::new("gitlab");
    let lines = jobs[".keyvault"]["before_script"].as_vec().unwrap();
    let script = lines.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n");
    let install = |hash: &str| {
        let script = script
            .replace("$[[ inputs.version ]]", VERSION)
            .replace("$[[ inputs.sha256 ]]", hash)
            .replace("$[[ inputs.releases ]]", &runner.releases);
        finish(&mut runner.bash(&format!("{script}\nkeyvault --version")), b"")
    };
    assert_ne!(install(&"0".repeat(64)).code, 0);
    let ran = install(&runner.hash).ok();
    assert!(ran.out.ends_with(&format!("keyvault {VERSION}\n")), "{}", ran.out);
}

#[test]
fn the_release_workflow_calls_scripts_that_exist_and_publishes_equal_builds_only() {
    let workflow = documents(".github/workflows/release.yml").remove(0);
    let steps = |job: &str| workflow["jobs"][job]["steps"].as_vec().unwrap().clone();
    for step in steps("build").iter().chain(&steps("publish")) {
        if let Some(action) = step["uses"].as_str() {
            // A tag of an action can be moved, a commit cannot.
            let (_, commit) = action.split_once('@').unwrap();
            assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{action}");
            continue;
        }
        let script = step["run"].as_str().unwrap();
        run(Command::new("bash").args(["-n", "-c", script]));
        for word in script.split_whitespace().filter(|word| word.starts_with("dist/")) {
            let mode = std::fs::metadata(Path::new(ROOT).join(word)).unwrap().permissions().mode();
            assert_eq!(mode & 0o111, 0o111, "{word}");
        }
    }
    let named = |job: &str, name: &str| {
        let steps = steps(job);
        let step = steps.iter().find(|step| step["name"].as_str() == Some(name)).unwrap();
        step["run"].as_str().unwrap().to_owned()
    };
    let runner = Release::get().folder("workflow");
    let shell = |script: &str, folder: &Path, variable: (&str, &str)| {
        let mut bash = Command::new("bash");
        finish(bash.args(["-e", "-c", script]).current_dir(folder).env(variable.0, variable.1), b"").code
    };
    let tag = named("build", "Is the tag the version?");
    let of_version = format!("v{VERSION}");
    assert_eq!(shell(&tag, Path::new(ROOT), ("GITHUB_REF_NAME", &of_version)), 0);
    assert_ne!(shell(&tag, Path::new(ROOT), ("GITHUB_REF_NAME", "v9.9.9")), 0);

    let variables = runner.join("env");
    let name = named("build", "Name the build");
    let of_workflow = workflow["jobs"]["build"]["strategy"]["matrix"]["folder"].as_vec().unwrap();
    for folder in of_workflow {
        let script = format!("FOLDER={}\n{name}", folder.as_str().unwrap());
        assert_eq!(shell(&script, &runner, ("GITHUB_ENV", variables.to_str().unwrap())), 0);
    }
    let names = std::fs::read_to_string(&variables).unwrap();
    assert_eq!(names, "BUILD=release-one\nBUILD=release-another\n");
    for name in names.lines().map(|line| line.trim_start_matches("BUILD=")) {
        std::fs::create_dir(runner.join(name)).unwrap();
        std::fs::write(runner.join(name).join("SHA256SUMS"), "sums").unwrap();
    }
    let compare = named("publish", "Are both builds the same?");
    assert_eq!(shell(&compare, &runner, ("LC_ALL", "C")), 0);
    std::fs::write(runner.join("release-another/SHA256SUMS"), "others").unwrap();
    assert_ne!(shell(&compare, &runner, ("LC_ALL", "C")), 0);
}

#[test]
fn the_scripts_of_packages_are_well_formed() {
    for script in ["build", "pack", "reproduce", "tools"] {
        run(Command::new("bash").arg("-n").arg(format!("{ROOT}/dist/{script}")));
    }
}
