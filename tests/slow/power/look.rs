//! A vault as it is found: opened by its recovery code, checked from the first row to the last.

use std::path::Path;

use keyvault_core::clock::{Clock, Moment, Rng};
use keyvault_core::recipe::{Kind, Recipe};
use keyvault_os::fs::vault_file::FileFault;
use keyvault_vault::audit::{Actor, Reach};
use keyvault_vault::state::pin::{Pins, Standing};
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::{
    Holder, Holders, Item, Mark, NewKey, Notice, Notices, Origin, Status, Vault, VaultError, Way,
    World as VaultWorld,
};

use super::tape::VAULT;

/// All that changes made, down to the seals: the record names the tree's root, the tree every row.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub epoch: u32,
    pub record: Mark,
    pub ways: Vec<Way>,
    pub items: Vec<Item>,
}

/// A vault that was found whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub content: Content,
    /// Entries in the log. A power cut may cost the last reads.
    pub entries: u64,
    /// Whether the pin speaks against it.
    pub alarm: bool,
}

/// What stands in the folder; `None` if there is no vault.
pub fn look(folder: &Path, pins: &Pins, code: &RecoveryCode) -> Result<Option<Seen>, String> {
    let say = |error: VaultError| format!("{error:?}");
    let mut vault = match Vault::open(&folder.join(VAULT), pins) {
        Err(VaultError::File(FileFault::NotFound { .. })) => return Ok(None),
        opened => opened.map_err(say)?,
    };
    let access = vault.open_recovery(code).map_err(say)?;
    let checked = vault.check(&access).map_err(say)?;
    if !checked.findings.is_empty() {
        return Err(format!("{:?}", checked.findings));
    }
    let audit = checked.audit.ok_or("the log was not verified")?;
    if audit.reach != Reach::FromTheStart {
        return Err("the log was not verified from the start".to_owned());
    }
    let items = vault.list(&access).map_err(say)?;
    let ways = vault.ways(&access).map_err(say)?;
    let content = Content { epoch: vault.identity().epoch, record: vault.mark(), ways, items };
    let alarm = matches!(checked.standing, Standing::RolledBack | Standing::Forked);
    Ok(Some(Seen { content, entries: audit.entries, alarm }))
}

/// Uses the vault after a power cut: a value is read, a key is made, and all of it holds.
pub fn go_on(folder: &Path, pins: &Pins, code: &RecoveryCode, rng: &dyn Rng) -> Result<(), String> {
    let say = |error: VaultError| format!("going on: {error:?}");
    let clock = Told(Moment(2_000_000_000_000));
    let world = world(&clock, rng, pins.clone());
    let mut vault = Vault::open(&folder.join(VAULT), pins).map_err(say)?;
    let access = vault.open_recovery(code).map_err(say)?;
    let items = vault.list(&access).map_err(say)?;
    if let Some(item) = items.iter().find(|item| item.status(clock.now()) == Status::Active) {
        vault.reveal(&access, &world, &item.name, None).map_err(say)?;
    }
    let origin = Origin::Recipe(Recipe::new(Kind::Token, None, None).unwrap());
    vault.create_key(&access, &world, new_key("after-the-cut", origin), false).map_err(say)?;
    drop(vault);
    match look(folder, pins, code)? {
        Some(seen) if seen.content.items.len() == items.len() + 1 => Ok(()),
        _ => Err("going on: the new key is not there".to_owned()),
    }
}

/// A clock that shows what it is told.
#[derive(Debug)]
pub struct Told(pub Moment);

impl Clock for Told {
    fn now(&self) -> Moment {
        self.0
    }
}

/// The world of one command.
pub fn world<'w>(clock: &'w dyn Clock, rng: &'w dyn Rng, pins: Pins) -> VaultWorld<'w> {
    VaultWorld {
        clock,
        rng,
        actor: Actor::default(),
        pins,
        holders: Holders::in_folder(Default::default(), Holder { command: String::new(), pid: 0 }),
        notices: Notices::told_by(&|notice| assert!(!matches!(notice, Notice::NotPinned(_)), "{notice:?}")),
        waiting: &|_, _| (),
    }
}

/// A key of that name, with nothing else.
pub fn new_key(name: &str, origin: Origin) -> NewKey {
    NewKey {
        name: name.parse().unwrap(),
        variable: None,
        scopes: Default::default(),
        tags: Default::default(),
        note: String::new(),
        expires: None,
        origin,
    }
}
