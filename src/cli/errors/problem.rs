//! Remedies for what is wrong with keys that are asked for.

use std::collections::BTreeSet;
use std::path::Path;
use std::slice::from_ref;

use keyvault_core::name::KeyName;
use keyvault_core::name::refused::Refused;
use keyvault_exec::fit::Misfit;
use keyvault_exec::release::{Problem, Refusal, ReleaseError};

use keyvault_vault::{GrantedTo, TokenKind, hides_its_name};

use super::vault::looks_like_a_value;
use super::{Failure, code};
use crate::cli::output;

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

/// Everything that is wrong with what was asked for, a line each; many missing keys share one.
pub(in crate::cli) fn lines(Refusal { problems, misfits }: &Refusal) -> Vec<String> {
    let missing = many_missing(problems);
    let mut lines = Vec::new();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|(wanted, near)| named(wanted, *near)).collect();
        lines.push(format!("no such key: {}", names.join(", ")));
    }
    let others = problems.iter().filter(|problem| missing.is_empty() || as_missing(problem).is_none());
    lines.extend(others.map(problem_line).chain(misfits.iter().map(misfit_line)));
    lines
}

/// How to get many missing keys: those that have another name, and the others.
pub(in crate::cli) fn remedy_for_many(Refusal { problems, .. }: &Refusal) -> Option<String> {
    let missing = many_missing(problems);
    let (first, _) = missing.first()?;
    let renamed = missing.iter().find_map(|(wanted, near)| Some((wanted, (*near)?)));
    Some(match renamed {
        Some((wanted, near)) => format!(
            "If a key has another name, rename it, for example: keyvault edit {near} --rename {wanted}\n\
             Add the others with `keyvault add NAME`, or import them from a file: keyvault import .env"
        ),
        None => format!(
            "Add them, for example: keyvault add {first}\n\
             Or import them from a file: keyvault import .env"
        ),
    })
}

/// A missing key, and one that was probably meant.
type MissingKey<'p> = (&'p KeyName, Option<&'p KeyName>);

/// The keys that are missing, if they are too many for a line and a remedy each.
fn many_missing(problems: &[Problem]) -> Vec<MissingKey<'_>> {
    const MANY: usize = 3;
    let mut missing = Vec::new();
    for key in problems.iter().filter_map(as_missing) {
        if !missing.contains(&key) {
            missing.push(key);
        }
    }
    if missing.len() < MANY { Vec::new() } else { missing }
}

/// The name of a missing key, unless it looks like a value.
fn as_missing(problem: &Problem) -> Option<MissingKey<'_>> {
    match problem {
        Problem::Asked { problem, .. } => as_missing(problem),
        problem if removed_key(problem).is_some() => None,
        Problem::Missing { wanted, near, .. } if !hides_its_name(from_ref(wanted), near.as_ref()) => {
            // Among many, names that are merely alike are no help: their neighbors are missing too.
            let without_prefix = |near: &&KeyName| {
                wanted.as_str().strip_suffix(near.as_str()).is_some_and(|prefix| prefix.ends_with('/'))
            };
            Some((wanted, near.as_ref().filter(without_prefix)))
        }
        _ => None,
    }
}

/// The name of a key that was removed, and that can be brought back.
fn removed_key(problem: &Problem) -> Option<&KeyName> {
    match problem {
        Problem::Missing { wanted, near, removed: Some(until) }
            if *until > output::time::now() && !hides_its_name(from_ref(wanted), near.as_ref()) =>
        {
            Some(wanted)
        }
        _ => None,
    }
}

fn named(wanted: &KeyName, near: Option<&KeyName>) -> String {
    near.map_or_else(|| wanted.to_string(), |near| format!("{wanted} (did you mean {near}?)"))
}

fn refusal(refusal: &Refusal) -> Failure {
    let only_missing = only_missing(refusal);
    let (code, kind) = if only_missing { (code::NOT_FOUND, "not_found") } else { (code::REFUSED, "refused") };
    let lines = lines(refusal).into_iter().map(|line| format!("\n  {line}"));
    let message = format!("Cannot release the keys:{}", lines.collect::<String>());
    let many = remedy_for_many(refusal);
    let problems = &refusal.problems;
    let any = |kind: fn(&Problem) -> bool| problems.iter().any(kind);
    let bearers: Vec<_> = problems.iter().filter_map(ungranted_to).collect();
    let limited = bearers.iter().any(|to| to.kind == TokenKind::Session);
    let token = bearers.iter().find(|to| to.kind != TokenKind::Session);
    let see_token = token.map(|to| not_granted_remedy(to, problems));
    // These lines hold their own remedy.
    let only_swapped = problems
        .iter()
        .all(|problem| matches!(problem, Problem::Swapped { .. } | Problem::VariableNamed { .. }));
    let expired = names(problems, |problem| match problem {
        Problem::Expired { name, .. } => Some(name),
        _ => None,
    });
    let disabled = names(problems, |problem| match problem {
        Problem::Disabled(name) => Some(name),
        _ => None,
    });
    let revoked = names(problems, |problem| match problem {
        Problem::Revoked(name) => Some(name),
        _ => None,
    });
    let withheld = names(problems, |problem| match problem {
        Problem::Withheld(name) => Some(name),
        _ => None,
    });
    let issued = names(problems, |problem| match problem {
        Problem::Issued(name) => Some(name),
        _ => None,
    });
    let versions = names(problems, |problem| match problem {
        Problem::Version { name, .. } => Some(name),
        _ => None,
    });
    let of_keys = [
        expired.map(|Named { all, .. }| {
            format!("Extend expired keys (`keyvault edit {all} --expires 30d`), or leave them out (`--skip-expired`).")
        }),
        disabled.map(|Named { all, .. }| {
            format!("Enable disabled keys (`keyvault enable {all}`), or leave them out (`--skip-expired`).")
        }),
        revoked.map(|Named { only, .. }| {
            format!("Give a revoked key a new value with `keyvault rotate {only}`.")
        }),
        issued.map(|Named { only, .. }| {
            format!("Leave out issued keys. `keyvault rotate {only}` makes a new secret, and shows it once.")
        }),
        withheld.map(|Named { all, .. }| {
            format!("Make a key available to project files with `keyvault edit {all} --untag project`.")
        }),
        versions.map(|Named { only, .. }| format!("See a key's versions with `keyvault history {only}`.")),
    ];
    let remedies = [
        (
            problems.iter().any(is_unapproved),
            "Approve the file's defaults with `keyvault project approve`, or use them as they are with `--unapproved-defaults`.",
        ),
        (limited, "The open session is limited. Open a full one, which ends it: keyvault unlock"),
        (token.is_some(), see_token.as_deref().unwrap_or_default()),
        (
            only_missing && bearers.is_empty() && !only_swapped && many.is_none()
                || any(|problem| matches!(problem, Problem::NothingLeft)),
            "Run `keyvault list` to see all keys with their variables, scopes and status.",
        ),
    ];
    let remedies = remedies.iter().filter(|(fits, _)| *fits).map(|(_, remedy)| *remedy);
    let of_keys = of_keys.iter().flatten().map(String::as_str);
    let hint: Vec<_> = many.as_deref().into_iter().chain(of_keys).chain(remedies).collect();
    Failure::new(code, kind, message, (!hint.is_empty()).then(|| hint.join("\n")).as_deref())
}

