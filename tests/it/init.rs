//! `init`: on a terminal it asks twice and shows the code; without one it needs a place for the code.

use pretty_assertions::assert_eq;

use crate::harness::{PASSPHRASE, World};

#[test]
fn init_without_a_terminal_needs_a_place_for_the_code_and_never_touches_a_vault() {
    let mut world = World::empty();
    world.run(&["init", "--no-recovery"]).fails_with(
        4,
        "
            error: A new vault needs a passphrase, and there is no terminal to prompt on.
                   Run it in a terminal, or set KEYVAULT_PASSPHRASE_FILE to a file with
                   the passphrase, or KEYVAULT_PASSPHRASE to the passphrase itself.
        ",
    );
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.run(&["init"]).fails_with(
        2,
        "
            error: The recovery code opens the vault, so it is not printed where it may be logged.
                   Say where it goes: `--recovery-file FILE` or `--json`. `--no-recovery` creates none.
        ",
    );
    assert!(!world.vault().exists());
    world.file("code", "kept");
    world.run(&["init", "--recovery-file", "code"]).fails_with(
        6,
        "
            error: code already exists and was not changed.
                   Choose another name.
        ",
    );
    assert_eq!(std::fs::read_to_string(world.home().join("code")).unwrap(), "kept");
    assert!(!world.vault().exists());
    let made = world.run(&["init", "--json"]).ok().json();
    assert_eq!(made["recovery_code"].as_str().unwrap().len(), 47);
    assert_eq!(made["vault"], world.vault().to_str().unwrap());
    let before = std::fs::read(world.vault()).unwrap();
    world.run(&["init", "--no-recovery"]).fails_with(
        6,
        "
            error: ~/.local/share/keyvault/vault.db already exists.
                   It was not changed. To create a vault elsewhere, use `--vault PATH`.
        ",
    );
    assert!(std::fs::read(world.vault()).unwrap() == before);
    let slots = world.run(&["vault", "slot", "list", "--json"]).ok().json();
    let cost = &slots["slots"][0]["cost"];
    let (memory, passes) = (cost["memory_kib"].as_u64().unwrap(), cost["passes"].as_u64().unwrap());
    assert!((65_536..=262_144).contains(&memory) && (3..=10).contains(&passes), "{cost}");
    assert_eq!(cost["lanes"], 1);
}
