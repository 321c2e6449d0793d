//! `keyvault edit`

use std::collections::BTreeSet;

use clap::Args;
use keyvault_vault::key;

use super::issued;
use super::token::rotations;
use crate::cli::args::named;
use crate::cli::cmd::project::mentions;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output;
use crate::cli::output::time;
use crate::cli::output::view::{self, KeyJson};
use crate::cli::prompt;
use crate::cli::resembling;
use crate::cli::restrictions::{self, Dropped, Restrictions};
use keyvault_core::clock::Moment;
use keyvault_core::name::{EnvName, KeyName, Label, Scope, TagKey, TokenName};
use keyvault_vault::issued::Edit as IssuedEdit;
use keyvault_vault::{Access, Edit as Change, KeyRecord, Vault, token};

/// Change a key's name, scopes, tags, expiry, variable, note, owner, display name, or whether it is public.
///
/// Changes all of the named keys or none. Values stay.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The keys' names
    #[arg(required = true, add = complete::more_keys(), value_parser = named::<KeyName>, value_name = "NAME")]
    names: Vec<KeyName>,
    /// A new name; the variable stays
    #[arg(long, value_name = "NAME", value_parser = named::<KeyName>)]
    rename: Option<KeyName>,
    /// Scopes to add, separated by commas; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', add = complete::scopes(), value_parser = named::<Scope>)]
    scope: Vec<Scope>,
    /// Scopes to remove, separated by commas; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', add = complete::scopes(), value_parser = named::<Scope>)]
    unscope: Vec<Scope>,
    /// A label to set as KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE", add = complete::tags(), value_parser = crate::cli::args::tag)]
    tag: Vec<(TagKey, String)>,
    /// A label to remove; may be repeated
    #[arg(long, value_name = "KEY", add = complete::tag_keys(), value_parser = named::<TagKey>)]
    untag: Vec<TagKey>,
    /// When it expires: 90d, 2027-01-31, 2027-01-31T12:00:00Z or never
    #[arg(long, value_name = "WHEN", add = complete::one_of(|| complete::LIFETIMES.into_iter().chain(["never"])), value_parser = time::expiry)]
    expires: Option<time::Expiry>,
    /// The variable that holds the key
    #[arg(long, value_name = "VAR", value_parser = named::<EnvName>)]
    env: Option<EnvName>,
    /// A note; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// The person or team that answers for it; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// A name for people; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Mark the value as not secret: it is shown and not masked; asks first
    #[arg(long, conflicts_with = "no_public")]
    public: bool,
    /// Mark the value as secret again
    #[arg(long)]
    no_public: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    issued: OfIssued,
}

/// Options of issued keys alone.
#[derive(Debug, Clone, Default, Args)]
struct OfIssued {
    /// Another owner of an issued key; an empty one removes it
    #[arg(long, value_name = "CLIENT", value_parser = optional_label, help_heading = "Issued keys", hide_short_help = true)]
    client: Option<ClientName>,
    /// Roles to give to an issued key, separated by commas; may be repeated
    #[arg(long, value_name = "ROLE", value_delimiter = ',', value_parser = named::<Label>, help_heading = "Issued keys", hide_short_help = true)]
    role: Vec<Label>,
    /// Roles to take from an issued key, separated by commas; may be repeated
    #[arg(long, value_name = "ROLE", value_delimiter = ',', value_parser = named::<Label>, help_heading = "Issued keys", hide_short_help = true)]
    unrole: Vec<Label>,
    /// When an issued key becomes valid: 1h, 2027-01-31, 2027-01-31T12:00:00Z, or never for at once
    #[arg(long, value_name = "WHEN", value_parser = time::expiry, help_heading = "Issued keys", hide_short_help = true)]
    not_before: Option<time::Expiry>,
    #[command(flatten)]
    dropped: Dropped,
    #[command(flatten)]
    restrictions: Restrictions,
}

/// A client's name, or none where it is to be removed.
#[derive(Debug, Clone)]
struct ClientName(Option<Label>);

fn optional_label(text: &str) -> Result<ClientName, String> {
    if text.is_empty() { Ok(ClientName(None)) } else { named(text).map(|label| ClientName(Some(label))) }
}

