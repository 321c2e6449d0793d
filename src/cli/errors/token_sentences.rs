//! Sentences about tokens and bundles.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::cli::errors::file_sentences::held_by_another;
use crate::cli::errors::{self, Failure, code};
use crate::cli::output;
use crate::cli::output::time;
use keyvault_os::fs::lock::Held;
use keyvault_vault::TokenError;
use keyvault_vault::state::pin::Standing;

/// There is no place for what is recorded of reads.
pub(in crate::cli) fn nowhere_to_write() -> Failure {
    Failure::failed(
        "HOME is not set to a home folder, and reads from a bundle must be recorded.",
        Some("Set KEYVAULT_READS to a file, or HOME or XDG_STATE_HOME to a folder."),
    )
}

/// The failure to record a read from a bundle, without which nothing is read.
pub(in crate::cli) fn reads_not_written(path: &Path, why: &io::Error) -> Failure {
    if let Some(kind) = no_file(path) {
        return Failure::failed(
            &format!(
                "Reads from a bundle must be recorded in a file, but {} is {kind}.",
                output::quoted(path)
            ),
            Some("Nothing was released. Set KEYVAULT_READS to a new file, or to one that keyvault wrote."),
        );
    }
    if why.kind() == io::ErrorKind::PermissionDenied {
        return Failure::failed(
            &format!(
                "Reads from a bundle must be recorded, but you are not permitted to write {}.",
                output::quoted(path)
            ),
            Some(
                "Nothing was released. Check its owner and mode with `ls -l`, or set KEYVAULT_READS to another file.",
            ),
        );
    }
    Failure::failed(
        &format!(
            "Reads from a bundle must be recorded, but {} cannot be written: {}.",
            output::quoted(path),
            errors::reason(why)
        ),
        Some("Nothing was released. Set KEYVAULT_READS to another file."),
    )
}

