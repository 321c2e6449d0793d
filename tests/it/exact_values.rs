//! Cases 44–46 and 50 of the fault catalog: values at their edges come out byte for byte, or not at all.

use pretty_assertions::assert_eq;

use crate::harness::World;

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
fn case_44_an_empty_value_is_an_empty_variable_unless_it_is_declined() {
    let world = World::new();
    add(&world, "a", b"");
    let script = ["--", "sh", "-c", "echo \"[${A-unset}]\""];
    assert_eq!(world.run(&[&["exec", "--only", "a"][..], &script].concat()).ok().out, "[]\n");
    world.run(&[&["exec", "--only", "a", "--no-empty"][..], &script].concat()).fails_with(
        125,
        "
                error: Cannot release the keys:
                  a: its value is empty, which --no-empty refuses
            ",
    );
    assert_eq!(world.run(&["export", "--all", "--format", "json"]).ok().json()["A"], "");
}

#[test]
fn case_45_a_value_over_the_kernels_limit_is_kept_and_not_injected() {
    let world = World::new();
    let value: Vec<u8> = (b'a'..=b'z').cycle().take(1 << 20).collect();
    add(&world, "a", &value);
    assert!(world.run(&["show", "a", "--reveal"]).ok().bytes == value);
    world.run(&["exec", "--only", "a", "--", "true"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              a: 1048579 bytes with its variable; the kernel accepts 131072 in one string
        ",
    );
    // The longest that passes: with `A=` and its NUL exactly the kernel's limit.
    add(&world, "b", &value[..131_072 - 3]);
    let script = "printf %s \"$B\" | wc -c";
    assert_eq!(world.run(&["exec", "--only", "b", "--", "sh", "-c", script]).ok().out.trim(), "131069");
    add(&world, "c", &value[..131_072 - 2]);
    world.run(&["exec", "--only", "c", "--", "true"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              c: 131073 bytes with its variable; the kernel accepts 131072 in one string
        ",
    );
    let file = world.file("big", vec![b'x'; (16 << 20) + 1]);
    world.run(&["add", "d", "--file", file.to_str().unwrap()]).fails_with(
        1,
        "
            error: ~/big is longer than 16777216 bytes.
                   Nothing was done.
        ",
    );
}

#[test]
fn case_46_a_nul_is_kept_and_not_injected() {
    let world = World::new();
    add(&world, "a", b"a\0b");
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().bytes, b"a\0b");
    world.run(&["exec", "--only", "a", "--", "true"]).fails_with(
        125,
        "
            error: Cannot release the keys:
              a: its value contains a NUL byte, which no variable can carry
        ",
    );
    assert_eq!(world.run(&["show", "a", "--reveal", "--json"]).ok().json()["value"], "a\0b");
}

#[test]
fn case_50_bytes_in_bytes_out_by_every_way() {
    let world = World::new();
    for (number, value) in ODD.iter().enumerate() {
        let name = format!("k{number}");
        add(&world, &name, value);
        assert_eq!(world.run(&["show", &name, "--reveal"]).ok().bytes, *value);
        let json = world.run(&["show", &name, "--reveal", "--json"]).ok().json();
        let shown = match (json["value"].as_str(), json["value_base64"].as_str()) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(text)) => data_encoding::BASE64.decode(text.as_bytes()).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(shown, *value);
        let script = format!("printf %s \"$K{number}\"");
        assert_eq!(world.run(&["exec", "--only", &name, "--", "sh", "-c", &script]).ok().bytes, *value);
    }
    assert!(!world.home().join("hacked").exists());
}
