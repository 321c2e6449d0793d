//! The deeds of a story. Each is one command or a few, and says when each of them returned.

use std::collections::{BTreeMap, BTreeSet};

use keyvault_core::crypto::Cost;
use keyvault_core::name::Scope;
use keyvault_core::recipe::{Recipe, ValueKind};
use keyvault_core::secret::SecretBytes;
use keyvault_vault::audit::Action;
use keyvault_vault::unlock::keyfile::KeyFile;
use keyvault_vault::{
    Conflict, Credential, Difference, Edit, Import, Incoming, KeyRecord, NewValue, Origin, Revocation, Terms,
    Vault, Which, file, key, slot,
};

use super::disk::Image;
use super::look::new_key;
use super::story::Stage;
use super::tape::{self, Name};

#[derive(Clone, Copy)]
pub struct Deed {
    pub act: fn(&mut Stage),
    /// Waits for others, so once in a story is enough.
    pub slow: bool,
}

const fn deed(act: fn(&mut Stage)) -> Deed {
    Deed { act, slow: false }
}

pub const DEEDS: [Deed; 24] = [
    deed(generate),
    deed(add),
    deed(add_long),
    deed(rotate),
    deed(rotate_with_grace_and_roll_back),
    deed(give_new_value),
    deed(revoke_with_wipe),
    deed(revoke),
    deed(edit),
    deed(edit_on_one_handle),
    deed(remove),
    deed(remove_and_undelete),
    deed(wipe),
    deed(import),
    deed(read),
    deed(read_often),
    deed(change_passphrase),
    deed(slots),
    deed(rekey),
    deed(restore),
    deed(restore_what_is_lost),
    deed(adopt),
    deed(Stage::cut_the_power),
    Deed { act: change_beside_a_reader, slow: true },
];

pub fn generate(stage: &mut Stage) {
    let kind = *stage.chance.pick(&ValueKind::ALL);
    let name = stage.new_name();
    let mut new = new_key(name.as_str(), Origin::Recipe(Recipe::new(kind, None, None).unwrap()));
    new.scopes = some_scopes(stage);
    stage.act(|vault, access, world| key::create(vault, access, world, &new, false));
    stage.done("generate");
}

pub fn add(stage: &mut Stage) {
    let length = stage.chance.below(200);
    add_of(stage, length);
}

/// A value that needs pages of its own.
fn add_long(stage: &mut Stage) {
    let length = 4_000 + stage.chance.below(8_000);
    add_of(stage, length);
}

fn add_of(stage: &mut Stage, length: usize) {
    let name = stage.new_name();
    let mut new = new_key(name.as_str(), Origin::Given(value(stage, length)));
    new.scopes = some_scopes(stage);
    stage.act(|vault, access, world| key::create(vault, access, world, &new, false));
    stage.done("add");
}

fn rotate(stage: &mut Stage) {
    let names = generated(stage, 2).into_iter().take(2).map(|key| key.name).collect();
    let which = Which::Names(names);
    stage.act(|vault, access, world| key::rotate(vault, access, world, &which, None, Terms::default()));
    stage.done("rotate");
}

fn rotate_with_grace_and_roll_back(stage: &mut Stage) {
    let name = generated(stage, 1)[0].name.clone();
    let (which, terms) = (Which::Names(vec![name.clone()]), Terms { grace: 86_400_000, expires: None });
    stage.act(|vault, access, world| key::rotate(vault, access, world, &which, None, terms));
    stage.done("rotate with grace");
    stage.act(|vault, access, world| key::rollback(vault, access, world, &name, None));
    stage.done("rollback");
}

fn give_new_value(stage: &mut Stage) {
    let key = stage.alive(1)[0].clone();
    let new = NewValue { name: key.name.clone(), key: key.id, value: value(stage, 40) };
    let which = Which::Names(vec![key.name]);
    stage.act(|vault, access, world| key::rotate(vault, access, world, &which, Some(&new), Terms::default()));
    stage.done("rotate by hand");
}

fn revoke_with_wipe(stage: &mut Stage) {
    revoke_one(stage, true);
    stage.done("revoke --wipe");
}

