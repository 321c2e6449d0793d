//! `keyvault revoke`

use std::collections::BTreeSet;

use clap::Args;
use keyvault_vault::VersionState;
use keyvault_vault::{key, token};

use super::issued;
use super::remove::certain;
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::view::KeyJson;
use keyvault_core::name::{KeyName, TokenName};
use keyvault_vault::issued::Switch;
use keyvault_vault::{KeyRecord, Revocation, Version};

/// The longest reason, in bytes.
const MAX_REASON: usize = 500;

/// Revoke keys permanently, at once and without asking.
///
/// Refuses every version, including retired ones; `keyvault rotate` gives the key a new one. Also revoke the value at its
/// issuer, where it stays valid until then.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The keys' names
    #[arg(required = true, add = complete::more_keys(), value_parser = named::<KeyName>, value_name = "NAME")]
    names: Vec<KeyName>,
    /// Only this version, as `keyvault history` shows it
    #[arg(long, value_name = "N", add = complete::versions(&[VersionState::Current, VersionState::Previous, VersionState::Retired]))]
    version: Option<u32>,
    /// The reason, for the audit log and `keyvault history`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = reason)]
    reason: String,
    /// Also wipe the values from the file
    #[arg(long)]
    wipe: bool,
}

pub(super) fn reason(text: &str) -> Result<String, String> {
    if text.len() <= MAX_REASON { Ok(text.to_owned()) } else { Err("has more than 500 bytes".to_owned()) }
}

/// Returns `true` if all that was to be revoked was so before, for another reason.
fn keeps_reason(key: &KeyRecord, revocation: &Revocation) -> bool {
    let wanted = |version: &&Version| revocation.version.is_none_or(|number| number == version.number);
    !revocation.reason.is_empty()
        && key.versions.iter().filter(wanted).all(|version| version.reason != revocation.reason)
}

impl Revoke {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        if self.version.is_some() && self.names.len() > 1 {
            return Err(Failure::usage(
                "`--version` applies to one key.",
                Some("Revoke the keys one at a time."),
            ));
        }
        let (mut vault, mut access) = context.open_despite_damage()?;
        if issued::are_issued(&mut vault, &access, &self.names)? {
            if self.version.is_some() {
                return Err(issued::refuse_option("--version"));
            }
            let revoke = Switch::Revoke { reason: &self.reason, wipe: self.wipe };
            return issued::switch(context, (&mut vault, &access), &self.names, revoke);
        }
        let revocation = Revocation { version: self.version, reason: self.reason, wipe: self.wipe };
        let key_records =
            context.change_despite_damage(&mut vault, &mut access, |vault, access, world| {
                key::revoke(vault, access, world, &self.names, &revocation).map_err(certain)
            })?;
        if context.ui.json {
            let now = context.now();
            context.ui.print_json(&KeyJson::all(&key_records, now))?;
            return Ok(code::DONE);
        }
        let wiped = if revocation.wipe { " and wiped" } else { "" };
        let tokens = token::granted(&mut vault, &access, &key_records).unwrap_or_default();
        for key in &key_records {
            let name = &key.name;
            context.ui.confirm(&match (revocation.version, key.current()) {
                (None, _) => format!("{name} is revoked{wiped}; `keyvault rotate {name}` gives it a new value"),
                (Some(number), Some(current)) => {
                    format!("{name} version {number} is revoked{wiped}; version {} is current", current.number)
                }
                (Some(number), None) => {
                    let back = if key.may_roll_back() { " or roll it back" } else { "" };
                    format!(
                        "{name} version {number} is revoked{wiped}, and no version is current: rotate it{back}"
                    )
                }
            })?;
            if keeps_reason(key, &revocation) {
                context.ui.note(&format!(
                    "{name} was already revoked. `keyvault history {name}` keeps the first reason; the audit log has both."
                ));
            }
        }
        if !tokens.is_empty() {
            let bundles = bundles_of(&tokens);
            context.ui.note(&format!(
                "{bundles} still holds what was revoked. Update it: keyvault bundle update FILE"
            ));
        }
        Ok(code::DONE)
    }
}

/// `Any bundle of token `ci``
pub(super) fn bundles_of(tokens: &BTreeSet<TokenName>) -> String {
    let names = tokens.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let word = if tokens.len() == 1 { "token" } else { "tokens" };
    format!("Any bundle of {word} {names}")
}
