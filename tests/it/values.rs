//! Names and values at their edges: cases 43–50 and 35–36 as far as no terminal is needed.

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
fn case_43_names_outside_the_grammar_are_refused_and_nothing_is_made() {
    let world = World::new();
    let long = "a".repeat(129);
    for name in
        ["../x", "/x", "x/", "a//b", "a=b", "", "a b", ".hidden", "ключ", "a\u{0}b", "a\n", long.as_str()]
    {
        if name.contains('\0') {
            continue;
        }
        let ran = world.run(&["generate", name]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{name:?}: {}", ran.err);
    }
    for name in ["-x", "--x"] {
        assert_eq!(world.run(&["generate", "--", name]).code, 2, "{name}");
    }
    assert_eq!(world.run(&["list", "--json"]).ok().json()["keys"], serde_json::json!([]));
    world.run(&["generate", &"a".repeat(128)]).ok();
}

#[test]
fn variables_that_run_code_are_refused_wherever_they_are_named() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let names = [
        "LD_PRELOAD",
        "LD_AUDIT",
        "DYLD_INSERT_LIBRARIES",
        "PATH",
        "BASH_ENV",
        "ENV",
        "SHELLOPTS",
        "NODE_OPTIONS",
        "PYTHONSTARTUP",
        "PYTHONPATH",
        "PERL5OPT",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_ASKPASS",
        "GIT_EXEC_PATH",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "KEYVAULT_PASSPHRASE",
        "KEYVAULT_X",
    ];
    for name in names {
        world.run(&["generate", "b", "--env", name]).fails(2, "");
        world.run(&["edit", "a", "--env", name]).fails(2, "");
        world.run(&["exec", "--as", &format!("a={name}"), "--", "true"]).fails(125, "");
    }
    // Nor by way of a name.
    world.run(&["generate", "ld/preload"]).fails(2, "--env VAR");
}

#[test]
fn case_44_an_empty_value_is_an_empty_variable_unless_it_is_declined() {
    let world = World::new();
    add(&world, "a", b"");
    let script = ["--", "sh", "-c", "echo \"[${A-unset}]\""];
    assert_eq!(world.run(&[&["exec", "--only", "a"][..], &script].concat()).ok().out, "[]\n");
    world
        .run(&[&["exec", "--only", "a", "--no-empty"][..], &script].concat())
        .fails(125, "a: its value is empty");
    assert_eq!(world.run(&["export", "--all", "--format", "json"]).ok().json()["A"], "");
}

#[test]
fn case_45_a_value_over_the_kernels_limit_is_kept_and_not_injected() {
    let world = World::new();
    let value: Vec<u8> = (b'a'..=b'z').cycle().take(1 << 20).collect();
    add(&world, "a", &value);
    assert!(world.run(&["show", "a", "--reveal"]).ok().bytes == value);
    world.run(&["exec", "--only", "a", "--", "true"]).fails(125, "the kernel takes 131072 in one string");
    // The longest that passes: with `A=` and its NUL exactly the kernel's limit.
    add(&world, "b", &value[..131_072 - 3]);
    let script = "printf %s \"$B\" | wc -c";
    assert_eq!(world.run(&["exec", "--only", "b", "--", "sh", "-c", script]).ok().out.trim(), "131069");
    add(&world, "c", &value[..131_072 - 2]);
    world.run(&["exec", "--only", "c", "--", "true"]).fails(125, "131073 bytes");
    let file = world.file("big", vec![b'x'; (16 << 20) + 1]);
    world.run(&["add", "d", "--file", file.to_str().unwrap()]).fails(1, "16777216");
}

#[test]
fn case_46_a_nul_is_kept_and_not_injected() {
    let world = World::new();
    add(&world, "a", b"a\0b");
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().bytes, b"a\0b");
    world.run(&["exec", "--only", "a", "--", "true"]).fails(125, "NUL byte");
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