/// The word for what a path is, if it is there and nothing that a log can be kept in.
fn no_file(path: &Path) -> Option<&'static str> {
    let kind = std::fs::symlink_metadata(path).ok()?.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_symlink() {
        Some("a symbolic link, which keyvault does not follow")
    } else if kind.is_fifo() {
        Some("a named pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

/// Another process, perhaps one of the same job, holds the log and does not let go.
pub(in crate::cli) fn reads_busy(held: &Held) -> Failure {
    held_by_another(
        held,
        "Nothing was released, because each read is recorded there. Set KEYVAULT_READS to another file.",
    )
}

/// A job that was to have a token, and has none.
pub(in crate::cli) fn empty_token() -> Failure {
    Failure::new(
        code::LOCKED,
        "locked",
        "KEYVAULT_TOKEN is empty.",
        Some(
            "Give the job its token, or unset the variable. Most services pass no secrets to jobs of forks.",
        ),
    )
}

/// The kernel still keeps a limited session whose token is gone from the vault.
pub(in crate::cli) fn session_over() -> Failure {
    Failure::new(
        code::LOCKED,
        "locked",
        "The limited session no longer opens anything: it has expired, or the vault's owner ended it.",
        Some("Open another with `keyvault unlock --scope SCOPE`, or a full one with `keyvault unlock`."),
    )
}

/// The vault cannot be written, and a limited session is a change.
pub(in crate::cli) fn session_of_read_only(path: &Path) -> Failure {
    Failure::failed(
        &format!("{} cannot be written, so no limited session can be made.", path.display()),
        Some(
            "A bundle holds only a token's keys and needs no vault. Where the vault can be written, create one: keyvault bundle create --token NAME -o FILE",
        ),
    )
}

/// The fault of a token or a bundle, and its remedy.
pub(in crate::cli) fn token(error: &TokenError) -> Failure {
    let locked = |message: &str, hint| Failure::new(code::LOCKED, "wrong_credential", message, Some(hint));
    match error {
        TokenError::Exists(name) => Failure::refused(
            &format!("Token `{name}` already exists."),
            Some(&format!(
                "Give it a new secret with `keyvault token renew {name}`, or end it with `keyvault token revoke {name}`."
            )),
        ),
        TokenError::Missing(name) => Failure::new(
            code::NOT_FOUND,
            "not_found",
            format!("No token named `{name}`."),
            Some("Run `keyvault token list` to see all tokens."),
        ),
        TokenError::Revoked(name) => Failure::refused(
            &format!("Token `{name}` is revoked."),
            Some(&format!("Create another: keyvault token create {name} --scope SCOPE")),
        ),
        TokenError::SessionName(name) => Failure::usage(
            &format!(
                "`{name}` cannot be the name of a token: `session/` begins the names of limited sessions."
            ),
            Some("Choose another name."),
        ),
        TokenError::IsSession(name) => Failure::refused(
            &format!("`{name}` is a limited session, which cannot be renewed or bundled."),
            Some("Create a token for a machine: keyvault token create NAME --scope SCOPE"),
        ),
        TokenError::OpensNothing => locked(
            "This token opens nothing here: it was revoked or renewed, or belongs to another vault.",
            "The vault's owner can see its tokens with `keyvault token list`.",
        ),
        TokenError::HeaderDamaged { what } => Failure::damaged(
            &format!("The vault's header is damaged: its {what} is altered. The token may be right."),
            Some(
                "Nothing was released. The vault's owner can repair it with `keyvault vault rekey`, which gives the token a new secret, or restore a backup: keyvault vault restore FILE",
            ),
        ),
        TokenError::Expired { name, since } => Failure::refused(
            &format!("Token `{name}` expired on {}.", time::local(*since)),
            Some(&format!(
                "The vault's owner can replace it: keyvault token revoke {name}, then keyvault token create {name} --scope SCOPE"
            )),
        ),
        TokenError::Alarm { name, standing, found, pinned } => {
            let how = if *standing == Standing::RolledBack { "older than" } else { "different from" };
            Failure::damaged(
                &format!(
                    "The grants of token `{name}` at change {found} are {how} what this machine saw at change {pinned}."
                ),
                Some(
                    "Put the newer vault back. If its owner restored a backup, any change to a granted key resolves this.",
                ),
            )
        }
        TokenError::Stale { found, least } => Failure::refused(
            &format!("The token's grants are at change {found}, but at least {least} is required."),
            Some("Update the bundle with `keyvault bundle update FILE`."),
        ),
        TokenError::NotABundle => Failure::failed(
            "The file is not a bundle.",
            Some("Create one with `keyvault bundle create --token NAME -o FILE`."),
        ),
        TokenError::OtherBundle => locked(
            "The bundle belongs to another token.",
            "Create one for this token with `keyvault bundle create --token NAME -o FILE`.",
        ),
        TokenError::BundleDamaged => Failure::damaged(
            "The bundle was altered or truncated.",
            Some("Create it again with `keyvault bundle create --token NAME -o FILE`."),
        ),
        TokenError::NotByOwner { what } => Failure::damaged(
            &format!("The {what} for this token was not signed by the vault's owner."),
            Some(
                "Nothing was released. Someone who has the token may have made it. The vault's owner can give it a new secret: keyvault token renew NAME",
            ),
        ),
        TokenError::Newer { .. } => Failure::failed(
            &format!("A newer version of keyvault wrote this: {error}."),
            Some("Use that version or a newer one."),
        ),
        TokenError::BundleOfNone => Failure::refused(
            "The bundle's token was renewed or created again, so the bundle can no longer be updated.",
            Some("Remove the file, and create another with `keyvault bundle create --token NAME -o FILE`."),
        ),
        TokenError::OtherVault => Failure::refused(
            "The file belongs to another vault.",
            Some("Name its vault with `--vault PATH`."),
        ),
        TokenError::NotAReadsLog { path } => Failure::refused(
            &format!("{} is not a read log and was not changed.", output::quoted(path)),
            Some("Set KEYVAULT_READS to a new file, or to one that keyvault wrote."),
        ),
        TokenError::UnknownReads => Failure::new(
            code::NOT_FOUND,
            "not_found",
            "The reads are by a token that this vault does not know.",
            Some("A token that was renewed or created again does not accept the reads of the earlier one."),
        ),
    }
}
