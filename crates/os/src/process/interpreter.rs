//! The program that a file names to be run by: after `#!`, or in an ELF file the loader of its libraries.
//!
//! Where it is not to be had, execve(2) answers with the error of the interpreter, as if the file itself were not there.
//! So after such an error, and never before, the file is read.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

/// As much of a first line as Linux reads (`BINPRM_BUF_SIZE`).
const LINE: usize = 256;

/// How many interpreters Linux follows that are scripts themselves.
const DEPTH: usize = 5;

/// An interpreter that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The file that names it: the program, or an interpreter that is a script itself.
    pub file: PathBuf,
    /// As the file names it, without a carriage return at its end.
    pub interpreter: PathBuf,
    pub why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no such file.
    Absent,
    /// The line ends in CR LF, and the system takes the carriage return as a part of the name.
    CarriageReturn,
    /// The loader of an ELF file's libraries is not there.
    NoLoader,
    /// It is there and may not be executed.
    NotExecutable,
}

/// Finds out whether it was the interpreter of `program` that execve(2) could not run.
#[must_use]
pub fn unusable(program: &CStr) -> Option<Unusable> {
    let mut file = PathBuf::from(OsStr::from_bytes(program.to_bytes()));
    for _ in 0..DEPTH {
        let file_bytes = File::open(&file).ok()?;
        let mut head = [0_u8; LINE];
        let got = file_bytes.read_at(&mut head, 0).ok()?;
        let head = head.get(..got)?;
        let (name, is_loader) = match head.strip_prefix(b"#!") {
            Some(line) => (after_marks(line).to_vec(), false),
            None => (loader(&file_bytes, head)?, true),
        };
        let interpreter = PathBuf::from(OsStr::from_bytes(&name));
        let why = match accessat(CWD, &interpreter, Access::EXEC_OK, AtFlags::empty()) {
            Ok(()) if is_loader => return None,
            Ok(()) if interpreter.is_dir() => Why::NotExecutable,
            Ok(()) => {
                file = interpreter;
                continue;
            }
            Err(Errno::NOENT | Errno::NOTDIR) if is_loader => Why::NoLoader,
            Err(Errno::NOENT | Errno::NOTDIR) if name.ends_with(b"\r") => Why::CarriageReturn,
            Err(Errno::NOENT | Errno::NOTDIR) => Why::Absent,
            Err(Errno::ACCESS) => Why::NotExecutable,
            Err(_) => return None,
        };
        let name = name.strip_suffix(b"\r").unwrap_or(&name);
        let interpreter = PathBuf::from(OsStr::from_bytes(name));
        return Some(Unusable { file, interpreter, why });
    }
    None
}

/// The interpreter in what follows `#!`: up to a blank or the line's end.
fn after_marks(line: &[u8]) -> &[u8] {
    let begin = line.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let line = line.get(begin..).unwrap_or_default();
    line.split(|byte| matches!(byte, b' ' | b'\t' | b'\n' | 0)).next().unwrap_or_default()
}

/// The loader that an ELF file of this machine's byte order and word size names (`PT_INTERP`).
fn loader(file: &File, head: &[u8]) -> Option<Vec<u8>> {
    const PT_INTERP: u32 = 3;
    /// Program headers that are looked at, and bytes of a name.
    const MOST: u64 = 64;
    const LONGEST: u64 = 4096;
    let header = Words(head.strip_prefix(b"\x7fELF\x02").map(|_| head)?);
    let (table, size, count) = (header.long(32)?, header.short(54)?, header.short(56)?);
    for at in 0..u64::from(count).min(MOST) {
        let mut bytes = [0_u8; 56];
        let place = table.checked_add(at.checked_mul(u64::from(size))?)?;
        file.read_exact_at(&mut bytes, place).ok()?;
        let entry = Words(&bytes);
        if entry.word(0)? == PT_INTERP {
            let mut name = vec![0; usize::try_from(entry.long(32)?.min(LONGEST)).ok()?];
            file.read_exact_at(&mut name, entry.long(8)?).ok()?;
            return name.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
        }
    }
    None
}

/// Numbers at places of a header.
struct Words<'b>(&'b [u8]);

impl Words<'_> {
    fn short(&self, at: usize) -> Option<u16> {
        self.0.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.0.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
    }

    fn long(&self, at: usize) -> Option<u64> {
        self.0.get(at..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
    }
}
