//! `keyvault vault rekey`

use std::path::PathBuf;

use clap::Args;

use super::{Consent, accept_loss, confirm};
use crate::cli::cmd::issued;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::vault_file::beyond_mending;
use crate::cli::errors::{Failure, code};
use crate::cli::output::loss::{self, Tense};
use crate::cli::output::time::{self, Duration};
use crate::cli::output::view;
use crate::cli::unlock::new_credentials::{self, NewRecovery, RecoveryPlace};
use keyvault_core::clock::Moment;
use keyvault_core::crypto;
use keyvault_core::secret::SecretWriter;
use keyvault_vault::state::StateError;
use keyvault_vault::unlock::keyfile::KeyFile;
use keyvault_vault::unlock::passphrase::Passphrase;
use keyvault_vault::unlock::session;
use keyvault_vault::{Access, Credential, Issued, RekeyPreview, Rekeyed, Slot, Vault, VaultError, slot};

/// Seal everything again under a new root key.
///
/// Use this if someone may have the passphrase, a session or the recovery code together with a copy of the vault: what they
/// have does not open anything written from then on. The values stay the same, so rotate the keys too.
///
/// Asks for a new passphrase; without a terminal, it comes from --new-passphrase-file, KEYVAULT_NEW_PASSPHRASE_FILE or
/// KEYVAULT_NEW_PASSPHRASE. Keeps the key files that you name and this machine's keyring, if it answers. Creates a new
/// recovery code, gives each token a new secret, and ends every other slot, every session and every bundle. Lists all of
/// this and asks first; --yes answers. All of this is one transaction.
///
/// Verifiers and issuers of your API stop until each has its new token. With --overlap, verifiers go on with their present
/// tokens for that long, so that you can exchange them one by one. Leave it out if someone may have had a session or the
/// vault's root key: until a verifier has its new token, it believes what they sign.
///
/// Damage does not prevent a rekey: damaged rows are dropped, and a damaged audit log is kept as far as it can be proved.
/// What is lost is listed first; with --yes, --drop-damaged has to accept it.
#[derive(Debug, Args)]
pub(crate) struct Rekey {
    /// Read the new passphrase from a file
    #[arg(long, value_name = "FILE", conflicts_with = "keep_passphrase")]
    new_passphrase_file: Option<PathBuf>,
    /// Keep the passphrase: anyone who knows it can open every new copy of the vault too
    #[arg(long)]
    keep_passphrase: bool,
    /// Keep the slot of this key file; may be repeated
    #[arg(long, value_name = "FILE")]
    key_file: Vec<PathBuf>,
    /// Let verifiers go on with their present tokens for this long, up to 7d
    #[arg(long, value_name = "DURATION", add = complete::one_of(|| ["1h", "24h", "7d"]), allow_hyphen_values = true, value_parser = overlap)]
    overlap: Option<Duration>,
    #[command(flatten)]
    recovery: RecoveryPlace,
    /// Do not ask, and continue even if only one slot is left
    #[arg(long)]
    yes: bool,
    /// Continue without damaged keys, values, and audit log entries
    #[arg(long)]
    drop_damaged: bool,
}

fn overlap(text: &str) -> Result<Duration, String> {
    let overlap = time::duration(text)?;
    if (1..=slot::LONGEST_OVERLAP).contains(&overlap.millis) {
        Ok(overlap)
    } else {
        Err("has to be longer than 0s and at most 7d".to_owned())
    }
}

