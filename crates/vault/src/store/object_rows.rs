//! Objects: everything that has a name, each kind under tags of its own.

use rusqlite::{Row, params};

use super::Tx;
use super::rows::{Result, Tag, array, number, unsigned};

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

impl Tx<'_> {
    pub(crate) fn object(&self, kind: ObjectKind, tag: &Tag) -> Result<Option<ObjectRow>> {
        let sql = "SELECT kind, tag, revision, sealed FROM object WHERE kind = ? AND tag = ?";
        self.one(sql, params![kind as u8, tag], "object", object_row)
    }

    /// The objects of one kind, ordered by tag.
    pub(crate) fn objects(&self, kind: ObjectKind) -> Result<Vec<ObjectRow>> {
        let sql = "SELECT kind, tag, revision, sealed FROM object WHERE kind = ? ORDER BY tag";
        self.list_objects(sql, [kind as u8])
    }

    /// Every object but the keys, ordered by kind and tag, those of unknown kinds among them.
    pub(crate) fn objects_but_keys(&self) -> Result<Vec<ObjectRow>> {
        let sql =
            "SELECT kind, tag, revision, sealed FROM object WHERE kind < ?1 OR kind > ?1 ORDER BY kind, tag";
        self.list_objects(sql, [ObjectKind::Key as u8])
    }

    /// Objects of kinds that only a later version knows, ordered by kind and tag.
    pub(crate) fn objects_of_unknown_kinds(&self) -> Result<Vec<ObjectRow>> {
        let sql = "SELECT kind, tag, revision, sealed FROM object WHERE kind < 3 OR kind = 6 OR kind > 8 ORDER BY kind, tag";
        self.list_objects(sql, [])
    }

    /// Those of them that a tree can know, without the rows of another shape.
    pub(crate) fn wellformed_of_unknown_kinds(&self) -> Result<Vec<ObjectRow>> {
        let sql = "SELECT kind, tag, revision, sealed FROM object \
                   WHERE (kind = 0 OR kind = 6 OR kind BETWEEN 9 AND 255) \
                   AND length(tag) = 16 AND revision >= 0 ORDER BY kind, tag";
        self.list_objects(sql, [])
    }

    fn list_objects(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<ObjectRow>> {
        let mut objects = Vec::new();
        self.each(sql, params, |row| {
            objects.push(object_row(row)?);
            Ok(())
        })?;
        Ok(objects)
    }

    /// The tags of one kind's rows, whatever else is wrong with them.
    pub(crate) fn object_tags(&self, kind: ObjectKind) -> Result<Vec<Tag>> {
        let mut tags = Vec::new();
        self.each("SELECT tag FROM object WHERE kind = ?", [kind as u8], |row| {
            tags.extend(row.get::<_, Tag>(0).ok());
            Ok(())
        })?;
        Ok(tags)
    }

    pub(crate) fn has_objects(&self, kind: ObjectKind) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM object WHERE kind = ?)";
        Ok(self.one(sql, [kind as u8], "object", |row| Ok(row.get(0)?))?.unwrap_or(false))
    }

    pub(crate) fn put_object(&self, object: &ObjectRow) -> Result<()> {
        self.run(
            "INSERT OR REPLACE INTO object (kind, tag, revision, sealed) VALUES (?, ?, ?, ?)",
            params![object.kind, object.tag, number(object.revision)?, object.sealed],
        )
    }

    pub(crate) fn delete_object(&self, kind: ObjectKind, tag: &Tag) -> Result<()> {
        self.run("DELETE FROM object WHERE kind = ? AND tag = ?", params![kind as u8, tag])
    }

    /// Deletes rows of one kind that no tag finds; how many there were.
    pub(crate) fn delete_malformed_objects(&self, kind: ObjectKind) -> Result<usize> {
        let sql = "DELETE FROM object WHERE kind = ? AND (length(tag) <> 16 OR revision < 0)";
        Ok(self.connection.execute(sql, [kind as u8])?)
    }
}

fn object_row(row: &Row<'_>) -> Result<ObjectRow> {
    Ok(ObjectRow {
        kind: row.get(0)?,
        tag: array(row, 1, "object.tag")?,
        revision: unsigned(row.get(2)?)?,
        sealed: row.get(3)?,
    })
}
