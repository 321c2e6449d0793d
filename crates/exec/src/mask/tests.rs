#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    clippy::format_collect,
    reason = "a test may fail"
)]
use std::collections::BTreeSet;

use super::spelling::{escaped, spellings, units};
use crate::mask::*;

/// Lets a text through in these pieces, with a pause behind each one that is marked.
fn through(mask: &Mask, pieces: &[(&[u8], bool)]) -> Vec<u8> {
    let mut shown = Vec::new();
    let mut filter = Filter::new(mask);
    let mut out = |bytes: &[u8]| shown.extend_from_slice(bytes);
    for (piece, pause) in pieces {
        filter.feed(piece, &mut out);
        if *pause {
            filter.pause(&mut out);
            assert!(!filter.would_show());
        }
    }
    filter.finish(&mut out);
    shown
}

fn masked(values: &[&str], text: &str) -> String {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    let (mask, _) = Mask::of(&values).unwrap();
    let whole = through(&mask, &[(text.as_bytes(), false)]);
    let bytes: Vec<(&[u8], bool)> = text.as_bytes().chunks(1).map(|byte| (byte, false)).collect();
    assert_eq!(whole, through(&mask, &bytes), "byte by byte");
    String::from_utf8(whole).unwrap()
}

#[test]
fn what_overlaps_goes_as_one_and_what_only_touches_does_not() {
    assert_eq!(masked(&["abcdef"], "x abcdef y"), "x [masked] y");
    assert_eq!(masked(&["abcdef", "defghi"], "xabcdefghix"), "x[masked]x");
    assert_eq!(masked(&["abcdef", "cdefgh", "abcdefghij"], "abcdefghi abcdefghij"), "[masked]i [masked]");
    assert_eq!(masked(&["abab"], "abababx"), "[masked]x");
    assert_eq!(masked(&["abcd"], "abcdabcd"), "[masked][masked]");
    assert_eq!(masked(&["xabcdy", "abcd"], "xabcdz xabcdy"), "x[masked]z [masked]");
    // The long one covers what two short ones within it would have covered.
    assert_eq!(
        masked(&["aaaa-bbbb-cccc", "bbbb"], "aaaa-bbbb-cccc aaaa-bbbb-ccc."),
        "[masked] aaaa-[masked]-ccc."
    );
}

#[test]
fn what_only_begins_like_a_value_is_shown_unless_the_output_ends_in_it() {
    assert_eq!(masked(&["abcdefghijkl"], "abcdefghijk-"), "abcdefghijk-");
    assert_eq!(masked(&["abcdefghijkl"], "abcdefg"), "abcdefg");
    assert_eq!(masked(&["abcdefghijkl"], "> abcdefgh"), "> [masked]");
}

#[test]
fn a_pause_shows_three_bytes_and_the_rest_is_still_masked() {
    let (mask, _) = Mask::of(&[b"abcdefghijkl"]).unwrap();
    let show = |pieces: &[(&str, bool)]| {
        let pieces: Vec<_> = pieces.iter().map(|(piece, pause)| (piece.as_bytes(), *pause)).collect();
        String::from_utf8(through(&mask, &pieces)).unwrap()
    };
    assert_eq!(show(&[("ab", true), ("cdefghijkl.", false)]), "ab[masked].");
    assert_eq!(show(&[("abcdef", true), ("ghijkl.", false)]), "abc[masked].");
    let each: Vec<(String, bool)> = "abcdefghijkl.".chars().map(|c| (c.to_string(), true)).collect();
    let each: Vec<(&str, bool)> = each.iter().map(|(piece, pause)| (piece.as_str(), *pause)).collect();
    assert_eq!(show(&each), "abc[masked].");
    assert_eq!(show(&[("abcdef", true), ("!", false)]), "abcdef!");
    assert_eq!(show(&[("Password: ", true), ("ok", false)]), "Password: ok");
    // At a prompt nothing of which begins a value, nothing waits for the pause.
    let mut shown = Vec::new();
    Filter::new(&mask).feed(b"Password: ", &mut |bytes| shown.extend_from_slice(bytes));
    assert_eq!(shown, b"Password: ");
}

