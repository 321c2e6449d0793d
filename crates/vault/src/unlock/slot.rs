//! Slots: root, or for a keyring the daily key, sealed under a key from one secret.
//!
//! ```text
//! header = u8 kind ‖ 32-byte salt ‖ (kind 1 only) u32le memory KiB ‖ u32le passes ‖ u32le lanes
//! key    = kind 1 passphrase     Argon2id(passphrase NFC UTF-8, salt, cost) → 32 bytes
//!          kind 2 recovery code  HKDF of the 20 random bytes, label "keyvault recovery slot", context salt
//!          kind 4 key file       HKDF of the 32 random bytes, label "keyvault key file slot", context salt
//!          kind 3 OS keyring    HKDF of the 32 random bytes, label "keyvault keyring slot", context salt
//! sealed = seal(key, "keyvault slot", context of the slot's row bound to its header, root; for kind 3 the daily key)
//! ```
//!
//! The header is part of the context, so a cost that was lowered or a salt that was exchanged opens nothing.
//!
//! Anyone who can write the file can add rows. A slot whose header is none is passed over, and so is a passphrase slot
//! that would make all of them cost more than [`MOST_WORK`]; the others are tried in the order of the numbers, in which
//! the vault's own stand first.

use crate::sealed::{At, SealKind};
use crate::store::SlotRow;
use borsh::BorshDeserialize;
use keyvault_core::clock::Rng;
use keyvault_core::codec::{self, Malformed};
use keyvault_core::crypto::{self, Cost, KdfError, SealingKey};
use keyvault_core::identity::Identity;

use super::UnlockError;
use super::keyfile::KeyFile;
use super::keyring_entry::KeyringSecret;
use super::keys::{Daily, Root};
use super::passphrase::Passphrase;
use super::recovery::RecoveryCode;

const SLOT: SealKind = SealKind::of("keyvault slot", "slot");
const SALT_LEN: usize = 32;

/// Bound on the cost of all passphrase slots that are tried, as [`Cost::work`]: that of the dearest single one. So
/// added slots keep a user no longer than one slot can, and there is space for 4 slots of the dearest calibration (256
/// MiB, 10 passes), for 13 of 256 MiB and 3 passes, or for 32 of 64 MiB and 5.
const MOST_WORK: u64 = Cost::CEILING.work();

/// Why a slot is not tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untried {
    /// The header is too short or too long.
    #[error("malformed header")]
    Header,
    /// The header names a kind that this format does not have.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// The cost is outside what is ever accepted.
    #[error("cost out of bounds")]
    Cost,
    /// With the slots before it, it costs more than all may together.
    #[error("the passphrase slots together cost too much")]
    Sum,
}

impl From<Malformed> for Untried {
    fn from(_: Malformed) -> Self {
        Self::Header
    }
}

/// The kind of credential that a slot is for. A credential that was presented is of such a kind without a cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind<C = Cost> {
    /// A passphrase, at this cost.
    Passphrase(C),
    Recovery,
    /// The entry of an OS keyring; it opens the daily key and not root.
    Keyring,
    KeyFile,
}

impl<C> SlotKind<C> {
    /// Returns `true` if root comes out. A vault must keep one slot that gives it.
    #[must_use]
    pub fn gives_root(&self) -> bool {
        !matches!(self, Self::Keyring)
    }

    /// The word for people and JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => "passphrase",
            Self::Recovery => "recovery code",
            Self::Keyring => "keyring",
            Self::KeyFile => "key file",
        }
    }
}

pub struct Header {
    kind: SlotKind,
    salt: [u8; SALT_LEN],
}

impl Header {
    pub fn encode(&self) -> Vec<u8> {
        let kind: u8 = match self.kind {
            SlotKind::Passphrase(cost) => {
                return codec::encode(&(1_u8, self.salt, cost.memory_kib, cost.passes, cost.lanes));
            }
            SlotKind::Recovery => 2,
            SlotKind::Keyring => 3,
            SlotKind::KeyFile => 4,
        };
        codec::encode(&(kind, self.salt))
    }

