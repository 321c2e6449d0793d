//! `keyvault vault slot`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::confirm;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::slot::is_stray;
use crate::cli::errors::{Failure, code};
use crate::cli::output::table::{Column, Table};
use crate::cli::output::view;
use crate::cli::unlock::keyring::sentence;
use crate::cli::unlock::new_credentials::RecoveryPlace;
use keyvault_core::crypto::SystemRng;
use keyvault_os::fs::private;
use keyvault_vault::unlock::keyfile::KeyFile;
use keyvault_vault::unlock::os_keyring::{self, LIMIT, NoAnswer};
use keyvault_vault::unlock::slot::SlotKind;
use keyvault_vault::{Access, Credential, Slot, Vault, VaultError, slot};

/// List, add and remove the slots that open the vault.
#[derive(Debug, Subcommand)]
pub(crate) enum SlotCommand {
    List(List),
    #[command(subcommand)]
    Add(Add),
    Remove(Remove),
}

/// List the slots.
#[derive(Debug, Args)]
pub(crate) struct List {}

/// Add a slot.
#[derive(Debug, Subcommand)]
pub(crate) enum Add {
    Keyfile(AddKeyFile),
    Keyring(AddKeyring),
    Recovery(AddRecovery),
}

/// Add a slot for a new key file.
///
/// Anyone with the file and the vault can open it. KEYVAULT_KEY_FILE names the file to every command.
#[derive(Debug, Args)]
pub(crate) struct AddKeyFile {
    /// The new file
    file: PathBuf,
}

/// Add a slot for this user's keyring on this machine.
///
/// This is the keyring that the desktop unlocks at login: Secret Service on Linux (GNOME Keyring, KWallet, KeePassXC),
/// Keychain on macOS. While it is unlocked, commands open the vault without a prompt. It gives everyday access, as a session
/// does: adding slots, rekeying and adopting a vault still need the passphrase. KEYVAULT_KEYRING=off turns it off.
#[derive(Debug, Args)]
pub(crate) struct AddKeyring {}

/// Add a slot for a new recovery code.
#[derive(Debug, Args)]
pub(crate) struct AddRecovery {
    /// Write the recovery code to a new file
    #[arg(long, value_name = "FILE")]
    recovery_file: Option<PathBuf>,
}

/// Remove a slot; the last one stays.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The slot's number, as `keyvault vault slot list` shows it
    #[arg(required_unless_present = "strays", add = complete::slots())]
    number: Option<u32>,
    /// Remove every slot that does not belong to the vault
    #[arg(long, conflicts_with = "number")]
    strays: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl SlotCommand {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::List(List {}) => list(context),
            Self::Add(Add::Keyfile(args)) => args.run(context),
            Self::Add(Add::Keyring(AddKeyring {})) => add_keyring(context),
            Self::Add(Add::Recovery(args)) => args.run(context),
            Self::Remove(args) => args.run(context),
        }
    }
}

fn list(context: &Context) -> Result<u8, Failure> {
    let (mut vault, access) = context.open_to_look()?;
    let path = vault.path().to_owned();
    let failed = |error: VaultError| Failure::of(error, &path);
    let slots = slot::list(&mut vault, &access).map_err(failed)?;
    let passed_over = slot::passed_over(&mut vault, Some(&access)).map_err(failed)?;
    context.name_slots(&mut vault, Some(&access));
    if context.ui.json {
        let slots: Vec<_> = slots.iter().map(json).collect();
        let passed_over: Vec<_> = passed_over
            .iter()
            .map(|passed| serde_json::json!({ "slot": passed.slot, "why": passed.why.to_string() }))
            .collect();
        context.ui.print_json(&serde_json::json!({ "slots": slots, "passed_over": passed_over }))?;
    } else {
        let mut table = Table::new([
            Column::number("SLOT"),
            Column::whole("KIND"),
            Column::broken("ABOUT").last_spare(1),
        ]);
        for slot in &slots {
            table.row([slot.id.to_string(), slot.kind.name().to_owned(), about(slot)]);
        }
        context.ui.data(table.text(&context.ui).as_bytes())?;
    }
    Ok(code::DONE)
}

pub(super) fn json(slot: &Slot) -> serde_json::Value {
    let cost = match slot.kind {
        SlotKind::Passphrase(cost) => Some(serde_json::json!({
            "memory_kib": cost.memory_kib, "passes": cost.passes, "lanes": cost.lanes,
        })),
        SlotKind::Recovery | SlotKind::Keyring | SlotKind::KeyFile => None,
    };
    serde_json::json!({ "slot": slot.id, "kind": slot.kind.name(), "cost": cost })
}

fn added_json(slot: &Slot, file: Option<&str>, recovery_code: &serde_json::Value) -> serde_json::Value {
    serde_json::json!({ "slots": [json(slot)], "file": file, "recovery_code": recovery_code })
}

fn about(slot: &Slot) -> String {
    match slot.kind {
        SlotKind::Passphrase(cost) => {
            let passes = view::counted(usize::try_from(cost.passes).unwrap_or(usize::MAX), "pass");
            format!("Argon2id, {} MiB, {passes}", cost.memory_kib / 1024)
        }
        SlotKind::Keyring => "everyday access only".to_owned(),
        SlotKind::Recovery | SlotKind::KeyFile => String::new(),
    }
}

