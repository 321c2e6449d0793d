//! `keyvault api …`

use clap::{Args, Subcommand, ValueEnum};
use keyvault_core::name::Label;
use keyvault_issue::record::{Prefix, Reaction};
use keyvault_vault::issued::{self, ApiEdit, ApiSummary};

use super::issue::prefix;
use crate::cli::args::named;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output;
use crate::cli::output::table::{Column, Table};
use crate::cli::output::view::{self, joined};

/// Manage the APIs that you issue keys for.
#[derive(Debug, Subcommand)]
pub(crate) enum Api {
    Add(Add),
    Edit(Edit),
    List(List),
    Show(Show),
}

/// Add an API.
///
/// The API `default` is there from the first issued key on. Another one has keys, clients, and roles of its own, and its
/// verifiers see nothing of the others.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The API's name
    #[arg(value_parser = named::<Label>)]
    name: Label,
    #[command(flatten)]
    settings: Settings,
}

/// Change an API.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The API's name
    #[arg(value_parser = named::<Label>)]
    name: Label,
    #[command(flatten)]
    settings: Settings,
}

/// List APIs.
#[derive(Debug, Args)]
pub(crate) struct List {}

/// Show an API.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The API's name
    #[arg(value_parser = named::<Label>)]
    name: Label,
}

#[derive(Debug, Args)]
struct Settings {
    /// How new keys start, instead of kv; keys with an earlier prefix stay valid
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    prefix: Option<Prefix>,
    /// When a key is reported as leaked: alert, or hold, which refuses it until you decide
    #[arg(long, value_enum, value_name = "REACTION", hide_possible_values = true)]
    on_leak: Option<OnLeak>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnLeak {
    Alert,
    Hold,
}

impl Settings {
    fn edit(&self) -> ApiEdit {
        let reaction = self.on_leak.map(|reaction| match reaction {
            OnLeak::Alert => Reaction::Alert,
            OnLeak::Hold => Reaction::Hold,
        });
        ApiEdit { prefix: self.prefix, reaction }
    }
}

impl Api {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::Add(args) => {
                let (mut vault, access) = context.open_with_access()?;
                let path = vault.path().to_owned();
                let api = context.with_world(|world| {
                    issued::add_api(&mut vault, &access, world, &args.name, args.settings.edit())
                        .map_err(|error| Failure::of(error, &path))
                })?;
                answer(context, &api, "added")
            }
            Self::Edit(args) => {
                let edit = args.settings.edit();
                if edit == ApiEdit::default() {
                    return Err(Failure::usage(
                        "No change given.",
                        Some("`keyvault api edit --help` lists what can be changed."),
                    ));
                }
                let (mut vault, access) = context.open_with_access()?;
                let path = vault.path().to_owned();
                let api = context.with_world(|world| {
                    issued::edit_api(&mut vault, &access, world, &args.name, edit)
                        .map_err(|error| Failure::of(error, &path))
                })?;
                answer(context, &api, "changed")
            }
            Self::List(List {}) => list(context),
            Self::Show(args) => {
                let (mut vault, access) = context.open_to_look()?;
                let path = vault.path().to_owned();
                let api = context.with_world(|world| {
                    issued::api(&mut vault, &access, world, &args.name)
                        .map_err(|error| Failure::of(error, &path))
                })?;
                show(context, &api)
            }
        }
    }
}

fn all(context: &Context) -> Result<Vec<ApiSummary>, Failure> {
    let (mut vault, access) = context.open_to_look()?;
    let path = vault.path().to_owned();
    context.with_world(|world| {
        issued::apis(&mut vault, &access, world).map_err(|error| Failure::of(error, &path))
    })
}

fn answer(context: &Context, api: &ApiSummary, deed: &str) -> Result<u8, Failure> {
    if context.ui.json {
        context.ui.print_json(&json(api))?;
    } else {
        context.ui.confirm(&format!("API {} is {deed}", api.name))?;
    }
    Ok(code::DONE)
}

fn show(context: &Context, api: &ApiSummary) -> Result<u8, Failure> {
    if context.ui.json {
        context.ui.print_json(&json(api))?;
    } else {
        context.ui.data(facts(context, api).as_bytes())?;
    }
    Ok(code::DONE)
}

fn list(context: &Context) -> Result<u8, Failure> {
    let all = all(context)?;
    if context.ui.json {
        let apis: Vec<_> = all.iter().map(json).collect();
        context.ui.print_json(&serde_json::json!({ "apis": apis }))?;
        return Ok(code::DONE);
    }
    if all.is_empty() {
        context.ui.note("No APIs yet. Issue the first key with `keyvault issue NAME`.");
        return Ok(code::DONE);
    }
    let mut table = Table::new([
        Column::whole("NAME"),
        Column::whole("PREFIX"),
        Column::number("KEYS"),
        Column::number("CLIENTS"),
        Column::whole("ON LEAK"),
    ]);
    for api in &all {
        table.row([
            api.name.to_string(),
            api.prefix.as_str().to_owned(),
            api.keys.to_string(),
            api.clients.to_string(),
            reaction(api.reaction).to_owned(),
        ]);
    }
    context.ui.paged(&table.text(&context.ui))?;
    Ok(code::DONE)
}

fn reaction(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Alert => "alert",
        Reaction::Hold => "hold",
    }
}

fn facts(context: &Context, api: &ApiSummary) -> String {
    view::card(vec![
        ("name", context.ui.on_out(output::STRONG, api.name.as_str())),
        ("prefix", api.prefix.as_str().to_owned()),
        ("on leak", reaction(api.reaction).to_owned()),
        ("keys", api.keys.to_string()),
        ("clients", api.clients.to_string()),
        ("verifiers", joined(api.verifiers.iter())),
        ("issuers", joined(api.issuers.iter())),
    ])
}

fn json(api: &ApiSummary) -> serde_json::Value {
    serde_json::json!({
        "name": api.name.as_str(),
        "prefix": api.prefix.as_str(),
        "prefixes": api.prefixes.iter().map(Prefix::as_str).collect::<Vec<_>>(),
        "on_leak": reaction(api.reaction),
        "keys": api.keys,
        "clients": api.clients,
        "verifiers": api.verifiers.iter().map(Label::as_str).collect::<Vec<_>>(),
        "issuers": api.issuers.iter().map(Label::as_str).collect::<Vec<_>>(),
    })
}
