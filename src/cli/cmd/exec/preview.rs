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
        Some(serde_json::json!({ "name": name.as_str(), "variable": variable.as_str() }))
    });
    let keys: Vec<_> = variables.chain(delivery::preview(wanted).into_iter().map(|(_, data)| data)).collect();
    let mut answer = serde_json::json!({ "keys": keys });
    if let Some(object) = answer.as_object_mut() {
        let mut put = |field: &str, names: Vec<&EnvName>| {
            if !names.is_empty() {
                let names: Vec<_> = names.iter().map(ToString::to_string).collect();
                object.insert(field.to_owned(), names.into());
            }
        };
        put("defaults", preview.defaults.iter().collect());
        put("left_out", preview.left_out.iter().map(|(variable, _)| variable).collect());
        put("settings", plan.settings.iter().map(|(variable, _)| variable).collect());
        put("from_env_file", plan.literals.iter().map(|(variable, _)| variable).collect());
        let skipped = skipped(&preview.skipped);
        if !skipped.is_empty() {
            object.insert("skipped".to_owned(), skipped.into());
        }
        if let Some(place) = &wanted.env_file {
            object.insert("env_file".to_owned(), place.as_str().into());
        }
    }
    context.ui.print_json(&answer)
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
