//! Forgetting everything in a process that was forked off and goes on beside its maker.
//!
//! fork(2) copies the maker's memory, values and keys included, and a helper that lives as long as the maker's child would
//! keep that copy after the maker has wiped its own. So a helper drops every private page that is writable and not a
//! file's, but for its own stack: they read as zeros from then on. What the allocator, the C library and this program
//! know lay there too, so afterwards a helper may only make system calls of `rustix`, which need neither of them: no
//! `errno`, no thread's own data, no cancellation.
#![allow(unsafe_code, reason = "taking memory away from what is not used any more")]

use std::ffi::c_void;
use std::ops::Range;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mm::{Advice, madvise};

/// Drops all memory but the stack; whether it could be seen what there is (`/proc`).
///
/// # Safety
/// Only in a process that was just forked and has one thread. Until it ends, it uses nothing but its code, constants,
/// values on its stack, and system calls of `rustix`.
pub(crate) unsafe fn forget_values() -> bool {
    let mark = 0_u8;
    let here = (&raw const mark).addr();
    let Ok(maps) = openat(CWD, c"/proc/self/maps", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
        return false;
    };
    let mut line = Line::default();
    let mut bytes = [0_u8; 512];
    loop {
        let read = match rustix::io::read(&maps, &mut bytes) {
            Ok(0) => return true,
            Ok(read) => read,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return false,
        };
        for byte in bytes.iter().take(read) {
            if let Some(range) = line.next(*byte).filter(|range| !range.contains(&here)) {
                let start = std::ptr::with_exposed_provenance_mut::<c_void>(range.start);
                // SAFETY: the caller's promise: nothing there is used any more.
                let _ = unsafe { madvise(start, range.end - range.start, Advice::LinuxDontNeed) };
            }
        }
    }
}

/// A line of `/proc/self/maps`, read byte by byte: `7f00-7f80 rw-p 00000000 00:00 0   [heap]`.
#[derive(Default)]
struct Line {
    /// The field that the next byte belongs to: start, end, permissions, offset, device, inode, name.
    field: u8,
    start: usize,
    end: usize,
    writable: bool,
    private: bool,
    of_file: bool,
}

impl Line {
    /// Takes a byte; with the last one, the range, if it is private, writable and no file's.
    fn next(&mut self, byte: u8) -> Option<Range<usize>> {
        let digit = char::from(byte).to_digit(16).map_or(0, |digit| digit as usize);
        match (self.field, byte) {
            (_, b'\n') => {
                let line = std::mem::take(self);
                let wanted = line.writable && line.private && !line.of_file;
                return wanted.then_some(line.start..line.end);
            }
            (0, b'-') | (1..=5, b' ') => self.field += 1,
            (0, _) => self.start = self.start << 4 | digit,
            (1, _) => self.end = self.end << 4 | digit,
            (2, b'w') => self.writable = true,
            (2, b'p') => self.private = true,
            (5, b'1'..=b'9') => self.of_file = true,
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_writable_memory_is_found_and_no_file() {
        let maps = b"7ffff6a00000-7ffff6a05000 rw-p 000f8000 fe:00 1234567  /usr/bin/keyvault\n\
            7ffff6a05000-7ffff6a08000 rw-p 00000000 00:00 0 \n\
            7ffff6b00000-7ffff6b01000 r--p 00000000 00:00 0                  [vvar]\n\
            7ffff6c00000-7ffff6c08000 rw-s 00000000 fe:00 10                 /home/ada/vault.db-shm\n\
            7ffff6d00000-7ffff6d21000 rw-p 00000000 00:00 0                  [heap]\n";
        let mut line = Line::default();
        let found: Vec<_> = maps.iter().filter_map(|byte| line.next(*byte)).collect();
        assert_eq!(found, [0x7fff_f6a0_5000..0x7fff_f6a0_8000, 0x7fff_f6d0_0000..0x7fff_f6d2_1000]);
    }
}
