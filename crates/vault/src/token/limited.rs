//! Limited sessions: tokens that the kernel keeps instead of the daily key, for at most [`LONGEST`].
//!
//! Nothing in the file knows that a session was locked. So every change ends the sessions that are over, and opening a full
//! session ends those that were made by the same user on the same machine. A session that ends leaves nothing behind but
//! its reads, which move to the vault's own log.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::audit::{self, Action, Event, KeyRef, OfSession, Outcome};
use crate::key::edit::{key_ref, not_found};
use crate::key::record::KeyRecord;
use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::name::{KeyName, Scope, TokenName};

use super::error::TokenError;
use super::grant::Grant;
use super::read_log::{self, Of};
use super::record::{Apis, Rule, TokenKind, TokenRecord};
use super::regrant::{self, Grantee};
use super::{Issued, index};
use crate::error::{VaultError, is_damage};
use crate::file::open::{Access, Notice, Vault, World};
use crate::key;
use crate::tx::VerifiedTx;

/// How far the end of a session may lie ahead, in milliseconds.
pub const LONGEST: i64 = 12 * 3_600_000;

/// How the names of sessions begin, and of no other token.
const PREFIX: &str = "session/";

/// The keys that a session is limited to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought {
    /// The keys that carry any of these, now or later. Each must have a key.
    Scopes(Vec<Scope>),
    /// Those of these keys that there are, and that files may ask for.
    ForProject(Vec<KeyName>),
}

impl Sought {
    /// The rule, and the keys that match it now, which are found without reading the others.
    fn find(&self, tx: &mut VerifiedTx<'_>) -> Result<(Rule, Vec<KeyRecord>), VaultError> {
        let mut found = BTreeMap::new();
        match self {
            Self::Scopes(scopes) => {
                for scope in scopes {
                    let Some(keys) = key::of_scope(tx, scope)? else {
                        let near = tx.scope_like(scope)?;
                        return Err(VaultError::NoSuchScope { wanted: scope.clone(), near });
                    };
                    found.extend(keys.into_iter().map(|key| (key.id, key)));
                }
                let rule = Rule { scopes: scopes.iter().cloned().collect(), ..Rule::default() };
                Ok((rule, found.into_values().collect()))
            }
            Self::ForProject(names) => {
                for name in names {
                    found.extend(tx.key(name)?.map(|key| (key.id, key)));
                }
                if found.is_empty() {
                    return Err(not_found(tx, names.clone())?);
                }
                found.retain(|_, key| !key.is_withheld());
                let rule = Rule { keys: found.keys().copied().collect(), ..Rule::default() };
                Ok((rule, found.into_values().collect()))
            }
        }
    }
}

impl TokenRecord {
    #[must_use]
    pub fn is_session(&self) -> bool {
        self.kind == TokenKind::Session
    }

    /// Refuses a session where a machine's token is meant.
    pub(crate) fn refuse_session(&self) -> Result<(), TokenError> {
        if self.is_session() { Err(TokenError::IsSession(self.name.clone())) } else { Ok(()) }
    }
}

/// Refuses a name for a machine's token that would make it look like a session.
pub(crate) fn refuse_name(name: &TokenName) -> Result<(), TokenError> {
    if name.as_str().starts_with(PREFIX) { Err(TokenError::SessionName(name.clone())) } else { Ok(()) }
}

/// Makes the token of a limited session that ends after so many milliseconds, at most [`LONGEST`]. It takes the place of
/// those that this user made on this machine. `span` is the length in words, for the log.
pub fn begin_session(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    sought: &Sought,
    (length, span): (i64, &str),
) -> Result<Issued, VaultError> {
    vault.change(access, world, |tx| {
        end_some(tx, |session| is_made_here(session, world), world)?;
        let name = new_name(world)?;
        if index::find(tx, &name)?.is_some() {
            return Err(TokenError::Exists(name).into());
        }
        let (rule, mut keys) = sought.find(tx)?;
        keys.sort_by(|left, right| left.name.cmp(&right.name));
        let made = world.now();
        let expires = Some(made.plus_millis(length.clamp(0, LONGEST)));
        let extensions = Extensions::default();
        let detail = format!("limited session of {span}: {name}");
        let kind = TokenKind::Session;
        let (places, apis) = (BTreeMap::new(), Apis::new());
        let grantee = Grantee { kind, name, rule, expires, made, places, apis, extensions };
        let issued = regrant::issue(tx, grantee, &keys, &[], world)?;
        let opened = keys.iter().filter(|key| key.has_value(made)).map(key_ref).collect();
        let event = world.event(Action::Unlock, opened, detail).with(&of_session(&issued.record));
        Ok((issued, event))
    })
}

