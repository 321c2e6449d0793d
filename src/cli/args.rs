//! Arguments as typed. Each verb's own stand in its file under `cmd`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{cmd, complete, mapping};
use keyvault_core::name::{EnvName, KeyName, Scope, TagKey};
use keyvault_exec::release::Selection;

/// Store API keys in an encrypted vault, and give each process exactly the keys it needs.
///
/// The vault is one file in which everything is sealed. A key has a name, a value with its earlier versions, scopes, and an
/// expiry. `keyvault exec` runs a command with the keys that you choose in its environment; the audit log records every read
/// and change. `keyvault unlock` opens the vault for a limited time; without a session, commands ask for the passphrase.
///
/// A project records the keys it needs in a project file (`keyvault project`). A machine gets a token, which opens only the
/// keys granted to it (`keyvault token`), and where no vault is, a bundle with these keys (`keyvault bundle`).
#[derive(Debug, Parser)]
#[command(name = "keyvault", version, disable_help_subcommand = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Global {
    /// The vault's file, instead of $KEYVAULT_VAULT or the one in your data folder
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    pub(super) vault: Option<PathBuf>,
    /// Print data and errors as JSON
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) json: bool,
    /// Print data, warnings, and errors only: no notes and no confirmations
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub(super) quiet: bool,
    /// Never prompt; fail at once and name the alternative
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) non_interactive: bool,
    /// Open no session when you type the passphrase
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) no_session: bool,
}

/// The commands, a variant for each group of the root help ([`groups`]). Each command documents itself at its arguments:
/// a comment at its variant would replace that text.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Keys(Keys),
    #[command(flatten)]
    Run(Run),
    #[command(flatten)]
    OwnApi(OwnApi),
    #[command(flatten)]
    Vault(VaultGroup),
    #[command(flatten)]
    Project(ProjectGroup),
    #[command(flatten)]
    Machines(Machines),
    #[command(flatten)]
    Watch(Watch),
    #[command(flatten)]
    Other(Other),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    Generate(cmd::generate::Generate),
    Add(cmd::add::Add),
    Show(cmd::show::Show),
    #[command(visible_alias = "ls")]
    List(cmd::list::List),
    Edit(Box<cmd::edit::Edit>),
    Copy(cmd::copy::Copy),
    Rotate(cmd::rotate::Rotate),
    Rollback(cmd::rollback::Rollback),
    History(cmd::history::History),
    Revoke(cmd::revoke::Revoke),
    Disable(cmd::disable::Disable),
    Enable(cmd::enable::Enable),
    #[command(visible_alias = "rm")]
    Remove(cmd::remove::Remove),
    Undelete(cmd::undelete::Undelete),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    Exec(Box<cmd::exec::Exec>),
    Import(cmd::import::Import),
    Export(cmd::export::Export),
}

#[derive(Debug, Subcommand)]
pub(crate) enum OwnApi {
    Issue(Box<cmd::issue::Issue>),
    Verify(cmd::verify::Verify),
    #[command(subcommand)]
    Api(cmd::api::Api),
    #[command(subcommand)]
    Client(Box<cmd::client::Client>),
    #[command(subcommand)]
    Role(cmd::role::Role),
}

