//! `show --copy`: the value reaches the clipboard's program on its standard input alone, is recorded before, and is cleared
//! if the clipboard still has it.

use std::os::unix::fs::PermissionsExt;

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, Ran, World, wait_until};

const VALUE: &str = "secret-of-a\nand its second line\n";

/// A program that stands for a clipboard's: it keeps its input in the file `clip`, prints that where it is asked to, and
/// records its arguments and environment.
const PROGRAM: &str = r#"#!/bin/sh
echo "${0##*/}$(printf ' %s' "$@")" >> "$HOME/ran"
env >> "$HOME/environment"
case " ${0##*/} $* " in
    *--help*) echo "options: HELP" ;;
    *" wl-paste "*|*-out*|*--output*) cat "$HOME/clip" ;;
    *--clear*) : > "$HOME/clip" ;;
    *) cat > "$HOME/clip.new"; mv "$HOME/clip.new" "$HOME/clip" ;;
esac
"#;

/// A world with key `a` and these programs.
fn with(programs: &[&str]) -> World {
    let mut world = World::new();
    world.run_with_input(&["add", "a"], VALUE).ok();
    let folder = world.home().join("bin");
    std::fs::create_dir(&folder).unwrap();
    for name in programs {
        let file = folder.join(name);
        std::fs::write(&file, PROGRAM).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    // Of what is installed here, none that a test does not name.
    let tools = world.home().join("tools");
    std::fs::create_dir(&tools).unwrap();
    for name in ["sh", "cat", "mv", "env", "script", "tr", "true"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join(name))
            .find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), tools.join(name)).unwrap();
    }
    world.set("PATH", &format!("{}:{}", folder.display(), tools.display()));
    world.set("DISPLAY", ":7");
    world.set("NO_COLOR", "1");
    world
}

/// Runs keyvault on a terminal.
fn on_terminal(world: &World, arguments: &str) -> Ran {
    world.sh(&format!("script -qec \"'{KEYVAULT}' {arguments}\" /dev/null | tr -d '\\r'"))
}

fn read(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.home().join(name)).unwrap_or_default()
}

fn reveals(world: &World) -> usize {
    world.run(&["audit", "log", "--action", "reveal", "--json"]).ok().out.lines().count()
}

#[test]
fn the_program_gets_the_value_on_its_standard_input_and_nothing_else_of_ours() {
    let mut world = with(&["xclip", "xsel"]);
    world.set("KEYVAULT_TOKEN_FILE", "");
    let copied = on_terminal(&world, "show a --copy --clear-after never").ok();
    assert_eq!(copied.out, "Copied `a` with xclip.\n");
    assert_eq!(read(&world, "clip"), VALUE);
    assert_eq!(read(&world, "ran"), "xclip -in -selection clipboard\n");
    let environment = read(&world, "environment");
    assert!(environment.contains("DISPLAY=:7"), "{environment}");
    assert!(!environment.contains("KEYVAULT_") && !environment.contains("secret-of-a"), "{environment}");
    assert_eq!(reveals(&world), 1);
}

#[test]
fn each_desktop_has_its_program() {
    for (programs, display, ran) in [
        (&["wl-copy", "wl-paste", "xclip"][..], "WAYLAND_DISPLAY", "wl-copy --help\nwl-copy\n"),
        (&["wl-copy", "xsel"], "DISPLAY", "xsel --input --clipboard\n"),
        (&["clip.exe"], "DISPLAY", "clip.exe\n"),
    ] {
        let mut world = with(programs);
        world.set(display, ":1");
        on_terminal(&world, "show a --copy --clear-after never").ok();
        assert_eq!(read(&world, "ran").replace(" \n", "\n"), ran, "{programs:?}");
        assert_eq!(read(&world, "clip"), VALUE);
    }
}

#[test]
fn wl_copy_marks_the_value_as_secret_where_it_can() {
    let mut world = with(&["wl-copy", "wl-paste"]);
    world.set("WAYLAND_DISPLAY", "wayland-0");
    let program = world.home().join("bin/wl-copy");
    std::fs::write(program, PROGRAM.replace("HELP", "-s, --sensitive")).unwrap();
    on_terminal(&world, "show a --copy --clear-after never").ok();
    assert_eq!(read(&world, "ran"), "wl-copy --help\nwl-copy --sensitive\n");
}

#[test]
fn the_clipboard_is_cleared_if_it_still_has_the_value() {
    for (programs, display) in
        [(&["xclip"][..], "DISPLAY"), (&["wl-copy", "wl-paste"], "WAYLAND_DISPLAY"), (&["xsel"], "DISPLAY")]
    {
        let mut world = with(programs);
        world.set(display, ":1");
        let copied = on_terminal(&world, "show a --copy --clear-after 1s").ok();
        assert_eq!(copied.out, format!("Copied `a` with {}. The clipboard is cleared in 1s.\n", programs[0]));
        assert_eq!(read(&world, "clip"), VALUE);
        wait_until(programs[0], || read(&world, "clip").is_empty());
    }
}

