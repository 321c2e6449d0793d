//! Many keys at once, in one transaction.

use std::collections::BTreeSet;

use crate::audit::{Action, KeyRef};
use crate::issued::Lookup;
use keyvault_core::name::{EnvName, KeyName, Scope};
use keyvault_core::secret::SecretBytes;

use super::edit::{NewKey, Origin, key_ref};
use super::record::KeyRecord;
use super::{edit, rotate};
use crate::error::VaultError;
use crate::file::open::{Access, Vault, World};
use crate::tx::VerifiedTx;

/// Treatment of a key whose name exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Nothing is imported, and all such keys are named.
    Fail,
    /// The key in the vault stays.
    Skip,
    /// The key gets the file's value as a new version.
    Replace,
}

/// The outcome of an import, or of its preview.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    pub created: Vec<KeyName>,
    /// Keys that got a new version.
    pub replaced: Vec<KeyName>,
    /// Keys that stayed, and whose current value is another one.
    pub skipped: Vec<KeyName>,
    /// Keys that stayed, and whose current value is the one to import.
    pub unchanged: Vec<KeyName>,
}

impl Imported {
    /// Returns `true` if replacing would change nothing: the value is the current one, no recipe would be forgotten, no
    /// lifetime begins again, and no scope is new.
    fn is_as_there(
        tx: &VerifiedTx<'_>,
        there: &KeyRecord,
        value: &SecretBytes,
        scopes: &BTreeSet<Scope>,
    ) -> bool {
        let fingerprint = tx.opener().fingerprint(value);
        there.current().is_some_and(|version| version.fingerprint == fingerprint)
            && there.recipe.is_none()
            && there.expires.is_none()
            && scopes.is_subset(&there.scopes)
    }

    fn skip(&mut self, tx: &VerifiedTx<'_>, there: KeyRecord, value: &SecretBytes) {
        let fingerprint = tx.opener().fingerprint(value);
        let is_same = there.current().is_some_and(|version| version.fingerprint == fingerprint);
        let names = if is_same { &mut self.unchanged } else { &mut self.skipped };
        names.push(there.name);
    }
}

pub struct Incoming {
    pub name: KeyName,
    pub variable: EnvName,
    pub value: SecretBytes,
}

pub struct Import<'i> {
    /// The keys; no name twice.
    pub incoming: Vec<Incoming>,
    /// Scopes that all of them get.
    pub scopes: &'i BTreeSet<Scope>,
    pub conflict: Conflict,
    /// The file's name, for the log.
    pub source: &'i str,
}

/// Imports keys; `progress` is told after each how many are done.
pub fn import(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    import: Import<'_>,
    progress: &dyn Fn(usize),
) -> Result<Imported, VaultError> {
    let Import { incoming, scopes, conflict, source } = import;
    vault.change(access, world, |tx| {
        let mut imported = Imported::default();
        let mut refs: Vec<KeyRef> = Vec::with_capacity(incoming.len());
        let mut conflicts = Vec::new();
        let issued = Lookup::begin(tx)?;
        for (done, key) in incoming.iter().enumerate() {
            match tx.key(&key.name)? {
                None => {
                    issued.refuse(tx, &key.name)?;
                    let new = NewKey {
                        public: false,
                        name: key.name.clone(),
                        variable: Some(key.variable.clone()),
                        scopes: scopes.clone(),
                        tags: std::collections::BTreeMap::new(),
                        note: String::new(),
                        expires: None,
                        origin: Origin::Given(SecretBytes::copy_from(key.value.expose())),
                    };
                    let (key_record, _) = edit::write_new(tx, &new, world)?;
                    refs.push(key_ref(&key_record));
                    imported.created.push(key_record.name);
                }
                Some(_) if conflict == Conflict::Fail => conflicts.push(key.name.clone()),
                Some(there) if conflict == Conflict::Skip => imported.skip(tx, there, &key.value),
                Some(there) if Imported::is_as_there(tx, &there, &key.value, scopes) => {
                    imported.unchanged.push(there.name);
                }
                Some(before) => {
                    let mut after = before.clone();
                    after.scopes.extend(scopes.iter().cloned());
                    // A value from a file is not what the recipe would repeat.
                    after.recipe = None;
                    rotate::settle(tx, &mut after, world.now())?;
                    edit::add_version(tx, &mut after, &key.value, None, 0, world, world.now())?;
                    tx.put_key(&mut after, world.rng)?;
                    tx.enter_key(Some(&before), Some(&after));
                    refs.push(key_ref(&after));
                    imported.replaced.push(after.name);
                }
            }
            progress(done + 1);
        }
        if !conflicts.is_empty() {
            return Err(VaultError::KeysExist(conflicts));
        }
        let event = world.event(Action::Import, refs, source.to_owned());
        Ok((imported, event))
    })
}

/// The outcome that [`import`](import()) would have; nothing is written.
pub fn preview_import(
    vault: &mut Vault,
    access: &Access,
    import: &Import<'_>,
) -> Result<Imported, VaultError> {
    vault.read(access, |tx| {
        let mut imported = Imported::default();
        let mut conflicts = Vec::new();
        let issued = Lookup::begin(tx)?;
        for key in &import.incoming {
            let there = tx.key(&key.name)?;
            if there.is_none() {
                issued.refuse(tx, &key.name)?;
            }
            match (there, import.conflict) {
                (None, _) => imported.created.push(key.name.clone()),
                (Some(_), Conflict::Fail) => conflicts.push(key.name.clone()),
                (Some(there), Conflict::Skip) => imported.skip(tx, there, &key.value),
                (Some(there), Conflict::Replace)
                    if Imported::is_as_there(tx, &there, &key.value, import.scopes) =>
                {
                    imported.unchanged.push(there.name);
                }
                (Some(_), Conflict::Replace) => imported.replaced.push(key.name.clone()),
            }
        }
        if conflicts.is_empty() { Ok(imported) } else { Err(VaultError::KeysExist(conflicts)) }
    })
}
