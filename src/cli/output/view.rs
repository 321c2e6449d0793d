//! A key as `list`, `show` and JSON present it.

use std::collections::BTreeMap;

use serde::Serialize;

use keyvault_core::clock::Moment;
use keyvault_core::recipe::Recipe;
use keyvault_core::secret::SecretBytes;
pub(crate) use keyvault_core::text::counted;
use keyvault_vault::{KeyRecord, Status, Version};

use super::time;
use crate::cli::output::{self, Ui};

/// A key that expires within this is pointed out.
const SOON: i64 = 7 * 86_400_000;

#[derive(Debug, Serialize)]
pub(crate) struct KeyJson {
    name: String,
    variable: String,
    scopes: Vec<String>,
    tags: BTreeMap<String, String>,
    version: Option<u32>,
    status: &'static str,
    created: String,
    expires: Option<String>,
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<PreviousJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<DisabledJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entropy_bits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_public: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

#[derive(Debug, Serialize)]
struct PreviousJson {
    version: u32,
    good_until: String,
}

#[derive(Debug, Serialize)]
struct DisabledJson {
    since: String,
    reason: String,
}

impl KeyJson {
    /// The columns of `list`.
    #[must_use]
    pub(crate) fn of(key_record: &KeyRecord, now: Moment) -> Self {
        let current = key_record.current();
        Self {
            name: key_record.name.to_string(),
            variable: key_record.variable.to_string(),
            scopes: key_record.scopes.iter().map(ToString::to_string).collect(),
            tags: key_record.tags.iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
            version: current.map(|version| version.number),
            status: key_record.status(now).name(),
            created: time::rfc3339(key_record.created),
            expires: key_record.expires.map(time::rfc3339),
            fingerprint: current.map(Version::fingerprint_hex),
            previous: None,
            note: None,
            owner: None,
            display_name: None,
            disabled: None,
            entropy_bits: None,
            public: None,
            is_public: key_record.public,
            value: None,
            value_base64: None,
        }
    }

    /// The columns of `list` with the details of `show` and `generate`.
    #[must_use]
    pub(crate) fn detailed(key: &KeyRecord, now: Moment) -> Self {
        Self {
            note: Some(key.note.clone()).filter(|note| !note.is_empty()),
            owner: Some(key.owner.clone()).filter(|owner| !owner.is_empty()),
            display_name: Some(key.display_name.clone()).filter(|name| !name.is_empty()),
            disabled: key.disabled.as_ref().map(|disabled| DisabledJson {
                since: time::rfc3339(disabled.since),
                reason: disabled.reason.clone(),
            }),
            entropy_bits: key.recipe.as_ref().map(Recipe::entropy_bits),
            public: key.current().and_then(|version| version.public.clone()),
            ..Self::of(key, now)
        }
    }

    /// Of another version than the current one.
    #[must_use]
    pub(crate) fn of_version(self, version: Option<&Version>) -> Self {
        Self {
            version: version.map(|version| version.number),
            fingerprint: version.map(Version::fingerprint_hex),
            public: version.and_then(|version| version.public.clone()),
            ..self
        }
    }

    /// With the version before, as long as it is good.
    #[must_use]
    pub(crate) fn with_previous(self, key: &KeyRecord, now: Moment) -> Self {
        let previous = key.previous(now).and_then(|version| {
            Some(PreviousJson { version: version.number, good_until: time::rfc3339(version.grace_until?) })
        });
        Self { previous, ..self }
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

/// A key's facts, a line each, as `show`, `generate` and `add` print them.
#[must_use]
pub(crate) fn facts(key_record: &KeyRecord, now: Moment, ui: &Ui) -> String {
    facts_with(key_record, None, now, ui)
}

/// [`facts`] with the value of a key that is public.
#[must_use]
pub(crate) fn facts_with(
    key_record: &KeyRecord,
    value: Option<&SecretBytes>,
    now: Moment,
    ui: &Ui,
) -> String {
    let mut lines = vec![("name", ui.on_out(output::STRONG, key_record.name.as_str()))];
    lines.push(("variable", key_record.variable.to_string()));
    if let Some(version) = key_record.current() {
        lines.push(("version", version.number.to_string()));
    }
    for (label, text) in [("display name", &key_record.display_name), ("owner", &key_record.owner)] {
        if !text.is_empty() {
            lines.push((label, output::harmless_line(text)));
        }
    }
    lines.push(("scopes", joined(key_record.scopes.iter())));
    if !key_record.tags.is_empty() {
        let tags =
            key_record.tags.iter().map(|(key, value)| format!("{key}={}", output::harmless_line(value)));
        lines.push(("tags", tags.collect::<Vec<_>>().join(", ")));
    }
    if !key_record.note.is_empty() {
        lines.push(("note", output::harmless(&key_record.note).replace('\n', "\n             ")));
    }
    if key_record.public {
        let shown = value.map_or_else(|| "no secret".to_owned(), |value| shown_value(value.expose()));
        lines.push(("public", shown));
    }
    let (word, style) = status_word(key_record.status(now));
    lines.push(("status", ui.on_out(style, word)));
    lines.extend(disabled(key_record, now).map(|since| ("disabled", since)));
    lines.push(("created", when(key_record.created, now)));
    lines.push(("expires", key_record.expires.map_or_else(|| "never".to_owned(), |at| when(at, now))));
    if let Some(recipe) = &key_record.recipe {
        lines.push(("recipe", self::recipe(recipe)));
    }
    if let Some(version) = key_record.current() {
        lines.push(("fingerprint", version.fingerprint_hex()));
    }
    let lines = lines.into_iter().map(|(label, value)| format!("{label:<12} {value}"));
    let fitted = |line: String| {
        line.split('\n')
            .map(|line| output::hanging(line, 13))
            .fold(String::new(), |text, line| text + &line + "\n")
    };
    lines.map(fitted).collect()
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