/// Ends the sessions that this user made on this machine, under the event of an unlock; whether there were any. If there
/// were none, nothing is written.
pub fn end_sessions(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    detail: &str,
) -> Result<bool, VaultError> {
    let is_own = |record: &TokenRecord| record.is_session() && is_made_here(record, world);
    if !vault.read(access, |tx| Ok(index::load_all(tx)?.iter().any(is_own)))? {
        return Ok(false);
    }
    vault.change_if_any(access, world, |tx| {
        tx.takes_away = true;
        let ended = end_some(tx, |session| is_made_here(session, world), world)?;
        let event = || world.event(Action::Unlock, Vec::new(), detail.to_owned());
        Ok((ended > 0, (ended > 0).then(event)))
    })
}

/// Ends one session, whoever made it.
pub fn end_session(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    name: &TokenName,
) -> Result<(), VaultError> {
    vault.change(access, world, |tx| {
        tx.takes_away = true;
        let session = index::existing(tx, name)?;
        end(tx, &session, world)?;
        Ok(((), world.event(Action::Unlock, Vec::new(), format!("no session was kept: {name}"))))
    })
}

/// The sessions that are in force, ordered by their end.
pub fn sessions(vault: &mut Vault, access: &Access, now: Moment) -> Result<Vec<TokenRecord>, VaultError> {
    vault.read(access, |tx| {
        let mut sessions = index::load_all(tx)?;
        sessions.retain(|record| record.is_session() && !record.expired(now));
        sessions.sort_by_key(|session| session.expires);
        Ok(sessions)
    })
}

/// Returns `true` if it is a session that has expired, or that ends later than any is made.
pub(crate) fn is_over(record: &TokenRecord, now: Moment) -> bool {
    let within = |end: Moment| end > now && end <= now.plus_millis(LONGEST);
    record.is_session() && !record.expires.is_some_and(within)
}

/// Ends the sessions that `over` says; how many they were.
pub(crate) fn end_some(
    tx: &mut VerifiedTx<'_>,
    over: impl Fn(&TokenRecord) -> bool,
    world: &World<'_>,
) -> Result<usize, VaultError> {
    let mut records = index::load_all(tx)?;
    records.retain(|record| record.is_session() && over(record));
    records.iter().try_for_each(|session| end(tx, session, world))?;
    Ok(records.len())
}

/// Takes everything of a session away, and moves its reads to the vault's own log.
pub(crate) fn end(
    tx: &mut VerifiedTx<'_>,
    session: &TokenRecord,
    world: &World<'_>,
) -> Result<(), VaultError> {
    let reads = reads_to_carry(tx, session, world)?;
    tx.carried.extend(reads);
    index::forget(tx, session)
}

/// Returns the reads of every session in `records`, for a change that rewrites the vault and drops its sessions.
pub(crate) fn all_reads_to_carry(
    tx: &VerifiedTx<'_>,
    records: &[TokenRecord],
    world: &World<'_>,
) -> Result<Vec<Event>, VaultError> {
    let mut all = Vec::new();
    for session in records.iter().filter(|record| record.is_session()) {
        all.extend(reads_to_carry(tx, session, world)?);
    }
    Ok(all)
}

fn of_session(record: &TokenRecord) -> OfSession {
    OfSession { session: record.name.clone(), made_by: record.made_by.clone() }
}

