//! The content of an entry: names, versions and programs; never a value, never a full command line.

use keyvault_core::clock::Moment;
use keyvault_core::codec::{Decoder, Encoder, Extensions, Malformed};
use keyvault_core::crypto::Hash;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Init,
    Unlock,
    Generate,
    /// A key was taken from elsewhere.
    Add,
    Edit,
    Remove,
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
    /// A passphrase slot was written anew.
    Passwd,
    /// A recovery code was used to set a passphrase.
    Recover,
    /// Everything was sealed anew under a new root.
    Rekey,
    /// A slot was added or taken away.
    Slot,
    /// A backup was put in the vault's place.
    Restore,
    /// A token was made, renewed or revoked, or what its bearer read was imported.
    Token,
    Bundle,
}

impl Action {
    const ALL: [(Self, &'static str); 21] = [
        (Self::Init, "init"),
        (Self::Unlock, "unlock"),
        (Self::Generate, "generate"),
        (Self::Add, "add"),
        (Self::Edit, "edit"),
        (Self::Remove, "remove"),
        (Self::Import, "import"),
        (Self::Export, "export"),
        (Self::Exec, "exec"),
        (Self::Reveal, "reveal"),
        (Self::Adopt, "adopt"),
        (Self::Rotate, "rotate"),
        (Self::Rollback, "rollback"),
        (Self::Revoke, "revoke"),
        (Self::Passwd, "passwd"),
        (Self::Recover, "recover"),
        (Self::Rekey, "rekey"),
        (Self::Slot, "slot"),
        (Self::Restore, "restore"),
        (Self::Token, "token"),
        (Self::Bundle, "bundle"),
    ];

    /// The word that stands in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(action, _)| *action == self).map_or("", |(_, name)| name)
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(action, _)| *action)
    }

    /// Every name, for help texts and completion.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|(_, name)| *name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Refused or failed.
    Refused,
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyRef {
    /// The key's name at that time.
    pub name: String,
    /// The version's number; 0 where none is meant.
    pub version: u32,
}

/// Set on an event that records a change; binds it to the state before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeMark {
    pub number: u64,
    /// The state record before it, as its hash.
    pub previous: Hash,
}

#[derive(Debug, Clone, PartialEq, Eq)]
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

/// What of the log that a machine saw was no longer there when it made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogGap {
    /// So many entries at the end.
    Missing(u64),
    /// The last entry that was seen was another one.
    Replaced,
}

/// The extension of an event that says what was missing of the log before it: u64 entries, 0 if that is not known.
const GAP_FIELD: u16 = 1;

impl Event {
    /// The event of a change that was made on a log with a gap.
    #[must_use]
    pub fn behind_gap(self, gap: LogGap) -> Self {
        let missing = match gap {
            LogGap::Missing(count) => count,
            LogGap::Replaced => 0,
        };
        let extensions = self.extensions.with(GAP_FIELD, missing.to_le_bytes().to_vec());
        Self { extensions, ..self }
    }

    /// What was missing of the log before this change.
    #[must_use]
    pub fn gap(&self) -> Option<LogGap> {
        match u64::from_le_bytes(self.extensions.get(GAP_FIELD)?.try_into().ok()?) {
            0 => Some(LogGap::Replaced),
            missing => Some(LogGap::Missing(missing)),
        }
    }

    /// The event's plain encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let text = |encoder: Encoder, text: &String| encoder.bytes(text.as_bytes());
        Encoder::new()
            .i64(self.time.0)
            .bytes(self.action.name().as_bytes())
            .u8(match self.outcome {
                Outcome::Done => 0,
                Outcome::Refused => 1,
            })
            .bytes(self.actor.user.as_bytes())
            .bytes(self.actor.host.as_bytes())
            .u32(self.actor.pid)
            .bytes(self.actor.program.as_bytes())
            .option(self.actor.terminal.as_ref(), text)
            .option(self.actor.job.as_ref(), text)
            .list(&self.keys, |encoder, key| encoder.bytes(key.name.as_bytes()).u32(key.version))
            .bytes(self.detail.as_bytes())
            .option(self.change, |encoder, change| encoder.u64(change.number).fixed(&change.previous))
            .extensions(&self.extensions)
            .finish()
    }

    /// The event that these bytes encode.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(bytes);
        let text = |decoder: &mut Decoder<'_>| decoder.text().map(str::to_owned);
        let event = Self {
            time: Moment(decoder.i64()?),
            action: Action::parse(decoder.text()?).ok_or(Malformed)?,
            outcome: match decoder.u8()? {
                0 => Outcome::Done,
                1 => Outcome::Refused,
                _ => return Err(Malformed),
            },
            actor: Actor {
                user: text(&mut decoder)?,
                host: text(&mut decoder)?,
                pid: decoder.u32()?,
                program: text(&mut decoder)?,
                terminal: decoder.option(text)?,
                job: decoder.option(text)?,
            },
            keys: decoder.list(|decoder| Ok(KeyRef { name: text(decoder)?, version: decoder.u32()? }))?,
            detail: text(&mut decoder)?,
            change: decoder
                .option(|decoder| Ok(ChangeMark { number: decoder.u64()?, previous: decoder.array()? }))?,
            extensions: decoder.extensions()?,
        };
        decoder.end()?;
        // No version adds one to events: an entry that some versions take for broken would be a gap in the log.
        if event.extensions.must_be_known().is_some() { Err(Malformed) } else { Ok(event) }
    }
}
