//! Files that git keeps, read from its index.
//!
//! Not asked of git itself: the repository may be a hostile one, and its configuration can make git run programs
//! (`core.fsmonitor`). The index is read as gitformat-index(5) has it, versions 2 to 4, with hashes of 20 or 32 bytes,
//! split and sparse ones too. What is not understood counts as kept.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use keyvault_os::fs::untrusted;

/// Longer than the index of the largest repositories, in bytes.
const MAX_INDEX: usize = 512 << 20;

/// A file that names the folder with the index, as a worktree's or a submodule's does.
const MAX_POINTER: usize = 4096;

/// The modes of what an index lists: folder (in a sparse one), file, program, link, submodule.
const MODES: [u32; 5] = [0o040_000, 0o100_644, 0o100_755, 0o120_000, 0o160_000];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracked {
    /// No repository, or one that does not list it.
    No,
    Yes,
    /// There is an index that is not understood.
    Unknown,
}

/// Returns `true` if the repository around `folder`, a path without links, keeps a file of that name in it.
#[must_use]
pub(crate) fn tracked(folder: &Path, name: &std::ffi::OsStr) -> Tracked {
    let root = folder.ancestors().find(|part| std::fs::symlink_metadata(part.join(".git")).is_ok());
    let Some(root) = root else { return Tracked::No };
    let file = folder.join(name);
    let Some(git) = git_folder(root) else { return Tracked::Unknown };
    let Ok(path) = file.strip_prefix(root) else { return Tracked::Unknown };
    match index_lists(&git, "index", path.as_os_str().as_bytes()) {
        Ok(true) => Tracked::Yes,
        Ok(false) => Tracked::No,
        Err(Unreadable) => Tracked::Unknown,
    }
}

fn git_folder(root: &Path) -> Option<PathBuf> {
    let git = root.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let pointer = untrusted::read_regular(&git, MAX_POINTER).ok()?;
    let target = pointer.strip_prefix(b"gitdir: ")?.trim_ascii_end();
    Some(root.join(std::ffi::OsStr::from_bytes(target)))
}

struct Unreadable;

fn index_lists(git: &Path, name: &str, path: &[u8]) -> Result<bool, Unreadable> {
    let bytes = match untrusted::read_regular(&git.join(name), MAX_INDEX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && name == "index" => return Ok(false),
        Err(_) => return Err(Unreadable),
    };
    match look(&bytes, path).ok_or(Unreadable)? {
        Look { listed: true, .. } => Ok(true),
        // The base of a base there is not, and a hostile one could be its own.
        Look { base: Some(base), .. } if name == "index" => {
            index_lists(git, &format!("sharedindex.{base}"), path)
        }
        Look { base: Some(_), .. } => Err(Unreadable),
        Look { .. } => Ok(false),
    }
}

/// The lengths of git's hashes, SHA-1 and SHA-256. Which one it is stands in the repository's configuration.
pub(crate) const HASHES: [usize; 2] = [20, 32];

/// Returns `true` if an index with hashes of this length lists this path; `None` if the bytes are none, or one that is
/// based on another.
#[must_use]
pub(crate) fn lists(index: &[u8], path: &[u8], hash: usize) -> Option<bool> {
    Index { bytes: index, hash }.look_for(path).filter(|look| look.base.is_none()).map(|look| look.listed)
}

/// With the wrong length nothing fits together, but for an index that somebody made: what can be read in two ways is not.
fn look(index: &[u8], path: &[u8]) -> Option<Look> {
    let mut looks = HASHES.into_iter().filter_map(|hash| Index { bytes: index, hash }.look_for(path));
    looks.next().filter(|_| looks.next().is_none())
}

struct Look {
    listed: bool,
    /// The index that this one is based on.
    base: Option<String>,
}

struct Index<'i> {
    bytes: &'i [u8],
    hash: usize,
}

