//! Arguments as typed. Each verb's own stand in its file under `cmd`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::supply::Machine;
use super::{cmd, complete};
use crate::name::{EnvName, KeyName, Scope, TagKey};
use crate::vault::Selection;

/// Keeps API keys in a sealed vault and hands them to exactly the process that needs them.
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
    /// Never ask; fail at once and name the alternative
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(super) non_interactive: bool,
    /// Open no session when a passphrase is typed
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
  generate   Make a key with a strong random value
  add        Take in a key that somebody else gave you
  show       Show a key; with --reveal, its value
  list, ls   List keys
  edit       Change a key's name, scopes, tags, expiry, variable or note
  rotate     Give keys new values
  rollback   Make an older version of a key current again
  history    Show a key's versions
  revoke     Refuse keys for good, at once and without asking
  remove, rm Remove keys with all their versions

Run
  exec, run  Run a command with keys in its environment
  import     Take in a .env or JSON file
  export     Write keys out as .env or JSON

Vault
  init       Make a vault
  unlock     Open a session, so that commands need no passphrase
  lock       End the session
  status     Say whether the vault is open
  vault      check, backup, restore, passwd, recover, rekey, slot

Project
  project    init, add, allow, check, render: which keys a project needs

Machines
  token      create, list, show, renew, revoke: what opens only granted keys
  bundle     create, update: a sealed file with just a token's keys

Watch
  audit      log: who did what, when · verify: prove that nothing was altered
  doctor     Look for what is wrong around the vault, and say what mends it

Other
  tour       Show it all on a vault that is thrown away
  completions, man  The shell's help: completion scripts, manual pages

Options
{options}

'keyvault COMMAND --help' says more about each.
";

/// What to do. Each command's own words stand with its arguments; words here would take their place.
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
    /// A scope that the key carries; may be repeated
    #[arg(long, value_name = "SCOPE", add = complete::scopes(), value_parser = named::<Scope>)]
    pub(super) scope: Vec<Scope>,
    /// A label, as KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub(super) tag: Vec<(TagKey, String)>,
    /// When it expires: 90d, 2027-01-31, 2027-01-31T12:00:00Z or never
    #[arg(long, value_name = "WHEN", value_parser = super::time::expiry_ahead)]
    pub(super) expires: Option<super::time::Expiry>,
    /// The variable that it is handed out as, instead of its name in upper case
    #[arg(long, value_name = "VAR", value_parser = named::<EnvName>)]
    pub(super) env: Option<EnvName>,
    /// Words for people
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,
}

/// Which keys `exec` and `export` hand out. The ways add up.
#[derive(Debug, Clone, Args)]
pub struct Choice {
    /// This key; one that is missing, expired or revoked is an error
    #[arg(long, value_name = "NAME", add = complete::more_keys(), value_parser = named::<KeyName>, help_heading = "Which keys")]
    only: Vec<KeyName>,
    /// Keys that carry this scope; several mean any of them
    #[arg(long, value_name = "SCOPE", add = complete::scopes(), value_parser = named::<Scope>, help_heading = "Which keys")]
    scope: Vec<Scope>,
    /// Every key
    #[arg(long, help_heading = "Which keys")]
    all: bool,
    /// This key under this variable
    #[arg(long = "as", value_name = "NAME=VAR", add = complete::aliased_keys(), value_parser = alias, help_heading = "Which keys")]
    aliases: Vec<(KeyName, EnvName)>,
    /// The newest version of this key that is still in its grace, instead of the current one
    #[arg(long, value_name = "NAME", add = complete::more_keys(), value_parser = named::<KeyName>, help_heading = "Which keys")]
    previous: Vec<KeyName>,
    /// Leave expired keys out instead of refusing
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
            picks: Vec::new(),
        }
    }
}

/// A name of any kind. The error gives the rule and not the text, which may be a secret in the wrong place.
pub(super) fn named<T: std::str::FromStr<Err = crate::name::NameError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: crate::name::NameError| error.to_string())
}

pub(super) fn tag(text: &str) -> Result<(TagKey, String), String> {
    let (key, value) = text.split_once('=').ok_or("is not KEY=VALUE")?;
    Ok((named(key)?, value.to_owned()))
}

pub(super) fn alias(text: &str) -> Result<(KeyName, EnvName), String> {
    let (name, variable) = text.split_once('=').ok_or("is not NAME=VAR")?;
    Ok((named(name)?, named(variable)?))
}
