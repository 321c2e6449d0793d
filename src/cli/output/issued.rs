//! An issued key as `list --issued`, `show`, and JSON present it.

use std::collections::BTreeMap;

use anstyle::Style;
use serde::Serialize;

use keyvault_core::clock::Moment;
use keyvault_issue::record::{Conditions, Environment, State};
use keyvault_issue::standing::Standing;
use keyvault_vault::issued::{Former, Key, Removed};

use super::time;
use super::view::{card, joined, some, style_of_expiry, when};
use crate::cli::output::{self, Ui};
use crate::cli::restrictions::{network_text, period_name, quota_text, rate_text};

/// An issued key in the order of [`facts`]. The text is there in the answer that shows it once.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct IssuedJson {
    name: Option<String>,
    id: String,
    api: String,
    issuer: Option<String>,
    client: Option<String>,
    environment: &'static str,
    prefix: String,
    display_name: Option<String>,
    scopes: Vec<String>,
    roles: Vec<String>,
    tags: BTreeMap<String, String>,
    note: Option<String>,
    status: &'static str,
    since: Option<String>,
    reason: Option<String>,
    created: String,
    not_before: Option<String>,
    expires: Option<String>,
    #[serde(flatten)]
    conditions: ConditionsJson,
    previous: Vec<FormerJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// The restrictions of a key or a client.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ConditionsJson {
    rates: Vec<RateJson>,
    quotas: Vec<QuotaJson>,
    cidrs: Vec<String>,
    origins: Vec<String>,
    methods: Vec<String>,
    paths: Vec<String>,
    apps: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RateJson {
    name: String,
    count: u32,
    /// Milliseconds.
    per: u64,
    burst: u32,
    cost: u32,
}

#[derive(Debug, Serialize)]
struct QuotaJson {
    amount: u64,
    period: &'static str,
}

#[derive(Debug, Serialize)]
struct FormerJson {
    id: String,
    status: &'static str,
    created: String,
    valid_until: Option<String>,
}

impl IssuedJson {
    #[must_use]
    pub(in crate::cli) fn of(key: &Key) -> Self {
        let record = &key.record;
        let note = note(&record.state);
        Self {
            name: key.name.as_ref().map(ToString::to_string),
            id: record.id.to_string(),
            api: key.api.to_string(),
            issuer: key.issuer.as_ref().map(ToString::to_string),
            client: key.client.as_ref().map(ToString::to_string),
            environment: environment(record.environment),
            prefix: record.prefix.as_str().to_owned(),
            display_name: some(&record.display_name),
            scopes: key.scopes.iter().map(ToString::to_string).collect(),
            roles: key.roles.iter().map(ToString::to_string).collect(),
            tags: key.tags.iter().map(|(tag, value)| (tag.to_string(), value.clone())).collect(),
            note: some(&key.note),
            status: status(key.standing),
            since: note.map(|(since, _)| time::rfc3339(since)),
            reason: note.and_then(|(_, reason)| some(reason)),
            created: time::rfc3339(record.created),
            not_before: record.not_before.map(time::rfc3339),
            expires: record.expires.map(time::rfc3339),
            conditions: ConditionsJson::of(record.conditions.as_deref()),
            previous: key.formers.iter().map(FormerJson::of).collect(),
            removed: None,
            until: None,
            key: None,
        }
    }

    #[must_use]
    pub(in crate::cli) fn of_removed(removed: &Removed) -> Self {
        Self {
            removed: Some(time::rfc3339(removed.removed)),
            until: Some(time::rfc3339(removed.until())),
            ..Self::of(&removed.key)
        }
    }

    #[must_use]
    pub(in crate::cli) fn with_text(self, text: &[u8]) -> Self {
        Self { key: Some(String::from_utf8_lossy(text).into_owned()), ..self }
    }

    pub(in crate::cli) fn all<'k>(keys: impl IntoIterator<Item = &'k Key>) -> serde_json::Value {
        serde_json::json!({ "keys": keys.into_iter().map(Self::of).collect::<Vec<_>>() })
    }
}

impl ConditionsJson {
    #[must_use]
    pub(in crate::cli) fn of(conditions: Option<&Conditions>) -> Self {
        let none = Conditions::default();
        let conditions = conditions.unwrap_or(&none);
        let texts = |list: &[Box<str>]| list.iter().map(ToString::to_string).collect();
        let rates = conditions.limits.iter().map(|limit| RateJson {
            name: limit.name.to_string(),
            count: limit.count,
            per: limit.per,
            burst: limit.burst,
            cost: limit.cost,
        });
        let quotas = conditions
            .quotas
            .iter()
            .map(|quota| QuotaJson { amount: quota.amount, period: period_name(quota.period) });
        Self {
            rates: rates.collect(),
            quotas: quotas.collect(),
            cidrs: conditions.networks.iter().map(network_text).collect(),
            origins: texts(&conditions.origins),
            methods: texts(&conditions.methods),
            paths: texts(&conditions.paths),
            apps: texts(&conditions.apps),
        }
    }
}

impl FormerJson {
    fn of(former: &Former) -> Self {
        Self {
            id: former.record.id.to_string(),
            status: status(former.standing),
            created: time::rfc3339(former.record.created),
            valid_until: former.ends.map(time::rfc3339),
        }
    }
}

