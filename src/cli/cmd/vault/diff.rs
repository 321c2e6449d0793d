//! `keyvault vault diff`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::context::{Context, state_folder};
use crate::cli::errors::{Failure, code, vault_file};
use crate::cli::output::table::{Column, Table};
use crate::cli::output::{self, time, view};
use crate::cli::unlock::alarm;
use crate::cli::unlock::order::ORDER;
use keyvault_core::clock::Moment;
use keyvault_core::name::KeyName;
use keyvault_os::fs::vault_file::FileFault;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::{
    Access, Compared, Comparison, Contents, Field, KeyRecord, Vault, VaultError, Version, VersionPair,
    VersionState, file,
};

/// Compare the vault with another copy of it, key by key.
///
/// OTHER is a conflict copy that a sync service left, or a backup. Keys with a version that is revoked in one copy only come
/// first, then keys that only OTHER has, keys that differ, and keys that only the vault here has. Keys that are the same are
/// counted. Shows no values, changes neither file, records nothing, and works in an alarm. The exit code is 0 whether or not
/// the copies differ. `keyvault vault restore OTHER --only NAME` takes keys over from OTHER.
///
/// OTHER opens with what opens the vault. If it was made before or after a rekey, it asks for that copy's passphrase, or
/// takes it from KEYVAULT_PASSPHRASE_FILE while a session is open.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The other copy
    other: PathBuf,
}

/// A vault and another copy of it, both open.
pub(super) struct Copies<'f> {
    pub(super) vault: Vault,
    pub(super) access: Access,
    pub(super) copy: Vault,
    /// Opens the copy, if what opens the vault does not.
    pub(super) own: Option<Access>,
    file: &'f Path,
}

impl Diff {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let (mut copies, here) = Copies::open(context, &self.other, |_, _| Ok(()))?;
        let path = copies.vault.path().to_owned();
        let standing = file::standing(&mut copies.vault, &copies.access);
        let (standing, notice) = standing.map_err(|error| Failure::of(error, &path))?;
        let alarm = alarm(standing);
        if let Some(notice) = notice {
            context.tell(&notice);
        }
        if let Some(alarm) = alarm {
            context.ui.warn(&format!("The vault is {alarm}."));
        }
        let now = context.now();
        let comparison = copies.compare(here, now)?;
        if context.ui.json {
            let keys: Vec<_> = comparison.keys.iter().map(|key| key_json(key, now)).collect();
            context.ui.print_json(&json!({
                "keys": keys, "same": comparison.same, "alarm": alarm,
                "change": { "here": comparison.here.change, "other": comparison.there.change },
                "own_changes": { "here": comparison.ahead, "other": comparison.behind },
            }))?;
            return Ok(code::DONE);
        }
        context.ui.line(&summary(&comparison, &self.other))?;
        if !comparison.keys.is_empty() {
            context.ui.data(table(&comparison, now, context).as_bytes())?;
        }
        if let Some(next) = next(&comparison, &self.other, alarm.is_some(), now) {
            context.ui.note(&next);
        }
        Ok(code::DONE)
    }
}

impl<'f> Copies<'f> {
    /// Opens both, and reads what the vault has. `check` looks at the vault before anything is asked about the copy.
    pub(super) fn open(
        context: &Context,
        file: &'f Path,
        check: impl FnOnce(&mut Vault, &Access) -> Result<(), VaultError>,
    ) -> Result<(Self, Contents), Failure> {
        let pins = Pins::in_folder(state_folder()?.join("pins"));
        let mut copy = Vault::open_untouched(file, &pins).map_err(|error| match error {
            VaultError::File(FileFault::NotFound { .. }) => {
                Failure::io(file, &std::io::ErrorKind::NotFound.into())
            }
            error => vault_file::backup(error, file),
        })?;
        let mut vault = context.open()?;
        file::refuse_other(&copy, &vault).map_err(|error| not_a_copy(error, file))?;
        let access = context.access(&mut vault, &ORDER)?;
        let path = vault.path().to_owned();
        let failed = |error| Failure::of(error, &path);
        check(&mut vault, &access).map_err(failed)?;
        // The slot that was opened is held against the tree here; the copy may have other ones.
        let here = file::contents(&mut vault, &access).map_err(failed)?;
        let access = access.without_root();
        let opens = file::opens(&mut copy, &access).map_err(|error| vault_file::backup(error, file))?;
        let own = if opens { None } else { Some(context.access_of_copy(&mut copy, file)?.without_root()) };
        Ok((Self { vault, access, copy, own, file }, here))
    }

