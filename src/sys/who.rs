//! Who runs this process, for the log. A few small reads: this is on the way of `exec`.

/// What the system says about the process and its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Login name of the effective user, or the number where the user has no name.
    pub user: String,
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Name of the parent process.
    pub parent: String,
    /// The controlling terminal, as in `pts/3`.
    pub terminal: Option<String>,
}

/// Asks the system.
#[must_use]
pub fn who() -> Who {
    Who {
        user: user_name(rustix::process::geteuid().as_raw()),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        pid: std::process::id(),
        parent: parent_name(),
        terminal: terminal(),
    }
}

/// From /etc/passwd itself: a static binary cannot load the system's name services.
fn user_name(uid: u32) -> String {
    let number = uid.to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == number).then(|| name.to_owned())
        })
        .unwrap_or(number)
}

fn parent_name() -> String {
    let name = rustix::process::getppid()
        .and_then(|parent| std::fs::read(format!("/proc/{}/comm", parent.as_raw_nonzero())).ok())
        .unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// The device number in /proc/self/stat, turned into a name where it is a pseudo-terminal or a console.
fn terminal() -> Option<String> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // pid (comm) state ppid pgrp session tty_nr …; comm may hold spaces and brackets.
    let device: u64 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(4)?.parse().ok()?;
    let (major, minor) = (device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF_FF00);
    match major {
        0 => None,
        136..=143 => Some(format!("pts/{}", (major - 136) * 256 + minor)),
        4 if minor < 64 => Some(format!("tty{minor}")),
        _ => Some(format!("{major}:{minor}")),
    }
}
