//! From a program's name to `execve`.
//!
//! The standard library's `exec` is not used: it resets SIGPIPE and empties the signal mask, and it copies the
//! environment, secrets included, into buffers that nobody wipes. Here the program starts with the dispositions,
//! the mask, the descriptors and the core limit that our caller gave us, as if `env(1)` had started it; no
//! descriptor of ours survives, since all are opened close-on-exec.
//!
//! Nothing here decides *what* goes into the environment; `keyvault-exec` does.
#![allow(unsafe_code, reason = "execve itself")]

use std::ffi::{CStr, CString, OsStr, OsString, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::descriptors::Descriptors;
use super::startup;
use keyvault_core::secret::{SecretBytes, SecretWriter};

/// The longest single argument or variable that Linux takes, in bytes, with `NAME=` and the closing NUL: 32 pages of
/// 4 KiB (`MAX_ARG_STRLEN`). Systems with larger pages would take more; nothing relies on that.
pub const MAX_STRING: usize = 32 * 4096;

/// Searched when there is no `PATH`: the C library's default.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Runs scripts that name no interpreter (`_PATH_BSHELL`).
const SHELL: &CStr = c"/bin/sh";

/// How many bytes all arguments and variables may take together, with their NULs and one pointer each: a quarter of
/// the stack's soft limit, at least 128 KiB, at most 6 MiB (Linux, `bprm_stack_limits`).
#[must_use]
pub fn arg_limit() -> usize {
    const FLOOR: u64 = 128 * 1024;
    const CEILING: u64 = 6 * 1024 * 1024;
    let stack = getrlimit(Resource::Stack).current.unwrap_or(u64::MAX);
    usize::try_from((stack / 4).clamp(FLOOR, CEILING)).unwrap_or(usize::MAX)
}

/// Why an environment cannot be handed to a program. Carries the variable's name, never its value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// The name is empty or has a `=` after its first byte, so the program would see another one.
    #[error("variable {name:?} has no valid name")]
    Name { name: OsString },
    /// A NUL byte, which ends a C string.
    #[error("variable {name:?} has a NUL byte")]
    Nul { name: OsString },
    /// More than the kernel takes in one string.
    #[error("variable {name:?} has {size} bytes; the system accepts {MAX_STRING}")]
    TooLong {
        name: OsString,
        /// Bytes in the block, with the variable's name, `=` and NUL.
        size: usize,
    },
}

/// An environment: NUL-terminated `NAME=value` strings in one buffer that is wiped on drop.
#[derive(Debug)]
pub struct EnvBlock {
    strings: SecretBytes,
    /// Where each string begins in `strings`.
    offsets: Vec<usize>,
}

impl EnvBlock {
    /// Packs the variables in the given order. Names and values are bytes: a caller's variables need not be UTF-8.
    pub fn build(variables: &[(&[u8], &[u8])]) -> Result<Self, EnvError> {
        let mut total = 0_usize;
        for (name, value) in variables {
            total = total.saturating_add(checked_size(name, value)?);
        }
        let mut strings = SecretWriter::with_capacity(total);
        let mut offsets = Vec::with_capacity(variables.len());
        for (name, value) in variables {
            offsets.push(strings.written().len());
            for part in [name, b"=".as_slice(), value, b"\0"] {
                // The capacity is the sum of all parts; it cannot be full.
                strings.push(part).map_err(|_| EnvError::TooLong { name: owned(name), size: total })?;
            }
        }
        Ok(Self { strings: strings.finish(), offsets })
    }

    /// The block's share of [`arg_limit`], in bytes: its strings and a pointer for each.
    #[must_use]
    pub fn size(&self) -> usize {
        self.strings.len().saturating_add(self.offsets.len().saturating_mul(size_of::<*const c_char>()))
    }

    /// The strings one by one, without their NULs.
    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        self.tails().filter_map(|tail| tail.split(|byte| *byte == 0).next())
    }

    /// For each string, everything from its first byte to the end of the block; so its NUL is within.
    fn tails(&self) -> impl Iterator<Item = &[u8]> {
        self.offsets.iter().filter_map(|offset| self.strings.expose().get(*offset..))
    }
}

