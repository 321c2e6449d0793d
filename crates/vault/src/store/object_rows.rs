//! Objects: everything that has a name, each kind under tags of its own.

use rusqlite::{Row, params};

use super::Tx;
use super::rows::{Result, Tag, array, damaged, number, unsigned};

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
}

impl ObjectKind {
    pub(crate) const ALL: [Self; 5] = [Self::Key, Self::Scope, Self::Token, Self::Names, Self::Tokens];

    /// As the kind is named in findings.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Scope => "scope",
            Self::Token => "token",
            Self::Names => "names",
            Self::Tokens => "tokens",
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

impl Tx<'_> {
    pub(crate) fn object(&self, kind: ObjectKind, tag: &Tag) -> Result<Option<ObjectRow>> {
        let sql = "SELECT id, tag, revision, sealed FROM object WHERE id = ? AND tag = ?";
        self.one(sql, params![id_of(kind as u8, tag), tag], "object", object_row)
    }

    /// The objects of one kind, ordered by tag.
    pub(crate) fn objects(&self, kind: ObjectKind) -> Result<Vec<ObjectRow>> {
        let mut objects = Vec::new();
        let [lowest, highest] = ids_of(kind as u8);
        self.add_objects(&mut objects, lowest, highest, "")?;
        Ok(objects)
    }

    /// Every object but the keys, ordered by kind and tag, those of unknown kinds among them.
    pub(crate) fn objects_but_keys(&self) -> Result<Vec<ObjectRow>> {
        self.objects_but(&[ObjectKind::Key], "")
    }

    /// Objects of kinds that only a later version knows, ordered by kind and tag.
    pub(crate) fn objects_of_unknown_kinds(&self) -> Result<Vec<ObjectRow>> {
        self.objects_but(&ObjectKind::ALL, "")
    }

    /// Those of them that a tree can know: without the rows of another shape, and those of no object's kind.
    pub(crate) fn wellformed_of_unknown_kinds(&self) -> Result<Vec<ObjectRow>> {
        let mut objects = self.objects_but(&ObjectKind::ALL, &format!("AND NOT ({MALFORMED})"))?;
        objects.retain(|object| !matches!(object.kind, 1 | 2));
        Ok(objects)
    }

    /// Each range of ids between kinds is read by itself: together SQLite would look at every row.
    fn objects_but(&self, kinds: &[ObjectKind], condition: &str) -> Result<Vec<ObjectRow>> {
        let mut objects = Vec::new();
        let mut from = i64::MIN;
        for kind in kinds {
            let [lowest, highest] = ids_of(*kind as u8);
            self.add_objects(&mut objects, from, lowest - 1, condition)?;
            from = highest + 1;
        }
        self.add_objects(&mut objects, from, i64::MAX, condition)?;
        Ok(objects)
    }

    fn add_objects(
        &self,
        objects: &mut Vec<ObjectRow>,
        lowest: i64,
        highest: i64,
        condition: &str,
    ) -> Result<()> {
        let sql = format!(
            "SELECT id, tag, revision, sealed FROM object WHERE id BETWEEN ? AND ? {condition} ORDER BY id"
        );
        self.each(&sql, [lowest, highest], |row| {
            objects.push(object_row(row)?);
            Ok(())
        })
    }

    /// The tags of one kind's rows, whatever else is wrong with them.
    pub(crate) fn object_tags(&self, kind: ObjectKind) -> Result<Vec<Tag>> {
        let mut tags = Vec::new();
        self.each("SELECT tag FROM object WHERE id BETWEEN ? AND ?", ids_of(kind as u8), |row| {
            tags.extend(row.get::<_, Tag>(0).ok());
            Ok(())
        })?;
        Ok(tags)
    }

    pub(crate) fn has_objects(&self, kind: ObjectKind) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM object WHERE id BETWEEN ? AND ?)";
        Ok(self.one(sql, ids_of(kind as u8), "object", |row| Ok(row.get(0)?))?.unwrap_or(false))
    }

    /// Writes an object over the one of its kind and tag. Another one with the same id keeps it out: of names in one vault,
    /// two of a kind share 56 bits of their tags less than once in 10^7 vaults of 100,000 keys.
    pub(crate) fn put_object(&self, object: &ObjectRow) -> Result<()> {
        let sql = "INSERT INTO object (id, tag, revision, sealed) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE \
                   SET revision = excluded.revision, sealed = excluded.sealed WHERE tag = excluded.tag";
        let id = id_of(object.kind, &object.tag);
        let values = params![id, object.tag, number(object.revision)?, object.sealed];
        if self.connection.prepare_cached(sql)?.execute(values)? == 1 {
            Ok(())
        } else {
            Err(damaged("object: another one has its id"))
        }
    }

    pub(crate) fn delete_object(&self, kind: ObjectKind, tag: &Tag) -> Result<()> {
        self.run("DELETE FROM object WHERE id = ? AND tag = ?", params![id_of(kind as u8, tag), tag])
    }

    /// Deletes rows of one kind that no tag finds; how many there were.
    pub(crate) fn delete_malformed_objects(&self, kind: ObjectKind) -> Result<usize> {
        let sql = COUNT_MALFORMED.replace("SELECT count(*)", "DELETE") + " AND id BETWEEN ? AND ?";
        Ok(self.connection.execute(&sql, ids_of(kind as u8))?)
    }
}

/// The condition of objects that nothing finds, as [`COUNT_MALFORMED`] has it.
const MALFORMED: &str = "length(tag) <> 16 OR revision < 0 \
     OR hex(substr(tag, 1, 7)) <> printf('%014X', id & 72057594037927935)";

/// Counts objects that nothing finds.
pub(super) const COUNT_MALFORMED: &str = "SELECT count(*) FROM object WHERE (length(tag) <> 16 OR revision < 0 \
     OR hex(substr(tag, 1, 7)) <> printf('%014X', id & 72057594037927935))";

fn object_row(row: &Row<'_>) -> Result<ObjectRow> {
    let id: i64 = row.get(0)?;
    let [kind, ..] = id.to_be_bytes();
    let tag = array(row, 1, "object.tag")?;
    if id_of(kind, &tag) != id {
        return Err(damaged("object.id"));
    }
    Ok(ObjectRow { kind, tag, revision: unsigned(row.get(2)?)?, sealed: row.get(3)? })
}
