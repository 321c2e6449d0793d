//! `keyvault exec --dry-run`: what the command would get.

use super::plan::Plan;
use super::{delivery, files, say_skipped};
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use keyvault_core::name::EnvName;
use keyvault_exec::release::{Preview, Skipped};

pub(super) fn print(context: &Context, preview: &Preview, plan: &Plan) -> Result<u8, Failure> {
    say_skipped(context, &preview.skipped);
    let left_out = preview.left_out.iter().map(|(variable, why)| (variable, why.as_slice()));
    files::say_left_out(context, left_out);
    if context.ui.json { print_json(context, preview, plan) } else { print_lines(context, preview, plan) }?;
    Ok(code::DONE)
}

fn print_json(context: &Context, preview: &Preview, plan: &Plan) -> Result<(), Failure> {
    let wanted = plan.places.wanted();
    let variables = preview.keys.iter().filter_map(|(name, variable)| {
        let variable = variable.as_ref()?;
        Some(delivery::given(name, Some(variable), None, None))
    });
    let keys: Vec<_> = variables.chain(delivery::preview(wanted).into_iter().map(|(_, data)| data)).collect();
    let left_out = preview.left_out.iter().map(|(variable, _)| variable);
    let literals = plan.literals.iter().map(|(variable, _)| variable);
    context.ui.print_json(&serde_json::json!({
        "keys": keys,
        "defaults": names(preview.defaults.iter()),
        "settings": names(plan.settings.iter().map(|(variable, _)| variable)),
        "from_env_file": names(literals),
        "env_file": wanted.env_file.as_ref().map(EnvName::as_str),
        "left_out": names(left_out),
        "skipped": skipped(&preview.skipped),
    }))
}

fn names<'v>(variables: impl Iterator<Item = &'v EnvName>) -> Vec<&'v str> {
    variables.map(EnvName::as_str).collect()
}

/// The keys that are left out of scopes, each with its reason.
fn skipped(skipped: &Skipped) -> Vec<serde_json::Value> {
    let reasons =
        [(&skipped.expired, "expired"), (&skipped.disabled, "disabled"), (&skipped.revoked, "revoked")];
    let each = reasons.into_iter().flat_map(|(names, reason)| names.iter().map(move |name| (name, reason)));
    each.map(|(name, reason)| serde_json::json!({ "name": name.as_str(), "reason": reason })).collect()
}

fn print_lines(context: &Context, preview: &Preview, plan: &Plan) -> Result<(), Failure> {
    let wanted = plan.places.wanted();
    let place = wanted.env_file.as_ref().map(|place| format!(" in the env-file in {place}"));
    let place = place.unwrap_or_default();
    for group in preview.keys.chunk_by(|left, right| left.1 == right.1) {
        if let Some((_, Some(variable))) = group.first() {
            let names: Vec<_> = group.iter().map(|(name, _)| name.as_str()).collect();
            context.ui.line(&format!("{variable}{place} <- {}", names.join(", ")))?;
        }
    }
    for (line, _) in delivery::preview(wanted) {
        context.ui.line(&line)?;
    }
    for variable in &preview.defaults {
        context.ui.line(&format!("{variable}{place} <- its default"))?;
    }
    for (variable, text) in &plan.settings {
        context.ui.line(&format!("{variable}{place} = \"{}\"", text.escape_default()))?;
    }
    for (variable, _) in &plan.literals {
        context.ui.line(&format!("{variable}{place} <- the env-file"))?;
    }
    Ok(())
}
