//! The command that holds the vault for longer than a second, so that those that wait can name it.
//!
//! One small file per vault in the state folder, locked by its writer for as long as its content is true: the kernel
//! takes the lock away from a process that died, and a file that is not locked is not believed.

use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use keyvault_core::identity::Identity;
use keyvault_os::fs::lock::FileLock;
use keyvault_os::fs::private;

/// A command that holds the vault's lock for a shorter time is not reported.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// The longest announcement that is read, in bytes.
const MAX_LEN: u64 = 4096;

/// A command that holds the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its verb, such as `import`.
    pub command: String,
    pub pid: u32,
}

/// Where this user's commands announce that they hold a vault, and how this one would.
#[derive(Debug, Clone)]
pub struct Holders {
    folder: PathBuf,
    own: Holder,
}

/// Announces after a second; takes the announcement away when dropped.
pub(crate) struct Held {
    end: Option<mpsc::Sender<()>>,
    announcer: Option<JoinHandle<()>>,
}

impl Holders {
    /// Announcements in `folder`, which need not exist yet.
    #[must_use]
    pub fn in_folder(folder: PathBuf, own: Holder) -> Self {
        Self { folder, own }
    }

    /// The command that holds the vault, by its own word and if it still does.
    #[must_use]
    pub fn current(&self, identity: &Identity) -> Option<Holder> {
        let mut file = FileLock::held_by_another(&self.path(identity)).ok().flatten()?;
        let mut text = String::new();
        Read::by_ref(&mut file).take(MAX_LEN).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// To be called once the lock is held.
    pub(crate) fn hold(&self, identity: &Identity) -> Held {
        let (end, ended) = mpsc::channel();
        let path = self.path(identity);
        let own = self.own.clone();
        let announcer = std::thread::Builder::new().spawn(move || {
            if ended.recv_timeout(WORTH_A_WORD) == Err(RecvTimeoutError::Timeout) {
                // A failure harms no one: others wait all the same, without knowing for whom.
                let announced = announce(&path, &own);
                let _ = ended.recv();
                drop(announced);
            }
        });
        Held { end: Some(end), announcer: announcer.ok() }
    }

    fn path(&self, identity: &Identity) -> PathBuf {
        self.folder.join(format!("holder-{}", identity.vault_hex()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(announcer) = self.announcer.take() {
            let _ = announcer.join();
        }
    }
}

fn announce(path: &Path, own: &Holder) -> io::Result<Option<FileLock>> {
    if let Some(folder) = path.parent() {
        private::create_folder(folder)?;
    }
    let Some(mut lock) = FileLock::try_exclusive(path)? else { return Ok(None) };
    let file = lock.file();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&serde_json::to_vec(own)?)?;
    Ok(Some(lock))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_announcement_is_believed_while_its_writer_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let own = Holder { command: "import".to_owned(), pid: 7 };
        let holders = Holders::in_folder(folder.path().join("state"), own.clone());
        let identity = Identity { vault_id: [1; 16], epoch: 1 };
        assert_eq!(holders.current(&identity), None);
        let announced = announce(&holders.path(&identity), &own).unwrap().unwrap();
        assert_eq!(holders.current(&identity), Some(own));
        drop(announced);
        assert_eq!(holders.current(&identity), None);
    }

    #[test]
    fn what_is_short_announces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let holders =
            Holders::in_folder(folder.path().to_owned(), Holder { command: "add".to_owned(), pid: 7 });
        drop(holders.hold(&Identity { vault_id: [1; 16], epoch: 1 }));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
