//! Typed details of events: what the program itself reads out of the log later. Each is an extension, so that a version
//! that does not know one still reads the event.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Moment;
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::name::{KeyName, Label, Scope, TokenName};
use keyvault_issue::record::Id;

use super::event::Action;

/// Something that an event says in a field of its own.
pub trait Detail: BorshSerialize + BorshDeserialize {
    /// Odd.
    const FIELD: u16;
    /// The actions whose events say it; in others the field means nothing.
    const ON: &'static [Action];
}

/// Entries that were missing from the log before a change; 0 if their number is not known.
#[derive(BorshSerialize, BorshDeserialize)]
pub(super) struct Missing(pub(super) u64);

/// The key of an `edit` or an `undelete` has this name from here on.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Renamed(pub KeyName);

/// The values of the versions that a `revoke` names went too, or the keys that a `remove` names with all of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Wiped;

/// Keys that a `remove` keeps, or that an `undelete` brings back, in the order in which the event names them.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct KeptIds(pub(crate) Vec<[u8; 16]>);

/// The change of a `token`.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TokenChange {
    pub deed: TokenDeed,
    pub token: TokenName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum TokenDeed {
    Created = 1,
    Renewed = 2,
    Revoked = 3,
    Edited = 4,
}

impl TokenDeed {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Renewed => "renewed",
            Self::Revoked => "revoked",
            Self::Edited => "edited",
        }
    }
}

/// The change of issued keys. They are named here and not among the event's keys, which are held ones: a restore and the
/// history of a held key of that name go by those.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IssuedChange {
    pub deed: IssuedDeed,
    pub api: Label,
    /// With the names that they had; keys of issuers have none.
    pub keys: BTreeMap<Id, Option<KeyName>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum IssuedDeed {
    Issued = 1,
    Rotated = 2,
    Edited = 3,
    Revoked = 4,
    Disabled = 5,
    Enabled = 6,
    Removed = 7,
    Undeleted = 8,
}

impl IssuedDeed {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Rotated => "rotated",
            Self::Edited => "edited",
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Removed => "removed",
            Self::Undeleted => "undeleted",
        }
    }
}

/// The change of an API, or of a client or a role in it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ApiChange {
    pub deed: ApiDeed,
    pub noun: ApiNoun,
    pub api: Label,
    pub name: Label,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum ApiNoun {
    Api = 1,
    Client = 2,
    Role = 3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum ApiDeed {
    Added = 1,
    Edited = 2,
    Removed = 3,
    Disabled = 4,
    Enabled = 5,
}

impl ApiNoun {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Client => "client",
            Self::Role => "role",
        }
    }
}

impl ApiDeed {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Edited => "edited",
            Self::Removed => "removed",
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
        }
    }
}

/// The scopes and the keys by name that an edit gave to a token or took from it, and the new expiry.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TokenEdited {
    pub scopes_added: BTreeSet<Scope>,
    pub scopes_removed: BTreeSet<Scope>,
    pub keys_added: BTreeSet<KeyName>,
    pub keys_removed: BTreeSet<KeyName>,
    pub expires: Option<NewExpiry>,
}

/// The expiry before and after; `None` is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct NewExpiry {
    pub before: Option<Moment>,
    pub after: Option<Moment>,
}

impl TokenEdited {
    /// Returns `true` if the token opens less than before, or for a shorter time.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        let earlier = |expiry: NewExpiry| match (expiry.before, expiry.after) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(before), Some(after)) => after < before,
        };
        !self.scopes_removed.is_empty() || !self.keys_removed.is_empty() || self.expires.is_some_and(earlier)
    }
}

/// Ledgers of devices that no longer passed through the point that an earlier change had recorded of them, and the count
/// at that point.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BrokenLedgers(pub BTreeMap<[u8; 16], u64>);

/// The number of the vault's last change before a read, which the ledger of its device does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct AfterChange(pub(crate) u64);

/// How long the version before stays good after a `rotate`, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Grace(pub i64);

/// Versions that were revoked, by the ids of keys that are gone from here on.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct RevokedBefore(pub(crate) BTreeMap<[u8; 16], Vec<Spent>>);

/// Keys that were disabled when they went, by their ids: since when, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct DisabledBefore(pub(crate) BTreeMap<[u8; 16], (Moment, String)>);

/// The limited session that an `unlock` began, or whose holder wrote an entry of a read. The actor of such a read is in
/// its holder's words.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OfSession {
    pub session: TokenName,
    /// `user@host` of its maker, in the owner's words.
    pub made_by: String,
}

/// A version that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Spent {
    pub(crate) version: u32,
    pub(crate) since: Moment,
    /// The change that revoked it.
    pub(crate) change: u64,
    pub(crate) wiped: bool,
    pub(crate) reason: String,
}

