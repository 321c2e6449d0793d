//! Parsers of what a repository brings, which may be a hostile one.

use crate::project::edit::{self, EditError};
use crate::project::template::Template;
use crate::project::{Ask, ProjectFile, VariableSource, reference, tracked};
use keyvault_core::name::{EnvName, refused};
use keyvault_exec::release::{Encoding, Piece};

use super::same;

/// Every variable that is taken may be set by a project file. A template that is composed from its pieces has the same meaning. What is
/// asked for is remembered as it is. An entry that is added is the only difference.
pub fn project_file(bytes: &[u8]) -> bool {
    let Ok(file) = ProjectFile::parse(bytes) else { return false };
    for (section, entry) in file.all() {
        assert!(refused::parse(entry.variable.as_str()).is_ok());
        assert_eq!(entry.keys().is_empty(), entry.setting().is_some(), "an entry without a key");
        if let VariableSource::Template(template) = &entry.source {
            let again = Template::parse(&written(template.pieces()));
            assert_eq!(again.as_ref().map(Template::pieces), Ok(template.pieces()));
        }
        let ask = Ask::of(section, entry);
        let kept = serde_json::to_vec(&ask).ok().and_then(|text| serde_json::from_slice(&text).ok());
        assert_eq!(kept, Some(ask));
    }
    added(bytes, &file);
    true
}

fn added(bytes: &[u8], file: &ProjectFile) {
    let (Ok(text), Ok(variable), Ok(key)) =
        (std::str::from_utf8(bytes), EnvName::parse("ADDED"), "added/key".parse())
    else {
        return;
    };
    for section in [None, "added".parse().ok()] {
        match edit::add(text, &section, &variable, &key, true) {
            Ok(Some(text)) => {
                let again = ProjectFile::parse(text.as_bytes()).unwrap_or_default();
                let others = |file: &ProjectFile| {
                    let all = file.all().map(|(section, entry)| (section.clone(), entry.clone()));
                    all.filter(|(place, entry)| *place != section || entry.variable != variable)
                        .collect::<Vec<_>>()
                };
                assert_eq!(others(&again), others(file));
                assert_eq!(again.all().count(), file.all().count() + 1);
            }
            Ok(None) | Err(EditError::Taken { .. } | EditError::Shape) => {}
        }
    }
}

/// The template of these pieces.
fn written(pieces: &[Piece]) -> String {
    let one = |piece: &Piece| match piece {
        Piece::Text(text) => text.replace('{', "{{").replace('}', "}}"),
        Piece::Value { name, field, encoding, .. } => {
            let field = field.as_ref().map_or_else(String::new, |field| format!("|json:{field}"));
            let encoding = if *encoding == Encoding::Url { "|url" } else { "" };
            format!("{{{name}{field}{encoding}}}")
        }
    };
    pieces.iter().map(one).collect()
}

/// A text means what its pieces say, written with braces; and where the whole of it is one reference, as an env-file's
/// value it is the same one.
pub fn references(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let whole = reference::whole(text);
    let Ok(pieces) = reference::pieces(text) else { return false };
    let one = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Value { name, version, field, .. } => {
            let version = version.map(|version| format!("version={version}"));
            let field = field.as_ref().map(|field| format!("json={field}"));
            let query: Vec<_> = version.into_iter().chain(field).collect();
            let mark = if query.is_empty() { "" } else { "?" };
            format!("{{{{kv://{name}{mark}{}}}}}", query.join("&"))
        }
    };
    let again = reference::pieces(&pieces.iter().map(one).collect::<String>());
    assert_eq!(again.as_ref(), Ok(&pieces));
    if let (Ok(Some(piece)), [only]) = (&whole, pieces.as_slice()) {
        assert_eq!(piece, only);
    }
    let plain: String =
        pieces.iter().map(|piece| if let Piece::Text(text) = piece { text } else { "" }).collect();
    pieces.iter().any(|piece| matches!(piece, Piece::Value { .. })) || same(plain.as_bytes(), bytes)
}

/// An index is read to its end or not at all: with a byte more it is none.
pub fn git_index(bytes: &[u8]) -> bool {
    let longer = [bytes, b"\0"].concat();
    let taken = |hash: &usize| {
        let taken = tracked::lists(bytes, b"kept", *hash);
        assert!(taken.is_none() || tracked::lists(&longer, b"kept", *hash).is_none());
        taken.is_some()
    };
    tracked::HASHES.iter().any(taken)
}
