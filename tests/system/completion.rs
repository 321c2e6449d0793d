//! Completion in real shells, on a real terminal (tmux), and what it must never do.

use crate::harness::World;
use crate::harness::terminal::Terminal;

/// A command's own completion, as bash knows it.
const BASH_PROBE: &str = "_probe() { local w=deploy; [[ $3 == deploy ]] && w=--faster; \
                          COMPREPLY=($(compgen -W \"$w\" -- \"$2\")); }; complete -F _probe probe; ";

/// Starts a shell without the user's files, has it read the script, and waits for its prompt.
fn start<'w>(world: &'w World, shell: &str, setup: &str) -> Terminal<'w> {
    let terminal = Terminal::start(world, shell);
    terminal.type_line(setup);
    terminal.wait_for("READY>");
    terminal
}

/// Types a line, presses Tab, and waits until the line has become `whole`.
fn completes(shell: &Terminal<'_>, line: &str, whole: &str) {
    shell.type_text(line);
    shell.press("Tab");
    shell.wait_for(&format!("READY> {whole}"));
    shell.press("C-u");
    shell.press("C-l");
}

/// A vault with an open session and no other slot for the shell.
fn world() -> World {
    let mut world = World::own();
    world.run(&["generate", "stripe/live", "--scope", "payments"]).ok();
    world.run(&["generate", "db/password", "--scope", "deploy:prod", "--tag", "team=web"]).ok();
    world.run(&["unlock"]).ok();
    world.unset("KEYVAULT_PASSPHRASE");
    world.file("notes.env", "A=1");
    world.file("keys.kvb", "");
    world.file(".keyvault.toml", "[keys]\nA = \"a\"\n[profiles.staging.keys]\nA = \"b\"\n");
    world
}

fn completes_everything(shell: &Terminal<'_>) {
    completes(shell, "keyvault rota", "keyvault rotate");
    completes(shell, "keyvault show str", "keyvault show stripe/live");
    completes(shell, "keyvault exec --scope pay", "keyvault exec --scope payments");
    completes(shell, "keyvault exec --onl", "keyvault exec --only");
    completes(shell, "keyvault exec --only db", "keyvault exec --only db/password");
    completes(shell, "keyvault import not", "keyvault import notes.env");
    completes(shell, "keyvault vault ba", "keyvault vault backup");
    completes(shell, "keyvault exec --all -- keyvau", "keyvault exec --all -- keyvault");
    // A comma begins another part of a list.
    completes(shell, "keyvault exec --scope payments,dep", "keyvault exec --scope payments,deploy:prod");
    completes(shell, "keyvault list --scope=payments,dep", "keyvault list --scope=payments,deploy:prod");
    completes(shell, "keyvault list --tag te", "keyvault list --tag team=web");
    completes(shell, "keyvault exec --profile st", "keyvault exec --profile staging");
    completes(shell, "keyvault revoke db/password --version ", "keyvault revoke db/password --version 1");
    completes(shell, "keyvault generate a --recipe pas", "keyvault generate a --recipe pass");
    completes(shell, "keyvault generate a --alphabet he", "keyvault generate a --alphabet hex");
    completes(shell, "keyvault exec --bundle keys", "keyvault exec --bundle keys.kvb");
    completes_the_wrapped_command(shell);
}

/// `probe` is a command that has a completion of its own in the shell.
fn completes_the_wrapped_command(shell: &Terminal<'_>) {
    for exec in ["keyvault exec --all --", "keyvault run --scope payments --only=stripe/live --"] {
        completes(shell, &format!("{exec} probe dep"), &format!("{exec} probe deploy"));
        completes(shell, &format!("{exec} probe deploy --fas"), &format!("{exec} probe deploy --faster"));
        completes(shell, &format!("{exec} cat not"), &format!("{exec} cat notes.env"));
    }
}

/// Signs that end words for bash stand within those of keyvault.
fn completes_within_words(shell: &Terminal<'_>) {
    completes(shell, "keyvault exec --only=st", "keyvault exec --only=stripe/live");
    completes(shell, "keyvault exec --file KEY=db", "keyvault exec --file KEY=db/password");
    completes(shell, "keyvault exec --file=KEY=db", "keyvault exec --file=KEY=db/password");
    completes(shell, "keyvault exec --as KEY=db", "keyvault exec --as KEY=db/password");
    completes(shell, "keyvault exec --fd 3=st", "keyvault exec --fd 3=stripe/live");
    completes(shell, "keyvault exec --scope depl", "keyvault exec --scope deploy:prod");
    completes(shell, "keyvault exec --scope deploy:", "keyvault exec --scope deploy:prod");
    completes(shell, "keyvault exec --scope deploy:p", "keyvault exec --scope deploy:prod");
    completes(shell, "keyvault exec --scope=deploy:p", "keyvault exec --scope=deploy:prod");
    completes(shell, "keyvault list --scope=pay", "keyvault list --scope=payments");
    completes(shell, "keyvault list --status ex", "keyvault list --status expired");
    // A key that was given is not offered again, so that one is left.
    let one = "keyvault exec --only stripe/live --only";
    completes(shell, &format!("{one} "), &format!("{one} db/password"));
}