    /// Not derived: a slot that is none is named by its kind or its cost, whatever else is wrong with it.
    pub fn decode(header: &[u8]) -> Result<Self, Untried> {
        let mut rest = header;
        let (kind, salt) = <(u8, _)>::deserialize(&mut rest).map_err(|_| Untried::Header)?;
        let kind = match kind {
            1 => {
                let (memory_kib, passes, lanes) = codec::decode(rest)?;
                SlotKind::Passphrase(Cost::new(memory_kib, passes, lanes).map_err(|_| Untried::Cost)?)
            }
            2 => SlotKind::Recovery,
            3 => SlotKind::Keyring,
            4 => SlotKind::KeyFile,
            other => return Err(Untried::Kind(other)),
        };
        match kind {
            SlotKind::Passphrase(_) => {}
            SlotKind::Recovery | SlotKind::Keyring | SlotKind::KeyFile => codec::decode(rest)?,
        }
        Ok(Self { kind, salt })
    }
}

pub(crate) fn kind(row: &SlotRow) -> Result<SlotKind, Untried> {
    Header::decode(&row.header).map(|header| header.kind)
}

/// The slots that are not tried, and why.
#[must_use]
pub(crate) fn untried(rows: &[SlotRow]) -> Vec<(u32, Untried)> {
    sift(rows).filter_map(|(row, header)| header.err().map(|why| (row.id, why))).collect()
}

/// Each row with its header, or why it is not tried. All are sifted before memory is taken for the first derivation.
fn sift(rows: &[SlotRow]) -> impl Iterator<Item = (&SlotRow, Result<Header, Untried>)> {
    let mut left = MOST_WORK;
    rows.iter().map(move |row| {
        let header = Header::decode(&row.header).and_then(|header| {
            if let SlotKind::Passphrase(cost) = header.kind {
                left = left.checked_sub(cost.work()).ok_or(Untried::Sum)?;
            }
            Ok(header)
        });
        (row, header)
    })
}

/// A passphrase slot for `root`.
pub fn seal_passphrase(
    id: u32,
    root: &Root,
    passphrase: &Passphrase,
    cost: Cost,
    identity: &Identity,
    rng: &dyn Rng,
) -> Result<SlotRow, UnlockError> {
    let header = Header { kind: SlotKind::Passphrase(cost), salt: salt(rng)? };
    let key = crypto::argon2id(passphrase.expose(), &header.salt, cost)?;
    seal(id, &header, &key, &root.0, identity, rng)
}

/// A recovery slot for `root`.
pub fn seal_recovery(
    id: u32,
    root: &Root,
    code: &RecoveryCode,
    identity: &Identity,
    rng: &dyn Rng,
) -> Result<SlotRow, UnlockError> {
    let header = Header { kind: SlotKind::Recovery, salt: salt(rng)? };
    let key = recovery_key(code, &header.salt);
    seal(id, &header, &key, &root.0, identity, rng)
}

/// A key file's slot for `root`.
pub fn seal_key_file(
    id: u32,
    root: &Root,
    file: &KeyFile,
    identity: &Identity,
    rng: &dyn Rng,
) -> Result<SlotRow, UnlockError> {
    let header = Header { kind: SlotKind::KeyFile, salt: salt(rng)? };
    let key = key_file_key(file, &header.salt);
    seal(id, &header, &key, &root.0, identity, rng)
}

/// A keyring's slot for the daily key.
pub(crate) fn seal_keyring(
    id: u32,
    daily: &Daily,
    secret: &KeyringSecret,
    identity: &Identity,
    rng: &dyn Rng,
) -> Result<SlotRow, UnlockError> {
    let header = Header { kind: SlotKind::Keyring, salt: salt(rng)? };
    let key = keyring_key(secret, &header.salt);
    seal(id, &header, &key, &daily.0, identity, rng)
}