#[test]
fn case_52_values_under_four_bytes_are_not_looked_for_and_are_named() {
    let (mask, uncovered) = Mask::of(&[b"abc", b"", b"abcd"]).unwrap();
    assert_eq!(uncovered, Uncovered { common: vec![0], ..Uncovered::default() });
    assert_eq!(through(&mask, &[(b"abc abcd", false)]), b"abc [masked]");
    let (nothing, _) = Mask::of(&[]).unwrap();
    assert_eq!(through(&nothing, &[(b"anything", true), (b" at all", false)]), b"anything at all");
}

#[test]
fn values_that_are_too_long_are_named_and_the_others_are_masked() {
    let long = vec![b'x'; MOST_PLAIN];
    let half = vec![b'y'; MOST_ENCODED / 8 + 1];
    let (mask, uncovered) = Mask::of(&[&long, b"abcd", &half]).unwrap();
    assert_eq!(uncovered, Uncovered { long: vec![0], only_plain: vec![2], common: vec![] });
    assert_eq!(through(&mask, &[(b"YWJjZA== abcd", false), (&half, false)]), b"[masked] [masked][masked]");
}

#[test]
fn common_values_and_common_pieces_of_a_value_are_not_looked_for() {
    let json = b"{\"user\": \"true\", \"password\": \"hunter22\"}\ntrue\n5432\n";
    let (mask, uncovered) = Mask::of(&[b"5432", json, b"TRUE\n"]).unwrap();
    assert_eq!(uncovered, Uncovered { common: vec![0, 2], ..Uncovered::default() });
    assert_eq!(through(&mask, &[(b"true 5432 TRUE hunter22", false)]), b"true 5432 TRUE [masked]");
}

/// Everything that is looked for, written out.
struct Sought {
    forms: Vec<SecretBytes>,
    spelt: Vec<Spelt>,
}

/// A value as the spellings of its characters, and after how many of them only newlines follow.
struct Spelt {
    characters: Vec<Vec<Vec<u8>>>,
    kept: usize,
}

impl Sought {
    fn of(values: &[&[u8]]) -> Self {
        let mut sought = Self { forms: Vec::new(), spelt: Vec::new() };
        for part in values.iter().flat_map(|value| parts::parts(value)) {
            let text = part.text.expose();
            sought.forms.extend(forms::plain(text));
            if part.whole {
                sought.forms.extend(forms::encoded(text));
            }
            let kept = text.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
            let kept = if kept < 4 { text.len() } else { kept };
            let newlines = |spelling: &Vec<u8>| spelling.iter().all(|byte| b"\r\n".contains(byte));
            let last = units(&text[kept..]).map(spellings).map(|mut spellings| {
                spellings.retain(|spelling| !newlines(spelling));
                spellings
            });
            let freely = units(&text[..kept]).map(spellings).chain(last).collect();
            let plain = text[..kept].iter().all(u8::is_ascii_alphanumeric);
            if !plain {
                sought.spelt.push(Spelt { characters: freely, kept: units(&text[..kept]).count() });
            }
            sought.spelt.push(Spelt { characters: text.iter().copied().map(escaped).collect(), kept });
        }
        sought
    }

    /// Where the longest occurrence ends that begins at a place; whether the text ends within one.
    fn at(&self, text: &[u8], start: usize) -> (Option<usize>, bool) {
        let tail = &text[start..];
        let fits = |form: &&SecretBytes| tail.starts_with(form.expose());
        let longest = self.forms.iter().filter(fits).map(|form| start + form.len()).max();
        let begins = |form: &SecretBytes| form.len() > tail.len() && form.expose().starts_with(tail);
        let mut found = (longest, self.forms.iter().any(begins));
        for value in &self.spelt {
            let mut reached = BTreeSet::from([(0, start)]);
            while let Some((character, at)) = reached.pop_first() {
                if character == value.kept || character == value.characters.len() {
                    found.0 = found.0.max(Some(at));
                }
                for spelling in value.characters.get(character).into_iter().flatten() {
                    if text[at..].starts_with(spelling) {
                        reached.insert((character + 1, at + spelling.len()));
                    } else {
                        found.1 |= spelling.starts_with(&text[at..]);
                    }
                }
            }
        }
        found
    }

