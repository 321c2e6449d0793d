//! Where values come from: the vault, to whoever opened it; a token's grants in a vault; a token's bundle.
//!
//! Whoever hands values out asks here and does not care. Each way verifies by its own keys, and each writes down what is
//! read before it leaves: in the vault's log, in the token's, or where the bundle is.

pub(crate) mod changes;
pub(crate) mod compose;
pub(crate) mod key_source;
pub(crate) mod problem;
pub(crate) mod select;

use std::path::Path;

use crate::audit::KeyRef;
use crate::state::pin::Memory;
use keyvault_core::clock::Moment;

use self::changes::{Aftermath, Given};
use self::compose::{Filled, Pick, Piece, Survey};
use self::problem::Problem;
use self::select::{Preview, Purpose, Resolution, Resolved, Resolver, Selection};
use super::error::VaultError;
use super::file::open::{Access, Notice, Vault, World};
use super::token::bearer::Holding;
use super::token::bundle::Bundle;
use super::token::offline_reads::ReadsLog;

/// Keys that can be had without asking anybody any more.
pub enum Supply {
    /// Everything, to the vault's owner.
    Vault(Vault, Access),
    /// A token's grants in a vault.
    Granted(Vault, Holding),
    /// A token's grants in a bundle.
    Bundled(Box<Bundle>, Holding, ReadsLog),
}

/// Looks at values before anything is released, for what is wrong with them.
pub type Inspect<'i> = dyn Fn(&[Resolved]) -> Vec<Problem> + 'i;

impl Supply {
    /// The vault's path; a bundle has none.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Vault(vault, _) | Self::Granted(vault, _) => Some(vault.path()),
            Self::Bundled(..) => None,
        }
    }

    /// Whether a machine has them, whose grants decide what it gets.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        !matches!(self, Self::Vault(..))
    }

    /// Resolves a selection to values. All problems are collected, with those that `inspect` finds, before anything is
    /// recorded or released.
    pub fn resolve(
        &mut self,
        world: &World<'_>,
        selection: &Selection,
        purpose: Purpose,
        inspect: &Inspect<'_>,
    ) -> Result<Resolution, VaultError> {
        self.release(world, purpose, |mut keys, now| keys.resolve(selection, now, inspect))
    }

    /// What [`Supply::resolve`] would release, by name and variable only; nothing is recorded.
    pub fn preview(
        &mut self,
        world: &World<'_>,
        selection: &Selection,
        inspect: &Inspect<'_>,
    ) -> Result<Preview, VaultError> {
        self.look(world, |mut keys, now| {
            keys.resolve(selection, now, inspect).map(|(resolution, _)| resolution.into())
        })
    }

    /// How it stands with the variables that a file asks for; nothing is released or recorded.
    pub fn survey(
        &mut self,
        world: &World<'_>,
        picks: &[Pick],
        inspect: &Inspect<'_>,
    ) -> Result<Survey, VaultError> {
        self.look(world, |mut keys, now| keys.survey(picks, now, inspect))
    }

    /// Fills a text: its pieces, one behind the other.
    pub fn fill(
        &mut self,
        world: &World<'_>,
        pieces: &[Piece],
        purpose: Purpose,
    ) -> Result<Filled, VaultError> {
        self.release(world, purpose, |mut keys, now| keys.fill(pieces, now))
    }

    /// What became of versions that were handed out. Refuses in an alarm: an older vault says nothing about now.
    pub fn aftermath(&mut self, world: &World<'_>, given: &[Given]) -> Result<Aftermath, VaultError> {
        self.look(world, |mut keys, now| keys.aftermath(now, given))
    }

    /// Lets go of the file without closing it, right before the process becomes another program.
    pub fn leave_open(self) {
        match self {
            Self::Vault(vault, _) | Self::Granted(vault, _) => vault.leave_open(),
            Self::Bundled(..) => {}
        }
    }

    fn release<T>(
        &mut self,
        world: &World<'_>,
        purpose: Purpose,
        take: impl FnOnce(Resolver<'_>, Moment) -> Result<(T, Vec<KeyRef>), VaultError>,
    ) -> Result<T, VaultError> {
        let now = world.now();
        match self {
            Self::Vault(vault, access) => {
                let released = vault.release(access, world, |work| {
                    let (taken, read) = take(Resolver { source: work }, now)?;
                    Ok((taken, world.event(purpose.action, read, purpose.detail)))
                });
                tell_if_unreadable(vault, world);
                released
            }
            Self::Granted(vault, holding) => {
                vault.release_granted(holding, world, purpose, |keys| take(keys, now))
            }
            Self::Bundled(bundle, holding, log) => {
                bundle.release(holding, log, world, purpose, |keys| take(keys, now))
            }
        }
    }

    fn look<T>(
        &mut self,
        world: &World<'_>,
        look: impl FnOnce(Resolver<'_>, Moment) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let now = world.now();
        match self {
            Self::Vault(vault, access) => {
                tell_if_unreadable(vault, world);
                vault.look(access, |keys| look(keys, now))
            }
            Self::Granted(vault, holding) => vault.look_granted(holding, world, |keys| look(keys, now)),
            Self::Bundled(bundle, ..) => bundle.look(|keys| look(keys, now)),
        }
    }
}

/// The pin is read once on the way of `exec`, together with the state, and so not looked at before.
fn tell_if_unreadable(vault: &Vault, world: &World<'_>) {
    if *vault.memory() == Memory::Unreadable {
        (world.notice)(Notice::UnreadableMemory);
    }
}
