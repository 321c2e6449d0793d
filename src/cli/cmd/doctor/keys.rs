//! Checks that need an open vault: the keys, how they are used, the slots, and the time of the last entry.

use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::cli::context::Context;
use crate::cli::errors::Failure;
use crate::cli::errors::slot::{REMOVE_STRAYS, is_stray, passed_over};
use crate::cli::errors::vault_file::ways_out;
use crate::cli::output::{time, view};
use crate::cli::unlock::key_source::token_is_given;
use crate::cli::unlock::{alarm, log_gap};
use keyvault_core::clock::Moment;
use keyvault_vault::unlock::session;
use keyvault_vault::{Access, KeyRecord, Status, Usage, Vault, VaultError, file, key, slot};

use super::Report;

const DAY: i64 = 86_400_000;

/// A key that nobody read for so long is one that nobody would miss.
const UNUSED: i64 = 90 * DAY;

/// A new key has so long to be read for the first time.
const SETTLING: i64 = 7 * DAY;

/// A clock may be so far behind the last entry: another machine's entries come with a sync.
const SLACK: i64 = 5 * 60_000;

/// How many names one line holds.
const SHOWN: usize = 10;

/// Everything that needs the vault's keys; without them, that it was not looked at.
pub(super) fn all(context: &Context, vault: &mut Vault, by_keyring: Option<Access>) -> Vec<Report> {
    let now = context.now();
    let by_token = context.refuse_token().is_err();
    let open = vault.session(now).map(Access::from).or(by_keyring).filter(|_| !token_is_given());
    let access = match open.map_or_else(|| context.given_access(vault), |access| Ok(Some(access))) {
        Ok(Some(access)) => access,
        Ok(None) => {
            let why = if by_token {
                "skipped: a token is given, which opens its keys alone (`env -u KEYVAULT_TOKEN keyvault doctor`)"
            } else if session::current(&vault.identity(), now).is_some() {
                "skipped: the session is limited (`keyvault unlock`)"
            } else {
                "skipped: the vault is locked (`keyvault unlock`)"
            };
            let skipped = |check| Report::skipped(check, why);
            let clock = modified(vault.path(), now);
            let reports = [slots(vault, None), vec![clock, skipped("slots"), skipped("keys")]];
            return reports.concat();
        }
        Err(failure) => {
            let reports = vec![modified(vault.path(), now), Report::failure("keys", failure)];
            return [slots(vault, None), reports].concat();
        }
    };
    let path = vault.path().to_owned();
    // A vault that does not open is reported below.
    let standing = vault.read(&access, |tx| Ok(tx.standing())).ok();
    let alarm = standing.and_then(|standing| alarm(standing).zip(Some(standing))).map(|(alarm, standing)| {
        Report::finding(
            "alarm",
            format!("the vault is {alarm}; no values are released"),
            ways_out(standing, &path),
        )
    });
    let gap = file::missing_entries(vault, &access).ok().flatten().map(|gap| {
        Report::finding(
            "audit log",
            log_gap(gap),
            "The next change records it. If there was no power cut: keyvault vault rekey",
        )
    });
    let looked_at = looked_at(vault, &access, now)
        .unwrap_or_else(|error| vec![Report::failure("keys", Failure::of(error, &path))]);
    alarm.into_iter().chain(gap).chain(slots(vault, Some(&access))).chain(looked_at).collect()
}

/// The slots that are passed over; without a key, those that show by themselves.
fn slots(vault: &mut Vault, access: Option<&Access>) -> Vec<Report> {
    let with_tree = access.and_then(|access| slot::passed_over(vault, Some(access)).ok());
    let found = with_tree.or_else(|| slot::passed_over(vault, None).ok()).unwrap_or_default();
    let sentences = passed_over(&found);
    let remedy = if found.iter().any(is_stray) { REMOVE_STRAYS } else { "keyvault vault slot list" };
    sentences.into_iter().map(|sentence| Report::finding("slots", sentence, remedy)).collect()
}

fn looked_at(vault: &mut Vault, access: &Access, now: Moment) -> Result<Vec<Report>, VaultError> {
    let usage = key::usage(vault, access)?;
    let keys = key::list(vault, access)?;
    let roots = slot::list(vault, access)?.iter().filter(|slot| slot.kind.gives_root()).count();
    let slots = if roots < 2 {
        Report::finding(
            "slots",
            "only one slot gives full access; if it is lost, so is the vault",
            "keyvault vault slot add recovery --recovery-file FILE, then keep the file elsewhere",
        )
    } else {
        Report::ok("slots", format!("{roots} give full access"))
    };
    let mut reports = vec![clock(&usage, now), slots];
    let before = reports.len();
    reports.extend(expired(&keys, now));
    reports.extend(unused(&keys, &usage, now));
    if reports.len() == before {
        reports.push(Report::ok(
            "keys",
            format!("{}, none expired, none unused", view::counted(keys.len(), "key")),
        ));
    }
    Ok(reports)
}

fn clock(usage: &Usage, now: Moment) -> Report {
    match usage.last_entry {
        Some(last) if last.0 > now.0.saturating_add(SLACK) => {
            behind("the last entry of the audit log", last, now)
        }
        _ => Report::ok("clock", "not behind the last entry of the audit log"),
    }
}

/// Without the log, the file's own time must do.
fn modified(path: &Path, now: Moment) -> Report {
    let changed = std::fs::metadata(path)
        .and_then(|facts| facts.modified())
        .ok()
        .and_then(|at| i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok().map(Moment));
    match changed {
        Some(at) if at.0 > now.0.saturating_add(SLACK) => behind("the last change of the file", at, now),
        _ => Report::ok("clock", "not behind the last change of the file"),
    }
}

fn behind(what: &str, then: Moment, now: Moment) -> Report {
    Report::finding(
        "clock",
        format!("the clock is {} behind {what} ({})", time::between(now, then), time::local(then)),
        "Set the clock: timedatectl set-ntp true. If it is right now, it was wrong then, and nothing is lost.",
    )
}

fn expired(keys: &[KeyRecord], now: Moment) -> Option<Report> {
    let names: Vec<_> = keys
        .iter()
        .filter(|key| key.status(now) == Status::Expired)
        .map(|key| key.name.to_string())
        .collect();
    (!names.is_empty()).then(|| {
        Report::finding(
            "expired keys",
            listed(&names),
            "`keyvault rotate NAME`, `keyvault edit NAME --expires 30d`, or `keyvault remove NAME`",
        )
    })
}

fn unused(keys: &[KeyRecord], usage: &Usage, now: Moment) -> Option<Report> {
    let names: Vec<_> = keys
        .iter()
        .filter(|key| key.status(now) == Status::Active)
        .filter_map(|key| {
            let read = usage.last_read.get(key.name.as_str()).filter(|at| **at >= key.created);
            let (since, limit, word) = match read {
                Some(at) => (*at, UNUSED, "last read"),
                None => (key.created, SETTLING, "never read, created"),
            };
            let long = now.0.saturating_sub(since.0) >= limit;
            long.then(|| format!("{} ({word} {})", key.name, time::relative(since, now)))
        })
        .collect();
    (!names.is_empty()).then(|| {
        Report::finding(
            "unused keys",
            listed(&names),
            "Revoke what nobody needs at its provider, then run `keyvault revoke NAME` or `keyvault remove NAME`.",
        )
    })
}

fn listed(names: &[String]) -> String {
    let mut text = view::joined(names.iter().take(SHOWN));
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
