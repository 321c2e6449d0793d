//! Arguments as typed. Each verb's own stand in its file under `cmd`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::unlock::key_source::Machine;
use super::{cmd, complete, mapping};
use keyvault_core::name::{EnvName, KeyName, Scope, TagKey};
use keyvault_exec::release::Selection;

/// Store API keys in an encrypted vault, and give each process exactly the keys it needs.
#[derive(Debug, Parser)]
#[command(name = "keyvault", version, disable_help_subcommand = true, help_template = HELP, subcommand_required = true)]
pub struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The vault's file, instead of $KEYVAULT_VAULT or the one in your data folder
    #[arg(long, global = true, value_name = "PATH", help_heading = "Everywhere")]
    pub(super) vault: Option<PathBuf>,
    /// Print data and errors as JSON
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(super) json: bool,
    /// Never prompt; fail at once and name the alternative
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(super) non_interactive: bool,
    /// Open no session when you type the passphrase
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(super) no_session: bool,
}

pub(super) const HELP: &str = "\
{about}

  keyvault generate stripe/live --scope payments --expires 90d
  keyvault import .env --scope dev
  keyvault exec --scope dev -- npm start

{usage-heading} {usage}

Keys
  generate   Generate a key with a strong random value
  add        Store a key that someone else issued
  show       Show a key; with --reveal, its value
  list, ls   List keys
  edit       Change a key's name, scopes, tags, expiry, variable or note
  rotate     Give keys new values
  rollback   Make an older version of a key current again
  history    Show a key's versions
  revoke     Revoke keys permanently, at once and without asking
  remove, rm Remove keys with all their versions

Run
  exec, run  Run a command with keys in its environment
  import     Import a .env or JSON file
  export     Print keys as .env or JSON

Vault
  init       Create a vault
  unlock     Open a session, so that commands need no passphrase
  lock       End the session
  status     Show whether the vault is open
  vault      check, backup, restore, diff, passwd, recover, rekey, slot

Project
  project    init, add, approve, check, render: which keys a project needs

Machines
  token      create, list, show, renew, revoke: credentials for granted keys
  bundle     create, update: a sealed file with only a token's keys

Watch
  audit      log, verify, import: who read and changed keys, and proof of it
  doctor     Find problems around the vault and show how to fix them

Other
  tour       Demonstrate keyvault on a temporary vault
  completions, man  Completion scripts for shells, manual pages

Options
{options}

Run `keyvault COMMAND --help` for more about a command.
";

/// The command to run. Each command documents itself at its arguments; a comment here would replace that text.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "see above")]
pub enum Command {
    Generate(cmd::generate::Generate),
    Add(cmd::add::Add),
    Show(cmd::show::Show),
    #[command(visible_alias = "ls")]
    List(cmd::list::List),
    Edit(cmd::edit::Edit),
    Rotate(cmd::rotate::Rotate),
    Rollback(cmd::rollback::Rollback),
    History(cmd::history::History),
    Revoke(cmd::revoke::Revoke),
    #[command(visible_alias = "rm")]
    Remove(cmd::remove::Remove),
    #[command(visible_alias = "run")]
    Exec(Box<cmd::exec::Exec>),
    Import(cmd::import::Import),
    Export(cmd::export::Export),
    Init(cmd::init::Init),
    Unlock(cmd::unlock::Unlock),
    Lock(cmd::lock::Lock),
    Status(cmd::status::Status),
    #[command(subcommand)]
    Vault(cmd::vault::Vault),
    #[command(subcommand)]
    Project(cmd::project::Project),
    #[command(subcommand)]
    Token(cmd::token::Token),
    #[command(subcommand)]
    Bundle(cmd::bundle::Bundle),
    #[command(subcommand)]
    Audit(cmd::audit::Audit),
    Doctor(cmd::doctor::Doctor),
    Completions(cmd::completions::Completions),
    Man(cmd::man::Man),
    Tour(cmd::tour::Tour),
}

/// What `generate` and `add` both take.
#[derive(Debug, Clone, Args)]
pub struct Metadata {
    /// A scope of the key; may be repeated
    #[arg(long, value_name = "SCOPE", add = complete::scopes(), value_parser = named::<Scope>)]
    pub(super) scope: Vec<Scope>,
    /// A label as KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub(super) tag: Vec<(TagKey, String)>,
    /// When it expires: 90d, 2027-01-31, 2027-01-31T12:00:00Z or never
    #[arg(long, value_name = "WHEN", value_parser = super::output::time::expiry_ahead)]
    pub(super) expires: Option<super::output::time::Expiry>,
    /// The variable that holds the key, instead of its name in upper case
    #[arg(long, value_name = "VAR", value_parser = named::<EnvName>)]
    pub(super) env: Option<EnvName>,
    /// A note
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,
}

/// Which keys `exec` and `export` release. The options add up.
#[derive(Debug, Clone, Args)]
pub struct Choice {
    /// This key; it is an error if it is missing, expired or revoked
    #[arg(long, value_name = "NAME", add = complete::more_keys(), value_parser = named::<KeyName>, help_heading = "Which keys")]
    only: Vec<KeyName>,
    /// Keys with this scope; may be repeated to add more
    #[arg(long, value_name = "SCOPE", add = complete::scopes(), value_parser = named::<Scope>, help_heading = "Which keys")]
    scope: Vec<Scope>,
    /// Every key
    #[arg(long, help_heading = "Which keys")]
    all: bool,
    /// This variable from this key, such as DATABASE_URL=db/prod
    #[arg(long = "as", value_name = "VAR=NAME", add = complete::mapped_keys(), value_parser = mapping::to_variable, help_heading = "Which keys")]
    aliases: Vec<(EnvName, KeyName)>,
    /// The highest-numbered version of this key within its grace period, instead of the current one
    #[arg(long, value_name = "NAME", add = complete::more_keys(), value_parser = named::<KeyName>, help_heading = "Which keys")]
    previous: Vec<KeyName>,
    /// Leave out expired keys instead of failing
    #[arg(long, help_heading = "Which keys")]
    skip_expired: bool,
}

impl Choice {
    /// Where nothing was chosen, a machine gets all that it was granted.
    pub(super) fn selection_for(&self, machine: &Machine) -> Selection {
        let chosen = self.selection();
        let all = chosen.all || chosen.is_empty() && machine.given();
        Selection { all, ..chosen }
    }

    pub(super) fn selection(&self) -> Selection {
        Selection {
            all: self.all,
            only: self.only.clone(),
            scopes: self.scope.clone(),
            aliases: self.aliases.clone(),
            previous: self.previous.clone(),
            apart: Vec::new(),
            skip_expired: self.skip_expired,
            composed: Vec::new(),
        }
    }
}

/// A name of any kind. The error gives the rule and not the text, which may be a secret in the wrong place.
pub(super) fn named<T: std::str::FromStr<Err = keyvault_core::name::NameError>>(
    text: &str,
) -> Result<T, String> {
    text.parse().map_err(|error: keyvault_core::name::NameError| error.to_string())
}

pub(super) fn tag(text: &str) -> Result<(TagKey, String), String> {
    let (key, value) = text.split_once('=').ok_or("takes KEY=VALUE")?;
    Ok((named(key)?, value.to_owned()))
}