fn revoke(stage: &mut Stage) {
    revoke_one(stage, false);
    stage.done("revoke");
}

fn revoke_one(stage: &mut Stage, wipe: bool) {
    let name = stage.alive(3)[0].name.clone();
    let revocation = Revocation { version: None, reason: "leaked".to_owned(), wipe };
    stage.act(|vault, access, world| key::revoke(vault, access, world, &[name], &revocation));
}

fn edit(stage: &mut Stage) {
    let name = stage.alive(1)[0].name.clone();
    let rename = stage.chance.percent(50).then(|| stage.new_name());
    let edit = Edit { rename, scope: some_scopes(stage), note: Some("edited".to_owned()), ..Edit::default() };
    stage.act(|vault, access, world| key::edit(vault, access, world, &[name], &edit));
    stage.done("edit");
}

/// One process, several changes; the handle never looks at the files anew.
fn edit_on_one_handle(stage: &mut Stage) {
    let name = stage.alive(1)[0].name.clone();
    for note in ["one", "two", "three"] {
        // The memory of a handle is what it read when it was opened, which is older than its own first change.
        let (mut vault, access) = stage.open();
        for half in ["a", "b"] {
            let edit = Edit { note: Some(format!("{note}{half}")), ..Edit::default() };
            key::edit(&mut vault, &access, &stage.world(), std::slice::from_ref(&name), &edit).unwrap();
            stage.done("edit on the same handle");
        }
    }
}

fn remove(stage: &mut Stage) {
    let names: Vec<_> = stage.alive(4).into_iter().take(2).map(|key| key.name).collect();
    stage.act(|vault, access, world| key::remove(vault, access, world, &names));
    stage.done("remove");
}

fn remove_and_undelete(stage: &mut Stage) {
    let name = stage.alive(1)[0].name.clone();
    stage.act(|vault, access, world| key::remove(vault, access, world, std::slice::from_ref(&name)));
    stage.done("remove");
    let rename = stage.chance.percent(50).then(|| stage.new_name());
    stage.act(|vault, access, world| key::undelete(vault, access, world, &name, rename.as_ref()));
    stage.done("undelete");
}

fn wipe(stage: &mut Stage) {
    let name = stage.alive(3)[0].name.clone();
    stage.act(|vault, access, world| key::wipe(vault, access, world, &[name]));
    stage.done("remove --wipe");
}

fn import(stage: &mut Stage) {
    let mut names: Vec<_> = stage.alive(2).into_iter().take(2).map(|key| key.name).collect();
    names.extend((0..4).map(|_| stage.new_name()));
    let incoming = names
        .into_iter()
        .map(|name| Incoming {
            variable: name.default_variable().unwrap(),
            name,
            value: value(stage, stage.chance.below(100)),
        })
        .collect();
    let scopes = some_scopes(stage);
    let import = Import { incoming, scopes: &scopes, conflict: Conflict::Replace, source: "keys.env" };
    stage.act(|vault, access, world| key::import(vault, access, world, import, &|_| ()));
    stage.done("import");
}

fn read(stage: &mut Stage) {
    for key in stage.alive(2).into_iter().take(3) {
        stage.act(|vault, access, world| key::reveal(vault, access, world, &key.name, None));
        stage.done("read");
    }
}

/// So often that the log has grown long and is folded on the way.
fn read_often(stage: &mut Stage) {
    let keys = stage.alive(3);
    let log = stage.folder.join(Name::Log.file());
    let mut longest = 0;
    for key in keys.iter().cycle().take(100) {
        stage.act(|vault, access, world| key::reveal(vault, access, world, &key.name, None));
        stage.done("read");
        let length = std::fs::metadata(&log).unwrap().len();
        if length < longest {
            return;
        }
        longest = length;
    }
    panic!("the log has {longest} bytes and was not folded");
}

fn change_passphrase(stage: &mut Stage) {
    stage.act(|vault, access, world| {
        let credential = Credential::Passphrase(&stage.passphrase, Cost::FLOOR);
        slot::replace(vault, access, world, Action::Passwd, &[credential])
    });
    stage.done("passwd");
}

