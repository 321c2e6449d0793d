//! Masking: what a command writes loses the values in every form, and nothing else of it is changed.

use pretty_assertions::assert_eq;

use crate::harness::terminal::Terminal;
use crate::harness::{KEYVAULT, Ran, World};

/// With characters that each encoding writes differently, and lines.
const VALUE: &str = "p/Zq7v+Xk2 \"w\"\\<9>\nsecond-line-Tr\u{e4}\n'x'";

const PLAIN: &str = "Zq7vXk2Lw9TrNb4Hy8Jd3Fs6Gm1Pc5Qe";

/// A world with the keys `a` (plain), `b` (awkward) and `s` (three bytes).
fn filled() -> World {
    let world = World::new();
    for (name, value) in [("a", PLAIN), ("b", VALUE), ("s", "abc")] {
        world.run_with_input(&["add", name, "--exact"], value).ok();
    }
    world
}

fn masked(world: &World, flags: &[&str], command: &[&str]) -> Ran {
    world.run(&[&["exec"], flags, &["--"], command].concat())
}

fn python(world: &World, flags: &[&str], program: &str) -> Ran {
    masked(world, flags, &["python3", "-c", program])
}

/// A world with the key `a`, and a runtime folder of its own, so that other tests' runs do not sweep it.
fn with_runtime() -> (World, tempfile::TempDir) {
    let runtime = tempfile::Builder::new().prefix("keyvault-test-").tempdir_in("/dev/shm").unwrap();
    let mut world = World::new();
    world.set("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap());
    world.run_with_input(&["add", "a"], PLAIN).ok();
    (world, runtime)
}

// ── What is masked ───────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn case_51_a_value_is_masked_in_every_form_and_in_any_pieces() {
    let world = filled();
    let program = "import os,re,base64,json,urllib.parse,binascii
v=os.environb[b'B']; t=v.decode()
forms=[v, v.replace(b'\\n',b'\\r\\n')]
forms+=[base64.b64encode(v), base64.urlsafe_b64encode(v), binascii.hexlify(v), binascii.hexlify(v).upper()]
forms+=[urllib.parse.quote(t).encode(), urllib.parse.quote_plus(t).encode(), re.sub('%..',lambda m:m[0].lower(),urllib.parse.quote(t,safe='')).encode()]
forms+=[json.dumps(t)[1:-1].encode(), json.dumps(t,ensure_ascii=False)[1:-1].encode(), json.dumps(json.dumps(t))[3:-3].encode()]
for out in (1,2):
    for f in forms:
        os.write(out,b'<'+f+b'>\\n')
    for f in forms:
        os.write(out,b'<')
        for i in range(len(f)): os.write(out,f[i:i+1])
        os.write(out,b'>\\n')
    for line in v.split(b'\\n')[:2]:
        os.write(out,b'<  '+line+b'>\\n')
";
    let ran = python(&world, &["--mask", "--only", "b"], program).ok();
    let expected = "<[masked]>\n".repeat(24) + &"<  [masked]>\n".repeat(2);
    // Written in one piece or byte by byte at full speed; a pause, which a busy machine may make of it, shows three bytes.
    for text in [&ran.out, &ran.err] {
        let shown: Vec<&str> = text.lines().collect();
        assert_eq!(shown.len(), expected.lines().count(), "{text}");
        for (line, expected) in shown.iter().zip(expected.lines()) {
            let more = line.len() - expected.len();
            assert!(more <= 3 && line.starts_with('<') && line.ends_with("[masked]>"), "{line}");
        }
    }
}

#[test]
fn case_51_base64_is_masked_whatever_stands_around_the_value() {
    let world = filled();
    let program = "import os,base64
v=os.environb[b'A']
for before in range(6):
    for after in range(4):
        print(base64.b64encode(b'x'*before+v+b'y'*after).decode())";
    let ran = python(&world, &["--mask", "--only", "a"], program).ok();
    assert_eq!(ran.out.lines().count(), 24);
    for line in ran.out.lines() {
        // The visible rest is decided by the neighbors: whole groups of theirs, and at most two characters at each side.
        let (before, after) = line.split_once("[masked]").unwrap();
        assert!(before.len() <= 8 && after.len() <= 7, "{line}");
    }
}

// ── On a terminal ────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn case_51_on_a_terminal_values_are_masked_and_it_stays_a_terminal() {
    let world = filled();
    let terminal = Terminal::shell(&world);
    terminal.run(
        "keyvault exec --mask --only a -- sh -c 'tty; echo \"<$A>\"; echo \"<$A>\" > /dev/tty; stty size'",
        "",
    );
    let (shown, code) = terminal.ended();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("/dev/pts/"), "{shown}");
    assert_eq!((&lines[1..4], code), (&["<[masked]>", "<[masked]>", "50 200"][..], 0), "{shown}");
}

