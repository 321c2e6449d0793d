//! A checkout that belongs to another user, as in a container's job. Needs root.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use crate::harness::bearer::{token, with_keys};
use crate::harness::project_file::{FILE, filled, mode, project, run_in};
use crate::harness::{KEYVAULT, World, finish};

const OTHER: u32 = 4711;

fn belongs_to(folder: &Path, uid: u32) {
    for path in [folder.to_owned(), folder.join(FILE)] {
        chown(path, Some(uid), Some(uid)).expect("this test needs root");
    }
}

fn foreign(world: &World, text: &str) -> PathBuf {
    let folder = project(world, text);
    belongs_to(&folder, OTHER);
    folder
}

#[test]
fn with_a_token_its_grants_decide_whoever_wrote_the_file() {
    let world = with_keys();
    let token = token(&world, &["ci", "--scope", "deploy"]);
    let folder = foreign(&world, "[keys]\nMINE = \"a\"\n");
    let run = |arguments: &[&str]| {
        let mut command = world.command(KEYVAULT);
        finish(command.env("KEYVAULT_TOKEN", &token).current_dir(&folder).args(arguments), b"")
    };
    let show = ["exec", "--", "sh", "-c", "echo $MINE ${A-none}"];
    run(&show).prints("value-a none\n");
    run(&["project", "check"]).ok();
    // Files as a runner with umask 0 leaves them.
    mode(&folder, 0o777);
    mode(&folder.join(FILE), 0o666);
    run(&show).prints("value-a none\n");
    // No grant, no key; a link is none.
    std::fs::write(folder.join(FILE), "[keys]\nMINE = \"c\"\n").unwrap();
    run(&show).fails(125, "not granted to token");
    std::fs::rename(folder.join(FILE), folder.join("moved")).unwrap();
    std::os::unix::fs::symlink("moved", folder.join(FILE)).unwrap();
    run(&show).fails(125, "is not a regular file");
}

#[test]
fn without_a_token_the_folder_has_to_be_trusted_and_the_file_approved() {
    let world = filled();
    let folder = foreign(&world, "[keys]\nA = \"a\"\n");
    let show = ["exec", "--", "sh", "-c", "echo $A"];
    run_in(&world, &folder, &show).fails_with(
        125,
        "
            error: ~/shop belongs to another user (4711), so it is not read.
                   If you trust that user: keyvault project trust '~/shop'
                   Or choose keys with `--as VAR=NAME`, `--scope` or `--all`.
        ",
    );
    run_in(&world, &folder, &["project", "trust"]).fails_with(
        2,
        "
            error: A person has to trust a folder, and there is no terminal to prompt on.
                   Use `--yes` to confirm.
        ",
    );
    run_in(&world, &folder, &["project", "trust", "--yes"])
        .prints("Project files of user (4711) below ~/shop are read from now on.\n");
    run_in(&world, &folder, &show).fails(125, "asks for keys that are not approved");
    run_in(&world, &folder, &["project", "approve", "--yes"]).ok();
    run_in(&world, &folder, &show).prints("<a>\n");
    // Below it too; not beside it.
    let below = folder.join("packages");
    std::fs::create_dir(&below).unwrap();
    std::fs::copy(folder.join(FILE), below.join(FILE)).unwrap();
    belongs_to(&below, OTHER);
    run_in(&world, &below, &show).fails(125, "asks for keys that are not approved");
    // Only its owner of that time, and never what anyone can write.
    belongs_to(&folder, OTHER + 1);
    run_in(&world, &folder, &show).fails(125, "belongs to another user (4712)");
    belongs_to(&folder, OTHER);
    mode(&folder.join(FILE), 0o666);
    run_in(&world, &folder, &show).fails(125, "Others can write to");
    mode(&folder.join(FILE), 0o644);
    run_in(&world, &folder, &["project", "trust", "--withdraw"]).prints("~/shop is no longer trusted.\n");
    run_in(&world, &folder, &show).fails(125, "belongs to another user (4711)");
}
