//! Lines of an env-file that are no assignment, and values that a `#` cuts: nothing of them is lost in silence, and none
//! of their text is shown.

use pretty_assertions::assert_eq;
use serde_json::Value;

use crate::harness::World;

const PEM: &str = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMHcCAQEEIIc3Ba\nkJ3d9A==\n-----END EC PRIVATE KEY-----\n";

/// Files with two assignments `A=1` and `B=2`, the lines that are none, and a word of those lines.
fn files() -> Vec<(String, &'static str, &'static str)> {
    let one = |line: &str| format!("A=1\n{line}\nB=2\n");
    vec![
        (one("API_KEY:sesame77"), "2", "sesame77"),
        (one("MY KEY=sesame77"), "2", "sesame77"),
        (one("declare -x C=sesame77"), "2", "sesame77"),
        (one("set C=sesame77"), "2", "sesame77"),
        (one("$env:C = \"sesame77\""), "2", "sesame77"),
        (one("setenv C sesame77"), "2", "sesame77"),
        (one("C+=sesame77"), "2", "sesame77"),
        (one("C[0]=sesame77"), "2", "sesame77"),
        (one("- C=sesame77"), "2", "sesame77"),
        (one("export sesame77"), "2", "sesame77"),
        (one("\"C\"=sesame77"), "2", "sesame77"),
        (one("Ä=sesame77"), "2", "sesame77"),
        (one("__proto__=sesame77"), "2", "sesame77"),
        (one("[sesame77]"), "2", "sesame77"),
        (one("\n  sesame77  \n# a comment\nC:x"), "3, 5", "sesame77"),
        ("# c\r\nA=1\r\nsesame77\r\nB=2\r\n".to_owned(), "3", "sesame77"),
        ("\u{FEFF}A=1\rsesame77\rB=2".to_owned(), "2", "sesame77"),
        // Quotes that are opened and not closed, and text in none.
        ("A=1\nC=\"sesame\nseventy seven\nB=2\n".to_owned(), "3", "seventy"),
        (format!("A=1\n{PEM}B=2\n"), "2-7", "MHcCA"),
        ("A=1\nMIIEsesame77\nkJ3d9A==\nB=2\n".to_owned(), "2-3", "kJ3d"),
        ("A=1\nMIIE+sesame\nsesame77sesame77sesame7=\nB=2\n".to_owned(), "2-3", "sesame"),
    ]
}

fn exported(world: &World) -> Value {
    world.run(&["export", "--all", "--format", "json"]).ok().json()
}

