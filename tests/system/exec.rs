//! `exec`: which keys, which environment, and a child that sees the caller's world and nothing of ours.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, finish};

/// A world with keys `a` (scopes x, y), `b` (x), `c` (y), `e` (x, expired); each one's value is its name.
fn filled() -> World {
    let world = World::new();
    for (name, scopes) in [("a", &["x", "y"][..]), ("b", &["x"]), ("c", &["y"]), ("e", &["x"])] {
        let mut arguments = vec!["add", name];
        scopes.iter().for_each(|scope| arguments.extend(["--scope", scope]));
        world.run_with_input(&arguments, name).ok();
    }
    world.run(&["edit", "e", "--expires", "2020-01-01"]).ok();
    world
}

#[test]
fn an_inherited_variable_is_replaced_in_every_copy() {
    let mut world = filled();
    world.set("A", "inherited");
    // A block with a variable twice, as only exec(2) itself makes one.
    let python = "import os,sys,ctypes
libc=ctypes.CDLL(None)
block=[(b'%s=%s'%(k,v)) for k,v in os.environb.items()]+[b'A=second']
argv=[s.encode() for s in sys.argv[1:]]
libc.execve(argv[0],(ctypes.c_char_p*(len(argv)+1))(*argv,None),(ctypes.c_char_p*(len(block)+1))(*block,None))";
    let mut command = world.command("python3");
    command.args(["-c", python, KEYVAULT, "exec", "--only", "a", "--", "env"]);
    let ran = finish(&mut command, b"").ok();
    let copies: Vec<_> = ran.out.lines().filter(|line| line.starts_with("A=")).collect();
    assert_eq!(copies, ["A=a"]);
}
