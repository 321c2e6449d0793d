//! Case 17 of the fault catalog: no HOME, and a user whom the system does not know.

use std::os::unix::fs::chown;
use std::path::Path;

use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};

#[test]
fn a_user_whom_the_system_does_not_know_and_who_has_no_home_crashes_nothing() {
    let world = World::empty();
    let own = |path: &Path| chown(path, Some(65532), Some(65532)).unwrap();
    own(world.path());
    own(&world.home());
    // The folder of the binary under test may be closed to others.
    let binary = world.path().join("keyvault");
    std::fs::copy(KEYVAULT, &binary).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = world.command("setpriv");
        command.env_clear().env("XDG_STATE_HOME", world.home()).env("XDG_DATA_HOME", world.home());
        command.env("KEYVAULT_PASSPHRASE", PASSPHRASE);
        command.args(["--reuid=65532", "--regid=65532", "--clear-groups"]).arg(&binary).args(arguments);
        finish(&mut command, b"")
    };
    run(&["status"]).fails(3, "");
    run(&["init", "--no-recovery"]).ok();
    run(&["generate", "a"]).ok();
    run(&["exec", "--all", "--", "/usr/bin/true"]).ok();
    assert!(world.home().join("keyvault/vault.db").exists());
}
