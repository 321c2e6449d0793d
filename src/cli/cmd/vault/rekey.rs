//! `keyvault vault rekey`

use std::path::PathBuf;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::view;
use crate::cli::unlock::new_credentials::{NewRecovery, RecoveryPlace};
use keyvault_core::crypto;
use keyvault_core::secret::SecretWriter;
use keyvault_vault::unlock::keyfile::KeyFile;
use keyvault_vault::unlock::session;
use keyvault_vault::{Access, Credential, Issued, Rekeyed, Vault, VaultError};

/// Seal everything again under a new root key.
///
/// Use this if someone may have the passphrase, a session or the recovery code together with a copy of the vault: what they
/// have does not open anything written from then on. The values stay the same, so rotate the keys too. The passphrase is
/// kept, and so are the key files that you name and this machine's keyring, if it answers. A new recovery code is created,
/// every other slot and every session ends, and each token gets a new secret. All of this is one transaction.
#[derive(Debug, Args)]
pub struct Rekey {
    /// Keep the slot of this key file; may be repeated
    #[arg(long, value_name = "FILE")]
    key_file: Vec<PathBuf>,
    #[command(flatten)]
    recovery: RecoveryPlace,
    /// Continue even if only one slot is left
    #[arg(long)]
    yes: bool,
}

impl Rekey {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let interactive = context.may_ask();
        self.recovery.require(context, interactive)?;
        let files = self.key_file.iter().map(|path| context.key_file(path)).collect::<Result<Vec<_>, _>>()?;
        let (mut vault, access, passphrase) = context.open_with_passphrase()?;
        let path = vault.path().to_owned();
        let failed = |error: VaultError| Failure::of(error, &path);
        let opened = self.opened_by(&mut vault, &files)?;
        let keyring = context.keyring_to_keep(&mut vault)?;
        let mut kept: Vec<_> = opened.iter().chain([&access]).collect();
        kept.extend(keyring.as_ref().map(|(opened, _)| opened));
        let recovery = self.recovery.make(context, interactive)?;
        let mut ways = vec![Credential::Passphrase(&passphrase, crypto::calibrate())];
        ways.extend(recovery.code.as_ref().map(Credential::Recovery));
        ways.extend(files.iter().map(Credential::KeyFile));
        if ways.len() < 2 && !self.yes {
            return Err(Failure::refused(
                "Only the passphrase would open the vault. If it is lost, so is the vault.",
                Some(
                    "Leave out `--no-recovery`, keep a key file with `--key-file FILE`, or confirm with `--yes`.",
                ),
            ));
        }
        // Not counted above: root does not come out of it.
        ways.extend(keyring.as_ref().map(|(_, secret)| Credential::Keyring(secret)));
        let before = vault.identity();
        let count = vault.names(&access).map_err(failed)?.keys.len();
        let progress = context.ui.progress("rekeying", count);
        let rekeyed = context
            .with_world(|world| {
                vault
                    .rekey(&access, world, &ways, &kept, &|done| {
                        progress.set_position(u64::try_from(done).unwrap_or(u64::MAX));
                    })
                    .map_err(failed)
            })
            .inspect_err(|failure| recovery.withdraw(failure))?;
        progress.finish_and_clear();
        // A session of the old epoch opens nothing; where there are no sessions, none is left either.
        let _ = session::close(&before);
        answer(context, &vault, &rekeyed, &recovery)
            .map_err(|failure| tokens_lost(failure, &rekeyed.tokens))?;
        recovery.tell(context);
        Ok(code::DONE)
    }

    /// What the key files open today: a file that opens nothing is more likely the wrong one than a wish for
    /// a new way in, and one that was named twice is one way in.
    fn opened_by(&self, vault: &mut Vault, files: &[KeyFile]) -> Result<Vec<Access>, Failure> {
        let mut opened: Vec<Access> = Vec::with_capacity(files.len());
        for (file, path) in files.iter().zip(&self.key_file) {
            let access = vault.open_key_file(file).map_err(|error| {
                Failure::of(error, path).given_by(&format!("--key-file {}", path.display()))
            })?;
            if opened.iter().any(|earlier| earlier.slot_id() == access.slot_id()) {
                return Err(Failure::usage(
                    &format!("{} is the same key file as an earlier one.", path.display()),
                    Some("Name each key file once."),
                ));
            }
            opened.push(access);
        }
        Ok(opened)
    }
}

fn tokens_json(tokens: &[Issued]) -> serde_json::Map<String, serde_json::Value> {
    let text = |issued: &Issued| String::from_utf8_lossy(issued.token.text().expose()).into_owned();
    tokens.iter().map(|issued| (issued.record.name.to_string(), text(issued).into())).collect()
}

/// The old tokens open nothing by then, and nobody has the new ones.
fn tokens_lost(mut failure: Failure, tokens: &[Issued]) -> Failure {
    if tokens.is_empty() {
        return failure;
    }
    let mut hint = failure.hint.take().map_or_else(String::new, |hint| hint + "\n");
    hint.push_str("The rekey is done, but the tokens' texts are lost:");
    for issued in tokens {
        hint.push_str(&format!("\n  keyvault token renew {}", issued.record.name));
    }
    Failure { quiet: false, code: code::FAILED, hint: Some(hint), ..failure }
}

fn answer(
    context: &Context,
    vault: &Vault,
    rekeyed: &Rekeyed,
    recovery: &NewRecovery,
) -> Result<(), Failure> {
    let dropped = rekeyed.dropped.iter();
    if context.ui.json {
        let dropped = dropped.map(|way| serde_json::json!({ "slot": way.id, "kind": way.kind.name() }));
        let answer = serde_json::json!({
            "vault": vault.path().display().to_string(), "epoch": rekeyed.epoch, "keys": rekeyed.keys,
            "dropped": dropped.collect::<Vec<_>>(), "recovery_code": recovery.in_json(),
            "tokens": tokens_json(&rekeyed.tokens),
        });
        return recovery.print(context, &answer);
    }
    let dropped: Vec<_> = dropped.map(|way| format!("slot {} ({})", way.id, way.kind.name())).collect();
    let ways = view::joined(rekeyed.ways.iter().map(|way| way.kind.name()));
    context.ui.note(&format!(
        "Sealed {} under a new root key. The vault opens with: {ways}.",
        view::counted(rekeyed.keys, "key")
    ));
    if !dropped.is_empty() {
        context.ui.note(&format!("No longer open the vault: {}.", dropped.join(", ")));
    }
    for issued in &rekeyed.tokens {
        let mut line = SecretWriter::with_capacity(256 + issued.token.text().len());
        for part in [issued.record.name.as_str().as_bytes(), b" ", issued.token.text().expose(), b"\n"] {
            line.push(part).map_err(|error| Failure::failed(&error.to_string(), None))?;
        }
        context.ui.data(line.finish().expose())?;
    }
    if !rekeyed.tokens.is_empty() {
        context.ui.note(
            "Each token has a new secret, shown above only once. The old ones no longer open anything.",
        );
    }
    context
        .ui
        .note("The values are unchanged, and anyone who has seen them still knows them. Rotate the keys.");
    Ok(())
}
