//! `add`: which name and which bytes become a key.

use pretty_assertions::assert_eq;

use crate::harness::{World, no_key};

#[test]
fn an_existing_name_is_refused_with_6_and_nothing_changes() {
    let world = World::new();
    world.run(&["generate", "a"]).ok();
    let before = world.run(&["show", "a", "--reveal"]).ok().out;
    world.run(&["generate", "a"]).fails_with(6, "
            error: Key `a` already exists.
                   Nothing was changed. Give a key a new value with `keyvault rotate`, or replace keys from a file with `keyvault import --on-conflict replace`.
        ");
    world.run_with_input(&["add", "a"], "other").fails_with(6, "
            error: Key `a` already exists.
                   Nothing was changed. Give a key a new value with `keyvault rotate`, or replace keys from a file with `keyvault import --on-conflict replace`.
        ");
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, before);
}

#[test]
fn stdin_is_taken_byte_for_byte_but_for_the_line_end_of_a_single_line() {
    let world = World::new();
    world.run_with_input(&["add", "a"], "x\n").is(
        0,
        "a is added; variable A\n",
        "Dropped a final newline. `--exact` keeps it.\n",
    );
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().bytes, b"x");
    world.run_with_input(&["add", "b", "--exact"], "x\n").ok();
    assert_eq!(world.run(&["show", "b", "--reveal"]).ok().bytes, b"x\n");
    let file = world.file("value", b"\x00\xff\r\n");
    world.run(&["add", "c", "--file", file.to_str().unwrap()]).ok();
    assert_eq!(world.run(&["show", "c", "--reveal"]).ok().bytes, b"\x00\xff\r\n");
}

/// The program that was to write the value had failed, and the key was there, with nothing in it.
#[test]
fn an_empty_pipe_makes_no_key() {
    let world = World::own();
    world.sh("false | keyvault add a").fails_with(
        2,
        "
            error: The value is empty. The program that should have written it may have failed.
                   Nothing was changed. If an empty value is intended, use `--file /dev/null`.
        ",
    );
    world.run(&["show", "a"]).fails_with(3, &no_key("a"));
    world.sh("false | keyvault add a --file -").fails_with(
        2,
        "
            error: The value is empty. The program that should have written it may have failed.
                   Nothing was changed. If an empty value is intended, use `--file /dev/null`.
        ",
    );
    world.run(&["add", "a", "--file", "/dev/null"]).ok();
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "");
}

/// Without its last newline OpenSSH and OpenSSL do not read a private key.
#[test]
fn values_of_several_lines_keep_their_last_newline_and_their_size_is_said() {
    let world = World::new();
    let pem = format!("-----BEGIN KEY-----\n{}-----END KEY-----\n", "x".repeat(63) + "\n");
    let crlf = "warning: The value has lines that end in CR LF. It is stored as it is.\n";
    for (number, (value, size, warning)) in [
        (pem.as_str(), "102 bytes, 3 lines", ""),
        ("x\n\n", "3 bytes, 2 lines", ""),
        ("a\r\nb", "4 bytes, 2 lines", crlf),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("k{number}");
        world.run_with_input(&["add", &name], value).warns(&format!("{warning}Stored {size}.\n"));
        assert_eq!(world.run(&["show", &name, "--reveal"]).ok().out, value);
        let ran = world.run_with_input(&["rotate", &name, "--stdin"], format!("new\n{value}")).ok();
        assert!(ran.err.contains("Stored "), "{}", ran.err);
        assert_eq!(world.run(&["show", &name, "--reveal"]).ok().out, format!("new\n{value}"));
    }
}

#[test]
fn an_ssh_key_that_comes_through_a_pipe_is_still_one() {
    let world = World::new();
    let made = world
        .sh("ssh-keygen -q -t ed25519 -N '' -f id && keyvault add id <id && keyvault show id --reveal >copy");
    assert_eq!(made.code, 0, "ssh-keygen is needed for this test: {}", made.err);
    world.sh("chmod 600 copy && ssh-keygen -y -f copy").ok();
}

