//! Which of the caller's two output streams are masked, and by which route.
//!
//! Streams stay apart where they were apart, and together where they were together: a pipe that carries both gets one
//! pipe before it, so that the order of what is written stays. What is a terminal stays a terminal, and what is none
//! stays none.

use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, fstat};
use rustix::termios::isatty;

use keyvault_os::process::startup;

/// The caller's standard streams, 0–2. They are handed in: this module opens none and prints nothing.
pub type Callers<'c> = [BorrowedFd<'c>; 3];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Never,
    /// Where somebody keeps it: what is neither a terminal nor a file that the caller named.
    Kept,
    Always,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamKind {
    Closed,
    Terminal,
    File,
    /// A pipe, a socket, a device.
    Other,
}

/// How an output stream reaches its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The caller's own descriptor.
    Direct,
    /// A pipe of ours; of the second stream, the first one's.
    Pipe {
        /// True if both streams share it.
        shared: bool,
    },
    /// A terminal of ours, the child's controlling one.
    Terminal,
    /// A terminal of ours beside the caller's, which stays the controlling one: where output goes elsewhere, whoever
    /// reads that may be reading the keyboard as well.
    OutputTerminal,
}

/// The routes of standard output and standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routes {
    pub out: Route,
    pub err: Route,
}

impl Routes {
    /// Looks at the caller's streams, if anything could be masked.
    #[must_use]
    pub fn choose(when: When, [_, out, err]: Callers<'_>) -> Self {
        if when == When::Never {
            return Self { out: Route::Direct, err: Route::Direct };
        }
        Self::of(when, kind(1, out), kind(2, err), same(out, err))
    }

    fn of(when: When, out: StreamKind, err: StreamKind, same: bool) -> Self {
        let masked = |kind| match when {
            When::Never => false,
            When::Kept => kind == StreamKind::Other,
            When::Always => kind != StreamKind::Closed,
        };
        let route = |kind| match kind {
            kind if !masked(kind) => Route::Direct,
            StreamKind::Terminal => Route::Terminal,
            _ => Route::Pipe { shared: false },
        };
        match (route(out), route(err)) {
            (Route::Pipe { .. }, Route::Pipe { .. }) if same => {
                Self { out: Route::Pipe { shared: true }, err: Route::Pipe { shared: true } }
            }
            // Another terminal than that of standard output: its output alone.
            (Route::Terminal, Route::Terminal) if !same => {
                Self { out: Route::Terminal, err: Route::OutputTerminal }
            }
            (out, Route::Terminal) if out != Route::Terminal => Self { out, err: Route::OutputTerminal },
            (out, err) => Self { out, err },
        }
    }

    #[must_use]
    pub fn any(self) -> bool {
        [self.out, self.err].into_iter().any(|route| route != Route::Direct)
    }
}

fn kind(number: usize, stream: BorrowedFd<'_>) -> StreamKind {
    if startup::inherited().closed.get(number).copied().unwrap_or(false) {
        return StreamKind::Closed;
    }
    if isatty(stream) {
        return StreamKind::Terminal;
    }
    match fstat(stream) {
        Ok(file) if FileType::from_raw_mode(file.st_mode) == FileType::RegularFile => StreamKind::File,
        Ok(_) => StreamKind::Other,
        Err(_) => StreamKind::Closed,
    }
}

/// Returns `true` if both streams lead to the same place.
fn same(out: BorrowedFd<'_>, err: BorrowedFd<'_>) -> bool {
    let identity = |stream: BorrowedFd<'_>| fstat(stream).map(|file| (file.st_dev, file.st_ino));
    matches!((identity(out), identity(err)), (Ok(out), Ok(err)) if out == err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_goes_its_own_way_unless_both_go_the_same() {
        use StreamKind::{Closed, File, Other, Terminal};
        let pipe = Route::Pipe { shared: false };
        let both = Route::Pipe { shared: true };
        for (when, out, err, same, expected) in [
            (When::Never, Other, Terminal, false, (Route::Direct, Route::Direct)),
            (When::Kept, Terminal, Terminal, true, (Route::Direct, Route::Direct)),
            (When::Kept, File, Other, false, (Route::Direct, pipe)),
            (When::Kept, Other, Terminal, false, (pipe, Route::Direct)),
            (When::Kept, Other, Other, false, (pipe, pipe)),
            (When::Kept, Other, Other, true, (both, both)),
            (When::Kept, Closed, Other, false, (Route::Direct, pipe)),
            (When::Always, Terminal, Terminal, true, (Route::Terminal, Route::Terminal)),
            (When::Always, Terminal, Terminal, false, (Route::Terminal, Route::OutputTerminal)),
            (When::Always, Terminal, Other, false, (Route::Terminal, pipe)),
            (When::Always, Other, Terminal, false, (pipe, Route::OutputTerminal)),
            (When::Always, Closed, Terminal, false, (Route::Direct, Route::OutputTerminal)),
            (When::Always, File, File, true, (both, both)),
            (When::Always, Closed, Closed, false, (Route::Direct, Route::Direct)),
        ] {
            let routes = Routes::of(when, out, err, same);
            assert_eq!((routes.out, routes.err), expected, "{when:?} {out:?} {err:?} {same}");
        }
    }
}
