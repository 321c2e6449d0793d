//! `keyvault exec --watch`: the vault that a watch asks, and a start after each restart.

mod decide;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use self::decide::{Ended, Manner, Possible, Said, Watch};
use super::masking::MaskedOutput;
use super::plan::Plan;
use crate::cli::complete;
use crate::cli::context::{Context, state_folder};
use crate::cli::errors::{Failure, code};
use crate::cli::output::view;
use keyvault_core::clock::Moment;
use keyvault_core::identity::Identity;
use keyvault_core::name::KeyName;
use keyvault_exec::Command;
use keyvault_exec::release::changes::outcomes;
use keyvault_exec::release::{Fate, Given, Glance, Outcomes, Released};
use keyvault_exec::supervise::{Ending, Supervisor};
use keyvault_os::process::signal_names;
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::session::{self, Current};
use keyvault_vault::{Access, BearerKeys, Supply, Vault};

/// Keeping the command up to date.
#[derive(Debug, Args)]
pub(super) struct Watching {
    /// Restart the command when one of its keys gets a new value; end it when one is revoked, removed or expired
    #[arg(long, help_heading = "While it runs")]
    pub(super) watch: bool,
    /// With --watch: rewrite the files of --file and send this signal (HUP, USR1…) instead of restarting
    #[arg(
        long,
        value_name = "SIGNAL",
        add = complete::one_of(|| ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2"]),
        requires = "watch",
        value_parser = signal,
        help_heading = "While it runs",
        hide_short_help = true
    )]
    pub(super) on_rotate: Option<c_int>,
}

fn signal(text: &str) -> Result<c_int, String> {
    signal_names::number(text).ok_or_else(|| "is not a signal, such as HUP or USR1".to_owned())
}

impl Watching {
    /// Runs the command until its own end, or until a key is refused.
    pub(super) fn run(
        &self,
        context: &Context,
        plan: Plan,
        command: Command,
        mut supply: Supply,
        masked: Option<&MaskedOutput>,
    ) -> Result<u8, Failure> {
        if masked.is_some() && self.on_rotate.is_some() && plan.places.wanted().has_files() {
            return Err(Failure::usage(
                "With `--on-rotate`, files receive new values that the mask does not know.",
                Some(
                    "Nothing was released. Leave out `--on-rotate` to restart the command instead, or use `--no-mask`.",
                ),
            ));
        }
        let released = plan.release(context, &mut supply, &plan.selection, "")?;
        let source = WatchedVault::of(context, supply);
        let supervisor = Supervisor::begin().map_err(|error| plan.failed(&error))?.for_several();
        let manner = self.on_rotate.map_or(Manner::Restart, Manner::Signal);
        let ending = watch_over(&supervisor, &source, &plan, (command, released), manner, masked);
        if let Some(output) = masked {
            output.report(context);
        }
        // While no signal ends us: what has to be taken away.
        drop(plan);
        Ok(ending?.pass_on(supervisor))
    }
}

/// Start after start, until one ends by itself or a key is refused.
fn watch_over(
    supervisor: &Supervisor,
    source: &WatchedVault<'_>,
    plan: &Plan,
    (mut command, mut released): (Command, Released),
    manner: Manner,
    masked: Option<&MaskedOutput>,
) -> Result<Ending, Failure> {
    let context = source.context;
    let keys = Keys::of(source, plan);
    let mut watch = Watch::new(keys, manner);
    loop {
        let mask = masked.map(|output| output.mask(context, plan, &released)).transpose()?;
        let masking = masked.zip(mask.as_ref()).map(|(output, mask)| output.masking(mask));
        let environment = plan.fill(&mut command, &released)?;
        watch.over(Given::of(&released, &plan.selection.previous));
        drop(released);
        let ending = supervisor.run(&command, &environment, masking, &mut watch);
        let ending = ending.map_err(|error| plan.failed(&error))?;
        drop(environment);
        match watch.ended() {
            None => return Ok(ending),
            Some(Ended::Refused(fates)) => return Err(refused(plan, &fates)),
            Some(Ended::ToRestart) => {}
        }
        // A signal that came in between would have ended the command.
        if let Some(ending) = supervisor.pause(Duration::ZERO) {
            return Ok(ending);
        }
        let again = |supply: &mut Supply| plan.release(context, supply, &plan.selection, ", restarted");
        released = source.with(again).map_err(Unreadable::into_failure)?;
    }
}

