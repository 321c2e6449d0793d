//! Losses of a rekey, a restore, or a recovery from a damaged vault.

use std::collections::BTreeMap;

use keyvault_vault::Loss;
use keyvault_vault::file::counted_sets;

use super::{time, view};

/// How many names or rows one line holds.
const SHOWN: usize = 10;

/// True if a command says what it is about to do, or what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Tense {
    Ahead,
    Done,
}

impl Tense {
    pub(in crate::cli) fn pick<T>(self, ahead: T, done: T) -> T {
        match self {
            Self::Ahead => ahead,
            Self::Done => done,
        }
    }
}

/// A line for each kind of loss; none if everything holds.
pub(in crate::cli) fn told(loss: &Loss, tense: Tense) -> Vec<String> {
    let mut lines = Vec::new();
    let dropped = tense.pick("would be dropped", "were dropped");
    if !loss.keys.is_empty() {
        let keys = listed(loss.keys.iter().map(ToString::to_string));
        lines.push(format!("Damaged keys {dropped}: {keys}. Add them again, or restore an older backup."));
    }
    if !loss.values.is_empty() {
        let values = listed(loss.values.iter().map(|key| format!("{} version {}", key.name, key.version)));
        lines.push(format!(
            "Damaged values {dropped}: {values}. The keys stay; give each a new value with `keyvault rotate NAME`."
        ));
    }
    if loss.removed > 0 {
        let were = tense.pick("would be", if loss.removed == 1 { "was" } else { "were" });
        lines.push(format!("{} {were} dropped.", view::counted(loss.removed, "damaged removed key")));
    }
    if loss.set_list {
        lines.push(format!("All issued keys {dropped}: the list of their sets is damaged or missing."));
    }
    if loss.sets > 0 {
        let were = tense.pick("would be", if loss.sets == 1 { "was" } else { "were" });
        lines.push(format!("{} {were} dropped, damaged or missing.", counted_sets(loss.sets)));
    }
    if loss.ledgers {
        lines.push(format!(
            "The reads of all devices {dropped}: the list of their ledgers is damaged or missing."
        ));
    }
    for gap in &loss.log {
        let since = gap.since.map_or_else(
            || "no earlier entry is proved".to_owned(),
            |at| format!("the last proved entry before is of {}", time::local(at)),
        );
        let (entries, were) = if gap.from == gap.to {
            (format!("entry {}", gap.from), "was")
        } else {
            (format!("entries {} to {}", gap.from, gap.to), "were")
        };
        let dropped = tense.pick("would be", were);
        lines.push(format!(
            "The audit log has a gap: {entries} cannot be proved and {dropped} dropped; {since}."
        ));
    }
    if !loss.rows.is_empty() {
        // One fault of each row is enough to find it by.
        let rows: BTreeMap<_, _> = loss.rows.iter().rev().map(|fault| (&fault.row, fault)).collect();
        let were = tense.pick("would be", if rows.len() == 1 { "was" } else { "were" });
        lines.push(format!(
            "{} {were} dropped or rebuilt: {}.",
            view::counted(rows.len(), "damaged row"),
            listed(rows.into_values().map(ToString::to_string))
        ));
    }
    lines
}

pub(in crate::cli) fn json(loss: &Loss) -> serde_json::Value {
    let values =
        loss.values.iter().map(|key| serde_json::json!({ "name": key.name, "version": key.version }));
    let log = loss.log.iter().map(
        |gap| serde_json::json!({ "from": gap.from, "to": gap.to, "since": gap.since.map(time::rfc3339) }),
    );
    let rows =
        loss.rows.iter().map(|finding| serde_json::json!({ "row": finding.row, "what": finding.what }));
    serde_json::json!({
        "keys": loss.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "values": values.collect::<Vec<_>>(), "removed": loss.removed,
        "set_list": loss.set_list, "sets": loss.sets, "ledgers": loss.ledgers,
        "log": log.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>(),
    })
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.collect();
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown}, and {} more", names.len() - SHOWN) } else { shown }
}
