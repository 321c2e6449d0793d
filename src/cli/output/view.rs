//! A key as `list`, `show` and JSON present it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use keyvault_core::clock::Moment;
use keyvault_core::name::{EnvName, KeyName, Scope};
use keyvault_core::recipe::Recipe;
use keyvault_core::secret::SecretBytes;
pub(crate) use keyvault_core::text::counted;
use keyvault_vault::{KeyRecord, KeyView, RemovedKey, Status, Version};

use super::time;
use crate::cli::output::{self, Ui};

/// A key that expires within this is pointed out.
const SOON: i64 = 7 * 86_400_000;

/// A key as `list` and `show` have it: the owner's record, or a grant, which says less.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shown<'k> {
    Held(&'k KeyRecord),
    Granted(&'k KeyView),
}

impl<'k> From<&'k KeyRecord> for Shown<'k> {
    fn from(key_record: &'k KeyRecord) -> Self {
        Self::Held(key_record)
    }
}

impl<'k> Shown<'k> {
    pub(crate) fn name(self) -> &'k KeyName {
        match self {
            Self::Held(key) => &key.name,
            Self::Granted(key) => key.name(),
        }
    }

    pub(crate) fn variable(self) -> &'k EnvName {
        match self {
            Self::Held(key) => &key.variable,
            Self::Granted(key) => key.variable(),
        }
    }

    pub(crate) fn scopes(self) -> &'k BTreeSet<Scope> {
        match self {
            Self::Held(key) => &key.scopes,
            Self::Granted(key) => key.scopes(),
        }
    }

    /// The number of the current version.
    pub(crate) fn version(self) -> Option<u32> {
        match self {
            Self::Held(key) => key.current().map(|version| version.number),
            Self::Granted(key) => key.current(),
        }
    }

    pub(crate) fn expires(self) -> Option<Moment> {
        match self {
            Self::Held(key) => key.expires,
            Self::Granted(key) => key.expires(),
        }
    }

    pub(crate) fn status(self, now: Moment) -> Status {
        match self {
            Self::Held(key) => key.status(now),
            Self::Granted(key) => key.status(now),
        }
    }

    pub(crate) fn public(self) -> bool {
        match self {
            Self::Held(key) => key.public,
            Self::Granted(key) => key.public(),
        }
    }

    /// The owner's record, for what a grant does not say.
    pub(crate) fn record(self) -> Option<&'k KeyRecord> {
        match self {
            Self::Held(key) => Some(key),
            Self::Granted(_) => None,
        }
    }
}

/// A key in the order of [`facts`]. A value is left out where there is none to show; what a grant does not say is null.
#[derive(Debug, Serialize)]
pub(crate) struct KeyJson {
    name: String,
    variable: String,
    version: Option<u32>,
    display_name: Option<String>,
    owner: Option<String>,
    scopes: Vec<String>,
    tags: Option<BTreeMap<String, String>>,
    note: Option<String>,
    public: bool,
    status: &'static str,
    disabled: Option<DisabledJson>,
    created: Option<String>,
    expires: Option<String>,
    recipe: Option<&'static str>,
    entropy_bits: Option<u32>,
    fingerprint: Option<String>,
    public_key: Option<String>,
    previous: Option<PreviousJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

#[derive(Debug, Serialize)]
struct PreviousJson {
    version: u32,
    valid_until: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct DisabledJson {
    since: String,
    reason: Option<String>,
}

impl KeyJson {
    #[must_use]
    pub(crate) fn of<'k>(key: impl Into<Shown<'k>>, now: Moment) -> Self {
        let key: Shown<'k> = key.into();
        let record = key.record();
        let current = record.and_then(KeyRecord::current);
        let tags = |record: &KeyRecord| {
            record.tags.iter().map(|(key, value)| (key.to_string(), value.clone())).collect()
        };
        let previous = record.and_then(|record| record.previous(now)).and_then(|version| {
            Some(PreviousJson { version: version.number, valid_until: time::rfc3339(version.grace_until?) })
        });
        let recipe = record.and_then(|record| record.recipe.as_ref());
        Self {
            name: key.name().to_string(),
            variable: key.variable().to_string(),
            version: key.version(),
            display_name: record.and_then(|record| some(&record.display_name)),
            owner: record.and_then(|record| some(&record.owner)),
            scopes: key.scopes().iter().map(ToString::to_string).collect(),
            tags: record.map(tags),
            note: record.and_then(|record| some(&record.note)),
            public: key.public(),
            status: key.status(now).name(),
            disabled: record.and_then(disabled_json),
            created: record.map(|record| time::rfc3339(record.created)),
            expires: key.expires().map(time::rfc3339),
            recipe: recipe.map(|recipe| recipe.kind().name()),
            entropy_bits: recipe.map(Recipe::entropy_bits),
            fingerprint: current.map(Version::fingerprint_hex),
            public_key: current.and_then(|version| version.public.clone()),
            previous,
            value: None,
            value_base64: None,
            removed: None,
            until: None,
        }
    }