/// Where the keys are, opened again for each look, so that no descriptor and no lock of ours is held while the command
/// runs.
struct WatchedVault<'c> {
    context: &'c Context,
    path: PathBuf,
    reopening: Reopening,
}

/// How it is opened.
enum Reopening {
    Owner {
        identity: Identity,
        /// Access by a credential, where there was no session, for the vault's epoch. A session's key is not held: a
        /// session that has ended opens nothing here either.
        held: RefCell<Option<(Identity, Access)>>,
        /// True if a credential was tried on this epoch in vain.
        tried: Cell<Option<Identity>>,
    },
    /// A limited session, of which nothing is held either.
    Limited(Identity),
    Granted(BearerKeys),
    Bundled {
        bearer: BearerKeys,
        /// The newest change that it was seen at.
        newest: Cell<u64>,
    },
}

/// Why the vault says nothing.
enum Unreadable {
    Locked,
    Failed(Failure),
}

impl Unreadable {
    fn into_failure(self) -> Failure {
        match self {
            Self::Locked => Failure::locked(),
            Self::Failed(failure) => failure,
        }
    }
}

impl<'c> WatchedVault<'c> {
    fn of(context: &'c Context, supply: Supply) -> Self {
        let (path, reopening) = match supply {
            Supply::Vault(vault, access) => {
                let identity = vault.identity();
                let held = vault.session(context.now()).is_none().then(|| (identity, access.without_root()));
                let reopening =
                    Reopening::Owner { identity, held: RefCell::new(held), tried: Cell::new(None) };
                (vault.path().to_owned(), reopening)
            }
            Supply::Granted(vault, bearer) if bearer.is_session() => {
                (vault.path().to_owned(), Reopening::Limited(vault.identity()))
            }
            Supply::Granted(vault, bearer) => (vault.path().to_owned(), Reopening::Granted(bearer)),
            Supply::Bundled(bundle, bearer, _) => {
                let newest = Cell::new(bundle.label.change);
                (bundle.file().to_owned(), Reopening::Bundled { bearer, newest })
            }
        };
        Self { context, path, reopening }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Supply) -> Result<T, Failure>) -> Result<T, Unreadable> {
        match &self.reopening {
            Reopening::Owner { held, tried, .. } => self.with_owner(held, tried, act),
            Reopening::Limited(_) => {
                let vault = self.open()?;
                let mut supply = match session::current(&vault.identity(), self.context.now()) {
                    Some(Current::Full(session)) => Supply::Vault(vault, session.into()),
                    Some(Current::Limited(session)) => {
                        Supply::Granted(vault, BearerKeys::of_session(&session))
                    }
                    None => return Err(Unreadable::Locked),
                };
                act(&mut supply).map_err(Unreadable::Failed)
            }
            Reopening::Granted(bearer) => {
                let bearer = bearer.again().ok_or(Unreadable::Locked)?;
                act(&mut Supply::Granted(self.open()?, bearer)).map_err(Unreadable::Failed)
            }
            Reopening::Bundled { bearer, newest } => {
                let mut supply = self.context.read_bundle(&self.path, bearer).map_err(Unreadable::Failed)?;
                self.refuse_older(&supply, newest).map_err(Unreadable::Failed)?;
                act(&mut supply).map_err(Unreadable::Failed)
            }
        }
    }

    /// An older bundle in the place of the one in use is no news: it would bring back what was rotated or revoked.
    fn refuse_older(&self, supply: &Supply, newest: &Cell<u64>) -> Result<(), Failure> {
        let Supply::Bundled(bundle, ..) = supply else { return Ok(()) };
        let (change, before) = (bundle.label.change, newest.get());
        if change < before {
            let file = self.path.display();
            let message = format!("{file} is now at change {change}, older than change {before} in use.");
            return Err(Failure::failed(&message, None));
        }
        if change > before {
            newest.set(change);
            self.context.tell_if_stale(bundle, &self.path);
        }
        Ok(())
    }

    fn open(&self) -> Result<Vault, Unreadable> {
        let pins = state_folder().map_err(Unreadable::Failed)?.join("pins");
        Vault::open(&self.path, &Pins::in_folder(pins))
            .map_err(|error| Unreadable::Failed(Failure::of(error, &self.path)))
    }

    fn with_owner<T>(
        &self,
        held: &RefCell<Option<(Identity, Access)>>,
        tried: &Cell<Option<Identity>>,
        act: impl FnOnce(&mut Supply) -> Result<T, Failure>,
    ) -> Result<T, Unreadable> {
        let mut vault = self.open()?;
        if let Some(session) = vault.session(self.context.now()) {
            return act(&mut Supply::Vault(vault, session.into())).map_err(Unreadable::Failed);
        }
        let identity = vault.identity();
        let mut held = held.borrow_mut();
        if held.as_ref().is_none_or(|(epoch, _)| *epoch != identity) && tried.get() != Some(identity) {
            tried.set(Some(identity));
            let opened = self.context.access_without_question(&mut vault).ok();
            *held = opened.map(|access| (identity, access.without_root()));
        }
        match held.take() {
            Some((epoch, access)) if epoch == identity => {
                let mut supply = Supply::Vault(vault, access);
                let done = act(&mut supply).map_err(Unreadable::Failed);
                if let Supply::Vault(_, access) = supply {
                    *held = Some((identity, access));
                }
                done
            }
            other => {
                *held = other;
                Err(Unreadable::Locked)
            }
        }
    }

    /// Returns `true` if there is something to open it with, as far as can be told without opening it.
    fn has_key(&self) -> bool {
        match &self.reopening {
            Reopening::Owner { identity, held, .. } => {
                held.borrow().is_some() || session::find(identity, self.context.now()).is_some()
            }
            Reopening::Limited(identity) => session::current(identity, self.context.now()).is_some(),
            Reopening::Granted(_) | Reopening::Bundled { .. } => true,
        }
    }
}

