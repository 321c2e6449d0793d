//! The text of a key: its form, byte by byte, and what is caught of a wrong one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::fmt::Write;

use keyvault_core::clock::{Rng, RngError};
use keyvault_core::crypto::SystemRng;
use keyvault_issue::record::{Environment, Id, Mark, NUMBERS, Prefix, Proof};
use keyvault_issue::text::{KeyText, MAX_TEXT_LEN, MintError, mint, new_id};
use proptest::prelude::*;

const VECTORS: &str = include_str!("vectors/texts.txt");

fn kv() -> Prefix {
    Prefix::parse("kv").unwrap()
}

fn minted() -> Vec<u8> {
    let id = Id::parse("7HqW2bXk9LmT").unwrap();
    mint(&kv(), Environment::Live, id, &SystemRng).unwrap().text.expose().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn texts_are_read_as_another_implementation_made_them() {
    let (mut read, mut refused) = (0, 0);
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split(' ').collect();
        let text = if columns[0] == "-" { "" } else { columns[0] };
        let parts = KeyText::parse(text.as_bytes());
        if columns[1] == "refused" {
            assert!(parts.is_none(), "{line}");
            refused += 1;
            continue;
        }
        let parts = parts.unwrap_or_else(|| panic!("{line}"));
        let environment = if parts.environment == Environment::Live { "live" } else { "test" };
        assert_eq!([parts.prefix, environment, parts.id.as_str()], columns[1..4], "{line}");
        let Proof::Own(hash) = Proof::of_own(&parts.id, parts.secret) else { panic!("{line}") };
        assert_eq!(hex(&hash), columns[4], "{line}");
        read += 1;
    }
    assert_eq!((read, refused), (9, 22));
}

#[test]
fn a_minted_text_reads_back_and_its_proof_is_of_its_secret_alone() {
    for (prefix, environment) in [("kv", Environment::Live), ("a_long_prefix_16", Environment::Test)] {
        let id = new_id(Mark::parse("aZ").unwrap(), &SystemRng).unwrap();
        let prefix = Prefix::parse(prefix).unwrap();
        let minted = mint(&prefix, environment, id, &SystemRng).unwrap();
        let text = minted.text.expose();
        let parts = KeyText::parse(text).unwrap();
        assert_eq!((parts.prefix, parts.environment, parts.id), (prefix.as_str(), environment, id));
        assert!(minted.proof.is_of(&id, parts.secret));
        let mut other = *parts.secret;
        other[42] = if other[42] == b'a' { b'b' } else { b'a' };
        assert!(!minted.proof.is_of(&id, &other));
        assert!(text.len() <= MAX_TEXT_LEN);
    }
}

#[test]
fn a_double_click_selects_the_whole_text() {
    assert!(minted().iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'));
}

#[test]
fn each_change_of_one_character_is_caught() {
    let text = minted();
    for place in 0..text.len() {
        for byte in (0..=u8::MAX).filter(|byte| *byte != text[place]) {
            let mut changed = text.clone();
            changed[place] = byte;
            assert!(KeyText::parse(&changed).is_none(), "{byte} at {place}");
        }
    }
}

#[test]
fn two_neighbors_that_changed_places_are_caught() {
    let text = minted();
    for place in (1..text.len()).filter(|place| text[*place] != text[*place - 1]) {
        let mut changed = text.clone();
        changed.swap(place - 1, place);
        assert!(KeyText::parse(&changed).is_none(), "{place}");
    }
}

/// Gives the bytes that it was made with, then repeats the last.
struct Given(std::sync::Mutex<Vec<u64>>);

impl Rng for Given {
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
        let mut words = self.0.lock().unwrap();
        let word = if words.len() > 1 { words.remove(0) } else { words[0] };
        for (place, byte) in target.iter_mut().zip(word.to_le_bytes().into_iter().cycle()) {
            *place = byte;
        }
        Ok(())
    }
}

#[test]
fn ids_are_equally_likely_and_a_stuck_generator_is_an_error() {
    let mark = Mark::parse("aa").unwrap();
    let drawn = |words: &[u64]| new_id(mark, &Given(words.to_vec().into())).map(|id| id.number());
    let whole = u64::MAX / NUMBERS * NUMBERS;
    assert_eq!(drawn(&[NUMBERS + 5]), Ok(5));
    assert_eq!(drawn(&[whole - 1]), Ok(NUMBERS - 1));
    assert_eq!(drawn(&[whole, u64::MAX, 7]), Ok(7), "the rest would make small numbers likelier");
    assert_eq!(drawn(&[u64::MAX]), Err(RngError));
}

#[test]
fn nothing_is_minted_without_a_prefix() {
    let id = Id::parse("7HqW2bXk9LmT").unwrap();
    let made = mint(&Prefix::NONE, Environment::Live, id, &SystemRng);
    assert_eq!(made.err(), Some(MintError::NoPrefix));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        prop_assert!(KeyText::parse(&bytes).is_none());
    }

    #[test]
    fn a_text_with_something_inserted_or_left_out_is_refused(place in 0..70_usize, byte in any::<u8>()) {
        let text = minted();
        let mut longer = text.clone();
        longer.insert(place, byte);
        prop_assert!(KeyText::parse(&longer).is_none());
        let mut shorter = text;
        shorter.remove(place);
        prop_assert!(KeyText::parse(&shorter).is_none());
    }
}
