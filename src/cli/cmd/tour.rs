//! `keyvault tour`

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::Failure;

/// x
#[derive(Debug, Args)]
pub struct Tour {}

impl Tour {
    pub(in crate::cli) fn run(self, _context: &mut Context) -> Result<u8, Failure> {
        Ok(0)
    }
}
