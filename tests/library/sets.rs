//! The vectors of issued keys' sets, `tests/vectors/sets.json`, through the library.
//!
//! `KEYVAULT_WRITE=1 cargo test --test library sets` writes them anew. Nothing in them is chance. Each is the base with
//! edits: pairs of a JSON pointer and the value that is put there. So is each outcome, from that of the base.

mod base;
mod forge;
mod outcome;
mod vectors;

use std::path::PathBuf;

use serde_json::{Value, json};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sets.json")
}

/// The edits that make `to` of `from`.
fn edits(from: &Value, to: &Value, at: &str, edits: &mut Vec<Value>) {
    match (from, to) {
        (Value::Object(old), Value::Object(new)) if old.keys().eq(new.keys()) => {
            for (name, old) in old {
                self::edits(old, &new[name], &format!("{at}/{name}"), edits);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (place, (old, new)) in old.iter().zip(new).enumerate() {
                self::edits(old, new, &format!("{at}/{place}"), edits);
            }
        }
        _ if from != to => edits.push(json!([at, to])),
        _ => {}
    }
}

fn apply(base: &Value, edits: &Value) -> Value {
    let mut value = base.clone();
    for edit in edits.as_array().unwrap() {
        *value.pointer_mut(edit[0].as_str().unwrap()).unwrap() = edit[1].clone();
    }
    value
}

/// The file: the base, then a vector in each line.
fn write() -> String {
    let base = base::shop().build();
    let right = outcome::outcome(&base);
    let mut lines = vec![format!("{{\"base\": {base},\n\"outcome\": {right},\n\"vectors\": [")];
    for vector in vectors::all() {
        let (mut changed, mut becomes) = (Vec::new(), Vec::new());
        edits(&base, &vector.value, "", &mut changed);
        edits(&right, &outcome::outcome(&vector.value), "", &mut becomes);
        let line = json!({
            "name": vector.name,
            "reason": vector.reason,
            "comment": vector.comment,
            "edits": changed,
            "outcome": becomes,
        });
        lines.push(format!("{line},"));
    }
    lines.last_mut().unwrap().pop();
    lines.push("]}".to_owned());
    lines.join("\n") + "\n"
}

#[test]
fn each_vector_of_a_set_comes_out_as_it_says() {
    if std::env::var_os("KEYVAULT_WRITE").is_some() {
        std::fs::write(path(), write()).unwrap();
    }
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path()).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for vector in file["vectors"].as_array().unwrap() {
        let found = outcome::outcome(&apply(&file["base"], &vector["edits"]));
        let expected = apply(&file["outcome"], &vector["outcome"]);
        if found != expected {
            let mut differs = Vec::new();
            edits(&expected, &found, "", &mut differs);
            wrong.push(format!("{}: {differs:?}", vector["name"]));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// A vector that fails says why, and does so for that reason and no other; what it does not concern stays as it is.
#[test]
fn each_vector_of_a_set_fails_for_its_one_reason() {
    let base = outcome::outcome(&base::shop().build());
    let mut wrong = Vec::new();
    for vector in vectors::all() {
        let found = outcome::outcome(&vector.value);
        let mut differs = Vec::new();
        edits(&base, &found, "", &mut differs);
        let said = serde_json::to_string(&differs).unwrap();
        let refused = found.get("refused").and_then(Value::as_str);
        let fits = match (vector.reason, refused) {
            (reason, Some(refused)) => reason == refused,
            ("", None) => !["refused", "unavailable", "older", "forked", "origin", "malformed"]
                .iter()
                .any(|no| said.contains(no)),
            ("scope", None) => said.contains("/scopes"),
            (reason, None) => said.contains(reason),
        };
        if !fits {
            wrong.push(format!("{}: {} expected, {said}", vector.name, vector.reason));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
