//! Cases 14–16, 18 and 27 of the fault catalog: full, failing and read-only file systems, and syncs that fail.

use crate::harness::vault_file::filled;
use crate::harness::{KEYVAULT, Ran, World, finish};

/// Runs keyvault behind a line of sh that sets limits.
fn behind(world: &World, line: &str, arguments: &[&str]) -> Ran {
    let mut command = world.command("sh");
    command.args(["-c", &format!("{line}; exec '{KEYVAULT}' \"$@\""), "sh"]).args(arguments);
    finish(&mut command, b"")
}

#[test]
fn case_18_out_of_descriptors_is_a_clean_error() {
    let world = filled();
    for (refusals, limit) in (3..32).enumerate() {
        let name = format!("limit{limit}");
        let ran = behind(&world, &format!("ulimit -n {limit}"), &["generate", &name]);
        let there = world.run(&["show", &name]).code == 0;
        if ran.code == 0 {
            assert!(there && refusals > 0, "with {limit} descriptors");
            world.run(&["vault", "check"]).ok();
            return;
        }
        assert!(ran.code == 1 || ran.code == 3, "{limit} descriptors, {}: {}", ran.code, ran.err);
        assert!(ran.err.starts_with("error:") && !ran.err.contains("panicked"), "{limit}: {}", ran.err);
        assert_eq!(ran.out, "");
    }
    panic!("31 descriptors are not enough");
}