    /// Something of it, whole.
    fn any(&self, chance: &mut Chance) -> Vec<u8> {
        if chance.below(2) == 0 {
            return self.forms[chance.below(self.forms.len())].expose().to_vec();
        }
        let value = &self.spelt[chance.below(self.spelt.len())];
        value
            .characters
            .iter()
            .flat_map(|spellings| spellings[chance.below(spellings.len())].clone())
            .collect()
    }
}

/// As slow as it is simple: everything at every place.
fn oracle(sought: &Sought, text: &[u8]) -> Vec<u8> {
    let mut covered: Vec<(usize, usize)> = Vec::new();
    let mut cut_off = None;
    for start in 0..text.len() {
        let (end, begins) = sought.at(text, start);
        covered.extend(end.map(|end| (start, end)));
        cut_off = cut_off.or(begins.then_some(start));
    }
    covered.extend(cut_off.filter(|from| text.len() - from >= PARTIAL).map(|from| (from, text.len())));
    covered.sort_unstable();
    let mut shown = Vec::new();
    let mut done = 0;
    for (start, end) in covered {
        // Done is the end of what was masked, or the beginning of the text.
        if start >= done {
            shown.extend_from_slice(&text[done..start]);
            shown.extend_from_slice(REPLACEMENT);
        }
        done = done.max(end);
    }
    shown.extend_from_slice(&text[done..]);
    shown
}

/// A small generator of its own, so that a failure can be repeated by its number alone (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ mixed >> 31) % limit as u64).unwrap()
    }

    fn bytes(&mut self, length: usize, letters: &[u8]) -> Vec<u8> {
        (0..length).map(|_| letters[self.below(letters.len())]).collect()
    }

    /// Values and everything that is looked for; of few letters, so that they begin and overlap alike.
    fn values(&mut self) -> (Mask, Sought) {
        let letters: &[&[u8]] =
            &[b"ab", b"abc\n", b"a+/ \"\n\xc3\xa4", b"0123456789abcdef", b"\\\"'$&u0", b"{[\"x y\"]}%;=_"];
        let letters = letters[self.below(letters.len())];
        let values: Vec<Vec<u8>> = (0..=self.below(3))
            .map(|_| {
                let length = 4 + self.below(20);
                self.bytes(length, letters)
            })
            .collect();
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let (mask, _) = Mask::of(&values).unwrap();
        (mask, Sought::of(&values))
    }

    /// Forms and spellings, their beginnings and ends, and noise of their own letters.
    fn text(&mut self, sought: &Sought) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..self.below(8) {
            let form = sought.any(self);
            let (from, to) = (self.below(form.len()), 1 + self.below(form.len()));
            match self.below(4) {
                0 => text.extend_from_slice(&form),
                1 => text.extend_from_slice(&form[..to]),
                2 => text.extend_from_slice(&form[from..]),
                _ => {
                    let length = self.below(6);
                    text.extend(self.bytes(length, &form));
                }
            }
        }
        text
    }

    fn pieces<'t>(&mut self, mut text: &'t [u8], pauses: bool) -> Vec<(&'t [u8], bool)> {
        let longest = 1 + self.below(40);
        let mut pieces = Vec::new();
        while !text.is_empty() {
            let (piece, rest) = text.split_at(self.below(longest + 1).min(text.len()));
            pieces.push((piece, pauses && self.below(3) == 0));
            text = rest;
        }
        pieces
    }
}

