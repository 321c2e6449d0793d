//! Errors of a vault's file: its place, its owner, its rows, its standing.

use std::path::{Path, PathBuf};

use rustix::fs::Access;
use rustix::io::Errno;

use keyvault_os::fs::lock::{self, Held};
use keyvault_os::fs::modes::Modes;
use keyvault_os::fs::sync_conflicts;
use keyvault_os::fs::vault_file::FileFault;
use keyvault_os::process::actor::User;
use keyvault_vault::StoreError;
use keyvault_vault::state::pin::Standing;
use keyvault_vault::{Vault, VaultError};

use super::remedy::{Remedy, busy, damaged, failed, refused};
use super::{Failure, code};
use crate::cli::output;

/// The kind of [`foreign_home`].
pub(in crate::cli) const FOREIGN_HOME: &str = "foreign_home";

/// The remedy for damage. 'vault check', which would name itself, has [`beyond_check`].
const CHECK_NAMES: &str = "Run `keyvault vault check` to see the damaged rows, then `keyvault vault rekey` to keep the rest, or restore a backup.";

/// Where rows cannot even be named, or were.
pub(in crate::cli) const RESTORE: &str = "Run `keyvault vault rekey` to keep everything that is not damaged, or restore a backup with\n\
     `keyvault vault restore FILE`. docs/recovery.md has other options.";

/// The remedy where a new vault would replace one.
pub(super) fn exists() -> Remedy {
    refused("It was not changed. To create a vault elsewhere, use `--vault PATH`.")
}

pub(super) fn file(fault: &FileFault) -> Failure {
    let remedy = match fault {
        FileFault::NotFound { .. } => Remedy::new(
            code::NOT_FOUND,
            "no_vault",
            "Create one with `keyvault init`, or name another with `--vault` or KEYVAULT_VAULT.",
        ),
        FileFault::Exists { .. } => exists(),
        FileFault::Symlink { .. } => {
            damaged("Name the file itself with `--vault`. Symbolic links to folders are fine.")
        }
        FileFault::HardLink { .. } => damaged("Remove the other hard links, or copy the file."),
        FileFault::NotRegular { .. } => damaged("Name the vault's file with `--vault`."),
        FileFault::Empty { .. } => {
            damaged("Restore a backup, or remove the empty file and run `keyvault init`.")
        }
        FileFault::WrongOwner { path, owner, us } => damaged(wrong_owner(path, owner, us)),
        FileFault::WritableByOthers { path, mode } => damaged(if mode & 0o1000 != 0 {
            "Move the vault to a folder of its own: mkdir -m 700 FOLDER, then use --vault FOLDER/vault.db"
                .to_owned()
        } else {
            let command =
                format!("chmod {} {}", if path.is_dir() { "go-w" } else { "600" }, output::quoted(path));
            chmod(&command, Modes::at(path), MOVE_VAULT)
        }),
        FileFault::Journal { path } => damaged(format!(
            "keyvault never writes such a file. Move it aside, and nothing else:\n  {}",
            aside(path)
        )),
        FileFault::Swapped { .. } => {
            damaged("Nothing was done. A sync service may have put another copy in place; try again.")
        }
        FileFault::Io { path, source } => return Failure::io(path, source),
    };
    remedy.after(fault)
}

/// The remedy for a mode that lets others in: the command, where it changes something, else `instead`.
pub(in crate::cli) fn chmod(command: &str, modes: Modes, instead: &str) -> String {
    match modes {
        Modes::Kept => command.to_owned(),
        Modes::Fixed(kind) => {
            format!("chmod changes nothing there, because {kind} keeps no modes. {instead}")
        }
        Modes::WindowsDrive => format!(
            "chmod changes nothing on a Windows drive. {instead}\n\
             Or have WSL keep modes there: in /etc/wsl.conf, set `options = \"metadata,umask=077\"` under `[automount]`;\n\
             then run `wsl --shutdown` in Windows."
        ),
        Modes::Uncertain(kind) => {
            format!("{command}\nIf that changes nothing, this {kind} mount keeps no modes. {instead}")
        }
    }
}

