//! Input from verifiers and issuers: records of sets, headers, holds.

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::codec;
use keyvault_issue::hold::Hold;
use keyvault_issue::record::{Api, Client, KeyRecord, NamedKey, Override, Word};
use keyvault_issue::set::{Header, List};

use super::same;

fn has_one_encoding<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> bool {
    codec::decode::<T>(bytes)
        .is_ok_and(|value| codec::encode_secret(&value).is_ok_and(|encoded| same(encoded.expose(), bytes)))
}

/// A record of each kind has one encoding.
pub fn issued_record(bytes: &[u8]) -> bool {
    let kinds = [
        has_one_encoding::<Api>,
        has_one_encoding::<Word>,
        has_one_encoding::<Client>,
        has_one_encoding::<KeyRecord>,
        has_one_encoding::<Override>,
        has_one_encoding::<NamedKey>,
    ];
    kinds.iter().any(|of_kind| of_kind(bytes))
}

/// A set's header has one encoding, and so has the list of sets.
pub fn set_header(bytes: &[u8]) -> bool {
    has_one_encoding::<Header>(bytes) || has_one_encoding::<List>(bytes)
}

/// A hold has one encoding.
pub fn hold(bytes: &[u8]) -> bool {
    has_one_encoding::<Hold>(bytes)
}