/// `KEYVAULT_CHUNKINGS=1000000 cargo test --release --lib chunking` runs as many as are promised.
#[test]
fn case_51_no_chunking_lets_a_form_through_or_changes_anything_else() {
    let rounds = std::env::var("KEYVAULT_CHUNKINGS").map_or(4_000, |number| number.parse().unwrap());
    let mut chance = Chance(1);
    for round in 0_u64.. {
        let (mask, sought) = chance.values();
        for chunking in 0..40 {
            if round * 40 + chunking >= rounds {
                return;
            }
            let text = chance.text(&sought);
            let shown = through(&mask, &chance.pieces(&text, false));
            assert_eq!(
                shown,
                oracle(&sought, &text),
                "{round} {chunking}: {:?}",
                String::from_utf8_lossy(&text)
            );
            // With pauses, at most three bytes more stand before each replacement.
            let paused = through(&mask, &chance.pieces(&text, true));
            assert!(differs_by_what_a_pause_shows(&paused, &shown), "{round} {chunking}: {text:?}");
        }
    }
}

/// Returns `true` if taking up to three bytes before replacements out of `paused` makes it `shown`.
fn differs_by_what_a_pause_shows(paused: &[u8], shown: &[u8]) -> bool {
    let mut reached = vec![0_usize];
    let mut at = 0;
    while at < shown.len() {
        let masked = shown[at..].starts_with(REPLACEMENT);
        let mut next = Vec::new();
        for from in &reached {
            for more in 0..=if masked { SHOWN } else { 0 } {
                let length = if masked { REPLACEMENT.len() } else { 1 };
                let piece = paused.get(from + more..from + more + length);
                if piece == Some(&shown[at..at + length]) {
                    next.push(from + more + length);
                }
            }
        }
        next.sort_unstable();
        next.dedup();
        reached = next;
        at += if masked { REPLACEMENT.len() } else { 1 };
    }
    reached.contains(&paused.len())
}

#[test]
fn no_output_takes_more_than_linear_time() {
    // Each value is the end of the next, and the output is nearly all of the longest, again and again.
    let values: Vec<Vec<u8>> = (4..200).map(|length| vec![b'a'; length]).collect();
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    let (mask, _) = Mask::of(&values).unwrap();
    let (mut shown, mut filter) = (0, Filter::new(&mask));
    for _ in 0..200 {
        filter.feed(&[b'a'; 10_000], &mut |bytes| shown += bytes.len());
    }
    filter.finish(&mut |bytes| shown += bytes.len());
    assert_eq!(shown, REPLACEMENT.len());
    assert!(filter.found.is_empty() && filter.held.is_empty());
}

/// Every visible character that anything escapes, letters that begin escapes, controls, and what is not ASCII.
const AWKWARD: &str = "+a=b<c>&d'e\"f`g$h\\i/j k%l#m!n{o}p@q;r|s*t(u)v[w]x?y~z^0,1.2:3-4_5\t6\n7\r8\u{1}9\u{1b}A\u{7f}B\u{e4}C\u{2028}D\u{1f600}E''F$$G";

/// A writer that escapes characters one by one.
fn written(escape: impl Fn(char) -> Option<String>) -> String {
    AWKWARD.chars().map(|c| escape(c).unwrap_or_else(|| c.to_string())).collect()
}

fn short(c: char) -> Option<String> {
    Some(match c {
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        _ => return None,
    })
}

fn upper(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect()
}