/// A session's reads as entries of the vault's log. The session's holder wrote them, and all that it can do is read keys
/// that it was granted, so an entry that says anything else is left out, and a name of another key.
fn reads_to_carry(
    tx: &VerifiedTx<'_>,
    session: &TokenRecord,
    world: &World<'_>,
) -> Result<Vec<Event>, VaultError> {
    let name = &session.name;
    let reads = match read_log::reads_of(tx, session) {
        Ok(reads) => reads,
        Err(error) => {
            let fault = read_log::fault_of(error)?;
            let detail = format!("{name}: its reads cannot be proved");
            world.note(Notice::ReadsBroken { token: name.clone(), fault });
            let event = world.event(Action::Unlock, Vec::new(), detail);
            return Ok(vec![Event { outcome: Outcome::Refused, ..event }]);
        }
    };
    let is_read = |read: &Event| Of::Token(name.clone(), 0).vouches_for(read) && read.change.is_none();
    // Nor does it say when its holder read if that is outside of the session's life.
    let (begin, end) = (session.created, world.now().max(session.created));
    let reads: Vec<_> = reads.into_iter().filter(is_read).collect();
    if reads.is_empty() {
        return Ok(reads);
    }
    let granted = granted_to(tx, session)?;
    let carried = |read: Event| {
        let time = read.time.clamp(begin, end);
        let (keys, others): (Vec<_>, Vec<_>) =
            read.keys.into_iter().partition(|key| granted.contains(&key.name));
        let mut detail =
            if read.detail.is_empty() { name.to_string() } else { format!("{name}: {}", read.detail) };
        if !others.is_empty() {
            let _ = write!(detail, ", names left out that it was not granted: {}", others.len());
        }
        let event = Event { time, keys, detail, extensions: Extensions::default(), ..read };
        event.with(&of_session(session))
    };
    Ok(reads.into_iter().map(carried).collect())
}

/// The names of the keys that a session was granted: by its grants as they are now, and by the log as it began.
fn granted_to(tx: &VerifiedTx<'_>, session: &TokenRecord) -> Result<BTreeSet<String>, VaultError> {
    let keys = session.keys(&tx.identity);
    let grants = match regrant::verified_grants(tx, session) {
        Err(error) if is_damage(&error) => Vec::new(),
        grants => grants?,
    };
    let grants = grants.iter().filter_map(|row| Grant::open(row, &keys, &tx.identity).ok());
    let mut names: BTreeSet<_> = grants.map(|grant| grant.key_ref().name).collect();
    names.extend(granted_at_first(tx, session)?.into_iter().map(|key| key.name));
    Ok(names)
}

/// The keys that the log names where the session began; none if that entry cannot be read. A session is young, so the log
/// is read from its end.
fn granted_at_first(tx: &VerifiedTx<'_>, session: &TokenRecord) -> Result<Vec<KeyRef>, VaultError> {
    const AT_ONCE: u64 = 256;
    let begins = of_session(session);
    let mut end = tx.current.record.audit_count;
    while end > 0 {
        let start = end.saturating_sub(AT_ONCE);
        let mut found = None;
        let read = audit::read_range(tx.rows, &tx.daily.audit, &tx.identity, start..end, &mut |_, event| {
            if event.action == Action::Unlock && event.get().as_ref() == Some(&begins) {
                found = Some(event.keys);
            }
        });
        if let Some(keys) = found {
            return Ok(keys);
        }
        // Past what is damaged.
        if let Err(error) = read.map_err(VaultError::from) {
            drop(read_log::fault_of(error)?);
        }
        end = start;
    }
    Ok(Vec::new())
}

fn is_made_here(session: &TokenRecord, world: &World<'_>) -> bool {
    session.made_by == format!("{}@{}", world.actor.user, world.actor.host)
}

