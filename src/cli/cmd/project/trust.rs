//! `keyvault project trust`

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use clap::Args;

use super::gate;
use crate::cli::context::{self, Context};
use crate::cli::errors::project::not_remembered;
use crate::cli::errors::{Failure, code};
use crate::cli::{output, prompt};
use crate::project::place;
use keyvault_os::process::actor::User;

/// Read the project files of a folder that belongs to another user.
///
/// Such files are refused otherwise, because their author is not you. The trust applies to this folder and everything below it, as long as its owner stays the same. Keys that a file there asks for still have to be approved. With a token no trust is needed: its grants
/// decide.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// The folder, instead of that of the nearest project file
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Withdraw the trust
    #[arg(long, conflicts_with = "yes")]
    withdraw: bool,
}

impl Trust {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<u8, Failure> {
        let folder = if let Some(folder) = self.folder {
            folder.canonicalize().map_err(|error| Failure::io(&folder, &error))?
        } else {
            let here = gate::working_folder()?;
            let file = place::find(&here, context::home().as_deref());
            file.and_then(|file| Some(file.parent()?.to_owned())).unwrap_or(here)
        };
        let shown = output::harmless_line(&folder.display().to_string());
        let (trusted, approvals) = (gate::trusted()?, gate::approvals()?);
        if self.withdraw {
            let turn = gate::turn(context, &approvals)?;
            let was = trusted.withdraw(&folder, &turn).map_err(|error| not_remembered(&error))?;
            if context.ui.json {
                context.ui.print_json(
                    &serde_json::json!({ "folder": folder.to_string_lossy(), "trusted": false, "uid": null, "changed": was }),
                )?;
            } else {
                let rest = if was { "is no longer trusted" } else { "was not trusted" };
                context.ui.confirm(&format!("{shown} {rest}."))?;
            }
            return Ok(code::DONE);
        }
        let uid = std::fs::metadata(&folder).map_err(|error| Failure::io(&folder, &error))?.uid();
        let owner = User::of(uid);
        let name =
            owner.name.as_deref().map(|name| format!("{} ", output::harmless_line(name))).unwrap_or_default();
        if !self.yes {
            if !context.may_ask() {
                return Err(Failure::usage(
                    &format!("A person has to trust a folder, and {}.", context.unasked()),
                    Some("Use `--yes` to confirm."),
                ));
            }
            let text = format!(
                "{shown} belongs to user {name}({uid}), who can change its project files at any time."
            );
            if !prompt::confirm(&text, "Read them?")? {
                return Err(Failure::refused("Nothing was trusted.", None));
            }
        }
        let turn = gate::turn(context, &approvals)?;
        trusted.add(&folder, uid, &turn).map_err(|error| not_remembered(&error))?;
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({
                "folder": folder.to_string_lossy(), "trusted": true, "uid": uid, "changed": true,
            }))?;
        } else {
            context.ui.confirm(&format!(
                "Project files of user {name}({uid}) below {shown} are read from now on."
            ))?;
        }
        Ok(code::DONE)
    }
}
