//! `keyvault history`

use std::collections::BTreeMap;

use clap::Args;

use super::issued;
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output;
use crate::cli::output::table::{Column, Table};
use crate::cli::output::time;
use keyvault_core::clock::Moment;
use keyvault_core::name::KeyName;
use keyvault_vault::{KeyRecord, VaultError, Version, key};

/// Show a key's versions.
///
/// Shows each version's state, age, fingerprint and creator, and when it was last released or shown, according to the audit
/// log.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// The key's name
    #[arg(add = complete::keys(), value_parser = named::<KeyName>)]
    name: KeyName,
}

impl History {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_to_look()?;
        let path = vault.path().to_owned();
        let (key, reads) = match key::history(&mut vault, &access, &self.name) {
            Ok(history) => history,
            Err(missing @ (VaultError::Issued(_) | VaultError::NoSuchKeys { .. })) => {
                let key = issued::instead_of(context, &mut vault, &access, &self.name, missing)?;
                return issued::history(context, &key);
            }
            Err(error) => return Err(Failure::of(error, &path)),
        };
        let now = context.now();
        if context.ui.json {
            let versions: Vec<_> = newest_first(&key).map(|version| json(version, &reads, now)).collect();
            context.ui.print_json(&serde_json::json!({ "name": key.name.as_str(), "versions": versions }))?;
        } else {
            context.ui.paged(&table(&key, &reads, now, context))?;
        }
        Ok(code::DONE)
    }
}

fn newest_first(key: &KeyRecord) -> impl Iterator<Item = &Version> {
    key.versions.iter().rev()
}

fn json(version: &Version, reads: &BTreeMap<u32, Moment>, now: Moment) -> serde_json::Value {
    serde_json::json!({
        "version": version.number,
        "state": version.state_at(now).name(),
        "wiped": version.digest.is_none(),
        "valid_until": version.good_until().map(time::rfc3339),
        "reason": output::view::some(&version.reason),
        "created": time::rfc3339(version.created),
        "since": time::rfc3339(version.in_state_since()),
        "fingerprint": version.fingerprint_hex(),
        "made_by": version.made_by,
        "last_read": reads.get(&version.number).copied().map(time::rfc3339),
    })
}

fn table(key: &KeyRecord, reads: &BTreeMap<u32, Moment>, now: Moment, context: &Context) -> String {
    let mut table = Table::new([
        Column::number("VER"),
        Column::broken("STATE"),
        Column::number("AGE").spare(1),
        Column::whole("FINGERPRINT").spare(2),
        Column::broken("MADE BY"),
        Column::whole("LAST READ"),
    ]);
    for version in newest_first(key) {
        let read = reads.get(&version.number);
        table.row([
            version.number.to_string(),
            state(version, now),
            time::between(version.created, now),
            version.fingerprint_hex(),
            output::harmless_line(&version.made_by),
            read.map_or_else(|| "never".to_owned(), |read| time::relative(*read, now)),
        ]);
    }
    table.text(&context.ui)
}

/// `previous, good for 23h`, `revoked: found in a log`
fn state(version: &Version, now: Moment) -> String {
    let mut text = version.state_at(now).name().to_owned();
    if version.digest.is_none() {
        text += ", wiped";
    }
    if let Some(until) = version.good_until().filter(|until| *until > now) {
        text += &format!(", valid for {}", time::between(now, until));
    }
    if !version.reason.is_empty() {
        text += &format!(": {}", output::harmless_line(&version.reason));
    }
    text
}
