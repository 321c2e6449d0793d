//! The chain's head and how an entry is appended.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::store::{AuditRow, Ledger, LedgerId, Tx};
use keyvault_core::clock::Rng;
use keyvault_core::codec;
use keyvault_core::crypto::{self, Mac, SealingKey};
use keyvault_core::identity::Identity;

use super::{AuditError, Event};
use crate::sealed::{At, OpenError, SealError, SealKind};

/// The MAC that the first entry is chained to.
pub(crate) const START: Mac = [0; 32];

const EVENT: SealKind = SealKind::of("keyvault audit event", "log");
const HEAD: SealKind = SealKind::of("keyvault audit head", "log_head");
const SEED: SealKind = SealKind { label: "keyvault audit seed", table: "vault", field: "chain_seed" };
const LEDGER_SEED: SealKind = SealKind { label: "keyvault audit seed", table: "log_head", field: "seed" };
const ENTRY_LABEL: &[u8] = b"keyvault audit entry";
const SEEN_LABEL: &[u8] = b"keyvault audit head seen";
const STEP_LABEL: &str = "keyvault audit step";

/// The keys of one chain. Those of the owner's chains are everyday keys; those of a token's chain its bearer has too.
pub struct AuditKeys {
    /// The ledger that the keys are for.
    pub(crate) ledger: Ledger,
    /// Seals events.
    pub events: SealingKey,
    /// Seals the head, and with it the right to append.
    pub append: SealingKey,
}

impl AuditKeys {
    /// The keys of a device's ledger, from those of the vault's.
    pub(crate) fn of_device(&self, id: &LedgerId, identity: &Identity) -> Self {
        let context = [identity.whole().as_slice(), id].concat();
        Self {
            ledger: Ledger::Device(*id),
            events: self.events.derive("keyvault ledger events", &context),
            append: self.append.derive("keyvault ledger append", &context),
        }
    }
}

/// k₀, from which every entry's key follows. Only root opens those of the owner's ledgers.
pub(crate) struct Seed(SealingKey);

impl From<SealingKey> for Seed {
    fn from(first_key: SealingKey) -> Self {
        Self(first_key)
    }
}

impl Seed {
    const BROKEN: AuditError = AuditError::Broken { seq: 0, what: "the chain's seed does not open" };

    /// A new chain's k₀ and its sealed form for the vault's header.
    pub(crate) fn create(
        root: &SealingKey,
        identity: &Identity,
        rng: &dyn Rng,
    ) -> Result<(Self, Vec<u8>), AuditError> {
        let seed = SealingKey::random(rng)?;
        let sealed = SEED.seal_key(root, identity, At::default(), &seed, rng)?;
        Ok((Self(seed), sealed))
    }

    /// A new k₀ for a device's ledger and its sealed form for the list of ledgers.
    pub(crate) fn create_for(
        ledger: &LedgerId,
        root: &SealingKey,
        identity: &Identity,
        rng: &dyn Rng,
    ) -> Result<(Self, Vec<u8>), AuditError> {
        let seed = SealingKey::random(rng)?;
        let at = At { row: ledger, ..At::default() };
        let sealed = LEDGER_SEED.seal_key(root, identity, at, &seed, rng)?;
        Ok((Self(seed), sealed))
    }

    /// Opens the sealed k₀ of a device's ledger.
    pub(crate) fn open_for(
        ledger: &LedgerId,
        root: &SealingKey,
        identity: &Identity,
        sealed: &[u8],
    ) -> Result<Self, AuditError> {
        let at = At { row: ledger, ..At::default() };
        LEDGER_SEED.open_key(root, identity, at, sealed).map(Self).map_err(|_| Self::BROKEN)
    }

    /// Opens the header's sealed k₀.
    pub(crate) fn open(root: &SealingKey, identity: &Identity, sealed: &[u8]) -> Result<Self, AuditError> {
        SEED.open_key(root, identity, At::default(), sealed).map(Self).map_err(|_| Self::BROKEN)
    }

    /// k₀ itself.
    #[must_use]
    pub(crate) fn into_first_key(self) -> SealingKey {
        self.0
    }
}

