//! The keys that are accepted: a vault is followed with a verifier's token, and each state of its sets becomes a snapshot that
//! requests are judged by.
//!
//! A thread of its own does all that reads the file. It asks SQLite every 10 ms whether another process has changed the
//! vault, and reads the sets only then. Requests see the snapshot of before until the new one is whole.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use keyvault_core::clock::{Clock, Moment, SystemClock};
use keyvault_core::crypto::SystemRng;
use keyvault_core::secret::SecretBytes;
use keyvault_issue::decide::{Bearer, Counters, Decision, LimitOf, Now, Outcome as Decided, Request, decide};
use keyvault_issue::record::{Id, Period};
use keyvault_issue::set::LoadedSet;
use keyvault_issue::snapshot::{Asked as Circumstances, Found, Records, Snapshot};
use keyvault_issue::standing::{Counter, Sets};
use keyvault_os::process::actor;
use keyvault_vault::audit::Actor;
use keyvault_vault::issued::{self, SetsSeen};
use keyvault_vault::state::pin::Pins;
use keyvault_vault::unlock::token::{self, Token};
use keyvault_vault::{Holder, Holders, Notices, Vault, World};

use crate::config::Config;
use crate::error::StartError;
use crate::verdict::{Asked, Judge, Known, LimitState, Outcome, Verdict};

/// Between two looks at whether the vault has changed.
const LOOK: Duration = Duration::from_millis(10);
/// Between two looks at whether the path still leads to the file.
const LOOK_AT_FILE: Duration = Duration::from_secs(1);
/// An issuer's end takes effect by the clock and not by a change, so sets with issuers are read again after this time.
const LOOK_AT_ISSUERS: Duration = Duration::from_secs(30);
/// Between two tries after a failure.
const RETRY: Duration = Duration::from_millis(200);
/// Between two times that counters which say nothing any more are dropped.
const PRUNE: Duration = Duration::from_secs(60);

/// Judges by the newest snapshot.
pub(crate) struct Keys {
    loaded: RwLock<Arc<Loaded>>,
    counters: Counters,
    began: Instant,
    /// Milliseconds after `began` at which the snapshot was last known to be that of the vault.
    confirmed: AtomicU64,
    unconfirmed: Duration,
}

/// One state of the sets.
struct Loaded {
    snapshot: Snapshot,
    clients: HashMap<Id, Box<str>>,
    has_issuers: bool,
}

/// The source of snapshots.
struct Source {
    vault: PathBuf,
    token: Token,
    state: PathBuf,
    api: Option<String>,
    /// The fault that was told last, so that it is told once.
    told: Mutex<Option<String>>,
    tell: Box<dyn Fn(&str) + Send + Sync>,
}

impl Keys {
    /// Reads the sets, and follows the vault from then on, as long as the result is there.
    pub(crate) fn start(
        config: &Config,
        tell: Box<dyn Fn(&str) + Send + Sync>,
    ) -> Result<Arc<Self>, StartError> {
        let path = &config.token_file;
        let fault = |error| StartError::Read { path: path.clone(), error };
        let mut file = File::open(path).map_err(fault)?;
        let text = SecretBytes::read_from(&mut file, token::MAX_LEN);
        let token = text.ok().and_then(|text| Token::parse(text.expose()).ok());
        let token =
            token.ok_or_else(|| StartError::Keys(format!("{} does not contain a token", path.display())))?;
        let source = Source {
            vault: config.vault.clone(),
            token,
            state: config.state.clone(),
            api: config.api.clone(),
            told: Mutex::default(),
            tell,
        };
        let (sender, receiver): (Sender<Result<Arc<Self>, String>>, Receiver<_>) = channel();
        let unconfirmed = config.unconfirmed;
        let follow = move || source.follow(unconfirmed, &sender);
        thread::Builder::new().name("keys".to_owned()).spawn(follow).map_err(StartError::Worker)?;
        let first =
            receiver.recv().unwrap_or_else(|_| Err("the thread that reads the vault ended".to_owned()));
        first.map_err(StartError::Keys)
    }

    fn confirm(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.confirmed.store(now, Ordering::Relaxed);
    }

