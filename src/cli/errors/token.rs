//! Errors of tokens and bundles.

use std::path::Path;
use std::slice::from_ref;

use keyvault_core::name::KeyName;
use keyvault_vault::{GrantedTo, TokenError, TokenKind, hides_its_name};

use super::remedy::{Remedy, damaged, failed, not_found, refused, usage, wrong_credential};
use super::vault::did_you_mean;
use super::{Failure, code};

/// There is no place for what is recorded of reads.
pub(in crate::cli) fn nowhere_to_write() -> Failure {
    Failure::failed(
        "HOME is not set to a home folder, and reads from a bundle must be recorded.",
        Some("Set KEYVAULT_READS to a file, or HOME or XDG_STATE_HOME to a folder."),
    )
}

/// A job that was to have a token, and has none.
pub(in crate::cli) fn empty_token() -> Failure {
    Failure::new(
        code::LOCKED,
        "locked",
        "KEYVAULT_TOKEN is empty.",
        Some(
            "Give the job its token, or unset the variable. Most CI services don't pass secrets to jobs from forks.",
        ),
    )
}

/// A token that still has the quotes around it, which some files of variables do not take off.
pub(in crate::cli) fn is_quoted(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.len() > 2
        && [b'\'', b'"'].iter().any(|quote| text.first() == Some(quote) && text.last() == Some(quote))
}

pub(in crate::cli) fn quoted_token() -> Failure {
    Failure::new(
        code::LOCKED,
        "wrong_credential",
        "The token is in quotes.",
        Some("Set it without them: docker's `--env-file`, for one, passes quotes on."),
    )
}

/// A token is there, and no vault.
pub(in crate::cli) fn no_vault_for_token(failure: Failure) -> Failure {
    let hint = "A token opens its keys in a vault or in a bundle. Name the bundle with `--bundle FILE` or KEYVAULT_BUNDLE, \
                or the vault with `--vault` or KEYVAULT_VAULT.";
    Failure { hint: Some(hint.to_owned()), ..failure }
}

/// A token opens its keys, and `what` needs more.
pub(in crate::cli) fn needs_owner(variable: &str, what: &str) -> Failure {
    Failure::new(
        code::LOCKED,
        "locked",
        format!("{variable} is set, and {what} needs more than a token opens."),
        Some(&format!("To run it as the vault's owner: env -u {variable} keyvault …")),
    )
}

/// Something was asked about a key that a grant does not say. `variable` gave the token; without one a session is limited.
pub(in crate::cli) fn not_in_a_grant(variable: Option<&str>, option: &str) -> Failure {
    let option = format!("`{option}`");
    variable.map_or_else(|| Failure::limited_for(&option), |variable| needs_owner(variable, &option))
}

/// A key that a bearer asked for by its name.
pub(in crate::cli) fn key_not_granted(name: &KeyName, near: Option<&KeyName>, to: &GrantedTo) -> Failure {
    let message = if hides_its_name(from_ref(name), near) {
        format!(
            "No key of that name is granted to {to}. The name is not shown, because it looks like a value."
        )
    } else {
        format!("Key `{name}` is not granted to {to}.")
    };
    let see = if to.kind == TokenKind::Session {
        "The open session is limited. Open a full one, which ends it: keyvault unlock".to_owned()
    } else {
        "Run `keyvault list` (with `--bundle FILE` where no vault is) to see the keys that it opens."
            .to_owned()
    };
    Failure::new(code::NOT_FOUND, "not_found", message, Some(&did_you_mean(near, &see)))
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
        &format!("{} cannot be written, so no limited session can be opened.", path.display()),
        Some(
            "A bundle holds only a token's keys and needs no vault. Where the vault can be written, create one: keyvault bundle create --token NAME -o FILE",
        ),
    )
}

pub(super) fn token(error: &TokenError) -> Remedy {
    const NEW_BUNDLE: &str = "keyvault bundle create --token NAME -o FILE";
    match error {
        TokenError::Exists(name) => refused(format!(
            "Give it a new secret with `keyvault token renew {name}`, or end it with `keyvault token revoke {name}`."
        )),
        TokenError::Missing { near, .. } => {
            not_found(did_you_mean(near.as_ref(), "Run `keyvault token list` to see all tokens."))
        }
        TokenError::Revoked(name) => {
            refused(format!("Create another: keyvault token create {name} --scope SCOPE"))
        }
        TokenError::SessionName(_) => usage("Choose another name."),
        TokenError::IsSession(_) | TokenError::OtherKind { .. } | TokenError::NoBundles { .. } => {
            refused("Create a token for a machine: keyvault token create NAME --scope SCOPE")
        }
        TokenError::NotEdited { .. } => refused("Create another token, and revoke this one."),
        TokenError::NotItsScope { token, .. } | TokenError::NotItsKey { token, by: None, .. } => {
            not_found(format!("See its scopes and keys with `keyvault token show {token}`."))
        }
        TokenError::NotItsKey { token, key, by: Some(scope) } => refused(format!(
            "Take the scope from the key with `keyvault edit {key} --unscope {scope}`, or from the token with `keyvault token edit {token} --unscope {scope}`."
        )),
        TokenError::GrantsNothing(name) => {
            refused(format!("To end it, revoke it: keyvault token revoke {name}"))
        }
        TokenError::OpensNothing => {
            wrong_credential("The vault's owner can see its tokens with `keyvault token list`.")
        }
        TokenError::NoApi(_) => not_found("Create the API first."),
        TokenError::MarkTaken(_) => refused("Choose another mark."),
        TokenError::HeaderDamaged { .. } => damaged(
            "Nothing was released. The vault's owner can repair it with `keyvault vault rekey`, which gives the token a new secret, or restore a backup: keyvault vault restore FILE",
        ),
        TokenError::FormerOver { .. } => refused(
            "Give the verifier the token that the rekey made for it, or a new one from the vault's owner: keyvault token renew NAME".to_owned(),
        ),
        TokenError::Expired { name, .. } => refused(format!(
            "The vault's owner can replace it: keyvault token revoke {name}, then keyvault token create {name} --scope SCOPE"
        )),
        TokenError::Alarm { .. } => damaged(
            "Put the newer vault back. If its owner restored a backup, any change to a granted key resolves this.",
        ),
        TokenError::Stale { .. } => refused("Update the bundle with `keyvault bundle update FILE`."),
        TokenError::NotABundle => failed(format!("Create one with `{NEW_BUNDLE}`.")),
        TokenError::OtherBundle => {
            wrong_credential(format!("Create one for this token with `{NEW_BUNDLE}`."))
        }
        TokenError::BundleDamaged => damaged(format!("Create it again with `{NEW_BUNDLE}`.")),
        TokenError::NotByOwner { .. } => damaged(
            "Nothing was released. Someone with the token may have created it. The vault's owner can give it a new secret: keyvault token renew NAME",
        ),
        TokenError::Newer { .. } => failed("Use that version or a newer one."),
        TokenError::BundleOfNone => {
            refused(format!("Remove the file, and create another with `{NEW_BUNDLE}`."))
        }
        TokenError::OtherVault => refused("Name its vault with `--vault PATH`."),
        TokenError::NotAReadsLog { .. } => {
            refused("Set KEYVAULT_READS to a new file, or to one that keyvault wrote.")
        }
        TokenError::UnknownReads => not_found(
            "A token that was renewed or created again does not accept the reads of the earlier one.",
        ),
    }
}
