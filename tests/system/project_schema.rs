//! The published schema of the project file against the parser: what one takes the other takes, on a corpus of good and
//! bad files, judged by another TOML reader and another schema validator than ours (Python's).

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use keyvault::{ProjectFile, schema};
use keyvault_core::name::{RUNS_CODE, RUNS_CODE_PREFIXES, refused};

/// Files of which both have an opinion: valid TOML.
fn corpus() -> Vec<String> {
    let entry = |entry: &str| format!("[keys]\nA = {entry}\n");
    let mut files: Vec<String> = [
        "",
        "keys = {}",
        "[keys]",
        "keys = 1",
        "keys = []",
        "[[keys]]",
        "kees = {}",
        "\"$schema\" = 'x'",
        "extends = '../.keyvault.toml'",
        "extends = './x/.keyvault.toml'",
        "extends = '/x/.keyvault.toml'",
        "extends = '.keyvault.toml'",
        "extends = '../.env'",
        "extends = '../x.keyvault.toml'",
        "extends = 1",
        "extends = ['../.keyvault.toml']",
        "profiles = {}",
        "profiles = 'x'",
        "[profiles.prod]",
        "profiles.prod = 'x'",
        "[profiles.prod.keys]\nA = 'a'",
        "[profiles.prod.keys]\nA = 1",
        "[profiles.\"a b\".keys]",
        "[profiles.\"a/b\".keys]",
        "[profiles.\"a:b\".keys]",
        "[profiles.\"\".keys]",
        "[profiles.prod]\nscope = 'x'",
        "[profiles.prod.keys]\nPATH = 'a'",
        "[keys]\nA = 'a'\n[profiles.prod.keys]\nA = 'b'",
        "[keys]\nspring.x = 'a'",
        "[keys]\nA.key = 'a'\nA.optional = true",
        "[keys.A]\nkey = 'a'\ndescription = 'x'",
    ]
    .map(str::to_owned)
    .to_vec();
    let long = |text: &str, count: usize| format!("'{}'", text.repeat(count));
    let entries = [
        "''".to_owned(),
        "'a'".to_owned(),
        "'a/b.c-d/_e'".to_owned(),
        "'a//b'".to_owned(),
        "'/a'".to_owned(),
        "'.a'".to_owned(),
        "'-a'".to_owned(),
        "'a b'".to_owned(),
        "'ä'".to_owned(),
        "'a:b'".to_owned(),
        "\"a\\u0000\"".to_owned(),
        long("a", 128),
        long("a", 129),
        "1".to_owned(),
        "true".to_owned(),
        "['a']".to_owned(),
        "2020-01-01".to_owned(),
        "{}".to_owned(),
        "{ key = 'a' }".to_owned(),
        "{ key = '' }".to_owned(),
        "{ key = 1 }".to_owned(),
        "{ value = 'a' }".to_owned(),
        "{ key = 'a', template = '{a}' }".to_owned(),
        "{ template = '{a}' }".to_owned(),
        "{ template = 1 }".to_owned(),
        "{ optional = true }".to_owned(),
        "{ key = 'a', optional = true }".to_owned(),
        "{ key = 'a', optional = 'yes' }".to_owned(),
        "{ key = 'a', required = false }".to_owned(),
        "{ key = 'a', required = 1 }".to_owned(),
        "{ key = 'a', required = true, optional = false }".to_owned(),
        "{ key = 'a', required = true, default = '' }".to_owned(),
        "{ key = 'a', required = false, default = '' }".to_owned(),
        "{ key = 'a', optional = true, default = 'x' }".to_owned(),
        "{ key = 'a', default = 1 }".to_owned(),
        "{ key = 'a', default = \"a\\u0000\" }".to_owned(),
        "{ key = 'a', default = \"a\\nb\" }".to_owned(),
        format!("{{ key = 'a', default = {} }}", long("ä", 1024)),
        format!("{{ key = 'a', default = {} }}", long("ä", 1025)),
        "{ key = 'a', description = 'ä' }".to_owned(),
        "{ key = 'a', description = false }".to_owned(),
        "{ key = 'a', descripton = '' }".to_owned(),
    ];
    files.extend(entries.iter().map(|text| entry(text)));
    let templates = [
        "",
        "x",
        "{{a}}",
        "{a}",
        "x{a}y",
        "{a}{b}",
        "{{{a}}}",
        "{a|url}",
        "{a|base64}",
        "{a|}",
        "{|url}",
        "{}",
        "{a",
        "a}",
        "{a}}",
        "{{a}",
        "{a{b}}",
        "{a b}",
        "{a/b.c}",
        "{/a}",
        "{../a}",
        "ä{a}ä",
        "{ä}",
        "{a|url|url}",
        "{{}}",
        "}}{a}{{",
    ];
    files.extend(templates.iter().map(|text| entry(&format!("{{ template = '{text}' }}"))));
    files.extend([
        entry(&format!("{{ template = '{{{}}}' }}", "a".repeat(128))),
        entry(&format!("{{ template = '{{{}}}' }}", "a".repeat(129))),
        entry(&format!("{{ template = '{{a}}{}' }}", "x".repeat(1021))),
        entry(&format!("{{ template = '{{a}}{}' }}", "x".repeat(1022))),
        entry("{ template = \"{a}\\u0000\" }"),
        entry("{ template = \"{a}\\n\\t\" }"),
    ]);
    files.extend(variables().iter().map(|variable| format!("[keys]\n\"{variable}\" = 'a'\n")));
    files
}

