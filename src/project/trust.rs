//! Folders of other users whose project files are read, as git's `safe.directory` does for repositories.
//!
//! The owner of such a folder may write a request. The request has to be approved all the same.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use keyvault_os::fs::private;
use keyvault_os::fs::untrusted;

use super::approval::Turn;

/// The longest list that is read, in bytes.
const MAX_FILE: usize = 1 << 20;

/// A folder, with all below it, and the owner that it had when it was trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Folder {
    path: PathBuf,
    uid: u32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    folders: Vec<Folder>,
}

/// This user's list, beside the approvals.
#[derive(Debug, Clone)]
pub(crate) struct Trusted {
    file: PathBuf,
}

impl Trusted {
    /// The list in `folder`, which need not exist yet.
    #[must_use]
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { file: folder.join("trusted.json") }
    }

    /// The user who may have written the file at `path`; none, if the list cannot be read or is not ours.
    #[must_use]
    pub(crate) fn writer_of(&self, path: &Path) -> Option<u32> {
        let folders = self.folders();
        let deepest = folders.iter().filter(|folder| path.starts_with(&folder.path));
        deepest.max_by_key(|folder| folder.path.components().count()).map(|folder| folder.uid)
    }

    pub(crate) fn add(&self, path: &Path, uid: u32, _turn: &Turn) -> io::Result<()> {
        let mut folders = self.folders();
        folders.retain(|folder| folder.path != path);
        folders.push(Folder { path: path.to_owned(), uid });
        self.write(folders)
    }

    /// Takes a folder off the list; whether it was there.
    pub(crate) fn withdraw(&self, path: &Path, _turn: &Turn) -> io::Result<bool> {
        let mut folders = self.folders();
        let before = folders.len();
        folders.retain(|folder| folder.path != path);
        if folders.len() == before {
            return Ok(false);
        }
        self.write(folders).map(|()| true)
    }

    fn folders(&self) -> Vec<Folder> {
        let read = untrusted::read_own(&self.file, MAX_FILE).ok();
        let stored = read.and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
        stored.filter(|stored| stored.format == 1).map(|stored| stored.folders).unwrap_or_default()
    }

    fn write(&self, folders: Vec<Folder>) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(&Stored { format: 1, folders }).map_err(io::Error::other)?;
        text.push(b'\n');
        private::replace_private(&self.file, &text)?;
        private::sync(&self.file)
    }
}
