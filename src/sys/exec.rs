//! Becoming another program: execve(2) with an environment block of our own, and the caller's world put back.
//!
//! `std`'s `exec` resets SIGPIPE and empties the signal mask; this does neither. Values go from their buffers into one
//! block that is wiped if the call fails.

#![allow(unsafe_code, reason = "execve, signal dispositions and close have no safe form")]

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;

use crate::secret::{Full, SecretBytes, SecretWriter};

use super::startup;

/// Most bytes in one argument or variable, its NUL included: Linux's MAX_ARG_STRLEN, 32 pages of 4 KiB.
pub const MAX_STRING: usize = 128 * 1024;

/// Most bytes of arguments and environment together, pointers included: a quarter of the stack's soft limit, at least
/// 128 KiB, at most 6 MiB (execve(2), "Limits on size of arguments and environment").
#[must_use]
pub fn max_total() -> usize {
    let stack = rustix::process::getrlimit(rustix::process::Resource::Stack).current;
    let quarter = stack.map_or(u64::MAX, |stack| stack / 4);
    usize::try_from(quarter.clamp(128 * 1024, 6 * 1024 * 1024)).unwrap_or(128 * 1024)
}

/// An environment: `NAME=value` strings, each behind the other in one wiped buffer.
pub struct EnvBlock {
    strings: SecretBytes,
    starts: Vec<usize>,
}

impl EnvBlock {
    /// Packs variables. Names and values must be free of NUL bytes; the planning before has refused those.
    pub fn build(variables: &[(&[u8], &[u8])]) -> Result<Self, Full> {
        let total = variables.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let mut strings = SecretWriter::with_capacity(total);
        let mut starts = Vec::with_capacity(variables.len());
        for (name, value) in variables {
            starts.push(strings.written().len());
            strings.push(name)?;
            strings.push(b"=")?;
            strings.push(value)?;
            strings.push(b"\0")?;
        }
        Ok(Self { strings: strings.finish(), starts })
    }

    fn pointers(&self) -> Vec<*const libc::c_char> {
        let string = |start: &usize| self.strings.expose().get(*start..).map(|rest| rest.as_ptr().cast());
        self.starts.iter().filter_map(string).chain([std::ptr::null()]).collect()
    }
}

/// Why a program cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum NotRunnable {
    /// Nothing of that name, there or on the PATH.
    #[error("not found")]
    NotFound,
    /// It is there and cannot be run.
    #[error("not executable: {0}")]
    NotExecutable(io::Error),
}

/// Finds a program as execvp(3) does: a name with a slash as it is, another on the path; an unset path is
/// `/bin:/usr/bin`, an empty element the current folder.
pub fn find_program(program: &OsStr, path: Option<&OsStr>) -> Result<CString, NotRunnable> {
    let name = program.as_bytes();
    if name.is_empty() {
        return Err(NotRunnable::NotFound);
    }
    if name.contains(&b'/') {
        return candidate(name);
    }
    let path = path.map_or(b"/bin:/usr/bin".as_slice(), OsStr::as_bytes);
    let mut seen = NotRunnable::NotFound;
    for folder in path.split(|byte| *byte == b':') {
        let folder = if folder.is_empty() { b".".as_slice() } else { folder };
        match candidate(&[folder, b"/", name].concat()) {
            Ok(found) => return Ok(found),
            Err(NotRunnable::NotFound) => {}
            Err(refused) => seen = refused,
        }
    }
    Err(seen)
}

fn candidate(path: &[u8]) -> Result<CString, NotRunnable> {
    let path = CString::new(path).map_err(|_| NotRunnable::NotFound)?;
    match rustix::fs::stat(path.as_c_str()) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Err(NotRunnable::NotFound),
        Err(error) => return Err(NotRunnable::NotExecutable(error.into())),
        Ok(stat) if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory => {
            return Err(NotRunnable::NotExecutable(io::Error::from_raw_os_error(libc::EISDIR)));
        }
        Ok(_) => {}
    }
    match rustix::fs::access(path.as_c_str(), rustix::fs::Access::EXEC_OK) {
        Ok(()) => Ok(path),
        Err(error) => Err(NotRunnable::NotExecutable(error.into())),
    }
}

/// Becomes `program`. Returns only if that failed, hardened again.
#[must_use]
pub fn replace(program: &CStr, arguments: &[CString], environment: &EnvBlock) -> io::Error {
    let argv: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).chain([std::ptr::null()]).collect();
    let envp = environment.pointers();
    restore_dispositions();
    startup::soften();
    // SAFETY: both arrays end in a null pointer and point to NUL-terminated strings that outlive the call.
    let error = unsafe {
        libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr());
        io::Error::last_os_error()
    };
    startup::harden();
    error
}

/// SIGPIPE as the caller had it, and the standard descriptors that the caller had closed.
fn restore_dispositions() {
    let inherited = startup::inherited();
    let disposition = if inherited.sigpipe_ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: SIGPIPE gets one of the two standard dispositions; the descriptors are those that the runtime opened
    // in the place of closed ones, and nothing reads or writes them after this point.
    unsafe {
        libc::signal(libc::SIGPIPE, disposition);
        for (descriptor, closed) in (0..).zip(inherited.closed) {
            if closed {
                libc::close(descriptor);
            }
        }
    }
}
