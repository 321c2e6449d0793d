//! The sentences for what is wrong with keys that are asked for.

use std::fmt::Display;
use std::path::Path;

use keyvault_core::name::refused::Refused;
use keyvault_exec::fit::Misfit;
use keyvault_exec::release::{Problem, Refusal, ReleaseError};

use keyvault_vault::TokenKind;

use super::delivery_sentences;
use super::sentences::{list, looks_like_a_value};
use super::{Failure, code};
use crate::cli::output::time;

impl Failure {
    /// Why nothing was released from the vault or bundle at `path`.
    pub(in crate::cli) fn release(error: ReleaseError, path: &Path) -> Self {
        match error {
            ReleaseError::Vault(error) => Self::of(error, path),
            ReleaseError::Refused(refusal) => self::refusal(&refusal),
        }
    }
}

/// Returns `true` if nothing is wrong but that keys or scopes are not there.
pub(in crate::cli) fn only_missing(Refusal { problems, misfits }: &Refusal) -> bool {
    misfits.is_empty() && problems.iter().all(is_missing)
}

fn is_missing(problem: &Problem) -> bool {
    match problem {
        Problem::Asked { problem, .. } => is_missing(problem),
        problem => matches!(
            problem,
            Problem::Missing { .. }
                | Problem::NotGranted { .. }
                | Problem::Swapped { .. }
                | Problem::NoSuchScope { .. }
        ),
    }
}

/// Everything that is wrong with what was asked for, a line each.
pub(in crate::cli) fn lines(Refusal { problems, misfits }: &Refusal) -> impl Iterator<Item = String> {
    problems.iter().map(problem_line).chain(misfits.iter().map(misfit_line))
}

fn refusal(refusal: &Refusal) -> Failure {
    let only_missing = only_missing(refusal);
    let (code, kind) = if only_missing { (code::NOT_FOUND, "not_found") } else { (code::REFUSED, "refused") };
    let mut message = "Cannot release the keys:".to_owned();
    for line in lines(refusal) {
        message.push_str("\n  ");
        message.push_str(&line);
    }
    let problems = &refusal.problems;
    let any = |kind: fn(&Problem) -> bool| problems.iter().any(kind);
    let ungranted = problems.iter().any(|problem| is_ungranted(problem, TokenKind::Bearer));
    let limited = problems.iter().any(|problem| is_ungranted(problem, TokenKind::Session));
    // These lines hold their own remedy.
    let only_swapped = problems.iter().all(|problem| matches!(problem, Problem::Swapped { .. }));
    let remedies = [
        (
            any(|problem| matches!(problem, Problem::Expired { .. })),
            "Extend expired keys (`keyvault edit NAME --expires 30d`), or leave them out (`--skip-expired`).",
        ),
        (
            any(|problem| matches!(problem, Problem::Disabled(_))),
            "Enable disabled keys (`keyvault enable NAME`), or leave them out (`--skip-expired`).",
        ),
        (
            any(|problem| matches!(problem, Problem::Revoked(_))),
            "Give a revoked key a new value with `keyvault rotate NAME`.",
        ),
        (
            any(|problem| matches!(problem, Problem::Withheld(_))),
            "Make a key available to project files with `keyvault edit NAME --untag project`.",
        ),
        (
            any(|problem| matches!(problem, Problem::Version { .. })),
            "See a key's versions with `keyvault history NAME`.",
        ),
        (
            problems.iter().any(is_unapproved),
            "Approve the file's defaults with `keyvault project approve`, or use them as they are with `--unapproved-defaults`.",
        ),
        (limited, "The open session is limited. Open a full one, which ends it: keyvault unlock"),
        (ungranted, "The vault's owner can see what a token opens with `keyvault token show NAME`."),
        (
            only_missing && !ungranted && !limited && !only_swapped
                || any(|problem| matches!(problem, Problem::NothingLeft)),
            "Run `keyvault list` to see all keys with their variables, scopes and status.",
        ),
    ];
    let hint: Vec<_> = remedies.iter().filter(|(fits, _)| *fits).map(|(_, remedy)| *remedy).collect();
    Failure::new(code, kind, message, (!hint.is_empty()).then(|| hint.join("\n")).as_deref())
}