fn checked_size(name: &[u8], value: &[u8]) -> Result<usize, EnvError> {
    let Some((_, rest)) = name.split_first() else {
        return Err(EnvError::Name { name: OsString::new() });
    };
    if rest.contains(&b'=') {
        return Err(EnvError::Name { name: owned(name) });
    }
    if name.contains(&0) || value.contains(&0) {
        return Err(EnvError::Nul { name: owned(name) });
    }
    let size = name.len().saturating_add(value.len()).saturating_add(2);
    if size > MAX_STRING { Err(EnvError::TooLong { name: owned(name), size }) } else { Ok(size) }
}

fn owned(name: &[u8]) -> OsString {
    OsStr::from_bytes(name).to_owned()
}

/// Why a program cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum NotRunnable {
    /// Nothing of that name (shells answer 127).
    #[error("not found")]
    NotFound,
    /// It is there, but may not be executed (shells answer 126).
    #[error("not executable")]
    NotExecutable(#[source] io::Error),
}

/// Finds the file to execute by the rules of `execvp(3)`.
///
/// A name with a slash is the file. Any other is looked for in each element of `path`, an empty element being the
/// current folder. A file that may not be executed, or a folder, is passed over, and named in the answer if nothing
/// better comes; so is an element that cannot be searched.
pub fn find_program(program: &OsStr, path: Option<&OsStr>) -> Result<CString, NotRunnable> {
    let name = program.as_bytes();
    if name.is_empty() {
        return Err(NotRunnable::NotFound);
    }
    if name.contains(&b'/') {
        return executable(name.to_vec());
    }
    let mut refused = NotRunnable::NotFound;
    for element in path.unwrap_or(OsStr::new(DEFAULT_PATH)).as_bytes().split(|byte| *byte == b':') {
        let folder: &[u8] = if element.is_empty() { b"." } else { element };
        match executable([folder, b"/", name].concat()) {
            Ok(found) => return Ok(found),
            Err(NotRunnable::NotFound) => {}
            Err(error @ NotRunnable::NotExecutable(_)) => refused = error,
        }
    }
    Err(refused)
}

fn executable(file: Vec<u8>) -> Result<CString, NotRunnable> {
    // A name with a NUL in it names nothing.
    let file = CString::new(file).map_err(|_| NotRunnable::NotFound)?;
    let answer = |errno: Errno| match errno {
        Errno::NOENT | Errno::NOTDIR => NotRunnable::NotFound,
        other => NotRunnable::NotExecutable(other.into()),
    };
    let found = stat(file.as_c_str()).map_err(answer)?;
    // The kernel would say EACCES to a folder as well; asking for permission alone would not.
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(answer(Errno::ACCESS));
    }
    may_be_executed(&file).map_err(answer)?;
    Ok(file)
}

/// Asks the kernel. Container hosts that are older than faccessat2(2) refuse it with EPERM: their filters know nothing of
/// it. The older call answers for the real user, who is the effective one unless keyvault is installed set-user-ID. Where
/// neither is to be had, execve(2) decides.
fn may_be_executed(file: &CStr) -> Result<(), Errno> {
    for flags in [AtFlags::EACCESS, AtFlags::empty()] {
        match accessat(CWD, file, Access::EXEC_OK, flags) {
            Err(Errno::PERM | Errno::NOSYS) => {}
            answered => return answered,
        }
    }
    Ok(())
}

/// A program with all that it starts with in the form that the kernel takes, made before fork(2), since nothing may be
/// allocated behind it.
pub struct Image<'a> {
    program: &'a CStr,
    argv: Vec<*const c_char>,
    /// The arguments with which [`SHELL`] runs the program as a script.
    script_argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    descriptors: &'a Descriptors,
}

