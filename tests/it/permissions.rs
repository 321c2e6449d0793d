//! Cases 11 and 12 of the fault catalog: owners and modes of the vault and of its folder.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::vault_file::filled;
use crate::harness::{KEYVAULT, PASSPHRASE, Ran, World, finish};

/// Runs keyvault behind a line of sh that sets limits.
fn behind(world: &World, line: &str, arguments: &[&str]) -> Ran {
    let mut command = world.command("sh");
    command.args(["-c", &format!("{line}; exec '{KEYVAULT}' \"$@\""), "sh"]).args(arguments);
    finish(&mut command, b"")
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn case_11_a_vault_that_others_may_read_is_tightened_and_that_is_said_in_one_line() {
    let world = filled();
    set_mode(&world.vault(), 0o644);
    world.run(&["list"]).is(
        0,
        "
            NAME  VARIABLE  SCOPES  VER  AGE  EXPIRES  STATUS
            a     A         s         1   0s  never    active
            b     B         s         1   0s  never    active
            c     C         t         1   0s  never    active
        ",
        "warning: ~/.local/share/keyvault/vault.db was readable by others and no longer is.\n",
    );
    assert_eq!(mode(&world.vault()), 0o600);
    assert_eq!(world.run(&["list"]).ok().err, "");
}

#[test]
fn case_12_umask_000_leaves_nothing_open() {
    let mut world = World::empty();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    behind(&world, "umask 000", &["init", "--recovery-file", "code"]).ok();
    behind(&world, "umask 000", &["generate", "a"]).ok();
    behind(&world, "umask 000", &["show", "a", "--reveal"]).ok();
    assert_eq!(mode(&world.home().join("code")), 0o600);
    let mut seen = 0;
    for (path, _) in world.every_file() {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 4, "vault, log, index and pin");
    for folder in [world.vault().parent().unwrap(), &world.pins()] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
}
