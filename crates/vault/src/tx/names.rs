//! Names of keys and scopes, for completion and for suggestions: read without opening a key.

use std::collections::BTreeSet;

use keyvault_core::name::similar::nearest;
use keyvault_core::name::{KeyName, Scope};

use super::VerifiedTx;
use super::index::{Entry, Index, Names as NamesIndex, Scopes};
use crate::error::VaultError;
use crate::file::open::{Access, Vault};

/// Every name and every scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    pub keys: BTreeSet<KeyName>,
    pub scopes: BTreeSet<Scope>,
}

impl Names {
    /// The scope that was probably meant by one that nothing carries.
    #[must_use]
    pub fn scope_like(&self, wanted: &Scope) -> Option<&Scope> {
        nearest(self.scopes.iter(), wanted.as_str(), |scope| scope.as_str())
    }
}

/// Every name and scope, verified; no key is opened and nothing is recorded.
pub fn names(vault: &mut Vault, access: &Access) -> Result<Names, VaultError> {
    vault.read(access, |tx| {
        let mut keys = BTreeSet::new();
        for row in tx.rows.objects(NamesIndex::KIND)? {
            keys.extend(tx.verified::<Entry<NamesIndex>>(&row)?.members);
        }
        let mut scopes = BTreeSet::new();
        for row in tx.rows.objects(Scopes::KIND)? {
            scopes.extend(scope_of(&tx.verified(&row)?));
        }
        Ok(Names { keys, scopes })
    })
}

impl VerifiedTx<'_> {
    /// The key that was probably meant by a name that is not there.
    pub(crate) fn key_like(&self, wanted: &KeyName) -> Result<Option<KeyName>, VaultError> {
        let mut names = BTreeSet::new();
        for row in self.rows.objects(NamesIndex::KIND)? {
            names.extend(self.opener().object::<Entry<NamesIndex>>(&row)?.members);
        }
        Ok(nearest(names, wanted.as_str(), KeyName::as_str))
    }

    /// The scope that was probably meant by one that nothing carries.
    pub(crate) fn scope_like(&self, wanted: &Scope) -> Result<Option<Scope>, VaultError> {
        let mut scopes = BTreeSet::new();
        for row in self.rows.objects(Scopes::KIND)? {
            scopes.extend(scope_of(&self.opener().object(&row)?));
        }
        Ok(nearest(scopes, wanted.as_str(), Scope::as_str))
    }
}

fn scope_of(entry: &Entry<Scopes>) -> Option<Scope> {
    std::str::from_utf8(&entry.name).ok().and_then(|name| Scope::parse(name).ok())
}
