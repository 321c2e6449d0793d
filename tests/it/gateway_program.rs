//! The second program, `keyvault-gateway`, and the wall between the two.

use std::process::{Command, Output};

use crate::harness::KEYVAULT;

const GATEWAY: &str = env!("CARGO_BIN_EXE_keyvault-gateway");

fn run(arguments: &[&str]) -> Output {
    Command::new(GATEWAY).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_reports_all_faults_of_a_configuration_and_explains_requests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.toml");
    let page = include_str!("../../docs/gateway.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    std::fs::write(&path, example).unwrap();
    let path = path.to_str().unwrap();
    let ran = run(&["check", "--config", path]);
    assert_eq!((text(&ran.stdout).as_str(), ran.status.code()), ("The configuration is usable.\n", Some(0)));
    let ran = run(&["check", "--config", path, "--method", "PUT", "--path", "/orders/7"]);
    let said = "PUT /orders/7\n  refused: 405 method: The path has routes for GET, HEAD only.\n";
    assert_eq!((text(&ran.stdout).as_str(), ran.status.code()), (said, Some(0)));

    std::fs::write(path, "vault = \"/v\"\ntoken_file = \"/t\"\nworkers = 0\n").unwrap();
    let ran = run(&["check", "--config", path]);
    let said = text(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1));
    for fault in [
        "line 1: `listener` is missing",
        "line 1: `state` is missing",
        "line 2: `token_file` is unknown; did you mean `token-file`?",
        "line 3: `workers` must be a number from 1 to 4294967295",
    ] {
        assert!(said.contains(fault), "{said}");
    }
    let ran = run(&["run", "--config", "/nowhere/gateway.toml"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stderr).starts_with("keyvault-gateway: error: cannot read /nowhere/gateway.toml: "));
    assert_eq!(run(&["run"]).status.code(), Some(2));
}

#[test]
fn the_command_line_has_nothing_of_the_gateway() {
    let text = |program: &str| String::from_utf8_lossy(&std::fs::read(program).unwrap()).into_owned();
    let (own, gateways) = (text(KEYVAULT), text(GATEWAY));
    // Paths of source files, which messages of panics name.
    for part in ["/hyper-1.", "/tokio-1.", "/rustls-0."] {
        assert!(gateways.contains(part), "the search for {part} finds nothing where it is");
        assert!(!own.contains(part), "{part}");
    }
}
