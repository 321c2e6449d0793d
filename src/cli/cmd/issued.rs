//! The verbs of keys, for those that are issued. Each is reached from the verb's own file.

use keyvault_core::clock::Moment;
use keyvault_core::name::{KeyName, Label};
use keyvault_vault::issued::{self, Edit, Key, Minted, Removed, Switch, Terms};
use keyvault_vault::{Access, Vault, VaultError, World};

use super::issue::lost;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::issued::{self as view, IssuedJson};
use crate::cli::output::table::{Cell, Column, Table};
use crate::cli::output::time;
use crate::cli::output::view::{counted, joined, when};

/// Returns `true` if all of the names mean issued keys, `false` if none does. A vault that is too damaged to tell has none.
pub(super) fn are_issued(vault: &mut Vault, access: &Access, names: &[KeyName]) -> Result<bool, Failure> {
    let issued = issued::among(vault, access, names).unwrap_or_default();
    let Some(first) = issued.first() else { return Ok(false) };
    match names.iter().find(|name| !issued.contains(name)) {
        None => Ok(true),
        Some(other) => Err(Failure::usage(
            &format!("`{first}` is an issued key, and `{other}` is not."),
            Some("Nothing was changed. Name held and issued keys in separate commands."),
        )),
    }
}

/// How many issued keys a vault has; none of one that is too damaged to tell.
pub(in crate::cli) fn count(vault: &mut Vault, access: &Access, now: Moment) -> usize {
    issued::list(vault, access, now).map_or(0, |keys| keys.len())
}

/// `3 keys`, and where there are any, `3 keys, 2 issued keys`
pub(in crate::cli) fn counted_with(keys: usize, issued: usize) -> String {
    let keys = counted(keys, "key");
    if issued == 0 { keys } else { format!("{keys}, {}", counted(issued, "issued key")) }
}

/// An option that means nothing for issued keys.
pub(super) fn refuse_option(option: &str) -> Failure {
    Failure::usage(&format!("`{option}` does not apply to issued keys."), Some("Nothing was changed."))
}

/// Options that mean nothing for held keys.
pub(super) fn needs_issued(options: &str) -> Failure {
    Failure::usage(&format!("{options} apply to issued keys only."), Some("Nothing was changed."))
}

pub(super) fn show(context: &Context, key: &Key) -> Result<u8, Failure> {
    if context.ui.json {
        context.ui.print_json(&IssuedJson::of(key))?;
    } else {
        context.ui.data(view::facts(key, context.now(), &context.ui).as_bytes())?;
    }
    Ok(code::DONE)
}

/// The key that is meant by a name or an id for which there is no held one; the failure if there is no issued one either.
pub(super) fn instead_of(
    context: &Context,
    vault: &mut Vault,
    access: &Access,
    name: &KeyName,
    missing: VaultError,
) -> Result<Key, Failure> {
    let path = vault.path().to_owned();
    match issued::among(vault, access, std::slice::from_ref(name)) {
        Ok(issued) if !issued.is_empty() => {}
        _ => return Err(Failure::of(missing, &path)),
    }
    issued::show(vault, access, name, context.now()).map_err(|error| Failure::of(error, &path))
}

