//! Prompts on a real terminal: passphrase, session, init, remove; and scripts without one.

use crate::harness::World;

#[test]
fn case_34_odd_passphrases_are_refused_or_normalized() {
    let mut world = World::empty();
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    for (content, word) in [
        (b"".to_vec(), "is empty"),
        (b"\n".to_vec(), "is empty"),
        (vec![b'x'; 1 << 20], "longer than 4096"),
        (vec![b'x'; 4097], "longer than 4096"),
        (b"\xff\xfe".to_vec(), "not UTF-8"),
    ] {
        world.file("passphrase", content);
        let ran = world.run(&["init", "--no-recovery"]);
        assert!(ran.code != 0 && ran.err.contains(word), "{word}: {}", ran.err);
        assert!(!world.vault().exists());
    }
    world.file("passphrase", "Zoe\u{308}\n");
    world.run(&["init", "--no-recovery"]).ok();
    world.file("passphrase", "Zo\u{eb}");
    world.run(&["list"]).ok();
}
