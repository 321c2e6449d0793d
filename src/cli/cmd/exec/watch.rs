//! `keyvault exec --watch`: the vault that a watch asks, and a start after each restart.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::masking;
use super::order::Order;
use crate::cli::context::{Context, state_folder};
use crate::cli::error::Failure;
use crate::cli::view;
use crate::clock::Moment;
use crate::exec::Command;
use crate::exec::streams::Ways;
use crate::exec::supervise::{Masking, Supervisor};
use crate::exec::watch::{Ended, Keeper, Manner, Said, Watch};
use crate::identity::Identity;
use crate::name::KeyName;
use crate::state::pin::Pins;
use crate::sys::signal_names;
use crate::unlock::session;
use crate::vault::{Access, Aftermath, Fate, Given, Glance, Resolved, Vault};

/// Keeping the command up to date.
#[derive(Debug, Args)]
pub(super) struct Watching {
    /// Start the command anew when one of its keys gets another value, and end it when one is revoked, removed or expired
    #[arg(long, help_heading = "While it runs", long_help = LONG_HELP)]
    pub(super) watch: bool,
    /// With --watch: send this signal (HUP, USR1…) instead, after the files of --file have been rewritten
    #[arg(
        long,
        value_name = "SIGNAL",
        requires = "watch",
        value_parser = signal,
        help_heading = "While it runs",
        long_help = ON_ROTATE_HELP
    )]
    pub(super) on_rotate: Option<c_int>,
}

const LONG_HELP: &str = "\
Start the command anew when one of its keys gets another value, and end it when one is revoked, removed or expired

The vault's file is looked at four times a second. A restart is TERM to the command, its end, however long that takes,
and a new start with what is handed out then, which is recorded as any exec is. The first is at once; those that follow
soon come 1, 2, 4… up to 30 seconds apart. A key that is revoked, removed or expired ends the command by TERM, and keyvault with 125. When the
vault is locked, or older than what was last seen here, the command keeps what it has, and that is said once. The
command's own end is keyvault's.";

const ON_ROTATE_HELP: &str = "\
With --watch: send this signal (HUP, USR1…) instead, after the files of --file have been rewritten

What the command has in variables, on descriptors and on standard input stays as it was: files alone can be read again. The file of a key
that is revoked, removed or expired is taken away before the signal; the command is not ended.";

fn signal(text: &str) -> Result<c_int, String> {
    signal_names::number(text).ok_or_else(|| "is not a signal: HUP, USR1, TERM…".to_owned())
}

impl Watching {
    /// Runs the command until its own end, or until a key is refused.
    pub(super) fn run(
        &self,
        context: &Context,
        order: Order,
        mut command: Command,
        (mut vault, access): (Vault, Access),
        ways: Option<Ways>,
    ) -> Result<u8, Failure> {
        if ways.is_some() && self.on_rotate.is_some() && order.places.wanted().has_files() {
            return Err(Failure::usage(
                "With --on-rotate, files get values that a mask made at the start does not know.",
                Some("Nothing was released. Let the command be started again instead, or give --no-mask."),
            ));
        }
        let mut resolved = order.release(context, (&mut vault, &access), &order.selection, "")?;
        let source = Source::of(context, &vault, access);
        drop(vault);
        let mut keys = Keys::of(&source, &order);
        let mut watch = Watch::new(&mut keys, self.on_rotate.map_or(Manner::Restart, Manner::Signal));
        let supervisor = Supervisor::begin().map_err(|error| order.failed(&error))?.for_several();
        let ending = loop {
            let mask =
                ways.map(|ways| masking::over(context, &resolved).map(|mask| (mask, ways))).transpose()?;
            let masking = mask.as_ref().map(|(mask, ways)| Masking { mask, ways: *ways });
            let environment = order.fill(&mut command, &resolved)?;
            watch.over(Given::of(&resolved, &order.selection.previous));
            drop(resolved);
            let ending = supervisor.run(&command, &environment, masking, &mut watch);
            let ending = ending.map_err(|error| order.failed(&error))?;
            drop(environment);
            match watch.ended() {
                None => break ending,
                Some(Ended::Refused(fates)) => return Err(refused(&order, &fates)),
                Some(Ended::ToRestart) => {}
            }
            // A signal that came in between would have ended the command.
            if let Some(ending) = supervisor.pause(Duration::ZERO) {
                break ending;
            }
            resolved = source
                .with(|vault, access| {
                    order.release(context, (vault, access), &order.selection, ", started again")
                })
                .map_err(Unreadable::into_failure)?;
        };
        drop((source, order, command));
        Ok(ending.pass_on(supervisor))
    }
}

/// The vault, opened again for each look, so that none of its descriptors and locks is held while the command runs.
struct Source<'c> {
    context: &'c Context,
    path: PathBuf,
    identity: Identity,
    /// What a credential opened, where there was no session, for the vault's epoch. A session's key is not held: a
    /// session that has ended opens nothing here either.
    held: RefCell<Option<(Identity, Access)>>,
    /// Whether a credential was tried on this epoch in vain.
    tried: Cell<Option<Identity>>,
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

