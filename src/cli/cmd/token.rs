//! `keyvault token …`

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use keyvault_vault::{key, token};

use super::status;
use crate::cli::args::named;
use crate::cli::complete;
use crate::cli::context::Context;
use crate::cli::errors::{Failure, code};
use crate::cli::output;
use crate::cli::output::event;
use crate::cli::output::table::{Cell, Column, Table};
use crate::cli::output::time::{self, Expiry};
use crate::cli::output::view;
use keyvault_core::clock::Moment;
use keyvault_core::name::similar::nearest;
use keyvault_core::name::{KeyName, Label, Scope, TokenName};
use keyvault_issue::ApiId;
use keyvault_vault::{
    Access, Issued, Listed, NewToken, Of, TokenEdit, TokenKind, TokenRecord, Vault, VaultError, World, issued,
};

/// Give machines a credential that opens only the keys granted to it.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Create(Create),
    List(List),
    Show(Show),
    Edit(Edit),
    Renew(Renew),
    Revoke(Revoke),
}

/// Create a token and print it, once.
///
/// Grants the keys that have one of its scopes and the keys that are named, now and whenever keys are created, rotated or
/// get other scopes. The restriction is cryptographic: its bearer can read these keys from the vault's file and no others.
/// With the token in KEYVAULT_TOKEN, `keyvault exec -- CMD` injects every key granted to it.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The token's name, such as ci or deploy/prod
    #[arg(value_parser = named::<TokenName>)]
    name: TokenName,
    /// Grant the keys with any of these scopes, separated by commas, now and later; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', add = complete::scopes(), value_parser = named::<Scope>, required_unless_present_any = ["key", "verifier"])]
    scope: Vec<Scope>,
    /// Grant these keys, separated by commas; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',', add = complete::more_keys(), value_parser = named::<KeyName>)]
    key: Vec<KeyName>,
    /// When it expires: 90d, 2027-01-31, 2027-01-31T12:00:00Z or never
    #[arg(long, value_name = "WHEN", add = complete::one_of(|| complete::LIFETIMES), value_parser = time::expiry_ahead)]
    expires: Option<Expiry>,
    /// A gateway's token: it verifies the keys that you issue, and reads no held key but those granted to it
    #[arg(long)]
    verifier: bool,
    /// With --verifier: the API whose keys it verifies, instead of `default`; may be repeated
    #[arg(long, value_name = "API", requires = "verifier", value_parser = named::<Label>)]
    api: Vec<Label>,
}

/// List tokens, and limited sessions that have not ended.
#[derive(Debug, Args)]
pub(crate) struct List {}

/// Show a token: what it opens, and what was read with it.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The token's name
    #[arg(add = complete::tokens(), value_parser = named::<TokenName>)]
    name: TokenName,
}

/// Change what a token opens, and until when; its secret stays.
///
/// The vault gives the token what it is granted at once. A bundle follows with `keyvault bundle update`; one from before, or
/// an older copy of the vault, still opens what the token opened then.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The token's name
    #[arg(add = complete::tokens(), value_parser = named::<TokenName>)]
    name: TokenName,
    /// Scopes to grant, separated by commas; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', add = complete::scopes(), value_parser = named::<Scope>)]
    scope: Vec<Scope>,
    /// Scopes to stop granting, separated by commas; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', add = complete::scopes(), value_parser = named::<Scope>)]
    unscope: Vec<Scope>,
    /// Keys to grant by name, separated by commas; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',', add = complete::more_keys(), value_parser = named::<KeyName>)]
    key: Vec<KeyName>,
    /// Keys to stop granting by name, separated by commas; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',', add = complete::more_keys(), value_parser = named::<KeyName>)]
    no_key: Vec<KeyName>,
    /// When it expires: 90d, 2027-01-31, 2027-01-31T12:00:00Z or never
    #[arg(long, value_name = "WHEN", value_parser = time::expiry_ahead)]
    expires: Option<Expiry>,
}

/// Give a token a new secret and print it, once; the old one no longer opens anything.
///
/// First import what the old token read from bundles (`keyvault audit import`): its read logs are not accepted afterwards.
/// Create its bundles again.
#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// The token's name
    #[arg(add = complete::tokens(), value_parser = named::<TokenName>)]
    name: TokenName,
}