impl Rekey {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let interactive = context.may_ask();
        self.recovery.require(context, interactive)?;
        if !self.keep_passphrase {
            new_credentials::require_new_passphrase(context, self.new_passphrase_file.as_deref())?;
        }
        let files = self.key_file.iter().map(|path| context.key_file(path)).collect::<Result<Vec<_>, _>>()?;
        let (mut vault, access, old) = context.open_for_rekey(self.keep_passphrase)?;
        context.tell_left_behind(&vault);
        let path = vault.path().to_owned();
        let failed = |error: VaultError| Failure::of(error, &path);
        let opened = self.opened_by(&mut vault, &files)?;
        let keyring = context.keyring_to_keep(&mut vault)?;
        let mut kept: Vec<_> = opened.iter().collect();
        kept.extend(self.keep_passphrase.then_some(&access));
        kept.extend(keyring.as_ref().map(|(opened, _)| opened));
        if self.slots_with_root(files.len()) < 2 && !self.yes {
            return Err(Failure::refused(
                "Only the passphrase would open the vault. If it is lost, so is the vault.",
                Some(
                    "Leave out `--no-recovery`, keep a key file with `--key-file FILE`, or confirm with `--yes`.",
                ),
            ));
        }
        let preview = slot::before_rekey(&mut vault, &access).map_err(failed)?;
        if !self.yes {
            let overlap = self.overlap.as_ref().map(|overlap| context.now().plus_millis(overlap.millis));
            for line in told(&preview, &kept, self.keep_passphrase, overlap) {
                context.ui.say(&line);
            }
        }
        let consent = Consent::of(self.drop_damaged, !self.yes && interactive);
        accept_loss(context, &preview.loss, consent, &path, "Restore a backup")?;
        confirm(context, self.yes, &format!("Rekey {}?", path.display()))?;
        let passphrase = match old.filter(|_| self.keep_passphrase) {
            Some(old) => old,
            None => self.new_passphrase(context, &mut vault)?,
        };
        let recovery = self.recovery.make(context, interactive)?;
        let mut credentials = vec![Credential::Passphrase(&passphrase, crypto::calibrate())];
        credentials.extend(recovery.code.as_ref().map(Credential::Recovery));
        credentials.extend(files.iter().map(Credential::KeyFile));
        // Root does not come out of it.
        credentials.extend(keyring.as_ref().map(|(_, secret)| Credential::Keyring(secret)));
        let before = vault.identity();
        let issued = issued::count(&mut vault, &access, context.now());
        let progress = context.ui.progress("rekeying", preview.keys);
        let rekeyed = context
            .with_world(|world| {
                let overlap = self.overlap.as_ref().map(|overlap| overlap.millis);
                slot::rekey_overlapping(&mut vault, &access, world, &credentials, &kept, overlap, &|done| {
                    progress.set_position(u64::try_from(done).unwrap_or(u64::MAX));
                })
                .map_err(|error| match error {
                    VaultError::State(StateError::Mismatch { .. }) => beyond_mending(failed(error)),
                    error => failed(error),
                })
            })
            .inspect_err(|failure| recovery.withdraw(failure))?;
        progress.finish_and_clear();
        // A session of the old epoch opens nothing; where there are no sessions, none is left either.
        let _ = session::close(&before);
        answer(context, &vault, (&rekeyed, issued), &preview, &recovery)
            .map_err(|failure| tokens_lost(failure, &rekeyed.tokens))?;
        recovery.tell(context);
        Ok(code::DONE)
    }

    /// How many slots there will be that give root.
    fn slots_with_root(&self, key_files: usize) -> usize {
        1 + key_files + usize::from(self.recovery.makes_code())
    }

    /// The old one under the new root would open what is written from now on.
    fn new_passphrase(&self, context: &Context, vault: &mut Vault) -> Result<Passphrase, Failure> {
        let passphrase = new_credentials::new_passphrase(context, self.new_passphrase_file.as_deref())?;
        match vault.open_passphrase(&passphrase) {
            Ok(_) => Err(Failure::refused(
                "The new passphrase already opens the vault.",
                Some("Choose another one, or use `--keep-passphrase`."),
            )),
            Err(VaultError::Unlock(_)) => Ok(passphrase),
            Err(error) => Err(Failure::of(error, vault.path())),
        }
    }

    /// Access by each key file: a file that opens nothing is more likely the wrong one than a wish for a new slot, and
    /// one that was named twice is one slot.
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

const BELIEVED_UNTIL_CHANGED: &str = "Until it has its new token, a verifier believes anyone who had a session or the root key before the rekey.";

