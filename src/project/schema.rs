//! The file's grammar as a JSON Schema, so that editors complete it and mark what will be refused.
//!
//! Made from the same lists that the parser goes by, written to `docs/keyvault.toml.schema.json` and beside new project
//! files; a test holds both against a corpus of good and bad files. The patterns are ECMA-262's without flags, so what is
//! refused in any case is spelt out letter by letter.

use serde_json::{Value, json};

use keyvault_core::name::{MAX_NAME, RUNS_CODE, RUNS_CODE_PREFIXES, refused};

use super::template::MAX_TEXT;

/// The schema's name beside a project file.
pub const FILE_NAME: &str = ".keyvault.schema.json";

/// A part of a key's name.
const PART: &str = "[A-Za-z0-9_][A-Za-z0-9._-]*";

/// A part of the path of a field in a value that is JSON.
const FIELD_PART: &str = "[A-Za-z0-9._-]+";

#[must_use]
pub fn text() -> String {
    format!("{:#}\n", schema())
}

fn schema() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "keyvault project file",
        "description": "The keys that a project needs, and their variables. It holds no secrets.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "extends": {
                "description": "The relative path of a project file in the same repository, whose entries hold as well.",
                "type": "string",
                "pattern": "^[^/\\u0000][^\\u0000]*/\\.keyvault\\.toml$",
                "maxLength": MAX_TEXT,
            },
            "keys": { "$ref": "#/definitions/keys" },
            "profiles": {
                "description": "Entries that replace those above with `keyvault exec --profile NAME`.",
                "type": "object",
                "propertyNames": { "pattern": format!("^{PART}$"), "maxLength": MAX_NAME },
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": { "keys": { "$ref": "#/definitions/keys" } },
                },
            },
        },
        "definitions": {
            "keys": {
                "description": "Variables, each with its key.",
                "type": "object",
                "propertyNames": { "$ref": "#/definitions/variable" },
                "additionalProperties": {
                    "anyOf": [{ "$ref": "#/definitions/key" }, { "$ref": "#/definitions/entry" }],
                },
            },
            "variable": {
                "pattern": "^[A-Za-z_][A-Za-z0-9_.-]*$",
                "maxLength": MAX_NAME,
                "not": { "pattern": refused_names() },
            },
            "key": {
                "description": "The name of a key in the vault, such as stripe/live.",
                "type": "string",
                "pattern": format!("^{}$", name()),
                "maxLength": MAX_NAME,
            },
            "text": { "type": "string", "pattern": "^[^\\u0000]*$", "maxLength": MAX_TEXT },
            "entry": entry(),
        },
    })
}

fn entry() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "key": { "$ref": "#/definitions/key" },
            "template": {
                "description": "Text with keys in it: {db/password}, {db/password|url} percent-encoded, {db|json:password} a field of a JSON value; {{ and }} are braces.",
                "allOf": [
                    { "$ref": "#/definitions/text" },
                    { "pattern": template() },
                    { "not": { "pattern": "^(?:[^{}]|\\{\\{|\\}\\})*$" } },
                ],
            },
            "value": {
                "description": "A plain setting, such as a port. Not a secret: this file is shared.",
                "allOf": [{ "$ref": "#/definitions/text" }],
            },
            "required": { "description": "Whether the command needs the key (the default).", "type": "boolean" },
            "optional": { "description": "Whether the key may be missing, disabled, expired, or revoked.", "type": "boolean" },
            "default": {
                "description": "The value if the key is missing. Not a secret: this file is shared.",
                "allOf": [{ "$ref": "#/definitions/text" }],
            },
            "description": { "description": "A note.", "allOf": [{ "$ref": "#/definitions/text" }] },
        },
        "allOf": [
            { "oneOf": [{ "required": ["key"] }, { "required": ["template"] }, { "required": ["value"] }] },
            {
                "not": {
                    "required": ["value"],
                    "anyOf": [
                        { "required": ["required"] },
                        { "required": ["optional"] },
                        { "required": ["default"] },
                    ],
                },
            },
            { "not": { "required": ["required", "optional"] } },
            {
                "not": {
                    "required": ["required", "default"],
                    "properties": { "required": { "const": true } },
                },
            },
        ],
    })
}

fn name() -> String {
    format!("{PART}(?:/{PART})*")
}

fn template() -> String {
    let field = format!("(?:\\|json:(?=[^|}}]{{1,{MAX_NAME}}}[|}}]){FIELD_PART}(?:/{FIELD_PART})*)?");
    let reference = format!("\\{{(?=[^|}}]{{1,{MAX_NAME}}}[|}}]){}{field}(?:\\|url)?\\}}", name());
    format!("^(?:[^{{}}\\u0000]|\\{{\\{{|\\}}\\}}|{reference})*$")
}

/// The variables that a project file may not set: one pattern, as some readers keep only so many compiled.
fn refused_names() -> String {
    let prefixes = RUNS_CODE_PREFIXES.iter().chain(&["KEYVAULT_"]).map(|prefix| format!("{prefix}*"));
    let names = RUNS_CODE.iter().filter(|name| !name.contains(|c: char| c.is_ascii_lowercase()));
    let names = names.map(|name| (*name).to_owned());
    let rules = refused::rules().map(|rule| rule.pattern().to_owned());
    let all: Vec<_> =
        prefixes.chain(names).chain(rules).map(|name| in_any_case(&name).replace('*', ".*")).collect();
    format!("^(?:{})$", all.join("|"))
}

fn in_any_case(text: &str) -> String {
    let letter = |c: char| {
        if c.is_ascii_uppercase() { format!("[{c}{}]", c.to_ascii_lowercase()) } else { c.to_string() }
    };
    text.chars().map(letter).collect()
}