#[test]
fn cr_lf_is_one_line_end() {
    let world = World::new();
    let ran = world.run_with_input(&["add", "a"], "sesame\r\n").ok();
    assert_eq!(ran.err, "Dropped a final newline. `--exact` keeps it.\n");
    assert_eq!(world.run(&["show", "a", "--reveal"]).ok().out, "sesame");
    world.run_with_input(&["add", "b", "--exact"], "sesame\r\n").ok();
    assert_eq!(world.run(&["show", "b", "--reveal"]).ok().out, "sesame\r\n");
}

#[test]
fn what_surrounds_a_value_is_stored_and_pointed_out() {
    let world = World::new();
    for (number, (value, remark)) in [
        (" sesame", "begins with a blank"),
        ("sesame\t", "ends with a blank"),
        ("sesame \n", "ends with a blank"),
        ("\u{feff}sesame", "begins with a byte order mark"),
        ("sesame\r", "ends with a carriage return"),
        (
            "\u{feff} one\r\ntwo\r\n",
            "begins with a byte order mark, begins with a blank and has lines that end in CR LF",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("k{number}");
        let said = format!("warning: The value {remark}. It is stored as it is.\n");
        let ran = world.run_with_input(&["add", &name], value).ok();
        assert!(ran.err.contains(&said) && !ran.err.contains("sesame"), "{value:?}: {}", ran.err);
        let stored = if value == "sesame \n" { "sesame " } else { value };
        assert_eq!(world.run(&["show", &name, "--reveal"]).ok().out, stored);
        let ran = world.run_with_input(&["rotate", &name, "--stdin"], value).ok();
        assert!(ran.err.contains(&said), "{value:?}: {}", ran.err);
    }
    // A file's final newline is kept, and was rarely meant.
    let file = world.file("value", "sesame\n");
    let ran = world.run(&["add", "file", "--file", file.to_str().unwrap()]).ok();
    assert_eq!(ran.err, "warning: The value ends with a newline. It is stored as it is.\n");
    for plain in ["sesame", "two words", "\u{1f980}"] {
        let ran = world.run_with_input(&["rotate", "file", "--stdin"], plain).ok();
        assert_eq!(ran.err, "", "{plain}");
    }
    let file = world.file("binary", b"\xff\r\n ");
    assert_eq!(
        world.run(&["rotate", "file", "--file", file.to_str().unwrap()]).ok().err,
        "Stored 4 bytes, 2 lines.\n"
    );
}

#[test]
fn imported_values_with_such_surroundings_are_named() {
    let world = World::new();
    let content = "A=' x'\nB=\"x\\n\"\nC=\"-----BEGIN\\nx\\n\"\nD=\"a\\r\\nb\"\nE=plain \n";
    world.run_with_input(&["import", "-"], content).is(0, "Imported standard input: 5 new.\n", "warning: These values begin or end with a blank, a line end, or a byte order mark, or have CR LF line ends; they are imported as they are: A, B, D.\n");
}

/// A key that exists was noticed only after the value had been read.
#[test]
fn a_name_that_cannot_be_is_refused_before_the_value_is_read() {
    let mut world = World::own();
    world.run(&["generate", "a"]).ok();
    // Nothing ever comes through the pipe, and its end does not come either.
    let ran =
        world.sh("mkfifo never; sleep 60 >never & (keyvault add a <never; echo $?) 2>err; kill $!; cat err");
    assert!(ran.out.starts_with("6\n") && ran.out.contains("Key `a` already exists."), "{}", ran.out);
    let ran = world.sh("sleep 60 >never & (keyvault add path <never; echo $?) 2>err; kill $!; cat err");
    assert!(ran.out.starts_with("2\n") && ran.out.contains("--env"), "{}", ran.out);
    world.unset("KEYVAULT_PASSPHRASE");
    let ran = world.sh("sleep 60 >never & (keyvault add new <never; echo $?) 2>err; kill $!; cat err");
    assert!(ran.out.starts_with("4\n") && ran.out.contains("The vault is locked"), "{}", ran.out);
}
