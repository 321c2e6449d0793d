//! Signals by the names that kill(1) knows.

use std::ffi::c_int;

const NAMES: [(&str, c_int); 29] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("SYS", libc::SIGSYS),
];

/// The number of a signal: `HUP`, `SIGHUP` or, on Linux, `RTMIN+1`; in any case of letters.
#[must_use]
pub fn number(name: &str) -> Option<c_int> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number).or_else(|| real_time(name))
}

/// The name of a signal, without `SIG`; a real-time one as `RTMIN+1`, any other as its number.
#[must_use]
pub fn name(number: c_int) -> String {
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None => real_time_name(number),
    }
}

#[cfg(target_os = "linux")]
fn real_time(name: &str) -> Option<c_int> {
    let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let number = match name.strip_prefix("RTMIN+").or_else(|| name.strip_prefix("RTMAX-")) {
        Some(offset) if name.starts_with("RTMIN") => first.checked_add(offset.parse().ok()?)?,
        Some(offset) => last.checked_sub(offset.parse().ok()?)?,
        None if name == "RTMIN" => first,
        None if name == "RTMAX" => last,
        None => return None,
    };
    (first..=last).contains(&number).then_some(number)
}

#[cfg(target_os = "linux")]
fn real_time_name(number: c_int) -> String {
    match number - libc::SIGRTMIN() {
        offset if offset >= 0 => format!("RTMIN+{offset}"),
        _ => number.to_string(),
    }
}

#[cfg(not(target_os = "linux"))]
fn real_time(_: &str) -> Option<c_int> {
    None
}

#[cfg(not(target_os = "linux"))]
fn real_time_name(number: c_int) -> String {
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_kill_reads_them_and_written_so() {
        for known in ["HUP", "SIGHUP", "hup", "sighup"] {
            assert_eq!(number(known), Some(libc::SIGHUP), "{known}");
        }
        for unknown in ["", "1", "SIG", "NOPE", "RTMIN+99", "RTMIN+-40", "RTMAX+1"] {
            assert_eq!(number(unknown), None, "{unknown}");
        }
        for (text, signal) in NAMES {
            assert_eq!(name(signal), text);
        }
        if cfg!(target_os = "linux") {
            assert_eq!(number("SIGRTMIN+3").map(name), Some("RTMIN+3".to_owned()));
        }
    }
}
