//! Variables that stand for options: `KEYVAULT_SCOPE` for `--scope`, and `KEYVAULT_PROFILE` for `--profile`. Each counts only
//! where the command line chooses nothing.

use std::ffi::OsString;

use super::context::variable;
use super::errors::Failure;
use crate::project::Profile;
use keyvault_core::name::{NameError, Scope};

const SCOPE: &str = "KEYVAULT_SCOPE";
const PROFILE: &str = "KEYVAULT_PROFILE";

/// The choice of the variables for `exec`, where `--scope` and `--profile` exclude each other.
pub(super) enum Preset {
    Nothing,
    Scopes(Vec<Scope>),
    Profile(Profile),
}

pub(super) fn choice() -> Result<Preset, Failure> {
    match (scopes()?, profile()?) {
        (scopes, None) if scopes.is_empty() => Ok(Preset::Nothing),
        (scopes, None) => Ok(Preset::Scopes(scopes)),
        (scopes, Some(profile)) if scopes.is_empty() => Ok(Preset::Profile(profile)),
        (_, Some(_)) => Err(Failure::usage(
            &format!("{SCOPE} and {PROFILE} are both set, and `--scope` cannot be used with `--profile`."),
            Some("Unset one of them, or choose keys with an option."),
        )),
    }
}

/// The scopes of `KEYVAULT_SCOPE`, separated by commas; none if it is not set.
pub(super) fn scopes() -> Result<Vec<Scope>, Failure> {
    let Some(value) = variable(SCOPE) else { return Ok(Vec::new()) };
    let text = text(SCOPE, value)?;
    let scopes = text.split(',').map(str::parse).collect::<Result<_, _>>();
    scopes.map_err(|why| invalid(SCOPE, why))
}

/// The profile of `KEYVAULT_PROFILE`, if it is set.
pub(super) fn profile() -> Result<Option<Profile>, Failure> {
    let Some(value) = variable(PROFILE) else { return Ok(None) };
    let profile = text(PROFILE, value)?.parse();
    profile.map(Some).map_err(|why| invalid(PROFILE, why))
}

fn text(name: &'static str, value: OsString) -> Result<String, Failure> {
    value.into_string().map_err(|_| invalid(name, NameError::Grammar))
}

/// The value is not repeated, as that of an option is not: it may be a secret in the wrong place.
fn invalid(name: &str, why: NameError) -> Failure {
    let why = why.to_string();
    let why =
        if why.starts_with("is ") || why.starts_with("has ") { why } else { format!("is not valid: {why}") };
    let hint = format!("Set another, or unset {name}.");
    Failure::usage(&format!("The value of {name} {why}."), Some(&hint))
}
