//! Case 17 of the fault catalogue: no HOME, and a user whom the system does not know.

use crate::harness::vault_file::filled;

#[test]
fn case_17_no_home_names_the_variable() {
    let mut world = filled();
    let vault = world.vault().to_str().unwrap().to_owned();
    world.unset("HOME");
    world.run(&["list"]).fails(1, "HOME");
    world.run(&["list", "--vault", &vault]).fails(1, "HOME");
    world.set("HOME", "/");
    world.run(&["list"]).fails(1, "HOME");
    world.run(&["init", "--no-recovery"]).fails(1, "HOME");
    world.set("XDG_STATE_HOME", world.home().join("state").to_str().unwrap().to_owned().as_str());
    world.run(&["list", "--vault", &vault]).ok();
    // So that the end of the world finds its vault again.
    world.set("HOME", world.home().to_str().unwrap().to_owned().as_str());
}
