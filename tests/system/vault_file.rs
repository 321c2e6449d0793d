//! Case 10 of the fault catalog: what is no file at all is refused, and nothing waits for it.

use std::time::{Duration, Instant};

use crate::harness::World;

#[test]
fn case_10_anything_but_a_file_is_refused_without_blocking() {
    let world = World::new();
    let path = |name: &str| world.home().join(name).to_str().unwrap().to_owned();
    world.file("empty", "");
    std::fs::create_dir(world.home().join("folder")).unwrap();
    world.sh("mkfifo fifo && chmod 600 fifo && mkdir -m 700 dev && mknod -m 600 dev/null c 1 3").ok();
    let begun = Instant::now();
    for (name, word) in
        [("empty", "is empty"), ("folder", "folder"), ("fifo", "pipe"), ("dev/null", "device")]
    {
        for command in [&["list"] as &[&str], &["generate", "x"], &["status"], &["vault", "check"]] {
            world.run(&[command, &["--vault", &path(name)]].concat()).fails(5, word);
        }
        world.run(&["exec", "--vault", &path(name), "--all", "--", "true"]).fails(125, word);
        let init = world.run(&["init", "--no-recovery", "--vault", &path(name)]);
        assert_ne!(init.code, 0, "init took {name}");
    }
    world.file(
        "text",
        "not a database, but as long as anyone could wish for in the header of one: 100 bytes and more....",
    );
    world.sh("chmod 600 text").ok();
    world.run(&["list", "--vault", &path("text")]).fails(5, "not a vault");
    assert!(begun.elapsed() < Duration::from_secs(10), "something blocked");
}