/// The identities that a vault's slots may be sealed for.
pub struct SealedFor<'i> {
    /// The identity in the vault's head.
    pub own: Identity,
    /// Identities that the head may have had before it was altered; asked for only if no slot opens with its own.
    pub others: &'i dyn Fn() -> Vec<Identity>,
}

/// Root and the slot that a passphrase opens, and what that was sealed for.
pub(crate) fn open_passphrase<'r>(
    rows: &'r [SlotRow],
    passphrase: &Passphrase,
    sealed_for: &SealedFor<'_>,
) -> Result<(Root, &'r SlotRow, Identity), UnlockError> {
    open(rows, sealed_for, SlotKind::Passphrase(()), |header| match header.kind {
        SlotKind::Passphrase(cost) => Some(crypto::argon2id(passphrase.expose(), &header.salt, cost)),
        SlotKind::Recovery | SlotKind::Keyring | SlotKind::KeyFile => None,
    })
    .map(|(key, row, identity)| (Root(key), row, identity))
}

/// Root and the slot that a recovery code opens.
pub fn open_recovery<'r>(
    rows: &'r [SlotRow],
    code: &RecoveryCode,
    sealed_for: &SealedFor<'_>,
) -> Result<(Root, &'r SlotRow, Identity), UnlockError> {
    open(rows, sealed_for, SlotKind::Recovery, |header| match header.kind {
        SlotKind::Recovery => Some(Ok(recovery_key(code, &header.salt))),
        SlotKind::Passphrase(_) | SlotKind::Keyring | SlotKind::KeyFile => None,
    })
    .map(|(key, row, identity)| (Root(key), row, identity))
}

/// Root and the slot that a key file opens.
pub fn open_key_file<'r>(
    rows: &'r [SlotRow],
    file: &KeyFile,
    sealed_for: &SealedFor<'_>,
) -> Result<(Root, &'r SlotRow, Identity), UnlockError> {
    open(rows, sealed_for, SlotKind::KeyFile, |header| match header.kind {
        SlotKind::KeyFile => Some(Ok(key_file_key(file, &header.salt))),
        SlotKind::Passphrase(_) | SlotKind::Recovery | SlotKind::Keyring => None,
    })
    .map(|(key, row, identity)| (Root(key), row, identity))
}

/// The daily key and the slot that a keyring's entry opens.
pub(crate) fn open_keyring<'r>(
    rows: &'r [SlotRow],
    secret: &KeyringSecret,
    sealed_for: &SealedFor<'_>,
) -> Result<(Daily, &'r SlotRow, Identity), UnlockError> {
    open(rows, sealed_for, SlotKind::Keyring, |header| match header.kind {
        SlotKind::Keyring => Some(Ok(keyring_key(secret, &header.salt))),
        SlotKind::Passphrase(_) | SlotKind::Recovery | SlotKind::KeyFile => None,
    })
    .map(|(key, row, identity)| (Daily(key), row, identity))
}

fn open<'r>(
    rows: &'r [SlotRow],
    sealed_for: &SealedFor<'_>,
    secret: SlotKind<()>,
    key: impl Fn(&Header) -> Option<Result<SealingKey, KdfError>>,
) -> Result<(SealingKey, &'r SlotRow, Identity), UnlockError> {
    let sifted: Vec<_> = sift(rows).filter_map(|(row, header)| Some((row, header.ok()?))).collect();
    let mut nothing = UnlockError::NoSuchSlot(secret);
    let mut closed = Vec::new();
    for (row, header) in &sifted {
        let key = match key(header) {
            None => continue,
            Some(Ok(key)) => key,
            // The memory that one slot asks for may not be there, and that of the next one be.
            Some(Err(error)) => {
                nothing = error.into();
                continue;
            }
        };
        if let Some(opened) = open_row(row, &key, &sealed_for.own) {
            return Ok((opened, row, sealed_for.own));
        }
        closed.push((*row, key));
        if matches!(nothing, UnlockError::NoSuchSlot(_)) {
            nothing = UnlockError::Wrong(secret);
        }
    }
    let others = if closed.is_empty() { Vec::new() } else { (sealed_for.others)() };
    let mut opened = others.iter().flat_map(|identity| {
        closed.iter().filter_map(|(row, key)| Some((open_row(row, key, identity)?, *row, *identity)))
    });
    opened.next().ok_or(nothing)
}

