//! The API's own record: what holds for all of its sets, and on whose word.

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Moment;
use keyvault_core::codec::Extensions;
use keyvault_core::crypto::{Hash, SealingKey, Signer};
use keyvault_core::name::Label;

use super::{Ascending, Id, Limit, Mark, Prefix, Quota, Record, Sorted, is_text};
use crate::set::Kind;
use crate::{ApiId, SetId, VerifierId};

/// An API whose keys we issue. One in each owner's set.
#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Api {
    pub id: ApiId,
    pub name: Label,
    /// Of the owner's set.
    pub mark: Mark,
    /// Of new keys' texts.
    pub prefix: Prefix,
    /// Those that keys of the API may have: this one, and those that it had before.
    pub prefixes: Ascending<Prefix>,
    pub reaction: Reaction,
    pub usage_keys: Ascending<UsageKey>,
    pub issuers: Ascending<IssuerEntry>,
    pub verifiers: Ascending<VerifierEntry>,
    pub extensions: Extensions,
}

/// The effect of a leak report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Reaction {
    Alert = 1,
    Hold = 2,
}

/// A key of the usage database. A rekey adds one; what older ones sealed is only read.
#[derive(Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct UsageKey {
    pub generation: u32,
    #[borsh(serialize_with = "SealingKey::write", deserialize_with = "SealingKey::read")]
    pub key: SealingKey,
}

/// Someone else who may mint keys of the API, and the bounds.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IssuerEntry {
    pub set: SetId,
    pub mark: Mark,
    pub name: Label,
    /// The public half of the pair that its token's secret makes.
    #[borsh(serialize_with = "write_signer", deserialize_with = "read_signer")]
    pub signer: Signer,
    pub state: IssuerState,
    /// From then on its set does not change, by the verifier's clock.
    pub ends: Option<Moment>,
    pub bounds: Bounds,
    pub extensions: Extensions,
}

/// From the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum IssuerState {
    InForce = 1,
    /// Taken away, and its keys are good as listed.
    KeysKept = 2,
    /// Taken away with its keys.
    Ended = 3,
}

/// The limits of an issuer's power.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bounds {
    pub scopes: Ascending<u32>,
    pub roles: Ascending<u32>,
    /// Hold for each of its keys beside whatever the record says.
    pub limits: Ascending<Limit>,
    pub quotas: Ascending<Quota>,
    /// How far ahead of now a key's expiry may lie, in milliseconds.
    pub longest_life: u64,
    pub keys: u32,
    /// Clients of its own.
    pub clients: u32,
    /// The names of its own clients begin with it.
    pub client_prefix: Box<str>,
    /// Clients of the owner that its keys may belong to.
    pub owners_clients: Ascending<Id>,
}

/// A verifier that may write holds.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct VerifierEntry {
    pub id: VerifierId,
    pub name: Label,
    #[borsh(serialize_with = "write_signer", deserialize_with = "read_signer")]
    pub signer: Signer,
    /// Its holds are signed in this epoch of the vault.
    pub epoch: u32,
    pub state: VerifierState,
    /// As far as the owner has seen the log.
    pub seen: HoldPoint,
    /// Holds below this number are decided: lifted, or turned into the owner's own word.
    pub settled: u64,
    /// Numbers of further holds that are decided.
    pub lifted: Ascending<u64>,
    pub extensions: Extensions,
}

/// From the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum VerifierState {
    Writes = 1,
    /// Taken away, or of an epoch before: its log ends where the owner has seen it.
    Closed = 2,
}

/// A place in a log of holds: so many, and the hash of the last. Without any, 32 zero bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct HoldPoint {
    pub count: u64,
    pub head: Hash,
}

impl Sorted for Prefix {
    type Key = str;
    fn sort_key(&self) -> &str {
        self.as_str()
    }
}

impl Sorted for UsageKey {
    type Key = u32;
    fn sort_key(&self) -> &u32 {
        &self.generation
    }
}

impl Sorted for IssuerEntry {
    type Key = SetId;
    fn sort_key(&self) -> &SetId {
        &self.set
    }
}

impl Sorted for VerifierEntry {
    type Key = VerifierId;
    fn sort_key(&self) -> &VerifierId {
        &self.id
    }
}

impl Record for Api {
    const KIND: Kind = Kind::Api;
    type Key = ();

    fn key(&self) {}

    fn place((): &()) -> u64 {
        0
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// One mark never means two sets: an id would be found in either.
    fn is_valid(&self) -> bool {
        let mut marks: Vec<_> = self.issuers.iter().map(|issuer| issuer.mark).chain([self.mark]).collect();
        marks.sort_unstable();
        marks.is_sorted_by(|left, right| left < right)
            && self.prefixes.has(self.prefix.as_str())
            && self.issuers.iter().all(|issuer| issuer.bounds.is_valid())
            && self.verifiers.iter().all(|verifier| verifier.settled <= verifier.seen.count)
    }
}

impl Api {
    /// The record with other issuers and verifiers.
    #[must_use]
    pub fn with_others(&self, issuers: Ascending<IssuerEntry>, verifiers: Ascending<VerifierEntry>) -> Self {
        let usage_keys = self.usage_keys.iter().filter_map(|usage| {
            let key = SealingKey::from_bytes(usage.key.expose())?;
            Some(UsageKey { generation: usage.generation, key })
        });
        Self {
            id: self.id,
            name: self.name.clone(),
            mark: self.mark,
            prefix: self.prefix,
            prefixes: self.prefixes.clone(),
            reaction: self.reaction,
            usage_keys: Ascending::of(usage_keys),
            issuers,
            verifiers,
            extensions: self.extensions.clone(),
        }
    }

    /// The first field of the record that must be known to decide by it. One in an issuer's entry is about that issuer's
    /// set alone; a verifier's entry that is passed over would lift its holds.
    pub(crate) fn must_be_known(&self) -> Option<u16> {
        let own = self.extensions.must_be_known();
        own.or_else(|| self.verifiers.iter().find_map(|verifier| verifier.extensions.must_be_known()))
    }
}

impl VerifierEntry {
    /// True if the owner has decided a hold, which counts no more.
    #[must_use]
    pub fn is_decided(&self, number: u64) -> bool {
        number < self.settled || self.lifted.has(&number)
    }
}

impl Bounds {
    fn is_valid(&self) -> bool {
        self.longest_life > 0 && self.limits.iter().all(Limit::is_valid) && is_text(&self.client_prefix)
    }
}

fn write_signer<W: borsh::io::Write>(signer: &Signer, writer: &mut W) -> borsh::io::Result<()> {
    signer.encode().serialize(writer)
}

fn read_signer<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Signer> {
    let bytes = Vec::<u8>::deserialize_reader(reader)?;
    Signer::decode(&bytes).map_err(|_| borsh::io::ErrorKind::InvalidData.into())
}
