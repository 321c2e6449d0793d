//! The operating system's keyring: the Secret Service (GNOME Keyring, KWallet, KeePassXC), the Keychain of macOS, the
//! Credential Manager of Windows. The one file that speaks to them.
//!
//! Three rules. Nothing is asked unless the vault has a keyring slot or one is being added. Nothing is waited for
//! longer than [`LIMIT`]: a keyring that hangs is a keyring that does not answer. And no dialogue is raised: over SSH
//! it would open on a screen that nobody sits at, and with many commands at once many times; where the system lets us,
//! a locked keyring is reported as locked, and the user unlocks it.
//!
//! The environment and the file system show if there is a bus, before any thread starts.

use std::time::Duration;

use keyvault_core::identity::Identity;
use keyvault_core::secret::SecretBytes;
use keyvault_os::process::deadline::{self, GaveUp};

use super::keyring_entry::KeyringSecret;

/// The longest that a keyring is waited for.
pub const LIMIT: Duration = Duration::from_secs(3);

const SERVICE: &str = "keyvault";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// `KEYVAULT_KEYRING=off`.
    #[error("it is turned off")]
    TurnedOff,
    /// There is no session bus.
    #[error("there is no session bus")]
    NoBus,
    /// The bus is reached by something else than a socket of this machine.
    #[error("the session bus is not a local socket")]
    ForeignBus,
    /// There is a bus, and no keyring on it.
    #[error("no keyring is running")]
    NoService,
    /// The entry, or the place where one would be made, is locked.
    #[error("it is locked")]
    Locked,
    /// There is no default collection to make an entry in.
    #[error("it has no default collection")]
    NoCollection,
    #[error("it did not answer in time")]
    TimedOut,
    /// It has no entry for this vault.
    #[error("it has no entry for this vault")]
    NoEntry,
    /// It has more than one.
    #[error("it has several entries for this vault")]
    Several,
    /// The entry is not one of ours.
    #[error("its entry is not readable")]
    Garbage,
    /// The entry opens no slot of the vault.
    #[error("its entry opens no slot")]
    Stale,
    /// Something else, in the system's words.
    #[error("{0}")]
    Failed(String),
}

/// Refuses a keyring that could not take a new entry now.
pub fn ready(limit: Duration) -> Result<(), NoAnswer> {
    bounded(limit, system::ready)
}

/// The secret of this vault's entry.
pub fn read(identity: &Identity, limit: Duration) -> Result<KeyringSecret, NoAnswer> {
    let (owner, account) = (*identity, identity.vault_hex());
    let entry = bounded(limit, move || {
        system::find(&account)?;
        let entry = keyring::Entry::new(SERVICE, &account).map_err(|_| not_opened())?;
        // The library's own buffer is wiped by the allocator when it is freed.
        entry.get_secret().map(|bytes| SecretBytes::copy_from(&bytes)).map_err(|error| why(&error))
    })?;
    KeyringSecret::parse(entry.expose(), &owner).ok_or(NoAnswer::Garbage)
}

/// Makes this vault's entry, in the place of one that may be there.
pub fn keep(identity: &Identity, secret: &KeyringSecret, limit: Duration) -> Result<(), NoAnswer> {
    let text = secret.entry(identity).map_err(|full| NoAnswer::Failed(full.to_string()))?;
    let account = identity.vault_hex();
    bounded(limit, move || {
        match system::find(&account) {
            Err(NoAnswer::NoEntry) => system::ready()?,
            found => found?,
        }
        let entry = keyring::Entry::new(SERVICE, &account).map_err(|_| not_opened())?;
        entry.set_secret(text.expose()).map_err(|error| why(&error))
    })
}

pub fn forget(identity: &Identity, limit: Duration) -> Result<(), NoAnswer> {
    let account = identity.vault_hex();
    bounded(limit, move || {
        system::find(&account)?;
        let entry = keyring::Entry::new(SERVICE, &account).map_err(|_| not_opened())?;
        entry.delete_credential().map_err(|error| why(&error))
    })
}

/// Returns `true` if `KEYVAULT_KEYRING=off` says that no keyring is to be asked.
#[must_use]
pub fn is_off() -> bool {
    std::env::var_os("KEYVAULT_KEYRING").is_some_and(|value| value == "off")
}

fn bounded<T: Send + 'static>(
    limit: Duration,
    ask: impl FnOnce() -> Result<T, NoAnswer> + Send + 'static,
) -> Result<T, NoAnswer> {
    if is_off() {
        return Err(NoAnswer::TurnedOff);
    }
    system::reachable()?;
    deadline::within(limit, ask).unwrap_or_else(|gave_up| {
        Err(match gave_up {
            GaveUp::TimedOut => NoAnswer::TimedOut,
            GaveUp::Died => NoAnswer::Failed("the conversation with it broke off".to_owned()),
        })
    })
}

/// The library connects once in a process and keeps the reason why that failed.
fn not_opened() -> NoAnswer {
    match keyring::Entry::store_status() {
        Err(error) => why(error),
        Ok(()) => NoAnswer::Failed("the entry's name was refused".to_owned()),
    }
}

fn why(error: &keyring::Error) -> NoAnswer {
    match error {
        keyring::Error::NoEntry => NoAnswer::NoEntry,
        keyring::Error::Ambiguous(_) => NoAnswer::Several,
        keyring::Error::NoStorageAccess(_) => NoAnswer::Locked,
        // The library's other messages may quote what it read.
        keyring::Error::PlatformFailure(error) => NoAnswer::Failed(error.to_string()),
        keyring::Error::BadEncoding(_) | keyring::Error::BadDataFormat(..) => NoAnswer::Garbage,
        _ => NoAnswer::Failed("it refused".to_owned()),
    }
}

