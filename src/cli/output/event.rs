//! An entry of the log, as people and programs read it.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::time;
use super::view;
use crate::cli::output;
use crate::cli::unlock::log_gap_json;
use keyvault_core::name::KeyName;
use keyvault_issue::record::Id;
use keyvault_vault::audit::{
    ApiChange, ApiNoun, Event, Grace, IssuedChange, KeyRef, LogGap, OfSession, Outcome, Renamed, TokenChange,
    TokenEdited, Wiped,
};
use keyvault_vault::{LedgerId, Of};

pub(in crate::cli) fn json(of: &Of, event: &Event) -> Value {
    let keys: Vec<_> = event
        .keys
        .iter()
        .map(|key| serde_json::json!({ "name": key.name, "version": key.version }))
        .collect();
    let actor = &event.actor;
    let (seq, ledger, token) = match of {
        Of::Vault(seq) => (seq, None, None),
        Of::Device(ledger, seq) => (seq, Some(HEXLOWER.encode(ledger)), None),
        Of::Token(token, seq) => (seq, None, Some(token.as_str())),
    };
    // A token's bearer could claim it in its own log.
    let session = event.get::<OfSession>().filter(|_| token.is_none());
    serde_json::json!({
        "seq": seq,
        "ledger": ledger,
        "token": token,
        "time": time::rfc3339(event.time),
        "action": event.action.name(),
        "outcome": event.outcome.name(),
        "actor": {
            "user": actor.user, "host": actor.host, "pid": actor.pid, "program": actor.program,
            "terminal": actor.terminal, "job": actor.job,
        },
        "session": session.map(|of| serde_json::json!({ "name": of.session.as_str(), "made_by": of.made_by })),
        "keys": keys,
        "issued": event.get::<IssuedChange>().map(|change| issued_json(&change)),
        "detail": words(event, |seconds| format!("{seconds} s")),
        "log_gap": log_gap_json(event.gap()),
        "change": event.change.map(|change| change.number),
    })
}

fn issued_json(change: &IssuedChange) -> Value {
    let keys = change.keys.iter();
    let keys = keys.map(
        |(id, name)| serde_json::json!({ "id": id.as_str(), "name": name.as_ref().map(KeyName::as_str) }),
    );
    serde_json::json!({
        "deed": change.deed.name(), "api": change.api.as_str(), "keys": keys.collect::<Vec<_>>(),
    })
}

/// A device's ledger, as people read it.
pub(in crate::cli) fn short(ledger: &LedgerId) -> String {
    let [a, b, c, d, ..] = *ledger;
    HEXLOWER.encode(&[a, b, c, d])
}

