//! Indexes: objects that list others by a name that they share, so that a reader who asks for that name opens no other
//! objects and cannot be given fewer.
//!
//! A change enters what comes and goes; the objects are written when it is sealed, each once.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::clock::Rng;
use keyvault_core::codec::{Decoder, Encoder, Extensions, Malformed};
use keyvault_core::name::{KeyName, Scope};

use super::VerifiedTx;
use super::object::Object;
use crate::error::VaultError;
use crate::key::record::KeyRecord;
use crate::store::{ObjectKind, Tag};

/// A kind of index.
pub(crate) trait Index {
    const KIND: ObjectKind;
    type Member: Member;

    /// Whether an entry of the index can have this name.
    fn is_name(name: &[u8]) -> bool;
}

/// A thing that an index lists.
pub(crate) trait Member: Ord + Clone {
    fn write(encoder: Encoder, member: &Self) -> Encoder;
    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed>;
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

impl Member for Tag {
    fn write(encoder: Encoder, member: &Self) -> Encoder {
        encoder.fixed(member)
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        decoder.array()
    }
}

impl Member for KeyName {
    fn write(encoder: Encoder, member: &Self) -> Encoder {
        encoder.bytes(member.as_str().as_bytes())
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, Malformed> {
        Self::parse(decoder.text()?).map_err(|_| Malformed)
    }
}

/// One entry of an index: everything under one name. Without members there is no object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<I: Index> {
    pub(crate) name: Vec<u8>,
    /// Ascending.
    pub(crate) members: Vec<I::Member>,
    revision: u64,
    extensions: Extensions,
}

impl<I: Index> Object for Entry<I> {
    const KIND: ObjectKind = I::KIND;

    fn name(&self) -> &[u8] {
        &self.name
    }

    fn encode(&self) -> Vec<u8> {
        Encoder::new()
            .bytes(&self.name)
            .list(&self.members, I::Member::write)
            .extensions(&self.extensions)
            .finish()
    }

    fn decode(content: &[u8], revision: u64) -> Result<Self, Malformed> {
        let mut decoder = Decoder::new(content);
        let name = decoder.bytes()?.to_vec();
        let members = decoder.ascending(I::Member::read, |member| member)?;
        let extensions = decoder.extensions()?;
        decoder.end()?;
        if members.is_empty() || !I::is_name(&name) {
            Err(Malformed)
        } else {
            Ok(Self { name, members, revision, extensions })
        }
    }

    fn extensions(&self) -> &Extensions {
        &self.extensions
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
        let mut tags: BTreeSet<_> = listed.into_iter().flat_map(|entry| entry.members).collect();
        apply(&mut tags, self.index_changes.tokens.get([].as_slice()).into_iter().flatten());
        Ok(tags)
    }

    /// The tags of the keys that carry a scope, verified to be all of them; empty if no key does, which is proved too.
    pub(crate) fn keys_of_scope(&mut self, scope: &Scope) -> Result<Vec<Tag>, VaultError> {
        let entry = self.object::<Entry<Scopes>>(scope.as_str().as_bytes())?;
        Ok(entry.map_or_else(Vec::new, |entry| entry.members))
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
            let mut members: BTreeSet<_> = before.iter().flat_map(|entry| &entry.members).cloned().collect();
            apply(&mut members, &moves);
            if before.iter().flat_map(|entry| &entry.members).eq(&members) {
                continue;
            }
            if members.is_empty() {
                let tag = self.object_tag(I::KIND, &name);
                self.delete_object(I::KIND, &tag)?;
                continue;
            }
            let (revision, extensions) =
                before.map(|entry| (entry.revision, entry.extensions)).unwrap_or_default();
            let members = members.into_iter().collect();
            self.put_object(&Entry::<I> { name, members, revision, extensions }, revision, rng)?;
        }
        Ok(())
    }
}

fn apply<'m, M: Member + 'm>(members: &mut BTreeSet<M>, moves: impl IntoIterator<Item = (&'m M, &'m bool)>) {
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
    use super::*;

    fn entry<I: Index>(name: &[u8], members: Vec<I::Member>) -> Entry<I> {
        Entry { name: name.to_vec(), members, revision: 1, extensions: Extensions::default() }
    }

    #[test]
    fn members_out_of_order_repeated_or_none_are_malformed() -> Result<(), keyvault_core::name::NameError> {
        let names = |names: [&str; 2]| names.into_iter().map(KeyName::parse).collect::<Result<Vec<_>, _>>();
        let right = entry::<Names>(&[7], names(["a", "b"])?);
        assert_eq!(Entry::decode(&right.encode(), 1).as_ref(), Ok(&right));
        for wrong in [["b", "a"], ["a", "a"]] {
            let wrong = entry::<Names>(&[7], names(wrong)?);
            assert_eq!(Entry::<Names>::decode(&wrong.encode(), 1), Err(Malformed));
        }
        assert_eq!(Entry::<Tokens>::decode(&entry::<Tokens>(&[], vec![]).encode(), 1), Err(Malformed));
        Ok(())
    }

    #[test]
    fn an_entry_under_a_name_that_its_index_cannot_have_is_malformed() {
        let malformed = |content: Vec<u8>, is: bool| {
            assert_eq!(Entry::<Scopes>::decode(&content, 1).is_err(), is);
        };
        malformed(entry::<Scopes>(b"deploy", vec![[1; 16]]).encode(), false);
        malformed(entry::<Scopes>(b"", vec![[1; 16]]).encode(), true);
        assert!(Entry::<Tokens>::decode(&entry::<Tokens>(b"x", vec![[1; 16]]).encode(), 1).is_err());
        assert!(!Names::is_name(&[64]) && Names::is_name(&[63]));
    }
}
