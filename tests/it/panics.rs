//! A program that panics.

use std::os::unix::process::ExitStatusExt;

use crate::harness::{KEYVAULT, World};

#[test]
fn a_program_that_panics_says_one_fixed_line_and_aborts() {
    let world = World::new();
    // The tests' program panics where its clock is not there; the message of that panic names the path.
    let mut command = world.command(KEYVAULT);
    let ran = command.env("KEYVAULT_TEST_CLOCK", "/secret/place").args(["list"]).output().unwrap();
    assert_eq!(ran.status.signal(), Some(6), "{ran:?}");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(said, "error: keyvault stopped because of an internal error. Please report it.\n");
}