/// Revoke a token permanently, or end a limited session, at once and without asking.
///
/// Anyone with the token and an older copy of the vault or a bundle can still read the values in it. The keys that the
/// token could read are listed, with the command that rotates them.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The token's name
    #[arg(add = complete::tokens(), value_parser = named::<TokenName>)]
    name: TokenName,
}

impl Token {
    pub(in crate::cli) fn run(self, context: &mut Context) -> Result<u8, Failure> {
        match self {
            Self::Create(args) => args.run(context),
            Self::List(List {}) => list(context),
            Self::Show(args) => args.run(context),
            Self::Edit(args) => args.run(context),
            Self::Renew(args) => args.run(context),
            Self::Revoke(args) => args.run(context),
        }
    }
}

impl Create {
    fn run(self, context: &Context) -> Result<u8, Failure> {
        let new = NewToken {
            name: self.name,
            scopes: self.scope,
            keys: self.key,
            expires: self.expires.and_then(|expires| expires.resolve(context.now())),
        };
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        let issued = context.with_world(|world| {
            let issued = if self.verifier {
                verified_apis(&mut vault, &access, world, &self.api)
                    .and_then(|apis| token::create_verifier(&mut vault, &access, world, &new, &apis))
            } else {
                token::create(&mut vault, &access, world, &new)
            };
            issued.map_err(|error| Failure::of(error, &path))
        })?;
        let printed = print_issued(context, &issued)?;
        // A verifier's token opens no keys.
        if !context.ui.json && !self.verifier {
            warn_of_empty_scopes(context, &mut vault, &access, &issued.empty_scopes);
        }
        Ok(printed)
    }
}

/// The ids of the APIs of these names; of `default` if none is named.
fn verified_apis(
    vault: &mut Vault,
    access: &Access,
    world: &World<'_>,
    names: &[Label],
) -> Result<Vec<ApiId>, VaultError> {
    if names.is_empty() {
        return Ok(vec![issued::default_api(vault, access, world)?.id]);
    }
    names.iter().map(|name| Ok(issued::api(vault, access, world, name)?.id)).collect()
}

impl Edit {
    fn run(self, context: &Context) -> Result<u8, Failure> {
        let change = TokenEdit {
            scope: self.scope.into_iter().collect(),
            unscope: self.unscope.into_iter().collect(),
            key: self.key,
            no_key: self.no_key,
            expires: self.expires.map(|expires| expires.resolve(context.now())),
        };
        if change == TokenEdit::default() {
            return Err(Failure::usage(
                "No change given.",
                Some("`keyvault token edit --help` lists what can be changed."),
            ));
        }
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        let edited = context.with_world(|world| {
            token::edit(&mut vault, &access, world, &self.name, &change)
                .map_err(|error| Failure::of(error, &path))
        })?;
        show(context, &self.name, &tokens_in(context, &mut vault, &access)?)?;
        warn_of_empty_scopes(context, &mut vault, &access, &edited.empty_scopes);
        for key in &edited.still_granted {
            context.ui.warn(&format!("A scope of token `{}` still grants it `{key}`.", self.name));
        }
        if !context.ui.json && !edited.withdrawn.is_empty() {
            let copies = "Anyone with the token and an older copy of the vault or a bundle can still read the values that it no longer opens. To end that:";
            let withdrawn: Vec<_> = edited.withdrawn.iter().map(|key| key.name.as_str()).collect();
            context.ui.note(&format!("{copies}{}", rotations(&mut vault, &access, &withdrawn)));
        }
        Ok(code::DONE)
    }
}

impl Renew {
    fn run(self, context: &Context) -> Result<u8, Failure> {
        let (mut vault, access) = context.open_with_access()?;
        let path = vault.path().to_owned();
        let issued = context.with_world(|world| {
            token::renew(&mut vault, &access, world, &self.name).map_err(|error| Failure::of(error, &path))
        })?;
        print_issued(context, &issued)?;
        if !context.ui.json {
            warn_of_empty_scopes(context, &mut vault, &access, &issued.empty_scopes);
        }
        let granted: Vec<_> = issued.granted.iter().map(KeyName::as_str).collect();
        if !context.ui.json && !granted.is_empty() {
            let leaked = "Anyone with the old token and a copy of the vault or a bundle can still read today's values. If it leaked:";
            context.ui.say(&format!("{leaked}{}", rotations(&mut vault, &access, &granted)));
            if issued.record.kind == TokenKind::Bearer {
                context.ui.note(&format!(
                    "Create its bundles again: keyvault bundle create --token {} -o FILE",
                    self.name
                ));
            }
        }
        Ok(code::DONE)
    }
}

