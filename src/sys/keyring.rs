//! The kernel's key retention service (keyrings(7)), for sessions.
//!
//! A key is made in the process keyring, gets its timeout and its permissions there, and only then is linked into the
//! user keyring, where processes of this user find it by search. Made in the user keyring directly, it could, where
//! the login session does not link that keyring, neither be read nor be given a timeout.

#![cfg_attr(target_os = "linux", allow(unsafe_code, reason = "keyctl has no wrapper in libc"))]

use std::io;

/// Why a session could not be kept or ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// This system has no kernel keys, or forbids them (Docker's default profile does).
    #[error("the kernel keeps no keys here: {0}")]
    Unsupported(io::Error),
    /// The user has as many kernel keys, or bytes in them, as are allowed.
    #[error("the user's quota of kernel keys is used up")]
    Quota,
    /// The payload could not be made.
    #[error("the session could not be encoded")]
    Payload,
    /// Anything else.
    #[error(transparent)]
    Other(io::Error),
}

#[cfg(target_os = "linux")]
pub use linux::{clear, list, load, store};

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{clear, list, load, store};

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::SessionError;
    use crate::secret::SecretBytes;

    fn unsupported() -> SessionError {
        SessionError::Unsupported(std::io::ErrorKind::Unsupported.into())
    }

    /// There are no kernel keys here.
    pub fn store(_: &str, _: &[u8], _: u32) -> Result<(), SessionError> {
        Err(unsupported())
    }

    /// There are no kernel keys here.
    pub fn load(_: &str) -> Result<Option<SecretBytes>, SessionError> {
        Ok(None)
    }

    /// There are no kernel keys here.
    pub fn clear(_: &str) -> Result<bool, SessionError> {
        Ok(false)
    }

    /// There are no kernel keys here.
    #[must_use]
    pub fn list(_: &str) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CString;
    use std::io;

    use super::SessionError;
    use crate::secret::SecretBytes;

    type Serial = libc::c_long;

    const PROCESS_KEYRING: Serial = -2;
    const USER_KEYRING: Serial = -4;

    const DESCRIBE: libc::c_long = 6;
    const LINK: libc::c_long = 8;
    const UNLINK: libc::c_long = 9;
    const SEARCH: libc::c_long = 10;
    const READ: libc::c_long = 11;
    const SET_PERMISSIONS: libc::c_long = 5;
    const SET_TIMEOUT: libc::c_long = 15;
    const INVALIDATE: libc::c_long = 21;

    /// Owner: view, read, search. The possessor (this process, while it makes the key) may also link it and nothing
    /// more; nobody may change or take over the key.
    const PERMISSIONS: libc::c_long = 0x1b_0b_00_00;

    /// Keeps `payload` for `seconds`, instead of an older key of that description.
    pub fn store(description: &str, payload: &[u8], seconds: u32) -> Result<(), SessionError> {
        let name = CString::new(description).map_err(|_| SessionError::Payload)?;
        let before = search(&name);
        // SAFETY: type and description are NUL-terminated, the payload is as long as said.
        let serial = check(unsafe {
            libc::syscall(
                libc::SYS_add_key,
                c"user".as_ptr(),
                name.as_ptr(),
                payload.as_ptr(),
                payload.len(),
                PROCESS_KEYRING,
            )
        })
        .map_err(refused)?;
        let kept = keyctl(SET_TIMEOUT, serial, seconds.into(), 0, 0)
            .and_then(|_| keyctl(SET_PERMISSIONS, serial, PERMISSIONS, 0, 0))
            // Linking displaces a key of the same type and description from the keyring.
            .and_then(|_| keyctl(LINK, serial, USER_KEYRING, 0, 0));
        let _ = keyctl(UNLINK, serial, PROCESS_KEYRING, 0, 0);
        kept.map_err(refused)?;
        if let Some(before) = before.filter(|before| *before != serial) {
            // Displaced already; whoever still holds it elsewhere loses it too.
            let _ = keyctl(INVALIDATE, before, 0, 0, 0);
        }
        Ok(())
    }

    /// The payload of a key, if there is one that this process may read.
    pub fn load(description: &str) -> Result<Option<SecretBytes>, SessionError> {
        let name = CString::new(description).map_err(|_| SessionError::Payload)?;
        let Some(serial) = search(&name) else { return Ok(None) };
        let mut payload = SecretBytes::zeroed(256);
        let buffer = payload.expose_mut();
        let room = buffer.len();
        // SAFETY: the buffer is `room` bytes long; the kernel writes no more than that and returns the full length.
        let length = check(unsafe {
            libc::syscall(libc::SYS_keyctl, READ, serial, buffer.as_mut_ptr(), room, 0_usize)
        });
        let Ok(length) = length else { return Ok(None) };
        let bytes = usize::try_from(length).ok().and_then(|length| payload.expose().get(..length));
        Ok(bytes.map(SecretBytes::copy_from))
    }

    /// Ends a key; whether there was one.
    pub fn clear(description: &str) -> Result<bool, SessionError> {
        let name = CString::new(description).map_err(|_| SessionError::Payload)?;
        let Some(serial) = search(&name) else { return Ok(false) };
        keyctl(INVALIDATE, serial, 0, 0, 0)
            .or_else(|_| keyctl(UNLINK, serial, USER_KEYRING, 0, 0))
            .map_err(SessionError::Other)?;
        Ok(true)
    }

    /// The descriptions, beginning with `prefix`, of this user's keys.
    #[must_use]
    pub fn list(prefix: &str) -> Vec<String> {
        let mut serials = vec![0_u8; 4096];
        // SAFETY: the buffer is as long as said.
        let length = check(unsafe {
            libc::syscall(libc::SYS_keyctl, READ, USER_KEYRING, serials.as_mut_ptr(), serials.len(), 0_usize)
        });
        let length = length.ok().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        serials.truncate(length);
        let (serials, _) = serials.as_chunks::<4>();
        serials
            .iter()
            .filter_map(|serial| description_of(Serial::from(i32::from_ne_bytes(*serial))))
            .filter(|description| description.starts_with(prefix))
            .collect()
    }

    /// The kernel says `type;uid;gid;permissions;description`.
    fn description_of(serial: Serial) -> Option<String> {
        let mut text = vec![0_u8; 512];
        // SAFETY: the buffer is as long as said.
        let length = check(unsafe {
            libc::syscall(libc::SYS_keyctl, DESCRIBE, serial, text.as_mut_ptr(), text.len(), 0_usize)
        });
        text.truncate(usize::try_from(length.ok()?).ok()?);
        let text = String::from_utf8(text).ok()?;
        let text = text.trim_end_matches('\0');
        if !text.starts_with("user;") {
            return None;
        }
        text.splitn(5, ';').nth(4).map(str::to_owned)
    }

    fn search(name: &CString) -> Option<Serial> {
        // SAFETY: type and description are NUL-terminated.
        check(unsafe {
            libc::syscall(libc::SYS_keyctl, SEARCH, USER_KEYRING, c"user".as_ptr(), name.as_ptr(), 0_usize)
        })
        .ok()
    }

    fn keyctl(
        operation: libc::c_long,
        a: Serial,
        b: libc::c_long,
        c: libc::c_long,
        d: libc::c_long,
    ) -> io::Result<Serial> {
        // SAFETY: the operations that come here take integers only.
        check(unsafe { libc::syscall(libc::SYS_keyctl, operation, a, b, c, d) })
    }

    fn check(result: libc::c_long) -> io::Result<Serial> {
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
    }

    fn refused(error: io::Error) -> SessionError {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::ENOSYS | libc::EACCES) => SessionError::Unsupported(error),
            Some(libc::EDQUOT) => SessionError::Quota,
            _ => SessionError::Other(error),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_key_is_found_replaced_listed_and_gone() {
            let name = format!("keyvault-test:{}", std::process::id());
            assert!(matches!(load(&name), Ok(None)));
            for payload in [b"first".as_slice(), b"second"] {
                assert!(store(&name, payload, 30).is_ok());
                assert!(load(&name).is_ok_and(|found| found.is_some_and(|found| found.expose() == payload)));
            }
            assert_eq!(list(&name), std::slice::from_ref(&name));
            assert!(matches!(clear(&name), Ok(true)));
            assert!(matches!(clear(&name), Ok(false)));
            assert!(list(&name).is_empty());
        }

        #[test]
        fn a_key_is_gone_at_its_time() {
            let name = format!("keyvault-test-time:{}", std::process::id());
            assert!(store(&name, b"short", 1).is_ok());
            std::thread::sleep(std::time::Duration::from_millis(1100));
            assert!(matches!(load(&name), Ok(None)));
            let _ = clear(&name);
        }
    }
}