fn lower(c: char) -> String {
    c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// By the rules that their makers document; the writers that a machine has are asked in `tests/it`.
#[test]
fn case_87_what_writers_of_json_html_and_sources_escape_is_masked() {
    let quoted = |c: char| short(c).or_else(|| (c == '"').then(|| "\\\"".to_owned()));
    let html = |c: char, apostrophe: &str| match c {
        '&' => Some("&amp;".to_owned()),
        '<' => Some("&lt;".to_owned()),
        '>' => Some("&gt;".to_owned()),
        '"' => Some("&quot;".to_owned()),
        '\'' => Some(apostrophe.to_owned()),
        _ => None,
    };
    let json_net = written(|c| {
        short(c).or_else(|| ("\"&'+<>`".contains(c) || !(' '..='~').contains(&c)).then(|| upper(c)))
    });
    let gson = written(|c| quoted(c).or_else(|| ("<>&='\u{2028}".contains(c) || c < ' ').then(|| lower(c))));
    let writers = [
        ("System.Text.Json, JavaScriptEncoder.Default", json_net.clone()),
        ("Gson, HTML-safe as by default", gson.clone()),
        (
            "Gson, without HTML",
            written(|c| quoted(c).or_else(|| (c < ' ' || c == '\u{2028}').then(|| lower(c)))),
        ),
        ("Jackson", written(|c| quoted(c).or_else(|| (c < ' ').then(|| upper(c))))),
        (
            "Jackson, ESCAPE_NON_ASCII",
            written(|c| quoted(c).or_else(|| (!(' '..='\u{7f}').contains(&c)).then(|| upper(c)))),
        ),
        (
            "Newtonsoft, EscapeHtml",
            written(|c| quoted(c).or_else(|| ("<>&'".contains(c) || c < ' ').then(|| lower(c)))),
        ),
        (
            "Go, json.Marshal",
            written(|c| quoted(c).or_else(|| ("<>&\u{2028}".contains(c) || c < ' ').then(|| lower(c)))),
        ),
        (
            "PHP, json_encode",
            written(|c| {
                quoted(c)
                    .or_else(|| (c == '/').then(|| "\\/".to_owned()))
                    .or_else(|| (!(' '..='\u{7f}').contains(&c)).then(|| lower(c)))
            }),
        ),
        (
            "PHP, JSON_HEX_*",
            written(|c| short(c).or_else(|| ("\"&'<>".contains(c) || c < ' ').then(|| upper(c)))),
        ),
        (
            "Go, strconv.QuoteToASCII",
            written(|c| {
                quoted(c).or_else(|| match c {
                    '\u{1}' | '\u{1b}' | '\u{7f}' => Some(format!("\\x{:02x}", u32::from(c))),
                    c if c > '\u{ffff}' => Some(format!("\\U{:08x}", u32::from(c))),
                    c if c > '~' => Some(lower(c)),
                    _ => None,
                })
            }),
        ),
        ("Rust, {:?}", format!("{AWKWARD:?}").trim_matches('"').to_owned()),
        ("Rust, escape_default", AWKWARD.escape_default().to_string()),
        (
            "Ruby, inspect",
            written(|c| {
                quoted(c).or_else(|| match c {
                    '#' => Some("\\#".to_owned()),
                    '\u{1b}' => Some("\\e".to_owned()),
                    '\u{1}' => Some("\\u0001".to_owned()),
                    '\u{7f}' => Some("\\x7F".to_owned()),
                    _ => None,
                })
            }),
        ),
        (
            "nginx, escape=default",
            AWKWARD
                .bytes()
                .map(|byte| match byte {
                    b'"' | b'\\' | 0..32 | 127.. => format!("\\x{byte:02X}"),
                    byte => char::from(byte).to_string(),
                })
                .collect(),
        ),
        (
            "Java, Properties.store",
            written(|c| {
                quoted(c).filter(|_| c != '"').or_else(|| match c {
                    '=' | ':' | '#' | '!' | ' ' => Some(format!("\\{c}")),
                    c if !(' '..='~').contains(&c) => Some(upper(c)),
                    _ => None,
                })
            }),
        ),
        ("HTML, Python", written(|c| html(c, "&#x27;"))),
        ("HTML, PHP", written(|c| html(c, "&#039;"))),
        ("HTML, Go", written(|c| html(c, "&#39;").map(|text| text.replace("&quot;", "&#34;")))),
        (
            "XML",
            written(|c| {
                html(c, "&apos;").or_else(|| "\t\n\r".contains(c).then(|| format!("&#x{:X};", u32::from(c))))
            }),
        ),
        (
            "HTML, .NET",
            written(|c| html(c, "&#39;").or_else(|| (c > '\u{9f}').then(|| format!("&#{};", u32::from(c))))),
        ),
        ("SQL", AWKWARD.replace('\'', "''")),
        ("CSV", AWKWARD.replace('"', "\"\"")),
        ("Make", AWKWARD.replace('$', "$$")),
        ("systemd", AWKWARD.replace('%', "%%")),
        ("JSON in HTML", json_net.replace('&', "&amp;")),
        ("JSON with quotes in HTML", gson.replace('"', "&quot;")),
        ("JSON in JSON", gson.replace('\\', "\\\\").replace('"', "\\\"")),
        ("JSON in JSON in JSON", gson.replace('\\', "\\\\\\\\").replace('"', "\\\\\\\"")),
        (
            "HTML in JSON",
            written(|c| html(c, "&#39;").map(|text| text.replace('&', "\\u0026")).or_else(|| quoted(c))),
        ),
        ("every byte in a URL", AWKWARD.bytes().map(|byte| format!("%{byte:02X}")).collect()),
        ("every byte in C", AWKWARD.bytes().map(|byte| format!("\\x{byte:02x}")).collect()),
        ("every byte in octal", AWKWARD.bytes().map(|byte| format!("\\{byte:03o}")).collect()),
    ];
    for (writer, text) in writers {
        assert_eq!(masked(&[AWKWARD], &format!("<{text}>")), "<[masked]>", "{writer}: {text}");
    }
}

#[test]
fn each_character_may_be_escaped_or_not_and_nothing_beyond_the_value_goes() {
    let value = "k+/=\"x\"";
    for (text, expected) in [
        ("{\"a\":\"k\\u002B/\\u003d\\u0022x\\\"\",\"b\":1}", "{\"a\":\"[masked]\",\"b\":1}"),
        ("k%2B/%3d\"x&quot;&quot;", "[masked]&quot;"),
        ("k+/=\\\\\\\"x\\\\\\\"\\\\.", "[masked]\\\\."),
        // One character is another: no spelling of the value.
        ("k+/=\\u0023x\"", "k+/=\\u0023x\""),
        ("k+/=\"x", "k+/=\"x"),
        ("'k+/=\"x\"'$$", "'[masked]'$$"),
    ] {
        assert_eq!(masked(&[value], text), expected);
    }
}

#[test]
fn members_of_json_and_the_body_of_a_pem_are_masked_in_any_spelling() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq+hki/G9w0BAQ\nEFAASCBKcwggSjAgEAAo\n-----END PRIVATE KEY-----\n";
    let value = serde_json::json!({ "user": "svc<a>", "private_key": pem, "n": ["abc", 7] }).to_string();
    for (text, expected) in [
        ("user svc<a> n abc 7", "user [masked] n abc 7"),
        ("svc\\u003Ca\\u003E svc&lt;a&gt; c3ZjPGE+", "[masked] [masked] [masked]"),
        ("MIIEvQIBADANBgkq+hki/G9w0BAQEFAASCBKcwggSjAgEAAo", "[masked]"),
        ("MIIEvQIBADANBgkq\\u002Bhki\\/G9w0BAQ|  EFAASCBKcwggSjAgEAAo|", "[masked]|  [masked]|"),
    ] {
        assert_eq!(masked(&[&value], text), expected);
    }
    assert_eq!(masked(&[&value], &value), "[masked]");
    assert_eq!(masked(&[&value], &serde_json::to_string(&value).unwrap()), "\"[masked]\"");
}

#[test]
fn a_value_that_repeats_an_escaped_character_takes_no_more_than_linear_time() {
    let value = "=".repeat(4000);
    let (mask, _) = Mask::of(&[value.as_bytes()]).unwrap();
    let (mut shown, mut filter) = (0, Filter::new(&mask));
    filter.feed(&vec![b'='; 20_000], &mut |bytes| shown += bytes.len());
    filter.finish(&mut |bytes| shown += bytes.len());
    assert_eq!(shown, REPLACEMENT.len());
}
