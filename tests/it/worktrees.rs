//! Approvals in the worktrees of a repository.

use std::path::{Path, PathBuf};

use crate::harness::project_file::{filled, run_in, write};
use crate::harness::{Ran, World, finish};

const TEXT: &str = "[keys]\nA = \"a\"\n";

fn git(world: &World, folder: &Path, arguments: &[&str]) {
    let mut command = world.command("git");
    command.args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]);
    finish(command.arg("-C").arg(folder).args(arguments), b"").ok();
}

/// A repository with a project file and a worktree; both folders.
fn repository(world: &World) -> (PathBuf, PathBuf) {
    let (main, linked) = (world.home().join("shop"), world.home().join("shop-fix"));
    std::fs::create_dir(&main).unwrap();
    git(world, &main, &["init", "-q"]);
    write(&main, TEXT);
    git(world, &main, &["add", "."]);
    git(world, &main, &["commit", "-qm", "x"]);
    git(world, &main, &["worktree", "add", "-q", "../shop-fix"]);
    write(&linked, TEXT);
    (main, linked)
}

fn show(world: &World, folder: &Path) -> Ran {
    run_in(world, folder, &["exec", "--", "sh", "-c", "echo $A"])
}

fn asks(world: &World, folder: &Path) {
    show(world, folder).fails(125, "asks for keys that are not approved");
}

#[test]
fn an_approval_holds_in_every_worktree_for_the_same_request() {
    let world = filled();
    let (main, linked) = repository(&world);
    git(&world, &main, &["worktree", "add", "-q", "../shop-third"]);
    let third = world.home().join("shop-third");
    write(&third, TEXT);
    for folder in [&main, &linked, &third] {
        asks(&world, folder);
    }
    // Whichever of them it was given in.
    run_in(&world, &linked, &["project", "approve", "--yes"]).ok();
    for folder in [&main, &linked, &third] {
        show(&world, folder).prints("<a>\n");
    }
    write(&third, "[keys]\nA = \"b\"\n");
    asks(&world, &third);
    write(&third, "[keys]\nA = \"a\"\nB = \"b\"\n");
    asks(&world, &third);
    // In a folder of the worktree as well, and for the file of that folder only.
    let below = linked.join("src");
    std::fs::create_dir(&below).unwrap();
    show(&world, &below).prints("<a>\n");
    write(&below, TEXT);
    asks(&world, &below);
    // Taken back in one, it is taken back in all.
    run_in(&world, &main, &["project", "approve", "--withdraw"]).ok();
    for folder in [&main, &linked] {
        asks(&world, folder);
    }
}

#[test]
fn a_bare_repository_shares_approvals_among_its_worktrees() {
    let world = filled();
    let (main, _) = repository(&world);
    let bare = world.home().join("bare.git");
    git(&world, &main, &["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    for name in ["one", "two"] {
        git(&world, &bare, &["worktree", "add", "-q", "-b", name, &format!("../{name}")]);
        write(&world.home().join(name), TEXT);
    }
    run_in(&world, &world.home().join("one"), &["project", "approve", "--yes"]).ok();
    show(&world, &world.home().join("two")).prints("<a>\n");
}

/// A folder that came from elsewhere says of itself what it likes.
#[test]
fn a_folder_that_only_claims_to_be_a_worktree_is_none() {
    let world = filled();
    let (main, linked) = repository(&world);
    run_in(&world, &main, &["project", "approve", "--yes"]).ok();
    let strange = world.home().join("strange");
    std::fs::create_dir(&strange).unwrap();
    write(&strange, TEXT);
    // The entry of a true worktree, and one of its own making outside of the repository.
    let entry = main.join(".git/worktrees/shop-fix");
    std::fs::write(strange.join(".git"), format!("gitdir: {}\n", entry.display())).unwrap();
    asks(&world, &strange);
    let own = world.home().join("own-entry");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("commondir"), format!("{}\n", main.join(".git").display())).unwrap();
    std::fs::write(own.join("gitdir"), format!("{}\n", strange.join(".git").display())).unwrap();
    std::fs::write(strange.join(".git"), format!("gitdir: {}\n", own.display())).unwrap();
    asks(&world, &strange);
    // A repository that names a folder of ours as its worktree.
    std::fs::remove_file(strange.join(".git")).unwrap();
    let claimed = strange.join(".git/worktrees/x");
    std::fs::create_dir_all(&claimed).unwrap();
    for ours in [&main, &linked] {
        std::fs::write(claimed.join("gitdir"), format!("{}\n", ours.join(".git").display())).unwrap();
        asks(&world, &strange);
    }
    // The true one still has it.
    show(&world, &linked).prints("<a>\n");
    // Where the repository's entry could have been written by others, it is not believed.
    crate::harness::project_file::mode(&entry.join("gitdir"), 0o666);
    asks(&world, &linked);
}
