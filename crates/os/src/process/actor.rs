//! On whose behalf the process runs: the actor of an audit event.
//!
//! It is told, not proved. A process that can run this program as a user can give it any parent and any name, so nothing is
//! decided by it. It lies on the way of every `exec`, so it makes do with three small reads into one buffer, and it asks no
//! name service: the user's name comes from `/etc/passwd` alone, since a static binary cannot load the service's modules.
//!
//! Names of processes may hold any byte. Bytes that are not UTF-8 become U+FFFD; whoever shows a name has to render
//! control characters harmless.

use std::ffi::{CStr, CString};
use std::fmt;
use std::fs;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The user's name in `/etc/passwd`, or the number if it has none there.
    pub user: String,
    /// The machine's own name for itself.
    pub host: String,
    pub pid: u32,
    /// The controlling terminal without `/dev/`, such as `pts/3`; none for a job without one.
    pub terminal: Option<String>,
    /// The name of the process that started this one, at most 15 bytes; empty where that cannot be seen.
    pub parent: String,
}

/// How much is read of a file at once. The names of processes and the status of one fit; a list of users often does.
const PIECE: usize = 4096;

/// Gathers what can be seen. What cannot is left empty: an audit event must not fail for it.
#[must_use]
pub fn who() -> Who {
    let mut buffer = Vec::with_capacity(PIECE);
    let uid = rustix::process::getuid().as_raw();
    let user = user_name(uid, &mut buffer).unwrap_or_else(|| uid.to_string());
    let stat = stat(&mut buffer).unwrap_or_default();
    Who {
        user,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        pid: std::process::id(),
        terminal: stat.terminal.and_then(terminal_name),
        parent: stat.parent.and_then(|parent| name_of(parent, &mut buffer)).unwrap_or_default(),
    }
}

/// A user, as a message or a command line names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    /// The name in `/etc/passwd`, if the number has one there.
    pub name: Option<String>,
}

impl User {
    #[must_use]
    pub fn of(uid: u32) -> Self {
        Self { uid, name: user_name(uid, &mut Vec::new()) }
    }

    /// The one with whose rights this process works.
    #[must_use]
    pub fn effective() -> Self {
        Self::of(rustix::process::geteuid().as_raw())
    }

    /// The owner as an argument of chown(1): the name, or the number where there is none.
    #[must_use]
    pub fn word(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "user {}", self.uid),
        }
    }
}

/// Fields of `/proc/self/stat`, as numbers.
#[derive(Debug, Default, PartialEq, Eq)]
struct ProcessStat {
    /// The process that started it; none where that is in another namespace.
    parent: Option<u32>,
    /// Its controlling terminal.
    terminal: Option<u32>,
}

fn user_name(uid: u32, buffer: &mut Vec<u8>) -> Option<String> {
    user_name_in(c"/etc/passwd", uid, buffer)
}

fn user_name_in(users: &CStr, uid: u32, buffer: &mut Vec<u8>) -> Option<String> {
    let mut name = None;
    read(users, buffer, |read, ended| {
        // A line that goes on in the next piece is not judged yet.
        let whole =
            if ended { read.len() } else { read.iter().rposition(|byte| *byte == b'\n').unwrap_or(0) };
        let mut lines = read.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
        name = lines.find_map(|line| name_in(line, uid));
        name.is_some()
    })?;
    name
}

/// Reads a file from its beginning into `buffer`, until `enough` is there of what was read so far, or its end has come,
/// which the second argument says.
fn read(path: &CStr, buffer: &mut Vec<u8>, mut enough: impl FnMut(&[u8], bool) -> bool) -> Option<()> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    buffer.clear();
    loop {
        buffer.reserve(PIECE);
        match rustix::io::read(&file, rustix::buffer::spare_capacity(buffer)) {
            Err(Errno::INTR) => {}
            Err(_) => return None,
            Ok(count) if enough(buffer, count == 0) || count == 0 => return Some(()),
            Ok(_) => {}
        }
    }
}

/// One read has all that the kernel tells of a process.
fn told(path: &CStr, buffer: &mut Vec<u8>) -> Option<()> {
    read(path, buffer, |_, _| true)
}

/// The name in a line `name:password:uid:…` of this user.
fn name_in(line: &[u8], uid: u32) -> Option<String> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let number: u32 = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    (number == uid).then(|| String::from_utf8_lossy(name).into_owned())
}

