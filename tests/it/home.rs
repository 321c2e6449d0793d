//! Case 17 of the fault catalog: no HOME, and a user whom the system does not know.

use crate::harness::vault_file::filled;

#[test]
fn case_17_no_home_names_the_variable() {
    let mut world = filled();
    let vault = world.vault().to_str().unwrap().to_owned();
    world.unset("HOME");
    world.run(&["list"]).fails_with(
        1,
        "
            error: HOME is not set to a home folder.
                   Set HOME or XDG_DATA_HOME, or name a vault with `--vault` or KEYVAULT_VAULT.
        ",
    );
    world.run(&["list", "--vault", &vault]).fails_with(
        1,
        "
            error: HOME is not set to a home folder.
                   Set HOME or XDG_STATE_HOME: what this machine saw of the vault is kept there.
        ",
    );
    world.set("HOME", "/");
    world.run(&["list"]).fails_with(
        1,
        "
            error: HOME is not set to a home folder.
                   Set HOME or XDG_DATA_HOME, or name a vault with `--vault` or KEYVAULT_VAULT.
        ",
    );
    world.run(&["init", "--no-recovery"]).fails_with(
        1,
        "
            error: HOME is not set to a home folder.
                   Set HOME or XDG_DATA_HOME, or name a vault with `--vault` or KEYVAULT_VAULT.
        ",
    );
    world.set("XDG_STATE_HOME", world.home().join("state").to_str().unwrap().to_owned().as_str());
    world.run(&["list", "--vault", &vault]).ok();
    // So that the end of the world finds its vault again.
    world.set("HOME", world.home().to_str().unwrap().to_owned().as_str());
}
