//! Where keys come from: the vault, to whoever opened it, or the grants of a token.

use keyvault_core::name::refused::Refused;
use keyvault_core::name::{EnvName, KeyName, Scope};
use keyvault_core::secret::SecretBytes;

use super::problem::Problem;
use crate::error::VaultError;
use crate::key::record::{Item, Version};
use crate::tx::Work;

/// What choosing among keys needs.
pub(crate) trait Source {
    /// Every key.
    fn all(&mut self) -> Result<Vec<Item>, VaultError>;

    /// The keys that carry a scope; `None` if none does.
    fn with_scope(&mut self, scope: &Scope) -> Result<Option<Vec<Item>>, VaultError>;

    /// A key by its name.
    fn named(&mut self, name: &KeyName) -> Result<Option<Item>, VaultError>;

    /// What is wrong with a name that is not there.
    fn missing(&self, wanted: &KeyName) -> Result<Problem, VaultError>;

    /// The scope that was probably meant by one that nothing carries.
    fn scope_like(&self, wanted: &Scope) -> Result<Option<Scope>, VaultError>;

    /// Checks the variable that goes with a key, and was chosen by whoever the keys come from.
    fn check_variable(&self, variable: &EnvName) -> Result<(), Refused>;

    /// A version's value.
    fn value(&mut self, item: &Item, version: &Version) -> Result<SecretBytes, VaultError>;
}

impl Source for Work<'_> {
    fn all(&mut self) -> Result<Vec<Item>, VaultError> {
        self.items()
    }

    fn with_scope(&mut self, scope: &Scope) -> Result<Option<Vec<Item>>, VaultError> {
        self.items_of(scope)
    }

    fn named(&mut self, name: &KeyName) -> Result<Option<Item>, VaultError> {
        self.item(name)
    }

    fn missing(&self, wanted: &KeyName) -> Result<Problem, VaultError> {
        Ok(Problem::Missing { wanted: wanted.clone(), near: self.key_like(wanted)? })
    }

    fn scope_like(&self, wanted: &Scope) -> Result<Option<Scope>, VaultError> {
        Work::scope_like(self, wanted)
    }

    /// It is the user's own vault, and a list that has grown since is all that there is to check.
    fn check_variable(&self, variable: &EnvName) -> Result<(), Refused> {
        EnvName::parse(variable.as_str()).map(drop).map_err(Refused::from)
    }

    fn value(&mut self, item: &Item, version: &Version) -> Result<SecretBytes, VaultError> {
        Work::value(self, &item.id, version)
    }
}