pub(in crate::cli) fn problem_line(problem: &Problem) -> String {
    match problem {
        Problem::Asked { variable, problem } => {
            let mend = mend(problem).map(|command| format!(" ({command})")).unwrap_or_default();
            format!("{variable} <- {}{mend}", problem_line(problem))
        }
        Problem::Missing { wanted, near: None } | Problem::NotGranted { wanted, near: None, .. }
            if looks_like_a_value(wanted.as_str()) =>
        {
            "no such key; its name is not shown, because it looks like a value".to_owned()
        }
        Problem::Withheld(name) => format!("{name}: not available to project files (tag project=never)"),
        Problem::Version { name, version, state: None } => format!("{name}: it has no version {version}"),
        Problem::Version { name, version, state: Some(state) } => {
            format!("{name}: version {version} is {state}")
        }
        Problem::Missing { wanted, near } => {
            format!("{wanted}: no such key{}", meant(near.as_ref()))
        }
        Problem::NotGranted { wanted, near, kind } => {
            format!("{wanted}: the {} opens no such key{}", holder(*kind), meant(near.as_ref()))
        }
        Problem::Swapped { variable, name, to_file } => {
            let option = if *to_file { "--file" } else { "--as" };
            format!("{variable}: no such key, but {name} is one; swap the sides: {option} {variable}={name}")
        }
        Problem::NoSuchScope { wanted, near, kind: Some(kind @ TokenKind::Session) } => {
            format!("scope {wanted}: the {} opens no key with it{}", holder(*kind), meant(near.as_ref()))
        }
        Problem::NoSuchScope { wanted, near, .. } => {
            format!("scope {wanted}: no key has it{}", meant(near.as_ref()))
        }
        Problem::Expired { name, since } => format!("{name}: expired on {}", time::local(*since)),
        Problem::Disabled(name) => format!("{name}: disabled"),
        Problem::Revoked(name) => format!("{name}: revoked"),
        Problem::NoPrevious(name) => format!("{name}: no previous version is within its grace period"),
        Problem::SameVariable { variable, names } => format!(
            "{variable}: set by {} (choose one with --only, or rename one with --as VAR=NAME)",
            list(names)
        ),
        Problem::Variable { name, variable, why: why @ Refused::Name(_) } => {
            format!("{name}: {variable} {why} (keyvault edit {name} --env VAR)")
        }
        Problem::Variable { name, variable, why } => {
            format!(
                "{name}: {variable} {why}; a token sets it only where you name it (--as {variable}={name})"
            )
        }
        Problem::UnapprovedDefault(names) => {
            format!("{}: the token opens no such key, and the file's default is not approved", list(names))
        }
        Problem::NothingLeft => {
            "no keys are left: all that were chosen are revoked, or there are none".to_owned()
        }
    }
}

fn misfit_line(misfit: &Misfit) -> String {
    match misfit {
        Misfit::Nul(name) => format!("{name}: its value contains a NUL byte, which no variable can carry"),
        Misfit::TooLong { name, len, max } => {
            format!("{name}: {len} bytes with its variable; the kernel accepts {max} in one string")
        }
        Misfit::TooMuch { len, max } => {
            format!("{len} bytes of environment and arguments; the kernel accepts {max}")
        }
        Misfit::FileVariable { name, variable } => {
            format!(
                "{name}: {variable} is to hold the path of a file (choose another variable for one of the two)"
            )
        }
        Misfit::Line { name, fault } => format!("{name}: {}", delivery_sentences::line(*fault)),
        Misfit::Empty(name) => format!("{name}: its value is empty, which --no-empty refuses"),
        Misfit::AlreadyGiven { variable, name } => {
            format!("{variable}: set by the env-file, and also by {name}")
        }
    }
}

/// Returns `true` if a key or a scope is asked for that a token of this kind does not open.
fn is_ungranted(problem: &Problem, token: TokenKind) -> bool {
    match problem {
        Problem::Asked { problem, .. } => is_ungranted(problem, token),
        Problem::NotGranted { kind, .. } => *kind == token,
        Problem::NoSuchScope { kind, .. } => token == TokenKind::Session && *kind == Some(token),
        _ => false,
    }
}

/// The word for what opens keys.
fn holder(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Bearer => "token",
        TokenKind::Session => "limited session",
    }
}

/// Returns `true` if a default is missing an approval.
fn is_unapproved(problem: &Problem) -> bool {
    match problem {
        Problem::Asked { problem, .. } => is_unapproved(problem),
        problem => matches!(problem, Problem::UnapprovedDefault(_)),
    }
}

/// The command that mends what is wrong with a key.
fn mend(problem: &Problem) -> Option<String> {
    match problem {
        Problem::Missing { wanted, near: None } if looks_like_a_value(wanted.as_str()) => None,
        Problem::Missing { wanted, .. } => Some(format!("keyvault add {wanted}")),
        Problem::Expired { name, .. } => Some(format!("keyvault edit {name} --expires 30d")),
        Problem::Disabled(name) => Some(format!("keyvault enable {name}")),
        Problem::Revoked(name) => Some(format!("keyvault rotate {name}")),
        Problem::Withheld(name) => Some(format!("keyvault edit {name} --untag project")),
        Problem::Version { name, .. } => Some(format!("keyvault history {name}")),
        _ => None,
    }
}

/// ` (did you mean stripe/live?)`
fn meant<T: Display>(near: Option<&T>) -> String {
    near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}
