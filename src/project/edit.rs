//! Entries that are added to a file; its comments and its order stay as they are. And the first text of a new one.

use toml_edit::{DocumentMut, InlineTable, Item, Key, Table, TableLike, Value};

use keyvault_core::name::{EnvName, KeyName};

use super::file::{Entry, Profile, ProjectFile, Section, VariableSource};

/// Why an entry was not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditError {
    /// The variable has an entry already, which says otherwise.
    #[error("{variable} is there already")]
    Taken { variable: EnvName, there: VariableSource },
    /// The file is written in a way that an entry cannot be added to.
    #[error("the file cannot take an entry")]
    Shape,
}

/// The text with an entry for this key; `None` if it stands there already.
pub(crate) fn add(
    text: &str,
    section: &Section,
    variable: &EnvName,
    key: &KeyName,
    optional: bool,
) -> Result<Option<String>, EditError> {
    let known = ProjectFile::parse(text.as_bytes()).map_err(|_| EditError::Shape)?;
    let mut there = known.all().filter(|(place, entry)| *place == section && entry.variable == *variable);
    if let Some((_, entry)) = there.next() {
        let same = entry.source == VariableSource::Key(key.clone())
            && entry.when_missing.default.is_none()
            && entry.when_missing.optional == optional;
        return if same {
            Ok(None)
        } else {
            Err(EditError::Taken { variable: variable.clone(), there: entry.source.clone() })
        };
    }
    let mut document: DocumentMut = text.parse().map_err(|_| EditError::Shape)?;
    let keys = keys_of(document.as_table_mut(), section.as_ref())?;
    keys.insert(variable.as_str(), Item::Value(value_of(key, optional)));
    let text = document.to_string();
    // The written text must read back as what was meant, whatever shape the file had.
    let holds = |(place, entry): (&Section, &Entry)| place == section && entry.variable == *variable;
    let read = ProjectFile::parse(text.as_bytes()).map_err(|_| EditError::Shape)?;
    if read.all().any(holds) && read.all().count() == known.all().count() + 1 {
        Ok(Some(text))
    } else {
        Err(EditError::Shape)
    }
}

/// The table that a section's entries stand in, made if it is not there.
fn keys_of<'d>(root: &'d mut Table, profile: Option<&Profile>) -> Result<&'d mut dyn TableLike, EditError> {
    let Some(profile) = profile else { return child(root, "keys", false) };
    let profiles = child(root, "profiles", true)?;
    child(child(profiles, profile.as_str(), true)?, "keys", false)
}

fn child<'t>(
    table: &'t mut dyn TableLike,
    name: &str,
    implicit: bool,
) -> Result<&'t mut dyn TableLike, EditError> {
    let item = table.entry(name).or_insert_with(|| {
        let mut table = Table::new();
        // A table that only holds others needs no header of its own.
        table.set_implicit(implicit);
        Item::Table(table)
    });
    item.as_table_like_mut().ok_or(EditError::Shape)
}

fn value_of(key: &KeyName, optional: bool) -> Value {
    if !optional {
        return Value::from(key.as_str());
    }
    let mut table = InlineTable::new();
    table.insert("key", Value::from(key.as_str()));
    table.insert("optional", Value::from(true));
    Value::from(table)
}

/// A variable of a new file and its source, and the section where it stands.
pub(crate) type Started = (Section, EnvName, VariableSource);

