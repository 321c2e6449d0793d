//! `keyvault project approve`

use clap::Args;

use super::gate::{self, Believed, Found};
use crate::cli::context::Context;
use crate::cli::errors::project::ask_line;
use crate::cli::errors::{self, Failure, code};
use crate::project::approval::Ask;

/// Approve the keys that the project file asks for.
///
/// Shows every variable with its key, marks what is new, and asks; without a terminal, --yes approves. The approval holds
/// for this path and for what is shown: another key, template, default or profile has to be approved again.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Withdraw every approval for this path
    #[arg(long, conflicts_with = "yes")]
    withdraw: bool,
}

impl Approve {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<u8, Failure> {
        if self.withdraw {
            return withdraw(context);
        }
        let found = Found::required(Believed::Trusted)?;
        let asks: std::collections::BTreeSet<Ask> =
            found.file.all().map(|(section, entry)| Ask::of(section, entry)).collect();
        if asks.is_empty() {
            return Err(errors::project::asks_for_nothing(&found.path, &found.file, None));
        }
        let approvals = gate::approvals()?;
        let turn = gate::turn(context, &approvals)?;
        let new = approvals.check(&found.path, &asks).err().unwrap_or_default();
        if !new.is_empty() && !self.yes {
            if !context.may_ask() {
                return Err(Failure::usage(
                    &format!("A person has to approve a project file, and {}.", context.unasked()),
                    Some("Use `--yes` if someone has reviewed the file."),
                ));
            }
            if !gate::confirmed(&found, &asks, &new)? {
                return Err(Failure::refused("Nothing was approved.", None));
            }
        }
        if !new.is_empty() {
            approvals
                .approve(&found.path, &asks, &turn)
                .map_err(|error| errors::project::not_remembered(&error))?;
        }
        if context.ui.json {
            let line = |ask: &Ask| {
                serde_json::json!({
                    "variable": ask.variable, "profile": ask.profile, "key": ask.key, "template": ask.template,
                    "default": ask.default, "new": new.contains(ask),
                })
            };
            let approved: Vec<_> = asks.iter().map(line).collect();
            let file = found.path.to_string_lossy();
            context
                .ui
                .print_json(&serde_json::json!({ "file": file, "approved": approved, "withdrawn": 0 }))?;
        } else if new.is_empty() {
            context.ui.confirm("Everything it asks for was already approved.")?;
        } else {
            for ask in &new {
                context.ui.confirm(&format!("approved: {}", ask_line(ask)))?;
            }
        }
        Ok(code::DONE)
    }
}

/// Works where the file is no longer understood, too.
fn withdraw(context: &Context) -> Result<u8, Failure> {
    let path = crate::project::place::find(&gate::working_folder()?, crate::cli::context::home().as_deref())
        .ok_or_else(errors::project::no_file)?;
    let approvals = gate::approvals()?;
    let turn = gate::turn(context, &approvals)?;
    let withdrawn =
        approvals.withdraw(&path, &turn).map_err(|error| errors::project::not_remembered(&error))?;
    if context.ui.json {
        let file = path.to_string_lossy();
        context
            .ui
            .print_json(&serde_json::json!({ "file": file, "approved": [], "withdrawn": withdrawn }))?;
    } else {
        context.ui.confirm(&match withdrawn {
            0 => "Nothing was approved.".to_owned(),
            count => {
                let variables = crate::cli::output::view::counted(count, "variable");
                format!("Withdrew the approval of {variables}. keyvault will ask again.")
            }
        })?;
    }
    Ok(code::DONE)
}