#[test]
fn a_pager_an_editor_and_a_shell_work_on_a_masked_terminal() {
    let world = filled();
    let text: String = (0..500).map(|n| format!("line {n}\n")).collect();
    world.file("text", text + "<" + PLAIN + ">\n");
    let terminal = Terminal::shell(&world);
    terminal.type_line("keyvault exec --mask --only a -- less text");
    terminal.wait_for("line 20");
    terminal.press("G");
    terminal.wait_for("<[masked]>");
    terminal.press("q");
    terminal.wait_for_times("READY>", 2);
    terminal.run("keyvault exec --mask --only a -- bash --norc --noprofile", "bash-");
    terminal.type_line("PS1='INNER> '");
    terminal.wait_for("INNER> ");
    terminal.type_line("sh -c 'echo in''front; exec sleep 1000'");
    terminal.wait_for("infront");
    terminal.press("C-z");
    terminal.wait_for("Stopped");
    terminal.type_line("kill %1; wait; echo \"job <$?> <$A>\"");
    terminal.wait_for("job <");
    terminal.wait_for("<[masked]>");
    terminal.type_line("exit 3");
    assert_eq!(terminal.ended().1, 3);
}

/// Ctrl-V makes the next character a plain one: nobody around the command hears of a Ctrl-C.
#[test]
fn a_quoted_ctrl_c_on_a_masked_terminal_is_a_character() {
    let world = filled();
    let terminal = Terminal::shell(&world);
    world.file(
        "around",
        "trap told=yes INT; keyvault exec --mask --only a -- sh -c 'echo started; cat -v'; echo \"told <$told>\"",
    );
    terminal.type_line("sh around");
    terminal.wait_for("started");
    terminal.press("C-v");
    terminal.press("C-c");
    terminal.type_line("x");
    terminal.wait_for("\n^Cx");
    terminal.press("C-d");
    terminal.wait_for("told <>");
}

#[test]
fn case_53_a_stopped_masked_command_leaves_the_shell_its_terminal() {
    let world = filled();
    let terminal = Terminal::shell(&world);
    terminal.type_line("keyvault exec --mask --only a -- sh -c 'stty -echo; echo started; exec sleep 1000'");
    terminal.wait_for_times("started", 2);
    terminal.press("C-z");
    terminal.wait_for("Stopped");
    terminal.type_line("echo \"echo is on\"");
    terminal.wait_for_times("echo is on", 2);
    terminal.type_line("clear; fg");
    terminal.wait_for("keyvault exec");
    terminal.press("C-c");
    terminal.wait_for("READY>");
    terminal.type_line("echo \"over $?\"");
    terminal.wait_for("over 130");
}

#[test]
fn on_another_users_terminal_which_cannot_be_opened_again_it_works_too() {
    let world = filled();
    std::fs::copy(KEYVAULT, world.home().join("kv")).unwrap();
    // As after su(1): the descriptors are all that nobody has of it.
    let home = world.home();
    let home = home.to_str().unwrap();
    let owned = format!("chmod 711 '{}'; chown -R nobody '{home}'", world.path().display());
    assert!(world.command("sh").args(["-c", &owned]).status().unwrap().success(), "this test needs root");
    let terminal = Terminal::shell(&world);
    terminal.type_line("setpriv --reuid nobody --clear-groups ./kv exec --mask --only a -- sh -c 'echo \"<$A>\"; read x; echo \"got <$x>\"; sleep 1000'");
    terminal.wait_for("<[masked]>");
    terminal.type_line("typed");
    terminal.wait_for("got <typed>");
    terminal.press("C-c");
    terminal.wait_for_times("READY>", 2);
    terminal.type_line("echo \"over $?\"");
    terminal.wait_for("over 130");
}

#[test]
fn standard_error_alone_on_a_terminal_leaves_the_keyboard_to_the_pager_behind_the_pipe() {
    let world = filled();
    let terminal = Terminal::shell(&world);
    // Both write to the one screen, so one after the other.
    world.file("script", "echo \"err <$A>\" >&2\nwhile [ ! -e go ]; do sleep 0.02; done\necho \"out <$A>\"\n[ -t 2 ]; echo tty $?\n");
    terminal.type_line("keyvault exec --mask --only a -- sh script | less -X");
    terminal.wait_for("err <[masked]>");
    world.file("go", "");
    terminal.wait_for("tty 0");
    terminal.press("q");
    terminal.wait_for("READY>");
    let screen = terminal.screen();
    assert!(screen.contains("out <[masked]>") && screen.contains("err <[masked]>"), "{screen}");
}

/// `$(…)` takes the final newline away, and what is encoded then is not the value any more.
#[test]
fn case_51_a_value_without_its_final_newline_is_masked_in_encodings() {
    let (world, _runtime) = with_runtime();
    world.run_with_input(&["add", "n", "--exact"], "abcde/ghi\n").ok();
    let script = "import os,base64,binascii,urllib.parse
v=os.environb[b'N'].strip()
for f in (base64.b64encode(v), base64.b64encode(b'x'+v), binascii.hexlify(v), urllib.parse.quote(v,safe='').encode()): print(f.decode())";
    let ran = world.run(&["exec", "--mask", "--only", "n", "--", "python3", "-c", script]).ok();
    assert_eq!(ran.out, "[masked]\neG[masked]\n[masked]\n[masked]\n");
}
