//! Opening a vault by the OS keyring: one command asks at a time, what it gets becomes a session for the others, and a
//! keyring that gives nothing is named in one line before the next way is tried.

use std::time::{Duration, Instant};

use keyvault_core::crypto::SystemRng;
use keyvault_os::fs::lock::{FileLock, Held};
use keyvault_os::fs::private;
use keyvault_vault::unlock::UnlockError;
use keyvault_vault::unlock::keyring_entry::KeyringSecret;
use keyvault_vault::unlock::os_keyring::{self, LIMIT, NoAnswer};
use keyvault_vault::{Access, Credential, Slot, Vault, VaultError, slot};

use super::order::opens_slot;
use crate::cli::context::{Context, state_folder};
use crate::cli::errors::Failure;
use crate::cli::output::harmless_line;

/// The session that a keyring opens on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Keep {
    /// A short session, for the commands that follow.
    Session,
    Nothing,
}

impl Context {
    /// Access by the keyring, if the vault has a slot for one. A failure is never passed over in silence: whatever comes
    /// next in the order may be weaker.
    pub(in crate::cli) fn keyring_access(&self, vault: &mut Vault) -> Result<Option<Access>, Failure> {
        self.keyring_access_for(vault, Keep::Session)
    }

    pub(in crate::cli) fn keyring_access_for(
        &self,
        vault: &mut Vault,
        keep: Keep,
    ) -> Result<Option<Access>, Failure> {
        match self.by_keyring(vault, keep)? {
            Some(Ok(access)) => Ok(Some(access)),
            Some(Err(NoAnswer::TurnedOff)) | None => Ok(None),
            Some(Err(why)) => {
                self.ui.warn(&format!("The OS keyring did not open the vault: {}", sentence(&why)));
                Ok(None)
            }
        }
    }

    fn by_keyring(&self, vault: &mut Vault, keep: Keep) -> Result<Option<Result<Access, NoAnswer>>, Failure> {
        if !slot::has_keyring(vault).map_err(|error| Failure::of(error, vault.path()))? {
            return Ok(None);
        }
        let until = Instant::now() + LIMIT;
        // Of several commands that come here at once one asks; the others find its session. The wait for the turn counts
        // as waiting for the keyring, so that a hundred commands give up together and not one after the other.
        let _turn = match turn(vault, until) {
            Ok(turn) => turn,
            Err(why) => return Ok(Some(Err(why))),
        };
        if let Some(session) = vault.session(self.now()) {
            return Ok(Some(Ok(session.into())));
        }
        match entry_access(vault, until.saturating_duration_since(Instant::now()))? {
            Ok((access, _)) => {
                self.name_slots(vault, Some(&access));
                if keep == Keep::Session && !self.global.no_session {
                    self.keep_session(vault, &access, "keyring", false);
                }
                Ok(Some(Ok(access)))
            }
            Err(why) => Ok(Some(Err(why))),
        }
    }

    /// Access by the keyring, if the vault has a slot for one, or why there is none. No session is opened, nothing said.
    #[allow(clippy::unused_self, reason = "beside the other ways of asking")]
    pub(in crate::cli) fn keyring_alone(&self, vault: &mut Vault) -> Result<Option<Access>, String> {
        let message = |failure: Failure| failure.message;
        if !slot::has_keyring(vault).map_err(|error| message(Failure::of(error, vault.path())))? {
            return Ok(None);
        }
        let entry = entry_access(vault, LIMIT).map_err(message)?;
        entry.map(|(access, _)| Some(access)).map_err(|why| sentence(&why))
    }

    /// Makes the keyring of this user on this machine a slot. `access` has root.
    pub(in crate::cli) fn add_keyring(&self, vault: &mut Vault, access: &Access) -> Result<Slot, Failure> {
        let path = vault.path().to_owned();
        let failed = |error: VaultError| Failure::of(error, &path);
        let identity = vault.identity();
        let known = match os_keyring::read(&identity, LIMIT) {
            Ok(secret) => Some(secret),
            Err(NoAnswer::NoEntry | NoAnswer::Garbage) => None,
            Err(why) => return Err(unavailable(&why)),
        };
        // An entry that is there already may belong to another copy of this vault, which it must go on opening.
        let (secret, made) = match known {
            Some(secret) => {
                if let Ok(opened) = vault.open_keyring(&secret) {
                    return Err(Failure::refused(
                        &format!("The keyring already {}.", opens_slot(&opened)),
                        Some("Run `keyvault vault slot list` to see the slots."),
                    ));
                }
                (secret, false)
            }
            None => (KeyringSecret::create(&SystemRng).map_err(|error| failed(error.into()))?, true),
        };
        // The entry first: a slot whose entry was lost would only be in the way.
        if made {
            os_keyring::keep(&identity, &secret, LIMIT).map_err(|why| unavailable(&why))?;
        }
        let added = self.with_world(|world| {
            slot::add(vault, access, world, Credential::Keyring(&secret))
                .map_err(|error| Failure::of(error, &path))
        });
        added.inspect_err(|failure| {
            if made && !failure.is_undecided() {
                let _ = os_keyring::forget(&identity, LIMIT);
            }
        })
    }