/// A point of a chain as something outside of the file remembers it. The key is not in it, only what it hashes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadMark {
    pub ledger: Ledger,
    pub count: u64,
    /// MAC of the last entry.
    pub head: Mac,
    /// A hash of the next entry's key.
    pub key: [u8; 32],
}

/// A point in a chain: so many entries, the last with this MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct ChainMark {
    pub(crate) count: u64,
    pub(crate) head: Mac,
}

impl ChainMark {
    /// Before the first entry.
    pub(crate) const START: Self = Self { count: 0, head: START };
}

/// The chain as it stands: how many entries, the last one's MAC, the next one's key.
pub(crate) struct Chain {
    ledger: Ledger,
    pub count: u64,
    /// MAC of the last entry, [`START`] before the first.
    pub head: Mac,
    key: SealingKey,
}

impl Chain {
    /// The chain before its first entry.
    #[must_use]
    fn begin(ledger: Ledger, seed: Seed) -> Self {
        Self { ledger, count: 0, head: START, key: seed.0 }
    }

    /// The point where the chain ends.
    #[must_use]
    pub(crate) fn end(&self) -> ChainMark {
        ChainMark { count: self.count, head: self.head }
    }

    #[must_use]
    pub(crate) fn mark(&self) -> HeadMark {
        let key = crypto::sha256(&[SEEN_LABEL, self.key.expose()].concat());
        HeadMark { ledger: self.ledger, count: self.count, head: self.head, key }
    }

    /// Reads the head and holds the last entry against it.
    pub(crate) fn load(tx: &Tx<'_>, keys: &AuditKeys, identity: &Identity) -> Result<Self, AuditError> {
        let chain = Self::read(tx, keys, identity)?;
        chain.hold_against_last_entry(tx, keys.ledger)?;
        Ok(chain)
    }

    /// Reads the head, whatever the entries are.
    pub(super) fn read(tx: &Tx<'_>, keys: &AuditKeys, identity: &Identity) -> Result<Self, AuditError> {
        let (count, sealed) = tx.log_head(keys.ledger)?;
        let broken = |what| AuditError::Broken { seq: count.saturating_sub(1), what };
        let plain = HEAD
            .open_bare(&keys.append, identity, head_at(count), &sealed)
            .map_err(|_| broken("the chain's head does not open"))?;
        let parts = plain.expose().split_first_chunk();
        let (head, key) = parts
            .and_then(|(head, key)| Some((*head, SealingKey::from_bytes(key)?)))
            .ok_or_else(|| broken("the chain's head is malformed"))?;
        Ok(Self { ledger: keys.ledger, count, head, key })
    }

    fn hold_against_last_entry(&self, tx: &Tx<'_>, ledger: Ledger) -> Result<(), AuditError> {
        let last = tx.last_entry(ledger)?;
        if last != self.count.checked_sub(1) {
            let what = "entries were cut off or added";
            return Err(AuditError::Broken { seq: self.count.min(last.map_or(0, |last| last + 1)), what });
        }
        let Some(last) = last else { return Ok(()) };
        match tx.entry_mac(ledger, last)? {
            Some(mac) if mac == self.head => Ok(()),
            _ => {
                Err(AuditError::Broken { seq: last, what: "the last entry is not the one that was written" })
            }
        }
    }

    /// Appends an event and moves the head; the chain's key is replaced, the old one wiped.
    pub(crate) fn append(
        &mut self,
        tx: &Tx<'_>,
        keys: &AuditKeys,
        identity: &Identity,
        event: &Event,
        rng: &dyn Rng,
    ) -> Result<(), AuditError> {
        self.append_all(tx, keys, identity, [event], rng)
    }