/// The token alone on stdout, everything about it on stderr.
fn print_issued(context: &Context, issued: &Issued) -> Result<u8, Failure> {
    let ui = &context.ui;
    let record = &issued.record;
    if ui.json {
        let token = String::from_utf8_lossy(issued.token.text().expose()).into_owned();
        let mut answer = json(record, &issued.granted, context.now());
        if let Some(fields) = answer.as_object_mut() {
            fields.insert("token".to_owned(), token.into());
        }
        ui.print_json(&answer).map_err(|failure| lost(failure, record))?;
        return Ok(code::DONE);
    }
    let printed = ui.data(issued.token.text().expose()).and_then(|()| ui.data(b"\n"));
    printed.map_err(|failure| lost(failure, record))?;
    let name = &record.name;
    let opens = match (issued.granted.len(), record.expires.map(time::local)) {
        (0, None) => format!("Token `{name}` opens no keys yet."),
        (0, Some(end)) => format!("Token `{name}` opens no keys yet. It expires on {end}."),
        (count, None) => format!("Token `{name}` opens {}.", view::counted(count, "key")),
        (count, Some(end)) => format!("Token `{name}` opens {} until {end}.", view::counted(count, "key")),
    };
    let opens = match record.kind {
        TokenKind::Verifier | TokenKind::Issuer => {
            format!("Token `{name}` is for the API's {}.", record.kind.noun())
        }
        TokenKind::Bearer | TokenKind::Session => opens,
    };
    ui.note(&format!("{opens} It is shown only once: store it where KEYVAULT_TOKEN is set."));
    Ok(code::DONE)
}

/// Names scopes that no key has, and those that were probably meant.
fn warn_of_empty_scopes(context: &Context, vault: &mut Vault, access: &Access, empty: &[Scope]) {
    if empty.is_empty() {
        return;
    }
    let names = key::names(vault, access).unwrap_or_default();
    for scope in empty {
        let near = names.scope_like(scope).map(|near| format!(" Did you mean `{near}`?"));
        context.ui.warn(&format!(
            "No key has the scope `{scope}` yet.{} The token will open any key that is given this scope.",
            near.unwrap_or_default()
        ));
    }
}

/// The token is made by then, and nobody has it.
fn lost(failure: Failure, record: &TokenRecord) -> Failure {
    let hint =
        format!("The token was created, but its text is lost:\n  keyvault token renew {}", record.name);
    Failure { quiet: false, code: code::FAILED, hint: Some(hint), ..failure }
}

fn json(record: &TokenRecord, granted: &[KeyName], now: Moment) -> serde_json::Value {
    serde_json::json!({
        "name": record.name.as_str(),
        "kind": record.kind.noun(),
        "status": record.status(now).name(),
        "scopes": record.rule.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "keys": granted.iter().map(KeyName::as_str).collect::<Vec<_>>(),
        "created": time::rfc3339(record.created),
        "made_by": record.made_by,
        "expires": record.expires.map(time::rfc3339),
        "revoked": record.revoked.map(time::rfc3339),
    })
}

/// Names of APIs by their ids.
type ApiNames = BTreeMap<ApiId, Label>;

/// The APIs of a verifier or an issuer.
fn apis_of(record: &TokenRecord, names: &ApiNames) -> Vec<String> {
    let name = |id: &ApiId| names.get(id).map_or_else(|| "an API that is gone".to_owned(), Label::to_string);
    record.apis.keys().map(name).collect()
}

fn tokens(context: &Context) -> Result<(Vec<Listed>, ApiNames), Failure> {
    let (mut vault, access) = context.open_to_look()?;
    tokens_in(context, &mut vault, &access)
}

fn tokens_in(
    context: &Context,
    vault: &mut Vault,
    access: &Access,
) -> Result<(Vec<Listed>, ApiNames), Failure> {
    let path = vault.path().to_owned();
    let tokens = token::list(vault, access, context.now()).map_err(|error| Failure::of(error, &path))?;
    if tokens.iter().all(|token| token.record.apis.is_empty()) {
        return Ok((tokens, ApiNames::new()));
    }
    // Tokens are listed also where the APIs cannot be.
    let apis = context.with_world(|world| Ok(issued::apis(vault, access, world)))?.unwrap_or_default();
    Ok((tokens, apis.into_iter().map(|api| (api.id, api.name)).collect()))
}

