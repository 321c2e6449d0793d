//! Choosing among keys of any supplier.

use keyvault_core::clock::Moment;
use keyvault_core::name::refused::Refused;
use keyvault_core::name::{EnvName, KeyName, Scope};

use super::key_view::{KeyView, Record};
use super::unrecorded::Unrecorded;
use crate::error::VaultError;
use crate::issued::named_key;
use crate::key::{self, removal};
use crate::token::bearer::GrantedTo;
use crate::tx::{VerifiedTx, damaged};

/// Verified keys: all of a vault, to its owner, or those that were granted to a token.
pub trait KeySource {
    fn all(&mut self) -> Result<Vec<KeyView>, VaultError>;

    /// The keys that carry a scope; `None` if none does.
    fn with_scope(&mut self, scope: &Scope) -> Result<Option<Vec<KeyView>>, VaultError>;

    fn named(&mut self, name: &KeyName) -> Result<Option<KeyView>, VaultError>;

    /// The bearer that the keys were granted to: a key that is not there may exist and not be granted. None for the owner.
    fn granted_to(&self) -> Option<GrantedTo>;

    /// The key that was probably meant by a name that is not there.
    fn name_like(&self, wanted: &KeyName) -> Result<Option<KeyName>, VaultError>;

    /// Returns `true` if an issued key has the name, which has no value. Asked only for a name that is not there.
    fn is_issued(&self, _: &KeyName) -> Result<bool, VaultError> {
        Ok(false)
    }

    /// The moment until which a removed key of the name can be brought back. Asked only for a name that is not there.
    fn removed_until(&mut self, _: &KeyName) -> Option<Moment> {
        None
    }

    /// The scope that was probably meant by one that nothing carries.
    fn scope_like(&self, wanted: &Scope) -> Result<Option<Scope>, VaultError>;

    /// Checks the variable that goes with a key, which the key's supplier chose.
    fn check_variable(&self, variable: &EnvName) -> Result<(), Refused>;

    /// The value of a version of a key that came from here; its bytes are to be had after
    /// [`Reading::commit`](super::Reading::commit).
    fn value(&mut self, key: &KeyView, version: u32) -> Result<Unrecorded, VaultError>;
}

impl KeySource for VerifiedTx<'_> {
    fn all(&mut self) -> Result<Vec<KeyView>, VaultError> {
        Ok(self.keys()?.into_iter().map(|key| KeyView(Record::Held(Box::new(key)))).collect())
    }

    fn with_scope(&mut self, scope: &Scope) -> Result<Option<Vec<KeyView>>, VaultError> {
        let keys = key::of_scope(self, scope)?;
        Ok(keys.map(|keys| keys.into_iter().map(|key| KeyView(Record::Held(Box::new(key)))).collect()))
    }

    fn named(&mut self, name: &KeyName) -> Result<Option<KeyView>, VaultError> {
        Ok(self.key(name)?.map(|key| KeyView(Record::Held(Box::new(key)))))
    }

    fn granted_to(&self) -> Option<GrantedTo> {
        None
    }

    fn name_like(&self, wanted: &KeyName) -> Result<Option<KeyName>, VaultError> {
        self.key_like(wanted)
    }

    fn is_issued(&self, name: &KeyName) -> Result<bool, VaultError> {
        Ok(named_key(self, name)?.is_some())
    }

    fn removed_until(&mut self, name: &KeyName) -> Option<Moment> {
        let removed = removal::that_hold(self).into_iter().filter(|removed| removed.key.name == *name);
        removed.map(|removed| removed.until()).max()
    }

    fn scope_like(&self, wanted: &Scope) -> Result<Option<Scope>, VaultError> {
        VerifiedTx::scope_like(self, wanted)
    }

    /// It is the user's own vault, and a list that has grown since is all that there is to check.
    fn check_variable(&self, variable: &EnvName) -> Result<(), Refused> {
        EnvName::parse(variable.as_str()).map(drop).map_err(Refused::from)
    }

    fn value(&mut self, key: &KeyView, version: u32) -> Result<Unrecorded, VaultError> {
        let Record::Held(key_record) = &key.0 else { return Err(damaged("key: it is a grant")) };
        let meant = key_record.version(version).ok_or_else(|| damaged("key: a version is gone"))?;
        Ok(Unrecorded::new(key, version, VerifiedTx::value(self, &key_record.id, meant)?))
    }
}
