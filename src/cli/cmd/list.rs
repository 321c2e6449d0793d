//! `keyvault list`

use clap::Args;
use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::cli::args::named;
use crate::cli::context::Context;
use crate::cli::error::{Failure, code};
use crate::cli::time::{self, Duration};
use crate::cli::ui;
use crate::cli::view::{self, KeyJson};
use crate::clock::Moment;
use crate::name::{Scope, TagKey};
use crate::vault::{Item, Status};

/// List keys.
///
/// No value is shown and nothing is recorded. Through a pipe nothing is wrapped.
#[derive(Debug, Args)]
pub struct List {
    /// Keys that carry this scope; several mean any of them
    #[arg(long, value_name = "SCOPE", value_parser = named::<Scope>)]
    scope: Vec<Scope>,
    /// Keys with this tag, as KEY or KEY=VALUE
    #[arg(long, value_name = "TAG", value_parser = tag_filter)]
    tag: Vec<(TagKey, Option<String>)>,
    /// active, expired or revoked
    #[arg(long, value_parser = status_filter)]
    status: Option<Status>,
    /// Keys that expire within this, expired ones included
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    expiring: Option<Duration>,
}

fn tag_filter(text: &str) -> Result<(TagKey, Option<String>), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((named(key)?, Some(value.to_owned()))),
        None => Ok((named(text)?, None)),
    }
}

fn status_filter(text: &str) -> Result<Status, String> {
    [Status::Active, Status::Expired, Status::Revoked]
        .into_iter()
        .find(|status| status.name() == text)
        .ok_or_else(|| "it takes active, expired, revoked".to_owned())
}

impl List {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        let now = context.now();
        let mut items = vault.list(&access).map_err(|error| Failure::of(error, &path))?;
        let all = items.len();
        items.retain(|item| self.wants(item, now));
        if context.ui.json {
            let keys: Vec<_> = items.iter().map(|item| KeyJson::of(item, now)).collect();
            context.ui.print_json(&serde_json::json!({ "keys": keys }))?;
        } else if items.is_empty() {
            context.ui.note(if all == 0 {
                "No keys yet. 'keyvault generate NAME' makes one, 'keyvault import .env' takes in a file."
            } else {
                "No key fits."
            });
        } else {
            context.ui.data(table(&items, now, context).as_bytes())?;
        }
        Ok(code::DONE)
    }

    fn wants(&self, item: &Item, now: Moment) -> bool {
        let scope = self.scope.is_empty() || self.scope.iter().any(|scope| item.scopes.contains(scope));
        let tag = self.tag.iter().all(|(key, value)| {
            item.tags.get(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        });
        let status = self.status.is_none_or(|status| item.status(now) == status);
        let expiring = self.expiring.is_none_or(|within| {
            item.expires.is_some_and(|expires| expires <= now.plus_millis(within.millis))
        });
        scope && tag && status && expiring
    }
}

fn table(items: &[Item], now: Moment, context: &Context) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if context.ui.out_is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(terminal_width());
    } else {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.set_header(["NAME", "VARIABLE", "SCOPES", "VER", "AGE", "EXPIRES", "STATUS"]);
    for item in items {
        let (word, style) = view::status(item, now);
        let mut marked = Cell::new(word);
        if context.ui.colour() {
            marked = marked.fg(if style == ui::GOOD {
                Color::Green
            } else if style == ui::WARN {
                Color::Yellow
            } else {
                Color::Red
            });
        }
        table.add_row([
            Cell::new(item.name.as_str()),
            Cell::new(item.variable.as_str()),
            Cell::new(view::joined(item.scopes.iter())),
            Cell::new(item.current().map_or_else(|| "-".to_owned(), |version| version.number.to_string())),
            Cell::new(time::between(item.created, now)),
            Cell::new(
                item.expires.map_or_else(|| "never".to_owned(), |expires| time::relative(expires, now)),
            ),
            marked,
        ]);
    }
    // What is short stays whole; names, variables and scopes share the rest.
    for (column, width) in [(3, 5), (4, 6), (5, 10), (6, 10)] {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(width)));
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    // Line by line into one buffer: the whole would otherwise be copied each time it grows.
    let mut text = String::with_capacity(items.len() * 100);
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn terminal_width() -> u16 {
    rustix::termios::tcgetwinsize(rustix::stdio::stdout()).map_or(80, |size| size.ws_col.max(40))
}
