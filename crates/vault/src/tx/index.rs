//! Indexes: objects that list others by a name that they share, so that a reader who asks for that name opens no other
//! objects and cannot be given fewer.
//!
//! A change enters what comes and goes; the objects are written when it is sealed, each once.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Rng;
use keyvault_core::codec::{Extensions, Malformed};
use keyvault_core::name::{KeyName, Scope};

use super::VerifiedTx;
use super::object::Object;
use crate::error::VaultError;
use crate::key::record::KeyRecord;
use crate::store::{ObjectKind, Tag};

/// A kind of index.
pub(crate) trait Index {
    const KIND: ObjectKind;
    type Member: Ord + Clone + BorshSerialize + BorshDeserialize;

    /// Returns `true` if an entry of the index can have this name.
    fn is_name(name: &[u8]) -> bool;
}

/// The keys that carry a scope, by their tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scopes {}

/// The names of all keys in 64 buckets, so that completion reads them without opening every key. At 10,000 keys a bucket
/// has about 160 names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {}

/// The records of tokens, by their tags, under one empty name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tokens {}

impl Index for Scopes {
    const KIND: ObjectKind = ObjectKind::Scope;
    type Member = Tag;

    fn is_name(name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(|name| Scope::parse(name).is_ok())
    }
}

impl Index for Names {
    const KIND: ObjectKind = ObjectKind::Names;
    type Member = KeyName;

    fn is_name(name: &[u8]) -> bool {
        matches!(name, [0..BUCKETS])
    }
}

impl Index for Tokens {
    const KIND: ObjectKind = ObjectKind::Tokens;
    type Member = Tag;

    fn is_name(name: &[u8]) -> bool {
        name.is_empty()
    }
}

/// One entry of an index: everything under one name. Without members there is no object.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Entry<I: Index> {
    pub(crate) name: Vec<u8>,
    pub(crate) members: BTreeSet<I::Member>,
    #[borsh(skip)]
    revision: u64,
    extensions: Extensions,
}

impl<I: Index> Object for Entry<I> {
    const KIND: ObjectKind = I::KIND;

    fn name(&self) -> &[u8] {
        &self.name
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn complete(self, revision: u64) -> Result<Self, Malformed> {
        if self.members.is_empty() || !I::is_name(&self.name) {
            Err(Malformed)
        } else {
            Ok(Self { revision, ..self })
        }
    }
}

/// Members that come and go, by the name of their entry.
pub(crate) type Moves<I> = BTreeMap<Vec<u8>, BTreeMap<<I as Index>::Member, bool>>;

/// Everything that a change does to indexes.
#[derive(Default)]
pub(crate) struct IndexChanges {
    scopes: Moves<Scopes>,
    names: Moves<Names>,
    tokens: Moves<Tokens>,
}

impl VerifiedTx<'_> {
    /// Enters what a key's name and scopes become.
    pub(crate) fn enter_key(&mut self, before: Option<&KeyRecord>, after: Option<&KeyRecord>) {
        for (key, is_there) in [(before, false), (after, true)] {
            let Some(key) = key else { continue };
            let tag = self.key_tag(&key.name);
            let IndexChanges { scopes, names, .. } = &mut self.index_changes;
            names.entry(vec![bucket_of(&tag)]).or_default().insert(key.name.clone(), is_there);
            for scope in &key.scopes {
                scopes.entry(scope.as_str().into()).or_default().insert(tag, is_there);
            }
        }
    }

    pub(crate) fn enter_token(&mut self, tag: Tag, is_there: bool) {
        self.index_changes.tokens.entry(Vec::new()).or_default().insert(tag, is_there);
    }

    /// The tags of all tokens' records, as they are after this change.
    pub(crate) fn token_tags(&mut self) -> Result<BTreeSet<Tag>, VaultError> {
        let listed = self.object::<Entry<Tokens>>(&[])?;
        let mut tags = listed.map(|entry| entry.members).unwrap_or_default();
        apply(&mut tags, self.index_changes.tokens.get([].as_slice()).into_iter().flatten());
        Ok(tags)
    }

