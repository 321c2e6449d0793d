//! The vectors as they are made.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::bases::{self, Base, Plain};
use super::forge::Forge;
use super::machines::Machines;
use super::vector::{Credential, Pin, Vector, hex};
use super::{content, reasons, sql};

/// Everything that is written.
pub(crate) struct Set {
    pub(crate) plain: Plain,
    /// Another vault, for rows that do not belong.
    pub(crate) other: Base,
    pub(crate) machines: Machines,
    bases: BTreeMap<String, Base>,
    contents: BTreeMap<String, String>,
    pub(crate) vectors: Vec<Vector>,
}

/// How a vector fails: reason, step, row that a check names.
#[derive(Clone, Copy)]
pub(crate) struct Fails<'f>(pub(crate) &'f str, pub(crate) &'f str, pub(crate) &'f str);

impl Set {
    pub(crate) fn new() -> Self {
        let plain = bases::plain();
        let mut bases: BTreeMap<_, _> =
            bases::others().into_iter().map(|base| (base.name.clone(), base)).collect();
        let machines = Machines::new();
        bases.insert("plain".to_owned(), plain.now.clone());
        bases.insert("machines".to_owned(), machines.now.clone());
        Self { plain, other: bases::other(), machines, bases, contents: BTreeMap::new(), vectors: Vec::new() }
    }

    pub(crate) fn base(&self, name: &str) -> &Base {
        self.bases.get(name).unwrap_or_else(|| panic!("no base {name}"))
    }

    pub(crate) fn forge(&self, base: &str, word: &str) -> Forge {
        let base = self.base(base);
        Forge::new(&base.sql, &base.root, word)
    }

    /// A vector of this base before anything is done to it.
    pub(crate) fn blank(&self, name: &str, base: &str, comment: &str) -> Vector {
        let base = self.base(base);
        Vector {
            name: name.to_owned(),
            expect: "success".to_owned(),
            reason: String::new(),
            base: base.name.clone(),
            credential: Credential::Passphrase(base.passphrase.clone()),
            step: String::new(),
            row: String::new(),
            now: base.now,
            pin: None,
            content: String::new(),
            comment: comment.to_owned(),
            sql: String::new(),
            bytes: Vec::new(),
            length: None,
            bundle: String::new(),
        }
    }

    pub(crate) fn push(&mut self, vector: Vector) {
        assert!(self.vectors.iter().all(|known| known.name != vector.name), "{} twice", vector.name);
        self.vectors.push(vector);
    }

    pub(crate) fn failing(&self, name: &str, base: &str, fails: Fails<'_>, comment: &str) -> Vector {
        let reason = reasons::find(fails.0);
        Vector {
            expect: reason.class.to_owned(),
            reason: reason.name.to_owned(),
            step: fails.1.to_owned(),
            ..self.blank(name, base, comment)
        }
    }

    /// A vault that fails after `make` has worked on it.
    pub(crate) fn forged(
        &mut self,
        name: &str,
        base: &str,
        fails: Fails<'_>,
        comment: &str,
        make: impl FnOnce(&Forge),
    ) {
        let forge = self.forge(base, name);
        // Names are gone from the rows once they are altered.
        let row = forge.expand(fails.2, &|tag| hex(tag));
        make(&forge);
        let sql = sql::difference(&sql::in_memory(&self.base(base).sql), &forge.connection);
        assert!(!sql.is_empty(), "{name}: nothing was done");
        let vector = Vector { row, sql, ..self.failing(name, base, fails, comment) };
        self.push(vector);
    }

    /// The usual base, which fails after `make` has worked on it.
    pub(crate) fn bad(&mut self, name: &str, fails: Fails<'_>, comment: &str, make: impl FnOnce(&Forge)) {
        self.forged(name, "plain", fails, comment, make);
    }

    /// The usual base, which fails after statements that are kept word for word.
    pub(crate) fn statements(&mut self, name: &str, fails: Fails<'_>, comment: &str, sql: &str) {
        let sql = format!("{sql};\n");
        let vector = Vector { sql, ..self.failing(name, "plain", fails, comment) };
        self.push(vector);
    }

    /// The usual base, which fails after `edit` has changed the vector.
    pub(crate) fn edited(
        &mut self,
        name: &str,
        base: &str,
        fails: Fails<'_>,
        comment: &str,
        edit: impl FnOnce(&mut Vector),
    ) {
        let mut vector = self.failing(name, base, fails, comment);
        edit(&mut vector);
        self.push(vector);
    }

    /// A vault that opens, after `make` has worked on it and `edit` has changed the vector.
    pub(crate) fn good(
        &mut self,
        name: &str,
        base: &str,
        comment: &str,
        make: impl FnOnce(&Forge),
        edit: impl FnOnce(&mut Vector),
    ) {
        let forge = self.forge(base, name);
        make(&forge);
        let sql = sql::difference(&sql::in_memory(&self.base(base).sql), &forge.connection);
        let mut vector = Vector { sql, ..self.blank(name, base, comment) };
        edit(&mut vector);
        let content = content::forged(&forge, vector.now);
        self.push_good(vector, &content);
    }

    /// A success, and what it must give.
    pub(crate) fn push_good(&mut self, mut vector: Vector, content: &Value) {
        let text = format!("{content:#}\n");
        let known = self.contents.iter().find(|(_, known)| **known == text).map(|(name, _)| name.clone());
        vector.content = known.unwrap_or_else(|| {
            self.contents.insert(vector.name.clone(), text);
            vector.name.clone()
        });
        self.push(vector);
    }

    /// How long a base's file is.
    pub(crate) fn len(&self, base: &str) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.db");
        sql::run(&path, &self.base(base).sql);
        std::fs::metadata(path).unwrap().len()
    }

    /// The pin of the plain base at an earlier change.
    pub(crate) fn pin_of(base: &Base) -> Pin {
        let forge = Forge::new(&base.sql, &base.root, "");
        Pin { change: forge.record().change, state: hex(&forge.record_hash()), epoch: None }
    }

    /// Writes everything; what is no longer made goes away.
    pub(crate) fn write(&self, folder: &Path) {
        let put = |sub: &str, files: Vec<(String, String)>| {
            let folder = folder.join(sub);
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            for (name, text) in files {
                std::fs::write(folder.join(name), text).unwrap();
            }
        };
        let used = |base: &&Base| self.vectors.iter().any(|vector| vector.base == base.name);
        let bases = self.bases.values().filter(used);
        put("bases", bases.map(|base| (format!("{}.sql", base.name), base.print())).collect());
        let contents = self.contents.iter();
        put("contents", contents.map(|(name, text)| (format!("{name}.json"), text.clone())).collect());
        put("vectors", self.vectors.iter().map(|vector| (vector.name.clone(), vector.print())).collect());
    }
}