/// A change of an API's clients or roles.
pub(super) fn change<T>(
    context: &Context,
    act: impl FnOnce(&mut Vault, &Access, &World<'_>) -> Result<T, VaultError>,
) -> Result<T, Failure> {
    let (mut vault, access) = context.open_with_access()?;
    let path = vault.path().to_owned();
    context.with_world(|world| act(&mut vault, &access, world).map_err(|error| Failure::of(error, &path)))
}

pub(super) fn edit(
    context: &Context,
    (vault, access): (&mut Vault, &Access),
    names: &[KeyName],
    change: &Edit,
) -> Result<u8, Failure> {
    let path = vault.path().to_owned();
    let keys = context.with_world(|world| {
        issued::edit(vault, access, world, names, change).map_err(|error| Failure::of(error, &path))
    })?;
    if context.ui.json {
        context.ui.print_json(&IssuedJson::all(&keys))?;
    } else {
        for key in &keys {
            context.ui.confirm(&format!("{} is changed", key.label()))?;
        }
    }
    Ok(code::DONE)
}

/// New secrets, each alone in its line on stdout.
pub(super) fn rotate(
    context: &Context,
    (vault, access): (&mut Vault, &Access),
    names: &[KeyName],
    terms: Terms,
) -> Result<u8, Failure> {
    let path = vault.path().to_owned();
    let minted = context.with_world(|world| {
        issued::rotate(vault, access, world, names, terms).map_err(|error| Failure::of(error, &path))
    })?;
    let labels: Vec<_> = minted.iter().map(|minted| minted.key.label()).collect();
    let lost = |failure| lost(failure, &labels.join(" "));
    let ui = &context.ui;
    if ui.json {
        let json = |minted: &Minted| IssuedJson::of(&minted.key).with_text(minted.text.expose());
        let keys: Vec<_> = minted.iter().map(json).collect();
        ui.print_json(&serde_json::json!({ "keys": keys })).map_err(lost)?;
        return Ok(code::DONE);
    }
    for minted in &minted {
        ui.data(minted.text.expose()).and_then(|()| ui.data(b"\n")).map_err(lost)?;
    }
    for minted in &minted {
        ui.note(&rotated(&minted.key, context.now()));
    }
    Ok(code::DONE)
}

/// `acme/prod has a new secret with the id …; the old one stays valid until …. It is shown only once: hand it over now.`
fn rotated(key: &Key, now: Moment) -> String {
    let old = key.formers.first().map(|former| match former.ends {
        Some(end) if end > now && former.standing != Some(issued::Standing::Revoked) => {
            format!("; the old one stays valid until {}", when(end, now))
        }
        _ => "; the old one is refused".to_owned(),
    });
    format!(
        "`{}` has a new secret with the id {}{}. It is shown only once: hand it over now.",
        key.label(),
        key.record.id,
        old.unwrap_or_default()
    )
}

pub(super) fn switch(
    context: &Context,
    (vault, access): (&mut Vault, &Access),
    names: &[KeyName],
    switch: Switch<'_>,
) -> Result<u8, Failure> {
    let path = vault.path().to_owned();
    let switched = context.with_world(|world| {
        issued::switch(vault, access, world, names, switch).map_err(|error| Failure::of(error, &path))
    })?;
    if context.ui.json {
        context.ui.print_json(&IssuedJson::all(switched.iter().map(|(key, _)| key)))?;
        return Ok(code::DONE);
    }
    for (key, changed) in &switched {
        context.ui.confirm(&sentence(key, *changed, switch))?;
    }
    Ok(code::DONE)
}

fn sentence(key: &Key, changed: bool, switch: Switch<'_>) -> String {
    let name = key.label();
    let is_revoked = key.standing == Some(issued::Standing::Revoked);
    match (switch, changed) {
        (Switch::Disable(_), true) => format!("{name} is disabled; `keyvault enable {name}` enables it"),
        (Switch::Disable(_), false) if is_revoked => format!("{name} is revoked"),
        (Switch::Disable(_), false) => format!("{name} was already disabled"),
        (Switch::Enable, true) => match key.standing {
            Some(issued::Standing::Active) => format!("{name} is enabled"),
            standing => format!("{name} is enabled; it is {}", view::status(standing)),
        },
        (Switch::Enable, false) if is_revoked => {
            format!("{name} is revoked; `keyvault rotate {name}` gives it a new secret")
        }
        (Switch::Enable, false) => format!("{name} was not disabled"),
        (Switch::Revoke { .. }, true) if key.name.is_some() => {
            format!("{name} is revoked; `keyvault rotate {name}` gives it a new secret")
        }
        (Switch::Revoke { .. }, true) => format!("{name} is revoked"),
        (Switch::Revoke { .. }, false) => format!("{name} was already revoked"),
    }
}

/// Removes keys, for 30 days or at once for ever.
pub(super) fn remove(
    context: &Context,
    (vault, access): (&mut Vault, &Access),
    names: &[KeyName],
    wipe: bool,
) -> Result<u8, Failure> {
    let path = vault.path().to_owned();
    let act = if wipe { issued::wipe } else { issued::remove };
    let removed = context
        .with_world(|world| act(vault, access, world, names).map_err(|error| Failure::of(error, &path)))?;
    let until = |removed: &Removed| (!wipe).then(|| removed.until());
    if context.ui.json {
        let keys = removed.iter().map(|removed| {
            serde_json::json!({ "name": removed.key.label(), "until": until(removed).map(time::rfc3339) })
        });
        context.ui.print_json(&serde_json::json!({ "keys": keys.collect::<Vec<_>>() }))?;
        return Ok(code::DONE);
    }
    for removed in &removed {
        let name = removed.key.label();
        let deed = if wipe { "wiped" } else { "removed" };
        let back = until(removed)
            .map(|until| format!("; `keyvault undelete {name}` brings it back until {}", time::local(until)));
        context
            .ui
            .confirm(&format!("{name} is {deed} and refused from now on{}", back.unwrap_or_default()))?;
    }
    Ok(code::DONE)
}

pub(super) fn undelete(
    context: &Context,
    (vault, access): (&mut Vault, &Access),
    name: &KeyName,
    rename: Option<&KeyName>,
) -> Result<u8, Failure> {
    let path = vault.path().to_owned();
    let key = context.with_world(|world| {
        issued::undelete(vault, access, world, name, rename).map_err(|error| Failure::of(error, &path))
    })?;
    if context.ui.json {
        context.ui.print_json(&IssuedJson::all([&key]))?;
    } else {
        let state = match key.standing {
            Some(issued::Standing::Active) => String::new(),
            standing => format!(" and is {}", view::status(standing)),
        };
        context.ui.confirm(&format!("{} is back{state}", key.label()))?;
    }
    Ok(code::DONE)
}

pub(super) fn history(context: &Context, key: &Key) -> Result<u8, Failure> {
    let now = context.now();
    let formers = key.formers.iter().map(|former| (&former.record, former.standing, former.ends));
    let all: Vec<_> = std::iter::once((&key.record, key.standing, key.ends)).chain(formers).collect();
    if context.ui.json {
        let ids = all.iter().map(|(record, standing, ends)| {
            let note = view::note(&record.state);
            serde_json::json!({
                "id": record.id.as_str(),
                "status": view::status(*standing),
                "created": time::rfc3339(record.created),
                "valid_until": ends.map(time::rfc3339),
                "since": note.map(|(since, _)| time::rfc3339(since)),
                "reason": note.map(|(_, reason)| reason).filter(|reason| !reason.is_empty()),
            })
        });
        let ids: Vec<_> = ids.collect();
        context.ui.print_json(&serde_json::json!({ "name": key.label(), "ids": ids }))?;
        return Ok(code::DONE);
    }
    let mut table = Table::new([
        Column::whole("ID"),
        Column::whole("STATUS"),
        Column::number("AGE").spare(1),
        Column::whole("VALID UNTIL"),
        Column::broken("REASON"),
    ]);
    for (record, standing, ends) in all {
        let (word, style) = view::status_word(standing);
        let (ends, soon) = view::expiry(ends, now);
        let reason = view::since(&record.state, now).unwrap_or_default();
        table.row([
            Cell::from(record.id.to_string()),
            Cell::styled(word, style),
            time::between(record.created, now).into(),
            Cell::styled(ends, soon),
            reason.into(),
        ]);
    }
    context.ui.paged(&table.text(&context.ui))?;
    Ok(code::DONE)
}

/// The table of `list --issued`.
pub(super) fn list(context: &Context, keys: &[Key]) -> Result<u8, Failure> {
    let now = context.now();
    if context.ui.json {
        context.ui.print_json(&IssuedJson::all(keys))?;
        return Ok(code::DONE);
    }
    if keys.is_empty() {
        context.ui.note("No matching issued keys.");
        return Ok(code::DONE);
    }
    let many = |of: fn(&Key) -> &Label| keys.iter().any(|key| of(key).as_str() != "default");
    let with_api = many(|key| &key.api);
    let mut columns = vec![Column::whole("NAME"), Column::whole("ID")];
    if with_api {
        columns.push(Column::whole("API").spare(2));
    }
    columns.extend([
        Column::whole("CLIENT").spare(3),
        Column::broken("SCOPES").last_spare(2),
        Column::number("AGE").spare(1),
        Column::whole("EXPIRES").last_spare(1),
        Column::whole("STATUS"),
    ]);
    let mut table = Table::new(columns);
    for key in keys {
        let (word, style) = view::status_word(key.standing);
        let (ends, soon) = view::expiry(key.ends, now);
        let scopes = key.scopes.iter().map(ToString::to_string);
        let roles = key.roles.iter().map(|role| format!("role {role}"));
        let mut cells: Vec<Cell<'_>> = vec![
            key.name.as_ref().map_or("-".into(), |name| name.as_str().into()),
            key.record.id.to_string().into(),
        ];
        if with_api {
            cells.push(key.api.as_str().into());
        }
        cells.extend([
            key.client.as_ref().map_or("-".into(), |client| client.as_str().into()),
            joined(scopes.chain(roles)).into(),
            time::between(key.record.created, now).into(),
            Cell::styled(ends, soon),
            Cell::styled(word, style),
        ]);
        table.row(cells);
    }
    context.ui.paged(&table.text(&context.ui))?;
    Ok(code::DONE)
}

/// The table of `list --issued --removed`.
pub(super) fn list_removed(context: &Context, removed: &[Removed]) -> Result<u8, Failure> {
    let now = context.now();
    if context.ui.json {
        let keys: Vec<_> = removed.iter().map(IssuedJson::of_removed).collect();
        context.ui.print_json(&serde_json::json!({ "keys": keys }))?;
        return Ok(code::DONE);
    }
    if removed.is_empty() {
        context.ui.note("No matching removed keys.");
        return Ok(code::DONE);
    }
    let mut table = Table::new([
        Column::whole("NAME"),
        Column::whole("ID"),
        Column::whole("CLIENT").spare(1),
        Column::whole("REMOVED"),
        Column::number("LEFT"),
    ]);
    for one in removed {
        let left = (one.until() > now).then(|| time::between(now, one.until()));
        table.row([
            one.key.label(),
            one.key.record.id.to_string(),
            one.key.client.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            time::relative(one.removed, now),
            left.unwrap_or_else(|| "0d".to_owned()),
        ]);
    }
    context.ui.paged(&table.text(&context.ui))?;
    Ok(code::DONE)
}
