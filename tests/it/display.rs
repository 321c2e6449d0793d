//! A terminal's view: width, color, line breaks, and no escape code of anybody else's.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};

#[test]
fn warnings_do_not_mix_with_data() {
    let mut world = World::own();
    world.set("KEYVAULT_PASSPHRASE", PASSPHRASE);
    world.file("x.env", "PATH=/evil\nA=1\nA=2\nB-C=${X}\n");
    let ran = world.run(&["import", "x.env", "--json"]).ok();
    let json = ran.json();
    assert_eq!(json["created"], serde_json::json!(["A", "B-C"]));
    assert_eq!(json["left_out"], serde_json::json!(["PATH"]));
}

#[test]
fn case_35_escape_codes_and_direction_marks_are_shown_and_not_obeyed() {
    let world = World::new();
    let note = "red \u{1b}[31m bell \u{7} back \u{8} right \u{202e}left";
    world.run(&["generate", "a", "--note", note, "--tag", "team=x\u{1b}]0;title\u{7}"]).ok();
    let shown = world.run(&["show", "a"]).ok().out;
    let script = format!("exec -a 'evil\u{1b}[2J' bash -c \"'{KEYVAULT}' audit log; true\"");
    let mut command = world.command("bash");
    let log = finish(command.args(["-c", &script]), b"").ok().out;
    for text in [&shown, &log] {
        let bad =
            text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(bad, None, "{text:?}");
    }
    assert!(shown.contains(r"\u{1b}[31m") && shown.contains(r"\u{202e}"), "{shown}");
    // Data for programs is exact.
    assert_eq!(world.run(&["show", "a", "--json"]).ok().json()["note"], note);
}
