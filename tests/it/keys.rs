//! The life of a key as a user sees it: whole outputs.

use pretty_assertions::assert_eq;

use crate::harness::World;

#[test]
fn a_generated_key_is_shown_without_its_value_and_revealed_on_demand() {
    let world = World::new();
    let made =
        world.run(&["generate", "stripe/live", "--scope", "payments", "--expires", "90d", "--json"]).ok();
    let json = made.json();
    assert_eq!(json["name"], "stripe/live");
    assert_eq!(json["variable"], "STRIPE_LIVE");
    assert_eq!(json["version"], 1);
    assert_eq!(json["status"], "active");
    assert_eq!(json["entropy_bits"], 256);
    assert!(json.get("value").is_none());
    let value = world.run(&["show", "stripe/live", "--reveal"]).ok();
    assert!(value.out.starts_with("kv_") && value.out.len() == 52, "{}", value.out);
    assert!(!made.out.contains(&value.out));
}

#[test]
fn an_existing_name_is_refused_with_6_and_nothing_changes() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let before = world.run(&["show", "a", "--reveal"]).ok().out;
    world.run(&["generate", "a"]).fails(6, "rotate");
    world.run_with_input(&["add", "a"], "other").fails(6, "rotate");
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, before);
}

#[test]
fn a_value_as_an_argument_is_refused_and_not_repeated() {
    let world = World::new();
    let ran = world.run(&["add", "stripe/live", "sk_live_abcdef"]).fails(2, "as an argument");
    assert!(!ran.err.contains("sk_live"), "{}", ran.err);
    let ran = world.run(&["generate", "stripe/live", "sk_live_abcdef"]).fails(2, "not shown");
    assert!(!ran.err.contains("sk_live"), "{}", ran.err);
}

#[test]
fn stdin_is_taken_byte_for_byte_but_for_one_final_newline() {
    let world = World::new();
    let added = world.run_with_input(&["add", "a"], "x\n\n").ok();
    assert!(added.err.contains("A final newline was dropped"), "{}", added.err);
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().bytes, b"x\n");
    world.run_with_input(&["add", "b", "--exact"], "x\n").ok();
    assert_eq!(world.run(&["show", "b", "--reveal"]).ok().bytes, b"x\n");
    let file = world.file("value", b"\x00\xff\r\n");
    world.run(&["add", "c", "--file", file.to_str().unwrap()]).ok();
    assert_eq!(world.run(&["show", "c", "--reveal"]).ok().bytes, b"\x00\xff\r\n");
}

#[test]
fn edit_changes_what_it_names_and_the_value_stays() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "one", "--tag", "team=x", "--note", "first"]).ok();
    let value = world.run(&["show", "a", "--reveal"]).ok().out;
    world
        .run(&[
            "edit",
            "a",
            "--rename",
            "b",
            "--scope",
            "two",
            "--unscope",
            "one",
            "--untag",
            "team",
            "--env",
            "B_KEY",
        ])
        .ok();
    let json = world.run(&["show", "b", "--json"]).ok().json();
    assert_eq!(json["scopes"], serde_json::json!(["two"]));
    assert_eq!(json["tags"], serde_json::json!({}));
    assert_eq!(json["variable"], "B_KEY");
    assert_eq!(json["note"], "first");
    assert_eq!(world.run(&["show", "b", "--reveal"]).ok().out, value);
    world.run(&["show", "a"]).fails(3, "no key a");
    world.run(&["exec", "--scope", "one", "--", "true"]).fails(125, "no key carries it");
    world.run(&["vault", "check"]).ok();
}

#[test]
fn remove_needs_yes_without_a_terminal_and_the_log_remembers() {
    let world = World::new();
    world.run(&["generate", "a", "--scope", "s"]).ok();
    world.run(&["remove", "a"]).fails(2, "--yes");
    world.run(&["remove", "a", "--yes"]).ok();
    world.run(&["show", "a"]).fails(3, "no key a");
    let log = world.run(&["audit", "log", "--key", "a", "--action", "remove", "--json"]).ok();
    assert_eq!(log.json()["keys"], serde_json::json!([{ "name": "a", "version": 1 }]));
    world.run(&["vault", "check"]).ok();
}

#[test]
fn only_exec_itself_fails_with_125() {
    let world = World::new();
    world.run(&["show", "run"]).fails(3, "no key run");
    world.run(&["--vault", "exec", "list"]).fails(3, "no vault");
    world.run(&["--vault", "elsewhere", "run", "--all", "--", "true"]).fails(125, "no vault");
}
