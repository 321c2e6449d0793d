//! Case 24 of the fault catalog, many at once: each sees one state, and all are in the log.

use std::process::Stdio;

use crate::harness::{KEYVAULT, World, wait_until};

#[test]
fn who_waits_longer_than_a_second_says_for_whom() {
    let world = World::new();
    let trace = world.path().join("trace");
    let mut holder = world.command("strace");
    // Each sync of the holder takes three seconds, and the first of its commit happens under the lock.
    holder.args(["-f", "-o", trace.to_str().unwrap(), "-e", "trace=fdatasync,fsync"]);
    holder.args(["-e", "inject=fdatasync,fsync:delay_enter=3000000:when=1", KEYVAULT, "generate", "slow"]);
    let mut holder = holder.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the holder's sync", || {
        std::fs::read_to_string(&trace).is_ok_and(|trace| trace.contains("sync("))
    });
    let waiter = world.run(&["generate", "late"]).ok();
    assert!(holder.wait().unwrap().success());
    let line = waiter.err.lines().next().unwrap();
    assert!(
        line.starts_with("Waiting up to 10 s for keyvault generate (process ")
            && line.ends_with(") to release the vault."),
        "{line}"
    );
}