/// The keys that a watch looks at.
struct Keys<'o> {
    source: &'o WatchedVault<'o>,
    plan: &'o Plan,
    glance: Glance,
    had_key: bool,
    /// The last message about each obstacle: once is enough.
    said: BTreeMap<About, String>,
}

/// A step of the watch that may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Looking,
    Handing,
}

impl<'o> Keys<'o> {
    fn of(source: &'o WatchedVault<'o>, plan: &'o Plan) -> Self {
        Self { source, plan, glance: Glance::at(&source.path), had_key: true, said: BTreeMap::new() }
    }

    /// The answer, or why there is none, which is said once.
    fn heard<T>(&mut self, about: About, answer: Result<T, Unreadable>) -> Result<T, Possible> {
        let why = match answer {
            Ok(answer) => {
                self.said.remove(&about);
                return Ok(answer);
            }
            Err(why) => why,
        };
        let (possible, text) = match why {
            Unreadable::Locked => (
                Possible::Later,
                "the vault is locked, so changes go unnoticed until `keyvault unlock`".to_owned(),
            ),
            Unreadable::Failed(failure) if [code::REFUSED, code::NOT_FOUND].contains(&failure.code) => {
                (Possible::No, failure.message)
            }
            Unreadable::Failed(failure) => (Possible::Later, failure.message),
        };
        if self.said.get(&about) != Some(&text) {
            self.source.context.ui.warn(&format!("{} keeps its current keys: {text}", self.plan.name()));
            self.said.insert(about, text);
        }
        Err(possible)
    }

    fn note(&self, text: &str) {
        self.source.context.ui.note(&format!("keyvault: {text}"));
    }
}

