//! `keyvault role …`

use clap::{Args, Subcommand};
use keyvault_core::name::{Label, Scope};
use keyvault_vault::issued::{self, RoleView};

use super::issued::change;
use crate::cli::args::named;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::table::{Column, Table};
use crate::cli::output::view::joined;

/// Manage roles, named sets of scopes for issued keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    Add(Add),
    Edit(Edit),
    List(List),
    Remove(Remove),
}

/// Add a role.
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    named: Named,
    /// Its scopes, separated by commas; may be repeated
    #[arg(long, required = true, value_name = "SCOPE", value_delimiter = ',', value_parser = named::<Scope>)]
    scope: Vec<Scope>,
}

/// Change the scopes of a role; keys that have the role follow at once.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    named: Named,
    /// Scopes to add, separated by commas; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', value_parser = named::<Scope>, required_unless_present = "unscope")]
    scope: Vec<Scope>,
    /// Scopes to remove, separated by commas; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', value_parser = named::<Scope>)]
    unscope: Vec<Scope>,
}

/// List roles.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Of this API alone
    #[arg(long, value_name = "API", value_parser = named::<Label>)]
    api: Option<Label>,
}

/// Remove a role that no key has.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    named: Named,
}

#[derive(Debug, Args)]
struct Named {
    /// The role's name, such as reader
    #[arg(value_parser = named::<Label>)]
    name: Label,
    /// The API that it belongs to, instead of `default`
    #[arg(long, value_name = "API", value_parser = named::<Label>)]
    api: Option<Label>,
}

impl Role {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::Add(Add { named, scope }) => {
                let scopes = scope.into_iter().collect();
                let role = change(context, |vault, access, world| {
                    issued::add_role(vault, access, world, named.api.as_ref(), &named.name, &scopes)
                })?;
                answer(context, &role, "added")
            }
            Self::Edit(Edit { named, scope, unscope }) => {
                let (scope, unscope) = (scope.into_iter().collect(), unscope.into_iter().collect());
                let role = change(context, |vault, access, world| {
                    let role = (named.api.as_ref(), &named.name);
                    issued::edit_role(vault, access, world, role, &scope, &unscope)
                })?;
                answer(context, &role, "changed")
            }
            Self::List(List { api }) => list(context, api.as_ref()),
            Self::Remove(Remove { named }) => {
                let role = change(context, |vault, access, world| {
                    issued::remove_role(vault, access, world, named.api.as_ref(), &named.name)
                })?;
                if context.ui.json {
                    context.ui.print_json(&json(&role))?;
                } else {
                    context.ui.confirm(&format!("role {} is removed", named.name))?;
                }
                Ok(code::DONE)
            }
        }
    }
}

fn answer(context: &Context, role: &RoleView, deed: &str) -> Result<u8, Failure> {
    if context.ui.json {
        context.ui.print_json(&json(role))?;
    } else {
        context.ui.confirm(&format!(
            "role {} is {deed}; its scopes: {}",
            role.name,
            joined(role.scopes.iter())
        ))?;
    }
    Ok(code::DONE)
}

fn list(context: &Context, api: Option<&Label>) -> Result<u8, Failure> {
    let (mut vault, access) = context.open_to_look()?;
    let path = vault.path().to_owned();
    let all = context.with_world(|world| {
        issued::roles(&mut vault, &access, world, api).map_err(|error| Failure::of(error, &path))
    })?;
    if context.ui.json {
        let roles: Vec<_> = all.iter().map(json).collect();
        context.ui.print_json(&serde_json::json!({ "roles": roles }))?;
        return Ok(code::DONE);
    }
    if all.is_empty() {
        context.ui.note("No roles yet. Add one with `keyvault role add NAME --scope SCOPE`.");
        return Ok(code::DONE);
    }
    let mut table = Table::new([
        Column::whole("NAME"),
        Column::whole("API").spare(1),
        Column::broken("SCOPES"),
        Column::number("KEYS"),
    ]);
    for role in &all {
        table.row([
            role.name.to_string(),
            role.api.to_string(),
            joined(role.scopes.iter()),
            role.keys.to_string(),
        ]);
    }
    context.ui.paged(&table.text(&context.ui))?;
    Ok(code::DONE)
}

fn json(role: &RoleView) -> serde_json::Value {
    serde_json::json!({
        "name": role.name.as_str(),
        "api": role.api.as_str(),
        "scopes": role.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "keys": role.keys,
    })
}