    /// Access by this machine's keyring, and its secret, to be kept by a rekey. A keyring that does not answer is
    /// reported.
    pub(in crate::cli) fn keyring_to_keep(
        &self,
        vault: &mut Vault,
    ) -> Result<Option<(Access, KeyringSecret)>, Failure> {
        if !slot::has_keyring(vault).map_err(|error| Failure::of(error, vault.path()))? {
            return Ok(None);
        }
        match entry_access(vault, LIMIT)? {
            Ok(opened) => Ok(Some(opened)),
            Err(why) => {
                self.ui.warn(&format!("The slot of the OS keyring is not kept: {}", sentence(&why)));
                Ok(None)
            }
        }
    }

    /// Returns `true` if this machine's entry opens that slot; else the slot is another machine's, or another slot's
    /// entry is here.
    #[allow(clippy::unused_self, reason = "beside the other ways of asking")]
    pub(in crate::cli) fn keyring_opens(
        &self,
        vault: &mut Vault,
        slot: Slot,
    ) -> Result<Result<bool, NoAnswer>, Failure> {
        Ok(entry_access(vault, LIMIT)?.map(|(access, _)| access.slot_id() == Some(slot.id)))
    }
}

/// Reads the entry, once, and opens its slot.
fn entry_access(
    vault: &mut Vault,
    limit: Duration,
) -> Result<Result<(Access, KeyringSecret), NoAnswer>, Failure> {
    let secret = match os_keyring::read(&vault.identity(), limit) {
        Ok(secret) => secret,
        Err(why) => return Ok(Err(why)),
    };
    match vault.open_keyring(&secret) {
        Ok(access) => Ok(Ok((access, secret))),
        Err(VaultError::Unlock(UnlockError::Wrong(_))) => Ok(Err(NoAnswer::Stale)),
        Err(error) => Err(Failure::of(error, vault.path())),
    }
}

/// This command's turn to ask. Where no lock can be made there is none to wait for.
fn turn(vault: &Vault, until: Instant) -> Result<Option<FileLock>, NoAnswer> {
    let Ok(folder) = state_folder() else { return Ok(None) };
    if private::create_folder(&folder).is_err() {
        return Ok(None);
    }
    let path = folder.join(format!("keyring-{}", vault.identity().vault_hex()));
    match FileLock::exclusive_within(&path, until.saturating_duration_since(Instant::now())) {
        Ok(turn) => Ok(Some(turn)),
        Err(error) => Held::of(&error).map_or(Ok(None), |held| Err(NoAnswer::Failed(held.to_string()))),
    }
}

/// A keyring that cannot take or give an entry.
pub(in crate::cli) fn unavailable(why: &NoAnswer) -> Failure {
    Failure::failed(
        &format!("The OS keyring cannot be used: {}", sentence(why)),
        Some("Nothing was changed."),
    )
}

/// Why the keyring gave nothing, and what can be done about it.
pub(in crate::cli) fn sentence(why: &NoAnswer) -> String {
    match why {
        NoAnswer::TurnedOff => "KEYVAULT_KEYRING=off.".to_owned(),
        NoAnswer::NoBus => "there is no session bus (DBUS_SESSION_BUS_ADDRESS).".to_owned(),
        NoAnswer::ForeignBus => "DBUS_SESSION_BUS_ADDRESS does not name a local socket.".to_owned(),
        NoAnswer::NoService => "no keyring is running on the session bus.".to_owned(),
        NoAnswer::Locked => {
            "it is locked. Log in to the desktop, or run `gnome-keyring-daemon --replace --unlock`, which reads its password from standard input."
                .to_owned()
        }
        NoAnswer::NoCollection => {
            "it has no default keyring. Create one in Passwords and Keys (seahorse), or log in to the desktop once."
                .to_owned()
        }
        NoAnswer::TimedOut => "it did not answer within 3 s. KEYVAULT_KEYRING=off turns it off.".to_owned(),
        NoAnswer::NoEntry => "it has no entry for this vault. Add one with `keyvault vault slot add keyring`.".to_owned(),
        NoAnswer::Several => "it has several entries for this vault. Delete all but one of them.".to_owned(),
        NoAnswer::Garbage => {
            "keyvault did not write its entry for this vault. Replace it with `keyvault vault slot add keyring`.".to_owned()
        }
        NoAnswer::Stale => "its entry opens no slot of this vault. Add one with `keyvault vault slot add keyring`.".to_owned(),
        // In the words of another process.
        NoAnswer::Failed(reason) => format!("{}.", harmless_line(reason)),
    }
}
