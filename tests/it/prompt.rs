//! Prompts on a real terminal: passphrase, session, init, remove; and scripts without one.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{PASSPHRASE, World};

#[test]
fn case_34_odd_passphrases_are_refused_or_normalized() {
    let mut world = World::empty();
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    for (content, word) in [
        (b"".to_vec(), "is empty"),
        (b"\n".to_vec(), "is empty"),
        (vec![b'x'; 1 << 20], "longer than 4096"),
        (vec![b'x'; 4097], "longer than 4096"),
        (b"\xff\xfe".to_vec(), "not UTF-8"),
        (b"sesame\r".to_vec(), "ends in a carriage return"),
        (b"sesame\r\r\n".to_vec(), "ends in a carriage return"),
        (b"sesame\n\n".to_vec(), "has several lines"),
        (b"one\ntwo\n".to_vec(), "has several lines"),
        ("\u{feff}sesame\n".as_bytes().to_vec(), "byte order mark"),
        (b"tab\tstop".to_vec(), "control character"),
        (b"\x1b[200~sesame".to_vec(), "control character"),
    ] {
        world.file("passphrase", content);
        let ran = world.run(&["init", "--no-recovery"]);
        assert!(ran.code != 0 && ran.err.contains(word), "{word}: {}", ran.err);
        assert!(!world.vault().exists());
    }
    world.file("passphrase", "Zoe\u{308}\n");
    world.run(&["init", "--no-recovery"]).ok();
    world.file("passphrase", "Zo\u{eb}");
    world.run(&["list"]).ok();
}

fn private(world: &World, name: &str, content: &str) {
    let file = world.file(name, content);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_passphrase_that_cannot_be_typed_is_set_by_no_command() {
    let mut world = World::own();
    private(&world, "new", "sesame\r");
    for command in [&["vault", "passwd"][..], &["vault", "rekey", "--yes", "--no-recovery"]] {
        world.run(&[command, &["--new-passphrase-file", "new"]].concat()).fails_with(
            2,
            "
                error: The passphrase ends in a carriage return (CR).
                       It could not be typed at a prompt. Remove that, and try again.
            ",
        );
        world.set("KEYVAULT_NEW_PASSPHRASE", "sesame\u{feff}");
        world.run(command).fails(2, "contains a byte order mark (U+FEFF)");
        world.unset("KEYVAULT_NEW_PASSPHRASE");
    }
    world.run(&["list"]).ok();
    world.file("new", " sesame\n");
    let ran = world.run(&["vault", "passwd", "--new-passphrase-file", "new"]).ok();
    assert!(
        ran.err
            .contains("warning: The passphrase begins or ends with a blank, which has to be typed as well."),
        "{}",
        ran.err
    );
    world.set("KEYVAULT_PASSPHRASE", " sesame");
    world.run(&["list"]).ok();
}

#[test]
fn cr_lf_ends_a_passphrase_file_and_what_else_came_along_is_said_where_it_is_wrong() {
    let mut world = World::own();
    world.unset("KEYVAULT_PASSPHRASE");
    world.set("KEYVAULT_PASSPHRASE_FILE", "passphrase");
    for content in [PASSPHRASE.to_owned(), format!("{PASSPHRASE}\n"), format!("{PASSPHRASE}\r\n")] {
        world.file("passphrase", content);
        world.run(&["list", "--no-session"]).ok();
    }
    for (content, oddity) in [
        (format!("{PASSPHRASE}\r"), "ends in a carriage return (CR)"),
        (format!("{PASSPHRASE}\r\r\n"), "ends in a carriage return (CR)"),
        (format!("{PASSPHRASE}\n\n"), "has several lines"),
        (format!("{PASSPHRASE} \n"), "begins or ends with a blank"),
        (format!("\u{feff}{PASSPHRASE}\n"), "contains a byte order mark (U+FEFF)"),
    ] {
        private(&world, "passphrase", &content);
        world.run(&["list"]).fails_with(
            4,
            &format!(
                "
                error: That is not the vault's passphrase. (It came from KEYVAULT_PASSPHRASE_FILE.)
                       What was given {oddity}, which may not be part of it.
                       If it is lost, or its slot is damaged, set a new one with the recovery code: keyvault vault recover
                "
            ),
        );
    }
    world.file("passphrase", "wrong");
    let ran = world.run(&["list"]).fails(4, "not the vault's passphrase");
    assert!(!ran.err.contains("What was given"), "{}", ran.err);
    world.unset("KEYVAULT_PASSPHRASE_FILE");
    world.set("KEYVAULT_PASSPHRASE", &format!("{PASSPHRASE}\r"));
    world.run(&["list"]).fails(4, "What was given ends in a carriage return (CR)");
}

#[test]
fn a_token_is_read_whatever_surrounds_it() {
    let mut world = World::own();
    world.run_with_input(&["add", "a", "--scope", "s"], "value").ok();
    let token = world.run(&["token", "create", "ci", "--scope", "s", "--json"]).ok().json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    world.unset("KEYVAULT_PASSPHRASE");
    for text in [format!("{token}\r\n"), format!("\u{feff}{token}\r\n"), format!("\u{feff}  {token} \n")] {
        world.file("token", &text);
        world.set("KEYVAULT_TOKEN_FILE", "token");
        let script = ["exec", "--only", "a", "--", "sh", "-c", "echo $A"];
        assert_eq!(world.run(&script).ok().out, "value\n", "{text:?}");
    }
}
