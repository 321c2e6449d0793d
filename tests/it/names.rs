//! Case 43 of the fault catalog: names outside the grammar, and variables that run code.

use pretty_assertions::assert_eq;

use crate::harness::World;

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
        let why = if name.starts_with("KEYVAULT_") {
            "that keyvault itself uses"
        } else {
            "that makes programs run or load code"
        };
        let refused = |option: &str, command: &str| {
            format!(
                "
                error: The value of `{option}` is a variable {why}.
                       See its usage with `keyvault {command} --help`.
                "
            )
        };
        world.run(&["generate", "b", "--env", name]).fails_with(2, &refused("--env", "generate"));
        world.run(&["edit", "a", "--env", name]).fails_with(2, &refused("--env", "edit"));
        world
            .run(&["exec", "--as", &format!("{name}=a"), "--", "true"])
            .fails_with(125, &refused("--as", "exec"));
    }
    // Nor by way of a name.
    world.run(&["generate", "ld/preload"]).fails_with(
        2,
        "
            error: The variable of `ld/preload` is a variable that makes programs run or load code.
                   Name another with `--env VAR`.
        ",
    );
}
