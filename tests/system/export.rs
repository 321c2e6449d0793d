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

#[test]
fn shells_evaluate_an_export_to_the_same_bytes_and_run_nothing_of_it() {
    let world = World::new();
    for (number, value) in ODD.iter().enumerate() {
        add(&world, &format!("k{number}"), value);
    }
    for shell in ["sh", "bash", "zsh", "fish"] {
        for (number, value) in ODD.iter().enumerate() {
            let script = match shell {
                "fish" => {
                    format!("'{KEYVAULT}' export --only k{number} --shell fish | source; printenv K{number}")
                }
                _ => format!(
                    "eval \"$('{KEYVAULT}' export --only k{number} --shell {shell})\"; printenv K{number}"
                ),
            };
            let mut command = world.command(shell);
            let seen = finish(command.args(["-c", &script]), b"").ok().bytes;
            assert_eq!(seen.strip_suffix(b"\n"), Some(*value), "{shell}: {number}");
        }
    }
    assert!(!world.home().join("hacked").exists());
}

/// The project's own variables, those of a scope, and none behind the folder; the caller's settings of keyvault stay.
#[test]
fn direnv_loads_keys_in_a_folder_and_takes_them_back_behind_it() {
    let mut world = World::own();
    add(&world, "app/token", b"it's $HOME\nand a second line");
    world.run(&["edit", "app/token", "--scope", "dev"]).ok();
    world.run(&["unlock"]).ok();
    let library = world.home().join(".config/direnv/lib");
    std::fs::create_dir_all(&library).unwrap();
    std::fs::write(library.join("keyvault.sh"), world.run(&["direnv"]).ok().bytes).unwrap();
    let project = world.home().join("app");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join(".keyvault.toml"), "[keys]\nTOKEN = \"app/token\"\n").unwrap();
    world.set("KEYVAULT_KEYRING", "off");
    let folder = std::path::Path::new(KEYVAULT).parent().unwrap().to_str().unwrap().to_owned();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    world.set("PATH", &path);
    world.unset("KEYVAULT_PASSPHRASE");
    let script = "cd app && keyvault project approve --yes >/dev/null && direnv allow && \
        eval \"$(direnv export bash)\" && printenv TOKEN APP_TOKEN; env | grep ^KEYVAULT_KEYRING; env | grep ^KEYVAULT_EXEC; \
        cd .. && eval \"$(direnv export bash)\"; printenv TOKEN APP_TOKEN; echo done";
    for (envrc, variable) in [("use keyvault\n", "TOKEN"), ("use keyvault --scope dev\n", "APP_TOKEN")] {
        std::fs::write(project.join(".envrc"), envrc).unwrap();
        let ran = finish(world.command("bash").args(["-c", script]), b"");
        assert_eq!(
            ran.out, "it's $HOME\nand a second line\nKEYVAULT_KEYRING=off\ndone\n",
            "{variable}: {}",
            ran.err
        );
    }
    // Locked, it says so at once and loads nothing.
    world.run(&["lock"]).ok();
    let ran = finish(world.command("bash").args(["-c", "cd app; direnv export bash | grep -c TOKEN"]), b"");
    assert_eq!(ran.out, "0\n");
    assert!(ran.err.contains("The vault is locked"), "{}", ran.err);
}