    /// The columns of `list`, with when the key was removed and until when it can be brought back.
    #[must_use]
    pub(crate) fn of_removed(removed: &RemovedKey, now: Moment) -> Self {
        Self {
            removed: Some(time::rfc3339(removed.removed)),
            until: Some(time::rfc3339(removed.until())),
            ..Self::of(&removed.key, now)
        }
    }

    /// The answer of a command that creates or changes keys, however many.
    pub(crate) fn all<'k>(keys: impl IntoIterator<Item = &'k KeyRecord>, now: Moment) -> serde_json::Value {
        let keys: Vec<_> = keys.into_iter().map(|key| Self::of(key, now)).collect();
        serde_json::json!({ "keys": keys })
    }

    /// Of this version, of which a grant says only the number.
    #[must_use]
    pub(crate) fn of_granted_version(self, version: Option<u32>) -> Self {
        Self { version, ..self }
    }

    /// Of another version than the current one.
    #[must_use]
    pub(crate) fn of_version(self, version: Option<&Version>) -> Self {
        Self {
            version: version.map(|version| version.number),
            fingerprint: version.map(Version::fingerprint_hex),
            public_key: version.and_then(|version| version.public.clone()),
            ..self
        }
    }

    /// With the value: as text if it is UTF-8, else in base64.
    #[must_use]
    pub(crate) fn with_value(self, value: &[u8]) -> Self {
        match std::str::from_utf8(value) {
            Ok(text) => Self { value: Some(text.to_owned()), ..self },
            Err(_) => Self { value_base64: Some(data_encoding::BASE64.encode(value)), ..self },
        }
    }
}

/// Null in JSON where a text is empty.
#[must_use]
pub(crate) fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

#[must_use]
pub(crate) fn disabled_json(key: &KeyRecord) -> Option<DisabledJson> {
    let disabled = key.disabled.as_ref()?;
    Some(DisabledJson { since: time::rfc3339(disabled.since), reason: some(&disabled.reason) })
}

/// A status in a word. Upper case marks what is refused where there are no colors.
#[must_use]
pub(crate) fn status_word(status: Status) -> (&'static str, anstyle::Style) {
    match status {
        Status::Active => ("active", output::GOOD),
        Status::Disabled => ("DISABLED", output::BAD),
        Status::Expired => ("EXPIRED", output::BAD),
        Status::Revoked => ("REVOKED", output::BAD),
    }
}

/// The color of an expiry: one that is near is pointed out.
#[must_use]
pub(crate) fn style_of_expiry(expires: Option<Moment>, now: Moment) -> Option<anstyle::Style> {
    (expires_soon(expires, now) && expires > Some(now)).then_some(output::WARN)
}

/// Returns `true` if the expiry lies within a week.
#[must_use]
pub(crate) fn expires_soon(expires: Option<Moment>, now: Moment) -> bool {
    expires.is_some_and(|expires| expires <= now.plus_millis(SOON))
}

/// `token, 256 bits of entropy`, `password of digits, 132 bits of entropy`
#[must_use]
pub(crate) fn recipe(recipe: &Recipe) -> String {
    let of = recipe.alphabet().map(|alphabet| format!(" of {}", alphabet.name())).unwrap_or_default();
    format!("{}{of}, {} bits of entropy", recipe.kind().name(), recipe.entropy_bits())
}

/// A new key's facts in one line: `variable STRIPE_LIVE; scopes dev, payments; expires 2026-11-22 14:00 (in 24h)`
#[must_use]
pub(crate) fn in_a_line(key: &KeyRecord, now: Moment) -> String {
    let mut parts = vec![format!("variable {}", key.variable)];
    if !key.scopes.is_empty() {
        parts.push(scopes(&key.scopes));
    }
    parts.extend(key.expires.map(|at| format!("expires {}", when(at, now))));
    parts.extend(key.public.then(|| "public".to_owned()));
    parts.join("; ")
}