impl<'c> Source<'c> {
    fn of(context: &'c Context, vault: &Vault, access: Access) -> Self {
        let identity = vault.identity();
        let held = vault.session(context.now()).is_none().then(|| (identity, access.without_root()));
        Self {
            context,
            path: vault.path().to_owned(),
            identity,
            held: RefCell::new(held),
            tried: Cell::new(None),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vault, &Access) -> Result<T, Failure>) -> Result<T, Unreadable> {
        let failed = |error| Unreadable::Failed(Failure::of(error, &self.path));
        let pins = state_folder().map_err(Unreadable::Failed)?.join("pins");
        let mut vault = Vault::open(&self.path, &Pins::in_folder(pins)).map_err(failed)?;
        if let Some(session) = vault.session(self.context.now()) {
            return act(&mut vault, &session.into()).map_err(Unreadable::Failed);
        }
        let identity = vault.identity();
        let mut held = self.held.borrow_mut();
        if held.as_ref().is_none_or(|(epoch, _)| *epoch != identity) && self.tried.get() != Some(identity) {
            self.tried.set(Some(identity));
            *held = self
                .context
                .given_access(&mut vault)
                .ok()
                .flatten()
                .map(|access| (identity, access.without_root()));
        }
        match &*held {
            Some((epoch, access)) if *epoch == identity => {
                act(&mut vault, access).map_err(Unreadable::Failed)
            }
            _ => Err(Unreadable::Locked),
        }
    }

    /// Whether there is something to open the vault with, as far as can be told without opening it.
    fn has_key(&self) -> bool {
        self.held.borrow().is_some() || session::find(&self.identity, self.context.now()).is_some()
    }
}

/// What a watch works with.
struct Keys<'o> {
    source: &'o Source<'o>,
    order: &'o Order,
    glance: Glance,
    had_key: bool,
    /// What was said last about a vault that says nothing: once is enough.
    said: Option<String>,
}

impl<'o> Keys<'o> {
    fn of(source: &'o Source<'o>, order: &'o Order) -> Self {
        Self { source, order, glance: Glance::at(&source.path), had_key: true, said: None }
    }

    fn heard<T>(&mut self, answer: Result<T, Unreadable>) -> Option<T> {
        let why = match answer {
            Ok(answer) => {
                self.said = None;
                return Some(answer);
            }
            Err(Unreadable::Locked) => {
                "the vault is locked, so changes are not seen until 'keyvault unlock'".to_owned()
            }
            Err(Unreadable::Failed(failure)) => failure.message,
        };
        if self.said.as_ref() != Some(&why) {
            self.source.context.ui.warn(&format!("{} keeps the keys it has: {why}", self.order.name()));
            self.said = Some(why);
        }
        None
    }

    fn note(&self, text: &str) {
        self.source.context.ui.note(&format!("keyvault: {text}"));
    }
}

impl Keeper for Keys<'_> {
    fn now(&self) -> Moment {
        self.source.context.now()
    }

    fn stirred(&mut self) -> bool {
        let has_key = self.source.has_key();
        let turned = std::mem::replace(&mut self.had_key, has_key) != has_key;
        self.glance.changed() || turned
    }

    fn aftermath(&mut self, given: &[Given]) -> Option<Aftermath> {
        let now = self.now();
        let answer = self.source.with(|vault, access| {
            vault.aftermath(access, now, given).map_err(|error| Failure::of(error, vault.path()))
        });
        self.heard(answer)
    }

    fn could_start(&mut self) -> bool {
        let Order { selection, .. } = self.order;
        let answer = self.source.with(|vault, access| {
            let inspect = |resolved: &[Resolved]| self.order.inspect(resolved);
            let path = vault.path().to_owned();
            self.source.context.with_world(|world| {
                vault.preview(access, world, selection, &inspect).map_err(|error| Failure::of(error, &path))
            })
        });
        self.heard(answer).is_some()
    }

    fn rewrite(&mut self, fates: &[(Given, Fate)], refused: &[Given]) -> bool {
        let changed = |name: &KeyName| {
            fates.iter().any(|(_, fate)| matches!(fate, Fate::Replaced(by) if by.name == *name))
        };
        let refused = |name: &KeyName| refused.iter().any(|given| given.name == *name);
        let places = &self.order.places;
        let selection = places.wanted().of_files(&self.order.selection, changed, refused);
        let answer = if selection.is_empty() {
            places.clear_files(refused).map_err(|error| Unreadable::Failed(self.order.failed(&error.into())))
        } else {
            self.source.with(|vault, access| {
                let context = self.source.context;
                let resolved =
                    self.order.release(context, (vault, access), &selection, ", files rewritten")?;
                places
                    .clear_files(refused)
                    .and_then(|()| places.fill_files(&resolved))
                    .map_err(|error| self.order.failed(&error.into()))
            })
        };
        self.heard(answer).is_some()
    }

    fn say(&mut self, said: Said<'_>) {
        let command = self.order.name();
        match said {
            Said::Restarting(fates) => self.note(&format!("{}; starting {command} again.", told(fates))),
            Said::Ending(fates) => self.note(&format!("{}; ending {command}.", told(fates))),
            Said::Signalling(fates) => self.note(&format!("{}; {command} gets the signal.", told(fates))),
            Said::Waiting => self.note(&format!("{command} got TERM and still runs; it is waited for.")),
        }
    }
}

fn refused(order: &Order, fates: &[(Given, Fate)]) -> Failure {
    Failure::refused(
        &format!("{} was ended: {}.", order.name(), told(fates)),
        Some(
            "'keyvault rotate NAME' gives a revoked key a new value, 'keyvault edit NAME --expires' more time.",
        ),
    )
}

/// `stripe/live has version 4 now, db/url is revoked`
fn told(fates: &[(Given, Fate)]) -> String {
    let one = |(given, fate): &(Given, Fate)| match fate {
        Fate::Replaced(by) => format!("{} has version {} now", by.name, by.version),
        Fate::Expired => format!("{} has expired", given.name),
        Fate::Revoked => format!("{} is revoked", given.name),
        Fate::Removed => format!("{} was removed", given.name),
    };
    view::joined(fates.iter().map(one).collect::<Vec<_>>().iter())
}