pub(in crate::cli) fn environment(environment: Environment) -> &'static str {
    match environment {
        Environment::Live => "live",
        Environment::Test => "test",
    }
}

/// A standing in a word.
#[must_use]
pub(in crate::cli) fn status(standing: Option<Standing>) -> &'static str {
    match standing {
        Some(Standing::Active) => "active",
        Some(Standing::NotYet) => "not_yet",
        Some(Standing::Expired) => "expired",
        Some(Standing::Held) => "held",
        Some(Standing::Disabled) => "disabled",
        Some(Standing::Revoked) => "revoked",
        Some(Standing::Refused(_)) => "refused",
        Some(Standing::Decoy) => "decoy",
        None => "unavailable",
    }
}

/// A standing as people read it. Upper case marks what is refused where there are no colors.
#[must_use]
pub(in crate::cli) fn status_word(standing: Option<Standing>) -> (String, Style) {
    match standing {
        Some(Standing::Active) => ("active".to_owned(), output::GOOD),
        Some(Standing::NotYet) => ("NOT YET".to_owned(), output::WARN),
        standing => (status(standing).to_uppercase(), output::BAD),
    }
}

/// Since when and why a key or a client is disabled or revoked.
#[must_use]
pub(in crate::cli) fn note(state: &State) -> Option<(Moment, &str)> {
    match state {
        State::Active => None,
        State::Disabled(note) | State::Revoked(note) => Some((note.since, &note.reason)),
    }
}

/// `2026-11-22 14:00 (2h ago): leaked`
#[must_use]
pub(in crate::cli) fn since(state: &State, now: Moment) -> Option<String> {
    let (since, reason) = note(state)?;
    let since = when(since, now);
    Some(if reason.is_empty() { since } else { format!("{since}: {}", output::harmless_line(reason)) })
}

/// The restrictions, a line each; none where there is no restriction.
#[must_use]
pub(in crate::cli) fn restrictions(conditions: Option<&Conditions>) -> Vec<(&'static str, String)> {
    let Some(conditions) = conditions else { return Vec::new() };
    let texts = |list: &[Box<str>]| joined(list.iter().map(|text| output::harmless_line(text)));
    let lines = [
        ("rates", joined(conditions.limits.iter().map(rate_text))),
        ("quotas", joined(conditions.quotas.iter().map(quota_text))),
        ("networks", joined(conditions.networks.iter().map(network_text))),
        ("origins", texts(&conditions.origins)),
        ("methods", texts(&conditions.methods)),
        ("paths", texts(&conditions.paths)),
        ("apps", texts(&conditions.apps)),
    ];
    lines.into_iter().filter(|(_, text)| text != "-").collect()
}

/// A key's facts, a line each.
#[must_use]
pub(in crate::cli) fn facts(key: &Key, now: Moment, ui: &Ui) -> String {
    let record = &key.record;
    let mut lines = Vec::new();
    if let Some(name) = &key.name {
        lines.push(("name", ui.on_out(output::STRONG, name.as_str())));
    }
    lines.push(("id", record.id.to_string()));
    lines.push(("api", format!("{}, {}", key.api, environment(record.environment))));
    lines.extend(key.issuer.as_ref().map(|issuer| ("issuer", issuer.to_string())));
    lines.push(("client", key.client.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)));
    if !record.display_name.is_empty() {
        lines.push(("display name", output::harmless_line(&record.display_name)));
    }
    lines.push(("scopes", joined(key.scopes.iter())));
    if !key.roles.is_empty() {
        lines.push(("roles", joined(key.roles.iter())));
    }
    if !key.tags.is_empty() {
        let tags = key.tags.iter().map(|(tag, value)| format!("{tag}={}", output::harmless_line(value)));
        lines.push(("tags", tags.collect::<Vec<_>>().join(", ")));
    }
    if !key.note.is_empty() {
        lines.push(("note", output::harmless_line(&key.note)));
    }
    let (word, style) = status_word(key.standing);
    lines.push(("status", ui.on_out(style, &word)));
    let label = if record.state.is_revoked() { "revoked" } else { "disabled" };
    lines.extend(since(&record.state, now).map(|since| (label, since)));
    lines.push(("created", when(record.created, now)));
    lines.extend(record.not_before.map(|begin| ("not before", when(begin, now))));
    lines.push(("expires", record.expires.map_or_else(|| "never".to_owned(), |at| when(at, now))));
    lines.extend(restrictions(record.conditions.as_deref()));
    for former in key.formers.iter().filter(|former| former.standing == Some(Standing::Active)) {
        let until = former.ends.map(|end| format!(", valid until {}", when(end, now))).unwrap_or_default();
        lines.push(("previous", format!("{}{until}", former.record.id)));
    }
    card(lines)
}

/// The expiry as a table has it.
#[must_use]
pub(in crate::cli) fn expiry(ends: Option<Moment>, now: Moment) -> (String, Option<Style>) {
    let text = ends.map_or_else(|| "never".to_owned(), |end| time::relative(end, now));
    (text, style_of_expiry(ends, now))
}