fn slots(stage: &mut Stage) {
    let file = KeyFile::create(&stage.chance).unwrap();
    let added = stage.act(|vault, access, world| slot::add(vault, access, world, Credential::KeyFile(&file)));
    stage.done("slot add");
    stage.act(|vault, access, world| slot::remove(vault, access, world, added));
    stage.done("slot remove");
}

fn rekey(stage: &mut Stage) {
    stage.act(|vault, access, world| {
        let passphrase = Credential::Passphrase(&stage.passphrase, Cost::FLOOR);
        slot::rekey(vault, access, world, &[passphrase, Credential::Recovery(&stage.code)], &[], &|_| ())
    });
    stage.done("rekey");
}

/// A copy of the vault as it stands, and two changes after it.
fn back_up(stage: &mut Stage) -> Image {
    let target = stage.folder.join("backup.db");
    let _ = std::fs::remove_file(&target);
    stage.act(|vault, _, world| file::backup(vault, &target, world));
    generate(stage);
    edit(stage);
    Image(BTreeMap::from([(Name::Vault, std::fs::read(&target).unwrap())]))
}

fn restore(stage: &mut Stage) {
    back_up(stage);
    revoke(stage);
    let path = stage.path();
    let mut backup = Vault::open(&stage.folder.join("backup.db"), &stage.pins()).unwrap();
    let access = backup.open_recovery(&stage.code).unwrap();
    let mut vault = stage.vault();
    let mark = file::mark(&mut vault);
    let world = stage.world();
    let difference =
        file::difference(&mut backup, &access, Some((&mut vault, None)), &path, world.now()).unwrap();
    file::restore(&mut backup, &access, Some((&mut vault, &mark)), &difference, None, &path, &world).unwrap();
    drop((world, vault));
    stage.done_and_repinned("restore");
}

/// The vault is gone, and comes back from its backup.
fn restore_what_is_lost(stage: &mut Stage) {
    back_up(stage);
    stage.interrupt("lost", &Image::default());
    let path = stage.path();
    let mut backup = Vault::open(&stage.folder.join("backup.db"), &stage.pins()).unwrap();
    let access = backup.open_recovery(&stage.code).unwrap();
    file::restore(&mut backup, &access, None, &Difference::default(), None, &path, &stage.world()).unwrap();
    // As for a new vault: the vault has moved the copy into place and synced the folder.
    tape::folder_synced(&stage.folder);
    stage.done_and_repinned("restore of a lost vault");
}

/// Somebody puts an older copy in place, and it is accepted.
fn adopt(stage: &mut Stage) {
    let older = back_up(stage);
    stage.interrupt("an older copy", &older);
    let adopted = stage.act(file::adopt);
    assert!(adopted.is_some(), "the older copy raised no alarm");
    stage.done_and_repinned("adopt");
}

/// While somebody reads, the log cannot be folded, and changes stand in it alone.
fn change_beside_a_reader(stage: &mut Stage) {
    let (mut reader, access) = stage.open();
    reader
        .read(&access, |_| {
            generate(stage);
            read(stage);
            remove(stage);
            Ok(())
        })
        .unwrap();
    drop(reader);
    generate(stage);
}

/// Generated keys that may be read now.
fn generated(stage: &mut Stage, least: usize) -> Vec<KeyRecord> {
    loop {
        let mut keys = stage.alive(least);
        keys.retain(|key| key.recipe.is_some());
        if keys.len() >= least {
            return keys;
        }
        generate(stage);
    }
}

fn some_scopes(stage: &Stage) -> BTreeSet<Scope> {
    ["app", "ci", "web"]
        .iter()
        .filter(|_| stage.chance.percent(40))
        .map(|scope| scope.parse().unwrap())
        .collect()
}

fn value(stage: &Stage, length: usize) -> SecretBytes {
    let bytes: Vec<u8> = (0..length).map(|_| b'a' + u8::try_from(stage.chance.below(26)).unwrap()).collect();
    SecretBytes::copy_from(&bytes)
}