#[test]
fn what_was_copied_meanwhile_stays() {
    let world = with(&["xclip"]);
    on_terminal(&world, "show a --copy --clear-after 1s").ok();
    std::fs::write(world.home().join("clip"), "something else").unwrap();
    wait_until("a look at the clipboard", || read(&world, "ran").contains("-out"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(read(&world, "clip"), "something else");
    assert_eq!(read(&world, "ran"), "xclip -in -selection clipboard\nxclip -out -selection clipboard\n");
}

/// The process that stays behind was started with a hash, and has neither the value nor a credential.
#[test]
fn the_process_that_stays_behind_does_not_have_the_value() {
    let world = with(&["xclip"]);
    on_terminal(&world, "show a --copy --clear-after 20s").ok();
    let ours = |process: &std::path::Path| {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        (line.contains("--clear-clipboard xclip 20")
            && environment.contains(&*world.home().to_string_lossy()))
        .then_some((line, environment))
    };
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let (process, (line, environment)) =
        processes.filter_map(|process| Some((process.clone(), ours(&process)?))).next().expect("it is there");
    assert!(!line.contains("secret") && !environment.contains("KEYVAULT_"), "{line} {environment}");
    let maps = std::fs::read_to_string(process.join("maps")).unwrap();
    let memory = std::fs::File::open(process.join("mem")).unwrap();
    let mut looked_at = 0;
    for line in maps.lines().filter(|line| line.contains(" rw-p ") || line.contains(" r--p ")) {
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        if std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, start).is_ok() {
            looked_at += bytes.len();
            let value = b"and its second line";
            assert!(!bytes.windows(value.len()).any(|part| part == value), "{line}");
        }
    }
    assert!(looked_at > 100_000, "{looked_at}");
    let id = process.file_name().unwrap().to_str().unwrap();
    assert_eq!(world.sh(&format!("kill {id}")).code, 0);
}

/// A reader of the caller's pipe waits until every writer is gone.
#[test]
fn neither_the_process_that_stays_behind_nor_the_program_keeps_what_the_caller_has_open() {
    let world = with(&["xclip"]);
    let serving = PROGRAM.replacen('\n', "\nls -l /proc/self/fd > \"$HOME/open\"\n", 1);
    std::fs::write(world.home().join("bin/xclip"), serving).unwrap();
    std::os::unix::fs::symlink("/bin/ls", world.home().join("tools/ls")).unwrap();
    let caller = world.home().join("callers");
    let line = format!(
        "script -qec \"'{KEYVAULT}' show a --copy --clear-after 20s 7>'{}'\" /dev/null",
        caller.display()
    );
    world.sh(&line).ok();
    assert!(!read(&world, "open").contains("callers"), "{}", read(&world, "open"));
    let is_ours = |process: &std::path::Path| {
        let read = |name| std::fs::read(process.join(name)).unwrap_or_default();
        let is_helper =
            String::from_utf8_lossy(&read("cmdline")).replace('\0', " ").contains("--clear-clipboard");
        is_helper && String::from_utf8_lossy(&read("environ")).contains(&*world.home().to_string_lossy())
    };
    let mut processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let process = processes.find(|process| is_ours(process)).expect("it is there");
    let open: Vec<_> = std::fs::read_dir(process.join("fd"))
        .unwrap()
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap())
        .collect();
    let id = process.file_name().unwrap().to_str().unwrap();
    assert_eq!(world.sh(&format!("kill {id}")).code, 0);
    assert!(!open.contains(&caller), "{open:?}");
}

#[test]
fn without_a_program_and_over_ssh_the_terminal_gets_an_escape_code() {
    let code = format!("\u{1b}]52;c;{}\u{7}", data_encoding::BASE64.encode(VALUE.as_bytes()));
    for (programs, variable) in
        [(&[][..], "UNRELATED"), (&["xclip"], "SSH_CONNECTION"), (&["xclip"], "SSH_TTY")]
    {
        let mut world = with(programs);
        world.set(variable, "x");
        let copied = on_terminal(&world, "show a --copy --clear-after never").ok();
        assert_eq!(copied.out, format!("{code}Copied `a` with the terminal (OSC 52).\n"));
        assert_eq!(read(&world, "ran"), "");
    }
}

#[test]
fn a_pipe_and_a_ci_job_are_refused_before_anything_is_read() {
    let mut world = with(&["xclip"]);
    world.run(&["show", "a", "--copy"]).fails_with(
        6,
        "
            error: `--copy` needs a terminal, and standard output is not one.
                   Give the value to one process with `keyvault exec --only a -- COMMAND`, or print it with `keyvault show a --reveal`.
        ",
    );
    world.set("CI", "true");
    let ran = on_terminal(&world, "show a --copy");
    assert_eq!(ran.out.lines().next(), Some("error: `--copy` is not for CI jobs (CI is set)."));
    assert_eq!((read(&world, "ran").as_str(), reveals(&world)), ("", 0));
}

#[test]
fn a_program_that_fails_is_named() {
    let world = with(&["xclip"]);
    std::fs::write(world.home().join("bin/xclip"), "#!/bin/sh\nexit 3\n").unwrap();
    let ran = on_terminal(&world, "show a --copy");
    assert!(ran.out.contains("error: `xclip` could not copy the value (exit status: 3)."), "{}", ran.out);
    assert!(ran.out.contains("the audit log records"), "{}", ran.out);
    assert_eq!(reveals(&world), 1);
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    let world = World::new();
    world.run(&["show", "a", "--copy", "--reveal"]).fails(2, "cannot be used with");
    world.run(&["show", "a", "--clear-after", "5s"]).fails(2, "--copy");
    world.run(&["show", "a", "--copy", "--clear-after", "0s"]).fails(2, "is shorter than a second");
    world.run(&["show", "a", "--version", "1"]).fails(2, "--reveal");
}