fn list(context: &Context) -> Result<u8, Failure> {
    let ui = &context.ui;
    let now = context.now();
    let (all, apis) = tokens(context)?;
    let (sessions, tokens): (Vec<_>, Vec<_>) = all.into_iter().partition(|token| token.record.is_session());
    if ui.json {
        let json = |tokens: &[Listed]| -> Vec<_> {
            tokens.iter().map(|token| listed_json(token, &apis, now, false)).collect()
        };
        ui.print_json(&serde_json::json!({ "tokens": json(&tokens), "sessions": json(&sessions) }))?;
        return Ok(code::DONE);
    }
    if tokens.is_empty() {
        ui.note("No tokens yet. Create one with `keyvault token create ci --scope SCOPE`.");
    } else {
        let mut table = Table::new([
            Column::whole("NAME"),
            Column::broken("SCOPES"),
            Column::number("KEYS"),
            Column::number("AGE").spare(1),
            Column::whole("EXPIRES").last_spare(1),
            Column::whole("LAST READ").spare(2),
            Column::whole("STATUS"),
        ]);
        for token in &tokens {
            table.row(cells(token, &apis, now));
        }
        ui.paged(&table.text(ui))?;
        faults(context, &tokens);
    }
    for session in &sessions {
        let opens = view::counted(session.granted.len(), "key");
        let end = status::session_end(&session.record, now);
        let line = format!("{}: limited session, {opens}, {end}", session.record.name);
        ui.line(&output::hanging(&line, 2))?;
    }
    faults(context, &sessions);
    Ok(code::DONE)
}

fn cells<'t>(token: &'t Listed, apis: &ApiNames, now: Moment) -> [Cell<'t>; 7] {
    let record = &token.record;
    let opens = match kind_and_apis(record, apis) {
        Some(kind) => kind,
        None => view::joined(record.rule.scopes.iter()),
    };
    let (status, style) = view::status_word(record.status(now));
    let expires = record.expires.map_or("never".to_owned(), |at| time::relative(at, now));
    let soon = view::style_of_expiry(record.expires, now).filter(|_| record.revoked.is_none());
    [
        record.name.as_str().into(),
        opens.into(),
        token.granted.len().to_string().into(),
        time::between(record.created, now).into(),
        Cell::styled(expires, soon),
        token.reads.last().map_or("never".to_owned(), |read| time::relative(read.time, now)).into(),
        Cell::styled(status, style),
    ]
}

/// `verifier of default`; `None` for a token that opens keys.
fn kind_and_apis(record: &TokenRecord, apis: &ApiNames) -> Option<String> {
    let is_of_apis = matches!(record.kind, TokenKind::Verifier | TokenKind::Issuer);
    is_of_apis.then(|| format!("{} of {}", record.kind.noun(), apis_of(record, apis).join(", ")))
}

fn faults(context: &Context, tokens: &[Listed]) {
    for token in tokens {
        if let Some(fault) = &token.fault {
            context.ui.warn(&format!(
                "The reads by token `{}` cannot be proved: {fault}. Someone may have hidden reads.",
                token.record.name
            ));
        }
    }
}

fn listed_json(token: &Listed, apis: &ApiNames, now: Moment, with_reads: bool) -> serde_json::Value {
    let mut answer = json(&token.record, &token.granted, now);
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("apis".to_owned(), apis_of(&token.record, apis).into());
        fields.insert("last_read".to_owned(), token.reads.last().map(|read| time::rfc3339(read.time)).into());
        fields.insert("fault".to_owned(), token.fault.clone().into());
        if with_reads {
            let name = &token.record.name;
            let reads = (token.before..).zip(&token.reads);
            let reads: Vec<_> =
                reads.map(|(seq, read)| event::json(&Of::Token(name.clone(), seq), read)).collect();
            fields.insert("reads".to_owned(), reads.into());
        }
    }
    answer
}

impl Show {
    fn run(self, context: &Context) -> Result<u8, Failure> {
        show(context, &self.name, &tokens(context)?)
    }
}

