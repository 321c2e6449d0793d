//! `keyvault generate`

use clap::Args;
use keyvault_vault::key;

use super::project::naming::variable_here;
use crate::cli::args::{Metadata, named};
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::view::{self, KeyJson};
use crate::cli::resembling;
use keyvault_core::name::KeyName;
use keyvault_core::recipe::{Alphabet, Recipe, RecipeError, ValueKind};
use keyvault_vault::{Access, KeyRecord, NewKey, Origin, Vault};

/// Generate a key with a strong random value.
///
/// The value is shown only with --print. The key keeps its recipe, so that `keyvault rotate` repeats it.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// The key's name, such as stripe/live
    #[arg(value_parser = named::<KeyName>)]
    name: KeyName,
    #[command(flatten)]
    metadata: Metadata,
    /// The kind of value: token, password, hex, base64, base64url, uuid, passphrase, or a key pair: ed25519, ecdsa-p256,
    /// ecdsa-p384, ssh-ed25519, ssh-ecdsa-p256, ssh-ecdsa-p384
    #[arg(long, value_name = "KIND", default_value = "token", add = complete::one_of(recipe_names), value_parser = recipe_kind)]
    recipe: ValueKind,
    /// Characters of a token or password, bytes of hex and base64, words of a passphrase
    #[arg(long, value_name = "N")]
    length: Option<u32>,
    /// The only characters of a token or password: abc123-_, or digits, hex, lower, upper, alpha, base32, base58, base62,
    /// alnum, visible; a token then has neither kv_ nor a checksum
    #[arg(long, value_name = "CHARS", allow_hyphen_values = true, add = complete::one_of(|| Alphabet::NAMES), value_parser = alphabet)]
    alphabet: Option<Alphabet>,
    /// How the value starts, instead of kv_ for a token
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Print only the value, on stdout
    #[arg(long)]
    print: bool,
    /// Do not ask about a name that looks like a value
    #[arg(long)]
    yes: bool,
}

fn recipe_names() -> [&'static str; ValueKind::ALL.len()] {
    ValueKind::ALL.map(ValueKind::name)
}

fn recipe_kind(text: &str) -> Result<ValueKind, String> {
    text.parse().map_err(|_| format!("is not one of {}", recipe_names().join(", ")))
}

fn alphabet(text: &str) -> Result<Alphabet, String> {
    Alphabet::parse(text).map_err(|error| match error {
        RecipeError::AlphabetName => {
            format!("is not one of {}, and no set of characters in order", Alphabet::NAMES.join(", "))
        }
        _ => "has to have 2 to 94 different visible ASCII characters".to_owned(),
    })
}

impl Generate {
    pub(in crate::cli) fn run(mut self, context: &mut Context) -> Result<u8, Failure> {
        self.metadata.env = self.metadata.env.or_else(|| variable_here(&self.name));
        let prefix = self.prefix.as_deref();
        let recipe = match self.alphabet {
            None => Recipe::new(self.recipe, self.length, prefix),
            Some(alphabet) => Recipe::of_alphabet(self.recipe, alphabet, self.length, prefix),
        }
        .map_err(Failure::recipe)?;
        resembling::confirm(context, &self.name, self.yes)?;
        let mut opened = context.open_with_access()?;
        note_removed(context, &mut opened.0, &opened.1, &self.name);
        create(context, opened, self.name, self.metadata, Origin::Recipe(recipe), self.print)
    }
}

/// Says that a removed key has the name of a new one.
pub(super) fn note_removed(context: &Context, vault: &mut Vault, access: &Access, name: &KeyName) {
    let removed = key::removed_names(vault, access, context.now()).unwrap_or_default();
    if !context.ui.json && removed.contains(name) && key::check_new(vault, access, name, None).is_ok() {
        context.ui.note(&format!(
            "A removed key has this name: `keyvault undelete {name}` brings it back, or with `--as NEW` beside the new one."
        ));
    }
}

/// Creates a key and confirms it, for `generate` and `add`.
pub(super) fn create(
    context: &Context,
    (mut vault, access): (Vault, Access),
    name: KeyName,
    metadata: Metadata,
    origin: Origin,
    print: bool,
) -> Result<u8, Failure> {
    let new = NewKey {
        name,
        variable: metadata.env,
        scopes: metadata.scope.into_iter().collect(),
        tags: metadata.tag.into_iter().collect(),
        note: metadata.note.unwrap_or_default(),
        expires: metadata.expires.and_then(|expires| expires.resolve(context.now())),
        public: metadata.public,
        origin,
    };
    let path = vault.path().to_owned();
    let (key, value) = context.with_world(|world| {
        key::create(&mut vault, &access, world, &new, print).map_err(|error| Failure::of(error, &path))
    })?;
    let now = context.now();
    hint_unreadable(context, &key);
    match value {
        Some(value) if context.ui.json => {
            let key = KeyJson::of(&key, now).with_value(value.expose());
            context.ui.print_json(&serde_json::json!({ "keys": [key] }))?;
        }
        Some(value) if context.ui.out_is_terminal() => context.ui.value(&value)?,
        // Alone, and a line, as `$(keyvault generate --print …)` expects it.
        Some(value) => {
            context.ui.data(value.expose())?;
            if !value.expose().ends_with(b"\n") {
                context.ui.data(b"\n")?;
            }
        }
        None if context.ui.json => context.ui.print_json(&KeyJson::all([&key], now))?,
        None => {
            let made = match &key.recipe {
                Some(recipe) => format!("generated ({})", view::recipe(recipe)),
                None => "added".to_owned(),
            };
            context.ui.confirm(&format!("{} is {made}; {}", key.name, view::in_a_line(&key, now)))?;
        }
    }
    Ok(code::DONE)
}

pub(super) fn hint_unreadable(context: &Context, key: &KeyRecord) {
    if !key.variable.readable_by_shells() {
        context.ui.warn(&format!(
            "Shells cannot read the variable {}. Name another with `--env VAR`.",
            key.variable
        ));
    }
}