/// A name that nobody chooses, so that sessions are told apart from each other and from machines.
fn new_name(world: &World<'_>) -> Result<TokenName, VaultError> {
    let mut number = [0; 4];
    world.rng.fill(&mut number)?;
    let name = format!("{PREFIX}{}", data_encoding::HEXLOWER.encode(&number));
    TokenName::parse(&name).map_err(|_| crate::tx::damaged("token: the name of a session"))
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::path::PathBuf;

    use keyvault_core::clock::SystemClock;
    use keyvault_core::crypto::{Cost, SealingKey, SystemRng};
    use keyvault_core::secret::SecretBytes;

    use super::*;
    use crate::audit::{Actor, Chain, Seed};
    use crate::file::busy::{Holder, Holders};
    use crate::file::create::{Creation, create_in_memory};
    use crate::file::open::Notices;
    use crate::key::edit::{self, Edit, NewKey, Origin};
    use crate::state::pin::Pins;
    use crate::unlock::passphrase::Passphrase;

    #[test]
    fn a_sessions_entry_names_no_key_that_the_session_was_not_granted() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let nobody = Holder { command: String::new(), pid: 0 };
        let world = World {
            clock: &SystemClock,
            rng: &SystemRng,
            actor: Actor { user: "ada".to_owned(), host: "box".to_owned(), ..Actor::default() },
            pins: Pins::in_folder(folder.path().to_owned()),
            holders: Holders::in_folder(PathBuf::from("/dev/null"), nobody),
            notices: Notices::told_by(&|_| ()),
            waiting: &|_, _| (),
        };
        let passphrase = Passphrase::new(&SecretBytes::copy_from(b"correct horse"))?;
        let creation = Creation { passphrase: &passphrase, cost: Cost::FLOOR, recovery: None };
        let mut vault = create_in_memory(&creation, &world)?;
        let access = vault.open_passphrase(&passphrase)?;
        let scope = Scope::parse("s")?;
        let add = |vault: &mut Vault, name: &str, scopes: &[&Scope]| -> Result<(), Box<dyn Error>> {
            let new = NewKey {
                public: false,
                name: KeyName::parse(name)?,
                variable: None,
                scopes: scopes.iter().copied().cloned().collect(),
                tags: BTreeMap::new(),
                note: String::new(),
                expires: None,
                origin: Origin::Given(SecretBytes::copy_from(b"value")),
            };
            edit::create(vault, &access, &world, &new, false)?;
            Ok(())
        };
        add(&mut vault, "first", &[&scope])?;
        add(&mut vault, "never", &[])?;
        let sought = Sought::Scopes(vec![scope.clone()]);
        let session = begin_session(&mut vault, &access, &world, &sought, (LONGEST, "12h"))?.record;
        add(&mut vault, "later", &[&scope])?;
        // The session had read it, and the grant is gone.
        let change = Edit { unscope: BTreeSet::from([scope]), ..Edit::default() };
        edit::edit(&mut vault, &access, &world, &[KeyName::parse("first")?], &change)?;
        vault.change(&access, &world, |tx| {
            let keys = session.keys(&tx.identity).audit;
            let session = index::existing(tx, &session.name)?;
            let named = ["first", "never", "later", "no/such"];
            let named = named.map(|name| KeyRef { name: name.to_owned(), version: 1 });
            let liar = Actor { user: "eve".to_owned(), ..Actor::default() };
            let read = Event { actor: liar, ..world.event(Action::Exec, named.to_vec(), "env".to_owned()) };
            let k0 = SealingKey::from_bytes(session.first_key.expose()).map(Seed::from);
            let k0 = k0.ok_or_else(|| crate::tx::damaged("k0"))?;
            let chain = Chain::rewrite(k0, tx.rows, &keys, &tx.identity, &[read], world.rng)?;
            assert_eq!(chain.count, 1);
            end(tx, &session, &world)?;
            Ok(((), world.event(Action::Unlock, Vec::new(), String::new())))
        })?;
        let mut entries = Vec::new();
        read_log::whole_log(&mut vault, &access, &mut |_, event| {
            entries.extend(event.is_carried().then(|| event.clone()));
        })?;
        assert_eq!(entries.len(), 1);
        let entry = entries.first().ok_or("no entry")?;
        let names: Vec<_> = entry.keys.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["first", "later"]);
        let name = session.name.as_str();
        assert_eq!(entry.detail, format!("{name}: env, names left out that it was not granted: 2"));
        assert_eq!(
            (entry.get::<OfSession>(), entry.actor.user.as_str()),
            (Some(of_session(&session)), "eve")
        );
        Ok(())
    }
}
