//! On whose behalf the process runs: the actor of an audit event.
//!
//! It is told, not proved. Whoever can run this program as a user can give it any parent and any name, so nothing is
//! decided by it. It lies on the way of every `exec`, so it makes do with a handful of small reads, and it asks no name
//! service: the user's name comes from `/etc/passwd` alone, since a static binary cannot load the service's modules.
//!
//! Names of processes may hold any byte. Bytes that are not UTF-8 become U+FFFD; whoever shows a name has to render
//! control characters harmless.

use std::fs;
use std::io::{BufRead, BufReader};

/// The actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The user's name in `/etc/passwd`, or the number if it has none there.
    pub user: String,
    /// The real user id: who started it.
    pub uid: u32,
    /// The machine's own name for itself.
    pub host: String,
    /// This process.
    pub pid: u32,
    /// The name of this program's file.
    pub program: String,
    /// The controlling terminal without `/dev/`, such as `pts/3`; none for a job without one.
    pub terminal: Option<String>,
    /// The name of the process that started this one, at most 15 bytes; empty where that cannot be seen.
    pub parent: String,
}

/// Gathers what can be seen. What cannot is left empty: an audit event must not fail for it.
#[must_use]
pub fn who() -> Who {
    let uid = rustix::process::getuid().as_raw();
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(|file| file.file_name());
    Who {
        user: user_name(uid).unwrap_or_else(|| uid.to_string()),
        uid,
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        pid: std::process::id(),
        program: program.unwrap_or_default().to_string_lossy().into_owned(),
        terminal: terminal(),
        parent: parent().unwrap_or_default(),
    }
}

fn user_name(uid: u32) -> Option<String> {
    let users = BufReader::new(fs::File::open("/etc/passwd").ok()?);
    users.split(b'\n').map_while(Result::ok).find_map(|line| name_in(&line, uid))
}

/// The name in a line `name:password:uid:…` of this user.
fn name_in(line: &[u8], uid: u32) -> Option<String> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let number: u32 = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    (number == uid).then(|| String::from_utf8_lossy(name).into_owned())
}

fn parent() -> Option<String> {
    let parent = rustix::process::getppid()?;
    let name = fs::read(format!("/proc/{}/comm", parent.as_raw_nonzero())).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

/// From `/proc/self/stat`: opening `/dev/tty` would not tell which terminal it is.
fn terminal() -> Option<String> {
    let stat = fs::read("/proc/self/stat").ok()?;
    terminal_name(terminal_number(&stat)?)
}

/// The seventh field, `tty_nr`. The second is the program's name in parentheses and may hold spaces and parentheses.
fn terminal_number(stat: &[u8]) -> Option<u32> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(name_end..)?).ok()?;
    let number: i32 = fields.split_ascii_whitespace().nth(5)?.parse().ok()?;
    (number != 0).then_some(number.cast_unsigned())
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
    use super::*;

    #[test]
    fn the_actor_is_seen() {
        let who = who();
        assert_eq!(who.pid, std::process::id());
        assert!(!who.user.is_empty() && !who.host.is_empty());
        assert!(!who.program.is_empty());
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
        let named = |stat: &str| terminal_number(stat.as_bytes()).and_then(terminal_name);
        assert_eq!(named("7 (a) b) c) S 1 7 7 34819 7 0"), Some("pts/3".to_owned()));
        assert_eq!(named("7 (sh) S 1 7 7 35072 7 0"), Some("pts/256".to_owned()));
        assert_eq!(named("7 (sh) S 1 7 7 1025 7 0"), Some("tty1".to_owned()));
        assert_eq!(named("7 (sh) S 1 7 7 1088 7 0"), Some("ttyS0".to_owned()));
        assert_eq!(named("7 (sh) S 1 7 7 0 -1 0"), None);
        assert_eq!(named("7"), None);
    }
}
