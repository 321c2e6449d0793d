//! `keyvault man`

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};

use crate::cli::args::Cli;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};

/// Print the manual page, or write all pages to a folder.
///
/// To read it: keyvault man | man -l -
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command to this folder, such as ~/.local/share/man/man1
    #[arg(long, value_name = "FOLDER")]
    all: Option<PathBuf>,
}

impl Man {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let mut command = Cli::command();
        command.build();
        match &self.all {
            None => context.ui.data(&page(command, "keyvault")?)?,
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(|error| Failure::io(folder, &error))?;
                write_all(command, "keyvault", folder)?;
            }
        }
        Ok(code::DONE)
    }
}

fn page(command: Command, name: &str) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    let title = name.to_uppercase();
    // The date of a page would make each build another one.
    clap_mangen::Man::new(command.name(name.to_owned()))
        .title(title)
        .date("")
        .render(&mut page)
        .map_err(|error| Failure::output(&error))?;
    Ok(page)
}

fn write_all(command: Command, name: &str, folder: &Path) -> Result<(), Failure> {
    let subcommands: Vec<_> =
        command.get_subcommands().filter(|sub| sub.get_name() != "help").cloned().collect();
    for sub in subcommands {
        let name = format!("{name}-{}", sub.get_name());
        write_all(sub, &name, folder)?;
    }
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(command, name)?).map_err(|error| Failure::io(&path, &error))
}
