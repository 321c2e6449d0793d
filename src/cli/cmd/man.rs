//! `keyvault man`

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::help;

/// Print the manual page, or write all pages to a folder.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command to this folder, such as ~/.local/share/man/man1
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    all: Option<PathBuf>,
}

impl Man {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let Some(folder) = self.all else {
            context.ui.data(help::manual_page().as_bytes())?;
            return Ok(code::DONE);
        };
        std::fs::create_dir_all(&folder).map_err(|error| Failure::io(&folder, &error))?;
        for (name, page) in help::manual_pages() {
            let path = folder.join(name);
            std::fs::write(&path, page).map_err(|error| Failure::io(&path, &error))?;
        }
        Ok(code::DONE)
    }
}