    fn is_confirmed(&self) -> bool {
        let confirmed = Duration::from_millis(self.confirmed.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(confirmed) < self.unconfirmed
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn swap(&self, loaded: Loaded) {
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
    }

    fn now(&self) -> Now {
        let ticks = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { wall: SystemClock.now(), ticks }
    }
}

impl Judge for Keys {
    fn decide(&self, asked: &Asked<'_>) -> Verdict {
        if !self.is_confirmed() {
            return Verdict {
                outcome: Outcome::Unavailable,
                key: None,
                limits: Vec::new(),
                retry_after: None,
            };
        }
        let loaded = self.loaded();
        let request = Request {
            credential: asked.credential,
            asked: Circumstances {
                network: Some(asked.network),
                origin: asked.origin,
                app: None,
                method: Some(asked.method),
                path: Some(asked.path),
            },
            needs: asked.needs,
            costs: asked.costs,
        };
        let decision = decide(&loaded.snapshot, &self.counters, &request, self.now());
        loaded.verdict(&decision)
    }

    fn is_in_force(&self, key_id: &str) -> bool {
        let loaded = self.loaded();
        let found = Id::parse(key_id).map(|id| loaded.snapshot.by_id(&id));
        self.is_confirmed()
            && matches!(found, Some(Found::Known(known)) if known.refused_at(SystemClock.now()).is_none())
    }

    fn unready(&self) -> Option<&'static str> {
        (!self.is_confirmed()).then_some("the sets of keys are not confirmed")
    }
}

impl Loaded {
    fn of(sets: &Sets) -> Self {
        let all = || std::iter::once(sets.owner()).chain(sets.issuers());
        let clients = all().flat_map(LoadedSet::clients);
        Self {
            snapshot: Snapshot::build(sets),
            clients: clients.map(|client| (client.id, client.name.as_str().into())).collect(),
            has_issuers: sets.issuers().next().is_some(),
        }
    }

    fn verdict(&self, decision: &Decision<'_>) -> Verdict {
        let known = |bearer: &Bearer<'_>| {
            let scopes: Vec<&str> = bearer.scopes.iter().map(keyvault_core::name::Scope::as_str).collect();
            Arc::new(Known {
                id: bearer.id.as_str().into(),
                client: bearer.client.and_then(|client| self.clients.get(&client).cloned()),
                scopes: scopes.join(" ").into(),
            })
        };
        Verdict {
            outcome: outcome(decision.outcome),
            key: decision.bearer.as_ref().map(known),
            limits: decision.limits.iter().map(limit_state).collect(),
            retry_after: decision.retry_after.map(Duration::from_nanos),
        }
    }
}

fn outcome(decided: Decided) -> Outcome {
    match decided {
        Decided::Valid => Outcome::Valid,
        Decided::NotFound => Outcome::NotFound,
        Decided::Forbidden => Outcome::Forbidden,
        Decided::InsufficientPermissions => Outcome::InsufficientPermissions,
        Decided::UsageExceeded => Outcome::UsageExceeded,
        Decided::RateLimited => Outcome::RateLimited,
        Decided::Disabled => Outcome::Disabled,
        Decided::Expired => Outcome::Expired,
        Decided::Revoked => Outcome::Revoked,
        Decided::Unavailable => Outcome::Unavailable,
    }
}

fn limit_state(state: &keyvault_issue::decide::LimitState<'_>) -> LimitState {
    const DAY: Duration = Duration::from_secs(86_400);
    let (name, quota, window) = match state.limit {
        LimitOf::Rate(limit) => (limit.name.as_str(), limit.count.into(), Duration::from_millis(limit.per)),
        LimitOf::Quota { period: Period::Day, amount } => ("day", amount, DAY),
        // A window has one length; months have several.
        LimitOf::Quota { period: Period::Month, amount } => ("month", amount, 30 * DAY),
    };
    // A key and its client may have limits of one name.
    let name = match state.counter {
        Counter::Key => name.to_owned(),
        Counter::Client => format!("client-{name}"),
    };
    LimitState {
        name: name.into(),
        quota,
        window,
        remaining: state.remaining,
        reset: Duration::from_nanos(state.reset),
    }
}

