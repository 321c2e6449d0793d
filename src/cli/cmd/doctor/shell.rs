//! Looks for completion in the user's shell. Files are read; nothing is run.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::cli::context::variable;

use super::Report;

const CHECK: &str = "completion";

/// The longest start-up file that is read, in bytes.
const MAX_LEN: u64 = 1 << 20;

/// The places of one shell.
struct Shell {
    name: &'static str,
    /// Files whose being there is enough.
    installed: Vec<PathBuf>,
    /// Files that may hold the line that loads it.
    sourced: Vec<PathBuf>,
    remedy: &'static str,
}

/// Returns `true` if completion is installed for the shell that `SHELL` names.
pub(super) fn completion() -> Report {
    let Some(shell) = variable("SHELL") else { return Report::skipped(CHECK, "SHELL is not set") };
    let name = Path::new(&shell).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(home) = variable("HOME").map(PathBuf::from) else {
        return Report::skipped(CHECK, "HOME is not set");
    };
    let Some(shell) = places(&name, &home) else {
        return Report::skipped(CHECK, format!("keyvault has no completion for {name}"));
    };
    if let Some(file) = shell.installed.iter().find(|file| file.is_file()) {
        return Report::ok(CHECK, format!("{}: {}", shell.name, file.display()));
    }
    let line = format!("keyvault completions {}", shell.name);
    match shell.sourced.iter().find(|file| mentions(file, &line)) {
        Some(file) => Report::ok(CHECK, format!("{}: loaded by {}", shell.name, file.display())),
        None => {
            Report::finding(CHECK, format!("{} has no completion for keyvault", shell.name), shell.remedy)
        }
    }
}

fn places(name: &str, home: &Path) -> Option<Shell> {
    let or = |name: &str, instead: PathBuf| variable(name).map_or(instead, PathBuf::from);
    let data = or("XDG_DATA_HOME", home.join(".local/share"));
    let config = or("XDG_CONFIG_HOME", home.join(".config"));
    let below = |folders: &[&str], file: &str| {
        folders.iter().map(|folder| Path::new(folder).join(file)).collect::<Vec<_>>()
    };
    match name {
        "bash" => {
            let mut installed = below(
                &[
                    "/usr/share/bash-completion/completions",
                    "/usr/local/share/bash-completion/completions",
                    "/etc/bash_completion.d",
                ],
                "keyvault",
            );
            installed.push(data.join("bash-completion/completions/keyvault"));
            let sourced =
                [".bashrc", ".bash_profile", ".profile", ".bash_completion"].map(|file| home.join(file));
            let remedy = "Add to ~/.bashrc: source <(keyvault completions bash)";
            Some(Shell { name: "bash", installed, sourced: sourced.to_vec(), remedy })
        }
        "zsh" => {
            let installed = below(
                &[
                    "/usr/share/zsh/site-functions",
                    "/usr/local/share/zsh/site-functions",
                    "/usr/share/zsh/vendor-completions",
                ],
                "_keyvault",
            );
            let folder = or("ZDOTDIR", home.to_owned());
            let sourced =
                vec![folder.join(".zshrc"), folder.join(".zprofile"), PathBuf::from("/etc/zsh/zshrc")];
            let remedy = "Add to ~/.zshrc, after compinit: source <(keyvault completions zsh)";
            Some(Shell { name: "zsh", installed, sourced, remedy })
        }
        "fish" => {
            let mut installed = below(
                &[
                    "/usr/share/fish/vendor_completions.d",
                    "/usr/local/share/fish/vendor_completions.d",
                    "/etc/fish/completions",
                ],
                "keyvault.fish",
            );
            installed.push(config.join("fish/completions/keyvault.fish"));
            installed.push(data.join("fish/vendor_completions.d/keyvault.fish"));
            let sourced = vec![config.join("fish/config.fish")];
            let remedy = "keyvault completions fish > ~/.config/fish/completions/keyvault.fish";
            Some(Shell { name: "fish", installed, sourced, remedy })
        }
        _ => None,
    }
}

/// Returns `true` if a line that is not a comment has `line` in it.
fn mentions(file: &Path, line: &str) -> bool {
    // A FIFO in a start-up file's place would block.
    if !file.is_file() {
        return false;
    }
    let mut text = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_LEN).read_to_end(&mut text));
    read.is_ok()
        && String::from_utf8_lossy(&text)
            .lines()
            .any(|found| !found.trim_start().starts_with('#') && found.contains(line))
}