    pub(super) fn compare(&mut self, here: Contents, now: Moment) -> Result<Comparison, Failure> {
        let failed = |error| vault_file::backup(error, self.file);
        let opens = self.own.as_ref().unwrap_or(&self.access);
        let there = file::contents(&mut self.copy, opens).map_err(failed)?;
        let (vault, copy) = ((here, &mut self.vault, &self.access), (there, &mut self.copy, opens));
        file::compare(vault, copy, now).map_err(failed)
    }
}

fn not_a_copy(error: VaultError, file: &Path) -> Failure {
    let shown = file.display();
    match error {
        VaultError::BackupOfItself => Failure::refused(
            &format!("{shown} is the vault itself."),
            Some("Name another copy of it: a backup, or a file that a sync service left."),
        ),
        VaultError::AnotherVault => Failure::refused(
            &format!("{shown} is no copy of this vault, but another vault."),
            Some(&format!("To see its keys: keyvault list --vault {}", output::quoted(file))),
        ),
        error => vault_file::backup(error, file),
    }
}

fn summary(comparison: &Comparison, other: &Path) -> String {
    let Comparison { here, there, keys, same, ahead, behind, .. } = comparison;
    let other = other.display();
    let were = |count: usize| if count == 1 { "was" } else { "were" };
    let history = match (*ahead, *behind) {
        (0, 0) => String::new(),
        (0, there) => format!(" {other} has every change of the vault here, and {there} more."),
        (here, 0) => format!(" The vault here has every change of {other}, and {here} more."),
        (here, there) => {
            let changes = view::counted(here, "change");
            format!(" {changes} {} made here only, {there} in {other} only.", were(here))
        }
    };
    let same = match same {
        1 => "1 key is the same".to_owned(),
        same => format!("{} are the same", view::counted(*same, "key")),
    };
    let differ = match keys.len() {
        0 => "none differs".to_owned(),
        1 => "1 differs".to_owned(),
        count => format!("{count} differ"),
    };
    let (here, there) = (here.change, there.change);
    format!("The vault here is at change {here}, {other} at change {there}.{history} {same}, {differ}.")
}

/// The command that brings home what the copy has besides: the whole copy, if it goes on from the vault here.
fn next(comparison: &Comparison, other: &Path, alarm: bool, now: Moment) -> Option<String> {
    /// More names than these are chosen by hand.
    const NAMED: usize = 20;
    let file = output::quoted(other);
    if comparison.ahead == 0 && comparison.behind > 0 {
        let shown = other.display();
        return Some(format!("To put {shown} in the vault's place:\n  keyvault vault restore {file}"));
    }
    let offered = comparison.offered(now);
    if offered.is_empty() {
        return None;
    }
    let names = if offered.len() > NAMED {
        "NAME…".to_owned()
    } else {
        offered.iter().map(KeyName::as_str).collect::<Vec<_>>().join(" ")
    };
    let (adopt, first) = if alarm {
        ("  keyvault vault restore --adopt\n", "To keep the vault here and take over what it lacks")
    } else {
        ("", "To take over what the vault here lacks")
    };
    Some(format!("{first}:\n{adopt}  keyvault vault restore {file} --only {names}"))
}

fn table(comparison: &Comparison, now: Moment, context: &Context) -> String {
    let mut table = Table::new([
        Column::whole("KEY"),
        Column::broken("DIFFERS"),
        Column::broken("HERE"),
        Column::broken("OTHER"),
    ]);
    for key in &comparison.keys {
        let name = key.name().map(ToString::to_string).unwrap_or_default();
        for [what, here, other] in rows(key, comparison.has_another(key), now) {
            table.row([name.clone(), what, here, other]);
        }
    }
    table.text(&context.ui)
}

