//! The published schema of the project file is the one that the program has; the system suite holds it against the parser.
//!
//! `KEYVAULT_WRITE=1 cargo test --test library project_schema` writes it anew.

use std::path::{Path, PathBuf};

use keyvault::schema;

fn below(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_published_schema_is_current() {
    let path = below("docs/keyvault.toml.schema.json");
    if std::env::var_os("KEYVAULT_WRITE").is_some() {
        std::fs::write(&path, schema::text()).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        published == schema::text(),
        "KEYVAULT_WRITE=1 cargo test --test library project_schema writes it anew"
    );
}