impl OfIssued {
    fn change(self, now: Moment) -> IssuedEdit {
        IssuedEdit {
            client: self.client.map(|ClientName(client)| client),
            role: self.role.into_iter().collect(),
            unrole: self.unrole.into_iter().collect(),
            not_before: self.not_before.map(|begin| begin.resolve(now)),
            clear: self.dropped.parts(),
            conditions: self.restrictions.conditions(),
            ..IssuedEdit::default()
        }
    }
}

/// The whole change of an issued key; an option of held keys is refused.
fn of_issued(change: Change, issued: IssuedEdit) -> Result<IssuedEdit, Failure> {
    let held = [
        ("--env", change.variable.is_some()),
        ("--owner", change.owner.is_some()),
        ("--public", change.public == Some(true)),
        ("--no-public", change.public == Some(false)),
    ];
    if let Some((option, _)) = held.into_iter().find(|(_, given)| *given) {
        return Err(issued::refuse_option(option));
    }
    let too_long = |text: &Option<String>| text.as_ref().and_then(|text| restrictions::text(text).err());
    let unfit_tag = change.tag.values().find_map(|value| restrictions::text(value).err());
    for (option, fault) in [
        ("--note", too_long(&change.note)),
        ("--display-name", too_long(&change.display_name)),
        ("--tag", unfit_tag),
    ] {
        if let Some(fault) = fault {
            return Err(Failure::usage(&format!("`{option}` {fault}."), Some("Nothing was changed.")));
        }
    }
    Ok(IssuedEdit {
        rename: change.rename,
        scope: change.scope,
        unscope: change.unscope,
        tag: change.tag,
        untag: change.untag,
        note: change.note,
        display_name: change.display_name,
        expires: change.expires,
        ..issued
    })
}

impl Edit {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        let now = context.now();
        let public = match (self.public, self.no_public) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        let change = Change {
            rename: self.rename,
            scope: self.scope.into_iter().collect(),
            unscope: self.unscope.into_iter().collect(),
            tag: self.tag.into_iter().collect(),
            untag: self.untag.into_iter().collect(),
            expires: self.expires.map(|expires| expires.resolve(now)),
            variable: self.env,
            note: self.note,
            owner: self.owner,
            display_name: self.display_name,
            public,
        };
        let of_issued_alone = self.issued.change(now);
        let needs_issued = of_issued_alone != IssuedEdit::default();
        if change == Change::default() && !needs_issued {
            return Err(Failure::usage(
                "No change given.",
                Some("`keyvault edit --help` lists what can be changed."),
            ));
        }
        if self.names.len() > 1 && change.rename.is_some() {
            return Err(Failure::usage(
                "Only one key can be renamed at a time.",
                Some("Use `--rename` with one NAME."),
            ));
        }
        if self.public && !self.yes && !context.may_ask() {
            return Err(Failure::usage(
                &format!("A public value is shown in output and logs, and {}.", context.unasked()),
                Some("Use `--yes` to confirm."),
            ));
        }
        if let Some(renamed) = &change.rename {
            resembling::confirm(context, renamed, self.yes)?;
        }
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        if issued::are_issued(&mut vault, &access, &self.names)? {
            let change = of_issued(change, of_issued_alone)?;
            return issued::edit(context, (&mut vault, &access), &self.names, &change);
        }
        if needs_issued {
            return Err(issued::needs_issued("`--client`, `--role`, and restrictions"));
        }
        if self.public && !self.yes {
            // A name that is not there is said before anything is asked.
            for name in &self.names {
                key::show(&mut vault, &access, name).map_err(|error| Failure::of(error, &path))?;
            }
            let text = format!(
                "`list` and `show` will print the values of these keys, and `exec` will not mask them: {}.",
                view::joined(self.names.iter())
            );
            if !prompt::confirm(&text, "Make them public?")? {
                return Err(Failure::refused("Nothing was changed.", None));
            }
        }
        let opened_before =
            if change.unscope.is_empty() { Vec::new() } else { openers(&mut vault, &access, &self.names) };
        let key_records = context.with_world(|world| {
            key::edit(&mut vault, &access, world, &self.names, &change)
                .map_err(|error| Failure::of(error, &path))
        })?;
        let now = context.now();
        if context.ui.json {
            context.ui.print_json(&KeyJson::all(&key_records, now))?;
        } else {
            for (key, before) in key_records.iter().zip(&self.names) {
                context.ui.confirm(&changed(key, before, &change, now))?;
            }
        }
        if !context.ui.json {
            warn_of_withdrawn(context, (&mut vault, &access), &opened_before, &key_records);
        }
        if let Some(renamed) = &change.rename {
            mentions::warn_of(context, &self.names, Some(renamed));
        }
        Ok(code::DONE)
    }
}

