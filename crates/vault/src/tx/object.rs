//! Objects: read only as the tree knows them, written with their leaves.

use borsh::{BorshDeserialize, BorshSerialize};
use keyvault_core::clock::Rng;
use keyvault_core::codec::{self, Extensions, Malformed};
use keyvault_core::crypto::Digest;
use keyvault_core::secret::Full;

use super::leaf;
use super::sealed::Opener;
use super::{VerifiedTx, damaged, known};
use crate::error::VaultError;
use crate::sealed::{At, Content, OpenError, SealError, SealKind};
use crate::state::StateError;
use crate::store::{ObjectKind, ObjectRow, Tag};

pub(crate) const OBJECT: SealKind = SealKind::of("keyvault object", "object");

/// Objects from this kind on give access; one that is not known gets nothing.
const FIRST_ACCESS_KIND: u8 = 128;

/// The content of one kind of object. Its first field is its name.
pub(crate) trait Object: BorshSerialize + BorshDeserialize {
    const KIND: ObjectKind;

    /// The name that its tag is computed from.
    fn name(&self) -> &[u8];

    fn extensions(&self) -> &Extensions;

    /// An object that was decoded, with the revision of its row; refuses one that its fields alone do not show to be wrong.
    fn complete(self, revision: u64) -> Result<Self, Malformed>;
}

/// An object of a kind that only a later version of the program knows, which a rekey carries over.
pub(crate) struct UnknownObject {
    pub(crate) kind: u8,
    content: Content,
}

impl ObjectRow {
    /// Returns `true` if an unknown object would give access to somebody.
    pub(crate) fn gives_access(&self) -> bool {
        self.kind >= FIRST_ACCESS_KIND
    }

    /// Returns `true` if its kind is that of the header or of a slot: in their place it would take their leaf.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self.kind, leaf::HEADER | leaf::SLOT)
    }

    /// The row as findings name it.
    pub(crate) fn place(&self) -> String {
        let tag = data_encoding::HEXLOWER.encode(&self.tag);
        match ObjectKind::of(self.kind) {
            Some(kind) => format!("{} {tag}", kind.noun()),
            None => format!("object {} {tag}", self.kind),
        }
    }
}

/// Kind and tag, to which the seal binds an object together with its revision.
fn row_of(kind: u8, tag: &Tag) -> [u8; 17] {
    let mut row = [kind; 17];
    for (place, byte) in row.iter_mut().skip(1).zip(tag) {
        *place = *byte;
    }
    row
}

impl Opener<'_> {
    pub(crate) fn content(self, row: &ObjectRow) -> Result<Content, OpenError> {
        let at = At { row: &row_of(row.kind, &row.tag), revision: row.revision, ..At::default() };
        OBJECT.open(&self.keys.metadata, &self.identity, at, &row.sealed)
    }

    pub(crate) fn object<T: Object>(self, row: &ObjectRow) -> Result<T, VaultError> {
        let noun = T::KIND.noun();
        let content = self.content(row).map_err(|error| damaged(&format!("{noun}: {error}")))?;
        let object = codec::decode(content.bytes()).and_then(|object: T| object.complete(row.revision));
        let object = object.map_err(|Malformed| damaged(&format!("{noun}: malformed")))?;
        known(&format!("the object of {noun}"), object.extensions())?;
        Ok(object)
    }

    /// The tag that the name in an object has, of whatever kind.
    pub(crate) fn tag_of_content(self, row: &ObjectRow, content: &Content) -> Result<Tag, Malformed> {
        let name = codec::take_bytes(&mut content.bytes())?;
        Ok(leaf::tag(&self.keys.index, row.kind, name))
    }
}

