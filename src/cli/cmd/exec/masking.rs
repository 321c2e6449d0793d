//! `exec --mask`: whether output is masked, and what cannot be.

use std::collections::BTreeSet;

use clap::Args;

use crate::cli::context::{self, Context};
use crate::cli::errors::Failure;
use crate::cli::output;
use crate::cli::output::view;
use keyvault_core::name::KeyName;
use keyvault_exec::mask::{Mask, TooMuch};
use keyvault_exec::release::Released;
use keyvault_exec::supervise::streams::{Routes, When};

/// The options that choose what is masked.
#[derive(Debug, Args)]
pub(super) struct MaskArgs {
    /// Mask the values in the command's output, also on a terminal
    #[arg(long, overrides_with = "no_mask", help_heading = "Output")]
    mask: bool,
    /// Mask nothing, even under CI
    #[arg(long, help_heading = "Output", hide_short_help = true)]
    no_mask: bool,
}

impl MaskArgs {
    /// The routes of the streams; `None` where the command may take our place.
    pub(super) fn routes(&self) -> Option<Routes> {
        let when = match (self.mask, self.no_mask) {
            (true, _) => When::Always,
            (_, true) => When::Never,
            _ if in_ci() => When::Kept,
            _ => When::Never,
        };
        Some(Routes::choose(when, output::callers())).filter(|routes| routes.any())
    }
}

/// Returns `true` if a CI service runs us: all set CI, and who sets it to false or 0 means the contrary.
fn in_ci() -> bool {
    context::variable("CI").is_some_and(|value| value != "false" && value != "0")
}

/// The mask over the values and the parts of composed ones; what it leaves is named. What an env-file says itself is no
/// secret of the vault's: `PORT=3000` must not make every 3000 unreadable.
pub(super) fn over(context: &Context, released: &Released) -> Result<Mask, Failure> {
    let whole = released.values().iter().map(|key| (&key.name, key.value.expose()));
    let parts = released.values().iter().flat_map(|key| &key.parts);
    let parts = parts.map(|part| (&part.name, part.value.expose()));
    let (keys, values): (Vec<&KeyName>, Vec<&[u8]>) = whole.chain(parts).unzip();
    let (mask, uncovered) = Mask::of(&values).map_err(|TooMuch| {
        Failure::refused(
            "The values are too many or too long to mask.",
            Some("Choose fewer keys, or run the command with `--no-mask`."),
        )
    })?;
    let named = |places: &[usize]| {
        let named: BTreeSet<_> = places.iter().filter_map(|at| keys.get(*at)).collect();
        (!named.is_empty()).then(|| view::joined(named.into_iter()))
    };
    if let Some(names) = named(&uncovered.short) {
        context.ui.warn(&format!("Not masked because they are under four bytes: {names}."));
    }
    if let Some(names) = named(&uncovered.long) {
        context.ui.warn(&format!("Not masked because they are too long: {names}."));
    }
    if let Some(names) = named(&uncovered.only_plain) {
        context.ui.warn(&format!(
            "Masked only as they are, not in other encodings, because they are long: {names}."
        ));
    }
    Ok(mask)
}
