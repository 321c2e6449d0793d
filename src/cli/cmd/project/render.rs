//! `keyvault project render`

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::context::{self, Context};
use crate::cli::errors::{Failure, code};
use crate::cli::output;
use crate::cli::output::view;
use crate::cli::unlock::key_source::Machine;
use crate::project::reference;
use crate::project::tracked::{Tracked, tracked};
use keyvault_core::name::KeyName;
use keyvault_core::secret::SecretBytes;
use keyvault_exec::release::{self, Piece};
use keyvault_os::fs::private;
use keyvault_vault::Purpose;
use keyvault_vault::audit::Action;

/// The longest template, in bytes.
const MAX_TEMPLATE: usize = 1 << 20;

/// Fill in a file that refers to keys.
///
/// Replaces kv://NAME and kv://NAME?version=N with values, byte for byte, and kv://NAME?json=FIELD with a field of a value
/// that is JSON. If a letter follows, mark the end of the reference with braces: {{kv://NAME}}. Only you can read the output.
/// An output file that git tracks is refused. The audit log records this.
#[derive(Debug, Args)]
pub(crate) struct Render {
    /// The file to fill in, or - for stdin
    template: PathBuf,
    /// Where to write, instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an existing file
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
        let filled = if pieces.iter().any(|piece| matches!(piece, Piece::Value { .. })) {
            self.fill(context, &pieces)?
        } else {
            context.ui.warn(&format!("{shown} contains no reference such as kv://NAME."));
            None
        };
        let (whole, keys) = filled.unwrap_or_else(|| (unfilled(&pieces), Vec::new()));
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
            let output = output::harmless_line(&output.display().to_string());
            context.ui.confirm(&format!("Wrote {output} with {}.", view::counted(keys.len(), "key")))?;
        }
        Ok(code::DONE)
    }

    fn fill(
        &self,
        context: &Context,
        pieces: &[Piece],
    ) -> Result<Option<(SecretBytes, Vec<KeyName>)>, Failure> {
        let mut keys = context.supply(&self.machine)?;
        let purpose = Purpose { action: Action::Export, detail: "render".to_owned() };
        let released = context.with_keys(&mut keys, |keys, world| {
            let staged = release::stage_text(keys.begin(world)?, pieces)?;
            Ok(staged.fit_anywhere()?.commit(purpose)?)
        })?;
        Ok(released.into_text())
    }

    fn read(&self) -> Result<(String, Vec<Piece>), Failure> {
        let stdin = self.template == Path::new("-");
        let shown = if stdin {
            "Standard input".to_owned()
        } else {
            output::harmless_line(&self.template.display().to_string())
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
            let message = format!("{shown}, line {line}, has an invalid reference: {why}.");
            Failure::usage(&message, Some("Nothing was released."))
        })?;
        Ok((shown, pieces))
    }

    fn refuse_place(&self, output: &Path) -> Result<(), Failure> {
        let shown = output::harmless_line(&output.display().to_string());
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let canonical = folder.canonicalize().map_err(|error| Failure::making(output, &error))?;
        let Some(name) = output.file_name() else {
            return Err(Failure::usage(&format!("{shown} is not a file name."), None));
        };
        let refused = |message: &str, hint: &str| {
            Err(Failure::refused(
                &format!("{shown} {message}"),
                Some(&format!("Nothing was released. {hint}")),
            ))
        };
        match tracked(&canonical, name) {
            Tracked::Yes => refused(
                "is tracked by git, so the next commit would include the values.",
                "Choose a name that .gitignore lists, or run `git rm --cached FILE`.",
            ),
            Tracked::Unknown => refused(
                "is in a repository whose index cannot be read, so git may track it.",
                "Choose a place outside the repository.",
            ),
            Tracked::No if !self.force && std::fs::symlink_metadata(output).is_ok() => {
                refused("already exists and was not changed.", "`--force` replaces it.")
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
