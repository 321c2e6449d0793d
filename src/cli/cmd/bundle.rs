//! `keyvault bundle …`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::{Context, read_secret};
use crate::cli::errors::{Failure, code};
use crate::cli::output::{self, view};
use keyvault_core::clock::Moment;
use keyvault_core::name::TokenName;
use keyvault_os::fs::private::{self, open_secret_file};
use keyvault_vault::{
    Access, BundleLabel, Bundled, MAX_BUNDLE, TokenError, TokenKind, Vault, VaultError, token,
};

/// Seal a token's keys in a file that is safe to commit or ship.
#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    Create(Create),
    Update(Update),
}

/// Create a bundle: a sealed file with only the keys that a token opens.
///
/// With the token in KEYVAULT_TOKEN, `keyvault exec --bundle FILE -- CMD` works where no vault is. Only that token opens
/// the bundle, so it is safe to commit. The audit log records its creation. Reads from it are recorded on the machine that
/// reads; `keyvault audit import` imports them.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The token whose keys the bundle holds
    #[arg(long, value_name = "NAME", add = complete::tokens(), value_parser = named::<TokenName>)]
    token: TokenName,
    /// The new file, or - for standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Update a bundle to what its token opens now.
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The bundle
    file: PathBuf,
}

impl Bundle {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::Create(args) => args.run(context),
            Self::Update(args) => args.run(context),
        }
    }
}

impl Create {
    fn run(self, context: &Context) -> Result<u8, Failure> {
        let to_stdout = self.output == Path::new("-");
        if to_stdout && context.ui.json {
            return Err(Failure::usage("`--output -` and `--json` both write to standard output.", None));
        }
        if !to_stdout && std::fs::symlink_metadata(&self.output).is_ok() {
            let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            let failure = Failure::making(&self.output, &exists);
            let file = output::quoted(&self.output);
            let hint = format!(
                "To update a bundle: keyvault bundle update {file}\nIf its token was renewed or revoked: {}\nOtherwise choose another name.",
                again(&self.output, self.token.as_str())
            );
            return Err(Failure { hint: Some(hint), ..failure });
        }
        let (mut vault, access) = context.open_with_access()?;
        let bundled = make(context, &mut vault, &access, &self.token)?;
        if to_stdout {
            context.ui.data(&bundled.text)?;
        } else {
            private::write_private(&self.output, &bundled.text)
                .map_err(|error| Failure::making(&self.output, &error))?;
        }
        answer(context, &self.output, &self.token, &bundled)
    }
}

impl Update {
    fn run(self, context: &Context) -> Result<u8, Failure> {
        let (mut file, _) = open_secret_file(&self.file).map_err(|error| Failure::io(&self.file, &error))?;
        let text = read_secret(&mut file, MAX_BUNDLE, &self.file)?;
        let failed = |error: VaultError| Failure::of(error, &self.file);
        let (label, sealed) = BundleLabel::parse(text.expose()).map_err(|error| failed(error.into()))?;
        let (mut vault, access) = context.open_with_access()?;
        let (token, newest) =
            token::of_bundle(&mut vault, &access, &label, &sealed, context.now()).map_err(|error| {
                let over =
                    matches!(error, VaultError::Token(TokenError::BundleOfNone | TokenError::Revoked(_)));
                let failure = failed(error);
                if !over {
                    return failure;
                }
                let token =
                    only_token(&mut vault, &access, context.now()).unwrap_or_else(|| "NAME".to_owned());
                Failure { hint: Some(format!("Create it again: {}", again(&self.file, &token))), ..failure }
            })?;
        if newest == Some(label.change) {
            if context.ui.json {
                context.ui.print_json(&serde_json::json!({
                    "file": self.file.display().to_string(), "token": token.as_str(), "key_count": null,
                    "change": label.change, "written": false,
                }))?;
            } else {
                context.ui.confirm(&format!("{} is up to date.", self.file.display()))?;
            }
            return Ok(code::DONE);
        }
        let bundled = make(context, &mut vault, &access, &token)?;
        private::replace_private(&self.file, &bundled.text)
            .and_then(|()| private::sync(&self.file))
            .map_err(|error| Failure::io(&self.file, &error))?;
        answer(context, &self.file, &token, &bundled)
    }
}

/// The name of the vault's token, if it has one that may have a bundle and no other.
fn only_token(vault: &mut Vault, access: &Access, now: Moment) -> Option<String> {
    let tokens = token::list(vault, access, now).ok()?;
    let mut live = tokens.iter().map(|token| &token.record).filter(|record| {
        record.kind == TokenKind::Bearer
            && record.revoked.is_none()
            && record.expires.is_none_or(|end| end > now)
    });
    let only = live.next()?.name.to_string();
    live.next().is_none().then_some(only)
}

/// The commands that replace a bundle whose token is over.
fn again(file: &Path, token: &str) -> String {
    let file = output::quoted(file);
    format!("rm {file} && keyvault bundle create --token {token} -o {file}")
}

fn make(
    context: &Context,
    vault: &mut Vault,
    access: &Access,
    token: &TokenName,
) -> Result<Bundled, Failure> {
    let path = vault.path().to_owned();
    context.with_world(|world| {
        token::bundle(vault, access, world, token).map_err(|error| Failure::of(error, &path))
    })
}

fn answer(context: &Context, file: &Path, token: &TokenName, bundled: &Bundled) -> Result<u8, Failure> {
    if context.ui.json {
        context.ui.print_json(&serde_json::json!({
            "file": file.display().to_string(), "token": token.as_str(), "key_count": bundled.keys,
            "change": bundled.change, "written": true,
        }))?;
    } else {
        let to_stdout = file == Path::new("-");
        let text = format!(
            "{} holds {} for token `{token}`, at change {}.",
            if to_stdout { Path::new("The bundle") } else { file }.display(),
            view::counted(bundled.keys, "key"),
            bundled.change
        );
        // The bundle itself is alone on stdout.
        if to_stdout {
            context.ui.note(&text);
        } else {
            context.ui.confirm(&text)?;
        }
    }
    Ok(code::DONE)
}
