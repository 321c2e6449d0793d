//! The content of an entry: names, versions and programs; never a value, never a full command line.

use borsh::{BorshDeserialize, BorshSerialize, io};
use keyvault_core::clock::Moment;
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::crypto::Hash;

use super::detail::{self, BrokenLedgers, Detail, Missing, OfSession};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Init,
    Unlock,
    Generate,
    /// A key was taken from elsewhere.
    Add,
    Edit,
    Remove,
    /// A removed key was brought back.
    Undelete,
    Import,
    Export,
    /// Values were given to a process.
    Exec,
    /// A value was shown.
    Reveal,
    /// A rolled back or forked file was accepted.
    Adopt,
    /// A key got a new version.
    Rotate,
    /// An older version became current again.
    Rollback,
    /// Versions were refused for good.
    Revoke,
    /// Keys are refused until they are enabled.
    Disable,
    Enable,
    /// A passphrase slot was rewritten.
    Passwd,
    /// A recovery code was used to set a passphrase.
    Recover,
    /// Everything was resealed under a new root.
    Rekey,
    /// A slot was added or taken away.
    Slot,
    /// A backup was put in the vault's place.
    Restore,
    /// A token was made, renewed or revoked, or what its bearer read was imported.
    Token,
    Bundle,
    /// A key of our own API was issued, or changed.
    Issue,
    /// An API, a client, or a role came, went, or was changed.
    Api,
}

impl Action {
    pub(super) const ALL: [Self; 26] = [
        Self::Init,
        Self::Unlock,
        Self::Generate,
        Self::Add,
        Self::Edit,
        Self::Remove,
        Self::Undelete,
        Self::Import,
        Self::Export,
        Self::Exec,
        Self::Reveal,
        Self::Adopt,
        Self::Rotate,
        Self::Rollback,
        Self::Revoke,
        Self::Disable,
        Self::Enable,
        Self::Passwd,
        Self::Recover,
        Self::Rekey,
        Self::Slot,
        Self::Restore,
        Self::Token,
        Self::Bundle,
        Self::Issue,
        Self::Api,
    ];

    /// The word that stands in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Unlock => "unlock",
            Self::Generate => "generate",
            Self::Add => "add",
            Self::Edit => "edit",
            Self::Remove => "remove",
            Self::Undelete => "undelete",
            Self::Import => "import",
            Self::Export => "export",
            Self::Exec => "exec",
            Self::Reveal => "reveal",
            Self::Adopt => "adopt",
            Self::Rotate => "rotate",
            Self::Rollback => "rollback",
            Self::Revoke => "revoke",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Passwd => "passwd",
            Self::Recover => "recover",
            Self::Rekey => "rekey",
            Self::Slot => "slot",
            Self::Restore => "restore",
            Self::Token => "token",
            Self::Bundle => "bundle",
            Self::Issue => "issue",
            Self::Api => "api",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// Every name, for help texts and completion.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(Self::name)
    }
}

// In an event an action is its word.
impl BorshSerialize for Action {
    fn serialize<W: io::Write>(&self, writer: &mut W) -> io::Result<()> {
        self.name().serialize(writer)
    }
}

impl BorshDeserialize for Action {
    fn deserialize_reader<R: io::Read>(reader: &mut R) -> io::Result<Self> {
        Self::parse(&String::deserialize_reader(reader)?).ok_or_else(|| Malformed.into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
pub enum Outcome {
    Done = 0,
    /// Refused or failed.
    Refused = 1,
}

impl Outcome {
    /// The word that stands in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// The user and the process behind an event, as far as the system tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub struct Actor {
    /// Login name.
    pub user: String,
    pub host: String,
    /// Process id of the keyvault command.
    pub pid: u32,
    /// The program that started keyvault: a shell, an editor, a runner.
    pub program: String,
    pub terminal: Option<String>,
    /// The CI job, where a known CI service says so.
    pub job: Option<String>,
}

/// A version of a key as an event names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub struct KeyRef {
    /// The key's name at that time.
    pub name: String,
    /// The version's number; 0 where none is meant.
    pub version: u32,
}

/// Set on an event that records a change; binds it to the state before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ChangeMark {
    pub number: u64,
    /// The state record before it, as its hash.
    pub previous: Hash,
}

#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Event {
    /// The wall clock. Recorded, not trusted: order comes from the chain.
    pub time: Moment,
    pub action: Action,
    pub outcome: Outcome,
    pub actor: Actor,
    pub keys: Vec<KeyRef>,
    /// More in words: the program an `exec` started, what an `edit` changed.
    pub detail: String,
    /// Set on changes.
    pub change: Option<ChangeMark>,
    pub extensions: Extensions,
}

/// Entries of the log that a machine had seen and that were gone when it made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogGap {
    /// So many entries at the end.
    Missing(u64),
    /// The last entry that was seen was another one.
    Replaced,
}

impl Event {
    /// The event, saying this too.
    #[must_use]
    pub fn with<D: Detail>(self, detail: &D) -> Self {
        let extensions = self.extensions.with(D::FIELD, codec::encode(detail));
        Self { extensions, ..self }
    }

    /// A detail, if the event has it.
    #[must_use]
    pub fn get<D: Detail>(&self) -> Option<D> {
        let bytes = self.extensions.get(D::FIELD).filter(|_| D::ON.contains(&self.action))?;
        codec::decode(bytes).ok()
    }

    /// The event of a change that was made on a log with a gap.
    #[must_use]
    pub fn behind_gap(self, gap: LogGap) -> Self {
        self.with(&Missing(match gap {
            LogGap::Missing(count) => count,
            LogGap::Replaced => 0,
        }))
    }

    /// The gap in the log that this change found.
    #[must_use]
    pub fn gap(&self) -> Option<LogGap> {
        let of_a_device = || self.get::<BrokenLedgers>().map(|_| LogGap::Replaced);
        let own = self.get().map(|missing| match missing {
            Missing(0) => LogGap::Replaced,
            Missing(count) => LogGap::Missing(count),
        });
        own.or_else(of_a_device)
    }

    /// Returns `true` if a limited session's holder wrote it, and it came to the vault's log with the session's end.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        self.action != Action::Unlock && self.get::<OfSession>().is_some()
    }

    /// The event's plain encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The event that these bytes encode.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let event: Self = codec::decode(bytes)?;
        detail::hold(&event.extensions)?;
        // No version adds one to events: an entry that some versions take for broken would be a gap in the log.
        if event.extensions.must_be_known().is_some() { Err(Malformed) } else { Ok(event) }
    }
}
