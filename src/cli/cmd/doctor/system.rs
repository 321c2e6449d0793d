//! Checks of the OS keyring, the kernel's keys and the sessions in them.

use crate::cli::context::Context;
use crate::cli::errors::Failure;
use crate::cli::output::view;
use crate::cli::unlock::keyring::sentence;
use crate::cli::unlock::order::opens_slot;
use keyvault_os::kernel_keyring as kernel;
use keyvault_vault::unlock::os_keyring::{self, LIMIT};
use keyvault_vault::unlock::session;
use keyvault_vault::{Access, Vault};

use super::Report;

/// A slot must open; without one nothing is wrong, whatever the keyring does. With what it opened, as it is asked once.
pub(super) fn keyring(context: &Context, vault: &mut Vault) -> (Report, Option<Access>) {
    const CHECK: &str = "keyring";
    match context.keyring_alone(vault) {
        Ok(Some(access)) => (Report::ok(CHECK, opens_slot(&access)), Some(access)),
        Err(why) if os_keyring::is_off() => (
            Report::skipped(
                CHECK,
                format!("the vault has a keyring slot, but the keyring is not asked: {why}"),
            ),
            None,
        ),
        Err(why) => {
            let report = Report::finding(
                CHECK,
                format!("the vault has a keyring slot, but the keyring does not open it: {why}"),
                "If it never will again, remove the slot: `keyvault vault slot list`, then `keyvault vault slot remove N`.",
            );
            (report, None)
        }
        Ok(None) => {
            let report = match os_keyring::ready(LIMIT) {
                Ok(()) => Report::ok(CHECK, "not used; `keyvault vault slot add keyring` adds a slot for it"),
                Err(why) => Report::ok(CHECK, format!("not used; {}", sentence(&why))),
            };
            (report, None)
        }
    }
}

/// Returns `true` if sessions can be kept at all.
pub(super) fn kernel_keys() -> Report {
    const CHECK: &str = "kernel keys";
    match kernel::available() {
        Ok(()) => Report::ok(CHECK, "sessions can be kept"),
        Err(error) => Report::failure(CHECK, Failure::session(&error)),
    }
}

/// The sessions that are kept.
pub(super) fn sessions(context: &Context, vault: &Vault) -> Vec<Report> {
    const CHECK: &str = "sessions";
    let kernel = kernel_keys();
    let Ok(kept) = session::kept(&vault.identity(), context.now()) else { return vec![kernel] };
    let sessions = if kept.stale {
        Report::finding(
            CHECK,
            "an unusable session of this vault is kept: from before a rekey, or expired",
            "keyvault lock",
        )
    } else {
        let others = match kept.others {
            0 => String::new(),
            count => format!("; {} of other vaults", view::counted(count, "session")),
        };
        Report::ok(CHECK, format!("no stale sessions{others}"))
    };
    vec![kernel, sessions]
}
