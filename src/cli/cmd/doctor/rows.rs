//! Checks of the vault's rows that need no key, and of the time when a backup was last proved.

use std::path::Path;

use crate::cli::context::Context;
use crate::cli::errors::Failure;
use crate::cli::output;
use crate::cli::output::{time, view};
use keyvault_vault::Stray;
use keyvault_vault::state::proof::Proofs;
use keyvault_vault::{Vault, check};

use super::Report;

/// Rows that a writer without keys left.
pub(super) fn strays(vault: &mut Vault) -> Report {
    const CHECK: &str = "rows";
    match check::strays(vault) {
        Ok(strays) if strays.iter().all(is_slot) => Report::ok(CHECK, "no stray rows"),
        Ok(strays) => {
            let rows = strays.iter().filter(|stray| !is_slot(stray)).map(|(table, what, count)| {
                format!(
                    "{} in {table} {what}",
                    view::counted(usize::try_from(*count).unwrap_or(usize::MAX), "row")
                )
            });
            Report::finding(
                CHECK,
                format!("someone without a key wrote to the vault: {}", rows.collect::<Vec<_>>().join("; ")),
                "`keyvault vault check` shows them; `keyvault vault rekey` drops them.",
            )
        }
        Err(error) => Report::failure(CHECK, Failure::of(error, vault.path())),
    }
}

/// The slots are reported by number elsewhere.
fn is_slot((table, ..): &Stray) -> bool {
    *table == "slot"
}

/// A backup that nobody ever opened may be none.
pub(super) fn backup(context: &Context, vault: &Vault, state: &Path) -> Report {
    const CHECK: &str = "backup";
    let proved = Proofs::in_folder(state.join("proofs")).last(&vault.identity(), vault.path());
    Report::ok(
        CHECK,
        match proved {
            Some(proof) => format!(
                "last verified {}: {}, at change {}",
                time::relative(proof.time, context.now()),
                output::harmless_line(&proof.file),
                proof.change
            ),
            None => "none verified yet; create one with `keyvault vault backup --verify FILE`".to_owned(),
        },
    )
}
