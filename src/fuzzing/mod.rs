//! One function for each parser of bytes that come from outside, and what must hold of it beside that it ends: what is
//! taken is the one encoding of what it means, and what is written reads back the same.
//!
//! For the fuzzer (`fuzz/`) and for the replay of what it kept (`tests/library/corpus.rs`); nothing else may call this module. A
//! property that fails is a panic. Each function says whether the bytes were taken, so that a corpus which no longer
//! reaches behind the first check is noticed.

#![allow(clippy::must_use_candidate, reason = "a fuzzer wants the panic, not the answer")]

mod from_people;
mod from_projects;
mod issued;
#[cfg(test)]
mod issued_seeds;
mod machines;
mod masker;
#[cfg(test)]
mod seeds;

pub use from_people::{dotenv, json_import, pin_file, recovery_code};
pub use from_projects::{git_index, project_file, references};
pub use issued::{hold, issued_record, set_header};
pub use machines::{bundle, grant, ledgers, reads, token, token_record};
pub use masker::masker;

use keyvault_core::codec;
use keyvault_core::identity::Identity;
use keyvault_core::secret::SecretBytes;
use keyvault_vault::KeyRecord;
use keyvault_vault::audit::Event;
use keyvault_vault::state::{Node, Record};
use keyvault_vault::unlock::slot::Header;

/// Tries one input and says whether it was taken.
pub type Target = fn(&[u8]) -> bool;

/// Every target by its name: that of its folder in `tests/corpus` and of its file in `fuzz/fuzz_targets`.
pub const TARGETS: [(&str, Target); 22] = [
    ("slot_header", slot_header),
    ("row", row),
    ("tree_node", tree_node),
    ("state_record", state_record),
    ("audit_entry", audit_entry),
    ("pin_file", pin_file),
    ("recovery_code", recovery_code),
    ("dotenv", dotenv),
    ("json_import", json_import),
    ("token", token),
    ("grant", grant),
    ("token_record", token_record),
    ("ledgers", ledgers),
    ("bundle", bundle),
    ("reads", reads),
    ("issued_record", issued_record),
    ("set_header", set_header),
    ("hold", hold),
    ("project_file", project_file),
    ("references", references),
    ("git_index", git_index),
    ("masker", masker),
];

/// The vault that state records are read for.
const IDENTITY: Identity = Identity { vault_id: *b"0123456789abcdef", epoch: 1 };

/// A slot's header has one encoding.
pub fn slot_header(bytes: &[u8]) -> bool {
    Header::decode(bytes).is_ok_and(|header| same(&header.encode(), bytes))
}

/// The plaintext of a key's row, with its padding or without, has one encoding.
pub fn row(bytes: &[u8]) -> bool {
    let row = SecretBytes::copy_from(bytes);
    let content = unpadded(&row);
    KeyRecord::decode(content, 1).is_ok_and(|key| same(&key.encode(), content))
}

/// A node's body has one encoding, and a child that is taken out and put back leaves it as it was.
pub fn tree_node(bytes: &[u8]) -> bool {
    let Some(node) = Node::parse(bytes) else { return false };
    let mut changed = node.clone();
    for child in 0..64 {
        if let Some(digest) = node.get(child) {
            changed.set(child, None);
            assert!(changed.get(child).is_none() && changed.body().len() + digest.len() == bytes.len());
            changed.set(child, Some(digest));
        }
    }
    same(&node.body(), bytes) && same(&changed.body(), bytes)
}

/// The state record has one encoding.
pub fn state_record(bytes: &[u8]) -> bool {
    Record::decode(bytes, &IDENTITY).is_ok_and(|record| same(&record.encode(&IDENTITY), bytes))
}

/// An event's plaintext, with its padding or without, has one encoding.
pub fn audit_entry(bytes: &[u8]) -> bool {
    let entry = SecretBytes::copy_from(bytes);
    let content = unpadded(&entry);
    Event::decode(content).is_ok_and(|event| same(&event.encode(), content))
}

/// The content of padded bytes, or the bytes as they are; padding itself has one encoding.
fn unpadded(bytes: &SecretBytes) -> &[u8] {
    let padded = |content| codec::pad(content).unwrap_or_else(|_| SecretBytes::zeroed(0));
    assert_eq!(codec::unpad(&padded(bytes.expose())), Ok(bytes.expose()));
    let Ok(content) = codec::unpad(bytes) else { return bytes.expose() };
    same(padded(content).expose(), bytes.expose());
    content
}

fn same(written: &[u8], read: &[u8]) -> bool {
    assert_eq!(written, read, "what was read has another encoding");
    true
}
