//! `keyvault list`

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;

use clap::{Args, ValueEnum};

use super::show::public_values;
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::sentences::did_you_mean;
use crate::cli::errors::{Failure, code};
use crate::cli::output::table::{Cell, Column, Table};
use crate::cli::output::time::{self, Duration};
use crate::cli::output::view::{self, KeyJson};
use crate::cli::output::{self, Ui};
use keyvault_core::clock::Moment;
use keyvault_core::name::{KeyName, Scope, TagKey};
use keyvault_core::secret::SecretBytes;
use keyvault_vault::{KeyRecord, Names, Status, Version, key};

/// List keys.
///
/// Shows no values but those of public keys, and records that these were read. A terminal that is too narrow for all columns gets the most important ones; a pipe
/// gets all of them, and nothing is wrapped.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Keys whose names begin with this, or match it if it has *, ? or [
    #[arg(value_name = "PATTERN", add = complete::keys(), value_parser = pattern)]
    pattern: Option<Pattern>,
    /// Keys with any of these scopes, separated by commas; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', add = complete::scopes(), value_parser = named::<Scope>)]
    scope: Vec<Scope>,
    /// Keys with all of these tags, as KEY or KEY=VALUE, separated by commas; may be repeated
    #[arg(long, value_name = "TAG", value_delimiter = ',', add = complete::tags(), value_parser = tag_filter)]
    tag: Vec<(TagKey, Option<String>)>,
    /// active, disabled, expired, or revoked
    #[arg(long, add = complete::one_of(status_names), value_parser = status_filter)]
    status: Option<Status>,
    /// Keys that expire within this time, including expired ones
    #[arg(long, value_name = "DURATION", add = complete::one_of(|| complete::LIFETIMES), allow_hyphen_values = true, value_parser = time::duration)]
    expiring: Option<Duration>,
    /// name, created (newest first), or expires (soonest first)
    #[arg(
        long,
        value_enum,
        value_name = "ORDER",
        default_value = "name",
        hide_possible_values = true,
        hide_default_value = true
    )]
    sort: Sort,
    /// These columns, separated by commas: name, variable, value, scopes, version, age, expires, status, tags, owner, fingerprint,
    /// note
    #[arg(long, value_enum, value_name = "COLUMNS", value_delimiter = ',', hide_possible_values = true)]
    columns: Vec<Field>,
    /// Every column
    #[arg(long, conflicts_with = "columns")]
    wide: bool,
}

#[derive(Debug, Clone)]
enum Pattern {
    Prefix(String),
    Glob(glob::Pattern),
}

fn pattern(text: &str) -> Result<Pattern, String> {
    if !text.contains(['*', '?', '[']) {
        return Ok(Pattern::Prefix(text.to_owned()));
    }
    let glob = glob::Pattern::new(text).map_err(|error| format!("is not a pattern: {}", error.msg))?;
    Ok(Pattern::Glob(glob))
}