/// The keyrings of macOS and Windows ask by themselves, and answer with what comes of it.
#[cfg(any(target_os = "macos", windows))]
mod system {
    use super::NoAnswer;

    pub(super) fn reachable() -> Result<(), NoAnswer> {
        Ok(())
    }
    pub(super) fn ready() -> Result<(), NoAnswer> {
        Ok(())
    }
    pub(super) fn find(_: &str) -> Result<(), NoAnswer> {
        Ok(())
    }
}

/// The Secret Service itself, asked whether an entry is locked: the library does not tell, and would unlock it first
/// with a dialogue.
#[cfg(all(unix, not(target_os = "macos")))]
mod system {
    use std::collections::HashMap;
    use std::path::PathBuf;

    use serde::Serialize;
    use zbus::blocking::Connection;
    use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue};

    use super::{NoAnswer, SERVICE};

    const NAME: &str = "org.freedesktop.secrets";
    const PATH: &str = "/org/freedesktop/secrets";
    const INTERFACE: &str = "org.freedesktop.Secret.Service";
    const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
    const COLLECTION: &str = "org.freedesktop.Secret.Collection";

    /// Refuses an address without a socket, by the rules by which the library looks for one. Other kinds of addresses
    /// run programs or resolve names.
    pub(super) fn reachable() -> Result<(), NoAnswer> {
        let Some(address) = std::env::var_os("DBUS_SESSION_BUS_ADDRESS").filter(|it| !it.is_empty()) else {
            let folder = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(
                || PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw())),
                PathBuf::from,
            );
            return if folder.join("bus").exists() { Ok(()) } else { Err(NoAnswer::NoBus) };
        };
        let address = address.to_string_lossy();
        // Several addresses may follow one another; the first is the one that the library takes.
        let first = address.split(';').next().unwrap_or_default();
        let Some(socket) = first.strip_prefix("unix:") else { return Err(NoAnswer::ForeignBus) };
        match socket.split(',').find_map(|part| part.strip_prefix("path=")) {
            // An escaped path is left to the library.
            Some(path) if !path.contains('%') && !PathBuf::from(path).exists() => Err(NoAnswer::NoBus),
            _ => Ok(()),
        }
    }

    /// Refuses a default collection that is missing or closed.
    pub(super) fn ready() -> Result<(), NoAnswer> {
        let bus = connect()?;
        let path: OwnedObjectPath = call(&bus, PATH, INTERFACE, "ReadAlias", &("default"))?;
        if path.as_str() == "/" {
            return Err(NoAnswer::NoCollection);
        }
        let locked: OwnedValue = call(&bus, path.as_str(), PROPERTIES, "Get", &(COLLECTION, "Locked"))?;
        if bool::try_from(locked).unwrap_or(true) { Err(NoAnswer::Locked) } else { Ok(()) }
    }

    /// Looks for an entry that can be read.
    pub(super) fn find(account: &str) -> Result<(), NoAnswer> {
        let bus = connect()?;
        let wanted = HashMap::from([("service", SERVICE), ("username", account)]);
        let (open, locked): (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) =
            call(&bus, PATH, INTERFACE, "SearchItems", &(wanted))?;
        match (open.len(), locked.len()) {
            (0, 0) => Err(NoAnswer::NoEntry),
            (1, 0) => Ok(()),
            (_, 0) => Err(NoAnswer::Several),
            _ => Err(NoAnswer::Locked),
        }
    }

    fn connect() -> Result<Connection, NoAnswer> {
        Connection::session().map_err(|error| match error {
            zbus::Error::InputOutput(_) | zbus::Error::Connection(..) => NoAnswer::NoBus,
            other => failed(&other),
        })
    }

    fn call<T>(
        bus: &Connection,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &(impl Serialize + DynamicType),
    ) -> Result<T, NoAnswer>
    where
        T: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
    {
        let reply = bus.call_method(Some(NAME), path, Some(interface), method, arguments);
        reply.and_then(|reply| reply.body().deserialize()).map_err(|error| failed(&error))
    }

    fn failed(error: &zbus::Error) -> NoAnswer {
        if let zbus::Error::MethodError(name, ..) = error {
            let name = name.as_str().rsplit('.').next().unwrap_or_default();
            return match name {
                "ServiceUnknown" | "NameHasNoOwner" => NoAnswer::NoService,
                "IsLocked" => NoAnswer::Locked,
                "NoReply" | "Timeout" | "TimedOut" => NoAnswer::TimedOut,
                other => NoAnswer::Failed(format!("the bus answered {other}")),
            };
        }
        NoAnswer::Failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_says_is_told_apart_and_never_quoted() {
        let said = || std::io::Error::other("in its words");
        for (error, means) in [
            (keyring::Error::NoEntry, NoAnswer::NoEntry),
            (keyring::Error::Ambiguous(Vec::new()), NoAnswer::Several),
            (keyring::Error::NoStorageAccess(Box::new(said())), NoAnswer::Locked),
            (keyring::Error::PlatformFailure(Box::new(said())), NoAnswer::Failed("in its words".to_owned())),
            (keyring::Error::BadEncoding(b"secret".to_vec()), NoAnswer::Garbage),
            (keyring::Error::TooLong("secret".to_owned(), 1), NoAnswer::Failed("it refused".to_owned())),
        ] {
            assert_eq!(why(&error), means);
        }
    }
}
