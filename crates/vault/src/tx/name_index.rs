//! The names of all keys, in 64 buckets, so that completion reads them without opening every key.
//!
//! A name stands in the bucket that the first six bits of its key's tag say. A change that makes, renames or removes
//! keys rewrites the buckets that it touches; at 10,000 keys one has about 160 names.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::store::{DirectoryRow, Tag};
use keyvault_core::clock::Rng;
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::crypto;
use keyvault_core::name::similar::nearest;
use keyvault_core::name::{KeyName, Scope};

use super::leaf::LeafKind;
use super::{VerifiedTx, damaged, known, row_place};
use crate::error::VaultError;
use crate::file::open::{Access, Vault};

const DIRECTORY_LABEL: &str = "keyvault directory";

/// Names that stand in one row.
#[derive(Debug, Clone, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Bucket {
    pub(crate) names: BTreeSet<KeyName>,
    extensions: Extensions,
}

/// Every name and every scope, as completion and suggestions need them.
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
        let mut names = Names::default();
        let mut rows = Vec::new();
        tx.rows.each_directory(|row| {
            rows.push(row);
            Ok(())
        })?;
        for row in &rows {
            let tag = tx.directory_tag(row.bucket);
            tx.expect_leaf(&tag, Some(tx.directory_leaf(row)), "directory")?;
            names.keys.append(&mut tx.open_directory(row)?.names);
        }
        let mut scopes = Vec::new();
        tx.rows.each_scope(|row| {
            scopes.push(row);
            Ok(())
        })?;
        for row in &scopes {
            let leaf = tx.row_leaf(LeafKind::Scope, &row.tag, row.revision, &row.sealed);
            tx.expect_leaf(&row.tag, Some(leaf), "scope")?;
            names.scopes.insert(tx.open_scope(row)?.name);
        }
        Ok(names)
    })
}

impl VerifiedTx<'_> {
    /// The key that was probably meant by a name that is not there.
    pub(crate) fn key_like(&self, wanted: &KeyName) -> Result<Option<KeyName>, VaultError> {
        let mut rows = Vec::new();
        self.rows.each_directory(|row| {
            rows.push(row);
            Ok(())
        })?;
        let mut names = BTreeSet::new();
        for row in &rows {
            names.append(&mut self.open_directory(row)?.names);
        }
        Ok(nearest(names, wanted.as_str(), KeyName::as_str))
    }

    /// The scope that was probably meant by one that nothing carries.
    pub(crate) fn scope_like(&self, wanted: &Scope) -> Result<Option<Scope>, VaultError> {
        let mut rows = Vec::new();
        self.rows.each_scope(|row| {
            rows.push(row);
            Ok(())
        })?;
        let mut scopes = Vec::with_capacity(rows.len());
        for row in &rows {
            scopes.push(self.open_scope(row)?.name);
        }
        Ok(nearest(scopes, wanted.as_str(), Scope::as_str))
    }

    pub(crate) fn directory_tag(&self, bucket: u8) -> Tag {
        self.tag(LeafKind::Directory, &[bucket])
    }

    pub(crate) fn directory_leaf(&self, row: &DirectoryRow) -> Tag {
        self.row_leaf(LeafKind::Directory, &self.directory_tag(row.bucket), row.revision, &row.sealed)
    }

    pub(crate) fn open_directory(&self, row: &DirectoryRow) -> Result<Bucket, VaultError> {
        let context = self.identity.context(&row_place("directory", &[row.bucket], row.revision));
        let plain = crypto::open(&self.daily.metadata, DIRECTORY_LABEL, &context, &row.sealed)
            .map_err(|_| damaged("directory: does not open"))?;
        let bucket = codec::unpad(&plain).and_then(decode).map_err(|_| damaged("directory: malformed"))?;
        known("a record of names", &bucket.extensions)?;
        Ok(bucket)
    }

    pub(crate) fn apply_directory_changes(&mut self, rng: &dyn Rng) -> Result<(), VaultError> {
        let mut buckets: BTreeMap<u8, Vec<(KeyName, bool)>> = BTreeMap::new();
        for (name, there) in std::mem::take(&mut self.name_changes) {
            buckets.entry(bucket_of(&self.key_tag(&name))).or_default().push((name, there));
        }
        for (bucket, changes) in buckets {
            self.rewrite_directory(bucket, changes, rng)?;
        }
        Ok(())
    }

    fn rewrite_directory(
        &mut self,
        bucket: u8,
        changes: Vec<(KeyName, bool)>,
        rng: &dyn Rng,
    ) -> Result<(), VaultError> {
        let tag = self.directory_tag(bucket);
        let row = self.rows.directory(bucket)?;
        let leaf = row.as_ref().map(|row| self.directory_leaf(row));
        self.expect_leaf(&tag, leaf, "directory")?;
        let before = row.as_ref().map(|row| self.open_directory(row)).transpose()?.unwrap_or_default();
        let mut names = before.names.clone();
        for (name, there) in changes {
            if there {
                names.insert(name);
            } else {
                names.remove(&name);
            }
        }
        if names == before.names {
            return Ok(());
        }
        if names.is_empty() {
            self.rows.delete_directory(bucket)?;
            self.leaf_changes.insert(tag, None);
            return Ok(());
        }
        let after = Bucket { names, extensions: before.extensions };
        self.rewrites("a record of names", &after.extensions);
        let padded =
            codec::pad(&codec::encode(&after)).map_err(|_| damaged("directory: too long to encode"))?;
        let revision = row.map_or(0, |row| row.revision) + 1;
        let context = self.identity.context(&row_place("directory", &[bucket], revision));
        let sealed = crypto::seal(&self.daily.metadata, DIRECTORY_LABEL, &context, padded.expose(), rng)?;
        let row = DirectoryRow { bucket, revision, sealed };
        self.leaf_changes.insert(tag, Some(self.directory_leaf(&row)));
        Ok(self.rows.put_directory(&row)?)
    }
}

fn decode(bytes: &[u8]) -> Result<Bucket, Malformed> {
    // An empty bucket has no row.
    codec::decode(bytes)
        .and_then(|bucket: Bucket| if bucket.names.is_empty() { Err(Malformed) } else { Ok(bucket) })
}

/// The bucket of a name whose key has this tag: the first six bits.
pub(crate) fn bucket_of(tag: &Tag) -> u8 {
    let [first, ..] = *tag;
    first >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_row_names_out_of_order_or_repeated_are_malformed() -> Result<(), keyvault_core::name::NameError> {
        let names = ["a", "b"].into_iter().map(KeyName::parse).collect::<Result<BTreeSet<_>, _>>()?;
        let bucket = Bucket { names, ..Bucket::default() };
        assert_eq!(decode(&codec::encode(&bucket)), Ok(bucket));
        for names in [["b", "a"], ["a", "a"]] {
            assert_eq!(decode(&codec::encode(&(&names[..], 0_u32))), Err(Malformed), "{names:?}");
        }
        Ok(())
    }
}
