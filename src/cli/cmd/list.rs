//! `keyvault list`

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;

use clap::{Args, ValueEnum};

use super::show::{granted_public_values, public_values};
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::vault::did_you_mean;
use crate::cli::errors::{self, Failure, code};
use crate::cli::output::table::{Cell, Column, Table};
use crate::cli::output::time::{self, Duration};
use crate::cli::output::view::{self, KeyJson, Shown};
use crate::cli::output::{self, Ui};
use crate::cli::unlock::key_source::{Machine, Opened, token_given_by};
use keyvault_core::clock::Moment;
use keyvault_core::name::{KeyName, Label, Scope, TagKey};
use keyvault_core::secret::SecretBytes;
use keyvault_vault::{Access, KeyRecord, Names, RemovedKey, Status, Supply, Vault, Version, issued, key};

/// List keys.
///
/// Shows no values but those of public keys, and records that these were read. A terminal that is too narrow for all columns gets the most important ones; a pipe
/// gets all of them, and nothing is wrapped.
///
/// With a token, a bundle, or a limited session, lists the keys that it opens, as far as a grant describes them.
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
    /// Removed keys, and how long each can still be brought back
    #[arg(long, conflicts_with_all = ["status", "expiring", "sort", "columns", "wide"])]
    removed: bool,
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
    /// Issued keys instead of held ones
    #[arg(long, conflicts_with_all = ["status", "sort", "columns", "wide"])]
    issued: bool,
    /// With --issued: keys of this client
    #[arg(long, value_name = "CLIENT", requires = "issued", value_parser = named::<Label>, hide_short_help = true)]
    client: Option<Label>,
    #[command(flatten)]
    machine: Machine,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
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

    /// Returns `true` if a grant says it.
    fn is_granted(self) -> bool {
        match self {
            Self::Name
            | Self::Variable
            | Self::Value
            | Self::Scopes
            | Self::Version
            | Self::Expires
            | Self::Status => true,
            Self::Age | Self::Tags | Self::Owner | Self::Fingerprint | Self::Note => false,
        }
    }

    fn cell<'k>(self, key: Shown<'k>, values: &Values, now: Moment) -> Cell<'k> {
        let of_owner = |text: fn(&'k KeyRecord) -> Cow<'k, str>| key.record().map_or("-".into(), text).into();
        match self {
            Self::Name => key.name().as_str().into(),
            Self::Variable => key.variable().as_str().into(),
            Self::Value => {
                values.get(key.name()).map_or("-".into(), |value| short_value(value.expose()).into())
            }
            Self::Scopes => view::joined(key.scopes().iter()).into(),
            Self::Version => key.version().map_or("-".into(), |version| version.to_string().into()),
            Self::Age => key.record().map_or("-".into(), |record| time::between(record.created, now).into()),
            Self::Expires => {
                let expires =
                    key.expires().map_or(Cow::Borrowed("never"), |at| time::relative(at, now).into());
                Cell::styled(expires, view::style_of_expiry(key.expires(), now))
            }
            Self::Status => {
                let (word, style) = view::status_word(key.status(now));
                Cell::styled(word, style)
            }
            Self::Tags => of_owner(|record| {
                let tag =
                    |(tag, value): (&TagKey, &String)| format!("{tag}={}", output::harmless_line(value));
                record.tags.iter().map(tag).collect::<Vec<_>>().join(", ").into()
            }),
            Self::Owner => of_owner(|record| output::harmless_line(&record.owner).into()),
            Self::Fingerprint => of_owner(|record| {
                record.current().map_or("-".into(), |version| Version::fingerprint_hex(version).into())
            }),
            Self::Note => of_owner(|record| output::harmless_line(&record.note).into()),
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
        match context.open_for(&self.machine)? {
            Opened::Owned(vault, access) => self.list_owned(context, vault, &access),
            Opened::Granted(supply) => self.list_granted(context, supply),
        }
    }

    fn list_owned(&self, context: &Context, mut vault: Vault, access: &Access) -> Result<u8, Failure> {
        context.tell_alarm(&mut vault, access)?;
        let path = vault.path().to_owned();
        if self.removed && self.issued {
            let removed = issued::removed(&mut vault, access, context.now())
                .map_err(|error| Failure::of(error, &path))?;
            let removed: Vec<_> =
                removed.into_iter().filter(|one| self.wants_issued(&one.key, context.now())).collect();
            return super::issued::list_removed(context, &removed);
        }
        if self.removed {
            let removed =
                key::removed(&mut vault, access, context.now()).map_err(|error| Failure::of(error, &path))?;
            return self.list_removed(&removed, context);
        }
        if self.issued {
            let keys =
                issued::list(&mut vault, access, context.now()).map_err(|error| Failure::of(error, &path))?;
            let keys: Vec<_> = keys.into_iter().filter(|key| self.wants_issued(key, context.now())).collect();
            return super::issued::list(context, &keys);
        }
        // The process ends right after: taking 10,000 keys apart one by one would take a tenth of its time.
        let (key_records, issued) =
            key::list_beside_issued(&mut vault, access).map_err(|error| Failure::of(error, &path))?;
        let key_records = ManuallyDrop::new(key_records);
        let keys = self.chosen(key_records.iter().map(Shown::Held).collect(), context.now());
        let values = public_values(context, &mut vault, access, &self.public(&keys, &context.ui));
        if !keys.is_empty() || context.ui.json {
            let printed = self.print(context, &keys, &values, key_records.len())?;
            Self::count_issued(context, issued);
            return Ok(printed);
        }
        if key_records.is_empty() && issued > 0 {
            Self::count_issued(context, issued);
            return Ok(code::DONE);
        }
        context.ui.note(&if key_records.is_empty() {
            "No keys yet. Create one with `keyvault generate NAME`, or import a file with `keyvault import .env`."
                .to_owned()
        } else {
            let names = key::names(&mut vault, access).map_err(|error| Failure::of(error, &path))?;
            self.none_fits(&names, None)
        });
        Ok(code::DONE)
    }

    /// The keys that were granted to a bearer.
    fn list_granted(&self, context: &Context, mut supply: Supply) -> Result<u8, Failure> {
        let needs_record = [
            ("--tag", !self.tag.is_empty()),
            ("--sort created", self.sort == Sort::Created),
            ("--removed", self.removed),
            ("--issued", self.issued),
        ];
        if let Some((option, _)) = needs_record.into_iter().find(|(_, given)| *given) {
            let variable = token_given_by().filter(|_| !supply.is_limited());
            return Err(errors::token::not_in_a_grant(variable, option));
        }
        let (bearer, mut views) = context.with_keys(&mut supply, |supply, world| {
            let looking = supply.look(world)?;
            let mut keys = looking.keys()?;
            let views = keys.all()?;
            Ok((keys.granted_to(), views))
        })?;
        views.sort_by(|left, right| left.name().cmp(right.name()));
        let keys = self.chosen(views.iter().map(Shown::Granted).collect(), context.now());
        let values = granted_public_values(context, &mut supply, &self.public(&keys, &context.ui));
        if !keys.is_empty() || context.ui.json {
            return self.print(context, &keys, &values, views.len());
        }
        let to = bearer.map(|bearer| bearer.to_string()).unwrap_or_default();
        context.ui.note(&if views.is_empty() {
            format!("No keys are granted to {to}.")
        } else {
            let names = Names {
                keys: views.iter().map(|key| key.name().clone()).collect(),
                scopes: views.iter().flat_map(|key| key.scopes().clone()).collect(),
            };
            self.none_fits(&names, Some(&to))
        });
        Ok(code::DONE)
    }

    /// The keys that pass the filters, in their order.
    fn chosen<'k>(&self, mut keys: Vec<Shown<'k>>, now: Moment) -> Vec<Shown<'k>> {
        keys.retain(|key| self.wants(*key, now));
        match self.sort {
            Sort::Name => {}
            Sort::Created => {
                keys.sort_by_key(|key| std::cmp::Reverse(key.record().map(|record| record.created)));
            }
            Sort::Expires => keys.sort_by_key(|key| (key.expires().is_none(), key.expires())),
        }
        keys
    }

    /// The public keys whose values are shown.
    fn public(&self, keys: &[Shown<'_>], ui: &Ui) -> Vec<KeyName> {
        let shows = ui.json || self.columns.is_empty() || self.columns.contains(&Field::Value);
        keys.iter().filter(|key| shows && key.public()).map(|key| key.name().clone()).collect()
    }

    fn print(
        &self,
        context: &Context,
        keys: &[Shown<'_>],
        values: &Values,
        all: usize,
    ) -> Result<u8, Failure> {
        let (ui, now) = (&context.ui, context.now());
        if ui.json {
            let json = |key: &Shown<'_>| match values.get(key.name()) {
                Some(value) => KeyJson::of(*key, now).with_value(value.expose()),
                None => KeyJson::of(*key, now),
            };
            let keys: Vec<_> = keys.iter().map(json).collect();
            ui.print_json(&serde_json::json!({ "keys": keys }))?;
            return Ok(code::DONE);
        }
        ui.paged(&self.table(keys, values, now, ui))?;
        if ui.out_is_terminal() && ui.err_is_terminal() {
            ui.note(&count(keys, all, now));
        }
        Ok(code::DONE)
    }

    fn list_removed(&self, removed: &[RemovedKey], context: &Context) -> Result<u8, Failure> {
        let now = context.now();
        let shown: Vec<_> =
            removed.iter().filter(|removed| self.wants(Shown::Held(&removed.key), now)).collect();
        if context.ui.json {
            let keys: Vec<_> = shown.iter().map(|removed| KeyJson::of_removed(removed, now)).collect();
            context.ui.print_json(&serde_json::json!({ "keys": keys }))?;
        } else if shown.is_empty() {
            context.ui.note(if removed.is_empty() {
                "No removed keys."
            } else {
                "No matching removed keys."
            });
        } else {
            let mut table = Table::new([
                Column::whole("NAME"),
                Column::broken("SCOPES").spare(2),
                Column::number("VER").spare(1),
                Column::whole("REMOVED"),
                Column::number("LEFT"),
            ]);
            for removed in shown {
                table.row([
                    removed.key.name.to_string(),
                    view::joined(removed.key.scopes.iter()),
                    removed
                        .key
                        .current()
                        .map_or_else(|| "-".to_owned(), |version| version.number.to_string()),
                    time::relative(removed.removed, now),
                    time::between(now, removed.until()),
                ]);
            }
            context.ui.paged(&table.text(&context.ui))?;
        }
        Ok(code::DONE)
    }

    fn table(&self, keys: &[Shown<'_>], values: &Values, now: Moment, ui: &Ui) -> String {
        let (fields, chosen) = match self.columns.as_slice() {
            [] if self.wide => (Field::value_variants(), true),
            [] => (USUAL.as_slice(), false),
            chosen => (chosen, true),
        };
        let owned = keys.iter().any(|key| key.record().is_some());
        let is_there = |field: &&Field| {
            !self.columns.is_empty()
                || (**field != Field::Value || !values.is_empty()) && (owned || field.is_granted())
        };
        let fields: Vec<_> = fields.iter().filter(is_there).collect();
        let table = |terse: bool| {
            let column = |field: &Field| if chosen { field.column().kept() } else { field.column() };
            let mut table = Table::new(fields.iter().copied().map(column).collect::<Vec<_>>());
            for key in keys {
                table.row(fields.iter().map(|field| match field {
                    Field::Variable if terse && follows_from_name(*key) => "".into(),
                    field => field.cell(*key, values, now),
                }));
            }
            table
        };
        let whole = table(false);
        if chosen || whole.fits_on(ui) { whole.text(ui) } else { table(true).text(ui) }
    }

    /// That nothing fits; where a scope is the reason, which one was probably meant.
    fn none_fits(&self, names: &Names, granted_to: Option<&str>) -> String {
        let unknown = self.scope.iter().filter(|scope| !names.scopes.contains(*scope));
        let lines: Vec<_> = unknown
            .map(|scope| {
                let hint = did_you_mean(
                    names.scope_like(scope),
                    "Run `keyvault list` to see keys and their scopes.",
                );
                match granted_to {
                    None => format!("No key has the scope `{scope}`. {hint}"),
                    Some(to) => format!("No key granted to {to} has the scope `{scope}`. {hint}"),
                }
            })
            .collect();
        if lines.is_empty() { "No matching keys.".to_owned() } else { lines.join("\n") }
    }

    /// One line with the number of issued keys, which a list of held ones leaves out.
    fn count_issued(context: &Context, issued: u64) {
        if issued > 0 && !context.ui.json {
            let count = view::counted(usize::try_from(issued).unwrap_or(usize::MAX), "issued key");
            context.ui.note(&format!("{count}: `keyvault list --issued` lists them."));
        }
    }

    fn wants_issued(&self, key: &issued::Key, now: Moment) -> bool {
        let name = self
            .pattern
            .as_ref()
            .is_none_or(|pattern| key.name.as_ref().is_some_and(|name| pattern.matches(name)));
        let scope = self.scope.is_empty() || self.scope.iter().any(|scope| key.scopes.contains(scope));
        let tag = self.tag.iter().all(|(tag, value)| {
            key.tags.get(tag).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        });
        let client = self.client.is_none() || self.client == key.client;
        let expiring = self
            .expiring
            .is_none_or(|within| key.ends.is_some_and(|expires| expires <= now.plus_millis(within.millis)));
        name && scope && tag && client && expiring
    }

    fn wants(&self, shown: Shown<'_>, now: Moment) -> bool {
        let name = self.pattern.as_ref().is_none_or(|pattern| pattern.matches(shown.name()));
        let scope = self.scope.is_empty() || self.scope.iter().any(|scope| shown.scopes().contains(scope));
        let tag = self.tag.iter().all(|(key, value)| {
            let tags = shown.record().map(|record| &record.tags);
            tags.and_then(|tags| tags.get(key))
                .is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        });
        let status = self.status.is_none_or(|status| shown.status(now) == status);
        let expiring = self.expiring.is_none_or(|within| {
            shown.expires().is_some_and(|expires| expires <= now.plus_millis(within.millis))
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

fn follows_from_name(key: Shown<'_>) -> bool {
    key.name().default_variable().as_ref() == Ok(key.variable())
}

/// `3 keys`, `2 of 3 keys`, with the number of those that expire soon.
fn count(shown: &[Shown<'_>], all: usize, now: Moment) -> String {
    let mut text = if shown.len() == all {
        view::counted(all, "key")
    } else {
        format!("{} of {}", shown.len(), view::counted(all, "key"))
    };
    let soon = |key: &&Shown<'_>| key.status(now) == Status::Active && view::expires_soon(key.expires(), now);
    match shown.iter().filter(soon).count() {
        0 => {}
        1 => text += "; 1 expires within a week",
        soon => text += &format!("; {soon} expire within a week"),
    }
    text
}