/// Where a vault goes instead.
pub(in crate::cli) const MOVE_VAULT: &str = "Move the vault to a file system that keeps them, such as your home folder's, and name it with `--vault`.";

/// Where another file goes instead.
pub(in crate::cli) const MOVE_FILE: &str =
    "Move the file to a file system that keeps them, such as your home folder's.";

/// The remedy for a file of another user. Nothing is ever given to root: in another's home its owner could not use it
/// any more.
pub(in crate::cli) fn wrong_owner(path: &Path, owner: &User, us: &User) -> String {
    if us.uid == 0 {
        as_user(owner)
    } else {
        format!("If it is yours: sudo chown {} {}", us.word(), output::quoted(path))
    }
}

fn as_user(owner: &User) -> String {
    let user = owner.name.clone().unwrap_or_else(|| format!("'#{}'", owner.uid));
    format!("Run it as that user: sudo -u {user} keyvault …")
}

/// A folder that would be used lies in another user's home, and we are root. An owner without a name is one of another
/// system or container, whom no program here becomes.
pub(in crate::cli) fn foreign_home(variable: &str, folder: &Path, owner: &User) -> Failure {
    let hint = match &owner.name {
        Some(_) => as_user(owner),
        None => "Name a home of root's own: HOME=/root keyvault …".to_owned(),
    };
    Failure::new(
        code::FAILED,
        FOREIGN_HOME,
        format!("{variable} ({}) belongs to {owner}, and root keeps nothing there.", folder.display()),
        Some(&hint),
    )
}

/// A lock that another process holds longer than is waited for.
pub(in crate::cli) fn held_by_another(held: &Held, hint: &'static str) -> Failure {
    busy(hint).after(&held.sentence())
}

pub(super) fn store(error: &StoreError, path: &Path) -> Failure {
    const CHECK: &str =
        "The command did not report success. Run `keyvault vault check` to see the state of the vault.";
    let remedy = match error {
        StoreError::NotAVault => damaged("Name the vault's file with `--vault`."),
        StoreError::OlderFormat { .. } => {
            failed("Export its keys with the build that wrote it, and import them into a new vault.")
        }
        StoreError::NewerFormat { .. } => failed("Use that version or a newer one."),
        StoreError::Schema { .. } | StoreError::Number { .. } => altered_file(path),
        StoreError::Damaged { .. } => altered(path),
        StoreError::NoWal => damaged(format!(
            "Nothing was released. If that program only copied or converted the file, give it its log again:\n  \
             sqlite3 {} 'PRAGMA journal_mode=WAL'",
            output::quoted(path)
        )),
        StoreError::Busy { .. } => {
            // The writer's lock is on the index of the write-ahead log.
            let index = PathBuf::from(format!("{}-shm", path.display()));
            let holder = lock::writer(&index).or_else(|| lock::writer(path));
            return busy("Nothing was done. Try again when it has ended.")
                .after(&StoreError::Busy { holder });
        }
        StoreError::Full => failed("Free some space and try again."),
        StoreError::ReadOnly => failed("`list`, `show`, `status` and `vault check` still work."),
        // SQLite has one sentence for whatever keeps it from opening a file.
        StoreError::Io(_) if rustix::fs::access(path, Access::READ_OK) == Err(Errno::ACCESS) => {
            return Failure::io(path, &std::io::ErrorKind::PermissionDenied.into());
        }
        StoreError::Io(_) | StoreError::Sqlite(_) => failed(CHECK),
        StoreError::Undecided(_) => Remedy::new(
            code::FAILED,
            "undecided",
            "Check the disk, then the vault: `keyvault vault check` and `keyvault audit log`.",
        ),
        StoreError::Build { .. } => failed("Install keyvault again with LIBSQLITE3_FLAGS unset."),
        StoreError::NoFile => Remedy::without_hint(code::FAILED, "failed"),
    };
    remedy.after(&error.about(&path.display()))
}

