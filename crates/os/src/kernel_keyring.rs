//! The kernel's keys, where an open session lives: in the kernel's memory, which is never swapped, gone at reboot, and
//! ended by the kernel itself when its time is over.
//!
//! A session must be found from every terminal of the user and from cron, and must be able to expire. Adding a key
//! straight to the user keyring (`@u`) gives neither: the login session often does not link `@u`, the key is then
//! not *possessed*, and its owner may only see that it exists: not read it, not set its timeout. So:
//!
//! 1. The key is created in this process's own keyring, which possesses it with all rights.
//! 2. Its owner gets view, read and search, which hold without possession.
//! 3. The timeout is set, while the right to do so is still there.
//! 4. Only now it is linked into `@u`; the kernel drops the link to an older key of the same name by itself.
//! 5. Everybody, the possessor included, is left with view, read and search: no writing, no longer timeout.
//! 6. It leaves the process's keyring.
//!
//! A crash between any two steps leaves no key, or one that expires. It is found by searching `@u`, never by
//! linking it anywhere. An expired key can no longer be read or found, but the kernel frees it only some minutes
//! later (`/proc/sys/kernel/keys/gc_delay`); [`clear`] ends one at once. Where the kernel has no keys, or a sandbox
//! forbids them (Docker's default profile does), a session cannot be stored, and looking for one finds none.
//!
//! Nothing here knows what a payload means.
#![allow(unsafe_code, reason = "neither std nor rustix has the kernel's key calls")]

use std::io;

use keyvault_core::secret::SecretBytes;
use keyvault_core::text::reason;

/// Why a session could not be stored or ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The system has no kernel keys, or forbids them here; with its error number.
    #[error(
        "This system cannot keep sessions: the kernel's keyrings are not available (Docker forbids them)."
    )]
    Unsupported(i32),
    /// The user has too many keys, or too many bytes in them (`/proc/sys/kernel/keys`).
    #[error("This user's quota of kernel keys (200) is used up.")]
    Quota,
    #[error("The session failed: {}.", reason(.0))]
    Other(#[from] io::Error),
}

/// Keeps `payload` (at most 32,767 bytes) under `description` for `seconds`, in place of an older one.
pub fn store(description: &str, payload: &[u8], seconds: u32) -> Result<(), SessionError> {
    system::store(description, payload, seconds)
}

/// The payload under `description`. No key, an expired one and a system without keys are all `None`.
pub fn load(description: &str) -> Result<Option<SecretBytes>, SessionError> {
    system::load(description)
}

/// Ends what is kept under `description`, at once; says whether there was any.
pub fn clear(description: &str) -> Result<bool, SessionError> {
    system::clear(description)
}

/// The descriptions in the user keyring that begin with `prefix`; none where there are no kernel keys.
#[must_use]
pub fn list(prefix: &str) -> Vec<String> {
    system::list(prefix)
}