/// A problem, and the remedy that is no use for another one.
pub(in crate::cli) fn problem_line(problem: &Problem) -> String {
    if let Some(name) = removed_key(problem) {
        return format!("{name}: removed (keyvault undelete {name})");
    }
    match problem {
        Problem::Asked { variable, problem: asked } => {
            if removed_key(asked).is_some() {
                return format!("{variable} <- {}", problem_line(asked));
            }
            if let Problem::Missing { wanted, near: Some(near), .. } = &**asked
                && !hides_its_name(from_ref(wanted), Some(near))
            {
                let add = format!("keyvault add {wanted}");
                return format!("{variable} <- {wanted}: no such key (did you mean {near}? If not: {add})");
            }
            let mend = mend(asked).map(|command| format!(" ({command})")).unwrap_or_default();
            format!("{variable} <- {}{mend}", problem_line(asked))
        }
        Problem::Swapped { variable, name, to_file } => {
            let option = if *to_file { "--file" } else { "--as" };
            format!("{problem}; swap the sides: {option} {variable}={name}")
        }
        Problem::SameVariable { rename: Some((name, variable)), .. } => {
            format!("{problem} (keyvault edit {name} --env {variable})")
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

/// The keys that have a problem, for a command that takes several, and for one that takes a single one.
struct Named {
    all: String,
    only: String,
}

fn names(problems: &[Problem], of: impl Fn(&Problem) -> Option<&KeyName>) -> Option<Named> {
    const SHOWN: usize = 5;
    let names: BTreeSet<_> = problems.iter().filter_map(of).map(KeyName::as_str).collect();
    let all: Vec<_> = names.into_iter().collect();
    let only = match all.as_slice() {
        [] => return None,
        [only] => *only,
        _ => "NAME",
    };
    let all_named = if all.len() > SHOWN { "NAME".to_owned() } else { all.join(" ") };
    Some(Named { all: all_named, only: only.to_owned() })
}

/// The way out for a token's bearer, and for the vault's owner.
fn not_granted_remedy(to: &GrantedTo, problems: &[Problem]) -> String {
    const NAMED: usize = 3;
    let name = &to.name;
    let mut keys: Vec<_> =
        problems.iter().filter_map(ungranted_key).map(|key| format!(" --key {key}")).collect();
    keys.dedup();
    let keys =
        if keys.is_empty() || keys.len() > NAMED { " --scope SCOPE".to_owned() } else { keys.concat() };
    format!(
        "Choose what the token opens, for example with `--only NAME`; `keyvault list` shows it (`keyvault list --bundle FILE` where no vault is).\n\
         Or have the vault's owner grant it more, and update its bundle if it has one:\n  \
         keyvault token edit {name}{keys}\n  \
         keyvault bundle update FILE"
    )
}

fn ungranted_key(problem: &Problem) -> Option<&KeyName> {
    match problem {
        Problem::Asked { problem, .. } => ungranted_key(problem),
        // One that is like another was probably not meant.
        Problem::NotGranted { wanted, near: None, .. } if !hides_its_name(from_ref(wanted), None) => {
            Some(wanted)
        }
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
        Problem::Missing { wanted, near: None, .. } if looks_like_a_value(wanted.as_str()) => None,
        // Where another key was probably meant, a second remedy would contradict that.
        Problem::Missing { wanted, near: None, .. } => Some(format!("keyvault add {wanted}")),
        Problem::Expired { name, .. } => Some(format!("keyvault edit {name} --expires 30d")),
        Problem::Disabled(name) => Some(format!("keyvault enable {name}")),
        Problem::Revoked(name) => Some(format!("keyvault rotate {name}")),
        Problem::Withheld(name) => Some(format!("keyvault edit {name} --untag project")),
        Problem::Version { name, .. } => Some(format!("keyvault history {name}")),
        _ => None,
    }
}