/// `scope dev`, `scopes dev, payments`, `no scopes`
#[must_use]
pub(crate) fn scopes(scopes: &BTreeSet<Scope>) -> String {
    match scopes.len() {
        0 => "no scopes".to_owned(),
        1 => format!("scope {}", joined(scopes.iter())),
        _ => format!("scopes {}", joined(scopes.iter())),
    }
}

/// A key's facts, a line each, as `show` prints them, with the value of a key that is public.
#[must_use]
pub(crate) fn facts<'k>(
    key: impl Into<Shown<'k>>,
    value: Option<&SecretBytes>,
    now: Moment,
    ui: &Ui,
) -> String {
    let key: Shown<'k> = key.into();
    let record = key.record();
    let mut lines = vec![("name", ui.on_out(output::STRONG, key.name().as_str()))];
    lines.push(("variable", key.variable().to_string()));
    if let Some(version) = key.version() {
        lines.push(("version", version.to_string()));
    }
    for (label, text) in record
        .map(|record| [("display name", &record.display_name), ("owner", &record.owner)])
        .iter()
        .flatten()
    {
        if !text.is_empty() {
            lines.push((label, output::harmless_line(text)));
        }
    }
    lines.push(("scopes", joined(key.scopes().iter())));
    if let Some(tags) = record.map(|record| &record.tags).filter(|tags| !tags.is_empty()) {
        let tags = tags.iter().map(|(key, value)| format!("{key}={}", output::harmless_line(value)));
        lines.push(("tags", tags.collect::<Vec<_>>().join(", ")));
    }
    if let Some(note) = record.map(|record| &record.note).filter(|note| !note.is_empty()) {
        lines.push(("note", output::harmless(note)));
    }
    if key.public() {
        let shown = value.map_or_else(|| "no secret".to_owned(), |value| shown_value(value.expose()));
        lines.push(("public", shown));
    }
    let (word, style) = status_word(key.status(now));
    lines.push(("status", ui.on_out(style, word)));
    lines.extend(record.and_then(|record| disabled(record, now)).map(|since| ("disabled", since)));
    lines.extend(record.map(|record| ("created", when(record.created, now))));
    lines.push(("expires", key.expires().map_or_else(|| "never".to_owned(), |at| when(at, now))));
    if let Some(recipe) = record.and_then(|record| record.recipe.as_ref()) {
        lines.push(("recipe", self::recipe(recipe)));
    }
    if let Some(version) = record.and_then(KeyRecord::current) {
        lines.push(("fingerprint", version.fingerprint_hex()));
    }
    card(lines)
}

/// The column where the facts of a card begin.
const FACTS: usize = 13;

/// Facts with their labels, a line each: one thing of a vault, as `show`, `token show`, and `status` print it. A fact of
/// several lines, and one that is too long for the terminal, continues below its first line.
#[must_use]
pub(crate) fn card<'l>(facts: impl IntoIterator<Item = (&'l str, String)>) -> String {
    let mut text = String::new();
    for (label, fact) in facts {
        for (index, line) in fact.split('\n').enumerate() {
            let label = if index == 0 { label } else { "" };
            text += &output::hanging(&format!("{label:<width$} {line}", width = FACTS - 1), FACTS);
            text.push('\n');
        }
    }
    text
}

/// A value that is no secret, in one line.
#[must_use]
pub(crate) fn shown_value(value: &[u8]) -> String {
    output::harmless_line(&String::from_utf8_lossy(value))
}

/// `2026-11-22 14:00 (2h ago): leaked`
#[must_use]
pub(crate) fn disabled(key: &KeyRecord, now: Moment) -> Option<String> {
    let disabled = key.disabled.as_ref()?;
    let since = when(disabled.since, now);
    let reason = output::harmless_line(&disabled.reason);
    Some(if reason.is_empty() { since } else { format!("{since}: {reason}") })
}

/// `2026-11-22 14:00 (in 24h)`
#[must_use]
pub(crate) fn when(moment: Moment, now: Moment) -> String {
    format!("{} ({})", time::local(moment), time::relative(moment, now))
}

/// Things joined by commas, or a dash.
#[must_use]
pub(crate) fn joined<T: ToString>(things: impl Iterator<Item = T>) -> String {
    let joined = things.map(|thing| thing.to_string()).collect::<Vec<_>>().join(", ");
    if joined.is_empty() { "-".to_owned() } else { joined }
}
