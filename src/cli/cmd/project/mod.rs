//! `keyvault project …`: which keys a project needs, written down in the project.

pub mod add;
pub mod approve;
pub mod check;
pub(in crate::cli) mod gate;
pub mod init;
pub mod render;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::errors::Failure;

/// Record which keys a project needs, and use them.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "each command's words stand with its arguments")]
pub enum Project {
    Init(init::Init),
    Add(add::Add),
    Approve(approve::Approve),
    Check(check::Check),
    Render(render::Render),
}

impl Project {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::Init(args) => args.run(context),
            Self::Add(args) => args.run(context),
            Self::Approve(args) => args.run(context),
            Self::Check(args) => args.run(context),
            Self::Render(args) => args.run(context),
        }
    }
}