/// A line for each fact that differs; what is revoked in one copy only comes first.
fn rows(key: &Compared, has_another: bool, now: Moment) -> Vec<[String; 3]> {
    let absent = || match key.removed {
        Some(at) => format!("removed {}", time::relative(at, now)),
        None if has_another => "another key has this name".to_owned(),
        None => "-".to_owned(),
    };
    let mut rows = Vec::new();
    match (&key.here, &key.there) {
        (Some(here), Some(there)) => {
            let (revoked, others): (Vec<_>, Vec<_>) =
                key.versions.iter().partition(|pair| is_revoked_on_one_side(pair));
            rows.extend(revoked.into_iter().map(|pair| version_row(pair, now)));
            rows.extend(forgotten(key, now));
            rows.extend(others.into_iter().map(|pair| version_row(pair, now)));
            rows.extend(key.fields.iter().map(|field| field_row(*field, here, there, now)));
        }
        (None, Some(there)) => {
            rows.extend(forgotten(key, now));
            rows.push(["only other".to_owned(), absent(), whole(there, now)]);
        }
        (Some(here), None) => {
            rows.extend(forgotten(key, now));
            rows.push(["only here".to_owned(), whole(here, now), absent()]);
        }
        (None, None) => {}
    }
    rows
}

fn is_revoked_on_one_side(pair: &VersionPair) -> bool {
    let revoked = |version: &Version| version.state == VersionState::Revoked;
    pair.here
        .as_ref()
        .zip(pair.there.as_ref())
        .is_some_and(|(here, there)| here.created == there.created && revoked(here) != revoked(there))
}

/// Versions that only the log of a copy still knows to be revoked: the key, or their place in it, is gone there.
fn forgotten(key: &Compared, now: Moment) -> Vec<[String; 3]> {
    const REVOKED: &str = "REVOKED before";
    let listed = |number: u32| {
        key.versions.iter().filter(|pair| is_revoked_on_one_side(pair)).any(|pair| {
            [&pair.here, &pair.there].into_iter().flatten().any(|version| version.number == number)
        })
    };
    let state = |record: &Option<KeyRecord>, number: u32| {
        let version = record.as_ref().and_then(|record| record.version(number));
        version.map(|version| state(version, now)).unwrap_or_default()
    };
    let of = |number: u32| format!("version {number}");
    let here = key.revoked_here.iter().filter(|number| !listed(**number));
    let here = here.map(|number| [of(*number), REVOKED.to_owned(), state(&key.there, *number)]);
    let other = key.revoked_there.iter().filter(|number| !listed(**number));
    here.chain(other.map(|number| [of(*number), state(&key.here, *number), REVOKED.to_owned()])).collect()
}

fn version_row(pair: &VersionPair, now: Moment) -> [String; 3] {
    let number = |version: &Option<Version>| version.as_ref().map(|version| version.number);
    let what = match (number(&pair.here), number(&pair.there)) {
        (Some(here), Some(there)) if here != there => format!("version {here}, there {there}"),
        (here, there) => format!("version {}", here.or(there).unwrap_or_default()),
    };
    let cell = |one: &Option<Version>, other: &Option<Version>| match (one, other) {
        (Some(version), Some(_)) => state(version, now),
        (Some(version), None) => format!("{}, {}", state(version, now), made(version, now)),
        (None, _) => "-".to_owned(),
    };
    [what, cell(&pair.here, &pair.there), cell(&pair.there, &pair.here)]
}

/// A key that the other copy does not have.
fn whole(key: &KeyRecord, now: Moment) -> String {
    let version = match key.current() {
        Some(version) => format!("version {}, {}", version.number, made(version, now)),
        None => "REVOKED".to_owned(),
    };
    let disabled = if key.disabled.is_some() { ", DISABLED" } else { "" };
    let expired = if key.expired(now) { ", EXPIRED" } else { "" };
    format!("{version}{disabled}{expired}")
}

fn made(version: &Version, now: Moment) -> String {
    let by = output::harmless_line(&version.made_by);
    format!("made {} by {by}", time::relative(version.created, now))
}

