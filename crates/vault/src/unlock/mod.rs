//! From a secret to a vault's keys: slots for passphrases, recovery codes, key files and the OS keyring, and the
//! session that keeps the daily keys for a bounded time.
//!
//! Root is opened by a slot, used, and wiped. A session and the slot of a keyring hold the daily key only, from which
//! every key for everyday access follows; so a thief of a session or of an open keyring cannot make a slot or rewrite
//! the log.

pub mod keyfile;
pub mod keyring_entry;
pub mod keys;
pub mod os_keyring;
pub mod passphrase;
pub mod recovery;
pub mod session;
pub mod slot;
pub mod token;

use keyvault_core::clock::RngError;
use keyvault_core::crypto::KdfError;

use self::slot::SlotKind;

/// Why no key came out.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// No slot opens with this secret.
    #[error("{}", wrong(*.0))]
    Wrong(SlotKind<()>),
    /// The vault has no slot of the kind that the secret is for.
    #[error("The vault has no slot for a {}.", .0.name())]
    NoSuchSlot(SlotKind<()>),
    /// The text is not a recovery code: wrong length, alphabet or checksum.
    #[error("That is not a recovery code, which is eight groups of five characters.")]
    NotACode,
    /// The file is not a key file: wrong first word, length, alphabet or checksum.
    #[error("That is not a key file, which is one line that starts with keyvault-key-file:.")]
    NotAKeyFile,
    /// The text is not a token: wrong beginning, length, alphabet or checksum.
    #[error("That is not a token, which is kvt_ and 71 letters and digits, the last six a checksum.")]
    NotAToken,
    /// The passphrase cannot be one.
    #[error("The passphrase {0}.")]
    Passphrase(passphrase::Unfit),
    #[error("The passphrase could not be checked: {0}.")]
    Kdf(#[from] KdfError),
    #[error(transparent)]
    Rng(#[from] RngError),
}

fn wrong(secret: SlotKind<()>) -> &'static str {
    match secret {
        SlotKind::Passphrase(()) => "That is not the vault's passphrase.",
        SlotKind::Recovery => "That recovery code does not open this vault.",
        SlotKind::KeyFile => "That key file does not open this vault.",
        SlotKind::Keyring => "The keyring's entry does not open this vault.",
    }
}
