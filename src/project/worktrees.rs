//! The other worktrees of a repository of git's, where the same file lies.
//!
//! A worktree is believed only if both sides say so: its `.git` names its entry in the repository, and that entry names the
//! worktree. A folder that came from elsewhere can name any repository as its own, and a repository any folder as its worktree,
//! but not both. Nothing is asked of git, whose configuration could run something.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use keyvault_os::fs::untrusted;

/// The longest of git's files here, in bytes: a path.
const MAX_FILE: usize = 8192;

/// Worktrees that are looked at.
const MOST: usize = 256;

/// A worktree and the repository that it belongs to.
struct Worktree {
    root: PathBuf,
    common: PathBuf,
}

/// The paths of the file at `path` in the repository's other worktrees, whether there is one or not.
#[must_use]
pub(crate) fn others(path: &Path) -> Vec<PathBuf> {
    let root = path.ancestors().skip(1).find(|folder| fs::symlink_metadata(folder.join(".git")).is_ok());
    let Some(own) = root.and_then(worktree_at) else { return Vec::new() };
    let Ok(place) = path.strip_prefix(&own.root) else { return Vec::new() };
    let entries = fs::read_dir(own.common.join("worktrees")).into_iter().flatten().flatten();
    let linked = entries.take(MOST).filter_map(|entry| {
        let git = named(&entry.path().join("gitdir"), None)?;
        worktree_at(git.parent()?)
    });
    let main = own.common.parent().and_then(worktree_at);
    let same = linked.chain(main).filter(|other| other.common == own.common && other.root != own.root);
    same.map(|other| other.root.join(place)).collect()
}

/// The worktree whose top is this folder, if both sides say so.
fn worktree_at(root: &Path) -> Option<Worktree> {
    let git = root.join(".git");
    let root = root.canonicalize().ok()?;
    if fs::symlink_metadata(&git).ok()?.is_dir() {
        return Some(Worktree { common: git.canonicalize().ok()?, root });
    }
    let entry = named(&git, Some("gitdir: "))?;
    let common = named(&entry.join("commondir"), None)?;
    let back = named(&entry.join("gitdir"), None)?;
    let holds = entry.parent() == Some(&common.join("worktrees")) && back == root.join(".git");
    holds.then_some(Worktree { root, common })
}

/// The path that one of git's files has as its only line, relative to the file's folder, without links. It has to be ours.
fn named(file: &Path, before: Option<&str>) -> Option<PathBuf> {
    let bytes = untrusted::read_own(file, MAX_FILE).ok()?;
    let line = bytes.strip_prefix(before.unwrap_or_default().as_bytes())?.trim_ascii_end();
    let path = Path::new(std::ffi::OsStr::from_bytes(line));
    file.parent()?.join(path).canonicalize().ok()
}