impl Detail for Missing {
    const FIELD: u16 = 1;
    const ON: &'static [Action] = &Action::ALL;
}

impl Detail for Renamed {
    const FIELD: u16 = 3;
    const ON: &'static [Action] = &[Action::Edit, Action::Undelete];
}

impl Detail for Wiped {
    const FIELD: u16 = 5;
    const ON: &'static [Action] = &[Action::Revoke, Action::Remove];
}

impl Detail for TokenChange {
    const FIELD: u16 = 7;
    const ON: &'static [Action] = &[Action::Token];
}

impl Detail for TokenEdited {
    const FIELD: u16 = 23;
    const ON: &'static [Action] = TokenChange::ON;
}

impl Detail for Grace {
    const FIELD: u16 = 9;
    const ON: &'static [Action] = &[Action::Rotate];
}

impl Detail for RevokedBefore {
    const FIELD: u16 = 11;
    const ON: &'static [Action] = &[Action::Remove, Action::Restore, Action::Rekey];
}

impl Detail for DisabledBefore {
    const FIELD: u16 = 13;
    const ON: &'static [Action] = RevokedBefore::ON;
}

impl Detail for OfSession {
    const FIELD: u16 = 15;
    const ON: &'static [Action] = &[Action::Unlock, Action::Exec, Action::Export, Action::Reveal];
}

impl Detail for BrokenLedgers {
    const FIELD: u16 = 17;
    const ON: &'static [Action] = &Action::ALL;
}

impl Detail for AfterChange {
    const FIELD: u16 = 19;
    const ON: &'static [Action] = OfSession::ON;
}

impl Detail for KeptIds {
    const FIELD: u16 = 21;
    const ON: &'static [Action] = &[Action::Remove, Action::Undelete];
}

impl Detail for IssuedChange {
    const FIELD: u16 = 25;
    const ON: &'static [Action] = &[Action::Issue];
}

impl Detail for ApiChange {
    const FIELD: u16 = 27;
    const ON: &'static [Action] = &[Action::Api];
}

/// Refuses a field that is defined here and is not what it must be.
pub(super) fn hold(extensions: &Extensions) -> Result<(), Malformed> {
    fn one<D: Detail>(extensions: &Extensions) -> Result<(), Malformed> {
        extensions.get(D::FIELD).map_or(Ok(()), |bytes| codec::decode::<D>(bytes).map(drop))
    }
    one::<Missing>(extensions)?;
    one::<Renamed>(extensions)?;
    one::<Wiped>(extensions)?;
    one::<TokenChange>(extensions)?;
    one::<Grace>(extensions)?;
    one::<RevokedBefore>(extensions)?;
    one::<DisabledBefore>(extensions)?;
    one::<OfSession>(extensions)?;
    one::<BrokenLedgers>(extensions)?;
    one::<AfterChange>(extensions)?;
    one::<KeptIds>(extensions)?;
    one::<TokenEdited>(extensions)?;
    one::<IssuedChange>(extensions)?;
    one::<ApiChange>(extensions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_defined_is_what_it_must_be() {
        let with = |field, bytes: &[u8]| hold(&Extensions::default().with(field, bytes.to_vec()));
        for (field, bytes) in [
            (1, &[0; 8][..]),
            (3, b"\x01\0\0\0a"),
            (5, b""),
            (7, b"\x01\x02\0\0\0ci"),
            (9, &[0; 8]),
            (11, &[0; 4]),
            (13, &[0; 4]),
            (15, b"\x01\0\0\0s\0\0\0\0"),
            (17, &[0; 4]),
            (19, &[0; 8]),
            (21, b"\0\0\0\0"),
            (23, &[0; 17]),
            (25, b"\x01\x01\0\0\0a\0\0\0\0"),
            (27, b"\x01\x03\x01\0\0\0a\x01\0\0\0b"),
            (29, b"of a later version"),
        ] {
            assert_eq!(with(field, bytes), Ok(()), "{field}");
        }
        for (field, bytes) in [
            (1, &[0; 7][..]),
            (3, b"\x01\0\0\0-"),
            (5, b"\0"),
            (7, b"\x05\x02\0\0\0ci"),
            (9, &[0; 9]),
            (11, &[1, 0, 0, 0]),
            (13, &[1, 0, 0, 0]),
            (15, b"\x01\0\0\0s"),
            (17, &[1, 0, 0, 0]),
            (19, &[0; 9]),
            (21, b"\x01\0\0\0id"),
            (23, &[0; 16]),
            (25, b"\x09\x01\0\0\0a\0\0\0\0"),
            (27, b"\x01\x04\x01\0\0\0a\x01\0\0\0b"),
        ] {
            assert_eq!(with(field, bytes), Err(Malformed), "{field}");
        }
    }
}
