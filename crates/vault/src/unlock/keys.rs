//! Root and the daily keys that follow from it.

use crate::audit::AuditKeys;
use crate::store::Ledger;
use keyvault_core::crypto::{SealingKey, SigningKey};
use keyvault_core::identity::Identity;
use keyvault_issue::set::issued_key;

/// The root key of one epoch: opens slots' work, the chain's seed and the acceptance of a rollback.
#[derive(Debug, PartialEq, Eq)]
pub struct Root(pub(super) SealingKey);

impl Root {
    pub fn create(rng: &dyn keyvault_core::clock::Rng) -> Result<Self, keyvault_core::clock::RngError> {
        SealingKey::random(rng).map(Self)
    }

    /// The key under which the chain's seed is sealed.
    #[must_use]
    pub(crate) fn seed_key(&self, identity: &Identity) -> SealingKey {
        self.0.derive("keyvault root chain seed", &identity.whole())
    }

    #[must_use]
    pub fn daily(&self, identity: &Identity) -> Daily {
        Daily(self.0.derive("keyvault root daily", &identity.whole()))
    }
}

/// The one key that a session holds; all daily keys follow from it.
#[derive(Debug, PartialEq, Eq)]
pub struct Daily(pub(super) SealingKey);

/// The keys for everyday access, each for one purpose.
pub struct DailyKeys {
    /// Seals the metadata of keys and scopes.
    pub metadata: SealingKey,
    /// Turns names into tags.
    pub index: SealingKey,
    /// Wraps each version's own key.
    pub wrapping: SealingKey,
    /// MACs the state record.
    pub state: SealingKey,
    /// MACs the hash tree.
    pub tree: SealingKey,
    /// MACs values to fingerprints.
    pub fingerprint: SealingKey,
    /// Everything about issued keys follows from it.
    pub issued: SealingKey,
    pub audit: AuditKeys,
    /// Signs what others than the owner hold against its public half.
    pub signing: SigningKey,
}

impl Daily {
    #[must_use]
    pub fn keys(&self, identity: &Identity) -> DailyKeys {
        let context = identity.whole();
        let derive = |purpose: &str| self.0.derive(purpose, &context);
        DailyKeys {
            metadata: derive("keyvault daily metadata"),
            index: derive("keyvault daily blind index"),
            wrapping: derive("keyvault daily wrapping"),
            state: derive("keyvault daily state"),
            tree: derive("keyvault daily tree"),
            fingerprint: derive("keyvault daily fingerprint"),
            issued: issued_key(&self.0, identity),
            signing: SigningKey::of_seed(derive("keyvault daily signing")),
            audit: AuditKeys {
                ledger: Ledger::Vault,
                events: derive("keyvault daily audit events"),
                append: derive("keyvault daily audit append"),
            },
        }
    }
}
