//! The state of limits: what a verifier has counted. It outlives snapshots, since it is kept by ids and names.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use keyvault_core::clock::Moment;

use crate::quota::{InMemory, QuotaCell, QuotaOf, Unused, UsageStore, Window};
use crate::rate::RateCell;
use crate::record::Id;
use crate::standing::Counter;

const SHARDS: usize = 64;

/// Counters of all rates and quotas.
///
/// There are counters only for keys that someone proved to have, so nobody fills memory with ids that they made up.
pub struct Counters {
    /// Its own in this process, for [`KnownCell`].
    number: u64,
    rates: Sharded<RateOf, Arc<RateCell>>,
    quotas: Sharded<QuotaOf, Arc<Mutex<QuotaCell>>>,
    store: Box<dyn UsageStore>,
}

/// The rate of a key or a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RateOf {
    pub(super) owner: Id,
    pub(super) counter: Counter,
    pub(super) tag: u64,
}

/// The counter of a client's rate, as terms remember it once it was looked up. With a number, since another verifier may
/// decide by the same snapshot with counters of its own.
#[derive(Debug, Default)]
pub(crate) struct KnownCell(OnceLock<(u64, Arc<RateCell>)>);

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

impl Counters {
    /// Counters whose quotas are reserved from a store.
    #[must_use]
    pub fn new(store: impl UsageStore + 'static) -> Self {
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { number, rates: Sharded::new(), quotas: Sharded::new(), store: Box::new(store) }
    }

    /// Counters of one process that keeps nothing.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(InMemory::default())
    }

    /// Forgets rates that are unused again and quotas of windows that are over. From time to time, or keys that are long
    /// gone stay in memory. Nothing is refunded: what is forgotten says no more than a new counter, and the store knows
    /// the quotas.
    pub fn prune(&self, ticks: u64, now: Moment) {
        // One that terms remember stays: they would go on with it, and others with a new one.
        self.rates.retain(|_, cell| Arc::strong_count(cell) > 1 || !cell.is_unused(ticks));
        self.quotas.retain(|quota, cell| {
            let window = lock(cell).window();
            window.is_some_and(|window| window >= Window::of(quota.period, now))
        });
    }

    /// Takes the rests of all blocks, for the store to take back: the verifier stops. A request after it reserves again.
    #[must_use]
    pub fn take_unused(&self) -> Vec<Unused> {
        let mut unused = Vec::new();
        self.quotas.retain(|quota, cell| {
            unused.extend(lock(cell).take_unused(*quota));
            false
        });
        unused
    }

    /// How many counters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rates.len() + self.quotas.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn store(&self) -> &dyn UsageStore {
        &*self.store
    }

    pub(super) fn rate<T>(&self, of: RateOf, known: &KnownCell, with: impl FnOnce(&RateCell) -> T) -> T {
        if let Some((number, cell)) = known.0.get()
            && *number == self.number
        {
            return with(cell);
        }
        self.rates.with(of, |cell| {
            // Terms are of many keys, and of one client.
            if of.counter == Counter::Client {
                known.0.get_or_init(|| (self.number, Arc::clone(cell)));
            }
            with(cell)
        })
    }

    pub(super) fn quota(&self, of: QuotaOf) -> Arc<Mutex<QuotaCell>> {
        self.quotas.with(of, Arc::clone)
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").field("len", &self.len()).finish_non_exhaustive()
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A map in shards, so that threads seldom meet. The hash is keyed by chance, and made once for shard and map.
struct Sharded<K, V> {
    hash: RandomState,
    shards: Vec<RwLock<Shard<K, V>>>,
}

type Shard<K, V> = HashMap<Hashed<K>, V, BuildHasherDefault<Ready>>;

#[derive(PartialEq, Eq)]
struct Hashed<K> {
    hash: u64,
    key: K,
}

impl<K> Hash for Hashed<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Takes a hash as it is.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl<K: Hash + Eq + Copy, V: Default> Sharded<K, V> {
    fn new() -> Self {
        Self { hash: RandomState::new(), shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }

    fn with<T>(&self, key: K, with: impl FnOnce(&V) -> T) -> T {
        let hashed = Hashed { hash: self.hash.hash_one(key), key };
        // Bits that the map uses neither for the place nor for its tags.
        let at = usize::try_from(hashed.hash >> 40).unwrap_or(0) % SHARDS;
        let Some(shard) = self.shards.get(at) else { return with(&V::default()) };
        if let Some(value) = shard.read().unwrap_or_else(PoisonError::into_inner).get(&hashed) {
            return with(value);
        }
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        with(shard.entry(hashed).or_default())
    }

    fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|hashed, value| keep(&hashed.key, value));
        }
    }

    fn len(&self) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}