impl Keys<'_> {
    fn now(&self) -> Moment {
        self.source.context.now()
    }

    /// Returns `true` if the vault may have changed since this was asked last.
    fn may_have_changed(&mut self) -> bool {
        let has_key = self.source.has_key();
        let turned = std::mem::replace(&mut self.had_key, has_key) != has_key;
        self.glance.changed() || turned
    }

    /// Of these versions; `None` if that cannot be found out now, which was said.
    fn outcomes(&mut self, given: &[Given]) -> Option<Outcomes> {
        let context = self.source.context;
        let answer = self.source.with(|supply| {
            context.with_keys(supply, |supply, world| Ok(outcomes(&supply.look(world)?, given)?))
        });
        self.heard(About::Looking, answer).ok()
    }

    /// Returns `true` if the command could be started with what would be handed out now; why not was said.
    fn could_start(&mut self) -> Possible {
        let context = self.source.context;
        let answer = self.source.with(|supply| self.plan.preview(context, supply));
        self.heard(About::Handing, answer).map_or_else(|possible| possible, |_| Possible::Yes)
    }

    /// Rewrites the files of keys that hand out another version, and takes away those of keys that are `refused` by
    /// now. Why that was not possible was said.
    fn rewrite(&mut self, fates: &[(Given, Fate)], refused: &[Given]) -> Possible {
        let changed = |name: &KeyName| {
            fates.iter().any(|(given, fate)| given.name == *name && matches!(fate, Fate::Replaced(_)))
        };
        let refused = |name: &KeyName| refused.iter().any(|given| given.name == *name);
        let places = &self.plan.places;
        let selection = places.wanted().of_files(&self.plan.selection, changed, refused);
        let answer = if selection.is_empty() {
            places.clear_files(refused).map_err(|error| Unreadable::Failed(self.plan.failed(&error.into())))
        } else {
            self.source.with(|supply| {
                let context = self.source.context;
                let released = self.plan.release(context, supply, &selection, ", files rewritten")?;
                places
                    .clear_files(refused)
                    .and_then(|()| places.fill_files(&released, &self.plan.besides(&released)))
                    .map_err(|error| self.plan.failed(&error.into()))
            })
        };
        self.heard(About::Handing, answer).map_or_else(|possible| possible, |()| Possible::Yes)
    }

    fn say(&mut self, said: Said<'_>) {
        let command = self.plan.name();
        match said {
            Said::Restarting(fates) => self.note(&format!("{}; restarting {command}.", told(fates))),
            Said::Ending(fates) => self.note(&format!("{}; ending {command}.", told(fates))),
            Said::Signaling(fates) => self.note(&format!("{}; sending {command} the signal.", told(fates))),
            Said::Waiting => {
                self.note(&format!("{command} received TERM and is still running; waiting for it to end."));
            }
        }
    }
}

fn refused(plan: &Plan, fates: &[(Given, Fate)]) -> Failure {
    let hint = if fates.iter().all(|(given, _)| given.is_of_the_past()) {
        "Run `keyvault history NAME` to see which versions are valid. Without `--previous`, the current one is used."
    } else {
        "`keyvault rotate NAME` gives a revoked key a new value; `keyvault edit NAME --expires 30d` extends an expired one; `keyvault enable NAME` enables a disabled one."
    };
    Failure::refused(&format!("{} was ended: {}.", plan.name(), told(fates)), Some(hint))
}

/// `stripe/live has version 4 now, db/url is revoked`
fn told(fates: &[(Given, Fate)]) -> String {
    let one = |(given, fate): &(Given, Fate)| match fate {
        Fate::Replaced(by) if given.is_of_the_past() => {
            format!("the previous version of {} is now {}", by.name, by.version)
        }
        Fate::Replaced(by) => format!("{} is now at version {}", by.name, by.version),
        Fate::Expired => format!("{} has expired", given.name),
        Fate::Disabled => format!("{} is disabled", given.name),
        Fate::Revoked if given.is_of_the_past() => {
            format!("version {} of {} is no longer valid", given.version, given.name)
        }
        Fate::Revoked => format!("{} is revoked", given.name),
        Fate::Removed => format!("{} was removed", given.name),
    };
    view::joined(fates.iter().map(one).collect::<Vec<_>>().iter())
}
