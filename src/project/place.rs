//! Where the file lies, and whether it is believed to be this user's.
//!
//! The nearest `.keyvault.toml` counts, from the working directory upward. The search ends at a repository's root, at a
//! home folder, and where another file system begins: what lies above belongs to somebody else, as a file in `/tmp` or
//! above a checkout would. A file that is found is the end of it, whether it may be used or not; passing over one that
//! may not would let another take its place unseen.

use std::fs;
use std::path::{Component, Path, PathBuf};

use keyvault_os::fs::untrusted::{self, Unfit, Writers};

use super::error::PlaceError;
use super::file::MAX_FILE;

pub(crate) const FILE_NAME: &str = ".keyvault.toml";

/// Looks for the file from `folder` upward, which must be an absolute path without links, as the kernel gives the working
/// directory. A path that is given back may still lead to something that is no file.
#[must_use]
pub(crate) fn find(folder: &Path, home: Option<&Path>) -> Option<PathBuf> {
    all(folder, home).into_iter().next()
}

/// All files where [`find`] looks, the nearest first.
#[must_use]
pub(crate) fn all(folder: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let home = home.and_then(|home| home.canonicalize().ok());
    let mut files = Vec::new();
    for part in folder.ancestors() {
        let file = part.join(FILE_NAME);
        if fs::symlink_metadata(&file).is_ok() {
            files.push(file);
        }
        if ends_at(part, home.as_deref())
            || part.parent().is_none_or(|above| !untrusted::same_file_system(part, above))
        {
            break;
        }
    }
    files
}

/// The file's bytes, if nobody else than these could have written them.
pub(crate) fn read(path: &Path, writers: Writers) -> Result<Vec<u8>, PlaceError> {
    untrusted::read_written_by(writers, path, MAX_FILE).map_err(|unfit| fault(path, unfit))
}

/// How many files may extend one another.
pub(crate) const DEEPEST: usize = 8;

/// The file that the one at `path` extends by this relative path. It has to lie where the search from `path` would look, or
/// below: within the repository, the home folder, or the file system. The way to it leads over no link.
pub(crate) fn extended(path: &Path, relative: &str, home: Option<&Path>) -> Result<PathBuf, PlaceError> {
    let folder = path.parent().unwrap_or(path);
    let home = home.and_then(|home| home.canonicalize().ok());
    let outside = || PlaceError::Outside { path: path.to_owned(), extends: relative.to_owned() };
    let mut target = folder.to_owned();
    for component in Path::new(relative).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if target.pop() => {}
            Component::Normal(name) => target.push(name),
            _ => return Err(outside()),
        }
    }
    let mut boundary = folder;
    while !ends_at(boundary, home.as_deref())
        && let Some(above) = boundary.parent().filter(|above| untrusted::same_file_system(boundary, above))
    {
        boundary = above;
    }
    let base = target.parent().ok_or_else(outside)?;
    let straight = base.canonicalize().is_ok_and(|real| real == base) || fs::symlink_metadata(base).is_err();
    if target.starts_with(boundary) && straight && target != path { Ok(target) } else { Err(outside()) }
}

/// Returns `true` where the search goes no further up.
fn ends_at(folder: &Path, home: Option<&Path>) -> bool {
    fs::symlink_metadata(folder.join(".git")).is_ok() || home == Some(folder)
}

pub(super) fn fault(path: &Path, unfit: Unfit) -> PlaceError {
    let own = path.to_owned();
    match unfit {
        Unfit::NotRegular => PlaceError::NotRegular { path: own },
        Unfit::WrongOwner { path, uid } => PlaceError::WrongOwner { path, uid },
        Unfit::WritableByOthers { path, mode } => PlaceError::WritableByOthers { path, mode },
        Unfit::TooLong => PlaceError::TooLong { path: own },
        Unfit::Io(source) => PlaceError::Io { path: own, source },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_search_ends_at_a_repository_at_a_home_and_at_the_nearest_file() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let deep = top.join("home/repo/src");
        fs::create_dir_all(&deep).unwrap();
        let above = top.join(FILE_NAME);
        fs::write(&above, "").unwrap();
        assert_eq!(find(&deep, None).as_ref(), Some(&above));
        assert_eq!(find(&deep, Some(&top.join("home"))), None);
        // A worktree's `.git` is a file; a home may be named through a link.
        fs::write(top.join("home/repo/.git"), "gitdir: elsewhere").unwrap();
        assert_eq!(find(&deep, None), None);
        std::os::unix::fs::symlink(top.join("home/repo"), top.join("link")).unwrap();
        fs::remove_file(top.join("home/repo/.git")).unwrap();
        assert_eq!(find(&deep, Some(&top.join("link"))), None);
        let own = top.join("home/repo").join(FILE_NAME);
        fs::create_dir(&own).unwrap();
        assert_eq!(find(&deep, Some(&top.join("home"))), Some(own));
    }
}