/// The remedy for damage. A log beside the file may be the cause, if it came from another copy.
pub(super) fn altered(path: &Path) -> Remedy {
    altered_or(path, CHECK_NAMES)
}

/// The remedy for damage beside the rows, which no row is needed to name.
pub(super) fn altered_file(path: &Path) -> Remedy {
    altered_or(path, RESTORE)
}

fn altered_or(path: &Path, remedy: &str) -> Remedy {
    damaged(match log_aside(path) {
        Some(remedy) => format!("Nothing was released. {remedy}\nOtherwise restore a backup."),
        None => format!("Nothing was released. {remedy}"),
    })
}

/// The remedy where too little is left of a vault to prove the rest of it, so that nothing can be kept.
pub(in crate::cli) fn beyond_mending(failure: Failure) -> Failure {
    let restore = "Nothing was changed. Too little of the vault is left to prove the rest. Restore a backup with\n\
                   `keyvault vault restore FILE`, then run this command again.";
    Failure { hint: Some(restore.to_owned()), ..failure }
}

/// The failure of an adoption where the file that the pin alarms about is damaged as well.
pub(in crate::cli) fn beyond_adopting(failure: Failure) -> Failure {
    let restore = "Nothing was changed. The vault is damaged and in an alarm. To keep this copy without its damaged rows:\n  \
                   keyvault vault backup FILE\n  \
                   keyvault vault restore FILE";
    Failure { hint: Some(restore.to_owned()), ..failure }
}

/// The failure of `vault check` where it could not look at the rows.
pub(in crate::cli) fn beyond_check(failure: Failure) -> Failure {
    Failure { hint: failure.hint.map(|hint| hint.replace(CHECK_NAMES, RESTORE)), ..failure }
}

fn log_aside(path: &Path) -> Option<String> {
    let log = Vault::wal_beside(path)?;
    let shown = log.display();
    let line = aside(&log);
    Some(format!("{shown} is next to it. If it came from another copy, move it aside:\n  {line}"))
}

/// The line that sets one file aside.
fn aside(path: &Path) -> String {
    let shown = output::quoted(path);
    format!("mv {shown} {shown}.aside")
}

/// An error of the file that was named as a backup. What helps is another file, or another place for it.
pub(in crate::cli) fn backup(error: VaultError, file: &Path) -> Failure {
    let remedy = match &error {
        VaultError::File(FileFault::NotRegular { .. } | FileFault::Empty { .. })
        | VaultError::Store(StoreError::NotAVault) => {
            Some("Name a file that `keyvault vault backup` wrote.".to_owned())
        }
        VaultError::File(FileFault::Symlink { .. }) => {
            Some("Name the file that the link points to.".to_owned())
        }
        VaultError::File(FileFault::HardLink { .. } | FileFault::WrongOwner { .. }) => {
            Some(to_own_folder(file))
        }
        VaultError::File(FileFault::WritableByOthers { path, .. }) if path.is_dir() => {
            Some(to_own_folder(file))
        }
        VaultError::Store(
            StoreError::Damaged { .. } | StoreError::Schema { .. } | StoreError::Number { .. },
        )
        | VaultError::State(_)
        | VaultError::Audit(_) => Some(match log_aside(file) {
            Some(remedy) => format!("{remedy}\nOtherwise use another backup."),
            None => "Use another backup.".to_owned(),
        }),
        _ => None,
    };
    let failure = Failure::of(error, file);
    match remedy {
        Some(remedy) => {
            Failure { hint: Some(format!("The vault here was not changed. {remedy}")), ..failure }
        }
        None => failure,
    }
}

