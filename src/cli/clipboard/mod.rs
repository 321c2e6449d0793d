//! The clipboard: what holds it here, and putting a value there. [`clear`] takes it away later.
//!
//! A program gets the value on its standard input, and none of our variables. Where no program is, or over SSH, where it
//! would be the other machine's clipboard, the terminal gets it in an escape code (OSC 52).

pub(super) mod clear;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::BASE64;

use super::context::{self, Context, variable};
use super::errors::Failure;
use keyvault_core::name::KeyName;
use keyvault_core::secret::{SecretBytes, SecretWriter};
use keyvault_os::process::child;

/// Terminals drop longer ones. Bytes.
const LONGEST_FOR_TERMINALS: usize = 74_994;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// Wayland.
    WlCopy,
    /// X11.
    Xclip,
    Xsel,
    /// macOS.
    Pbcopy,
    /// Windows, from WSL.
    Clip,
    Terminal,
}

impl Means {
    const ALL: [Self; 6] = [Self::WlCopy, Self::Xclip, Self::Xsel, Self::Pbcopy, Self::Clip, Self::Terminal];

    /// The name of the program.
    fn name(self) -> &'static str {
        match self {
            Self::WlCopy => "wl-copy",
            Self::Xclip => "xclip",
            Self::Xsel => "xsel",
            Self::Pbcopy => "pbcopy",
            Self::Clip => "clip.exe",
            Self::Terminal => "terminal",
        }
    }

    /// Returns `true` if what it talks to is there.
    fn is_served(self) -> bool {
        match self {
            Self::WlCopy => variable("WAYLAND_DISPLAY").is_some(),
            Self::Xclip | Self::Xsel => variable("DISPLAY").is_some(),
            Self::Pbcopy => cfg!(target_vendor = "apple"),
            Self::Clip | Self::Terminal => true,
        }
    }

    fn program(self) -> Option<PathBuf> {
        if self == Self::Terminal { None } else { find(self.name()) }
    }

    fn copying(self) -> &'static [&'static str] {
        match self {
            Self::Xclip => &["-in", "-selection", "clipboard"],
            Self::Xsel => &["--input", "--clipboard"],
            Self::WlCopy | Self::Pbcopy | Self::Clip | Self::Terminal => &[],
        }
    }
}

/// Where a value is to go. Found before the vault is opened: a value that goes nowhere is not to be read.
#[derive(Debug)]
pub(super) struct Clipboard {
    means: Means,
    program: Option<PathBuf>,
}

impl Clipboard {
    /// Refuses where no person is: a job's clipboard is no one's, and a pipe wants the value itself.
    pub(super) fn find(context: &Context, key: &KeyName) -> Result<Self, Failure> {
        let refused = |message: &str| {
            let hint = format!(
                "Give the value to one process with `keyvault exec --only {key} -- COMMAND`, or print it with \
                 `keyvault show {key} --reveal`."
            );
            Err(Failure::refused(message, Some(&hint)))
        };
        if variable("CI").is_some() {
            return refused("`--copy` is not for CI jobs (CI is set).");
        }
        if !context.ui.out_is_terminal() {
            return refused("`--copy` needs a terminal, and standard output is not one.");
        }
        let remote = ["SSH_CONNECTION", "SSH_TTY"].into_iter().any(|name| variable(name).is_some());
        let mut served = Means::ALL.into_iter().filter(|means| !remote && means.is_served());
        Ok(match served.find_map(|means| Some((means, means.program()?))) {
            Some((means, program)) => Self { means, program: Some(program) },
            None => Self { means: Means::Terminal, program: None },
        })
    }

    pub(super) fn name(&self) -> &'static str {
        self.means.name()
    }

    /// Its name in a sentence.
    pub(super) fn described(&self) -> &'static str {
        if self.means == Means::Terminal { "the terminal (OSC 52)" } else { self.name() }
    }

    /// Puts the value there. The caller's descriptors above 2 are closed first: programs that serve a clipboard stay behind, as
    /// does the process that clears it, and would keep a pipe open whose reader waits for its end.
    pub(super) fn copy(&self, context: &Context, value: &SecretBytes) -> Result<(), Failure> {
        const RECORDED: &str =
            "Nothing was copied, but the audit log records the read. `--reveal` prints the value.";
        let failed = |message: &str| Failure::failed(message, Some(RECORDED));
        child::close_inherited_fds();
        let Some(program) = &self.program else {
            if value.len() > LONGEST_FOR_TERMINALS {
                return Err(failed(&format!(
                    "The value is longer than the {LONGEST_FOR_TERMINALS} bytes that a terminal takes for its clipboard."
                )));
            }
            return context.ui.data(escape_code(value).expose());
        };
        if self.means == Means::Clip && !value.expose().is_ascii() {
            return Err(failed(
                "`clip.exe` copies only ASCII unaltered, and the value has other characters.",
            ));
        }
        let mut command = command(program);
        command.args(self.means.copying());
        if self.means == Means::WlCopy && knows_sensitive(program) {
            // Clipboard managers keep no history of it.
            command.arg("--sensitive");
        }
        let name = self.name();
        let status = feed(&mut command, value.expose()).map_err(|error| {
            failed(&format!("`{name}` could not be run: {}.", super::errors::reason(&error)))
        })?;
        if status.success() {
            Ok(())
        } else {
            Err(failed(&format!("`{name}` could not copy the value ({status}).")))
        }
    }
}

/// Runs a command with these bytes on its standard input. What it prints goes nowhere: a program that stays behind to serve
/// the clipboard keeps its streams.
fn feed(command: &mut Command, bytes: &[u8]) -> io::Result<std::process::ExitStatus> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(bytes) {
            // Its exit code says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    child.wait()
}

/// The program of this name in an absolute folder of PATH.
fn find(name: &str) -> Option<PathBuf> {
    let path = variable("PATH")?;
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let runs =
        |file: &PathBuf| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    folders.map(|folder| folder.join(name)).find(runs)
}

/// A command without variables of ours, one of which may be a credential.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in context::variables() {
        if name.as_encoded_bytes().starts_with(b"KEYVAULT_") {
            command.env_remove(name);
        }
    }
    // wl-copy keeps what it serves in a file. The runtime folder is in memory and the user's own.
    if let Some(folder) = context::runtime_folder().filter(|folder| folder.is_dir()) {
        command.env("TMPDIR", folder);
    }
    command
}

/// wl-clipboard has the option from 2.3 on, and refuses those that it does not know.
fn knows_sensitive(program: &Path) -> bool {
    const OPTION: &[u8] = b"--sensitive";
    let help = command(program).arg("--help").stdin(Stdio::null()).stderr(Stdio::null()).output();
    help.is_ok_and(|help| help.stdout.windows(OPTION.len()).any(|part| part == OPTION))
}

/// `ESC ] 52 ; c ; BASE64 BEL`
fn escape_code(value: &SecretBytes) -> SecretBytes {
    const BEGIN: &[u8] = b"\x1b]52;c;";
    const END: &[u8] = b"\x07";
    let mut code = SecretWriter::with_capacity(BEGIN.len() + BASE64.encode_len(value.len()) + END.len());
    let _ = code.push(BEGIN);
    for piece in value.expose().chunks(3) {
        let mut digits = SecretBytes::zeroed(BASE64.encode_len(piece.len()));
        BASE64.encode_mut(piece, digits.expose_mut());
        // The buffer has room for all of them.
        let _ = code.push(digits.expose());
    }
    let _ = code.push(END);
    code.finish()
}
