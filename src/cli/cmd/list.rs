//! `keyvault list`

use std::borrow::Cow;
use std::fmt::Write;
use std::mem::ManuallyDrop;

use clap::Args;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::sentences::did_you_mean;
use crate::cli::errors::{Failure, code};
use crate::cli::output;
use crate::cli::output::time::{self, Duration};
use crate::cli::output::view::{self, KeyJson};
use keyvault_core::clock::Moment;
use keyvault_core::name::{Scope, TagKey};
use keyvault_vault::{KeyRecord, Names, Status, key};

/// List keys.
///
/// Shows no values and records nothing. Output to a pipe is not wrapped.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Keys with this scope; may be repeated to add more
    #[arg(long, value_name = "SCOPE", add = complete::scopes(), value_parser = named::<Scope>)]
    scope: Vec<Scope>,
    /// Keys with this tag, as KEY or KEY=VALUE
    #[arg(long, value_name = "TAG", value_parser = tag_filter)]
    tag: Vec<(TagKey, Option<String>)>,
    /// active, disabled, expired, or revoked
    #[arg(long, add = complete::one_of(status_names), value_parser = status_filter)]
    status: Option<Status>,
    /// Keys that expire within this time, including expired ones
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = time::duration)]
    expiring: Option<Duration>,
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
        if context.ui.json {
            let keys: Vec<_> = key_records.iter().map(|key| KeyJson::of(key, now)).collect();
            context.ui.print_json(&serde_json::json!({ "keys": keys }))?;
        } else if key_records.is_empty() {
            context.ui.note(&if all == 0 {
                "No keys yet. Create one with `keyvault generate NAME`, or import a file with `keyvault import .env`."
                    .to_owned()
            } else {
                let names = key::names(&mut vault, &access).map_err(|error| Failure::of(error, &path))?;
                self.none_fits(&names)
            });
        } else if context.ui.out_is_terminal() {
            context.ui.data(table(&key_records, now, context).as_bytes())?;
        } else {
            context.ui.data(columns(&key_records, now).as_bytes())?;
        }
        Ok(code::DONE)
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
        let scope = self.scope.is_empty() || self.scope.iter().any(|scope| key_record.scopes.contains(scope));
        let tag = self.tag.iter().all(|(key, value)| {
            key_record.tags.get(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        });
        let status = self.status.is_none_or(|status| key_record.status(now) == status);
        let expiring = self.expiring.is_none_or(|within| {
            key_record.expires.is_some_and(|expires| expires <= now.plus_millis(within.millis))
        });
        scope && tag && status && expiring
    }
}

const HEADER: [&str; COLUMNS] = ["NAME", "VARIABLE", "SCOPES", "VER", "AGE", "EXPIRES", "STATUS"];
const COLUMNS: usize = 7;
const GAP: usize = 2;

/// A key's cells, in the order of [`HEADER`]; all of it is ASCII by the grammar of names.
fn cells(key: &KeyRecord, now: Moment) -> [Cow<'_, str>; COLUMNS] {
    [
        key.name.as_str().into(),
        key.variable.as_str().into(),
        view::joined(key.scopes.iter()).into(),
        key.current().map_or("-".into(), |version| version.number.to_string().into()),
        time::between(key.created, now).into(),
        key.expires.map_or("never".into(), |expires| time::relative(expires, now).into()),
        view::status(key, now).0.into(),
    ]
}

/// Columns as wide as what stands in them, for pipes and files.
fn columns(keys: &[KeyRecord], now: Moment) -> String {
    let rows: Vec<_> = keys.iter().map(|key| cells(key, now)).collect();
    let header = HEADER.map(Cow::Borrowed);
    let mut widths = [0; COLUMNS];
    for row in std::iter::once(&header).chain(&rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let line_len = widths.iter().sum::<usize>() + GAP * COLUMNS;
    let mut text = String::with_capacity((rows.len() + 1) * line_len);
    for row in std::iter::once(&header).chain(&rows) {
        for (cell, width) in row.iter().zip(widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + GAP - cell.len()));
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

/// A table that fits the terminal.
fn table(keys: &[KeyRecord], now: Moment, context: &Context) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(output::terminal_width());
    table.set_header(HEADER);
    for key in keys {
        table.add_row(cells(key, now));
    }
    // Short columns stay whole; names, variables and scopes share the rest.
    for (column, width) in [(3, 5), (4, 6), (5, 10), (6, 10)] {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(width)));
        }
    }
    let text = view::lines(&mut table);
    if context.ui.color() { with_colored_status(&text) } else { text }
}

/// The table with its last column in color: after the layout, which would count the escape codes as text. A terminal so
/// narrow that the words of the column are broken gets no colors.
fn with_colored_status(text: &str) -> String {
    let status = HEADER.last().copied().unwrap_or_default();
    let header = text.lines().next().unwrap_or_default();
    let Some(at) = header.strip_suffix(status).map(str::len) else { return text.to_owned() };
    let mut colored = String::with_capacity(text.len() * 2);
    for line in text.lines() {
        match line.split_at_checked(at) {
            Some((before, word)) => {
                colored.push_str(before);
                match view::style_of_status(word) {
                    Some(style) => {
                        let _ = write!(colored, "{style}{word}{style:#}");
                    }
                    None => colored.push_str(word),
                }
            }
            None => colored.push_str(line),
        }
        colored.push('\n');
    }
    colored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_the_last_column_are_colored() {
        let text =
            "NAME    SCOPES  STATUS\nactive  active  active\n        active\nb       -       EXPIRED\n";
        let (good, bad) = (output::GOOD, output::BAD);
        let expected = format!(
            "NAME    SCOPES  STATUS\nactive  active  {good}active{good:#}\n        active\n\
             b       -       {bad}EXPIRED{bad:#}\n"
        );
        assert_eq!(with_colored_status(text), expected);
    }

    #[test]
    fn a_broken_last_column_is_left_as_it_is() {
        let text = "NAME  STAT\n      US\na     acti\n      ve\n";
        assert_eq!(with_colored_status(text), text);
    }
}