fn to_own_folder(file: &Path) -> String {
    format!(
        "A backup must be where no one else can write. Copy it, and name the copy:\n  \
         mkdir -m 700 FOLDER; cp {} FOLDER/",
        output::quoted(file)
    )
}

/// A vault that cannot even be opened is not written over: somebody may still want it. Only what cannot be read is set
/// aside; a lone file beside the vault alone, and what another line mends is left to that line.
pub(in crate::cli) fn cannot_replace(error: VaultError, path: &Path) -> Failure {
    let remedy = match &error {
        VaultError::Store(
            StoreError::NotAVault
            | StoreError::OlderFormat { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::Schema { .. }
            | StoreError::Number { .. }
            | StoreError::Damaged { .. },
        ) => Some(all_aside(path)),
        VaultError::File(
            FileFault::Symlink { path: found }
            | FileFault::HardLink { path: found, .. }
            | FileFault::NotRegular { path: found, .. }
            | FileFault::Empty { path: found }
            | FileFault::Exists { path: found }
            | FileFault::Journal { path: found },
        ) => Some(if found.file_name() == path.file_name() { all_aside(path) } else { aside(found) }),
        _ => None,
    };
    let failure = Failure::of(error, path);
    match remedy {
        Some(line) => {
            let hint = format!("Nothing was changed. Move it aside, then restore again:\n  {line}");
            Failure { hint: Some(hint), ..failure }
        }
        None => failure,
    }
}

fn all_aside(path: &Path) -> String {
    let shown = output::quoted(path);
    format!("for part in '' -wal -shm; do mv {shown}$part {shown}$part.aside; done")
}

pub(super) fn alarm(standing: Standing, path: &Path) -> Remedy {
    let hint = match comparisons(standing, path).as_slice() {
        [] => "No values are released. If this copy is the one to keep:\n  keyvault vault restore --adopt"
            .to_owned(),
        lines => format!(
            "No values are released. A sync service left another copy. Compare the two first:\n  {}\n\
             If the vault's own file is the one to keep:\n  keyvault vault restore --adopt",
            lines.join("\n  ")
        ),
    };
    Remedy::new(code::DAMAGED, "alarm", hint)
}

/// The ways out of an alarm, as a sentence.
pub(in crate::cli) fn ways_out(standing: Standing, path: &Path) -> String {
    let accept = "To accept it: keyvault vault restore --adopt";
    match comparisons(standing, path).first() {
        Some(line) => format!("To compare it with the copy that a sync service left: {line}. {accept}"),
        None => accept.to_owned(),
    }
}

/// The lines that compare a vault with the copies that a sync service left beside it. Another vault in its place has
/// nothing in common with them.
fn comparisons(standing: Standing, path: &Path) -> Vec<String> {
    let copies = if standing == Standing::OtherVault { Vec::new() } else { sync_conflicts::beside(path) };
    copies.iter().map(|copy| compare(copy)).collect()
}

/// The line that compares the vault with another copy.
pub(in crate::cli) fn compare(copy: &Path) -> String {
    format!("keyvault vault diff {}", output::quoted(copy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_mode_cannot_be_changed_the_remedy_is_another_place() {
        let told = |modes| chmod("chmod 600 'vault.db'", modes, MOVE_VAULT);
        assert_eq!(told(Modes::Kept), "chmod 600 'vault.db'");
        let fixed = told(Modes::Fixed("exFAT"));
        assert!(
            fixed.contains("exFAT keeps no modes. Move the vault") && !fixed.contains("chmod 600"),
            "{fixed}"
        );
        let windows = told(Modes::WindowsDrive);
        assert!(windows.contains("/etc/wsl.conf") && !windows.contains("chmod 600"), "{windows}");
        let uncertain = told(Modes::Uncertain("FUSE"));
        assert!(uncertain.starts_with("chmod 600 'vault.db'\nIf that changes nothing"), "{uncertain}");
    }
}
