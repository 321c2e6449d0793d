//! `keyvault project render`

use std::path::{Path, PathBuf};

use clap::Args;

use crate::audit::Action;
use crate::cli::context::{self, Context};
use crate::cli::error::{Failure, code};
use crate::cli::supply::{self, Machine};
use crate::cli::{ui, view};
use crate::project::reference;
use crate::project::tracked::{Tracked, tracked};
use crate::secret::SecretBytes;
use crate::sys::private;
use crate::vault::{Piece, Purpose};

/// The longest template, in bytes.
const MAX_TEMPLATE: usize = 1 << 20;

/// Fill a file that names keys.
///
/// kv://NAME and kv://NAME?version=N are replaced with values, byte for byte; where a letter follows, braces say where the
/// name ends: {{kv://NAME}}. The output is readable by you alone. A file that git keeps is refused. This is recorded.
#[derive(Debug, Args)]
pub struct Render {
    /// The file to fill, or - for stdin
    template: PathBuf,
    /// Where to, instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long, requires = "output")]
    force: bool,
    #[command(flatten)]
    machine: Machine,
}

impl Render {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<u8, Failure> {
        let output = self.output.as_deref().filter(|output| *output != Path::new("-"));
        let (shown, pieces) = self.read()?;
        // Before the vault is asked: a place that cannot take the values.
        if let Some(output) = output {
            self.refuse_place(output)?;
        }
        let (whole, keys) = if pieces.iter().any(|piece| matches!(piece, Piece::Value { .. })) {
            let mut keys = context.supply(&self.machine)?;
            let refused = supply::failed(&keys);
            let purpose = Purpose { action: Action::Export, detail: "render".to_owned() };
            context.with_world(|world| keys.fill(world, &pieces, purpose).map_err(refused))?
        } else {
            context.ui.warn(&format!("{shown} names no key, as kv://NAME does."));
            (unfilled(&pieces), Vec::new())
        };
        let Some(output) = output else {
            context.ui.file(&whole, false)?;
            return Ok(code::DONE);
        };
        let written = if self.force {
            private::replace_private(output, whole.expose()).and_then(|()| private::sync(output))
        } else {
            private::write_private(output, whole.expose())
        };
        written.map_err(|error| Failure::making(output, &error))?;
        if context.ui.json {
            let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
            let output = output.to_string_lossy();
            context.ui.print_json(&serde_json::json!({ "file": output, "keys": keys }))?;
        } else {
            let output = ui::harmless_line(&output.display().to_string());
            context.ui.note(&format!("Wrote {output} with {}.", view::counted(keys.len(), "key")));
        }
        Ok(code::DONE)
    }

    fn read(&self) -> Result<(String, Vec<Piece>), Failure> {
        let stdin = self.template == Path::new("-");
        let shown = if stdin {
            "Standard input".to_owned()
        } else {
            ui::harmless_line(&self.template.display().to_string())
        };
        let bytes = if stdin {
            context::read_whole(&mut std::io::stdin().lock(), MAX_TEMPLATE, Path::new(&shown))?
        } else {
            let mut file =
                std::fs::File::open(&self.template).map_err(|error| Failure::io(&self.template, &error))?;
            context::read_secret(&mut file, MAX_TEMPLATE, &self.template)?
        };
        let text = std::str::from_utf8(bytes.expose())
            .map_err(|_| Failure::usage(&format!("{shown} is not UTF-8."), Some("Nothing was released.")))?;
        let pieces = reference::pieces(text).map_err(|(line, why)| {
            let message = format!("{shown}, line {line}, holds no reference to a key: {why}.");
            Failure::usage(&message, Some("Nothing was released."))
        })?;
        Ok((shown, pieces))
    }

    fn refuse_place(&self, output: &Path) -> Result<(), Failure> {
        let shown = ui::harmless_line(&output.display().to_string());
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let canonical = folder.canonicalize().map_err(|error| Failure::making(output, &error))?;
        let Some(name) = output.file_name() else {
            return Err(Failure::usage(&format!("{shown} is not the name of a file."), None));
        };
        let refused = |message: &str, hint: &str| {
            Err(Failure::refused(
                &format!("{shown} {message}"),
                Some(&format!("Nothing was released. {hint}")),
            ))
        };
        match tracked(&canonical, name) {
            Tracked::Yes => refused(
                "is kept by git, and the next commit would take the values in.",
                "Choose a name that .gitignore lists, or: git rm --cached FILE",
            ),
            Tracked::Unknown => refused(
                "lies in a repository whose index cannot be read, so git may keep it.",
                "Choose a place outside of the repository.",
            ),
            Tracked::No if !self.force && std::fs::symlink_metadata(output).is_ok() => {
                refused("is there already; it was not touched.", "--force replaces it.")
            }
            Tracked::No => Ok(()),
        }
    }
}

/// A text without references, as it was.
fn unfilled(pieces: &[Piece]) -> SecretBytes {
    let text = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.as_str(),
        Piece::Value { .. } => "",
    });
    SecretBytes::copy_from(text.collect::<String>().as_bytes())
}
