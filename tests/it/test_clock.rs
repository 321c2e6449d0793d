//! Where the program takes the time from: in tests from a file, in every other build from the system alone.

use pretty_assertions::assert_eq;
use toml_edit::DocumentMut;

use crate::harness::{KEYVAULT, RELEASED, World, days, finish, hours};

const VARIABLE: &str = "KEYVAULT_TEST_CLOCK";

fn created(world: &World, program: &str) -> jiff::Timestamp {
    let ran = finish(world.command(program).args(["generate", "new", "--json"]), b"").ok();
    ran.json()["keys"][0]["created"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_worlds_time_stands_still_until_a_test_moves_it() {
    let world = World::new();
    world.run(&["generate", "key", "--expires", "1d"]).ok();
    let shown = world.run(&["show", "key"]).ok();
    assert_eq!(world.run(&["show", "key"]).ok(), shown);
    world.advance(hours(23));
    world.run(&["show", "key", "--reveal"]).ok();
    world.advance(hours(1));
    world.run(&["show", "key", "--reveal"]).fails_with(
        6,
        "
            error: `key` is expired, so its value is not shown.
                   Extend it with `keyvault edit key --expires 30d`.
        ",
    );
    world.at("2040-05-18T07:59:59.999Z");
    world.run(&["show", "key", "--reveal"]).ok();
    world.advance(days(365));
    assert_eq!(created(&world, KEYVAULT), world.time());
    // Times on the command line and in completion go by the test's clock.
    world.run(&["rotate", "key", "--expires", "2041-05-18T07:59:59Z"]).fails_with(
        2,
        "
            error: The value of `--expires` is in the past.
                   See its usage with `keyvault rotate --help`.
        ",
    );
}

#[test]
fn the_released_program_goes_by_the_systems_clock_whatever_the_test_clock_says() {
    let world = World::new();
    let before = jiff::Timestamp::now();
    let created = created(&world, RELEASED);
    let within = created.as_millisecond() >= before.as_millisecond() && created <= jiff::Timestamp::now();
    assert!(within, "{created}");
    let names = |program: &str| {
        let bytes = std::fs::read(program).unwrap();
        bytes.windows(VARIABLE.len()).any(|part| part == VARIABLE.as_bytes())
    };
    assert!(names(KEYVAULT), "otherwise this test looks for the wrong thing");
    assert!(!names(RELEASED));
}

#[test]
fn the_child_of_exec_is_not_told_of_the_test_clock() {
    let world = World::new();
    world.run(&["generate", "key"]).ok();
    for flags in [&["--only", "key"][..], &["--only", "key", "--mask"]] {
        let ran = world.run(&[&["exec"], flags, &["--", "env"]].concat()).ok();
        assert!(!ran.out.contains(VARIABLE), "{}", ran.out);
    }
}

#[test]
fn only_tests_build_the_program_with_the_test_clock() {
    let manifest: DocumentMut = include_str!("../../Cargo.toml").parse().unwrap();
    let programs = manifest["bin"].as_array_of_tables().unwrap();
    let needs = |name: &str| {
        let program = programs.iter().find(|program| program["name"].as_str() == Some(name)).unwrap();
        program.get("required-features").map(|features| features.to_string().trim().to_owned())
    };
    assert_eq!(needs("keyvault-test-clock").as_deref(), Some(r#"["test-clock"]"#));
    assert_eq!(needs("keyvault"), None);
    let features = manifest["features"].as_table().unwrap();
    let features: Vec<_> = features.iter().map(|(name, with)| (name, with.to_string())).collect();
    assert_eq!(features, [("test-clock", " []".to_owned())], "no other feature turns it on");
    assert_eq!(manifest["package"]["default-run"].as_str(), Some("keyvault"));
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["README.md", "docs/ci.md", ".ci/run"] {
        // A package has no `.ci`.
        let text = std::fs::read_to_string(root.join(name)).unwrap_or_default();
        for wide in ["test-clock", "--all-features", "--features"] {
            assert!(!text.contains(wide), "{name} builds with {wide}");
        }
    }
}
