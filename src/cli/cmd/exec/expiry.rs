//! The line of `exec` about keys that expire soon: on a terminal, once a day for each vault.

use std::path::{Path, PathBuf};

use crate::cli::context::{self, Context};
use crate::cli::output::{time, view};
use keyvault_core::clock::Moment;
use keyvault_exec::release::Resolved;
use keyvault_os::fs::{private, untrusted};
use keyvault_vault::Supply;

/// Milliseconds.
const DAY: i64 = 86_400_000;

/// A key whose versions live shorter is always about to expire. Milliseconds.
const SHORT_LIFE: i64 = 7 * DAY;

/// Warns of the keys that expire within a week, unless that was done here less than a day ago. Without a vault, or where it
/// cannot be recorded, it is done each time.
pub(super) fn warn_daily(context: &Context, supply: &Supply, released: &[Resolved]) {
    let now = context.now();
    let is_short_lived = |key: &Resolved| key.lifetime.is_some_and(|lifetime| lifetime < SHORT_LIFE);
    let soon: Vec<_> = released
        .iter()
        .filter(|key| view::expires_soon(key.expires, now) && !is_short_lived(key))
        .filter_map(|key| key.expires.map(|at| format!("{} ({})", key.name, time::relative(at, now))))
        .collect();
    if soon.is_empty() || !context.ui.err_is_terminal() {
        return;
    }
    let record = record_of(supply);
    if record.as_ref().is_some_and(|record| was_told_today(record, now)) {
        return;
    }
    context.ui.warn(&format!("Expiring soon: {}.", soon.join(", ")));
    if let Some(record) = record {
        if let Some(folder) = record.parent() {
            let _ = private::create_folder(folder);
        }
        let _ = private::replace_private(&record, now.0.to_string().as_bytes());
    }
}

/// The file with the time of the last warning, in milliseconds.
fn record_of(supply: &Supply) -> Option<PathBuf> {
    let (Supply::Vault(vault, _) | Supply::Granted(vault, _)) = supply else { return None };
    Some(context::state_folder().ok()?.join("expiring").join(vault.identity().vault_hex()))
}

/// A time ahead of now is that of a clock that was wrong.
fn was_told_today(record: &Path, now: Moment) -> bool {
    const LONGEST: usize = 32;
    let told = untrusted::read_own(record, LONGEST).ok();
    let told = told.and_then(|text| std::str::from_utf8(&text).ok()?.parse::<i64>().ok());
    told.is_some_and(|told| (0..DAY).contains(&now.0.saturating_sub(told)))
}