    /// Appends several, with one new head behind them.
    pub(crate) fn append_all<'e>(
        &mut self,
        tx: &Tx<'_>,
        keys: &AuditKeys,
        identity: &Identity,
        events: impl IntoIterator<Item = &'e Event>,
        rng: &dyn Rng,
    ) -> Result<(), AuditError> {
        for event in events {
            self.write(tx, keys, identity, event, rng)?;
        }
        self.store(tx, keys, identity, rng)
    }

    /// Writes a whole chain from a new k₀: the same events in new seals, or none yet.
    pub(crate) fn rewrite(
        seed: Seed,
        tx: &Tx<'_>,
        keys: &AuditKeys,
        identity: &Identity,
        events: &[Event],
        rng: &dyn Rng,
    ) -> Result<Self, AuditError> {
        let mut chain = Self::begin(keys.ledger, seed);
        chain.append_all(tx, keys, identity, events, rng)?;
        Ok(chain)
    }

    fn write(
        &mut self,
        tx: &Tx<'_>,
        keys: &AuditKeys,
        identity: &Identity,
        event: &Event,
        rng: &dyn Rng,
    ) -> Result<(), AuditError> {
        let at = At { row: &row_of(self.count), bound: &self.head, ..At::default() };
        let sealed =
            EVENT.seal(&keys.events, identity, at, &event.encode(), rng).map_err(|error| match error {
                SealError::Rng(error) => AuditError::Rng(error),
                SealError::TooLong => AuditError::Broken { seq: self.count, what: "the event is too long" },
            })?;
        let change = event.change.map(|change| change.number);
        let mac = entry_mac(&self.key, self.count, change, &self.head, &sealed);
        tx.append_entry(keys.ledger, &AuditRow { seq: self.count, change, sealed, mac })?;
        self.key = next_key(&self.key);
        self.head = mac;
        self.count += 1;
        Ok(())
    }

    fn store(
        &self,
        tx: &Tx<'_>,
        keys: &AuditKeys,
        identity: &Identity,
        rng: &dyn Rng,
    ) -> Result<(), AuditError> {
        let full = |_| AuditError::Broken { seq: self.count, what: "the head does not fit" };
        let plain = codec::encode_secret(&(self.head, self.key.expose())).map_err(full)?;
        let sealed = HEAD.seal_bare(&keys.append, identity, head_at(self.count), plain.expose(), rng)?;
        Ok(tx.put_log_head(keys.ledger, self.count, &sealed)?)
    }

    /// Returns `true` if this is where a chain that was recomputed from k₀ ends.
    pub(super) fn ends_at(&self, count: u64, head: &Mac, key: &SealingKey) -> bool {
        self.count == count && self.head == *head && self.key == *key
    }
}

/// kᵢ₊₁ from kᵢ.
pub(super) fn next_key(key: &SealingKey) -> SealingKey {
    key.derive(STEP_LABEL, &[])
}

/// The MAC of entry `seq`: label ‖ seq ‖ flag, change ‖ the entry before's MAC ‖ the sealed event.
pub(super) fn entry_mac(
    key: &SealingKey,
    seq: u64,
    change: Option<u64>,
    previous: &Mac,
    sealed: &[u8],
) -> Mac {
    let head = codec::encode(&(seq, change, previous, sealed));
    key.mac(&[ENTRY_LABEL, &head])
}

/// Opens an entry's event. The MAC of the entry before is part of the context, so an entry opens in its place only.
pub(super) fn open_event(
    keys: &AuditKeys,
    identity: &Identity,
    row: &AuditRow,
    previous: &Mac,
) -> Result<Event, AuditError> {
    let broken = |what| AuditError::Broken { seq: row.seq, what };
    let at = At { row: &row_of(row.seq), bound: previous, ..At::default() };
    let content = EVENT.open(&keys.events, identity, at, &row.sealed).map_err(|error| match error {
        OpenError::Closed => broken("the event does not open in this place"),
        OpenError::Padding => broken("the event is malformed"),
    })?;
    let event = Event::decode(content.bytes()).map_err(|_| broken("the event is malformed"))?;
    if event.change.map(|change| change.number) == row.change {
        Ok(event)
    } else {
        Err(broken("the entry is filed under another change"))
    }
}

fn row_of(seq: u64) -> [u8; 8] {
    seq.to_le_bytes()
}

fn head_at(count: u64) -> At<'static> {
    At { revision: count, ..At::default() }
}