#[test]
fn import_names_lines_that_are_no_assignment_and_does_not_advise_to_delete_the_file() {
    for (content, lines, word) in files() {
        let world = World::new();
        world.file("x.env", &content);
        let ran = world.run(&["import", "x.env"]).ok();
        let several = lines.contains([',', '-']);
        let (line, are) = if several {
            ("lines", "are no assignments and were")
        } else {
            ("line", "is no assignment and was")
        };
        let keys = exported(&world);
        let new = keys.as_object().unwrap().len();
        ran.is(0, &format!("Imported x.env: {new} new.\n"), &format!("
            warning: In x.env, {line} {lines} {are} skipped. Write NAME=value, and put quotes around a value of several lines.
            The file still contains the plaintext values, and some that were not imported. Keep it until they are.
        "));
        assert_eq!((&keys["A"], &keys["B"]), (&"1".into(), &"2".into()), "{content:?}");
        assert!(!world.run(&["list"]).ok().out.contains(word), "{content:?}");
    }
}

#[test]
fn a_private_key_without_quotes_is_named_by_its_lines_and_no_part_of_it_becomes_a_name() {
    let world = World::new();
    world.file("x.env", format!("KEY={PEM}A=1\n"));
    world.run(&["import", "x.env"]).is(0, "Imported x.env: 2 new.\n", "
            warning: In x.env, lines 2-6 are no assignments and were skipped. Write NAME=value, and put quotes around a value of several lines.
            The file still contains the plaintext values, and some that were not imported. Keep it until they are.
        ");
    let quoted = PEM.replacen("-----BEGIN", "KEY='-----BEGIN", 1).trim_end().to_owned() + "'\nA=1\n";
    world.file("quoted.env", quoted);
    world.run(&["import", "quoted.env", "--on-conflict", "replace"]).is(
        0,
        "Imported quoted.env: 1 updated, 1 unchanged.\n",
        "
            The file still contains the plaintext values. Once everything works without it, delete it:
              rm 'quoted.env'
            If git tracks it, also run `git rm --cached 'quoted.env'` and rotate the keys that were pushed.
        ",
    );
    assert_eq!(exported(&world), serde_json::json!({ "KEY": PEM.trim_end(), "A": "1" }));
}

#[test]
fn a_file_of_nothing_but_such_lines_is_refused_with_their_numbers() {
    let world = World::new();
    world.run_with_input(&["import", "-"], PEM).fails_with(
        1,
        "
            warning: In standard input, lines 1-6 are no assignments and were skipped. Write NAME=value, and put quotes around a value of several lines.
            error: standard input contains no variables to import.
                   Nothing was changed.
        ",
    );
}

#[test]
fn programs_get_the_lines_and_the_cut_variables_too() {
    let world = World::new();
    let json = world.run_with_input(&["import", "-", "--json"], "A=1#2\nx y\nB=\n1\n2\n").ok().json();
    assert_eq!(json["skipped_lines"], serde_json::json!([[2, 2], [4, 5]]));
    assert_eq!(json["cut_at_hash"], serde_json::json!(["A"]));
}

#[test]
fn an_env_file_with_lines_that_are_no_assignment_is_refused() {
    let world = World::new();
    for (content, lines, _) in files() {
        world.file("x.env", &content);
        let ran = world.run(&["exec", "--env-file", "x.env", "--", "touch", "ran"]);
        let (line, are) = if lines.contains([',', '-']) {
            ("lines", "are no assignments")
        } else {
            ("line", "is no assignment")
        };
        let said = format!(
            "
            error: x.env cannot be used: {line} {lines} {are}.
                   Nothing was released. Write NAME=value, and put quotes around a value of several lines.
            "
        );
        ran.fails_with(125, &said);
    }
    assert!(!world.home().join("ran").exists());
}

#[test]
fn project_init_names_the_lines_and_writes_none_of_them() {
    for (content, lines, word) in files() {
        let world = World::new();
        std::fs::create_dir(world.home().join("shop")).unwrap();
        world.file("shop/.env", &content);
        let ran = world.sh("cd shop && keyvault project init --no-schema").ok();
        assert!(
            ran.err.contains(&format!(" {lines} ")) && ran.err.contains("skipped"),
            "{content:?}: {}",
            ran.err
        );
        let file = std::fs::read_to_string(world.home().join("shop/.keyvault.toml")).unwrap();
        assert!(!file.contains(word) && !ran.err.contains(word), "{content:?}: {file}");
        assert!(file.contains("A = \"shop/A\"") && file.contains("B = \"shop/B\""), "{file}");
    }
}

/// Lines of which nothing is lost.
#[test]
fn comments_and_blank_lines_are_not_pointed_out() {
    let world = World::new();
    let content =
        "# c\n\n  # indented\n\t\nexport A=1 # c\nB: 2\n  C = 3\nD='x'   # c\nE=\n\"below\"\nF\n=4\n";
    let ran = world.run_with_input(&["import", "-"], content).ok();
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("Imported standard input: 6 new.\n", ""));
    assert_eq!(
        exported(&world),
        serde_json::json!({ "A": "1", "B": "2", "C": "3", "D": "x", "E": "below", "F": "4" })
    );
}

#[test]
fn a_value_that_a_hash_cut_is_what_dotenv_reads_and_its_variable_is_named() {
    let world = World::new();
    let content = "PASSWORD=pa55#word\nCFG={\"u\":\"x#y\"}\nCOLOR=#fff\nOPEN=\"two #words\nLIST=[1, #2\n\
        BEHIND='x'#y\nTICK=`a #b\nA=1 # comment\nB='1#2'\nC= # nothing\nD=\"a\" # it's \"b\"\nE=1#2\nE=3\n";
    world.file("x.env", content);
    world.run(&["import", "x.env"]).is(0, "Imported x.env: 12 new.\n", "
        warning: A # begins a comment, so the rest of the value was left out: PASSWORD, CFG, COLOR, OPEN, LIST, BEHIND, TICK. If it belongs to the value, put quotes around the value, as in PASSWORD='…'. Or type the whole value of the key, and the same for the others: keyvault rotate PASSWORD
        warning: Defined more than once in the file; the last one is used: E.
        The file still contains the plaintext values, and some that were not imported. Keep it until they are.
        ");
    let values = serde_json::json!({
        "PASSWORD": "pa55", "CFG": "{\"u\":\"x", "COLOR": "", "OPEN": "\"two", "LIST": "[1,", "BEHIND": "x", "TICK": "`a",
        "A": "1", "B": "1#2", "C": "", "D": "a", "E": "3",
    });
    assert_eq!(exported(&world), values);
    let ran = world.run(&["exec", "--env-file", "x.env", "--", "sh", "-c", "echo \"$PASSWORD|$COLOR|$B\""]);
    ran.is(0, "pa55||1#2\n", "warning: A # begins a comment, so the rest of the value was left out: PASSWORD, CFG, COLOR, OPEN, LIST, BEHIND, TICK. If it belongs to the value, put quotes around the value, as in PASSWORD='…'.\n");
}
