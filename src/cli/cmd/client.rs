//! `keyvault client …`

use clap::{Args, Subcommand};
use keyvault_core::clock::Moment;
use keyvault_core::name::Label;
use keyvault_issue::record::State;
use keyvault_vault::issued::{self, ClientEdit, ClientView, Switch};

use super::issued::change;
use super::revoke::reason;
use crate::cli::args::named;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::issued::{self as view, ConditionsJson};
use crate::cli::output::table::{Cell, Column, Table};
use crate::cli::output::{self, time};
use crate::cli::restrictions::{Dropped, Restrictions, text};

/// Manage clients, the owners of issued keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Client {
    Add(Add),
    List(List),
    Show(Show),
    Edit(Edit),
    Disable(Disable),
    Enable(Enable),
    Remove(Remove),
}

/// Add a client.
///
/// Its rates and quotas hold for all of its keys together, so that neither many keys nor a rotation multiplies them.
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    named: Named,
    /// An address or a note for people
    #[arg(long, value_name = "TEXT", value_parser = text)]
    contact: Option<String>,
    #[command(flatten)]
    restrictions: Restrictions,
}

/// List clients.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Of this API alone
    #[arg(long, value_name = "API", value_parser = named::<Label>)]
    api: Option<Label>,
}

/// Show a client.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    named: Named,
}

/// Change a client's name, contact, or restrictions.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    named: Named,
    /// A new name
    #[arg(long, value_name = "NAME", value_parser = named::<Label>)]
    rename: Option<Label>,
    /// An address or a note for people; an empty one removes it
    #[arg(long, value_name = "TEXT", value_parser = text)]
    contact: Option<String>,
    #[command(flatten)]
    dropped: Dropped,
    #[command(flatten)]
    restrictions: Restrictions,
}

/// Disable a client: refuse all of its keys until `keyvault client enable`.
#[derive(Debug, Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    named: Named,
    /// The reason, for the audit log and `keyvault client show`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = reason)]
    reason: String,
}

/// Enable a client that was disabled.
#[derive(Debug, Args)]
pub(crate) struct Enable {
    #[command(flatten)]
    named: Named,
}

/// Remove a client that has no keys but revoked ones.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    named: Named,
}

#[derive(Debug, Args)]
struct Named {
    /// The client's name, such as acme
    #[arg(value_parser = named::<Label>)]
    name: Label,
    /// The API that it belongs to, instead of `default`
    #[arg(long, value_name = "API", value_parser = named::<Label>)]
    api: Option<Label>,
}

impl Client {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::Add(Add { named, contact, restrictions }) => {
                let conditions = restrictions.conditions();
                let edit = ClientEdit { contact, conditions, ..ClientEdit::default() };
                let client = change(context, |vault, access, world| {
                    issued::add_client(vault, access, world, named.api.as_ref(), &named.name, &edit)
                })?;
                answer(context, &client, "added")
            }
            Self::Edit(Edit { named, rename, contact, dropped, restrictions }) => {
                let (clear, conditions) = (dropped.parts(), restrictions.conditions());
                let edit = ClientEdit { rename, contact, clear, conditions };
                if edit == ClientEdit::default() {
                    return Err(Failure::usage(
                        "No change given.",
                        Some("`keyvault client edit --help` lists what can be changed."),
                    ));
                }
                let client = change(context, |vault, access, world| {
                    issued::edit_client(vault, access, world, named.api.as_ref(), &named.name, &edit)
                })?;
                answer(context, &client, "changed")
            }
            Self::List(List { api }) => list(context, api.as_ref()),
            Self::Show(Show { named }) => {
                let all = all(context, named.api.as_ref())?;
                let is_meant = |view: &&ClientView| {
                    view.client.name == named.name
                        && named.api.as_ref().map_or("default", Label::as_str) == view.api.as_str()
                };
                match all.iter().find(is_meant) {
                    Some(client) => show(context, client),
                    None => Err(Failure::of(
                        issued::missing_client(&all, &named.name),
                        std::path::Path::new("the vault"),
                    )),
                }
            }
            Self::Disable(Disable { named, reason }) => {
                switch(context, &named, Switch::Disable(&reason), ("is disabled", "was already disabled"))
            }
            Self::Enable(Enable { named }) => {
                switch(context, &named, Switch::Enable, ("is enabled", "was not disabled"))
            }
            Self::Remove(Remove { named }) => {
                let removed = change(context, |vault, access, world| {
                    issued::remove_client(vault, access, world, named.api.as_ref(), &named.name)
                })?;
                if context.ui.json {
                    context.ui.print_json(&json(&removed))?;
                } else {
                    context.ui.confirm(&format!("client {} is removed", named.name))?;
                }
                Ok(code::DONE)
            }
        }
    }
}

