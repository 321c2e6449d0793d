//! A vault as it is found: opened by its recovery code, checked from the first row to the last.

use std::path::Path;

use keyvault_core::clock::{Clock, Moment, Rng};
use keyvault_core::recipe::{Recipe, ValueKind};
use keyvault_os::fs::vault_file::FileFault;
use keyvault_vault::audit::{Actor, Reach};
use keyvault_vault::state::pin::{Pins, Standing};
use keyvault_vault::unlock::recovery::RecoveryCode;
use keyvault_vault::{
    Holder, Holders, KeyRecord, Mark, NewKey, Notice, Notices, Origin, Slot, Status, Vault, VaultError,
    World as VaultWorld, check, file, key, slot, token,
};

use super::tape::VAULT;

/// All that changes made, down to the seals: the record names the tree's root, the tree every row.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub epoch: u32,
    pub record: Mark,
    pub slots: Vec<Slot>,
    pub keys: Vec<KeyRecord>,
}

/// A vault that was found whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub content: Content,
    /// Entries in the log. A power cut may cost the last reads.
    pub entries: u64,
    /// True if the pin speaks against it.
    pub alarm: bool,
}

/// The vault in the folder; `None` if there is none.
pub fn look(folder: &Path, pins: &Pins, code: &RecoveryCode) -> Result<Option<Seen>, String> {
    let say = |error: VaultError| format!("{error:?}");
    let mut vault = match Vault::open(&folder.join(VAULT), pins) {
        Err(VaultError::File(FileFault::NotFound { .. })) => return Ok(None),
        opened => opened.map_err(say)?,
    };
    let access = vault.open_recovery(code).map_err(say)?;
    let checked = check::run(&mut vault, &access).map_err(say)?;
    if !checked.findings.is_empty() {
        return Err(format!("{:?}", checked.findings));
    }
    let audit = checked.audit.ok_or("the log was not verified")?;
    if audit.reach != Reach::FromTheStart {
        return Err("the log was not verified from the start".to_owned());
    }
    let keys = key::list(&mut vault, &access).map_err(say)?;
    let slots = slot::list(&mut vault, &access).map_err(say)?;
    let content = Content { epoch: vault.identity().epoch, record: file::mark(&mut vault), slots, keys };
    let alarm = matches!(checked.standing, Standing::RolledBack | Standing::Forked);
    // Reads are in ledgers of their own.
    let mut entries = 0;
    token::whole_log(&mut vault, &access, &mut |_, _| entries += 1).map_err(say)?;
    Ok(Some(Seen { content, entries, alarm }))
}

/// Uses the vault after a power cut: a value is read, a key is made, and all of it holds.
pub fn go_on(folder: &Path, pins: &Pins, code: &RecoveryCode, rng: &dyn Rng) -> Result<(), String> {
    let say = |error: VaultError| format!("going on: {error:?}");
    let clock = Told(Moment(2_000_000_000_000));
    let world = world(&clock, rng, pins.clone());
    let mut vault = Vault::open(&folder.join(VAULT), pins).map_err(say)?;
    let access = vault.open_recovery(code).map_err(say)?;
    let keys = key::list(&mut vault, &access).map_err(say)?;
    if let Some(key) = keys.iter().find(|key| key.status(clock.now()) == Status::Active) {
        key::reveal(&mut vault, &access, &world, &key.name, None).map_err(say)?;
    }
    let origin = Origin::Recipe(Recipe::new(ValueKind::Token, None, None).unwrap());
    key::create(&mut vault, &access, &world, &new_key("after-the-cut", origin), false).map_err(say)?;
    drop(vault);
    match look(folder, pins, code)? {
        Some(seen) if seen.content.keys.len() == keys.len() + 1 => Ok(()),
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
        public: false,
        name: name.parse().unwrap(),
        variable: None,
        scopes: Default::default(),
        tags: Default::default(),
        note: String::new(),
        expires: None,
        origin,
    }
}
