//! Operations on the files of a vault, in order, and the machine's pin meanwhile.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::ffi::{
    SQLITE_OPEN_CREATE, SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_SUPER_JOURNAL, SQLITE_OPEN_WAL,
};

/// The vault's file name in each story's folder; drafts of it begin with the same word.
pub const VAULT: &str = "vault.db";

/// The names that a power cut leaves. The log's index is memory, and gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// The vault itself.
    Vault,
    /// The write-ahead log beside it.
    Log,
}

impl Name {
    pub const ALL: [Self; 2] = [Self::Vault, Self::Log];

    pub fn file(self) -> &'static str {
        match self {
            Self::Vault => VAULT,
            Self::Log => "vault.db-wal",
        }
    }
}

/// A file, by its inode: a draft gets the vault's name later.
pub type FileId = u64;

/// One thing that a disk was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Wrote {
        file: FileId,
        at: usize,
        bytes: Vec<u8>,
    },
    Cut {
        file: FileId,
        length: usize,
    },
    Synced {
        file: FileId,
    },
    /// The name stands for another file now, or for none.
    Named {
        name: Name,
        file: Option<FileId>,
    },
    FolderSynced,
}

impl Op {
    /// The file that it is about.
    pub fn file(&self) -> Option<FileId> {
        match self {
            Self::Wrote { file, .. } | Self::Cut { file, .. } | Self::Synced { file } => Some(*file),
            Self::Named { file, .. } => *file,
            Self::FolderSynced => None,
        }
    }
}

/// The pin file as it stood at a moment: its name and content; none before the first change.
pub type PinFile = Option<(String, Vec<u8>)>;

/// A recording.
#[derive(Debug, Default)]
pub struct Tape {
    /// The files that were durable at its beginning.
    pub files: BTreeMap<FileId, Vec<u8>>,
    pub names: BTreeMap<Name, FileId>,
    pub ops: Vec<Op>,
    /// Each pin that was seen.
    pub pins: Vec<PinFile>,
    /// For each operation, which pin stood there when it came.
    pub pin_at: Vec<usize>,
    /// Files that are opened now are only looked at.
    paused: bool,
    /// The file of each name when it was looked at last.
    seen: BTreeMap<Name, FileId>,
}

static TAPES: Mutex<BTreeMap<PathBuf, Tape>> = Mutex::new(BTreeMap::new());

fn tapes() -> MutexGuard<'static, BTreeMap<PathBuf, Tape>> {
    TAPES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder in which a machine keeps the pins of the vault in this folder.
pub fn pins_of(folder: &Path) -> PathBuf {
    folder.join("pins")
}

/// Records what happens in a folder from here on; what is there is taken for durable.
pub fn begin(folder: &Path) {
    let mut tape = Tape::default();
    for name in Name::ALL {
        let path = folder.join(name.file());
        if let Some(file) = file_at(&path) {
            tape.files.insert(file, std::fs::read(&path).unwrap());
            tape.names.insert(name, file);
        }
    }
    tape.seen.clone_from(&tape.names);
    tapes().insert(folder.to_owned(), tape);
}

/// Ends a recording.
pub fn end(folder: &Path) -> Tape {
    tapes().remove(folder).unwrap()
}

/// How much has been recorded, with the pin that stands there now.
pub fn position(folder: &Path) -> (usize, usize) {
    with(folder, |tape| {
        tape.look(folder);
        (tape.ops.len(), tape.note_pin(folder))
    })
}

/// Says that the folder was synced by somebody else than SQLite.
pub fn folder_synced(folder: &Path) {
    with(folder, |tape| {
        tape.look(folder);
        tape.push(folder, Op::FolderSynced);
    });
}

/// Looks at the vault without recording: nothing that is opened meanwhile may write.
pub fn unrecorded<T>(folder: &Path, look: impl FnOnce() -> T) -> T {
    with(folder, |tape| tape.paused = true);
    let seen = look();
    with(folder, |tape| tape.paused = false);
    seen
}

fn with<T>(folder: &Path, act: impl FnOnce(&mut Tape) -> T) -> T {
    act(tapes().get_mut(folder).unwrap())
}

impl Tape {
    fn push(&mut self, folder: &Path, op: Op) {
        let pin = self.note_pin(folder);
        self.ops.push(op);
        self.pin_at.push(pin);
    }

    /// Notes what was moved or removed without SQLite.
    fn look(&mut self, folder: &Path) {
        for name in Name::ALL {
            let file = file_at(&folder.join(name.file()));
            if file != self.seen.get(&name).copied() {
                match file {
                    Some(file) => self.seen.insert(name, file),
                    None => self.seen.remove(&name),
                };
                self.push(folder, Op::Named { name, file });
            }
        }
    }

    fn note_pin(&mut self, folder: &Path) -> usize {
        let pin = read_pin(&pins_of(folder));
        if self.pins.last() != Some(&pin) {
            self.pins.push(pin);
        }
        self.pins.len() - 1
    }
}

fn read_pin(pins: &Path) -> PinFile {
    let entries = std::fs::read_dir(pins).ok()?;
    let path = entries
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|it| it == "json"))?;
    Some((path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()))
}

fn file_at(path: &Path) -> Option<FileId> {
    std::fs::symlink_metadata(path).ok().map(|facts| facts.ino())
}

/// Notes what happens to one open file.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    file: FileId,
    /// The system's VFS syncs the folder with the first sync of a journal or log that it may have made.
    syncs_folder: bool,
}

impl Watch {
    pub fn wrote(&mut self, at: usize, bytes: &[u8]) {
        self.note(|file| Op::Wrote { file, at, bytes: bytes.to_vec() });
    }

    pub fn cut(&mut self, length: usize) {
        self.note(|file| Op::Cut { file, length });
    }

    pub fn synced(&mut self) {
        self.note(|file| Op::Synced { file });
        if std::mem::take(&mut self.syncs_folder) {
            self.note(|_| Op::FolderSynced);
        }
    }

    fn note(&self, op: impl FnOnce(FileId) -> Op) {
        // A vault may be closed after the end of its recording.
        if let Some(tape) = tapes().get_mut(&self.folder) {
            tape.look(&self.folder);
            tape.push(&self.folder, op(self.file));
        }
    }
}

/// A file was opened; a watch for it if its folder is being recorded.
pub fn opened(path: &Path, flags: c_int) -> Option<Watch> {
    let folder = path.parent()?;
    let mut tapes = tapes();
    let tape = tapes.get_mut(folder).filter(|tape| !tape.paused)?;
    if !path.file_name()?.to_str()?.starts_with(VAULT) {
        return None;
    }
    tape.look(folder);
    let journal = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
    let syncs_folder = flags & SQLITE_OPEN_CREATE != 0 && flags & journal != 0;
    Some(Watch { folder: folder.to_owned(), file: file_at(path)?, syncs_folder })
}

/// A file was deleted, and its folder synced afterwards or not.
pub fn deleted(path: &Path, folder_synced: bool) {
    let Some(folder) = path.parent() else { return };
    if let Some(tape) = tapes().get_mut(folder) {
        tape.look(folder);
        if folder_synced {
            tape.push(folder, Op::FolderSynced);
        }
    }
}