fn switch(
    context: &Context,
    named: &Named,
    switch: Switch<'_>,
    (done, before): (&str, &str),
) -> Result<u8, Failure> {
    let (client, changed) = change(context, |vault, access, world| {
        issued::switch_client(vault, access, world, named.api.as_ref(), &named.name, switch)
    })?;
    if context.ui.json {
        context.ui.print_json(&json(&client))?;
    } else {
        let words = if changed { done } else { before };
        context.ui.confirm(&format!("client {} {words}", named.name))?;
    }
    Ok(code::DONE)
}

fn all(context: &Context, api: Option<&Label>) -> Result<Vec<ClientView>, Failure> {
    let (mut vault, access) = context.open_to_look()?;
    let path = vault.path().to_owned();
    context.with_world(|world| {
        issued::clients(&mut vault, &access, world, api).map_err(|error| Failure::of(error, &path))
    })
}

fn answer(context: &Context, client: &ClientView, deed: &str) -> Result<u8, Failure> {
    if context.ui.json {
        context.ui.print_json(&json(client))?;
    } else {
        context.ui.confirm(&format!("client {} is {deed}", client.client.name))?;
    }
    Ok(code::DONE)
}

fn show(context: &Context, client: &ClientView) -> Result<u8, Failure> {
    if context.ui.json {
        context.ui.print_json(&json(client))?;
    } else {
        context.ui.data(facts(context, client).as_bytes())?;
    }
    Ok(code::DONE)
}

fn list(context: &Context, api: Option<&Label>) -> Result<u8, Failure> {
    let all = all(context, api)?;
    if context.ui.json {
        let clients: Vec<_> = all.iter().map(json).collect();
        context.ui.print_json(&serde_json::json!({ "clients": clients }))?;
        return Ok(code::DONE);
    }
    if all.is_empty() {
        context.ui.note("No clients yet. Add one with `keyvault client add NAME`.");
        return Ok(code::DONE);
    }
    let now = context.now();
    let mut table = Table::new([
        Column::whole("NAME"),
        Column::whole("API").spare(2),
        Column::number("KEYS"),
        Column::broken("CONTACT").last_spare(1),
        Column::number("AGE").spare(1),
        Column::whole("STATUS"),
    ]);
    for view in &all {
        let (word, style) = state(&view.client.state);
        table.row([
            Cell::from(view.client.name.as_str()),
            view.api.as_str().into(),
            view.keys.to_string().into(),
            output::harmless_line(&view.client.contact).into(),
            time::between(view.client.created, now).into(),
            Cell::styled(if word == "active" { word.to_owned() } else { word.to_uppercase() }, style),
        ]);
    }
    context.ui.paged(&table.text(&context.ui))?;
    Ok(code::DONE)
}

fn state(state: &State) -> (&'static str, anstyle::Style) {
    match state {
        State::Active => ("active", output::GOOD),
        State::Disabled(_) => ("disabled", output::BAD),
        State::Revoked(_) => ("revoked", output::BAD),
    }
}

fn facts(context: &Context, view: &ClientView) -> String {
    let now: Moment = context.now();
    let client = &view.client;
    let (word, style) = state(&client.state);
    let shown = if word == "active" { word.to_owned() } else { word.to_uppercase() };
    let mut lines = vec![
        ("name", context.ui.on_out(output::STRONG, client.name.as_str())),
        ("id", client.id.to_string()),
        ("api", view.api.to_string()),
    ];
    lines.extend(view.issuer.as_ref().map(|issuer| ("issuer", issuer.to_string())));
    if !client.contact.is_empty() {
        lines.push(("contact", output::harmless_line(&client.contact)));
    }
    lines.push(("keys", view.keys.to_string()));
    lines.push(("status", context.ui.on_out(style, &shown)));
    lines.extend(view::since(&client.state, now).map(|since| ("disabled", since)));
    lines.push(("created", output::view::when(client.created, now)));
    lines.extend(view::restrictions(client.conditions.as_deref()));
    output::view::card(lines)
}

fn json(view: &ClientView) -> serde_json::Value {
    let client = &view.client;
    let note = view::note(&client.state);
    let mut answer = serde_json::json!({
        "name": client.name.as_str(),
        "id": client.id.as_str(),
        "api": view.api.as_str(),
        "issuer": view.issuer.as_ref().map(Label::as_str),
        "contact": output::view::some(&client.contact),
        "keys": view.keys,
        "status": state(&client.state).0,
        "since": note.map(|(since, _)| time::rfc3339(since)),
        "reason": note.and_then(|(_, reason)| output::view::some(reason)),
        "created": time::rfc3339(client.created),
    });
    let conditions = serde_json::to_value(ConditionsJson::of(client.conditions.as_deref()));
    if let (Some(fields), Ok(serde_json::Value::Object(more))) = (answer.as_object_mut(), conditions) {
        fields.extend(more);
    }
    answer
}
