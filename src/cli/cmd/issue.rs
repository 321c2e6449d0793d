//! `keyvault issue`

use clap::{Args, ValueEnum};
use keyvault_core::name::{KeyName, Label, Scope, TagKey};
use keyvault_issue::record::{Environment, Prefix};
use keyvault_vault::issued::{self, Minted, New};

use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output::issued::IssuedJson;
use crate::cli::output::time;
use crate::cli::output::view;
use crate::cli::resembling;
use crate::cli::restrictions::{Restrictions, tag, text};

/// Issue a key for your own API and print it, once.
///
/// The vault keeps a hash of the secret, so nobody can show the key again: `keyvault rotate NAME` makes a new secret. Limits
/// and quotas of a client hold for all of its keys together; those given here replace the client's of the same name or period.
/// The first key creates the API `default`.
#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// The key's name, such as acme/prod; held and issued keys share their names
    #[arg(value_parser = named::<KeyName>)]
    name: KeyName,
    /// The API that accepts the key, instead of `default`
    #[arg(long, value_name = "API", value_parser = named::<Label>)]
    api: Option<Label>,
    /// The key's owner, created with `keyvault client add`
    #[arg(long, value_name = "CLIENT", value_parser = named::<Label>)]
    client: Option<Label>,
    /// Scopes of the key, separated by commas; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', value_parser = named::<Scope>)]
    scope: Vec<Scope>,
    /// The scopes of a role, separated by commas; may be repeated
    #[arg(long, value_name = "ROLE", value_delimiter = ',', value_parser = named::<Label>)]
    role: Vec<Label>,
    /// When it expires: 90d, 2027-01-31, 2027-01-31T12:00:00Z or never
    #[arg(long, value_name = "WHEN", add = complete::one_of(|| complete::LIFETIMES), value_parser = time::expiry_ahead)]
    expires: Option<time::Expiry>,
    /// When it becomes valid: 1h, 2027-01-31, 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = time::expiry, hide_short_help = true)]
    not_before: Option<time::Expiry>,
    #[command(flatten)]
    restrictions: Restrictions,
    /// A name for people, which gateways see
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = text, hide_short_help = true)]
    display_name: String,
    /// A note, which gateways do not see
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = text, hide_short_help = true)]
    note: String,
    /// A label as KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE", add = complete::tags(), value_parser = tag, hide_short_help = true)]
    tag: Vec<(TagKey, String)>,
    /// How the key starts, if it is one of the API's prefixes
    #[arg(long, value_name = "PREFIX", value_parser = prefix, hide_short_help = true)]
    prefix: Option<Prefix>,
    /// live or test
    #[arg(long, value_enum, value_name = "ENV", default_value = "live", hide_possible_values = true)]
    env: Env,
    /// Do not ask about a name that looks like a value
    #[arg(long, hide_short_help = true)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Env {
    Live,
    Test,
}

/// A prefix of new keys.
pub(super) fn prefix(text: &str) -> Result<Prefix, String> {
    let prefix = Prefix::parse(text).filter(|prefix| !prefix.as_str().is_empty());
    prefix.ok_or_else(|| "is not a prefix: 1 to 16 letters, digits, and _ between them".to_owned())
}

impl Issue {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let now = context.now();
        resembling::confirm(context, &self.name, self.yes)?;
        let new = New {
            name: self.name,
            api: self.api,
            environment: match self.env {
                Env::Live => Environment::Live,
                Env::Test => Environment::Test,
            },
            prefix: self.prefix,
            client: self.client,
            roles: self.role.into_iter().collect(),
            scopes: self.scope.into_iter().collect(),
            not_before: self.not_before.and_then(|begin| begin.resolve(now)),
            expires: self.expires.and_then(|expires| expires.resolve(now)),
            display_name: self.display_name,
            note: self.note,
            tags: self.tag.into_iter().collect(),
            conditions: self.restrictions.conditions(),
        };
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        let minted = context.with_world(|world| {
            issued::issue(&mut vault, &access, world, &new).map_err(|error| Failure::of(error, &path))
        })?;
        print(context, &minted)
    }
}

/// The key alone on stdout, everything about it on stderr.
fn print(context: &Context, minted: &Minted) -> Result<u8, Failure> {
    let (ui, key) = (&context.ui, &minted.key);
    let text = minted.text.expose();
    let printed = if ui.json {
        ui.print_json(&IssuedJson::of(key).with_text(text))
    } else {
        ui.data(text).and_then(|()| ui.data(b"\n"))
    };
    printed.map_err(|failure| lost(failure, &key.label()))?;
    let until = key.record.expires.map(|end| format!(" It expires {}.", view::when(end, context.now())));
    ui.note(&format!(
        "Issued `{}` with the id {}.{} It is shown only once: hand it over now.",
        key.label(),
        key.record.id,
        until.unwrap_or_default()
    ));
    Ok(code::DONE)
}

/// A key that was made and could not be shown.
pub(super) fn lost(failure: Failure, name: &str) -> Failure {
    let hint =
        format!("The secret was made, but its text is lost. To make another:\n  keyvault rotate {name}");
    Failure { quiet: false, code: code::FAILED, hint: Some(hint), ..failure }
}