/// The details in words, with a way to write a number of seconds.
fn words(event: &Event, length: fn(u64) -> String) -> String {
    let token = event.get().map(|TokenChange { deed, token }| format!("{} {token}", deed.name()));
    let edited = event.get().map(|edited: TokenEdited| edited_words(&edited));
    let renamed = event.get().map(|Renamed(name)| format!("renamed to {name}"));
    let grace = event
        .get()
        .map(|Grace(millis)| format!("grace {}", length(u64::try_from(millis / 1000).unwrap_or_default())));
    let detail = Some(event.detail.as_str()).filter(|detail| !detail.is_empty());
    let detail = match (event.get::<Wiped>(), detail) {
        (Some(Wiped), None) => Some("wiped".to_owned()),
        (Some(Wiped), Some(reason)) => Some(format!("wiped: {reason}")),
        (None, detail) => detail.map(str::to_owned),
    };
    let issued = event.get().map(|change: IssuedChange| issued_words(&change));
    let api = event.get().map(|ApiChange { deed, noun, api, name }| match noun {
        ApiNoun::Api => format!("{} API {name}", deed.name()),
        noun => format!("{} {} {name} of API {api}", deed.name(), noun.name()),
    });
    [token, edited, issued, api, renamed, grace, detail]
        .into_iter()
        .flatten()
        .filter(|words| !words.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

/// `issued acme/prod (7HqW2bXk9LmT)`
fn issued_words(change: &IssuedChange) -> String {
    const SHOWN: usize = 5;
    let named = |(id, name): (&Id, &Option<KeyName>)| match name {
        Some(name) => format!("{name} ({id})"),
        None => id.to_string(),
    };
    let keys = view::joined(change.keys.iter().take(SHOWN).map(named));
    let more = change.keys.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{} {keys}{more}", change.deed.name())
}

/// `scopes +deploy -dev, keys +db/url, expires never`
fn edited_words(edited: &TokenEdited) -> String {
    fn signed<T: ToString>(label: &str, added: &BTreeSet<T>, removed: &BTreeSet<T>) -> Option<String> {
        let added = added.iter().map(|name| format!("+{}", name.to_string()));
        let signed: Vec<_> =
            added.chain(removed.iter().map(|name| format!("-{}", name.to_string()))).collect();
        (!signed.is_empty()).then(|| format!("{label} {}", signed.join(" ")))
    }
    let expires = edited.expires.map(|expiry| match expiry.after {
        Some(after) => format!("expires {}", time::local(after)),
        None => "expires never".to_owned(),
    });
    let scopes = signed("scopes", &edited.scopes_added, &edited.scopes_removed);
    let keys = signed("keys", &edited.keys_added, &edited.keys_removed);
    [scopes, keys, expires].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// An entry for people, its number apart, so that those of several entries can be aligned.
pub(in crate::cli) struct Line {
    number: String,
    rest: String,
}

/// Lines of a log: `   12  2026-11-21 14:03  exec      ada@host bash pts/3  stripe/live v2  (npm)`
pub(in crate::cli) fn text<'l>(lines: impl IntoIterator<Item = &'l Line> + Clone) -> String {
    let width = lines.clone().into_iter().map(|line| line.number.len()).max().unwrap_or_default();
    let mut text = String::new();
    for Line { number, rest } in lines {
        text += &output::hanging(&format!("{number:>width$}  {rest}"), width + 2);
        text.push('\n');
    }
    text
}

impl Line {
    pub(in crate::cli) fn of(of: &Of, event: &Event) -> Self {
        let number = match of {
            Of::Vault(seq) => seq.to_string(),
            Of::Device(ledger, seq) => format!("{}:{seq}", short(ledger)),
            Of::Token(token, seq) => format!("{token}:{seq}"),
        };
        Self { number, rest: rest(event) }
    }
}

fn rest(event: &Event) -> String {
    const SHOWN: usize = 5;
    let actor = &event.actor;
    let place = actor.job.as_ref().or(actor.terminal.as_ref()).map_or("-", String::as_str);
    // A key without a current version, such as one that was revoked and then removed, is named alone.
    let named = |key: &KeyRef| match key.version {
        0 => key.name.clone(),
        version => format!("{} v{version}", key.name),
    };
    let mut keys = view::joined(event.keys.iter().take(SHOWN).map(named));
    if event.keys.len() > SHOWN {
        keys += &format!(" and {} more", event.keys.len() - SHOWN);
    }
    let words = words(event, time::exact);
    let gap = event.gap().map(|gap| match gap {
        LogGap::Missing(count) => {
            let entries = view::counted(usize::try_from(count).unwrap_or(usize::MAX), "entry");
            format!("behind a gap: {entries} missing")
        }
        LogGap::Replaced => "behind a gap: entries were replaced".to_owned(),
    });
    let words: Vec<_> = Some(words).filter(|words| !words.is_empty()).into_iter().chain(gap).collect();
    let detail = if words.is_empty() { String::new() } else { format!("  ({})", words.join("; ")) };
    let refused = if event.outcome == Outcome::Refused { " REFUSED" } else { "" };
    output::harmless_line(&format!(
        "{}  {:<8}{refused}  {}@{} {} {place}  {keys}{detail}",
        time::local(event.time),
        event.action.name(),
        actor.user,
        actor.host,
        actor.program,
    ))
}