/// `current`, `previous, valid for 23h`, `REVOKED 2h ago: leaked`
fn state(version: &Version, now: Moment) -> String {
    let mut text = match version.state_at(now) {
        VersionState::Revoked => format!("REVOKED {}", time::relative(version.in_state_since(), now)),
        state => state.name().to_owned(),
    };
    if version.digest.is_none() {
        text += ", wiped";
    }
    if let Some(until) = version.good_until().filter(|until| *until > now) {
        text += &format!(", valid for {}", time::between(now, until));
    }
    if !version.reason.is_empty() {
        text += &format!(": {}", output::harmless_line(&version.reason));
    }
    text
}

fn field_row(field: Field, here: &KeyRecord, there: &KeyRecord, now: Moment) -> [String; 3] {
    let told = |key: &KeyRecord| match field {
        Field::Name => key.name.to_string(),
        Field::Variable => key.variable.to_string(),
        Field::Scopes => view::joined(key.scopes.iter()),
        Field::Tags => view::joined(
            key.tags.iter().map(|(tag, value)| format!("{tag}={}", output::harmless_line(value))),
        ),
        Field::Note => told_text(&key.note),
        Field::Owner => told_text(&key.owner),
        Field::DisplayName => told_text(&key.display_name),
        Field::Expiry => key.expires.map_or_else(|| "never".to_owned(), |at| view::when(at, now)),
        Field::Recipe => recipe(key).unwrap_or_else(|| "not generated".to_owned()),
        Field::Disabled => view::disabled(key, now).unwrap_or_else(|| "no".to_owned()),
    };
    [word(field).to_owned(), told(here), told(there)]
}

fn recipe(key: &KeyRecord) -> Option<String> {
    key.recipe.as_ref().map(view::recipe)
}

fn told_text(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { output::harmless_line(text) }
}

fn word(field: Field) -> &'static str {
    match field {
        Field::Name => "name",
        Field::Variable => "variable",
        Field::Scopes => "scopes",
        Field::Tags => "tags",
        Field::Note => "note",
        Field::Expiry => "expires",
        Field::Recipe => "recipe",
        Field::Owner => "owner",
        Field::DisplayName => "display name",
        Field::Disabled => "disabled",
    }
}

fn key_json(key: &Compared, now: Moment) -> Value {
    let id = key.here.as_ref().or(key.there.as_ref()).map(|key| data_encoding::HEXLOWER.encode(&key.id));
    let mut differs = Vec::new();
    differs.extend(key.is_revoked_on_one_side().then_some("revoked"));
    differs.extend((!key.versions.is_empty()).then_some("versions"));
    differs.extend(key.fields.iter().map(|field| match field {
        Field::DisplayName => "display_name",
        field => word(*field),
    }));
    json!({
        "id": id,
        "name": key.name().map(KeyName::as_str),
        "in": match (&key.here, &key.there) {
            (Some(_), None) => "here",
            (None, _) => "other",
            (Some(_), Some(_)) => "both",
        },
        "differs": differs,
        "removed": key.removed.map(time::rfc3339),
        "revoked": { "here": key.revoked_here, "other": key.revoked_there },
        "here": key.here.as_ref().map(|key| side_json(key, now)),
        "other": key.there.as_ref().map(|key| side_json(key, now)),
    })
}

fn side_json(key: &KeyRecord, now: Moment) -> Value {
    let versions = key.versions.iter().map(|version| {
        json!({
            "version": version.number,
            "state": version.state_at(now).name(),
            "wiped": version.digest.is_none(),
            "reason": view::some(&version.reason),
            "created": time::rfc3339(version.created),
            "since": time::rfc3339(version.in_state_since()),
            "made_by": version.made_by,
        })
    });
    json!({
        "name": key.name.as_str(),
        "variable": key.variable.as_str(),
        "display_name": view::some(&key.display_name),
        "owner": view::some(&key.owner),
        "scopes": key.scopes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "tags": key.tags.iter().map(|(tag, value)| (tag.to_string(), value.clone())).collect::<std::collections::BTreeMap<_, _>>(),
        "note": view::some(&key.note),
        "disabled": view::disabled_json(key),
        "expires": key.expires.map(time::rfc3339),
        "recipe": key.recipe.as_ref().map(|recipe| recipe.kind().name()),
        "versions": versions.collect::<Vec<_>>(),
    })
}