/// The token of that name among all of them.
fn show(
    context: &Context,
    name: &TokenName,
    (tokens, apis): &(Vec<Listed>, ApiNames),
) -> Result<u8, Failure> {
    const SHOWN: usize = 10;
    let Some(token) = tokens.iter().find(|token| token.record.name == *name) else {
        let known = tokens.iter().map(|token| &token.record.name);
        let near = nearest(known, name.as_str(), |known| known.as_str()).cloned();
        let error = keyvault_vault::TokenError::Missing { name: name.clone(), near };
        return Err(Failure::of(error.into(), std::path::Path::new("the vault")));
    };
    let now = context.now();
    let ui = &context.ui;
    if ui.json {
        ui.print_json(&listed_json(token, apis, now, true))?;
        return Ok(code::DONE);
    }
    let record = &token.record;
    let at = |moment: Moment| view::when(moment, now);
    let (status, style) = view::status_word(record.status(now));
    let mut facts = vec![("name", ui.on_out(output::STRONG, record.name.as_str()))];
    facts.extend(kind_and_apis(record, apis).map(|kind| ("kind", kind)));
    facts.extend([
        ("scopes", view::joined(record.rule.scopes.iter())),
        ("keys", view::joined(token.granted.iter())),
        ("status", ui.on_out(style, status)),
        ("created", format!("{} by {}", at(record.created), output::harmless_line(&record.made_by))),
        ("expires", record.expires.map_or("never".to_owned(), at)),
        ("reads", token.reads.len().to_string()),
    ]);
    let skipped = token.reads.len().saturating_sub(SHOWN);
    let reads = (token.before..).zip(&token.reads).skip(skipped);
    let lines: Vec<_> =
        reads.map(|(seq, read)| event::Line::of(&Of::Token(record.name.clone(), seq), read)).collect();
    ui.data((view::card(facts) + &event::text(&lines)).as_bytes())?;
    faults(context, std::slice::from_ref(token));
    Ok(code::DONE)
}

impl Revoke {
    fn run(self, context: &Context) -> Result<u8, Failure> {
        let (mut vault, mut access) = context.open_despite_damage()?;
        let could = context.change_despite_damage(&mut vault, &mut access, |vault, access, world| {
            token::revoke(vault, access, world, &self.name)
        })?;
        let ui = &context.ui;
        if ui.json {
            let could: Vec<_> = could.iter().map(|key| key.name.as_str()).collect();
            ui.print_json(&serde_json::json!({ "name": self.name.as_str(), "could_read": could }))?;
            return Ok(code::DONE);
        }
        ui.confirm(&format!("Token `{}` is revoked.", self.name))?;
        if !could.is_empty() {
            let copies = "Anyone with the token and a copy of the vault or a bundle can still read today's values. To end that:";
            let could: Vec<_> = could.iter().map(|key| key.name.as_str()).collect();
            ui.say(&format!("{copies}{}", rotations(&mut vault, &access, &could)));
        }
        // A session has no bundle, nor has a verifier.
        let tokens = token::list(&mut vault, &access, context.now()).unwrap_or_default();
        let mut tokens = tokens.iter().map(|token| &token.record);
        if !tokens.any(|record| record.name == self.name && record.kind == TokenKind::Bearer) {
            return Ok(code::DONE);
        }
        ui.note("Keys that it was granted before, and no longer, are in the log: keyvault audit log --action token");
        ui.note("Bundles of the token can no longer be updated: create them again for another token.");
        Ok(code::DONE)
    }
}

/// The commands that make old copies worthless: one for generated values, one for each other key, which asks for its
/// value and would take the next of several lines for it.
pub(super) fn rotations(vault: &mut Vault, access: &Access, could: &[&str]) -> String {
    // That the token is revoked or renewed is not to be called in question by a vault that cannot be listed.
    let made = key::list(vault, access).unwrap_or_default();
    let made: Vec<_> = made.iter().filter(|key| key.recipe.is_some()).map(|key| key.name.as_str()).collect();
    let (made, given): (Vec<&str>, Vec<&str>) = could.iter().partition(|name| made.contains(name));
    let mut text = String::new();
    if !made.is_empty() {
        text.push_str(&format!("\n  keyvault rotate {}", made.join(" ")));
    }
    if !given.is_empty() {
        let names = given.join(" ");
        text.push_str(&format!("\n  keyvault rotate NAME, with its new value, for each of: {names}"));
    }
    text
}