/// Names of variables: every one that is refused by name, odd ones, and good ones that look like them.
fn variables() -> Vec<String> {
    let mut names: Vec<String> = RUNS_CODE.iter().map(|name| (*name).to_owned()).collect();
    names.extend(RUNS_CODE_PREFIXES.iter().flat_map(|prefix| [format!("{prefix}X"), (*prefix).to_owned()]));
    for rule in refused::rules() {
        // Something, and nothing, in the place of what may stand there.
        for name in ["0", ""].map(|text| rule.pattern().replace('*', text)) {
            let around = format!("X{}X", name.trim_matches('_'));
            names.extend([name.to_lowercase(), format!("X{name}"), format!("{name}X"), around, name]);
        }
    }
    let odd = [
        "A",
        "_",
        "a.b",
        "a-b",
        "",
        "1A",
        "-A",
        ".A",
        "A B",
        "A=B",
        "Ä",
        "A/B",
        "A\\u0000",
        "KEYVAULT_X",
        "keyvault_x",
        "Http_Proxy",
        "STRIPE_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "PGPASSWORD",
        "NPM_TOKEN",
        "XPATH",
        "PATHS",
        "MY_HOME",
    ];
    names.extend(odd.map(str::to_owned));
    names.push("A".repeat(128));
    names.push("A".repeat(129));
    names
}

/// Reads files as JSON list, prints for each whether the schema takes it; ECMA's `$` is Python's `\Z`.
const JUDGE: &str = r"
import json, sys, tomllib, jsonschema
schema, files = json.load(sys.stdin)
def ecma(node):
    if isinstance(node, dict):
        return {k: v[:-1] + r'\Z' if k == 'pattern' and isinstance(v, str) and v.endswith('$') else ecma(v) for k, v in node.items()}
    return [ecma(v) for v in node] if isinstance(node, list) else node
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(ecma(schema))
def plain(value):
    if isinstance(value, dict): return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list): return [plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool)) else 0
print(json.dumps([validator.is_valid(plain(tomllib.loads(text))) for text in files]))
";

/// Python with a TOML reader and a schema validator; of several the first that has both.
pub fn python() -> Command {
    let fit = |program: &&str| {
        let imports = ["-c", "import tomllib, jsonschema"];
        let tried = Command::new(program).args(imports).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let program = ["python3", "/usr/bin/python3"].into_iter().find(fit);
    Command::new(program.expect("tests/setup installs what this needs: Python 3.11 and python3-jsonschema"))
}

#[test]
fn the_schema_takes_what_the_parser_takes() {
    let files = corpus();
    let schema: serde_json::Value = serde_json::from_str(&schema::text()).unwrap();
    let mut judge = python();
    let mut judge = judge
        .args(["-W", "ignore", "-c", JUDGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let question = serde_json::to_vec(&(schema, &files)).unwrap();
    let mut stdin = judge.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || stdin.write_all(&question).unwrap());
    let output = judge.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(output.status.success(), "the judge failed; what it said stands above");
    let judged: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(judged.len(), files.len());
    let mut counts = BTreeMap::new();
    for (file, by_schema) in files.iter().zip(judged) {
        let parsed = ProjectFile::parse(file.as_bytes());
        assert_eq!(parsed.is_ok(), by_schema, "the schema and the parser differ: {parsed:?}\n{file}");
        *counts.entry(by_schema).or_insert(0) += 1;
    }
    assert!(counts[&true] > 100 && counts[&false] > 500, "{counts:?}");
}
