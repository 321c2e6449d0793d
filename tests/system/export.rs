//! `export`: it is recorded, it is read back word for word, and what a format cannot carry is refused.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, finish};

/// Values that quoting, encodings and shells stumble over.
const ODD: [&[u8]; 12] = [
    b"$(touch hacked)",
    b"`id`",
    b"it's \"quoted\"",
    b"$HOME ${HOME} $$",
    b"back\\slash \\n \\",
    b"line one\nline two\n\nline four",
    b" leading and trailing ",
    b"\ttab\r\ncarriage",
    b"-----BEGIN KEY-----\nMIIB\n-----END KEY-----",
    b"!history! #comment ; & | > <",
    "Zoë 🦀 \u{202e}right to left".as_bytes(),
    b"\x01\x7f\x1b[31m\x80\xff",
];

fn add(world: &World, name: &str, value: &[u8]) {
    // An empty stdin is not a pipe in the harness.
    let file = world.file("value", value);
    world.run(&["add", name, "--file", file.to_str().unwrap()]).ok();
}

#[test]
fn case_47_and_48_an_export_is_read_back_by_shells_word_for_word() {
    let world = World::new();
    let carried = ODD.iter().filter(|value| std::str::from_utf8(value).is_ok());
    let carried: Vec<_> = carried.filter(|value| !value.contains(&b'\r')).collect();
    for (number, value) in carried.iter().enumerate() {
        add(&world, &format!("k{number}"), value);
    }
    let json = world.run(&["export", "--all", "--format", "json"]).ok();
    world.file("all.json", &json.bytes);
    let other = World::new();
    let file = world.home().join("all.json");
    other.run(&["import", file.to_str().unwrap()]).ok();
    assert_eq!(other.run(&["export", "--all", "--format", "json"]).ok().json(), json.json());
    for shell in ["sh", "bash", "zsh", "fish"] {
        for (number, value) in carried.iter().enumerate() {
            let script = match shell {
                "fish" => format!("printf %s $K{number}"),
                _ => format!("printf %s \"$K{number}\""),
            };
            let mut command = world.command(KEYVAULT);
            command.args(["exec", "--only", &format!("k{number}"), "--", shell, "-c", &script]);
            assert_eq!(finish(&mut command, b"").ok().bytes, ***value, "{shell}");
        }
    }
    assert!(!world.home().join("hacked").exists());
}