fn open_row(row: &SlotRow, key: &SealingKey, identity: &Identity) -> Option<SealingKey> {
    let at = At { row: &row.id.to_le_bytes(), bound: &row.header, ..At::default() };
    SLOT.open_key(key, identity, at, &row.sealed).ok()
}

fn seal(
    id: u32,
    header: &Header,
    key: &SealingKey,
    held: &SealingKey,
    identity: &Identity,
    rng: &dyn Rng,
) -> Result<SlotRow, UnlockError> {
    let header = header.encode();
    let at = At { row: &id.to_le_bytes(), bound: &header, ..At::default() };
    let sealed = SLOT.seal_key(key, identity, at, held, rng)?;
    Ok(SlotRow { id, header, sealed })
}

fn recovery_key(code: &RecoveryCode, salt: &[u8]) -> SealingKey {
    SealingKey::derive_from(code.expose(), "keyvault recovery slot", salt)
}

fn key_file_key(file: &KeyFile, salt: &[u8]) -> SealingKey {
    SealingKey::derive_from(file.expose(), "keyvault key file slot", salt)
}

fn keyring_key(secret: &KeyringSecret, salt: &[u8]) -> SealingKey {
    SealingKey::derive_from(secret.expose(), "keyvault keyring slot", salt)
}

fn salt(rng: &dyn Rng) -> Result<[u8; SALT_LEN], UnlockError> {
    let mut salt = [0; SALT_LEN];
    rng.fill(&mut salt)?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase_slots(costs: &[Cost]) -> Vec<SlotRow> {
        let header = |cost: &Cost| Header { kind: SlotKind::Passphrase(*cost), salt: [0; SALT_LEN] }.encode();
        let row = |(id, cost)| SlotRow { id, header: header(cost), sealed: Vec::new() };
        (1..).zip(costs).map(row).collect()
    }

    #[test]
    fn case_78_the_sum_of_what_passphrase_slots_cost_is_bounded_in_the_order_of_their_numbers() {
        let cost = |mib: u32, passes| Cost { memory_kib: mib * 1024, passes, lanes: 1 };
        let sum = |id| (id, Untried::Sum);
        for (count, each) in [(1, cost(1024, 10)), (4, cost(256, 10)), (13, cost(256, 3)), (32, cost(64, 5))]
        {
            assert_eq!(untried(&passphrase_slots(&vec![each; count])), [], "{count} of {each:?}");
        }
        assert_eq!(untried(&passphrase_slots(&[cost(1024, 10), Cost::FLOOR])), [sum(2)]);
        // A slot that does not fit takes nothing from the slots behind it.
        let rows =
            passphrase_slots(&[cost(64, 5), cost(1024, 10), cost(256, 10), cost(1024, 10), cost(64, 3)]);
        assert_eq!(untried(&rows), [sum(2), sum(4)]);
        let rows = passphrase_slots(&[cost(300, 9); 32]);
        let tried = sift(&rows).filter_map(|(_, header)| match header.ok()?.kind {
            SlotKind::Passphrase(cost) => Some(cost.work()),
            _ => None,
        });
        assert!(tried.sum::<u64>() <= MOST_WORK);
    }

    #[test]
    fn every_way_in_but_the_keyring_gives_root_and_each_has_its_word() {
        for (kind, root, word) in [
            (SlotKind::Passphrase(Cost::FLOOR), true, "passphrase"),
            (SlotKind::Recovery, true, "recovery code"),
            (SlotKind::Keyring, false, "keyring"),
            (SlotKind::KeyFile, true, "key file"),
        ] {
            assert_eq!((kind.gives_root(), kind.name()), (root, word));
        }
    }
}
