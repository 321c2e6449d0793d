//! The names that the keys of a project get, so that `import`, `project init`, and `exec` mean the same ones.
//!
//! A project's keys are named `PREFIX/VARIABLE`. The prefix is the name of the project's folder, until a project file says
//! otherwise: then a variable's key is the one that the file names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::gate::{self, Believed, Found};
use crate::cli::context;
use crate::cli::errors::Failure;
use crate::project::approval::Ask;
use crate::project::{Entry, Section, VariableSource};
use keyvault_core::name::{EnvName, KeyName};

/// Files that `project init` reads, which mark a folder as a project's.
pub(super) const ENV_FILES: [&str; 2] = [".env.example", ".env"];

/// The names of a project's keys.
#[derive(Default)]
pub(in crate::cli) struct Naming {
    /// How the name of a key begins that the project file does not have.
    pub(in crate::cli) prefix: String,
    /// The keys that the project file names.
    keys: BTreeMap<EnvName, KeyName>,
    /// The variables that are plain settings in the project file.
    settings: Vec<EnvName>,
    /// The profiles of the project file, each with how the names of its own keys begin.
    profiles: Vec<(String, String)>,
    /// The project file, if there is one, and `true` if everything in it was approved.
    pub(in crate::cli) file: Option<(PathBuf, bool)>,
}

impl Naming {
    /// The names in the project of the working directory; `None` if that is no project's folder.
    pub(in crate::cli) fn here() -> Result<Option<Self>, Failure> {
        // In a folder that is gone there is no project, and `import` needs none.
        let Ok(folder) = std::env::current_dir() else { return Ok(None) };
        let Some(found) = Found::nearest(Believed::Trusted)? else {
            let project = folder_of_project(&folder, context::home().as_deref());
            return Ok(project.map(|project| Self::with_prefix(prefix_of(project))));
        };
        let entries = found.entries(None)?;
        let asks = gate::asks(&entries);
        let approved = gate::approvals()?.check(&found.path, &asks).is_ok();
        let fallback = || prefix_of(found.path.parent().unwrap_or(&folder));
        let prefix = usual_prefix(&entries).unwrap_or_else(fallback);
        let (mut keys, mut settings) = (BTreeMap::new(), Vec::new());
        for (_, entry) in entries {
            match &entry.source {
                VariableSource::Key(name) => {
                    keys.insert(entry.variable.clone(), name.clone());
                }
                VariableSource::Text(_) => settings.push(entry.variable.clone()),
                VariableSource::Template(_) => {}
            }
        }
        let profiles = prefixes_of_profiles(&found);
        Ok(Some(Self { prefix, keys, settings, profiles, file: Some((found.path, approved)) }))
    }

    /// Names with this prefix, whatever the project.
    pub(in crate::cli) fn with_prefix(prefix: String) -> Self {
        Self { prefix, ..Self::default() }
    }

    /// The key of a variable, if the project file names one.
    pub(in crate::cli) fn key_of(&self, variable: &EnvName) -> Option<&KeyName> {
        self.keys.get(variable)
    }

    /// The profile that an env-file such as `.env.production` is named for, and how the names of its keys begin.
    pub(in crate::cli) fn profile_of(&self, file: &Path) -> Option<(&str, &str)> {
        const SHORTEST: usize = 3;
        let kind = file.file_name()?.to_str()?.strip_prefix(".env.")?;
        let kind = kind.strip_suffix(".local").unwrap_or(kind);
        let is_meant = |profile: &str| {
            let (short, long) = if profile.len() < kind.len() { (profile, kind) } else { (kind, profile) };
            short == long || short.len() >= SHORTEST && long.starts_with(short)
        };
        let mut meant = self.profiles.iter().filter(|(profile, _)| is_meant(profile));
        let (profile, prefix) = meant.next()?;
        (meant.next().is_none() && *prefix != self.prefix).then_some((profile, prefix))
    }

