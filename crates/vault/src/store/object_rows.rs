//! Objects: everything that has a name, each kind under tags of its own.

use super::Tx;
use super::rows::{Columns, Tag, damaged, number};
use super::table::{Result, Span, Table};

/// Kinds of objects, by the numbers that they have in the file and under the MAC that is a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum ObjectKind {
    Key = 3,
    Scope = 4,
    /// The owner's record of a token.
    Token = 5,
    /// The names of keys, in buckets.
    Names = 7,
    /// Which tokens there are.
    Tokens = 8,
    /// A key that was removed, kept for 30 days.
    Removed = 14,
    /// The ledgers of the owner's devices.
    Ledgers = 15,
    /// A verifier's token of the epoch before, which goes on for a time.
    Former = 17,
}

impl ObjectKind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Key,
        Self::Scope,
        Self::Token,
        Self::Names,
        Self::Tokens,
        Self::Removed,
        Self::Ledgers,
        Self::Former,
    ];

    /// As the kind is named in findings.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Scope => "scope",
            Self::Token => "token",
            Self::Names => "names",
            Self::Tokens => "tokens",
            Self::Removed => "removed key",
            Self::Ledgers => "ledgers",
            Self::Former => "former token",
        }
    }

    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A sealed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectRow {
    /// The number of its kind; one of a later version is not among [`ObjectKind`].
    pub kind: u8,
    /// The blind index of its name.
    pub tag: Tag,
    /// Raised by each rewrite.
    pub revision: u64,
    pub sealed: Vec<u8>,
}

/// A row's id: its kind, and behind it the first 7 bytes of its tag.
fn id_of(kind: u8, tag: &Tag) -> i64 {
    let first_bytes = u64::try_from(u128::from_be_bytes(*tag) >> 72).unwrap_or_default();
    (u64::from(kind) << 56 | first_bytes).cast_signed()
}

/// The lowest and the highest id of a kind.
fn ids_of(kind: u8) -> [i64; 2] {
    [id_of(kind, &[0; 16]), id_of(kind, &[0xFF; 16])]
}

/// The id of a row of an unknown kind, and its kind and tag if it is in its place.
pub(crate) type UnknownPlace = (i64, Option<(u8, Tag)>);

/// The ids of all kinds but these.
fn spans_but(kinds: &[ObjectKind]) -> Vec<Span> {
    let mut spans = Vec::with_capacity(kinds.len() + 1);
    let mut from = i64::MIN;
    for kind in kinds {
        let [lowest, highest] = ids_of(*kind as u8);
        spans.push(Span::ids([from, lowest - 1]));
        from = highest + 1;
    }
    spans.push(Span::ids([from, i64::MAX]));
    spans
}

static COLUMNS: [&str; 4] = ["id", "tag", "revision", "sealed"];