    /// The tags of the keys that carry a scope, verified to be all of them; empty if no key does, which is proved too.
    pub(crate) fn keys_of_scope(&mut self, scope: &Scope) -> Result<BTreeSet<Tag>, VaultError> {
        let entry = self.object::<Entry<Scopes>>(scope.as_str().as_bytes())?;
        Ok(entry.map(|entry| entry.members).unwrap_or_default())
    }

    /// Writes every entry that this change touches.
    pub(crate) fn apply_index_changes(&mut self, rng: &dyn Rng) -> Result<(), VaultError> {
        let IndexChanges { scopes, names, tokens } = std::mem::take(&mut self.index_changes);
        self.rewrite_entries::<Scopes>(scopes, rng)?;
        self.rewrite_entries::<Names>(names, rng)?;
        self.rewrite_entries::<Tokens>(tokens, rng)
    }

    fn rewrite_entries<I: Index>(&mut self, moves: Moves<I>, rng: &dyn Rng) -> Result<(), VaultError> {
        for (name, moves) in moves {
            let before: Option<Entry<I>> = self.object(&name)?;
            let (revision, extensions, before) = match before {
                Some(entry) => (entry.revision, entry.extensions, entry.members),
                None => Default::default(),
            };
            let mut members = before.clone();
            apply(&mut members, &moves);
            if members == before {
                continue;
            }
            if members.is_empty() {
                let tag = self.object_tag(I::KIND, &name);
                self.delete_object(I::KIND, &tag)?;
                continue;
            }
            self.put_object(&Entry::<I> { name, members, revision, extensions }, revision, rng)?;
        }
        Ok(())
    }
}

fn apply<'m, M: Ord + Clone + 'm>(
    members: &mut BTreeSet<M>,
    moves: impl IntoIterator<Item = (&'m M, &'m bool)>,
) {
    for (member, is_there) in moves {
        if *is_there {
            members.insert(member.clone());
        } else {
            members.remove(member);
        }
    }
}

/// How many buckets names are in.
const BUCKETS: u8 = 64;

/// The bucket of a name whose key has this tag: the first six bits.
pub(crate) fn bucket_of(tag: &Tag) -> u8 {
    let [first, ..] = *tag;
    first >> 2
}

#[cfg(test)]
mod tests {
    use keyvault_core::codec;

    use super::*;

    fn decode<I: Index>(name: &[u8], members: &[I::Member]) -> Result<Entry<I>, Malformed> {
        let content = codec::encode(&(name, members, Extensions::default()));
        codec::decode(&content).and_then(|entry: Entry<I>| entry.complete(1))
    }

    #[test]
    fn members_out_of_order_repeated_or_none_are_malformed() -> Result<(), keyvault_core::name::NameError> {
        let [a, b] = [KeyName::parse("a")?, KeyName::parse("b")?];
        assert!(decode::<Names>(&[7], &[a.clone(), b.clone()]).is_ok_and(|entry| entry.members.len() == 2));
        for wrong in [&[b, a.clone()][..], &[a.clone(), a], &[]] {
            assert!(decode::<Names>(&[7], wrong).is_err(), "{wrong:?}");
        }
        Ok(())
    }

    #[test]
    fn an_entry_under_a_name_that_its_index_cannot_have_is_malformed() {
        assert!(
            decode::<Scopes>(b"deploy", &[[1; 16]]).is_ok() && decode::<Scopes>(b"", &[[1; 16]]).is_err()
        );
        assert!(decode::<Tokens>(b"", &[[1; 16]]).is_ok() && decode::<Tokens>(b"x", &[[1; 16]]).is_err());
        assert!(Names::is_name(&[63]) && !Names::is_name(&[64]) && !Names::is_name(&[]));
    }
}