/// Returns `true` if there are kernel keys to be had; nothing is made.
pub fn available() -> Result<(), SessionError> {
    system::available()
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{SecretBytes, SessionError};

    const NONE: SessionError = SessionError::Unsupported(libc::ENOSYS);

    pub(crate) fn store(_: &str, _: &[u8], _: u32) -> Result<(), SessionError> {
        Err(NONE)
    }
    pub(crate) fn load(_: &str) -> Result<Option<SecretBytes>, SessionError> {
        Err(NONE)
    }
    pub(crate) fn clear(_: &str) -> Result<bool, SessionError> {
        Err(NONE)
    }
    pub(crate) fn list(_: &str) -> Vec<String> {
        Vec::new()
    }
    pub(crate) fn available() -> Result<(), SessionError> {
        Err(NONE)
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::{CStr, CString, c_long};
    use std::io;

    use super::{SecretBytes, SessionError};

    const PROCESS_KEYRING: i32 = libc::KEY_SPEC_PROCESS_KEYRING;
    const USER_KEYRING: i32 = libc::KEY_SPEC_USER_KEYRING;
    const TYPE: &CStr = c"user";

    /// View, read, search (1 + 2 + 8): for the possessor (from bit 24) and the owner (from bit 16); nothing for group
    /// and others.
    const LASTING: c_long = 0x0b0b_0000;
    /// The owner's rights as they will be, and all rights for the possessor: this process, until the key is linked.
    const PREPARING: c_long = 0x3f0b_0000;

    pub(crate) fn store(description: &str, payload: &[u8], seconds: u32) -> Result<(), SessionError> {
        let name = c_string(description)?;
        let older = search(&name).unwrap_or_default();
        let key = add(&name, payload).map_err(creation_error)?;
        let published = publish(key, seconds);
        // Also after a failure: the key must not stay with the process.
        let _ = keyctl(libc::KEYCTL_UNLINK, [key.into(), PROCESS_KEYRING.into()]);
        published.map_err(creation_error)?;
        if let Some(older) = older.filter(|older| *older != key) {
            // Its link is gone; this ends it for whoever linked it elsewhere.
            let _ = keyctl(libc::KEYCTL_INVALIDATE, [older.into(), 0]);
        }
        Ok(())
    }

    fn publish(key: i32, seconds: u32) -> io::Result<()> {
        let timeout = c_long::from(i32::try_from(seconds).unwrap_or(i32::MAX));
        keyctl(libc::KEYCTL_SETPERM, [key.into(), PREPARING])?;
        keyctl(libc::KEYCTL_SET_TIMEOUT, [key.into(), timeout])?;
        keyctl(libc::KEYCTL_LINK, [key.into(), USER_KEYRING.into()])?;
        let ended = keyctl(libc::KEYCTL_SETPERM, [key.into(), LASTING]);
        if ended.is_err() {
            // A session whose time could be prolonged is none.
            let _ = keyctl(libc::KEYCTL_INVALIDATE, [key.into(), 0]);
        }
        ended
    }

    pub(crate) fn available() -> Result<(), SessionError> {
        // The number of the user keyring, which is not made if it is not there.
        match keyctl(libc::KEYCTL_GET_KEYRING_ID, [USER_KEYRING.into(), 0]) {
            Err(error) if error.raw_os_error() != Some(libc::ENOKEY) => Err(creation_error(error)),
            _ => Ok(()),
        }
    }

    pub(crate) fn load(description: &str) -> Result<Option<SecretBytes>, SessionError> {
        let Some(key) = search(&c_string(description)?)? else { return Ok(None) };
        match query(libc::KEYCTL_READ, key) {
            Ok(payload) => Ok(Some(payload)),
            Err(error) if means_none(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn clear(description: &str) -> Result<bool, SessionError> {
        let Some(key) = search(&c_string(description)?)? else { return Ok(false) };
        let invalidated = keyctl(libc::KEYCTL_INVALIDATE, [key.into(), 0]);
        let unlinked = keyctl(libc::KEYCTL_UNLINK, [key.into(), USER_KEYRING.into()]);
        // Either ends the session. The second fails when the kernel has already collected the invalidated key.
        match invalidated.or(unlinked) {
            Ok(()) => Ok(true),
            Err(error) if means_none(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn list(prefix: &str) -> Vec<String> {
        let Ok(ring) = query(libc::KEYCTL_READ, USER_KEYRING) else { return Vec::new() };
        let (serials, _) = ring.expose().as_chunks();
        let described = serials.iter().filter_map(|serial| describe(i32::from_ne_bytes(*serial)));
        described.filter(|description| description.starts_with(prefix)).collect()
    }

    /// The description of a live key of our type. The kernel writes `type;uid;gid;perm;description` and a NUL.
    fn describe(key: i32) -> Option<String> {
        let text = query(libc::KEYCTL_DESCRIBE, key).ok()?;
        let text = CStr::from_bytes_until_nul(text.expose()).ok()?.to_str().ok()?;
        let mut fields = text.splitn(5, ';');
        let kind = fields.next()?;
        let description = fields.nth(3)?;
        (kind == "user").then(|| description.to_owned())
    }

    fn c_string(description: &str) -> Result<CString, SessionError> {
        CString::new(description).map_err(|error| SessionError::Other(error.into()))
    }

    fn creation_error(error: io::Error) -> SessionError {
        match error.raw_os_error() {
            Some(code @ (libc::ENOSYS | libc::EPERM | libc::EACCES)) => SessionError::Unsupported(code),
            Some(libc::EDQUOT) => SessionError::Quota,
            _ => SessionError::Other(error),
        }
    }

    /// Returns `true` if a search or read failed because there is no session, whatever the reason.
    fn means_none(error: &io::Error) -> bool {
        const NONE: [i32; 6] =
            [libc::EPERM, libc::ENOSYS, libc::EACCES, libc::ENOKEY, libc::EKEYEXPIRED, libc::EKEYREVOKED];
        error.raw_os_error().is_some_and(|code| NONE.contains(&code))
    }

    fn search(name: &CStr) -> io::Result<Option<i32>> {
        let (operation, ring) = (c_long::from(libc::KEYCTL_SEARCH), c_long::from(USER_KEYRING));
        // SAFETY: both strings end in NUL and outlive the call. The last argument, 0, asks to link the key nowhere.
        let found = unsafe {
            libc::syscall(libc::SYS_keyctl, operation, ring, TYPE.as_ptr(), name.as_ptr(), c_long::from(0))
        };
        match answer(found) {
            Ok(key) => Ok(i32::try_from(key).ok()),
            Err(error) if means_none(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn add(name: &CStr, payload: &[u8]) -> io::Result<i32> {
        let ring = c_long::from(PROCESS_KEYRING);
        // SAFETY: both strings end in NUL, the payload is as long as said, and all outlive the call, which copies them.
        let key = unsafe {
            libc::syscall(
                libc::SYS_add_key,
                TYPE.as_ptr(),
                name.as_ptr(),
                payload.as_ptr(),
                payload.len(),
                ring,
            )
        };
        answer(key).and_then(|key| i32::try_from(key).map_err(io::Error::other))
    }

    /// The answer of `KEYCTL_READ` or `KEYCTL_DESCRIBE` for a key, at its full length.
    fn query(operation: u32, key: i32) -> io::Result<SecretBytes> {
        let (operation, key) = (c_long::from(operation), c_long::from(key));
        // A session takes 61 or 104 bytes, a description hardly more.
        let mut room = SecretBytes::zeroed(128);
        loop {
            let target = room.expose_mut();
            // SAFETY: the kernel writes at most `target.len()` bytes there, and says how many there are to be had.
            let len = unsafe {
                libc::syscall(
                    libc::SYS_keyctl,
                    operation,
                    key,
                    target.as_mut_ptr(),
                    target.len(),
                    c_long::from(0),
                )
            };
            let len = usize::try_from(answer(len)?).map_err(io::Error::other)?;
            if len <= room.len() {
                return Ok(if len == room.len() {
                    room
                } else {
                    SecretBytes::copy_from(room.expose().get(..len).unwrap_or_default())
                });
            }
            room = SecretBytes::zeroed(len);
        }
    }

    /// The operations that take numbers only.
    fn keyctl(operation: u32, [first, second]: [c_long; 2]) -> io::Result<()> {
        let none = c_long::from(0);
        // SAFETY: none of the operations this is called with takes an address, so no memory is touched.
        let outcome =
            unsafe { libc::syscall(libc::SYS_keyctl, c_long::from(operation), first, second, none, none) };
        answer(outcome).map(|_| ())
    }

    fn answer(outcome: c_long) -> io::Result<c_long> {
        if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::fs;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    /// A description of this test's own, whose key is gone when the test ends; none where keys are not to be had.
    struct Own(String);

    impl Own {
        fn new(name: &str) -> Option<Self> {
            let own = Self(format!("keyvault-test:{}:{name}", std::process::id()));
            (!matches!(store(&own.0, b"probe", 60), Err(SessionError::Unsupported(_)))).then_some(own)
        }

        fn in_proc_keys(&self) -> bool {
            fs::read_to_string("/proc/keys").unwrap().contains(&self.0)
        }
    }

    impl Drop for Own {
        fn drop(&mut self) {
            let _ = clear(&self.0);
        }
    }

    /// Returns `true` if it holds before ten seconds are over. The kernel's clock is no test's to set.
    fn comes(holds: impl Fn() -> bool) -> bool {
        let begun = Instant::now();
        while !holds() {
            if begun.elapsed() > Duration::from_secs(10) {
                return false;
            }
            sleep(Duration::from_millis(20));
        }
        true
    }

    #[test]
    fn a_session_is_kept_replaced_listed_and_cleared_without_a_trace() {
        let Some(own) = Own::new("life") else { return };
        store(&own.0, b"first", 60).unwrap();
        store(&own.0, &[7; 300], 60).unwrap();
        assert!(load(&own.0).unwrap().is_some_and(|payload| payload.expose() == [7; 300]));
        assert_eq!(list(&own.0), std::slice::from_ref(&own.0));
        assert!(clear(&own.0).unwrap());
        assert!(!clear(&own.0).unwrap());
        assert!(load(&own.0).unwrap().is_none() && list(&own.0).is_empty());
        // The kernel collects dead keys a moment later.
        assert!(comes(|| !own.in_proc_keys()));
    }

    #[test]
    fn a_stored_key_can_be_seen_read_and_searched_by_its_owner_only_and_expires() {
        let Some(own) = Own::new("rights") else { return };
        store(&own.0, b"x", 3600).unwrap();
        let keys = fs::read_to_string("/proc/keys").unwrap();
        // Flags, then in the fourth column the time left, `perm` if without end. `i` marks a replaced key, about to go.
        let columns = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let own_lines = keys.lines().filter(|line| line.contains(&own.0)).map(columns);
        let live: Vec<_> = own_lines.filter(|line| !line[1].ends_with('i')).collect();
        assert!(live.len() == 1 && live[0][3] != "perm" && live[0][4] == "0b0b0000", "{keys}");
        store(&own.0, b"x", 1).unwrap();
        assert!(comes(|| load(&own.0).unwrap().is_none() && list(&own.0).is_empty()));
    }

    const CHILD: &str = "TEST_KEYRING_DESCRIPTION";

    /// Not a test by itself: run by the next in a process that possesses nothing.
    #[test]
    fn child_reads_a_session() {
        if let Ok(description) = std::env::var(CHILD) {
            assert!(load(&description).unwrap().is_some_and(|payload| payload.expose() == b"shared"));
        }
    }

    #[test]
    fn a_session_is_readable_from_another_terminal() {
        let Some(own) = Own::new("shared") else { return };
        store(&own.0, b"shared", 60).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "kernel_keyring::tests::child_reads_a_session"]).env(CHILD, &own.0);
        // SAFETY: two system calls between fork and exec. A fresh, empty session keyring does not link @u.
        unsafe {
            child.pre_exec(|| {
                libc::setsid();
                let operation = std::ffi::c_long::from(libc::KEYCTL_JOIN_SESSION_KEYRING);
                libc::syscall(libc::SYS_keyctl, operation, std::ptr::null::<u8>());
                Ok(())
            });
        }
        assert!(child.output().unwrap().status.success());
    }

    #[test]
    fn no_session_is_no_error() {
        assert!(load("keyvault-test:absent").unwrap().is_none());
        assert!(!clear("keyvault-test:absent").unwrap());
        assert!(load("with\0nul").is_err());
    }
}