impl Pattern {
    fn matches(&self, name: &KeyName) -> bool {
        match self {
            Self::Prefix(prefix) => name.as_str().starts_with(prefix),
            Self::Glob(glob) => glob.matches(name.as_str()),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sort {
    Name,
    Created,
    Expires,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Field {
    Name,
    Variable,
    /// Of public keys; there where a key is public.
    Value,
    Scopes,
    Version,
    Age,
    Expires,
    Status,
    Tags,
    Owner,
    Fingerprint,
    Note,
}

const USUAL: [Field; 8] = [
    Field::Name,
    Field::Variable,
    Field::Value,
    Field::Scopes,
    Field::Version,
    Field::Age,
    Field::Expires,
    Field::Status,
];

/// The widest value that is shown whole, in characters.
const WIDEST_VALUE: usize = 40;

/// Values of public keys.
type Values = BTreeMap<KeyName, SecretBytes>;

impl Field {
    fn column(self) -> Column {
        match self {
            Self::Name => Column::whole("NAME"),
            Self::Variable => Column::whole("VARIABLE").spare(3),
            Self::Value => Column::whole("VALUE").spare(4),
            Self::Scopes => Column::broken("SCOPES").last_spare(2),
            Self::Version => Column::number("VER").spare(2),
            Self::Age => Column::number("AGE").spare(1),
            Self::Expires => Column::whole("EXPIRES").last_spare(1),
            Self::Status => Column::whole("STATUS"),
            Self::Tags => Column::broken("TAGS"),
            Self::Owner => Column::broken("OWNER"),
            Self::Fingerprint => Column::whole("FINGERPRINT"),
            Self::Note => Column::broken("NOTE"),
        }
    }

    fn cell<'k>(self, key: &'k KeyRecord, values: &Values, now: Moment) -> Cell<'k> {
        match self {
            Self::Name => key.name.as_str().into(),
            Self::Variable => key.variable.as_str().into(),
            Self::Value => {
                values.get(&key.name).map_or("-".into(), |value| short_value(value.expose()).into())
            }
            Self::Scopes => view::joined(key.scopes.iter()).into(),
            Self::Version => key.current().map_or("-".into(), |version| version.number.to_string().into()),
            Self::Age => time::between(key.created, now).into(),
            Self::Expires => {
                let expires = key.expires.map_or(Cow::Borrowed("never"), |at| time::relative(at, now).into());
                Cell::styled(expires, view::style_of_expiry(key.expires, now))
            }
            Self::Status => {
                let (word, style) = view::status_word(key.status(now));
                Cell::styled(word, style)
            }
            Self::Tags => {
                let tag =
                    |(tag, value): (&TagKey, &String)| format!("{tag}={}", output::harmless_line(value));
                key.tags.iter().map(tag).collect::<Vec<_>>().join(", ").into()
            }
            Self::Owner => output::harmless_line(&key.owner).into(),
            Self::Fingerprint => {
                key.current().map_or("-".into(), |version| Version::fingerprint_hex(version).into())
            }
            Self::Note => output::harmless_line(&key.note).into(),
        }
    }
}

fn tag_filter(text: &str) -> Result<(TagKey, Option<String>), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((named(key)?, Some(value.to_owned()))),
        None => Ok((named(text)?, None)),
    }
}

const STATUSES: [Status; 4] = [Status::Active, Status::Disabled, Status::Expired, Status::Revoked];

fn status_names() -> [&'static str; 4] {
    STATUSES.map(Status::name)
}

fn status_filter(text: &str) -> Result<Status, String> {
    STATUSES
        .into_iter()
        .find(|status| status.name() == text)
        .ok_or_else(|| "is not one of active, disabled, expired, revoked".to_owned())
}