/// The credentials that a rekey invalidates, a line each.
fn told(
    preview: &RekeyPreview,
    kept: &[&Access],
    keep_passphrase: bool,
    overlap: Option<Moment>,
) -> Vec<String> {
    let is_kept = |slot: &&Slot| kept.iter().any(|access| access.slot_id() == Some(slot.id));
    let ends: Vec<_> = preview.slots.iter().filter(|slot| !is_kept(slot)).map(shown).collect();
    let mut lines =
        vec![format!("{} would be sealed under a new root key.", view::counted(preview.keys, "key"))];
    if !ends.is_empty() {
        lines.push(format!("Slots that would no longer open the vault: {}.", ends.join(", ")));
    }
    if !preview.tokens.is_empty() {
        lines.push(format!(
            "Tokens that would get a new secret, and whose bundles would no longer open anything: {}.",
            view::joined(preview.tokens.iter())
        ));
    }
    let (verifiers, issuers) = (&preview.verifiers, &preview.issuers);
    match overlap.filter(|_| !verifiers.is_empty()) {
        Some(ends) => {
            lines.push(format!(
                "Verifiers that would go on with their present tokens until {}: {}.",
                time::local(ends),
                view::joined(verifiers.iter())
            ));
            lines.push(BELIEVED_UNTIL_CHANGED.to_owned());
            if !issuers.is_empty() {
                let issuers = view::joined(issuers.iter());
                lines.push(format!("Issuers that would stop until each has its new token: {issuers}."));
            }
        }
        None if !verifiers.is_empty() || !issuers.is_empty() => {
            let machines = view::joined(verifiers.iter().chain(issuers));
            lines.push(format!(
                "Verifiers and issuers that would stop until each has its new token: {machines}."
            ));
            if !verifiers.is_empty() {
                lines.push("To let verifiers go on meanwhile, use `--overlap 24h`.".to_owned());
            }
        }
        None => {}
    }
    lines.push("Every session would end.".to_owned());
    if keep_passphrase {
        lines.push(
            "The passphrase stays: anyone who knows it can open every new copy of the vault too.".to_owned(),
        );
    }
    lines
}

fn shown(slot: &Slot) -> String {
    format!("slot {} ({})", slot.id, slot.kind.name())
}

fn tokens_json(tokens: &[Issued]) -> Vec<serde_json::Value> {
    let text = |issued: &Issued| String::from_utf8_lossy(issued.token.text().expose()).into_owned();
    let each =
        |issued: &Issued| serde_json::json!({ "name": issued.record.name.as_str(), "token": text(issued) });
    tokens.iter().map(each).collect()
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
    (rekeyed, issued): (&Rekeyed, usize),
    preview: &RekeyPreview,
    recovery: &NewRecovery,
) -> Result<(), Failure> {
    let dropped = rekeyed.dropped.iter();
    if context.ui.json {
        let dropped = dropped.map(super::slot::json);
        let answer = serde_json::json!({
            "vault": vault.path().display().to_string(), "epoch": rekeyed.epoch, "key_count": rekeyed.keys,
            "issued_key_count": issued,
            "dropped": dropped.collect::<Vec<_>>(), "recovery_code": recovery.in_json(),
            "tokens": tokens_json(&rekeyed.tokens), "overlap_until": rekeyed.overlap.map(time::rfc3339),
            "lost_to_damage": loss::json(&rekeyed.loss),
        });
        return recovery.print(context, &answer);
    }
    let dropped: Vec<_> = dropped.map(shown).collect();
    let slots = view::joined(rekeyed.slots.iter().map(|slot| slot.kind.name()));
    // Tokens are data, and alone on stdout.
    let confirm = |text: &str| {
        if rekeyed.tokens.is_empty() {
            return context.ui.confirm(text);
        }
        context.ui.note(text);
        Ok(())
    };
    confirm(&format!(
        "Sealed {} under a new root key. The vault opens with: {slots}.",
        issued::counted_with(rekeyed.keys, issued)
    ))?;
    if !dropped.is_empty() {
        confirm(&format!("No longer open the vault: {}.", dropped.join(", ")))?;
    }
    if rekeyed.loss != preview.loss {
        for line in loss::told(&rekeyed.loss, Tense::Done) {
            context.ui.warn(&line);
        }
    }
    for issued in &rekeyed.tokens {
        let mut line = SecretWriter::with_capacity(256 + issued.token.text().len());
        for part in [issued.record.name.as_str().as_bytes(), b" ", issued.token.text().expose(), b"\n"] {
            line.push(part).map_err(|error| Failure::failed(&error.to_string(), None))?;
        }
        context.ui.data(line.finish().expose())?;
    }
    if !rekeyed.tokens.is_empty() {
        context.ui.note(&match rekeyed.overlap {
            None => {
                "Each token has a new secret, shown above only once. The old ones no longer open anything.".to_owned()
            }
            Some(ends) => format!(
                "Each token has a new secret, shown above only once. Of the old ones, those of verifiers go on until {}; \
                 the others no longer open anything.",
                time::local(ends)
            ),
        });
    }
    context
        .ui
        .note("The values are unchanged, and anyone who has seen them still knows them. Rotate the keys.");
    Ok(())
}