#[test]
fn bash_completes_commands_flags_keys_scopes_and_files() {
    let world = world();
    let setup = format!("{BASH_PROBE}PS1='READY> '; source <(keyvault completions bash); clear");
    let shell = start(&world, "bash --norc --noprofile", &setup);
    completes_everything(&shell);
    completes(&shell, "keyvault import ~/not", "keyvault import ~/notes.env");
    completes_within_words(&shell);
    // A space follows what is whole, and the next word is the command's.
    shell.type_text("keyvault exec --only=st");
    shell.press("Tab");
    shell.wait_for("READY> keyvault exec --only=stripe/live");
    shell.type_text("--");
    shell.wait_for("READY> keyvault exec --only=stripe/live --");
    shell.press("C-u");
    shell.press("C-l");
    completes(&shell, "keyvault --vault=not", "keyvault --vault=notes.env");
    completes(&shell, "keyvault import ~/../../../../../../us", "keyvault import ~/../../../../../../usr/");
    // Text in front of the sign or behind the cursor stays.
    shell.type_text("keyvault exec --scope deploy:p --only=db -- true");
    for _ in 0.." --only=db -- true".len() {
        shell.press("Left");
    }
    shell.press("Tab");
    shell.wait_for("READY> keyvault exec --scope deploy:prod --only=db -- true");
    shell.press("C-u");
}

/// Where the package that most distributions add to bash has changed what ends a word.
#[test]
fn bash_completes_where_signs_end_no_words() {
    let world = world();
    let setup = format!(
        "{BASH_PROBE}COMP_WORDBREAKS=${{COMP_WORDBREAKS//[=:]}}; PS1='READY> '; source <(keyvault completions bash); clear"
    );
    let shell = start(&world, "bash --norc --noprofile", &setup);
    completes_everything(&shell);
    completes_within_words(&shell);
}

/// As bash-completion names it, before its version 2.12 and since.
#[test]
fn bash_leaves_the_wrapped_command_to_bash_completion() {
    let world = world();
    for name in ["_command_offset", "_comp_command_offset"] {
        let setup = format!(
            "{name}() {{ COMPREPLY=(\"word-$1\"); }}; PS1='READY> '; source <(keyvault completions bash); clear"
        );
        let shell = start(&world, "bash --norc --noprofile", &setup);
        completes(
            &shell,
            "keyvault exec --only=db/password -- w",
            "keyvault exec --only=db/password -- word-6",
        );
        completes(&shell, "keyvault run --all -- git w", "keyvault run --all -- git word-4");
        completes(&shell, "keyvault show str", "keyvault show stripe/live");
    }
}

#[test]
fn zsh_completes_commands_flags_keys_scopes_and_files() {
    let world = world();
    let setup = "autoload -Uz compinit; compinit -u; \
                 _probe() { if [[ $words[CURRENT-1] == deploy ]]; then compadd -- --faster; else compadd deploy; fi }; \
                 compdef _probe probe; PS1='READY> '; source <(keyvault completions zsh); clear";
    let shell = start(&world, "zsh -f", setup);
    completes_everything(&shell);
    completes_within_words(&shell);
    // Its candidates would be quoted: \\~/.
    completes(&shell, "keyvault vault restore ~/not", "keyvault vault restore ~/notes.env");
    world.sh("mkdir -p hold/deep; touch hold/deep/one.db").ok();
    completes(&shell, "keyvault vault restore ~/ho", "keyvault vault restore ~/hold/");
    completes(&shell, "keyvault vault restore ~/hold/d", "keyvault vault restore ~/hold/deep/");
}

/// Found in the fpath, as a package puts it there, from the first Tab on.
#[test]
fn zsh_finds_the_script_in_its_path() {
    let world = world();
    world.sh("mkdir fpath; keyvault completions zsh > fpath/_keyvault").ok();
    let setup = "PS1='READY> '; fpath=(~/fpath $fpath); autoload -Uz compinit; compinit -u; clear";
    let shell = start(&world, "zsh -f", setup);
    completes(&shell, "keyvault show str", "keyvault show stripe/live");
    completes(&shell, "keyvault show db", "keyvault show db/password");
}

#[test]
fn fish_completes_commands_flags_keys_scopes_and_files() {
    let world = world();
    let setup = "function fish_prompt; echo -n 'READY> '; end; set -g fish_autosuggestion_enabled 0; \
                 complete -c probe -f -n 'not contains deploy (commandline -opc)' -a deploy; \
                 complete -c probe -l faster; \
                 keyvault completions fish | source; clear";
    completes_everything(&start(&world, "fish --no-config", setup));
}

/// bash puts what it is given into the line as it is.
#[test]
fn a_file_s_name_is_no_code_in_a_line_that_bash_completes() {
    let world = World::own();
    for name in ["a;touch ran", "b$(touch ran)", "c`touch ran`", "d file", "f&touch ran", "g*", "gone"] {
        world.file(name, "A=1\n");
    }
    world.sh("mkdir 'my folder'; touch 'my folder/in it'").ok();
    let terminal = Terminal::start(&world, "bash --norc --noprofile");
    terminal.type_line("PS1='READY> '; source <(keyvault completions bash); clear");
    terminal.wait_for("READY>");
    for (typed, whole) in [
        ("a", r"a\;touch\ ran"),
        ("b", r"b\$\(touch\ ran\)"),
        ("c", r"c\`touch\ ran\`"),
        ("\"d", "\"d file\""),
        (r"d\ f", r"d\ file"),
        ("'f", "'f&touch ran'"),
        (r"g\*", r"g\*"),
        (r"my\ folder/in", r"my\ folder/in\ it"),
        ("go", "gone"),
        ("~/go", "~/gone"),
        ("\"go", "\"gone\""),
    ] {
        terminal.type_text(&format!("keyvault import {typed}"));
        terminal.press("Tab");
        terminal.wait_for(&format!("READY> keyvault import {whole}"));
        terminal.press("C-u");
        terminal.press("C-l");
    }
    assert!(!world.home().join("ran").exists());
}