impl List {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_to_look()?;
        let path = vault.path().to_owned();
        let now = context.now();
        // The process ends right after: taking 10,000 keys apart one by one would take a tenth of its time.
        let mut key_records =
            ManuallyDrop::new(key::list(&mut vault, &access).map_err(|error| Failure::of(error, &path))?);
        let all = key_records.len();
        key_records.retain(|key| self.wants(key, now));
        match self.sort {
            Sort::Name => {}
            Sort::Created => key_records.sort_by_key(|key| std::cmp::Reverse(key.created)),
            Sort::Expires => key_records.sort_by_key(|key| (key.expires.is_none(), key.expires)),
        }
        let shows = context.ui.json || self.columns.is_empty() || self.columns.contains(&Field::Value);
        let public = key_records.iter().filter(|key| shows && key.public).map(|key| key.name.clone());
        let values = public_values(context, &mut vault, &access, &public.collect::<Vec<_>>());
        if context.ui.json {
            let json = |key: &KeyRecord| match values.get(&key.name) {
                Some(value) => KeyJson::of(key, now).with_value(value.expose()),
                None => KeyJson::of(key, now),
            };
            let keys: Vec<_> = key_records.iter().map(json).collect();
            context.ui.print_json(&serde_json::json!({ "keys": keys }))?;
        } else if key_records.is_empty() {
            context.ui.note(&if all == 0 {
                "No keys yet. Create one with `keyvault generate NAME`, or import a file with `keyvault import .env`."
                    .to_owned()
            } else {
                let names = key::names(&mut vault, &access).map_err(|error| Failure::of(error, &path))?;
                self.none_fits(&names)
            });
        } else {
            context.ui.paged(&self.table(&key_records, &values, now, &context.ui))?;
            if context.ui.out_is_terminal() && context.ui.err_is_terminal() {
                context.ui.note(&count(&key_records, all, now));
            }
        }
        Ok(code::DONE)
    }

    fn table(&self, keys: &[KeyRecord], values: &Values, now: Moment, ui: &Ui) -> String {
        let (fields, chosen) = match self.columns.as_slice() {
            [] if self.wide => (Field::value_variants(), true),
            [] => (USUAL.as_slice(), false),
            chosen => (chosen, true),
        };
        let is_there =
            |field: &&Field| **field != Field::Value || !values.is_empty() || !self.columns.is_empty();
        let fields: Vec<_> = fields.iter().filter(is_there).collect();
        let table = |terse: bool| {
            let column = |field: &Field| if chosen { field.column().kept() } else { field.column() };
            let mut table = Table::new(fields.iter().copied().map(column).collect::<Vec<_>>());
            for key in keys {
                table.row(fields.iter().map(|field| match field {
                    Field::Variable if terse && follows_from_name(key) => "".into(),
                    field => field.cell(key, values, now),
                }));
            }
            table
        };
        let whole = table(false);
        if chosen || whole.fits_on(ui) { whole.text(ui) } else { table(true).text(ui) }
    }

    /// That nothing fits; where a scope is the reason, which one was probably meant.
    fn none_fits(&self, names: &Names) -> String {
        let unknown = self.scope.iter().filter(|scope| !names.scopes.contains(*scope));
        let lines: Vec<_> = unknown
            .map(|scope| {
                let hint = did_you_mean(
                    names.scope_like(scope),
                    "Run `keyvault list` to see keys and their scopes.",
                );
                format!("No key has the scope `{scope}`. {hint}")
            })
            .collect();
        if lines.is_empty() { "No matching keys.".to_owned() } else { lines.join("\n") }
    }

    fn wants(&self, key_record: &KeyRecord, now: Moment) -> bool {
        let name = self.pattern.as_ref().is_none_or(|pattern| pattern.matches(&key_record.name));
        let scope = self.scope.is_empty() || self.scope.iter().any(|scope| key_record.scopes.contains(scope));
        let tag = self.tag.iter().all(|(key, value)| {
            key_record.tags.get(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        });
        let status = self.status.is_none_or(|status| key_record.status(now) == status);
        let expiring = self.expiring.is_none_or(|within| {
            key_record.expires.is_some_and(|expires| expires <= now.plus_millis(within.millis))
        });
        name && scope && tag && status && expiring
    }
}

/// A value's beginning, in one line.
fn short_value(value: &[u8]) -> String {
    let whole = view::shown_value(value);
    match whole.char_indices().nth(WIDEST_VALUE) {
        Some((at, _)) => format!("{}…", whole.get(..at).unwrap_or_default()),
        None => whole,
    }
}

fn follows_from_name(key: &KeyRecord) -> bool {
    key.name.default_variable().as_ref() == Ok(&key.variable)
}

/// `3 keys`, `2 of 3 keys`, with the number of those that expire soon.
fn count(shown: &[KeyRecord], all: usize, now: Moment) -> String {
    let mut text = if shown.len() == all {
        view::counted(all, "key")
    } else {
        format!("{} of {}", shown.len(), view::counted(all, "key"))
    };
    let soon = |key: &&KeyRecord| key.status(now) == Status::Active && view::expires_soon(key.expires, now);
    match shown.iter().filter(soon).count() {
        0 => {}
        1 => text += "; 1 expires within a week",
        soon => text += &format!("; {soon} expire within a week"),
    }
    text
}
