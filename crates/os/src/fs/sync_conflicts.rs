//! Copies that a sync service left beside a file, by the names that the services give them.

use std::path::{Path, PathBuf};

/// Files beside `path` that look like other versions of it: `vault (conflicted copy …).db` (Dropbox, Nextcloud),
/// `vault.sync-conflict-….db` (Syncthing), `vault (1).db` (Google Drive), `vault 2.db` (iCloud), ordered by name. What cannot be
/// listed has none.
#[must_use]
pub fn beside(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) else {
        return Vec::new();
    };
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut copies: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|other| other != path && other.extension() == path.extension())
        .filter(|other| {
            let middle = other.file_stem().and_then(|name| name.to_str()?.strip_prefix(stem));
            middle.is_some_and(is_a_mark_of_conflict)
        })
        .collect();
    copies.sort();
    copies
}

fn is_a_mark_of_conflict(middle: &str) -> bool {
    let number = middle.trim_start_matches(' ').trim_matches(['(', ')']);
    let numbered =
        middle.starts_with(' ') && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    numbered || middle.to_lowercase().contains("conflict")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_names_are_known_and_others_are_not() {
        for mark in [
            " (conflicted copy 2026-11-21 101112)",
            " (Ada's conflicted copy 2026-11-21)",
            ".sync-conflict-20261121-101112-ABCDEFG",
            "_conf(1)_Conflict",
            " (1)",
            " 2",
        ] {
            assert!(is_a_mark_of_conflict(mark), "{mark}");
        }
        for other in ["", "-work", " of the team", "2", " ()"] {
            assert!(!is_a_mark_of_conflict(other), "{other}");
        }
    }
}
