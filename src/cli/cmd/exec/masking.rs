//! `exec --mask`: whether output is masked, and what cannot be.

use std::cell::Cell;
use std::collections::BTreeSet;

use clap::Args;

use super::plan::Plan;
use crate::cli::context::{self, Context};
use crate::cli::errors::Failure;
use crate::cli::output;
use crate::cli::output::view;
use keyvault_core::name::KeyName;
use keyvault_exec::mask::{Mask, TooMuch};
use keyvault_exec::release::Released;
use keyvault_exec::supervise::Masking;
use keyvault_exec::supervise::streams::{Routes, When};
use keyvault_os::process::output_reader::{self, Leads};

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
    /// How output is masked; `None` where the command may take our place.
    pub(super) fn output(&self) -> Option<MaskedOutput> {
        let when = match (self.mask, self.no_mask) {
            (true, _) => When::Always,
            (_, true) => When::Never,
            _ if in_ci() => When::Kept,
            _ => When::Never,
        };
        let routes = Routes::choose(when, output::callers());
        // Looked at now: at the command's end we have let go of the caller's streams.
        let reports = || when == When::Kept && output_reader::standard_output() != Leads::WithErrors;
        routes.any().then(|| MaskedOutput {
            routes,
            reports: reports(),
            masked: Cell::new(0),
            named: Cell::new(false),
        })
    }
}

/// Returns `true` if a CI service runs us: all set CI, and who sets it to false or 0 means the contrary.
fn in_ci() -> bool {
    context::variable("CI").is_some_and(|value| value != "false" && value != "0")
}

/// Output that goes through a mask, of one command from its first start to its last.
pub(super) struct MaskedOutput {
    routes: Routes,
    /// True if nobody asked for a mask, and standard output may be data. A log is meant to be masked.
    reports: bool,
    /// How often something was masked in standard output.
    masked: Cell<u64>,
    /// True if the values that are not masked were named.
    named: Cell<bool>,
}

impl MaskedOutput {
    /// The mask over the values and the parts of composed ones; what it leaves is named, once. An env-file's own text is no
    /// secret of the vault's, nor is a default that stands in the project file.
    pub(super) fn mask(&self, context: &Context, plan: &Plan, released: &Released) -> Result<Mask, Failure> {
        let whole = released.values().iter().map(|key| (&key.name, key.value.expose(), key.public));
        let parts = released.values().iter().flat_map(|key| &key.parts);
        let parts = parts.map(|part| (&part.name, part.value.expose(), part.public));
        let (public, secret): (Vec<_>, Vec<_>) =
            whole.chain(parts).partition(|(_, value, public)| *public || plan.is_default(value));
        let (keys, values): (Vec<&KeyName>, Vec<&[u8]>) =
            secret.into_iter().map(|(name, value, _)| (name, value)).unzip();
        let (mask, uncovered) = Mask::of(&values).map_err(|TooMuch| {
            Failure::refused(
                "The values are too many or too long to mask.",
                Some("Choose fewer keys, or run the command with `--no-mask`."),
            )
        })?;
        if self.named.replace(true) {
            return Ok(mask);
        }
        let named = |places: &[usize]| {
            let named: BTreeSet<_> = places.iter().filter_map(|at| keys.get(*at)).collect();
            (!named.is_empty()).then(|| view::joined(named.into_iter()))
        };
        let public: BTreeSet<_> = public.into_iter().map(|(name, ..)| name).collect();
        let public = (!public.is_empty()).then(|| view::joined(public.into_iter()));
        let reasons = [
            (named(&uncovered.common), "short or common values"),
            (public, "public"),
            (named(&uncovered.long), "too long"),
        ];
        let reasons: Vec<_> =
            reasons.into_iter().filter_map(|(names, why)| Some(format!("{} ({why})", names?))).collect();
        if !reasons.is_empty() {
            context.ui.warn(&format!("Not masked: {}.", reasons.join("; ")));
        }
        if let Some(names) = named(&uncovered.only_plain) {
            context.ui.warn(&format!(
                "Masked only as they are, not in other encodings, because they are long: {names}."
            ));
        }
        Ok(mask)
    }

    pub(super) fn masking<'m>(&'m self, mask: &'m Mask) -> Masking<'m> {
        Masking { mask, routes: self.routes, callers: output::callers(), masked: &self.masked }
    }

    /// Says that data was altered although nobody asked for it.
    pub(super) fn report(&self, context: &Context) {
        let masked = self.masked.get();
        if !self.reports || masked == 0 {
            return;
        }
        context.ui.warn(&format!(
            "Standard output was masked {}, because CI is set. If it is data, run the command with `--no-mask`.",
            view::counted(usize::try_from(masked).unwrap_or(usize::MAX), "time")
        ));
    }
}
