//! `keyvault project check`

use std::collections::BTreeSet;

use anstyle::Style;
use clap::Args;

use super::gate::{self, Believed, Defaults, Found};
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::problem::problem_line;
use crate::cli::errors::{self, Failure, code};
use crate::cli::output;
use crate::cli::output::table::{Cell, Column, Table};
use crate::cli::preset;
use crate::cli::unlock::key_source::Machine;
use crate::project::approval::Ask;
use crate::project::report::{self, Line, Standing};
use crate::project::{Entry, Profile, Section};
use keyvault_core::name::EnvName;
use keyvault_exec::delivery::Places;
use keyvault_exec::fit::{Surroundings, fit};
use keyvault_exec::release::{self, Problem, Refusal, Selection, State};

/// Report the status of every key the project needs.
///
/// Reports what `keyvault exec` would, for all variables at once, without running, releasing or recording anything. Entries
/// that are not approved are not looked up. The exit code is 0 if the project can run, 3 if keys are missing, and 6 if
/// there are other problems or entries that are not approved; problems of the file, a credential or the vault have their
/// usual codes.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Include this profile's entries
    #[arg(long, value_name = "PROFILE", add = complete::profiles(), value_parser = named::<Profile>)]
    profile: Option<Profile>,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    defaults: Defaults,
}

impl Check {
    pub(in crate::cli) fn run(self, context: &Context) -> Result<u8, Failure> {
        let found = Found::required(Believed::by(&self.machine))?;
        let profile = match self.profile {
            Some(profile) => Some(profile),
            None => preset::profile()?,
        };
        let entries = found.entries(profile.as_ref())?;
        if entries.is_empty() {
            return Err(errors::project::asks_for_nothing(&found.path, &found.file, profile.as_ref()));
        }
        let new = gate::standing(&found, &entries, &self.machine, self.defaults)?.err().unwrap_or_default();
        let survey = survey(context, &found, &entries, &new, (&self.machine, self.defaults))?;
        let lines = report::lines(&entries, &new, &survey.states);
        if context.ui.json {
            let ok = new.is_empty() && survey.refusal.is_empty();
            let lines: Vec<_> = lines.iter().map(json).collect();
            context.ui.print_json(&serde_json::json!({
                "file": found.path.to_string_lossy(),
                "profile": profile.as_ref().map(Profile::as_str),
                "ok": ok,
                "variables": lines,
            }))?;
        } else {
            print(context, &lines)?;
            let others: Vec<_> = found.file.profiles().map(|profile| format!("`{profile}`")).collect();
            if profile.is_none() && !others.is_empty() {
                context
                    .ui
                    .note(&format!("Profiles: {}. Check one with `--profile PROFILE`.", others.join(", ")));
            }
        }
        match summary(&survey.refusal, &new) {
            Some(failure) => Err(failure),
            None => Ok(code::DONE),
        }
    }
}

/// How it stands with every variable that was looked up.
#[derive(Default)]
struct Survey {
    states: Vec<(EnvName, State)>,
    /// The problems for which `exec` would refuse.
    refusal: Refusal,
}

/// Only what was approved is looked up: whether a key is there is nothing that a file may find out by asking.
fn survey(
    context: &Context,
    found: &Found,
    entries: &[(Section, &Entry)],
    new: &BTreeSet<Ask>,
    (machine, defaults): (&Machine, Defaults),
) -> Result<Survey, Failure> {
    let judged: Vec<_> =
        entries.iter().filter(|(section, entry)| !new.contains(&Ask::of(section, entry))).cloned().collect();
    let approved = gate::standing(found, &judged, machine, defaults)?
        .map_err(|new| errors::project::not_approved(&found.path, &new))?;
    approved.settings(&judged).map_err(|unapproved| errors::project::unapproved_settings(&unapproved))?;
    if judged.iter().all(|(_, entry)| entry.setting().is_some()) {
        return Ok(Survey::default());
    }
    let mut keys = context.supply(machine)?;
    let selection = Selection { composed: approved.composed(&judged), ..Selection::default() };
    context.with_keys(&mut keys, |keys, world| {
        let staged = release::stage(keys.look(world)?, &selection)?;
        let states = staged.states().to_vec();
        let surroundings =
            Surroundings { places: &Places::none(), literals: &[], weight: 0, no_empty: false };
        let refusal = fit(staged, surroundings).err().unwrap_or_default();
        Ok(Survey { states, refusal })
    })
}

const READY: &str = "ready";

fn print(context: &Context, lines: &[Line]) -> Result<(), Failure> {
    let mut table = Table::new([
        Column::whole("VARIABLE"),
        Column::broken("KEYS"),
        Column::whole("STATUS"),
        Column::broken("ABOUT").spare(1),
    ]);
    for line in lines {
        let keys = line.keys.iter().map(|key| errors::project::key_shown(key.as_str()));
        let status = match &line.standing {
            Standing::Ready => READY,
            Standing::Default => "default",
            Standing::Setting => "setting",
            Standing::LeftOut(_) => "left out",
            Standing::Wrong(why) => word(why),
            Standing::NotApproved => "NOT APPROVED",
        };
        let about = line.description.as_deref().map(output::harmless_line).unwrap_or_default();
        let keys = keys.collect::<Vec<_>>().join(", ");
        table.row([
            line.variable.as_str().into(),
            keys.into(),
            Cell::styled(status, style(status)),
            about.into(),
        ]);
    }
    context.ui.paged(&table.text(&context.ui))
}

/// Words in upper case are problems.
fn style(status: &str) -> Option<Style> {
    match status {
        READY => Some(output::GOOD),
        status if status.starts_with(|first: char| first.is_ascii_uppercase()) => Some(output::BAD),
        _ => None,
    }
}

/// The first problem in a word, for the table.
fn word(why: &[Problem]) -> &'static str {
    match why.first() {
        Some(Problem::Missing { .. }) => "MISSING",
        Some(Problem::Expired { .. }) => "EXPIRED",
        Some(Problem::Disabled(_)) => "DISABLED",
        Some(Problem::Revoked(_)) => "REVOKED",
        Some(Problem::Issued(_)) => "ISSUED",
        Some(Problem::Withheld(_)) => "WITHHELD",
        Some(Problem::UnapprovedDefault { .. }) => "NOT APPROVED",
        _ => "REFUSED",
    }
}

fn json(line: &Line) -> serde_json::Value {
    let why = match &line.standing {
        Standing::LeftOut(why) | Standing::Wrong(why) => why.iter().map(problem_line).collect(),
        Standing::Ready | Standing::Default | Standing::Setting | Standing::NotApproved => Vec::new(),
    };
    serde_json::json!({
        "variable": line.variable.as_str(),
        "profile": line.section.as_ref().map(Profile::as_str),
        "keys": line.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "status": line.standing.name(),
        "why": why,
        "description": line.description,
    })
}

fn summary(refusal: &Refusal, new: &BTreeSet<Ask>) -> Option<Failure> {
    if refusal.is_empty() && new.is_empty() {
        return None;
    }
    let (code, kind) = if new.is_empty() && errors::problem::only_missing(refusal) {
        (code::NOT_FOUND, "not_found")
    } else {
        (code::REFUSED, "refused")
    };
    let mut message = "The project cannot run with this vault:".to_owned();
    for line in errors::problem::lines(refusal) {
        message.push_str(&format!("\n  {line}"));
    }
    for ask in new {
        message.push_str(&format!(
            "\n  {}: not approved (keyvault project approve)",
            errors::project::logged_line(ask)
        ));
    }
    Some(Failure::new(code, kind, message, errors::problem::remedy_for_many(refusal).as_deref()))
}
