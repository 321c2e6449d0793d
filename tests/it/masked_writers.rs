//! The output of writers that every machine has is masked, whichever characters they escape. The rules of those that a
//! machine seldom has are in `crates/exec/src/mask/tests.rs`.

use pretty_assertions::assert_eq;

use crate::harness::{Ran, World};

/// Everything that any writer escapes, and letters that begin escapes.
const AWKWARD: &str =
    "+n=b<c>&d'e\"f`g$h\\i/j k%l#m!o{p}@q;r|s*t(u)v[w]x?y~z^0,1.2:3-4_5''A$$B\u{e4}C\u{1f600}D";

fn world(value: &str) -> World {
    let world = World::new();
    world.run_with_input(&["add", "k", "--exact"], value).ok();
    world
}

fn masked(world: &World, command: &[&str]) -> Ran {
    world.run(&[&["exec", "--mask", "--only", "k", "--"], command].concat()).ok()
}

/// Returns `true` if a program can be run here: what is written by one that is not is not tested.
fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// Each line is `name<…>`, and what stands between is what is masked, but for the quotes that a writer puts around it.
#[track_caller]
fn nothing_is_left(ran: &Ran, lines: usize) {
    assert_eq!(ran.out.lines().count(), lines, "{}", ran.out);
    for line in ran.out.lines() {
        let (writer, written) = line.split_once('<').unwrap();
        let left = written.strip_suffix('>').unwrap().replacen("[masked]", "", 1);
        assert!(written.contains("[masked]"), "{writer}: {written}");
        assert!(
            left.len() <= 12 && left.chars().all(|c| "\"'\\$bu&quot;#39x2".contains(c)),
            "{writer}: {written}"
        );
    }
}

#[test]
fn case_87_what_python_writes_is_masked() {
    let program = r#"
import os, sys, json, html, shlex, urllib.parse, pprint, re
from xml.sax import saxutils
v = os.environ["K"]
sys.stdout.reconfigure(encoding="utf-8")
def put(name, text): print(name + "<" + text + ">")
put("json", json.dumps(v))
put("json-utf8", json.dumps(v, ensure_ascii=False))
put("json-json", json.dumps(json.dumps(v)))
put("json-json-json", json.dumps(json.dumps(json.dumps(v)))[6:-6])
put("repr", repr(v))
put("repr-bytes", repr(v.encode()))
put("ascii", ascii(v))
put("html", html.escape(v))
put("html-in-json", json.dumps(html.escape(v)))
put("json-in-html", html.escape(json.dumps(v)))
put("xml", saxutils.escape(v))
put("xml-attribute", saxutils.quoteattr(v))
put("shlex", shlex.quote(v))
put("quote", urllib.parse.quote(v, safe=""))
put("quote-path", urllib.parse.quote(v))
put("quote-plus", urllib.parse.quote_plus(v))
put("quote-twice", urllib.parse.quote(urllib.parse.quote(v, safe=""), safe=""))
put("re", re.escape(v))
put("unicode-escape", v.encode("unicode_escape").decode())
"#;
    let world = world(AWKWARD);
    nothing_is_left(&masked(&world, &["python3", "-c", program]), 19);
}

