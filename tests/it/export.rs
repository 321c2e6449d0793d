//! `export`: it is recorded, it is read back word for word, and what a format cannot carry is refused.

use pretty_assertions::assert_eq;

use crate::harness::World;

#[test]
fn an_export_is_recorded_and_what_a_format_cannot_carry_is_refused() {
    let world = World::new();
    world.file("bytes", b"\xff\xfe");
    world.run(&["add", "a", "--file", "bytes"]).ok();
    let ran = world.run(&["export", "--all", "--format", "json"]).fails_with(6, "
            error: A cannot be written in this format: the value is not UTF-8.
                   Leave out the key, use another `--format`, or get the value with `keyvault show NAME --reveal`.
        ");
    assert_eq!(ran.out, "");
    world.run(&["generate", "b"]).ok();
    world.run(&["export", "--only", "b", "--format", "dotenv"]).ok();
    let log = world.run(&["audit", "log", "--action", "export", "--json"]).ok().out;
    assert!(log.lines().last().unwrap().contains(r#""name":"b""#), "{log}");
    assert!(!log.contains("kv_"));
}
