//! Sealed texts: the one shape of everything that a vault keeps secret (FORMAT §3).
//!
//! A kind of sealed text says by its label what is sealed, and by table and field where; the place in the table comes
//! with each text. None of it is stored: a text that was moved, or taken for another kind, does not open.

use keyvault_core::clock::{Rng, RngError};
use keyvault_core::codec;
use keyvault_core::crypto::{self, SealingKey};
use keyvault_core::identity::{Identity, Place};
use keyvault_core::secret::SecretBytes;

/// A kind of sealed text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SealKind {
    pub(crate) label: &'static str,
    pub(crate) table: &'static str,
    pub(crate) field: &'static str,
}

/// The place of one text in its table.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct At<'p> {
    /// A tag, an id, or a number, as the table is keyed.
    pub(crate) row: &'p [u8],
    /// The version of a key, where the row belongs to one; else 0.
    pub(crate) version: u32,
    /// How often the row has been rewritten, where rows are.
    pub(crate) revision: u64,
    pub(crate) bound: &'p [u8],
}

/// Why a text could not be sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error(transparent)]
    Rng(#[from] RngError),
    #[error("too long to encode")]
    TooLong,
}

/// Why a text could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    /// Altered, moved, or sealed under another key.
    #[error("does not open")]
    Closed,
    /// The padding is not the one that its length has.
    #[error("malformed")]
    Padding,
}

/// The content of a padded text.
pub(crate) struct Content {
    padded: SecretBytes,
    len: usize,
}

/// Length of the prefix that counts the content's bytes.
const PREFIX: usize = 4;

impl Content {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.padded.expose().get(PREFIX..PREFIX + self.len).unwrap_or_default()
    }
}

impl SealKind {
    /// In the column `sealed`.
    pub(crate) const fn of(label: &'static str, table: &'static str) -> Self {
        Self { label, table, field: "sealed" }
    }

    /// Seals content of any length, which shows only roughly.
    pub(crate) fn seal(
        &self,
        key: &SealingKey,
        identity: &Identity,
        at: At<'_>,
        content: &[u8],
        rng: &dyn Rng,
    ) -> Result<Vec<u8>, SealError> {
        let padded = codec::pad(content).map_err(|_| SealError::TooLong)?;
        Ok(self.seal_bare(key, identity, at, padded.expose(), rng)?)
    }

    pub(crate) fn open(
        &self,
        key: &SealingKey,
        identity: &Identity,
        at: At<'_>,
        sealed: &[u8],
    ) -> Result<Content, OpenError> {
        let padded = self.open_bare(key, identity, at, sealed)?;
        let len = codec::unpad(&padded).map_err(|_| OpenError::Padding)?.len();
        Ok(Content { padded, len })
    }

    /// Seals a key under another one.
    pub(crate) fn seal_key(
        &self,
        key: &SealingKey,
        identity: &Identity,
        at: At<'_>,
        held: &SealingKey,
        rng: &dyn Rng,
    ) -> Result<Vec<u8>, RngError> {
        self.seal_bare(key, identity, at, held.expose(), rng)
    }

    pub(crate) fn open_key(
        &self,
        key: &SealingKey,
        identity: &Identity,
        at: At<'_>,
        sealed: &[u8],
    ) -> Result<SealingKey, OpenError> {
        let held = self.open_bare(key, identity, at, sealed)?;
        SealingKey::from_bytes(held.expose()).ok_or(OpenError::Padding)
    }

    /// Seals content whose length the kind fixes.
    pub(crate) fn seal_bare(
        &self,
        key: &SealingKey,
        identity: &Identity,
        at: At<'_>,
        content: &[u8],
        rng: &dyn Rng,
    ) -> Result<Vec<u8>, RngError> {
        crypto::seal(key, self.label, &self.context(identity, at), content, rng)
    }

    pub(crate) fn open_bare(
        &self,
        key: &SealingKey,
        identity: &Identity,
        at: At<'_>,
        sealed: &[u8],
    ) -> Result<SecretBytes, OpenError> {
        crypto::open(key, self.label, &self.context(identity, at), sealed).map_err(|_| OpenError::Closed)
    }

    fn context(&self, identity: &Identity, at: At<'_>) -> Vec<u8> {
        let At { row, version, revision, bound } = at;
        identity.context(&Place { table: self.table, row, version, field: self.field, revision, bound })
    }
}