impl Index<'_> {
    /// `None` if it is not an index with hashes of this length.
    fn look_for(&self, wanted: &[u8]) -> Option<Look> {
        let header = self.bytes.get(..12)?.strip_prefix(b"DIRC")?;
        let (version, count) = (number(header)?, number(header.get(4..)?)?);
        if !(2..=4).contains(&version) {
            return None;
        }
        let (mut at, mut listed) = (12, false);
        let mut path: Vec<u8> = Vec::new();
        for _ in 0..count {
            let end = self.entry(at, version, &mut path)?;
            let mode = number(self.bytes.get(at + 24..)?)?;
            if !MODES.contains(&mode) {
                return None;
            }
            let within = mode == 0o040_000 && wanted.starts_with(&path);
            listed |= same(&path, wanted) || within;
            at = end;
        }
        let mut base = None;
        self.extensions(at, &mut base)?;
        Some(Look { listed, base })
    }

    /// Reads the entry at a place: its path, and where the next one begins.
    fn entry(&self, start: usize, version: u32, path: &mut Vec<u8>) -> Option<usize> {
        let flags_at = start + 40 + self.hash;
        let flags = self.bytes.get(flags_at..flags_at + 2)?;
        let flags = u16::from_be_bytes(flags.try_into().ok()?);
        let extended = flags & 0x4000 != 0;
        if extended && version == 2 {
            return None;
        }
        let mut at = flags_at + if extended { 4 } else { 2 };
        let kept = if version == 4 {
            let (drop, behind) = self.varint(at)?;
            at = behind;
            path.len().checked_sub(drop)?
        } else {
            0
        };
        path.truncate(kept);
        let rest = self.bytes.get(at..)?;
        let len = rest.iter().position(|byte| *byte == 0)?;
        path.extend_from_slice(rest.get(..len)?);
        at += len + 1;
        let told = usize::from(flags & 0xFFF);
        if told != path.len().min(0xFFF) {
            return None;
        }
        // One to eight NULs, up to a multiple of eight bytes.
        Some(if version == 4 { at } else { start + (at - 1 - start) / 8 * 8 + 8 })
    }

    /// The number of git's variable length that stands at a place, and where it ends.
    fn varint(&self, mut at: usize) -> Option<(usize, usize)> {
        let mut value = 0_usize;
        loop {
            let byte = *self.bytes.get(at)?;
            at += 1;
            value = value.checked_mul(128)?.checked_add(usize::from(byte & 127))?;
            if byte & 128 == 0 {
                return Some((value, at));
            }
            value = value.checked_add(1)?;
        }
    }

    /// Reads the extensions up to the checksum, among them the base of a split index, if one is named.
    fn extensions(&self, mut at: usize, base: &mut Option<String>) -> Option<()> {
        let end = self.bytes.len().checked_sub(self.hash)?;
        while at < end {
            let (name, len) = (self.bytes.get(at..at + 4)?, number(self.bytes.get(at + 4..)?)?);
            let content = self.bytes.get(at + 8..at + 8 + usize::try_from(len).ok()?)?;
            if name == b"link" {
                let hash = content.get(..self.hash)?;
                *base = hash.iter().any(|byte| *byte != 0).then(|| data_encoding::HEXLOWER.encode(hash));
            }
            at += 8 + content.len();
        }
        (at == end).then_some(())
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// macOS's file systems take names in any case for the same.
fn same(listed: &[u8], wanted: &[u8]) -> bool {
    if cfg!(target_os = "macos") { listed.eq_ignore_ascii_case(wanted) } else { listed == wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty index for SHA-1, whose checksum is for SHA-256 an extension and the beginning of a checksum.
    #[test]
    fn fuzz_git_index_what_can_be_read_with_hashes_of_either_length_is_not_read() {
        let mut index = b"DIRC\0\0\0\x02\0\0\0\0".to_vec();
        index.extend_from_slice(b"TREE\0\0\0\x04");
        index.extend_from_slice(&[0; 4]);
        index.extend_from_slice(&[0; 32]);
        for (hash, whole) in [(32, true), (20, false)] {
            assert_eq!(lists(&index, b"kept", hash).is_some(), whole);
        }
        assert!(look(&index, b"kept").is_some());
        // The last twelve bytes of the longer checksum as an extension of the shorter one.
        let at = index.len() - 32;
        index.get_mut(at..at + 8).into_iter().for_each(|bytes| bytes.copy_from_slice(b"TREE\0\0\0\x04"));
        assert!(HASHES.iter().all(|hash| lists(&index, b"kept", *hash).is_some()));
        assert!(look(&index, b"kept").is_none());
    }
}
