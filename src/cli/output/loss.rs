//! What a rekey or a restore does not carry over from a damaged vault.

use std::collections::BTreeMap;

use keyvault_vault::{Finding, Loss};

use super::{time, view};
use crate::cli::output;

/// How many names or rows one line holds.
const SHOWN: usize = 10;

/// A line for each kind of loss; none if everything holds.
pub(in crate::cli) fn told(loss: &Loss) -> Vec<String> {
    let mut lines = Vec::new();
    if !loss.keys.is_empty() {
        let keys = listed(loss.keys.iter().map(ToString::to_string));
        lines.push(format!("Damaged keys are dropped: {keys}. Add them again, or restore an older backup."));
    }
    if !loss.values.is_empty() {
        let values = listed(loss.values.iter().map(|key| format!("{} version {}", key.name, key.version)));
        lines.push(format!(
            "Damaged values are dropped: {values}. The keys stay; give each a new value with `keyvault rotate NAME`."
        ));
    }
    for gap in &loss.log {
        let since = gap.since.map_or_else(
            || "no earlier entry is proved".to_owned(),
            |at| format!("the last proved entry before is of {}", time::local(at)),
        );
        let (entries, are) = if gap.from == gap.to {
            (format!("entry {}", gap.from), "is")
        } else {
            (format!("entries {} to {}", gap.from, gap.to), "are")
        };
        lines
            .push(format!("The audit log has a gap: {entries} cannot be proved and {are} dropped; {since}."));
    }
    if !loss.rows.is_empty() {
        // One fault of each row is enough to find it by.
        let rows: BTreeMap<_, _> = loss.rows.iter().rev().map(|fault| (&fault.row, fault)).collect();
        let are = if rows.len() == 1 { "is" } else { "are" };
        lines.push(format!(
            "{} {are} dropped or rebuilt: {}.",
            view::counted(rows.len(), "damaged row"),
            listed(rows.into_values().map(finding))
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
        "values": values.collect::<Vec<_>>(), "log": log.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>(),
    })
}

/// One row and what is wrong with it.
pub(in crate::cli) fn finding(finding: &Finding) -> String {
    format!("{} {}", output::harmless_line(&finding.row), finding.what)
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.collect();
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown}, and {} more", names.len() - SHOWN) } else { shown }
}