/// The tokens that open each key, by the key's id.
fn openers(vault: &mut Vault, access: &Access, names: &[KeyName]) -> Vec<([u8; 16], BTreeSet<TokenName>)> {
    let mut openers = Vec::new();
    for name in names {
        if let Ok(key) = key::show(vault, access, name) {
            let tokens = token::granted(vault, access, std::slice::from_ref(&key)).unwrap_or_default();
            openers.push((key.id, tokens));
        }
    }
    openers
}

/// Names tokens that no longer open a key, whose bearers keep what they have of it.
fn warn_of_withdrawn(
    context: &Context,
    (vault, access): (&mut Vault, &Access),
    before: &[([u8; 16], BTreeSet<TokenName>)],
    key_records: &[KeyRecord],
) {
    let (mut lost, mut keys) = (BTreeSet::new(), Vec::new());
    for key in key_records {
        let Some((_, opened)) = before.iter().find(|(id, _)| *id == key.id) else { continue };
        let now = token::granted(vault, access, std::slice::from_ref(key)).unwrap_or_default();
        let withdrawn: Vec<_> = opened.difference(&now).map(|token| format!("`{token}`")).collect();
        if !withdrawn.is_empty() {
            keys.push(key.name.as_str());
        }
        lost.extend(withdrawn);
    }
    if !keys.is_empty() {
        let tokens = lost.into_iter().collect::<Vec<_>>().join(", ");
        context.ui.note(&format!(
            "Anyone with token {tokens} and an older copy of the vault or a bundle can still read the values that it no longer opens. To end that:{}",
            rotations(vault, access, &keys)
        ));
    }
}

/// `stripe/live is changed: scopes billing, dev; never expires`
fn changed(key: &KeyRecord, before: &KeyName, change: &Change, now: Moment) -> String {
    let text = |label: &str, text: &str| {
        if text.is_empty() {
            format!("no {label}")
        } else {
            format!("{label} {}", output::harmless_line(text))
        }
    };
    let mut parts = Vec::new();
    if change.variable.is_some() {
        parts.push(format!("variable {}", key.variable));
    }
    if !change.scope.is_empty() || !change.unscope.is_empty() {
        parts.push(view::scopes(&key.scopes));
    }
    if !change.tag.is_empty() || !change.untag.is_empty() {
        let tags: Vec<_> = key.tags.iter().map(|(tag, value)| format!("{tag}={value}")).collect();
        parts.push(text("tags", &tags.join(", ")));
    }
    if change.expires.is_some() {
        parts.push(key.expires.map_or_else(
            || "never expires".to_owned(),
            |at| format!("{} {}", if at > now { "expires" } else { "expired" }, view::when(at, now)),
        ));
    }
    let texts = [
        (change.note.is_some(), "note", &key.note),
        (change.owner.is_some(), "owner", &key.owner),
        (change.display_name.is_some(), "display name", &key.display_name),
    ];
    parts.extend(texts.into_iter().filter(|(given, ..)| *given).map(|(_, label, value)| text(label, value)));
    parts.extend(change.public.map(|public| if public { "public" } else { "not public" }.to_owned()));
    match &change.rename {
        Some(new) => {
            let stays = change.variable.is_none().then(|| format!("its variable stays {}", key.variable));
            parts.extend(stays);
            format!("{before} is renamed to {new}; {}", parts.join("; "))
        }
        None => format!("{} is changed: {}", key.name, parts.join("; ")),
    }
}