impl AddKeyFile {
    fn run(self, context: &Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_with_root()?;
        let path = vault.path().to_owned();
        let failed = |error: VaultError| Failure::of(error, &path);
        let key_file = KeyFile::create(&SystemRng).map_err(|error| failed(error.into()))?;
        let line = key_file.line().map_err(|error| failed(error.into()))?;
        // The file first: a slot whose file was lost would only be in the way.
        private::write_private(&self.file, line.expose())
            .map_err(|error| Failure::making(&self.file, &error))?;
        let added = context
            .with_world(|world| {
                slot::add(&mut vault, &access, world, Credential::KeyFile(&key_file)).map_err(failed)
            })
            .inspect_err(|failure| {
                if !failure.is_undecided() {
                    let _ = std::fs::remove_file(&self.file);
                }
            })?;
        let file = self.file.display().to_string();
        if context.ui.json {
            context.ui.print_json(&added_json(&added, Some(&file), &serde_json::Value::Null))?;
        } else {
            context.ui.confirm(&format!(
                "Slot {} opens with {file}. Set KEYVAULT_KEY_FILE to its path.",
                added.id
            ))?;
        }
        Ok(code::DONE)
    }
}

fn add_keyring(context: &Context) -> Result<u8, Failure> {
    let (mut vault, access) = context.open_with_root()?;
    let added = context.add_keyring(&mut vault, &access)?;
    if context.ui.json {
        context.ui.print_json(&added_json(&added, None, &serde_json::Value::Null))?;
    } else {
        context.ui.confirm(&format!(
            "Slot {} opens with this user's keyring. While the keyring is unlocked, so is the vault.",
            added.id
        ))?;
    }
    Ok(code::DONE)
}

impl AddRecovery {
    fn run(self, context: &Context) -> Result<u8, Failure> {
        let interactive = context.may_ask();
        let place = RecoveryPlace::needed(self.recovery_file);
        place.require(context, interactive)?;
        let (mut vault, access) = context.open_with_root()?;
        let path = vault.path().to_owned();
        let recovery = place.make(context, interactive)?;
        let code = recovery
            .code
            .as_ref()
            .ok_or_else(|| Failure::failed("No recovery code was created.", Some("Nothing was changed.")))?;
        let added = context
            .with_world(|world| {
                slot::add(&mut vault, &access, world, Credential::Recovery(code))
                    .map_err(|error| Failure::of(error, &path))
            })
            .inspect_err(|failure| recovery.withdraw(failure))?;
        if context.ui.json {
            recovery.print(context, &added_json(&added, None, &recovery.in_json()))?;
        } else {
            context.ui.confirm(&format!("Slot {} opens with the recovery code.", added.id))?;
            recovery.tell(context);
        }
        Ok(code::DONE)
    }
}

impl Remove {
    fn run(self, context: &Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_with_root()?;
        let path = vault.path().to_owned();
        let failed = |error: VaultError| Failure::of(error, &path);
        let Some(number) = self.number else { return self.strays(context, &mut vault, &access) };
        let slots = slot::list(&mut vault, &access).map_err(failed)?;
        let Some(slot) = slots.iter().find(|slot| slot.id == number) else {
            return Err(failed(VaultError::NoSuchSlot { id: number }));
        };
        let codes = slots.iter().filter(|slot| slot.kind == SlotKind::Recovery).count();
        if slot.kind == SlotKind::Recovery && codes == 1 {
            context.ui.warn(
                "This is the only recovery code. Without one, a lost passphrase cannot be replaced. Create another: \
                 keyvault vault slot add recovery",
            );
        }
        confirm(context, self.yes, &format!("Remove slot {} ({})?", slot.id, slot.kind.name()))?;
        let entry = match slot.kind {
            SlotKind::Keyring => Some(context.keyring_opens(&mut vault, *slot)?),
            _ => None,
        };
        let removed =
            context.with_world(|world| slot::remove(&mut vault, &access, world, *slot).map_err(failed))?;
        // The slot first: an entry without a slot opens nothing, and a slot without its entry asks for it at each command.
        let forgotten = match entry {
            Some(Ok(true)) => os_keyring::forget(&vault.identity(), LIMIT),
            Some(Err(why)) => Err(why),
            Some(Ok(false)) | None => Ok(()),
        };
        if context.ui.json {
            context.ui.print_json(&serde_json::json!({ "slots": [json(&removed)] }))?;
        } else {
            context.ui.confirm(&format!(
                "Slot {} ({}) no longer opens this vault. Older copies still open with it.",
                removed.id,
                removed.kind.name()
            ))?;
            let left = slots.iter().filter(|slot| slot.id != removed.id && slot.kind.gives_root()).count();
            if left == 1 {
                context.ui.warn("Only one slot with full access is left. If it is lost, so is the vault.");
            }
        }
        match forgotten {
            Ok(()) | Err(NoAnswer::NoEntry | NoAnswer::Stale) => {}
            Err(why) => context.ui.warn(&format!(
                "The keyring may still have the entry, which no longer opens this vault: {}",
                sentence(&why)
            )),
        }
        Ok(code::DONE)
    }

    fn strays(&self, context: &Context, vault: &mut Vault, access: &Access) -> Result<u8, Failure> {
        let path = vault.path().to_owned();
        let failed = |error: VaultError| Failure::of(error, &path);
        let mut strays = slot::passed_over(vault, Some(access)).map_err(failed)?;
        strays.retain(is_stray);
        if strays.is_empty() {
            return Err(failed(VaultError::NoStrays));
        }
        confirm(context, self.yes, "Remove every slot that does not belong to the vault?")?;
        context.with_world(|world| slot::remove_strays(vault, access, world).map_err(failed))?;
        if context.ui.json {
            let strays = strays
                .iter()
                .map(|stray| serde_json::json!({ "slot": stray.slot, "kind": null, "cost": null }));
            context.ui.print_json(&serde_json::json!({ "slots": strays.collect::<Vec<_>>() }))?;
        } else {
            context.ui.confirm("Every slot now belongs to the vault.")?;
        }
        Ok(code::DONE)
    }
}
