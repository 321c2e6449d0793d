//! Where standard output leads: with standard error to a log, or as data to some other program.
//!
//! A shell gives `$(…)` and `… | gzip` a pipe for standard output alone, and leaves standard error where its own is. So if
//! a process above this one shares our standard error and not our standard output, that was done between the two. If all
//! that share our standard error share standard output too, both were given to them together, as by whoever keeps the log
//! of a job.

use std::path::PathBuf;

/// Processes above this one that are looked at.
const MOST: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    /// Both streams go the same way.
    WithErrors,
    /// To a program that reads standard output alone.
    Apart,
    /// It cannot be told: no process above can be looked at, or the one that started this one keeps both streams.
    Unknown,
}

/// Looks at this process and at those above it.
#[must_use]
pub fn standard_output() -> Leads {
    let Some([out, err]) = streams("self") else { return Leads::Unknown };
    if out == err {
        return Leads::WithErrors;
    }
    let mut shared = false;
    let mut process = parent("self");
    for _ in 0..MOST {
        let Some(number) = process.filter(|number| *number > 0) else { break };
        let place = number.to_string();
        match streams(&place) {
            Some([their_out, their_err]) if their_err == err => {
                if their_out != out {
                    return Leads::Apart;
                }
                shared = true;
            }
            // Here the streams were given to those below.
            _ => break,
        }
        process = parent(&place);
    }
    if shared { Leads::WithErrors } else { Leads::Unknown }
}

/// The targets of a process's descriptors 1 and 2: `pipe:[4711]`, or a path.
fn streams(process: &str) -> Option<[PathBuf; 2]> {
    let at = |number| std::fs::read_link(format!("/proc/{process}/fd/{number}")).ok();
    Some([at(1)?, at(2)?])
}

fn parent(process: &str) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name may have any character, closing brackets too; behind it are the state and the parent.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}
