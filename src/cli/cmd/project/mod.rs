//! `keyvault project …`: which keys a project needs, written down in the project.

pub(crate) mod add;
pub(crate) mod approve;
pub(crate) mod check;
pub(in crate::cli) mod gate;
pub(crate) mod init;
pub(in crate::cli) mod mentions;
pub(in crate::cli) mod naming;
pub(crate) mod render;
pub(crate) mod trust;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::errors::Failure;

/// Record which keys a project needs, and use them.
#[derive(Debug, Subcommand)]
pub(crate) enum Project {
    Init(init::Init),
    Add(add::Add),
    Approve(approve::Approve),
    Check(check::Check),
    Render(render::Render),
    Trust(trust::Trust),
}

impl Project {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::Init(args) => args.run(context),
            Self::Add(args) => args.run(context),
            Self::Approve(args) => args.run(context),
            Self::Check(args) => args.run(context),
            Self::Render(args) => args.run(context),
            Self::Trust(args) => args.run(context),
        }
    }
}
