//! Approvals of project files, kept outside of them.
//!
//! A file in a repository says what whoever wrote the repository wants. It gets it once this user has seen it and said
//! so: for this path, and for these variables made of these keys. What is asked for must be a part of what was approved,
//! so that a comment, an order or a removal asks nobody again, and every other change does: another key, another
//! template, another default, another profile. A file that was moved or copied lies at another path; the worktrees of one
//! repository share what was approved in any of them.
//!
//! One JSON file for each path, 0600, in this user's state folder. A program that can write there can approve everything, and could
//! as well replace the shell.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use keyvault_core::crypto::sha256;
use keyvault_core::name::EnvName;
use keyvault_exec::release::ComposedVariable;
use keyvault_os::fs::lock::{FileLock, Held};
use keyvault_os::fs::private;
use keyvault_os::fs::untrusted;

use super::file::{Entry, Section, VariableSource};
use super::worktrees;

/// The longest file of approvals that is read, in bytes: some thousand entries.
const MAX_FILE: usize = 4 << 20;

/// A variable and what it would be made of, as it is approved or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    /// The profile; none for what holds under all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub profile: Option<String>,
    pub variable: String,
    /// The key, if it is one's value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// The template, if it is made of one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub template: Option<String>,
    /// The text of a plain setting.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<String>,
    /// Replaces a key that is missing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub default: Option<String>,
}

impl Ask {
    #[must_use]
    pub(crate) fn of(section: &Section, entry: &Entry) -> Self {
        let (key, template) = match &entry.source {
            VariableSource::Key(name) => (Some(name.to_string()), None),
            VariableSource::Template(template) => (None, Some(template.text().to_owned())),
            VariableSource::Text(_) => (None, None),
        };
        Self {
            profile: section.as_ref().map(ToString::to_string),
            variable: entry.variable.to_string(),
            key,
            template,
            value: entry.setting().map(str::to_owned),
            default: entry.when_missing.default.clone(),
        }
    }
}

/// The proof that everything that is asked for was approved. Only this module makes one, and what a file wants is handed
/// out against it alone.
#[derive(Debug)]
pub(crate) struct Approved(Defaults);

/// Which texts may stand in for keys.
#[derive(Debug)]
enum Defaults {
    All,
    Of(BTreeSet<Ask>),
}

impl Approved {
    /// For a machine's credential, whose grants decide by cryptography what it reads: nobody is there to be asked, and the
    /// file can name nothing that the credential does not open. A default or a setting is the file's own text and comes
    /// from no grant, so it is used only where it was approved.
    #[must_use]
    pub(crate) fn by_grants(approved: BTreeSet<Ask>) -> Self {
        Self(Defaults::Of(approved))
    }

    /// [`Self::by_grants`] for a caller that also takes the file's defaults as they are.
    #[must_use]
    pub(crate) fn by_grants_with_defaults() -> Self {
        Self(Defaults::All)
    }

    /// The variables that the vault is to compose.
    #[must_use]
    pub(crate) fn composed(&self, entries: &[(Section, &Entry)]) -> Vec<ComposedVariable> {
        let composed = |(section, entry): &(Section, &Entry)| {
            let mut composed = entry.composed()?;
            composed.when_missing.unapproved = !self.takes_text_of(section, entry);
            Some(composed)
        };
        entries.iter().filter_map(composed).collect()
    }

    /// The plain settings with their texts, or the variables of those that nobody approved.
    pub(crate) fn settings<'e>(
        &self,
        entries: &[(Section, &'e Entry)],
    ) -> Result<Vec<(&'e EnvName, &'e str)>, Vec<&'e EnvName>> {
        let settings = || entries.iter().filter(|(_, entry)| entry.setting().is_some());
        let refused: Vec<_> = settings()
            .filter(|(section, entry)| !self.takes_text_of(section, entry))
            .map(|(_, entry)| &entry.variable)
            .collect();
        if !refused.is_empty() {
            return Err(refused);
        }
        Ok(settings().filter_map(|(_, entry)| Some((&entry.variable, entry.setting()?))).collect())
    }

