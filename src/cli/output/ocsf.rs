//! Records of the Open Cybersecurity Schema Framework, version 1.8.0: class API Activity (6003).
//!
//! The schema requires `activity_id`, `category_uid`, `class_uid`, `metadata` with `product` and `version`, `severity_id`,
//! `time`, and `type_uid` of every event; `actor`, `api` with `operation`, and `src_endpoint` of this class. What it has no
//! attribute for is under `unmapped`: the whole record of `--format jsonl`.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::time;
use keyvault_core::clock::Moment;
use keyvault_vault::Of;
use keyvault_vault::audit::{Action, Event, Outcome};

const VERSION: &str = "1.8.0";
const CATEGORY: u32 = 6;
const CLASS: u32 = 6003;

/// The schema's `activity_id` and its caption.
type Activity = (u32, &'static str);

const CREATE: Activity = (1, "Create");
const READ: Activity = (2, "Read");
const UPDATE: Activity = (3, "Update");
const DELETE: Activity = (4, "Delete");
const OTHER: u32 = 99;

/// Where an entry is.
pub(in crate::cli) struct Place<'a> {
    /// The vault's id in hexadecimal.
    pub vault: &'a str,
    pub of: &'a Of,
}

/// An entry of the log; `record` is what `--format jsonl` has of it.
pub(in crate::cli) fn event(place: &Place<'_>, event: &Event, record: &Value) -> Value {
    let (ledger, seq) = match place.of {
        Of::Vault(seq) => ("vault".to_owned(), *seq),
        Of::Device(ledger, seq) => (HEXLOWER.encode(ledger), *seq),
        Of::Token(token, seq) => (token.to_string(), *seq),
    };
    let (status, status_name) = match event.outcome {
        Outcome::Done => (1, "Success"),
        Outcome::Refused => (2, "Failure"),
    };
    let actor = &event.actor;
    let resource = |key: &keyvault_vault::audit::KeyRef| match key.version {
        0 => json!({ "type": "key", "name": key.name }),
        version => json!({ "type": "key", "name": key.name, "version": version.to_string() }),
    };
    let operation = event.action.name();
    let keys: Vec<_> = event.keys.iter().map(resource).collect();
    let names: Vec<_> = event.keys.iter().map(|key| key.name.as_str()).collect();
    let mut written = base(activity(event.action), operation, event.time, record);
    if let Some(metadata) = written.get_mut("metadata") {
        put(metadata, "uid", format!("{}:{ledger}:{seq}", place.vault));
        put(metadata, "sequence", seq);
        put(metadata, "original_time", time::rfc3339(event.time));
    }
    put(&mut written, "status_id", status);
    put(&mut written, "status", status_name);
    put(&mut written, "message", format!("{operation} {}", names.join(", ")).trim_end());
    put(
        &mut written,
        "actor",
        json!({
            "user": { "name": known(&actor.user) },
            "process": { "pid": actor.pid, "name": "keyvault" },
            "app_name": known(&actor.program),
        }),
    );
    put(&mut written, "src_endpoint", json!({ "hostname": known(&actor.host) }));
    if !keys.is_empty() {
        put(&mut written, "resources", keys);
    }
    written
}

/// Something about the log itself, by keyvault.
pub(in crate::cli) fn notice(told: &str, now: Moment, record: &Value) -> Value {
    let operation = record.get("notice").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut written = base((OTHER, ""), &operation, now, record);
    put(&mut written, "message", told);
    put(&mut written, "actor", json!({ "app_name": "keyvault" }));
    put(&mut written, "src_endpoint", json!({ "hostname": known(&keyvault_os::process::actor::who().host) }));
    written
}

/// Sets a field of a record.
pub(in crate::cli) fn put(record: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(fields) = record.as_object_mut() {
        fields.insert(name.to_owned(), value.into());
    }
}

/// The attributes that every event has. An activity that the schema does not know is named by the operation.
fn base((activity, caption): Activity, operation: &str, at: Moment, record: &Value) -> Value {
    json!({
        "activity_id": activity, "activity_name": if caption.is_empty() { operation } else { caption },
        "category_uid": CATEGORY, "category_name": "Application Activity",
        "class_uid": CLASS, "class_name": "API Activity", "type_uid": CLASS * 100 + activity,
        "severity_id": 1, "severity": "Informational", "time": at.0,
        "metadata": {
            "version": VERSION, "log_name": "audit log",
            "product": {
                "name": "keyvault", "vendor_name": "keyvault", "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "api": { "operation": operation, "service": { "name": "keyvault" } },
        "unmapped": record,
    })
}

fn activity(action: Action) -> Activity {
    match action {
        Action::Init | Action::Generate | Action::Add | Action::Import | Action::Issue => CREATE,
        Action::Exec | Action::Export | Action::Reveal => READ,
        Action::Edit
        | Action::Rotate
        | Action::Rollback
        | Action::Revoke
        | Action::Disable
        | Action::Enable
        | Action::Passwd
        | Action::Recover
        | Action::Rekey
        | Action::Restore
        | Action::Undelete
        | Action::Api
        | Action::Adopt => UPDATE,
        Action::Remove => DELETE,
        Action::Unlock | Action::Slot | Action::Token | Action::Bundle => (OTHER, ""),
    }
}

/// The schema wants a name where the system told none.
fn known(name: &str) -> &str {
    if name.is_empty() { "unknown" } else { name }
}
