//! `keyvault vault restore FILE --only NAME`

use std::collections::BTreeSet;
use std::path::Path;

use super::confirm;
use super::diff::Copies;
use crate::cli::context::Context;
use crate::cli::errors::vault::{did_you_mean, list, looks_like_a_value};
use crate::cli::errors::{Failure, code, vault_file};
use crate::cli::output::loss::Tense;
use crate::cli::output::{self, time, view};
use keyvault_core::clock::Moment;
use keyvault_core::name::KeyName;
use keyvault_vault::{KeyRecord, Status, Taken, Takeover, VaultError, file};

/// Takes single keys over from another copy of the vault.
pub(super) fn run(
    context: &Context,
    from: &Path,
    names: &BTreeSet<KeyName>,
    yes: bool,
) -> Result<u8, Failure> {
    let (mut copies, here) = Copies::open(context, from, file::refuse_in_alarm)?;
    let path = copies.vault.path().to_owned();
    let now = context.now();
    let comparison = copies.compare(here, now)?;
    let takeover = file::plan_takeover(&comparison, names, now).map_err(|error| not_planned(error, from))?;
    if !takeover.unchanged.is_empty() {
        context.ui.confirm(&nothing_to_take(&takeover.unchanged, from))?;
    }
    if takeover.keys.is_empty() {
        return answer(context, &path, from, &takeover, None, now);
    }
    let keys = view::counted(takeover.keys.len(), "key");
    if !yes {
        tell(context, &takeover, from, Tense::Ahead, now)?;
        confirm(context, yes, &format!("Take over {keys}?"))?;
    }
    let Copies { vault, access, copy, own, .. } = &mut copies;
    let opens = own.as_ref().unwrap_or(access);
    let values = file::values(copy, opens, &takeover).map_err(|error| vault_file::backup(error, from))?;
    let change = context.with_world(|world| {
        file::take_over(vault, access, &takeover, values, world).map_err(|error| Failure::of(error, &path))
    })?;
    if yes {
        tell(context, &takeover, from, Tense::Done, now)?;
    }
    answer(context, &path, from, &takeover, Some(change), now)
}

fn not_planned(error: VaultError, from: &Path) -> Failure {
    let shown = from.display();
    let (message, near) = match &error {
        // A name that may be a value is not repeated.
        VaultError::NoSuchKeys { missing, .. }
            if missing.iter().any(|name| looks_like_a_value(name.as_str())) =>
        {
            return Failure::of(error, from);
        }
        VaultError::NoSuchKeys { missing, near, .. } => match missing.as_slice() {
            [name] => (format!("No key named `{name}` in {shown}."), near),
            names => (format!("No keys with these names in {shown}: {}.", list(names)), near),
        },
        _ => return Failure::of(error, from),
    };
    let hint = format!("To see its keys: keyvault list --vault {}", output::quoted(from));
    Failure::new(code::NOT_FOUND, "not_found", message, Some(&did_you_mean(near.as_ref(), &hint)))
}

fn nothing_to_take(names: &[KeyName], from: &Path) -> String {
    format!(
        "The vault here has everything that {} has of these keys, or holds it revoked: {}. Names, variables, scopes, tags, \
         and notes are not taken over.",
        from.display(),
        view::joined(names.iter())
    )
}

fn tell(
    context: &Context,
    takeover: &Takeover,
    from: &Path,
    tense: Tense,
    now: Moment,
) -> Result<(), Failure> {
    let verb = tense.pick("would take over", "took over");
    let mut lines = format!("The vault here {verb}, from {} at change {}:", from.display(), takeover.found);
    for key in &takeover.keys {
        lines += &format!("\n  {}: {}", key.after.name, parts(key, now).join("; "));
    }
    match tense {
        Tense::Ahead => context.ui.say(&lines),
        Tense::Done => context.ui.confirm(&lines)?,
    }
    Ok(())
}

/// The changes of a key, as participles that fit before and after.
fn parts(key: &Taken, now: Moment) -> Vec<String> {
    let state = |number: u32| {
        key.after.version(number).map(|version| version.state_at(now).name()).unwrap_or_default()
    };
    let mut parts = Vec::new();
    if key.before.is_none() {
        parts.push("new key".to_owned());
    }
    for (theirs, ours) in &key.versions {
        let there = if theirs == ours { String::new() } else { format!(" (version {theirs} there)") };
        let stays = if key.stay_revoked.contains(theirs) { "stays " } else { "" };
        parts.push(format!("version {ours}{there} {stays}{}", state(*ours)));
    }
    let replaced = key.replaced.filter(|number| !key.revoked.contains(number));
    parts.extend(replaced.map(|number| format!("version {number} {}", state(number))));
    let taken = |number: &&u32| key.versions.iter().any(|(theirs, _)| theirs == *number);
    let others = key.stay_revoked.iter().filter(|number| !taken(number));
    parts.extend(others.map(|number| format!("version {number} stays revoked")));
    parts.extend(key.revoked.iter().map(|number| format!("version {number} revoked")));
    if let Some(before) = key.before.as_ref().filter(|before| before.expires != key.after.expires) {
        parts.push(expiry(before, &key.after, now));
    }
    if key.after.disabled.is_some() && key.before.as_ref().is_none_or(|before| before.disabled.is_none()) {
        parts.push("disabled".to_owned());
    }
    if key.after.status(now) == Status::Expired {
        parts.push("expired".to_owned());
    }
    parts
}

fn expiry(before: &KeyRecord, after: &KeyRecord, now: Moment) -> String {
    let told = |key: &KeyRecord| key.expires.map_or_else(|| "never".to_owned(), |at| view::when(at, now));
    format!("expires {}, before {}", told(after), told(before))
}

fn answer(
    context: &Context,
    path: &Path,
    from: &Path,
    takeover: &Takeover,
    change: Option<u64>,
    now: Moment,
) -> Result<u8, Failure> {
    if context.ui.json {
        let keys: Vec<_> = takeover.keys.iter().map(|key| json(key, now)).collect();
        context.ui.print_json(&serde_json::json!({
            "keys": keys, "unchanged": takeover.unchanged.iter().map(KeyName::as_str).collect::<Vec<_>>(),
            "vault": path.display().to_string(), "other": from.display().to_string(), "found": takeover.found,
            "change": change,
        }))?;
    } else {
        context.ui.confirm(&match change {
            Some(change) => format!(
                "Took over {}. The vault is now at change {change}.",
                view::counted(takeover.keys.len(), "key")
            ),
            None => "Nothing was changed.".to_owned(),
        })?;
    }
    Ok(code::DONE)
}

fn json(key: &Taken, now: Moment) -> serde_json::Value {
    let versions = key.versions.iter().map(|(theirs, ours)| {
        let state = key.after.version(*ours).map(|version| version.state_at(now).name());
        serde_json::json!({ "version": ours, "in_other": theirs, "state": state })
    });
    serde_json::json!({
        "name": key.after.name.as_str(), "added": key.before.is_none(), "versions": versions.collect::<Vec<_>>(),
        "replaced": key.replaced, "revoked": key.revoked, "stay_revoked": key.stay_revoked,
        "expires": key.after.expires.map(time::rfc3339), "disabled": key.after.disabled.is_some(),
    })
}