#[derive(Debug, Subcommand)]
pub(crate) enum VaultGroup {
    Init(cmd::init::Init),
    Unlock(cmd::unlock::Unlock),
    Lock(cmd::lock::Lock),
    Status(cmd::status::Status),
    #[command(subcommand)]
    Vault(cmd::vault::Vault),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProjectGroup {
    #[command(subcommand)]
    Project(cmd::project::Project),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Machines {
    #[command(subcommand)]
    Token(cmd::token::Token),
    #[command(subcommand)]
    Bundle(cmd::bundle::Bundle),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Watch {
    #[command(subcommand)]
    Audit(cmd::audit::Audit),
    Doctor(cmd::doctor::Doctor),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Other {
    Tour(cmd::tour::Tour),
    Direnv(cmd::direnv::Direnv),
    Completions(cmd::completions::Completions),
    Man(cmd::man::Man),
    Help(cmd::help::Help),
}

/// The groups of the root help in its order, each with its commands.
pub(super) fn groups() -> [(&'static str, clap::Command); 8] {
    fn of<Group: Subcommand>(title: &'static str) -> (&'static str, clap::Command) {
        (title, Group::augment_subcommands(clap::Command::new(title)))
    }
    [
        of::<Keys>("Keys"),
        of::<Run>("Run"),
        of::<OwnApi>("Your API"),
        of::<VaultGroup>("Vault"),
        of::<ProjectGroup>("Project"),
        of::<Machines>("Machines"),
        of::<Watch>("Watch"),
        of::<Other>("Other"),
    ]
}

/// Options that `generate` and `add` share.
#[derive(Debug, Clone, Args)]
pub(crate) struct Metadata {
    /// Scopes of the key, separated by commas; may be repeated
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', add = complete::scopes(), value_parser = named::<Scope>)]
    pub(super) scope: Vec<Scope>,
    /// A label as KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE", add = complete::tags(), value_parser = tag)]
    pub(super) tag: Vec<(TagKey, String)>,
    /// When it expires: 90d, 2027-01-31, 2027-01-31T12:00:00Z or never
    #[arg(long, value_name = "WHEN", add = complete::one_of(|| complete::LIFETIMES), value_parser = super::output::time::expiry_ahead)]
    pub(super) expires: Option<super::output::time::Expiry>,
    /// The variable that holds the key, instead of its name in upper case
    #[arg(long, value_name = "VAR", value_parser = named::<EnvName>)]
    pub(super) env: Option<EnvName>,
    /// A note
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,
    /// The value is not a secret: it is shown and not masked, but sealed, granted, and recorded like any other
    #[arg(long)]
    pub(super) public: bool,
}

/// Which keys `exec` and `export` release. The options add up.
#[derive(Debug, Clone, Args)]
pub(crate) struct Choice {
    /// These keys, separated by commas; it is an error if one is missing, disabled, expired, or revoked
    #[arg(long, value_name = "NAME", value_delimiter = ',', add = complete::more_keys(), value_parser = named::<KeyName>, help_heading = "Which keys")]
    only: Vec<KeyName>,
    /// Keys with any of these scopes, separated by commas; revoked ones are left out and named, disabled and expired ones
    /// refused
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', add = complete::scopes(), value_parser = named::<Scope>, help_heading = "Which keys")]
    scope: Vec<Scope>,
    /// Every key
    #[arg(long, help_heading = "Which keys")]
    all: bool,
    /// This variable from this key, such as DATABASE_URL=db/prod
    #[arg(long = "as", value_name = "VAR=NAME", add = complete::mapped_keys(), value_parser = mapping::to_variable, help_heading = "Which keys")]
    aliases: Vec<(EnvName, KeyName)>,
    /// The highest-numbered version of these keys within its grace period, instead of the current one; separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',', add = complete::more_keys(), value_parser = named::<KeyName>, help_heading = "Which keys", hide_short_help = true)]
    previous: Vec<KeyName>,
    /// Leave out expired and disabled keys instead of failing
    #[arg(long, help_heading = "Which keys", hide_short_help = true)]
    skip_expired: bool,
    /// Fail where a key with the scope, or any with --all, is revoked, instead of leaving it out
    #[arg(long, conflicts_with = "skip_expired", help_heading = "Which keys", hide_short_help = true)]
    strict: bool,
}

impl Choice {
    pub(super) fn selection(&self) -> Selection {
        Selection {
            all: self.all,
            only: self.only.clone(),
            scopes: self.scope.clone(),
            aliases: self.aliases.clone(),
            previous: self.previous.clone(),
            apart: Vec::new(),
            skip_expired: self.skip_expired,
            strict: self.strict,
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

pub(in crate::cli) fn tag(text: &str) -> Result<(TagKey, String), String> {
    let (key, value) = text.split_once('=').ok_or("takes KEY=VALUE")?;
    Ok((named(key)?, value.to_owned()))
}