    /// Returns `true` if a text of the file's own, a default or a setting, may be handed out.
    fn takes_text_of(&self, section: &Section, entry: &Entry) -> bool {
        match &self.0 {
            Defaults::All => true,
            Defaults::Of(approved) => approved.contains(&Ask::of(section, entry)),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    path: String,
    approved: BTreeSet<Ask>,
}

/// The folder with this user's approvals.
#[derive(Debug, Clone)]
pub(crate) struct Approvals {
    folder: PathBuf,
}

impl Approvals {
    /// Approvals in `folder`, which need not exist yet.
    #[must_use]
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The approvals for the file at this path; none, if the record cannot be read or is not ours.
    #[must_use]
    pub(crate) fn approved(&self, path: &Path) -> BTreeSet<Ask> {
        let read = untrusted::read_own(&self.file(path), MAX_FILE);
        let stored = read.ok().and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
        let holds = |stored: &Stored| stored.format == 1 && stored.path == shown(path);
        stored.filter(holds).map(|stored| stored.approved).unwrap_or_default()
    }

    /// The proof, or what was not approved yet.
    pub(crate) fn check(&self, path: &Path, asks: &BTreeSet<Ask>) -> Result<Approved, BTreeSet<Ask>> {
        let new = asks - &self.approved(path);
        let elsewhere = || worktrees::others(path).iter().any(|other| asks.is_subset(&self.approved(other)));
        if new.is_empty() || elsewhere() { Ok(Approved(Defaults::All)) } else { Err(new) }
    }

    /// Approves these as well. The turn is held over from the question, so that of several commands that come here at once
    /// one asks and the others find its answer.
    pub(crate) fn approve(&self, path: &Path, asks: &BTreeSet<Ask>, _turn: &Turn) -> io::Result<Approved> {
        let approved = &self.approved(path) | asks;
        self.write(path, approved)?;
        Ok(Approved(Defaults::All))
    }

    /// Takes back everything that was approved for this path, in all worktrees of its repository; how many it was at most.
    pub(crate) fn withdraw(&self, path: &Path, _turn: &Turn) -> io::Result<usize> {
        let mut most = 0;
        for path in worktrees::others(path).iter().map(PathBuf::as_path).chain([path]) {
            most = most.max(self.approved(path).len());
            match std::fs::remove_file(self.file(path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(most)
    }

    /// Waits for the turn to ask or to write. `goes_on` is asked if that takes long, as another may be asking: [`Held`] if
    /// it says no, or if the other one is not answered in time.
    pub(crate) fn turn(&self, goes_on: &dyn Fn(&Held) -> bool) -> io::Result<Turn> {
        private::create_folder(&self.folder)?;
        Ok(Turn(FileLock::exclusive_for_answer(&self.folder.join("lock"), goes_on)?))
    }

    fn write(&self, path: &Path, approved: BTreeSet<Ask>) -> io::Result<()> {
        let stored = Stored { format: 1, path: shown(path), approved };
        let mut text = serde_json::to_vec_pretty(&stored).map_err(io::Error::other)?;
        text.push(b'\n');
        let file = self.file(path);
        private::replace_private(&file, &text)?;
        // A forgotten approval is asked for again; a damaged file would have it asked for ever.
        private::sync(&file)
    }

    fn file(&self, path: &Path) -> PathBuf {
        let place = sha256(path.as_os_str().as_encoded_bytes());
        self.folder.join(format!("{}.json", HEXLOWER.encode(place.get(..16).unwrap_or_default())))
    }
}

/// The turn to ask or to write, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(#[allow(dead_code, reason = "held, not read")] FileLock);

/// A path as the file of approvals repeats it. Two paths that look the same here have different files.
fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::ProjectFile;
    use super::*;

    fn asks(text: &str) -> BTreeSet<Ask> {
        let file = ProjectFile::parse(text.as_bytes()).unwrap();
        file.all().map(|(section, entry)| Ask::of(section, entry)).collect()
    }

    #[test]
    fn case_61_only_what_was_approved_at_this_path_is() {
        let folder = tempfile::tempdir().unwrap();
        let approvals = Approvals::in_folder(folder.path().join("projects"));
        let (path, copy) = (Path::new("/a/.keyvault.toml"), Path::new("/b/.keyvault.toml"));
        let first = "[keys]\nA = 'a'\nB = { template = 'x{b}' }\n[profiles.prod.keys]\nA = 'p'\n";
        assert_eq!(approvals.check(path, &asks(first)).unwrap_err(), asks(first));
        approvals.approve(path, &asks(first), &approvals.turn(&|_| false).unwrap()).unwrap();
        let holds = |text: &str| approvals.check(path, &asks(text)).is_ok();
        for same in [
            first,
            "# words\n[profiles.prod.keys]\nA = { key = 'p', description = 'x' }\n[keys]\nA = { key = 'a', optional = true }",
            "",
        ] {
            assert!(holds(same), "{same}");
        }
        for other in [
            "[keys]\nC = 'a'",
            "[keys]\nA = 'b'",
            "[keys]\nA = 'p'",
            "[keys]\nA = { template = '{a}' }",
            "[keys]\nA = { key = 'a', default = '' }",
            "[keys]\nB = { template = 'y{b}' }",
            "[keys]\nC = { value = '1' }",
            "[keys]\nA = { value = 'a' }",
            "[keys]\nB = { template = 'x{b|url}' }",
            "[profiles.prod.keys]\nA = 'a'",
            "[profiles.other.keys]\nA = 'p'",
        ] {
            assert!(!holds(other), "{other}");
        }
        assert!(approvals.check(copy, &asks(first)).is_err());
        assert_eq!(approvals.withdraw(path, &approvals.turn(&|_| false).unwrap()).unwrap(), 3);
        assert!(!holds(first));
    }

    #[test]
    fn approvals_that_are_damaged_or_of_another_path_approve_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let approvals = Approvals::in_folder(folder.path().to_owned());
        let (path, other) = (Path::new("/a"), Path::new("/b"));
        let wanted = asks("[keys]\nA = 'a'");
        approvals.approve(path, &wanted, &approvals.turn(&|_| false).unwrap()).unwrap();
        let good = std::fs::read(approvals.file(path)).unwrap();
        private::replace_private(&approvals.file(other), &good).unwrap();
        assert!(approvals.check(other, &wanted).is_err());
        for end in 0..good.len() - 2 {
            private::replace_private(&approvals.file(path), good.get(..end).unwrap()).unwrap();
            assert!(approvals.check(path, &wanted).is_err(), "{end}");
        }
    }
}
