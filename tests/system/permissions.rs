//! Cases 11 and 12 of the fault catalog: owners and modes of the vault and of its folder.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use crate::harness::vault_file::filled;
use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn case_11_a_vault_that_others_may_write_is_refused_with_the_remedy() {
    let world = filled();
    set_mode(&world.vault(), 0o666);
    world.run(&["list"]).fails(5, "chmod 600");
    set_mode(&world.vault(), 0o600);
    let folder = world.vault().parent().unwrap().to_owned();
    set_mode(&folder, 0o777);
    world.run(&["list"]).fails(5, "chmod go-w");
    set_mode(&folder, 0o700);
    chown(world.vault(), Some(12345), None).expect("this test needs root to give a file away");
    world.run(&["list"]).fails(5, "sudo -u '#12345' keyvault");
    chown(world.vault(), Some(0), None).unwrap();
    world.run(&["list"]).ok();
}

#[test]
fn a_vault_that_may_not_be_read_is_called_so() {
    let world = World::empty();
    let own = |path: &Path| chown(path, Some(65532), Some(65532)).unwrap();
    own(world.path());
    own(&world.home());
    let binary = world.path().join("keyvault");
    std::fs::copy(KEYVAULT, &binary).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = world.command("setpriv");
        command.env("KEYVAULT_PASSPHRASE", PASSPHRASE);
        command.args(["--reuid=65532", "--regid=65532", "--clear-groups"]).arg(&binary).args(arguments);
        finish(&mut command, b"")
    };
    run(&["init", "--no-recovery"]).ok();
    let mode = |mode| std::fs::set_permissions(world.vault(), std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    for command in [&["list"][..], &["vault", "check"], &["vault", "backup", "b"]] {
        run(command).fails(1, "You are not permitted to open");
    }
    let doctor = run(&["doctor"]);
    assert!(doctor.out.contains("you cannot both read and write"), "{}", doctor.out);
    mode(0o600);
    std::fs::create_dir(world.home().join("closed")).unwrap();
    let ran = run(&["vault", "backup", "closed/b"]).fails(1, "You are not permitted to open closed");
    assert!(!ran.err.contains(".new-"), "{}", ran.err);
}