impl<'a> Image<'a> {
    /// The program with its arguments, its environment, and what it finds on its descriptors.
    #[must_use]
    pub fn new(
        program: &'a CStr,
        argv: &'a [CString],
        env: &'a EnvBlock,
        descriptors: &'a Descriptors,
    ) -> Self {
        let after = argv.iter().skip(1).map(|argument| argument.as_ptr()).chain([ptr::null()]);
        let script_argv = [SHELL.as_ptr(), program.as_ptr()].into_iter().chain(after).collect();
        let argv = argv.iter().map(|argument| argument.as_ptr()).chain([ptr::null()]).collect();
        let envp = env.tails().map(|tail| tail.as_ptr().cast()).chain([ptr::null()]).collect();
        Self { program, argv, script_argv, envp, descriptors }
    }

    /// Becomes the program. Returns only when that failed: `ENOENT` for an interpreter that is not there, `E2BIG`,
    /// `EACCES`…
    ///
    /// The signal mask is left alone throughout; dispositions, descriptors 0–2 and the core limit are put back as
    /// [`startup`] found them, and taken again after a failure.
    #[must_use]
    pub fn replace(&self) -> io::Error {
        startup::give_back();
        let error = self.enter();
        self.descriptors.close_to_programs();
        startup::take_again();
        error
    }

    /// Becomes the program; a script without `#!` is run by a shell, as by execvp(3). Returns only when that failed. Only
    /// system calls are made, so that it may stand behind fork(2) too.
    pub(crate) fn enter(&self) -> io::Error {
        // After the caller's streams were put back: a closed standard input is not closed for who gets a value there.
        if !self.descriptors.open_to_program() {
            return io::Error::last_os_error();
        }
        let become_it = |program: &CStr, argv: &[*const c_char]| {
            // SAFETY: both tables end in a null pointer; each pointer before it leads to a NUL-terminated string (the
            // block puts a NUL behind each variable) that outlives the call, since all are borrowed for the image's life.
            unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), self.envp.as_ptr()) };
            io::Error::last_os_error()
        };
        let error = become_it(self.program, &self.argv);
        if error.raw_os_error() == Some(libc::ENOEXEC) && is_text(self.program) {
            become_it(SHELL, &self.script_argv);
        }
        error
    }
}

