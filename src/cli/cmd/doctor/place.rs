//! The vault's files, and the folder that they lie in.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;

use crate::cli::context::variable;
use crate::cli::errors::vault_file::{self, compare};
use crate::cli::output::quoted;
use keyvault_os::fs::modes::Modes;
use keyvault_os::fs::{private, sync_conflicts, sync_service};
use keyvault_os::process::actor::User;

use super::Report;

/// Modes and owner of what is there: vault, side files, state, and the files that variables name.
pub(super) fn files(vault: &Path, state: &Path) -> Vec<Report> {
    const CHECK: &str = "files";
    let mut found = Vec::new();
    let us = User::effective();
    let side = |suffix: &str| {
        let mut name = vault.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    for path in [vault.to_owned(), side("-wal"), side("-shm")] {
        let Ok(facts) = std::fs::symlink_metadata(&path) else { continue };
        if facts.uid() != us.uid {
            let owner = User::of(facts.uid());
            found.push(Report::finding(
                CHECK,
                format!("{} belongs to {owner} and not to you ({})", path.display(), us.word()),
                vault_file::wrong_owner(&path, &owner, &us),
            ));
        }
        if facts.is_file() && facts.mode() & 0o077 != 0 {
            found.push(mode(&path, facts.mode(), "600"));
        }
    }
    if let Some((path, uid)) = foreign_in(state, us.uid) {
        found.push(Report::finding(
            CHECK,
            format!("{} belongs to {} and not to you ({})", path.display(), User::of(uid), us.word()),
            format!("sudo chown -R {} {}", us.word(), quoted(state)),
        ));
    }
    for path in [state.to_owned(), state.join("pins")] {
        if let Ok(facts) = std::fs::symlink_metadata(&path)
            && facts.mode() & 0o022 != 0
        {
            found.push(mode(&path, facts.mode(), "700"));
        }
    }
    for name in ["KEYVAULT_KEY_FILE", "KEYVAULT_PASSPHRASE_FILE"] {
        let Some(path) = variable(name).map(PathBuf::from).filter(|path| path != Path::new("-")) else {
            continue;
        };
        // Opening a pipe or a device may block.
        match std::fs::metadata(&path) {
            Ok(facts) if facts.is_file() => {
                if let Ok((_, Some(_))) = private::open_secret_file(&path) {
                    found.push(mode(&path, facts.mode(), "600"));
                }
            }
            Ok(_) => {}
            Err(_) => found.push(Report::finding(
                CHECK,
                format!("{} does not exist, but {name} names it", path.display()),
                format!("Create the file, or unset {name}."),
            )),
        }
    }
    let access = Access::READ_OK | Access::WRITE_OK;
    match rustix::fs::access(vault, access) {
        Err(Errno::ROFS) => found.push(Report::finding(
            CHECK,
            format!(
                "{} is on a read-only file system: nothing can be recorded, so no values are released",
                vault.display()
            ),
            "Remount it read-write, or name another vault: --vault FILE",
        )),
        Err(Errno::ACCESS) => found.push(Report::finding(
            CHECK,
            format!("you cannot both read and write {}", vault.display()),
            format!("Check its owner and mode: ls -l {}", quoted(vault)),
        )),
        _ => {}
    }
    if found.is_empty() && std::fs::symlink_metadata(vault).is_ok() {
        found.push(Report::ok(CHECK, "no one else can read or write the vault's files"));
    }
    found
}

/// The first in the state folder that is another's, as a command that once ran as root has left it.
fn foreign_in(folder: &Path, us: u32) -> Option<(PathBuf, u32)> {
    let facts = std::fs::symlink_metadata(folder).ok()?;
    if facts.uid() != us {
        return Some((folder.to_owned(), facts.uid()));
    }
    // Of a file that was read, nothing is below it.
    let below = std::fs::read_dir(folder).into_iter().flatten().flatten();
    below.into_iter().find_map(|entry| foreign_in(&entry.path(), us))
}

fn mode(path: &Path, mode: u32, wanted: &str) -> Report {
    Report::finding(
        "files",
        format!("others can read or write {} (mode {:03o})", path.display(), mode & 0o777),
        vault_file::chmod(
            &format!("chmod {wanted} {}", quoted(path)),
            Modes::at(path),
            vault_file::MOVE_FILE,
        ),
    )
}

/// Sync services, and what they left.
pub(super) fn folder(vault: &Path) -> Vec<Report> {
    let synced = match sync_service::service(vault) {
        None => Report::ok("synced folder", "no sync service found"),
        Some((service, folder)) => Report::finding(
            "synced folder",
            format!(
                "{service} syncs {}: it can copy a vault during a change and put older copies back",
                folder.display()
            ),
            format!(
                "Move the vault elsewhere, and sync the files that `keyvault vault backup` writes. It is now at {}",
                quoted(vault)
            ),
        ),
    };
    let copies = sync_conflicts::beside(vault);
    let copies = if copies.is_empty() {
        vec![Report::ok("conflicts", "no conflict copies next to the vault")]
    } else {
        let finding = |copy: &PathBuf| {
            Report::finding(
                "conflicts",
                format!("{} looks like a conflict copy of the vault", copy.display()),
                format!(
                    "Compare: {}. Take over what is missing here with `keyvault vault restore FILE --only NAME`, then delete it.",
                    compare(copy)
                ),
            )
        };
        copies.iter().map(finding).collect()
    };
    std::iter::once(synced).chain(copies).collect()
}
