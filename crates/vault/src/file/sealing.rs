//! The root that a restore leaves a vault with. A backup from before a rekey does not bring its root back.

use std::path::Path;

use crate::audit::Seed;
use crate::error::{VaultError, is_damage};
use crate::slot::Credential;
use crate::slot::rekey::Next;
use crate::state::record::Record;
use crate::store::SlotRow;
use keyvault_core::identity::Identity;

use super::backup::place_of;
use super::damaged;
use super::open::{Access, Vault, World};
use super::survivors::{Seeds, survivors};

/// The root of a vault that was restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RootAfter {
    /// The backup's, with its slots.
    #[default]
    Backup,
    /// The replaced vault's, with its slots: the backup has another root, and one of no later epoch.
    Present,
    /// A new one, which only the credential that is given opens: the backup is of before a rekey, and the root that came
    /// with the last one is not at hand.
    New,
}

/// The secrets that open the vault after a restore that does not leave it with the backup's root.
pub struct Opens<'o> {
    /// Root of the vault that is replaced.
    pub present: Option<&'o Access>,
    /// The secret that opened the backup.
    pub backup: Credential<'o>,
}

/// How a backup is sealed when it takes a vault's place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sealing {
    pub root: RootAfter,
    /// True if the backup is of an epoch before the vault's. If not, and the root is not the backup's, the two were rekeyed
    /// apart.
    pub older_epoch: bool,
    /// The epoch of the present root; below a new one.
    epoch: u32,
    /// The slots of the present root.
    slots: Vec<SlotRow>,
}

/// The vault that a backup is to replace.
pub(crate) struct Replaced<'r> {
    pub(crate) vault: &'r mut Vault,
    /// Root of it, if that was given.
    pub(crate) present: Option<&'r Access>,
    /// True if nothing that was given opens it.
    pub(crate) locked: bool,
}

impl Sealing {
    pub(crate) fn of(
        backup: &mut Vault,
        access: &Access,
        path: &Path,
        here: Option<Replaced<'_>>,
    ) -> Result<Self, VaultError> {
        let seen = seen_epoch(backup, path);
        let theirs = backup.identity().epoch;
        let Some(Replaced { vault, present, locked }) = here else {
            let new = Self { root: RootAfter::New, older_epoch: true, epoch: seen, slots: Vec::new() };
            return Ok(if is_superseded(backup, access, path, None)? { new } else { Self::default() });
        };
        if !is_superseded(backup, access, path, Some((vault, present)))? {
            return Ok(Self::default());
        }
        let own = vault.identity().epoch;
        let older_epoch = theirs < own.max(seen);
        if own >= seen
            && let Some(slots) = present.map(|access| proved_slots(vault, access)).transpose()?.flatten()
        {
            return Ok(Self { root: RootAfter::Present, older_epoch, epoch: own, slots });
        }
        // A head that nothing proves may say any number, and each rekey takes one.
        let proved = theirs.max(seen);
        let own = if locked { own.min(proved.saturating_add(damaged::EPOCHS)) } else { own };
        Ok(Self { root: RootAfter::New, older_epoch, epoch: proved.max(own), slots: Vec::new() })
    }

    /// True if the root is another than the backup's.
    #[must_use]
    pub(crate) fn is_other(&self) -> bool {
        self.root != RootAfter::Backup
    }

    /// The epoch that the backup is to be sealed for, if it has to be.
    pub(crate) fn next(
        &self,
        identity: &Identity,
        opens: Option<&Opens<'_>>,
        world: &World<'_>,
    ) -> Result<Option<(Next, Seed)>, VaultError> {
        let to = |epoch| Identity { epoch, ..*identity };
        match self.root {
            RootAfter::Backup => Ok(None),
            RootAfter::Present => {
                let root =
                    opens.and_then(|opens| opens.present?.root.as_ref()).ok_or(VaultError::NeedsRoot)?;
                Next::under(root, to(self.epoch), self.slots.clone(), world).map(Some)
            }
            RootAfter::New => {
                let opens = opens.ok_or(VaultError::NeedsRoot)?;
                Next::create(to(self.epoch.saturating_add(1)), &[opens.backup], world).map(Some)
            }
        }
    }
}

/// True if the backup's root is one that the vault here, or at `path`, has given up by a rekey: it is of an earlier epoch,
/// or of the same one with another root. The vault here is given with root of it, if that is at hand.
pub fn is_superseded(
    backup: &mut Vault,
    access: &Access,
    path: &Path,
    here: Option<(&mut Vault, Option<&Access>)>,
) -> Result<bool, VaultError> {
    let theirs = backup.identity();
    let seen = seen_epoch(backup, path);
    let Some((vault, present)) = here else { return Ok(theirs.epoch < seen) };
    let own = vault.identity();
    let latest = own.epoch.max(seen);
    if theirs.epoch != latest || own.epoch != latest {
        return Ok(theirs.epoch < latest);
    }
    let (keys, _) = backup.keys(access);
    if let Some(present) = present {
        let (present, _) = vault.keys(present);
        return Ok(present.signing.signer() != keys.signing.signer());
    }
    // Either of the two may be damaged, and so may the record.
    let (one, other) = (&backup.header, &vault.header);
    if one.signer == other.signer || one.chain_seed == other.chain_seed {
        return Ok(false);
    }
    let rows = vault.store.begin_reading()?;
    Ok(Record::load(&rows, &keys.state, &own).is_err())
}

/// The epoch in which this machine last saw the vault at `path`; 0 if it did not.
fn seen_epoch(backup: &Vault, path: &Path) -> u32 {
    let memory = backup.pins.read(&backup.identity(), &place_of(path));
    memory.pin().map_or(0, |pin| pin.epoch.unwrap_or(1))
}

/// The slots that the vault's record proves, if the one that was opened is among them.
fn proved_slots(vault: &mut Vault, access: &Access) -> Result<Option<Vec<SlotRow>>, VaultError> {
    let slots = vault.read_damaged(access, |tx| Ok(survivors(tx, Seeds::default())?.slots));
    match slots {
        Ok(slots) => Ok(Some(slots).filter(|slots| access.slot.iter().all(|opened| slots.contains(opened)))),
        Err(error) if is_damage(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