    /// The variable of a key whose name is the project's prefix, or a profile's, and a variable in capitals.
    pub(in crate::cli) fn variable_of(&self, name: &KeyName) -> Option<EnvName> {
        let prefixes = self.profiles.iter().map(|(_, prefix)| prefix).chain([&self.prefix]);
        let rest = prefixes.filter(|prefix| !prefix.is_empty());
        let rest = rest.filter_map(|prefix| name.as_str().strip_prefix(prefix.as_str()));
        let variable = rest.min_by_key(|rest| rest.len())?;
        let in_capitals = !variable.contains(|c: char| c.is_ascii_lowercase());
        EnvName::parse(variable).ok().filter(|_| in_capitals)
    }

    /// Returns `true` if the project file has the variable's value, so that no key is needed.
    pub(in crate::cli) fn is_setting(&self, variable: &EnvName) -> bool {
        self.settings.contains(variable)
    }
}

/// The variable that a new key has in the project of the working directory; `None` if its name has not the project's prefix.
pub(in crate::cli) fn variable_here(name: &KeyName) -> Option<EnvName> {
    Naming::here().ok()??.variable_of(name)
}

/// The project's folder that a working directory belongs to: itself, if `project init` finds a .env file there, or the root
/// of its repository. A home folder is not a project's, nor is what lies above it.
fn folder_of_project<'f>(folder: &'f Path, home: Option<&Path>) -> Option<&'f Path> {
    let home = home.and_then(|home| home.canonicalize().ok());
    let is_home = |part: &Path| home.as_deref() == Some(part);
    if is_home(folder) {
        return None;
    }
    if ENV_FILES.iter().any(|name| folder.join(name).is_file()) {
        return Some(folder);
    }
    let below_home = folder.ancestors().take_while(|part| !is_home(part));
    below_home.into_iter().find(|part| fs::symlink_metadata(part.join(".git")).is_ok())
}

/// The beginning that most keys of a file share, each in front of its variable's name.
fn usual_prefix(entries: &[(Section, &Entry)]) -> Option<String> {
    let mut counted = BTreeMap::<String, usize>::new();
    for ask in entries.iter().map(|(section, entry)| Ask::of(section, entry)) {
        if let Some(prefix) = ask.key.as_deref().and_then(|key| key.strip_suffix(&ask.variable)) {
            *counted.entry(prefix.to_owned()).or_default() += 1;
        }
    }
    counted.into_iter().max_by_key(|(_, count)| *count).map(|(prefix, _)| prefix)
}

fn prefixes_of_profiles(found: &Found) -> Vec<(String, String)> {
    let mut own = BTreeMap::<String, Vec<(Section, &Entry)>>::new();
    for (section, entry) in found.file.all() {
        if let Some(profile) = section {
            own.entry(profile.to_string()).or_default().push((section.clone(), entry));
        }
    }
    let prefixed = own.into_iter().map(|(profile, entries)| Some((profile, usual_prefix(&entries)?)));
    prefixed.flatten().collect()
}

/// The folder's name as the beginning of keys' names; nothing if it has no character for one.
pub(super) fn prefix_of(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let kept = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = name.chars().map(kept).take(48).collect();
    let name = name.trim_matches(['.', '-']);
    if name.is_empty() { String::new() } else { format!("{name}/") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_project_is_a_folder_with_an_env_file_or_a_repository_below_the_home() {
        let top = tempfile::tempdir().unwrap();
        let home = top.path().canonicalize().unwrap();
        let deep = home.join("repo/packages/api");
        fs::create_dir_all(&deep).unwrap();
        fs::write(home.join(".env"), "").unwrap();
        fs::create_dir(home.join(".git")).unwrap();
        assert_eq!(folder_of_project(&home, Some(&home)), None);
        assert_eq!(folder_of_project(&deep, Some(&home)), None);
        fs::create_dir(home.join("repo/.git")).unwrap();
        assert_eq!(folder_of_project(&deep, Some(&home)), Some(home.join("repo").as_path()));
        fs::write(deep.join(".env.example"), "").unwrap();
        assert_eq!(folder_of_project(&deep, Some(&home)), Some(deep.as_path()));
    }
}