impl Tx<'_> {
    pub(crate) fn object(&self, kind: ObjectKind, tag: &Tag) -> Result<Option<ObjectRow>> {
        let (kind, tag) = (kind as u8, *tag);
        let span = Span::one(id_of(kind, &tag));
        let found = self.first(Table::Object, &["tag", "revision", "sealed"], &span, |columns| {
            // A row of another tag under this id is not what is asked for.
            let is_it = columns.bytes()? == tag;
            let (revision, sealed) = (columns.unsigned()?, columns.bytes()?);
            Ok(is_it.then_some(ObjectRow { kind, tag, revision, sealed }))
        })?;
        Ok(found.flatten())
    }

    /// The objects of one kind, ordered by tag.
    pub(crate) fn objects(&self, kind: ObjectKind) -> Result<Vec<ObjectRow>> {
        self.list(Table::Object, &COLUMNS, &Span::ids(ids_of(kind as u8)), object_row)
    }

    /// Those of them that have the shape of a row.
    pub(crate) fn wellformed_objects(&self, kind: ObjectKind) -> Result<Vec<ObjectRow>> {
        let span = Span::ids(ids_of(kind as u8));
        let objects = self.list(Table::Object, &COLUMNS, &span, |columns| Ok(object_row(columns).ok()))?;
        Ok(objects.into_iter().flatten().collect())
    }

    /// Every object but the keys, ordered by kind and tag, those of unknown kinds among them.
    pub(crate) fn objects_but_keys(&self) -> Result<Vec<ObjectRow>> {
        self.objects_but(&[ObjectKind::Key])
    }

    /// The places of rows of kinds that only a later version knows: id, and kind and tag if the row is in its place. Anyone
    /// who can write the file can put any number of rows there, of any length, so their texts are not read.
    pub(crate) fn places_of_unknown_kinds(&self) -> Result<Vec<UnknownPlace>> {
        let mut places = Vec::new();
        for span in spans_but(&ObjectKind::ALL) {
            places.extend(self.list(Table::Object, &["id", "tag"], &span, |columns| {
                let id = columns.integer()?;
                let [kind, ..] = id.to_be_bytes();
                let tag = columns.array().ok().filter(|tag| id_of(kind, tag) == id);
                Ok((id, tag.map(|tag| (kind, tag))))
            })?);
        }
        Ok(places)
    }

    /// The object at such a place.
    pub(crate) fn object_of_kind(&self, kind: u8, tag: &Tag) -> Result<Option<ObjectRow>> {
        self.first(Table::Object, &COLUMNS, &Span::one(id_of(kind, tag)), |columns| {
            Ok(object_row(columns).ok().filter(|object| object.tag == *tag))
        })
        .map(Option::flatten)
    }

    pub(crate) fn delete_object_row(&self, id: i64) -> Result<()> {
        self.delete(Table::Object, &Span::one(id)).map(drop)
    }

    fn objects_but(&self, kinds: &[ObjectKind]) -> Result<Vec<ObjectRow>> {
        let mut objects = Vec::new();
        for span in spans_but(kinds) {
            objects.extend(self.list(Table::Object, &COLUMNS, &span, object_row)?);
        }
        Ok(objects)
    }

    /// The tags of one kind's rows, whatever else is wrong with them.
    pub(crate) fn object_tags(&self, kind: ObjectKind) -> Result<Vec<Tag>> {
        let tags = self.list(Table::Object, &["tag"], &Span::ids(ids_of(kind as u8)), |columns| {
            Ok(columns.array().ok())
        });
        Ok(tags?.into_iter().flatten().collect())
    }

    pub(crate) fn has_objects(&self, kind: ObjectKind) -> Result<bool> {
        let last = self.last(Table::Object, &["id"], &Span::ids(ids_of(kind as u8)), Columns::integer)?;
        Ok(last.is_some())
    }

    /// The tag of another object whose row has the id of this one, and that belongs there. Of names in one vault, two of a kind share
    /// 56 bits of their tags less than once in 10^7 vaults of 100,000 keys; somebody without keys can put a row there.
    pub(crate) fn object_in_the_way(&self, object: &ObjectRow) -> Result<Option<Tag>> {
        let span = Span::one(id_of(object.kind, &object.tag));
        let there = self.first(Table::Object, &["tag"], &span, |columns| Ok(columns.array().ok()))?.flatten();
        let belongs = |tag: &Tag| id_of(object.kind, tag) == id_of(object.kind, &object.tag);
        Ok(there.filter(|tag| *tag != object.tag && belongs(tag)))
    }

    /// Writes an object over whatever row has its id.
    pub(crate) fn put_object(&self, object: &ObjectRow) -> Result<()> {
        let id = id_of(object.kind, &object.tag);
        self.put(
            Table::Object,
            vec![
                id.into(),
                object.tag.to_vec().into(),
                number(object.revision)?.into(),
                object.sealed.clone().into(),
            ],
        )
    }

    pub(crate) fn delete_object(&self, kind: ObjectKind, tag: &Tag) -> Result<()> {
        let span = Span::one(id_of(kind as u8, tag));
        self.delete_where(Table::Object, &span, &tag.to_vec().into()).map(drop)
    }

    /// Deletes rows of one kind that no tag finds; how many there were.
    pub(crate) fn delete_malformed_objects(&self, kind: ObjectKind) -> Result<usize> {
        let mut malformed = Vec::new();
        self.each(Table::Object, &["id", "tag", "revision"], &Span::ids(ids_of(kind as u8)), |columns| {
            let id = columns.integer()?;
            let found = columns.array().is_ok_and(|tag| id_of(kind as u8, &tag) == id);
            if !found || columns.unsigned().is_err() {
                malformed.push(id);
            }
            Ok(())
        })?;
        malformed.iter().try_for_each(|id| self.delete(Table::Object, &Span::one(*id)).map(drop))?;
        Ok(malformed.len())
    }
}

fn object_row(columns: &mut Columns) -> Result<ObjectRow> {
    let id = columns.integer()?;
    let [kind, ..] = id.to_be_bytes();
    let tag = columns.array()?;
    if id_of(kind, &tag) != id {
        return Err(damaged("object.id"));
    }
    Ok(ObjectRow { kind, tag, revision: columns.unsigned()?, sealed: columns.bytes()? })
}
