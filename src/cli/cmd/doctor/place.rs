//! The vault's files, and the folder that they lie in.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;

use crate::cli::context::variable;
use crate::cli::ui::quoted;
use crate::sys::{conflicts, private, synced};

use super::Report;

/// Modes and owner of what is there: vault, side files, state, and the files that variables name.
pub(super) fn files(vault: &Path, state: &Path) -> Vec<Report> {
    const CHECK: &str = "files";
    let mut found = Vec::new();
    let us = rustix::process::geteuid().as_raw();
    let side = |suffix: &str| {
        let mut name = vault.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    for path in [vault.to_owned(), side("-wal"), side("-shm")] {
        let Ok(facts) = std::fs::symlink_metadata(&path) else { continue };
        if facts.uid() != us {
            found.push(Report::finding(
                CHECK,
                format!("{} belongs to user {} and not to you ({us})", path.display(), facts.uid()),
                format!("chown {us} {}", quoted(&path)),
            ));
        }
        if facts.is_file() && facts.mode() & 0o077 != 0 {
            found.push(mode(&path, facts.mode(), "600"));
        }
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
        // What is no file may block when it is opened.
        match std::fs::metadata(&path) {
            Ok(facts) if facts.is_file() => {
                if let Ok((_, Some(_))) = private::open_secret_file(&path) {
                    found.push(mode(&path, facts.mode(), "600"));
                }
            }
            Ok(_) => {}
            Err(_) => found.push(Report::finding(
                CHECK,
                format!("there is no {}, which {name} names", path.display()),
                format!("Put the file there, or take {name} away."),
            )),
        }
    }
    let access = Access::READ_OK | Access::WRITE_OK;
    match rustix::fs::access(vault, access) {
        Err(Errno::ROFS) => found.push(Report::finding(
            CHECK,
            format!("{} is on a file system that is mounted read-only: nothing is recorded, so no value is released", vault.display()),
            "Mount it so that it can be written, or name another vault: --vault FILE.",
        )),
        Err(Errno::ACCESS) => found.push(Report::finding(
            CHECK,
            format!("{} may not be read and written by you", vault.display()),
            format!("Look at its owner and mode: ls -l {}", quoted(vault)),
        )),
        _ => {}
    }
    if found.is_empty() && std::fs::symlink_metadata(vault).is_ok() {
        found.push(Report::ok(CHECK, "nobody else can read or write what belongs to the vault"));
    }
    found
}

fn mode(path: &Path, mode: u32, wanted: &str) -> Report {
    Report::finding(
        "files",
        format!("{} can be read or written by others (mode {:03o})", path.display(), mode & 0o777),
        format!("chmod {wanted} {}", quoted(path)),
    )
}

/// Sync services, and what they left.
pub(super) fn folder(vault: &Path) -> Vec<Report> {
    let synced = match synced::service(vault) {
        None => Report::ok("synced folder", "no sync service is recognised"),
        Some((service, folder)) => Report::finding(
            "synced folder",
            format!(
                "{service} looks after {}: it copies a vault in mid-change, and puts older ones back",
                folder.display()
            ),
            format!(
                "Move the vault out, and sync what 'keyvault vault backup' writes. Now at {}",
                quoted(vault)
            ),
        ),
    };
    let copies = conflicts::beside(vault);
    let copies = if copies.is_empty() {
        vec![Report::ok("conflicts", "no conflict copies beside the vault")]
    } else {
        let finding = |copy: &PathBuf| {
            Report::finding(
                "conflicts",
                format!("{} looks like another version of the vault", copy.display()),
                format!(
                    "keyvault list --vault {} shows it; take over what is missing here, and delete it.",
                    quoted(copy)
                ),
            )
        };
        copies.iter().map(finding).collect()
    };
    std::iter::once(synced).chain(copies).collect()
}
