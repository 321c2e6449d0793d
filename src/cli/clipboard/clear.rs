//! Clearing the clipboard a while after a value was copied, if it still has that value.
//!
//! A process of its own stays behind for that: this program, started again, so that nothing of what the one that copied had
//! in memory is in it. It gets the value's hash on its standard input and leaves the caller's session, which may end before.
//! A terminal does not tell what its clipboard has, nor does clip.exe, so those are cleared without being asked.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::{Clipboard, Means, command, feed, find};
use crate::cli::errors::code;
use keyvault_core::crypto::{HASH_LEN, Hash, sha256};
use keyvault_core::secret::SecretBytes;

/// The first argument of the process that stays behind. No command has such a name.
const WORD: &str = "--clear-clipboard";

/// The longest clipboard that is compared, in bytes.
const LONGEST: usize = 32 << 20;

/// A space, and then nothing: terminals that ignore an empty clipboard have the space.
const EMPTIED: &[u8] = b"\x1b]52;c;IA==\x07\x1b]52;c;\x07";

impl Clipboard {
    /// Has the clipboard cleared after so many seconds, if it has this value by then.
    pub(in crate::cli) fn clear_after(&self, seconds: u64, value: &SecretBytes) -> io::Result<()> {
        let mut command = command(&std::env::current_exe()?);
        command.args([WORD, self.means.name(), &seconds.to_string()]).current_dir("/").stdin(Stdio::piped());
        command.stdout(if self.means == Means::Terminal { Stdio::inherit() } else { Stdio::null() });
        let mut helper = command.stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = helper.stdin.take() {
            stdin.write_all(&sha256(value.expose()))?;
        }
        // Until it has left the session: the end of this command may be that of the terminal.
        helper.stderr.take().map_or(Ok(()), |mut left| left.read_exact(&mut [0]))
    }
}

/// The whole life of the process that stays behind, if this is it.
pub(in crate::cli) fn asked(arguments: &[OsString]) -> Option<u8> {
    let (word, [means, seconds]) = arguments.get(1..)?.split_first()? else { return None };
    if word != WORD {
        return None;
    }
    let means = Means::ALL.into_iter().find(|known| means == known.name())?;
    let seconds = seconds.to_str()?.parse().ok()?;
    Some(if stay(means, Duration::from_secs(seconds)).is_some() { code::DONE } else { code::FAILED })
}

fn stay(means: Means, time: Duration) -> Option<()> {
    let mut hash: Hash = [0; HASH_LEN];
    io::stdin().read_exact(&mut hash).ok()?;
    // The end of the caller's session, and Ctrl-C there, are not this process's.
    let _ = rustix::process::setsid();
    io::stderr().write_all(b".").ok()?;
    std::thread::sleep(time);
    if means == Means::Terminal {
        let terminal = File::from(rustix::stdio::stdout().as_fd().try_clone_to_owned().ok()?);
        return (&terminal).write_all(EMPTIED).ok();
    }
    let program = means.program()?;
    if pasting(means).is_some_and(|pasting| !has(pasting, &hash)) {
        return Some(());
    }
    let clearing: &[&str] = match means {
        Means::WlCopy => &["--clear"],
        Means::Xsel => &["--clear", "--clipboard"],
        means => means.copying(),
    };
    feed(command(&program).args(clearing), b"").ok().map(drop)
}

/// The command that prints the clipboard.
fn pasting(means: Means) -> Option<&'static [&'static str]> {
    match means {
        Means::WlCopy => Some(&["wl-paste", "--no-newline"]),
        Means::Xclip => Some(&["xclip", "-out", "-selection", "clipboard"]),
        Means::Xsel => Some(&["xsel", "--output", "--clipboard"]),
        Means::Pbcopy => Some(&["pbpaste"]),
        Means::Clip | Means::Terminal => None,
    }
}

/// Returns `true` if what the clipboard has, has this hash. One that cannot be read has another.
fn has(pasting: &[&str], hash: &Hash) -> bool {
    let Some((name, arguments)) = pasting.split_first() else { return false };
    let read = |program: &Path| {
        let mut command = command(program);
        let mut child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().ok()?;
        let value = SecretBytes::read_from(child.stdout.as_mut()?, LONGEST).ok();
        drop(child.stdout.take());
        let ended = child.wait().ok()?;
        value.filter(|_| ended.success())
    };
    find(name).and_then(|program| read(&program)).is_some_and(|value| sha256(value.expose()) == *hash)
}
