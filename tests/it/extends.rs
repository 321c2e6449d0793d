//! Project files that extend another one of the repository.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;

use crate::harness::project_file::{FILE, filled, run_in, write};
use crate::harness::{Ran, World};

/// A repository with a file at its top and one in `packages/web`; the second's folder.
fn monorepo(world: &World, top: &str, web: &str) -> PathBuf {
    let repository = world.home().join("mono");
    let folder = repository.join("packages/web");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(repository.join(".git")).unwrap();
    write(&repository, top);
    write(&folder, web);
    folder
}

const SHOW: &str = "echo ${A-none} ${B-none} ${C-none}";

fn show(world: &World, folder: &Path, flags: &[&str]) -> Ran {
    run_in(world, folder, &[&["exec"], flags, &["--", "sh", "-c", SHOW]].concat())
}

fn approve(world: &World, folder: &Path) {
    run_in(world, folder, &["project", "approve", "--yes"]).ok();
}

#[test]
fn entries_of_the_extended_file_hold_and_ones_own_take_their_place() {
    let world = filled();
    let top =
        "[keys]\nA = \"a\"\nB = \"a\"\n[profiles.prod.keys]\nA = \"db/password\"\nC = \"db/password\"\n";
    let web = "extends = \"../../.keyvault.toml\"\n[keys]\nB = \"b\"\n[profiles.prod.keys]\nC = \"b\"\n";
    let folder = monorepo(&world, top, web);
    approve(&world, &folder);
    show(&world, &folder, &[]).prints("<a> <b> none\n");
    show(&world, &folder, &["--profile", "prod"]).prints("<db/password> <b> <b>\n");
    // The nearest file alone, where it does not extend.
    write(&folder, "[keys]\nB = \"b\"\n");
    show(&world, &folder, &[]).prints("none <b> none\n");
}

#[test]
fn a_change_of_the_extended_file_has_to_be_approved() {
    let world = filled();
    let folder = monorepo(&world, "[keys]\nA = \"a\"\n", "extends = \"../../.keyvault.toml\"\n");
    show(&world, &folder, &[]).fails(125, "A <- a");
    approve(&world, &folder);
    show(&world, &folder, &[]).prints("<a> none none\n");
    let top = world.home().join("mono");
    write(&top, "[keys]\nA = \"b\"\n");
    show(&world, &folder, &[]).fails(125, "A <- b");
    write(&top, "# a comment\n[keys]\nA = \"a\"\n");
    show(&world, &folder, &[]).prints("<a> none none\n");
    // An approval of one file is none of the other.
    show(&world, &top, &[]).fails(125, "A <- a");
}

#[test]
fn files_extend_one_another_in_a_chain_and_in_no_circle() {
    let world = filled();
    let folder =
        monorepo(&world, "[keys]\nA = \"a\"\n", "extends = \"../.keyvault.toml\"\n[keys]\nC = \"b\"\n");
    let middle = folder.parent().unwrap();
    write(middle, "extends = \"../.keyvault.toml\"\n[keys]\nB = \"b\"\n");
    approve(&world, &folder);
    show(&world, &folder, &[]).prints("<a> <b> <b>\n");
    write(&world.home().join("mono"), "extends = \"packages/web/.keyvault.toml\"\n");
    show(&world, &folder, &[]).fails(125, "more than 8 times");
    write(&folder, "extends = \"./.keyvault.toml\"\n");
    show(&world, &folder, &[])
        .fails(125, "outside of its repository or home folder, behind a link, or itself");
}

#[test]
fn what_lies_outside_of_the_repository_or_behind_a_link_is_not_extended() {
    let world = filled();
    let folder = monorepo(&world, "[keys]\nA = \"a\"\n", "extends = \"../../../.keyvault.toml\"\n");
    world.file(FILE, "[keys]\nB = \"b\"\n");
    show(&world, &folder, &[]).fails(125, "is outside of its repository");
    let elsewhere = world.home().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    write(&elsewhere, "[keys]\nB = \"b\"\n");
    symlink(&elsewhere, folder.join("link")).unwrap();
    write(&folder, "extends = \"link/.keyvault.toml\"\n");
    show(&world, &folder, &[]).fails(125, "behind a link");
    symlink(elsewhere.join(FILE), world.home().join("mono/packages").join(FILE)).unwrap();
    write(&folder, "extends = \"../.keyvault.toml\"\n");
    show(&world, &folder, &[]).fails(125, "is not a regular file");
    write(&folder, "extends = \"../none/.keyvault.toml\"\n");
    show(&world, &folder, &[]).fails(125, "does not exist");
}

#[test]
fn only_a_relative_path_to_a_project_file_is_one() {
    let world = filled();
    let folder = monorepo(&world, "[keys]\nA = \"a\"\n", "");
    for bad in [
        "\"/etc/.keyvault.toml\"",
        "\"../../\"",
        "\".keyvault.toml\"",
        "\"../.env\"",
        "1",
        "[\"../.keyvault.toml\"]",
    ] {
        write(&folder, &format!("extends = {bad}\n"));
        show(&world, &folder, &[]).fails(125, "line 1: extends is not a");
    }
}

#[test]
fn every_command_that_reads_the_file_sees_the_extended_entries() {
    let world = filled();
    let folder = monorepo(
        &world,
        "[keys]\nA = \"a\"\n[profiles.prod.keys]\nB = \"b\"\n",
        "extends = \"../../.keyvault.toml\"\n[keys]\nC = \"b\"\n",
    );
    let approved = run_in(&world, &folder, &["project", "approve", "--yes"]).ok();
    assert_eq!(approved.out, "approved: A <- a\napproved: C <- b\napproved: [prod] B <- b\n");
    let checked = run_in(&world, &folder, &["project", "check", "--json"]).ok().json();
    assert_eq!(checked["variables"].as_array().unwrap().len(), 2);
    // An entry of its own is added to the nearest file alone.
    run_in(&world, &folder, &["project", "add", "--as", "A=b"]).ok();
    assert!(std::fs::read_to_string(folder.join(FILE)).unwrap().contains("A = \"b\""));
    show(&world, &folder, &[]).prints("<b> none <b>\n");
    assert!(!std::fs::read_to_string(world.home().join("mono").join(FILE)).unwrap().contains("\"b\"\nC"));
}