#[test]
fn case_87_what_node_writes_is_masked() {
    if !has("node") {
        return;
    }
    let program = "
const util = require('util'), v = process.env.K, put = (name, text) => console.log(name + '<' + text + '>');
put('json', JSON.stringify(v));
put('json-json', JSON.stringify(JSON.stringify(v)));
put('inspect', util.inspect(v));
put('uri', encodeURI(v));
put('component', encodeURIComponent(v));
put('form', new URLSearchParams({ v }).toString().slice(2));
put('escape', v.replace(/[+<>&='\"`]/g, c => '\\\\u' + c.charCodeAt(0).toString(16).padStart(4, '0')));
";
    nothing_is_left(&masked(&world(AWKWARD), &["node", "-e", program]), 7);
}

#[test]
fn case_87_what_shells_write_is_masked() {
    for value in [AWKWARD, "o'clock''s \"end\" `x` $HOME\\'", "tab\tand bell\u{7}", "\u{1b}[1m=bold="] {
        let world = world(value);
        let put = "put() { printf '%s<%s>\\n' \"$1\" \"$2\"; }; pick() { sed -n 's/^[a-z -]*K=//p'; }; ";
        let portable = "put set \"$(set | pick)\"; put export \"$(export -p | pick)\"; ";
        for (shell, more, lines) in [
            ("sh", "", 2),
            ("dash", "", 2),
            (
                "bash",
                "put declare \"$(declare -p K | pick)\"; put q \"$(printf %q \"$K\")\"; put at \"${K@Q}\"; put c \"$(LC_ALL=C; printf %q \"$K\")\"; ",
                6,
            ),
            (
                "zsh",
                "put declare \"$(declare -p K | pick)\"; put q \"${(q)K}\"; put qq \"${(qq)K}\"; put qqq \"${(qqq)K}\"; put qqqq \"${(qqqq)K}\"; put plus \"${(q+)K}\"; ",
                8,
            ),
        ] {
            if !has(shell) {
                continue;
            }
            let script = format!("{put}{portable}{more}");
            let ran = masked(&world, &[shell, "-c", &script]);
            let named: String =
                ran.out.lines().map(|line| format!("{shell} {}\n", line.replacen("K=", "", 1))).collect();
            nothing_is_left(&Ran { out: named, ..ran }, lines);
        }
    }
}

#[test]
fn case_87_what_perl_writes_is_masked() {
    if !has("perl") {
        return;
    }
    let program = r#"
use Data::Dumper; use JSON::PP; $Data::Dumper::Terse = 1; $Data::Dumper::Indent = 0;
my $v = $ENV{K}; sub put { my ($name, $text) = @_; print "$name<$text>\n" }
put("quotemeta", quotemeta $v);
put("dumper", Dumper($v));
{ local $Data::Dumper::Useqq = 1; put("useqq", Dumper($v)); }
utf8::decode(my $u = $v);
put("json", JSON::PP->new->ascii->allow_nonref->encode($u));
put("json-utf8", JSON::PP->new->utf8->allow_nonref->encode($u));
"#;
    nothing_is_left(&masked(&world(AWKWARD), &["perl", "-e", program]), 5);
}

#[test]
fn members_of_json_and_the_lines_and_body_of_a_pem_are_masked() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq+hkiG9w0BAQ\nEFAASCBKcwggSjAgEAAo\n-----END PRIVATE KEY-----\n";
    let document =
        serde_json::json!({ "account": { "password": "pa<ss>word" }, "private_key": pem }).to_string();
    let program = "
import os, json, base64
doc = json.loads(os.environ['K'])
print(doc['account']['password'], json.dumps(doc['account']))
print(base64.b64encode(doc['account']['password'].encode()).decode())
lines = doc['private_key'].split('\\n')
print(''.join(lines[1:3]), '|  ' + lines[1])
print(json.dumps(doc['private_key']))
";
    let ran = masked(&world(&document), &["python3", "-c", program]);
    assert_eq!(
        ran.out,
        "[masked] {\"password\": \"[masked]\"}\n[masked]\n[masked] |  [masked]\n\"[masked]\"\n"
    );
}

/// Written as slowly as can be: whatever the pieces, nothing of an escape is let out that belongs to a value.
#[test]
fn case_51_an_escaped_value_is_masked_in_any_pieces() {
    let program = "
import os, json, html
for text in (json.dumps(os.environ['K']), html.escape(os.environ['K'])):
    for byte in text.encode(): os.write(1, bytes([byte]))
    os.write(1, b'\\n')
";
    let ran = masked(&world(AWKWARD), &["python3", "-c", program]);
    for line in ran.out.lines() {
        // A pause, which a busy machine may make of it, shows three bytes.
        let shown = line.replacen("[masked]", "", 1);
        assert!(line.contains("[masked]") && shown.trim_matches('"').len() <= 3, "{line}");
    }
}
