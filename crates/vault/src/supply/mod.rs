//! Suppliers of values: the vault, for its owner; a token's grants in a vault; a token's bundle.
//!
//! A caller that hands values out begins a [`Reading`] here and does not care which supplier it has. Each supplier
//! verifies by its own keys, and records every read before its value leaves: in the vault's audit log, in the token's,
//! or next to the bundle. The choice of keys, and where they go, is the caller's.

pub(crate) mod json;
pub(crate) mod key_source;
pub(crate) mod key_view;
pub(crate) mod reading;
pub(crate) mod unrecorded;

pub use self::reading::{begin, look};

use std::path::Path;

use crate::audit::Action;
use crate::state::pin::Memory;

pub use self::json::{FieldFault, JsonField, JsonKind, JsonText, NotAField, NotJson};
pub use self::key_source::KeySource;
pub use self::key_view::KeyView;
use self::reading::Bundled;
pub use self::reading::{Keys, Looking, Reading, Taking};
pub use self::unrecorded::{Encoding, Fragment, Recorded, Shape, Unrecorded};
use super::error::VaultError;
use super::file::open::{Access, Notice, Vault, World};
use super::token::bearer::BearerKeys;
use super::token::bundle::Bundle;
use super::token::offline_reads::ReadsLog;

/// The use of the values, as the audit log says it.
#[derive(Debug, Clone)]
pub struct Purpose {
    /// `exec` or `export`.
    pub action: Action,
    pub detail: String,
}

/// Keys that can be had without asking anybody any more.
pub enum Supply {
    Vault(Vault, Access),
    /// A token's or a limited session's grants in a vault.
    Granted(Vault, BearerKeys),
    /// A token's grants in a bundle.
    Bundled(Box<Bundle>, BearerKeys, ReadsLog),
}

impl Supply {
    /// The vault's path; a bundle has none.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Vault(vault, _) | Self::Granted(vault, _) => Some(vault.path()),
            Self::Bundled(..) => None,
        }
    }

    /// Returns `true` if the keys are those of a limited session.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        matches!(self, Self::Granted(_, bearer) if bearer.is_session())
    }

    /// Begins to take values. No other writer can change a vault until the reading ends.
    pub fn begin<'s>(&'s mut self, world: &'s World<'s>) -> Result<Reading<'s, Taking>, VaultError> {
        match self {
            Self::Vault(vault, access) => {
                let reading = begin(vault, access, world);
                tell_if_unreadable(reading.as_ref().ok().and_then(Reading::memory), world);
                reading
            }
            Self::Granted(vault, bearer) => reading::begin_granted(vault, bearer, world),
            Self::Bundled(bundle, bearer, log) => {
                Ok(Reading::begin(Bundled { bundle, bearer, log }.into(), world))
            }
        }
    }

    /// Begins to look at keys as they would be taken; nothing is recorded, and nothing can be released. Refuses in an
    /// alarm: an older vault says nothing about now.
    pub fn look<'s>(&'s mut self, world: &'s World<'s>) -> Result<Reading<'s, Looking>, VaultError> {
        match self {
            Self::Vault(vault, access) => {
                tell_if_unreadable(Some(vault.memory()), world);
                look(vault, access, world)
            }
            Self::Granted(vault, bearer) => reading::look_granted(vault, bearer, world),
            Self::Bundled(bundle, bearer, log) => {
                Ok(Reading::look(Bundled { bundle, bearer, log }.into(), world))
            }
        }
    }

    /// Lets go of the file without closing it, right before the process becomes another program.
    pub fn leave_open(self) {
        match self {
            Self::Vault(vault, _) | Self::Granted(vault, _) => vault.leave_open(),
            Self::Bundled(..) => {}
        }
    }
}

/// The pin is read once on the way of `exec`, together with the state, and so not looked at before.
fn tell_if_unreadable(memory: Option<&Memory>, world: &World<'_>) {
    if memory == Some(&Memory::Unreadable) {
        world.note(Notice::UnreadableMemory);
    }
}
