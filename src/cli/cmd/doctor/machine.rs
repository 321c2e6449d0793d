//! The token and the bundle that a machine is given. No read is recorded and no key is looked at.

use std::path::Path;

use crate::cli::context::{Context, variable};
use crate::cli::errors::Failure;
use crate::cli::output::time;
use crate::cli::unlock::key_source::token_is_piped;
use keyvault_vault::BearerKeys;

use super::Report;

const CHECK: &str = "token";

/// Checks the token of `KEYVAULT_TOKEN`, with `KEYVAULT_BUNDLE` if that is set; nothing without a token.
pub(super) fn token(context: &Context) -> Option<Report> {
    let bundle = variable("KEYVAULT_BUNDLE");
    if token_is_piped() {
        return Some(Report::skipped(CHECK, "KEYVAULT_TOKEN_FILE is not a regular file and was not read"));
    }
    let report = match (context.given_token(), bundle) {
        (Err(failure), _) => Report::failure(CHECK, failure),
        (Ok(None), None) => return None,
        (Ok(None), Some(_)) => Report::failure(CHECK, Failure::locked_bundle()),
        (Ok(Some(_)), None) => Report::skipped(CHECK, "well-formed; `exec` and `export` use it"),
        // One that is no file may block when it is opened.
        (Ok(Some(_)), Some(file)) if std::fs::metadata(&file).is_ok_and(|facts| !facts.is_file()) => {
            Report::skipped(CHECK, "well-formed; KEYVAULT_BUNDLE is not a regular file and was not read")
        }
        (Ok(Some(token)), Some(file)) => {
            let file = Path::new(&file);
            match context.bundle(file, &BearerKeys::of(&token, None)) {
                Ok((bundle, _)) => Report::ok(
                    CHECK,
                    format!(
                        "{} opens {}, created {} at change {}",
                        bundle.content.name,
                        file.display(),
                        time::local(bundle.content.made),
                        bundle.label.change
                    ),
                ),
                Err(failure) => Report::failure(CHECK, failure),
            }
        }
    };
    Some(report)
}