/// The text of a new file with these variables, ordered by section.
#[must_use]
pub(crate) fn start(schema: Option<&str>, entries: &[Started]) -> String {
    let mut text = schema.map(|schema| format!("#:schema {schema}\n")).unwrap_or_default();
    text.push_str(
        "# The keys this project needs, and their variables. Secrets belong in each developer's own vault, never here.\n\
         #   keyvault project check       shows what is missing\n\
         #   keyvault exec -- COMMAND     runs a command with the keys\n\
         \n\
         [keys]\n",
    );
    if entries.is_empty() {
        text.push_str(
            "# STRIPE_KEY = \"stripe/live\"\n\
             # SENTRY_DSN = { key = \"sentry/dsn\", optional = true }\n\
             # DATABASE_URL = { template = \"postgres://app:{db/password|url}@localhost/app\" }\n\
             # PORT = { value = \"3000\" }\n\
             #\n\
             # [profiles.prod.keys]\n\
             # STRIPE_KEY = \"stripe/prod\"\n",
        );
    }
    let mut section = &None;
    for (place, variable, source) in entries {
        if place != section {
            section = place;
            if let Some(profile) = place {
                let profile = Key::new(profile.as_str());
                text.push_str(&format!("\n[profiles.{}.keys]\n", profile.display_repr()));
            }
        }
        let name = Key::new(variable.as_str());
        let value = match source {
            VariableSource::Key(key) => Value::from(key.as_str()),
            VariableSource::Template(template) => {
                Value::from(InlineTable::from_iter([("template", template.text())]))
            }
            VariableSource::Text(text) => Value::from(InlineTable::from_iter([("value", text.as_str())])),
        };
        text.push_str(&format!("{} = {value}\n", name.display_repr()));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn added(text: &str, profile: Option<&str>, variable: &str, key: &str, optional: bool) -> String {
        let section = profile.map(|profile| profile.parse().unwrap());
        let (variable, key) = (variable.parse().unwrap(), key.parse().unwrap());
        add(text, &section, &variable, &key, optional).unwrap().unwrap_or_else(|| "same".to_owned())
    }

    #[test]
    fn comments_and_order_stay() {
        let text = "# top\n[keys] # here\nZ = 'z' # last letter\n\n# first letter\nA = 'a'\n\n# the end\n";
        let expected = "# top\n[keys] # here\nZ = 'z' # last letter\n\n# first letter\nA = 'a'\nM = \"m/n\"\n\n# the end\n";
        assert_eq!(added(text, None, "M", "m/n", false), expected);
        assert_eq!(
            added(text, Some("prod"), "A", "p", true),
            format!(
                "{}\n[profiles.prod.keys]\nA = {{ key = \"p\", optional = true }}\n\n# the end\n",
                text.replace("\n\n# the end\n", "\n")
            )
        );
    }

    #[test]
    fn every_shape_of_a_file_takes_an_entry() {
        assert_eq!(added("", None, "A", "a", false), "[keys]\nA = \"a\"\n");
        assert_eq!(added("", Some("p"), "A", "a", false), "[profiles.p.keys]\nA = \"a\"\n");
        assert_eq!(added("keys = { B = 'b' }\n", None, "A", "a", false), "keys = { B = 'b' , A = \"a\" }\n");
        assert_eq!(added("keys.B = 'b'\n", None, "A", "a", false), "keys.B = 'b'\nkeys.A = \"a\"\n");
        let dotted = added("[keys]\n", None, "spring.password", "a", false);
        assert_eq!(dotted, "[keys]\n\"spring.password\" = \"a\"\n");
        assert_eq!(added("[keys]\nA = 'a'\n", None, "A", "a", false), "same");
    }

    #[test]
    fn an_entry_that_says_otherwise_is_not_overwritten() {
        for there in ["A = 'b'", "A = { key = 'a', optional = true }", "A = { template = '{a}' }"] {
            let (variable, key) = ("A".parse().unwrap(), "a".parse().unwrap());
            let result = add(&format!("[keys]\n{there}"), &None, &variable, &key, false);
            assert!(matches!(result, Err(EditError::Taken { .. })), "{there}");
        }
    }

    #[test]
    fn a_new_file_reads_back() {
        let of = |section: Option<&str>, variable: &str, source: VariableSource| {
            (section.map(|profile| profile.parse().unwrap()), variable.parse().unwrap(), source)
        };
        let key = |name: &str| VariableSource::Key(name.parse().unwrap());
        let entries = [
            of(None, "A", key("shop/A")),
            of(None, "b.c", key("shop/b.c")),
            of(None, "PORT", VariableSource::Text("a \"b\"".to_owned())),
            of(Some("p.1"), "A", key("shop/p.1/A")),
        ];
        let text = start(Some("./x.json"), &entries);
        assert!(
            text.starts_with("#:schema ./x.json\n")
                && text.contains("\nA = \"shop/A\"\n\"b.c\" = \"shop/b.c\"\n")
        );
        let read = ProjectFile::parse(text.as_bytes()).unwrap();
        let read = read
            .all()
            .map(|(section, entry)| (section.clone(), entry.variable.clone(), entry.source.clone()));
        let mut expected = entries.to_vec();
        expected.sort_by(|left, right| (&left.0, &left.1).cmp(&(&right.0, &right.1)));
        assert_eq!(read.collect::<Vec<_>>(), expected);
        assert_eq!(ProjectFile::parse(start(None, &[]).as_bytes()).unwrap().all().count(), 0);
        // The examples in a new file are right.
        let examples = start(None, &[]).replace("\n# ", "\n").replace("\n#\n", "\n\n");
        let examples = examples.split_once("[keys]").unwrap().1;
        assert_eq!(ProjectFile::parse(format!("[keys]{examples}").as_bytes()).unwrap().all().count(), 5);
    }
}
