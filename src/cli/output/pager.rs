//! Long answers on a terminal, through the pager that the user has set.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use keyvault_os::process::interrupt::Interrupts;

use crate::cli::context;

/// The command of the pager, if the user has set one and `text` is longer than the terminal.
pub(super) fn wanted(text: &str, terminal: impl AsFd) -> Option<OsString> {
    let rows = rustix::termios::tcgetwinsize(terminal).map_or(0, |size| size.ws_row);
    if rows == 0 || text.lines().count() < usize::from(rows) {
        return None;
    }
    let set = |name| context::variable(name).filter(|value| !value.is_empty());
    set("KEYVAULT_PAGER").or_else(|| set("PAGER")).filter(|pager| pager != "cat")
}

/// Shows `text` in the pager and waits for its end.
///
/// The pager gets no variable of ours, since one may be a credential. Ctrl-C is the pager's: a process that died of it would
/// leave the terminal to the pager and the shell at once.
pub(super) fn show(pager: &OsStr, text: &str) -> io::Result<()> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(pager).stdin(Stdio::piped());
    for (name, _) in context::variables() {
        if name.to_string_lossy().starts_with("KEYVAULT_") {
            command.env_remove(name);
        }
    }
    // As git does: colors pass, and what fits on one screen stays there.
    if context::variable("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    let _interrupts = Interrupts::catch(&[], &[libc::SIGINT])?;
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(text.as_bytes()) {
            // The reader has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    child.wait().map(drop)
}
