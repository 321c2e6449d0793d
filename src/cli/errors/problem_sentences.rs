//! Remedies for what is wrong with keys that are asked for.

use std::path::Path;

use keyvault_core::name::refused::Refused;
use keyvault_exec::fit::Misfit;
use keyvault_exec::release::{Problem, Refusal, ReleaseError};

use keyvault_vault::{GrantedTo, TokenKind};

use super::sentences::looks_like_a_value;
use super::{Failure, code};

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
                | Problem::VariableNamed { .. }
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
    let message = refusal.told(problem_line, misfit_line);
    let problems = &refusal.problems;
    let any = |kind: fn(&Problem) -> bool| problems.iter().any(kind);
    let bearers: Vec<_> = problems.iter().filter_map(ungranted_to).collect();
    let limited = bearers.iter().any(|to| to.kind == TokenKind::Session);
    let token = bearers.iter().find(|to| to.kind != TokenKind::Session);
    let see_token = token.map(|to| format!("The vault's owner can see what token `{0}` opens with `keyvault token show {0}`, and grant it more with `keyvault token edit {0}`.", to.name));
    // These lines hold their own remedy.
    let only_swapped = problems
        .iter()
        .all(|problem| matches!(problem, Problem::Swapped { .. } | Problem::VariableNamed { .. }));
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
        (token.is_some(), see_token.as_deref().unwrap_or_default()),
        (
            only_missing && bearers.is_empty() && !only_swapped
                || any(|problem| matches!(problem, Problem::NothingLeft)),
            "Run `keyvault list` to see all keys with their variables, scopes and status.",
        ),
    ];
    let hint: Vec<_> = remedies.iter().filter(|(fits, _)| *fits).map(|(_, remedy)| *remedy).collect();
    Failure::new(code, kind, message, (!hint.is_empty()).then(|| hint.join("\n")).as_deref())
}

/// A problem, and the remedy that is no use for another one.
pub(in crate::cli) fn problem_line(problem: &Problem) -> String {
    match problem {
        Problem::Asked { variable, problem: asked } => {
            let mend = mend(asked).map(|command| format!(" ({command})")).unwrap_or_default();
            format!("{variable} <- {}{mend}", problem_line(asked))
        }
        Problem::Swapped { variable, name, to_file } => {
            let option = if *to_file { "--file" } else { "--as" };
            format!("{problem}; swap the sides: {option} {variable}={name}")
        }
        Problem::SameVariable { .. } => {
            format!("{problem} (choose one with --only, or rename one with --as VAR=NAME)")
        }
        Problem::Variable { name, why: Refused::Name(_), .. } => {
            format!("{problem} (keyvault edit {name} --env VAR)")
        }
        Problem::Variable { name, variable, .. } => {
            format!("{problem}; a token sets it only where you name it (--as {variable}={name})")
        }
        problem => problem.to_string(),
    }
}

fn misfit_line(misfit: &Misfit) -> String {
    match misfit {
        Misfit::FileVariable { .. } => format!("{misfit} (choose another variable for one of them)"),
        misfit => misfit.to_string(),
    }
}

/// The bearer that was not granted a key or a scope that is asked for.
fn ungranted_to(problem: &Problem) -> Option<&GrantedTo> {
    match problem {
        Problem::Asked { problem, .. } => ungranted_to(problem),
        Problem::NotGranted { to, .. } => Some(to),
        Problem::NoSuchScope { to, .. } => to.as_ref(),
        _ => None,
    }
}

/// Returns `true` if a default is missing an approval.
fn is_unapproved(problem: &Problem) -> bool {
    match problem {
        Problem::Asked { problem, .. } => is_unapproved(problem),
        problem => matches!(problem, Problem::UnapprovedDefault { .. }),
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