impl VerifiedTx<'_> {
    pub(crate) fn object_tag(&self, kind: ObjectKind, name: &[u8]) -> Tag {
        leaf::tag(&self.daily.index, kind as u8, name)
    }

    pub(crate) fn object_leaf(&self, row: &ObjectRow) -> Digest {
        leaf::object_leaf(&self.daily.tree, row)
    }

    /// The object of a name and its row's revision; `None` is proved.
    pub(crate) fn object<T: Object>(&mut self, name: &[u8]) -> Result<Option<T>, VaultError> {
        self.object_at(&self.object_tag(T::KIND, name))
    }

    pub(crate) fn object_at<T: Object>(&mut self, tag: &Tag) -> Result<Option<T>, VaultError> {
        if let Some(row) = self.rows.object(T::KIND, tag)? {
            return self.verified(&row).map(Some);
        }
        self.expect_leaf(tag, None, T::KIND.noun())?;
        Ok(None)
    }

    /// Opens a row that the tree must know.
    pub(crate) fn verified<T: Object>(&mut self, row: &ObjectRow) -> Result<T, VaultError> {
        self.expect_leaf(&row.tag, Some(self.object_leaf(row)), T::KIND.noun())?;
        self.opener().object(row)
    }

    /// Writes an object over the one with this revision, 0 if there is none.
    pub(crate) fn put_object<T: Object>(
        &mut self,
        object: &T,
        revision: u64,
        rng: &dyn Rng,
    ) -> Result<(), VaultError> {
        self.rewrites(&format!("the object of {}", T::KIND.noun()), object.extensions());
        let tag = self.object_tag(T::KIND, object.name());
        let content = codec::encode_secret(object).map_err(|Full| SealError::TooLong)?;
        self.put_content(T::KIND as u8, tag, revision + 1, content.expose(), rng)
    }

    /// Writes an unknown object under the tag that its name has in this epoch.
    pub(crate) fn put_unknown(&mut self, object: &UnknownObject, rng: &dyn Rng) -> Result<(), VaultError> {
        let name =
            codec::take_bytes(&mut object.content.bytes()).map_err(|_| damaged("object: malformed"))?;
        let tag = leaf::tag(&self.daily.index, object.kind, name);
        self.put_content(object.kind, tag, 1, object.content.bytes(), rng)
    }

    fn put_content(
        &mut self,
        kind: u8,
        tag: Tag,
        revision: u64,
        content: &[u8],
        rng: &dyn Rng,
    ) -> Result<(), VaultError> {
        let at = At { row: &row_of(kind, &tag), revision, ..At::default() };
        let sealed = OBJECT.seal(&self.daily.metadata, &self.identity, at, content, rng)?;
        let row = ObjectRow { kind, tag, revision, sealed };
        if let Some(other) = self.rows.object_in_the_way(&row)?
            && self.leaf(&other)?.is_some()
        {
            return Err(damaged("object: another one has its id"));
        }
        self.leaf_changes.insert(tag, Some(self.object_leaf(&row)));
        Ok(self.rows.put_object(&row)?)
    }

    pub(crate) fn delete_object(&mut self, kind: ObjectKind, tag: &Tag) -> Result<(), VaultError> {
        self.leaf_changes.insert(*tag, None);
        Ok(self.rows.delete_object(kind, tag)?)
    }

    /// Objects of unknown kinds that `holds` proves and that give nobody access, for a change that seals everything again.
    pub(crate) fn unknown_objects(
        &self,
        holds: impl Fn(&Tag, Digest) -> bool,
    ) -> Result<Vec<UnknownObject>, VaultError> {
        let mut objects = Vec::new();
        for row in self.unknown_rows(holds)?.into_iter().filter(|row| !row.gives_access()) {
            let Ok(content) = self.opener().content(&row) else { continue };
            if self.opener().tag_of_content(&row, &content) == Ok(row.tag) {
                objects.push(UnknownObject { kind: row.kind, content });
            }
        }
        Ok(objects)
    }

    /// The rows of unknown kinds that `holds` proves. A text is read only where the tree may know it.
    pub(crate) fn unknown_rows(
        &self,
        holds: impl Fn(&Tag, Digest) -> bool,
    ) -> Result<Vec<ObjectRow>, VaultError> {
        let mut rows = Vec::new();
        for (kind, tag) in self.rows.places_of_unknown_kinds()?.into_iter().filter_map(|(_, place)| place) {
            if self.rows.leaves(&tag, &tag)?.is_empty() {
                continue;
            }
            let row = self.rows.object_of_kind(kind, &tag)?.filter(|row| !row.is_none());
            rows.extend(row.filter(|row| holds(&tag, self.object_leaf(row))));
        }
        Ok(rows)
    }

    /// Notes that a later version keeps something in this vault that this change may have to take part in, and deletes the
    /// rows of unknown kinds that the tree does not know, so that they make one change slow and not each.
    pub(crate) fn settle_unknown_objects(&mut self) -> Result<(), VaultError> {
        for (id, place) in self.rows.places_of_unknown_kinds()? {
            // One that this change carries over is not in the tree yet.
            if place.is_some_and(|(_, tag)| self.leaf_changes.contains_key(&tag)) {
                continue;
            }
            let known = match &place {
                Some((kind, tag)) if !self.rows.leaves(tag, tag)?.is_empty() => {
                    let row = self.rows.object_of_kind(*kind, tag)?;
                    let known = row.filter(|row| !row.is_none()).map(|row| self.object_leaf(&row));
                    known.map(|leaf| Ok::<_, VaultError>(self.tree.leaf(tag)? == Some(leaf))).transpose()?
                }
                _ => None,
            };
            match (known, place) {
                (Some(true), Some((kind, _))) => {
                    self.newer.get_or_insert_with(|| format!("the vault has an object of kind {kind}"));
                }
                // The tree knows another row at this tag: that is damage, and not to be dropped without a word.
                (Some(false), _) => {}
                _ => self.rows.delete_object_row(id)?,
            }
        }
        Ok(())
    }

    /// The tree must have this leaf at the tag; leaves of this very change count.
    pub(crate) fn expect_leaf(
        &mut self,
        tag: &Tag,
        leaf: Option<Digest>,
        what: &str,
    ) -> Result<(), VaultError> {
        if self.leaf(tag)? == leaf {
            Ok(())
        } else {
            Err(StateError::Mismatch { what: what.to_owned() }.into())
        }
    }

    /// The leaf at a tag, as it is after this change.
    pub(crate) fn leaf(&mut self, tag: &Tag) -> Result<Option<Digest>, VaultError> {
        match self.leaf_changes.get(tag) {
            Some(changed) => Ok(*changed),
            None => Ok(self.tree.leaf(tag)?),
        }
    }
}
