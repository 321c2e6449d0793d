//! Sentences about tokens and bundles.

use std::io;
use std::path::Path;

use super::error::{self, Failure, code};
use super::{time, ui};
use crate::state::pin::Standing;
use crate::sys::lock::Process;
use crate::vault::TokenError;

/// There is no place for what is recorded of reads.
pub(super) fn nowhere_to_write() -> Failure {
    Failure::failed(
        "HOME does not name a home folder, and what is read from a bundle has to be recorded.",
        Some("Set KEYVAULT_READS to a file, or XDG_STATE_HOME or HOME to a folder."),
    )
}

/// What is read from a bundle is recorded or not read.
pub(super) fn reads_not_written(path: &Path, why: &io::Error) -> Failure {
    Failure::failed(
        &format!(
            "What is read from a bundle has to be recorded, and {} cannot be written: {}.",
            ui::quoted(path),
            error::reason(why)
        ),
        Some("Nothing was released. KEYVAULT_READS names another file for it."),
    )
}

/// Another process, perhaps one of the same job, holds the log and does not let go.
pub(super) fn reads_busy(path: &Path, holder: Option<&Process>) -> Failure {
    let path = ui::quoted(path);
    let message = match holder {
        Some(Process { id, name }) => {
            format!("Process {id} ({}) has locked {path} for more than 10 s.", ui::harmless_line(name))
        }
        None => format!("Another process has locked {path} for more than 10 s."),
    };
    let hint =
        "Nothing was released, because each read is recorded there. Set KEYVAULT_READS to another file.";
    Failure::new(code::BUSY, "busy", message, Some(hint))
}

/// A job that was to have a token, and has none.
pub(super) fn empty_token() -> Failure {
    Failure::new(
        code::LOCKED,
        "locked",
        "KEYVAULT_TOKEN is empty.",
        Some("Give the job its token, or unset the variable. Jobs of forks get none from most services."),
    )
}

/// What is wrong with a token or a bundle, and what mends it.
pub(super) fn token(error: &TokenError) -> Failure {
    let locked = |message: &str, hint| Failure::new(code::LOCKED, "wrong_credential", message, Some(hint));
    match error {
        TokenError::Exists(name) => Failure::refused(
            &format!("There is a token {name} already."),
            Some(&format!(
                "'keyvault token renew {name}' gives it a new secret, 'keyvault token revoke {name}' ends it."
            )),
        ),
        TokenError::Missing(name) => Failure::new(
            code::NOT_FOUND,
            "not_found",
            format!("There is no token {name}."),
            Some("'keyvault token list' shows what there is."),
        ),
        TokenError::Revoked(name) => Failure::refused(
            &format!("Token {name} is revoked."),
            Some(&format!("'keyvault token create {name} --scope SCOPE' makes another of that name.")),
        ),
        TokenError::OpensNothing => locked(
            "This token opens nothing here: it was revoked or renewed, or it is of another vault.",
            "'keyvault token list' shows the vault's tokens to its owner.",
        ),
        TokenError::Expired { name, since } => Failure::refused(
            &format!("Token {name} expired on {}.", time::local(*since)),
            Some(&format!(
                "Its owner makes another: keyvault token revoke {name}, then keyvault token create {name} --scope SCOPE."
            )),
        ),
        TokenError::Alarm { name, standing, found, pinned } => {
            let how = if *standing == Standing::RolledBack { "older than" } else { "another than" };
            Failure::damaged(
                &format!(
                    "What the vault grants token {name} (change {found}) is {how} what was seen here (change {pinned})."
                ),
                Some(
                    "Put the newer vault back. If its owner restored a backup, any change to a granted key ends this.",
                ),
            )
        }
        TokenError::Stale { found, least } => Failure::refused(
            &format!("What the token opens stands at change {found}; at least {least} was asked for."),
            Some("'keyvault bundle update FILE' brings a bundle up to date."),
        ),
        TokenError::NotABundle => Failure::failed(
            "The file is not a bundle.",
            Some("'keyvault bundle create --token NAME -o FILE' makes one."),
        ),
        TokenError::OtherBundle => locked(
            "The bundle was made for another token.",
            "'keyvault bundle create --token NAME' makes one for this token.",
        ),
        TokenError::BundleDamaged => Failure::damaged(
            "The bundle has been altered or cut off.",
            Some("'keyvault bundle create' makes it anew."),
        ),
        TokenError::BundleOfNone => Failure::refused(
            "The bundle's token was renewed or made anew, so it can no longer be brought up to date.",
            Some("Remove the file; 'keyvault bundle create --token NAME -o FILE' makes another."),
        ),
        TokenError::OtherVault => {
            Failure::refused("The file is of another vault.", Some("--vault names the vault."))
        }
        TokenError::NotAReadsLog { path } => Failure::refused(
            &format!("{} is not a log of what was read, and was not touched.", ui::quoted(path)),
            Some("KEYVAULT_READS names the log: a new file, or one that keyvault wrote."),
        ),
        TokenError::UnknownReads => Failure::new(
            code::NOT_FOUND,
            "not_found",
            "The reads are of a token that this vault does not know.",
            Some("A token that was renewed or made anew no longer takes the reads of the one before."),
        ),
    }
}
