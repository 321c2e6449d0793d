#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::*;

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
    assert_eq!(uncovered, Uncovered { short: vec![0], ..Uncovered::default() });
    assert_eq!(through(&mask, &[(b"abc abcd", false)]), b"abc [masked]");
    let (nothing, _) = Mask::of(&[]).unwrap();
    assert_eq!(through(&nothing, &[(b"anything", true), (b" at all", false)]), b"anything at all");
}

#[test]
fn values_that_are_too_long_are_named_and_the_others_are_masked() {
    let long = vec![b'x'; MOST_PLAIN];
    let half = vec![b'y'; MOST_ENCODED / 8 + 1];
    let (mask, uncovered) = Mask::of(&[&long, b"abcd", &half]).unwrap();
    assert_eq!(uncovered, Uncovered { long: vec![0], only_plain: vec![2], short: vec![] });
    assert_eq!(through(&mask, &[(b"YWJjZA== abcd", false), (&half, false)]), b"[masked] [masked][masked]");
}

/// As slow as it is simple: every form at every place.
fn oracle(forms: &[SecretBytes], text: &[u8]) -> Vec<u8> {
    let mut covered: Vec<(usize, usize)> = Vec::new();
    for start in 0..text.len() {
        let fits = |form: &&SecretBytes| text[start..].starts_with(form.expose());
        let longest = forms.iter().filter(fits).map(SecretBytes::len).max();
        covered.extend(longest.map(|length| (start, start + length)));
    }
    let begins = |from: &usize| {
        let tail = &text[*from..];
        forms.iter().any(|form| form.len() > tail.len() && form.expose().starts_with(tail))
    };
    let cut_off = (0..text.len()).find(begins).filter(|from| text.len() - from >= PARTIAL);
    covered.extend(cut_off.map(|from| (from, text.len())));
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

    /// Values and all their forms; of few letters, so that they begin and overlap alike.
    fn values(&mut self) -> (Mask, Vec<SecretBytes>) {
        let letters: &[&[u8]] = &[b"ab", b"abc\n", b"a+/ \"\n\xc3\xa4", b"0123456789abcdef"];
        let letters = letters[self.below(letters.len())];
        let values: Vec<Vec<u8>> = (0..=self.below(3))
            .map(|_| {
                let length = 4 + self.below(20);
                self.bytes(length, letters)
            })
            .collect();
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let (mask, _) = Mask::of(&values).unwrap();
        (
            mask,
            values
                .iter()
                .flat_map(|value| [forms::plain(value), forms::encoded(value)].concat_all())
                .collect(),
        )
    }

    /// Forms, their beginnings and ends, and noise of their own letters.
    fn text(&mut self, forms: &[SecretBytes]) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..self.below(8) {
            let form = forms[self.below(forms.len())].expose();
            let (from, to) = (self.below(form.len()), 1 + self.below(form.len()));
            match self.below(4) {
                0 => text.extend_from_slice(form),
                1 => text.extend_from_slice(&form[..to]),
                2 => text.extend_from_slice(&form[from..]),
                _ => {
                    let length = self.below(6);
                    text.extend(self.bytes(length, form));
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

trait ConcatAll {
    fn concat_all(self) -> Vec<SecretBytes>;
}

impl ConcatAll for [Vec<SecretBytes>; 2] {
    fn concat_all(self) -> Vec<SecretBytes> {
        self.into_iter().flatten().collect()
    }
}

/// `KEYVAULT_CHUNKINGS=1000000 cargo test --release --lib chunking` runs as many as are promised.
#[test]
fn case_51_no_chunking_lets_a_form_through_or_changes_anything_else() {
    let rounds = std::env::var("KEYVAULT_CHUNKINGS").map_or(4_000, |number| number.parse().unwrap());
    let mut chance = Chance(1);
    for round in 0_u64.. {
        let (mask, forms) = chance.values();
        for chunking in 0..40 {
            if round * 40 + chunking >= rounds {
                return;
            }
            let text = chance.text(&forms);
            let shown = through(&mask, &chance.pieces(&text, false));
            assert_eq!(
                shown,
                oracle(&forms, &text),
                "{round} {chunking}: {:?}",
                String::from_utf8_lossy(&text)
            );
            // With pauses, at most three bytes more stand before each replacement.
            let paused = through(&mask, &chance.pieces(&text, true));
            assert!(differs_by_what_a_pause_shows(&paused, &shown), "{round} {chunking}: {text:?}");
        }
    }
}

/// Whether taking up to three bytes before replacements out of `paused` makes it `shown`.
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
