//! Values that a program finds on a descriptor: sealed files in memory, under the numbers that were asked for.
//!
//! A memfd and not a pipe. A program may read it in pieces, seek in it, ask for its size, or open it once more as
//! `/dev/fd/N` and find it from its beginning; a pipe is read once, wants a writer beyond 64 KiB, and a reader that
//! comes too late finds nothing. It looks like `N< file`, with a file that has no name, that nobody can alter (its
//! seals forbid it) and that is gone with its last descriptor. Its mode is 0400: programs that refuse a key file
//! which others may read look at that.
//!
//! A number is taken as soon as it is asked for, by `/dev/null`: else some descriptor of our own could get it
//! meanwhile, and would be closed by the value. All are close-on-exec until the program is started.
#![allow(unsafe_code, reason = "asking for a descriptor by its number, and calls behind fork that set errno")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit};

use keyvault_core::text::reason;

#[cfg(target_os = "linux")]
use crate::fs::{memory_folder, private};

/// The first number that is not a standard stream.
pub const FIRST: RawFd = 3;

/// Why a descriptor cannot be had under a number.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The caller passed something under it, which the program is to find.
    #[error("Descriptor {0} is in use: keyvault was started with it open.")]
    InUse(RawFd),
    /// The system allows fewer open files.
    #[error("Descriptor {number} is too high: the limit is {limit} open files.")]
    AboveLimit {
        number: RawFd,
        /// The soft limit of open files.
        limit: u64,
    },
    #[error("The descriptors could not be created: {}.", reason(.0))]
    Io(#[from] io::Error),
}

/// The numbers that a program is to find values under.
#[derive(Debug, Default)]
pub struct Descriptors {
    /// Each owns the descriptor of its number.
    taken: Vec<OwnedFd>,
    /// The child's new standard input; `None` leaves the caller's.
    input: Option<OwnedFd>,
}

impl Descriptors {
    /// Takes these numbers, none of which may be open. To be called before anything else is opened.
    pub fn take(numbers: &[RawFd]) -> Result<Self, Unavailable> {
        let mut taken = Vec::with_capacity(numbers.len());
        for number in numbers {
            if *number < FIRST || is_open(*number) {
                return Err(Unavailable::InUse(*number));
            }
            if let Some(limit) = getrlimit(Resource::Nofile).current
                && u64::try_from(*number).is_ok_and(|number| number >= limit)
            {
                return Err(Unavailable::AboveLimit { number: *number, limit });
            }
            let nothing = rustix::fs::open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(io::Error::from)?;
            // `/dev/null` itself may have been given the number. Else the lowest that is free from there on is it.
            taken.push(if nothing.as_raw_fd() == *number {
                nothing
            } else {
                rustix::io::fcntl_dupfd_cloexec(&nothing, *number).map_err(io::Error::from)?
            });
        }
        Ok(Self { taken, input: None })
    }

    /// Puts a value under a number that was taken, in place of what was there before.
    pub fn give(&mut self, number: RawFd, value: &[u8]) -> io::Result<()> {
        let place = self.taken.iter_mut().find(|fd| fd.as_raw_fd() == number);
        let place = place.ok_or(io::ErrorKind::InvalidInput)?;
        rustix::io::dup2(&sealed(value)?, place)?;
        Ok(rustix::io::fcntl_setfd(place, rustix::io::FdFlags::CLOEXEC)?)
    }

    /// Makes a value the program's standard input.
    pub fn give_input(&mut self, value: &[u8]) -> io::Result<()> {
        self.input = Some(sealed(value)?);
        Ok(())
    }

    /// Returns `true` if there is nothing to find.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.input.is_none()
    }

    /// Lets the program that this process is about to become find them; whether that worked, else `errno` says why. Two
    /// kinds of system calls and nothing else, so that it may stand between `fork` and `execve` too.
    pub(crate) fn open_to_program(&self) -> bool {
        // SAFETY: both calls work on descriptors that this value owns, but for the target 0, which every process may set.
        let opened = |fd: &OwnedFd| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) != -1 };
        let given = |fd: &OwnedFd| unsafe { libc::dup2(fd.as_raw_fd(), 0) != -1 };
        self.taken.iter().all(opened) && self.input.iter().all(given)
    }

    /// Undoes the first half of that, should the program not start.
    pub(crate) fn close_to_programs(&self) {
        for fd in &self.taken {
            let _ = rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC);
        }
    }
}

fn is_open(number: RawFd) -> bool {
    // SAFETY: asks for the flags of a descriptor; a closed one is answered with an error.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

/// A file in memory with this content, at its beginning, that nobody can change any more.
#[cfg(target_os = "linux")]
fn sealed(value: &[u8]) -> io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags, SeekFrom, fchmod, fcntl_add_seals, memfd_create, seek};
    use rustix::io::Errno;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = match memfd_create(c"keyvault", flags | MemfdFlags::NOEXEC_SEAL) {
        // A kernel before 6.3 does not know the flag.
        Err(Errno::INVAL) => memfd_create(c"keyvault", flags),
        made => made,
    };
    let memory = match made {
        // A sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => return nameless(value),
        made => made?,
    };
    write(&memory, value)?;
    seek(&memory, SeekFrom::Start(0))?;
    fchmod(&memory, Mode::RUSR)?;
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(memory)
}

/// A file without a name in the folder in memory that all share, for systems without memfd_create(2). It has no seals; its
/// descriptor does not take writes.
#[cfg(target_os = "linux")]
fn nameless(value: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let memory = rustix::fs::open(memory_folder::SHARED, flags, Mode::RUSR)?;
    if !private::is_tmpfs(&memory) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    write(&memory, value)?;
    // Of its own, so that it reads from the beginning.
    let read = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(format!("/proc/self/fd/{}", memory.as_raw_fd()), read, Mode::empty())?)
}

/// A system without files in memory would need a disk or a pipe with somebody to write into it.
#[cfg(not(target_os = "linux"))]
fn sealed(_: &[u8]) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn write(fd: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_value_is_read_from_its_beginning_as_often_as_it_is_opened_and_cannot_be_changed() {
        let value: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        let mut file = File::from(sealed(&value).unwrap());
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o400);
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert_eq!(read, value);
        let again = std::fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        assert_eq!(again, value);
        assert!(file.write_all(b"x").is_err() && file.set_len(0).is_err());
        // Root may open anything for writing; the seals hold all the same.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        if let Ok(mut second) = File::options().write(true).open(path) {
            assert!(second.write_all(b"x").is_err());
        }
    }

    #[test]
    fn a_number_that_is_open_is_refused_and_one_that_was_taken_is_kept() {
        let open = File::open("/dev/null").unwrap();
        let number = open.as_raw_fd();
        assert!(matches!(Descriptors::take(&[number]), Err(Unavailable::InUse(it)) if it == number));
        let limit = getrlimit(Resource::Nofile).current.unwrap();
        let above = RawFd::try_from(limit).unwrap();
        let found = Descriptors::take(&[above]);
        assert!(matches!(found, Err(Unavailable::AboveLimit { number, .. }) if number == above));
        // A number that other tests' descriptors do not come to.
        let mut taken = Descriptors::take(&[700]).unwrap();
        assert!(matches!(Descriptors::take(&[700]), Err(Unavailable::InUse(700))));
        taken.give(700, b"first").unwrap();
        taken.give(700, b"second").unwrap();
        assert_eq!(std::fs::read("/proc/self/fd/700").unwrap(), b"second");
        assert!(taken.give(701, b"x").is_err());
        drop(taken);
        assert!(!is_open(700));
    }
}
