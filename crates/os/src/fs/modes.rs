//! File systems on which chmod(2) changes nothing: those that keep no modes, and give every file the one that they were
//! mounted with.

use std::path::Path;

/// Says if a file's mode can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modes {
    Kept,
    /// The file system has none.
    Fixed(&'static str),
    /// A Windows drive under WSL, which keeps modes only if it is mounted with its metadata.
    WindowsDrive,
    /// It depends on what serves the file system, and how it is mounted.
    Uncertain(&'static str),
}

impl Modes {
    /// Of the file system that holds `path`. Where it cannot be asked, modes count as kept.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        #[cfg(target_os = "linux")]
        if let Ok(found) = rustix::fs::statfs(path) {
            // The type of the field differs between architectures; a magic number has 32 bits.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::unnecessary_cast)]
            return Self::of(found.f_type as u32, is_wsl());
        }
        let _ = path;
        Self::Kept
    }

    /// By the magic number of a file system (statfs(2), linux/magic.h).
    #[must_use]
    pub fn of(magic: u32, wsl: bool) -> Self {
        match magic {
            0x4d44 => Self::Fixed("FAT"),
            0x2011_bab0 => Self::Fixed("exFAT"),
            0x7366_746e | 0x5346_544e => Self::Uncertain("NTFS"),
            0xff53_4d42 | 0xfe53_4d42 | 0x517b => Self::Uncertain("SMB"),
            0x786f_4256 => Self::Fixed("a VirtualBox folder"),
            0x6573_5546 => Self::Uncertain("FUSE"),
            // WSL 2 serves Windows drives by 9P, WSL 1 by a file system of its own.
            0x0102_1997 | 0x5346_4846 if wsl => Self::WindowsDrive,
            0x0102_1997 => Self::Uncertain("9P"),
            _ => Self::Kept,
        }
    }
}

/// True under the Windows Subsystem for Linux, whose kernels say so in their release.
#[cfg(target_os = "linux")]
fn is_wsl() -> bool {
    let release = rustix::system::uname();
    release.release().to_string_lossy().to_ascii_lowercase().contains("microsoft")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_without_modes_are_known_by_their_numbers() {
        for (magic, wsl, expected) in [
            (0x4d44, false, Modes::Fixed("FAT")),
            (0x2011_bab0, true, Modes::Fixed("exFAT")),
            (0x0102_1997, true, Modes::WindowsDrive),
            (0x0102_1997, false, Modes::Uncertain("9P")),
            (0x6573_5546, false, Modes::Uncertain("FUSE")),
            // ext4, tmpfs, btrfs.
            (0xef53, true, Modes::Kept),
            (0x0102_1994, false, Modes::Kept),
            (0x9123_683e, false, Modes::Kept),
        ] {
            assert_eq!(Modes::of(magic, wsl), expected, "{magic:x}");
        }
        assert_eq!(Modes::at(Path::new("/proc")), Modes::Kept);
    }
}