fn name_of(process: u32, buffer: &mut Vec<u8>) -> Option<String> {
    told(&CString::new(format!("/proc/{process}/comm")).ok()?, buffer)?;
    Some(String::from_utf8_lossy(buffer.trim_ascii_end()).into_owned())
}

/// From `/proc/self/stat`: opening `/dev/tty` would not tell which terminal it is.
fn stat(buffer: &mut Vec<u8>) -> Option<ProcessStat> {
    told(c"/proc/self/stat", buffer)?;
    stat_in(buffer)
}

/// The fourth field, `ppid`, and the seventh, `tty_nr`. The second is the program's name in parentheses and may hold
/// spaces and parentheses.
fn stat_in(stat: &[u8]) -> Option<ProcessStat> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(stat.get(name_end..)?).ok()?.split_ascii_whitespace();
    let parent: u32 = fields.nth(2)?.parse().ok()?;
    let terminal: i32 = fields.nth(2)?.parse().ok()?;
    let known = |number: u32| (number != 0).then_some(number);
    Some(ProcessStat { parent: known(parent), terminal: known(terminal.cast_unsigned()) })
}

/// The name of a terminal by its device number, as Linux's `Documentation/admin-guide/devices.txt` gives them out.
fn terminal_name(number: u32) -> Option<String> {
    let major = number >> 8 & 0xfff;
    let minor = number & 0xff | number >> 12 & 0xf_ff00;
    Some(match (major, minor) {
        (136..=143, _) => format!("pts/{}", (major - 136) * 256 + minor),
        (4, 0..=63) => format!("tty{minor}"),
        (4, _) => format!("ttyS{}", minor - 64),
        (5, 1) => "console".to_owned(),
        _ => fs::read_link(format!("/sys/dev/char/{major}:{minor}"))
            .ok()?
            .file_name()?
            .to_string_lossy()
            .into_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_actor_is_seen() {
        let who = who();
        assert_eq!(who.pid, std::process::id());
        assert!(!who.user.is_empty() && !who.host.is_empty());
        assert!(cfg!(not(target_os = "linux")) || !who.parent.is_empty());
    }

    #[test]
    fn a_user_is_found_by_number_and_a_broken_line_is_passed_over() {
        assert_eq!(name_in(b"ada:x:1000:1000::/home/ada:/bin/sh", 1000), Some("ada".to_owned()));
        for line in [b"ada:x:1001:".as_slice(), b"ada:x:", b"", b":x:1000:", b"+::::"] {
            assert_eq!(name_in(line, 1000), None);
        }
    }

    #[test]
    fn terminals_are_named_by_their_number() {
        let named = |stat: &str| stat_in(stat.as_bytes())?.terminal.and_then(terminal_name);
        assert_eq!(named("7 (a) b) c) S 1 7 7 34819 7 0"), Some("pts/3".to_owned()));
        assert_eq!(named("7 (sh) S 1 7 7 35072 7 0"), Some("pts/256".to_owned()));
        assert_eq!(named("7 (sh) S 1 7 7 1025 7 0"), Some("tty1".to_owned()));
        assert_eq!(named("7 (sh) S 1 7 7 1088 7 0"), Some("ttyS0".to_owned()));
        assert_eq!(named("7 (sh) S 1 7 7 0 -1 0"), None);
        assert_eq!(named("7"), None);
    }

    #[test]
    fn the_parent_is_found_by_its_number_and_none_that_cannot_be_seen() {
        let parent = |stat: &str| stat_in(stat.as_bytes()).and_then(|stat| stat.parent);
        assert_eq!(parent("7 (a) 9 (b) S 41 7 7 0 -1"), Some(41));
        assert_eq!(parent("7 (sh) S 0 7 7 0 -1"), None);
        assert_eq!(parent("7 (sh) S"), None);
    }

    #[test]
    fn a_file_is_read_until_enough_is_there_whatever_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let line = |number: usize| format!("user{number}:x:{number}:0::/:/bin/sh\n");
        let users: String = (0..2000).map(line).collect();
        fs::write(&path, users.trim_end()).unwrap();
        let path = CString::new(path.to_str().unwrap()).unwrap();
        for uid in [0, 1, 400, 1999, 2000] {
            let found = user_name_in(&path, uid, &mut Vec::new());
            assert_eq!(found, (uid < 2000).then(|| format!("user{uid}")));
        }
    }
}