impl Source {
    /// Runs until nobody asks for verdicts any more.
    fn follow(self, unconfirmed: Duration, first: &Sender<Result<Arc<Keys>, String>>) {
        let tell = |notice| (self.tell)(&format!("{notice:?}"));
        let pid = std::process::id();
        let who = actor::who();
        let world = World {
            clock: &SystemClock,
            rng: &SystemRng,
            actor: Actor {
                user: who.user,
                host: who.host,
                pid,
                program: who.parent,
                terminal: None,
                job: None,
            },
            pins: Pins::in_folder(self.state.join("pins")),
            holders: Holders::in_folder(self.state.clone(), Holder { command: "gateway".to_owned(), pid }),
            notices: Notices::told_by(&tell),
            waiting: &|_, _| (),
        };
        let (mut vault, version, loaded) = match self.open(&world) {
            Ok(opened) => opened,
            Err(why) => return drop(first.send(Err(why))),
        };
        let keys = Arc::new(Keys {
            loaded: RwLock::new(Arc::new(loaded)),
            counters: Counters::in_memory(),
            began: Instant::now(),
            confirmed: AtomicU64::new(0),
            unconfirmed,
        });
        let watched = Arc::downgrade(&keys);
        if first.send(Ok(keys)).is_err() {
            return;
        }
        let (mut version, mut times) = (Some(version), Times::new());
        while let Some(keys) = Weak::upgrade(&watched) {
            match self.look(&mut vault, &mut version, &mut times, &keys, &world) {
                Ok(()) => {
                    keys.confirm();
                    *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    drop(keys);
                    thread::sleep(LOOK);
                }
                Err(why) => {
                    self.tell_once(why);
                    drop(keys);
                    thread::sleep(RETRY);
                    if let Ok(opened) = Vault::open(&self.vault, &world.pins) {
                        vault = opened;
                    }
                    version = None;
                }
            }
        }
    }

    fn open(&self, world: &World<'_>) -> Result<(Vault, i64, Loaded), String> {
        let mut vault = Vault::open(&self.vault, &world.pins).map_err(|error| error.to_string())?;
        // Before the sets are read: a change in between is seen by the first look.
        let version = issued::data_version(&vault).map_err(|error| error.to_string())?;
        let loaded = self.load(&mut vault, world)?;
        Ok((vault, version, loaded))
    }

    /// Has the snapshot be that of the vault. An error leaves it as it was, and unconfirmed.
    fn look(
        &self,
        vault: &mut Vault,
        version: &mut Option<i64>,
        times: &mut Times,
        keys: &Keys,
        world: &World<'_>,
    ) -> Result<(), String> {
        if times.file.is_due(LOOK_AT_FILE) {
            issued::still_there(vault).map_err(|error| error.to_string())?;
        }
        if times.prune.is_due(PRUNE) {
            let now = keys.now();
            keys.counters.prune(now.ticks, now.wall);
        }
        // Before the sets are read: a change in between is seen by the next look.
        let present = issued::data_version(vault).map_err(|error| error.to_string())?;
        let has_issuers = keys.loaded().has_issuers && times.issuers.is_due(LOOK_AT_ISSUERS);
        if *version != Some(present) || has_issuers {
            let loaded = self.load(vault, world)?;
            keys.swap(loaded);
            *version = Some(present);
        }
        Ok(())
    }

    fn load(&self, vault: &mut Vault, world: &World<'_>) -> Result<Loaded, String> {
        let seen = issued::read_sets(vault, &self.token, world).map_err(|error| error.to_string())?;
        let sets = self.sets(seen, world.now())?;
        Ok(Loaded::of(&sets))
    }

    /// The sets of the API that is meant.
    fn sets(&self, seen: SetsSeen, now: Moment) -> Result<Sets, String> {
        let SetsSeen { list, apis, .. } = seen;
        let several = apis.len() > 1;
        let mut fault = None;
        for sets in apis.into_values() {
            let sets = match sets {
                Ok(sets) => sets,
                Err(error) => {
                    fault = Some(error.to_string());
                    continue;
                }
            };
            let name = sets.owner.api().map(|api| api.name.as_str());
            let is_meant = match &self.api {
                Some(wanted) => name == Some(wanted),
                None if several => {
                    return Err("the token is for several APIs: name one with `api`".to_owned());
                }
                None => true,
            };
            if is_meant {
                let (sets, faults) = sets.join(&list, now);
                for error in faults.values() {
                    self.tell_once(format!("the set of an issuer is not taken: {error}"));
                }
                return Ok(sets);
            }
        }
        Err(fault.unwrap_or_else(|| match &self.api {
            Some(api) => format!("the token is not for an API `{api}`"),
            None => "the token is for no API".to_owned(),
        }))
    }

    fn tell_once(&self, what: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() != Some(&what) {
            (self.tell)(&what);
            *told = Some(what);
        }
    }
}

/// When things were last done.
struct Times {
    file: Last,
    issuers: Last,
    prune: Last,
}

struct Last(Instant);

impl Times {
    fn new() -> Self {
        let now = Instant::now();
        Self { file: Last(now), issuers: Last(now), prune: Last(now) }
    }
}

impl Last {
    /// True once in each `period`.
    fn is_due(&mut self, period: Duration) -> bool {
        let is_due = self.0.elapsed() >= period;
        if is_due {
            self.0 = Instant::now();
        }
        is_due
    }
}