/// Returns `true` if a file that the kernel does not know how to run begins like a text: its first line has no NUL, which
/// is how shells tell as well. Only with system calls.
fn is_text(file: &CStr) -> bool {
    let mut bytes = [0_u8; 256];
    // SAFETY: a string that ends in a NUL, and a buffer that is as long as said.
    let got = unsafe {
        let fd = libc::open(file.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return false;
        }
        let got = libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len());
        libc::close(fd);
        got
    };
    let read = usize::try_from(got).ok().and_then(|got| bytes.get(..got));
    let first = read.and_then(|read| read.split(|byte| *byte == b'\n').next());
    first.is_some_and(|line| !line.contains(&0) && !line.starts_with(b"\x7fELF"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    #[test]
    fn a_block_holds_the_variables_as_bytes_in_order() {
        let block = EnvBlock::build(&[(b"A", b"1\n2"), (b"B\xff", b""), (b"=x", b"y=z")]).unwrap();
        let strings: Vec<&[u8]> = block.strings().collect();
        assert_eq!(strings, [b"A=1\n2".as_slice(), b"B\xff=", b"=x=y=z"]);
        assert_eq!(block.size(), 6 + 4 + 7 + 3 * size_of::<usize>());
    }

    #[test]
    fn what_the_kernel_would_misread_is_refused_by_name() {
        let longest = vec![b'x'; MAX_STRING - 3];
        assert!(EnvBlock::build(&[(b"A", &longest)]).is_ok());
        let build = |name: &[u8], value: &[u8]| EnvBlock::build(&[(name, value)]).err();
        assert_eq!(build(b"", b""), Some(EnvError::Name { name: "".into() }));
        assert_eq!(build(b"a=b", b""), Some(EnvError::Name { name: "a=b".into() }));
        assert_eq!(build(b"A", b"x\0"), Some(EnvError::Nul { name: "A".into() }));
        let over = [longest, vec![b'x']].concat();
        assert_eq!(build(b"A", &over), Some(EnvError::TooLong { name: "A".into(), size: MAX_STRING + 1 }));
    }

    #[test]
    fn a_program_is_found_as_execvp_would() {
        let root = tempfile::tempdir().unwrap();
        for (name, mode) in [("a/tool", 0o644), ("b/tool", 0o755), ("a/plain", 0o644)] {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::create_dir_all(root.path().join("a/folder")).unwrap();
        let at = |folder: &str| root.path().join(folder).into_os_string();
        let path = std::env::join_paths([at("missing"), at("a/plain"), at("a"), at("b")]).unwrap();
        let find = |name: &str| find_program(OsStr::new(name), Some(&path));

        assert_eq!(find("tool").unwrap().as_bytes(), at("b/tool").as_bytes());
        assert!(matches!(find("plain"), Err(NotRunnable::NotExecutable(_))));
        assert!(matches!(find("folder"), Err(NotRunnable::NotExecutable(_))));
        assert!(matches!(find("absent"), Err(NotRunnable::NotFound)));
        assert!(matches!(find(""), Err(NotRunnable::NotFound)));
        assert!(matches!(find("/dev/null/x"), Err(NotRunnable::NotFound)));
        assert!(find_program(OsStr::new("sh"), None).is_ok());
    }

    const CHILD: &str = "TEST_EXEC_CHILD";

    /// Not a test by itself: run by the next in a process of its own, it becomes a shell.
    #[test]
    fn child_becomes_a_shell() {
        if let Ok(script) = std::env::var(CHILD) {
            startup::harden();
            let block = EnvBlock::build(&[(b"GIVEN", b"yes")]).unwrap();
            let none = Descriptors::default();
            let nowhere = Image::new(c"/proc/self/nonexistent", &[], &block, &none).replace();
            assert_eq!(nowhere.raw_os_error(), Some(libc::ENOENT));
            let argv: Vec<CString> = ["sh", "-c", &script].map(|part| CString::new(part).unwrap()).into();
            let error = Image::new(c"/bin/sh", &argv, &block, &none).replace();
            std::process::exit(error.raw_os_error().unwrap_or(1));
        }
    }

    fn through_replace(before: &str, script: &str) -> Option<i32> {
        let shell = format!("{before}; exec \"$0\" --exact process::exec::tests::child_becomes_a_shell");
        let mut command = Command::new("sh");
        command.args(["-c", &shell]).arg(std::env::current_exe().unwrap()).env(CHILD, script);
        command.output().unwrap().status.code()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_finds_the_world_as_the_caller_left_it() {
        // SIGPIPE is 13, so bit 12 of SigIgn.
        let ignored =
            "ign=$(sed -n 's/^SigIgn:[[:space:]]*//p' /proc/self/status); [ $(( 0x$ign >> 12 & 1 )) -eq";
        assert_eq!(through_replace(":", &format!("[ \"$GIVEN\" = yes ] && {ignored} 0 ]")), Some(0));
        assert_eq!(through_replace("trap '' PIPE", &format!("{ignored} 1 ]")), Some(0));
        assert_eq!(through_replace("ulimit -S -c 0", "[ $(ulimit -S -c) = 0 ]"), Some(0));
        let hard_as_soft = "[ \"$(ulimit -S -c)\" = \"$(ulimit -H -c)\" ]";
        assert_eq!(through_replace("ulimit -S -c $(ulimit -H -c)", hard_as_soft), Some(0));
        assert_eq!(through_replace("exec <&-", "[ ! -e /proc/$$/fd/0 ] && [ -e /proc/$$/fd/1 ]"), Some(0));
        assert_eq!(through_replace("exec 7</dev/null", "[ -e /proc/$$/fd/7 ]"), Some(0));
    }
}
