//! Project files that still use the name of a key that was renamed or removed.

use std::path::Path;

use super::gate::{Believed, Found};
use crate::cli::context::{self, Context};
use crate::cli::output;
use crate::project::place;
use keyvault_core::name::KeyName;

/// Warns of project files, from the working directory upward, that ask for these keys. `renamed` is the new name of the one
/// key that has one.
pub(in crate::cli) fn warn_of(context: &Context, names: &[KeyName], renamed: Option<&KeyName>) {
    let Ok(folder) = std::env::current_dir() else { return };
    for path in place::all(&folder, context::home().as_deref()) {
        // A file that is not read, or not understood, is a matter of the commands that use it.
        let Ok(found) = Found::at(&path, Believed::Trusted) else { continue };
        for name in names {
            warn_of_one(context, &path, &found, name, renamed);
        }
    }
}

fn warn_of_one(context: &Context, path: &Path, found: &Found, name: &KeyName, renamed: Option<&KeyName>) {
    let uses = found.file.all().filter(|(_, entry)| entry.keys().contains(&name));
    let variables: Vec<_> = uses.map(|(_, entry)| entry.variable.as_str()).collect();
    if variables.is_empty() {
        return;
    }
    let remedy = match renamed {
        Some(new) => format!("Write `{new}` there, then run `keyvault project approve`."),
        None => "Remove the entry, or name another key.".to_owned(),
    };
    context.ui.warn(&format!(
        "{} still asks for `{name}` ({}). {remedy}",
        output::harmless_line(&path.display().to_string()),
        variables.join(", ")
    ));
}
