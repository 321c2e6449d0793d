//! A command that keyvault outlives: orphans, grandchildren, credentials, and an end without a process left behind.

use pretty_assertions::assert_eq;

use crate::harness::{KEYVAULT, World, finish};

/// With characters that each encoding writes differently, and lines.
const VALUE: &str = "p/Zq7v+Xk2 \"w\"\\<9>\nsecond-line-Tr\u{e4}\n'x'";

const PLAIN: &str = "Zq7vXk2Lw9TrNb4Hy8Jd3Fs6Gm1Pc5Qe";

/// A world with the keys `a` (plain), `b` (awkward) and `s` (three bytes).
fn filled() -> World {
    let world = World::new();
    for (name, value) in [("a", PLAIN), ("b", VALUE), ("s", "abc")] {
        world.run_with_input(&["add", name, "--exact"], value).ok();
    }
    world
}

/// A world with the key `a`, and a runtime folder of its own, so that other tests' runs do not sweep it.
fn with_runtime() -> (World, tempfile::TempDir) {
    let runtime = tempfile::Builder::new().prefix("keyvault-test-").tempdir_in("/dev/shm").unwrap();
    let mut world = World::new();
    world.set("XDG_RUNTIME_DIR", runtime.path().to_str().unwrap());
    world.run_with_input(&["add", "a"], PLAIN).ok();
    (world, runtime)
}

#[test]
fn case_56_as_the_first_process_it_reaps_orphans() {
    let world = filled();
    // The command reaps nothing but its own children; orphans are handed to the first process, which is keyvault.
    let script = "import glob,os,time
ends,waits=os.pipe()
if os.fork()==0:
    orphan=os.fork()
    if orphan: os.write(waits,b'%d'%orphan)
    os._exit(0)
os.wait()
orphan='/proc/%d'%int(os.read(ends,9))
limit=time.monotonic()+30
while os.path.exists(orphan) and time.monotonic()<limit: time.sleep(0.005)
states=[open(f).read() for f in glob.glob('/proc/[0-9]*/stat')]
print(sum(s.rsplit(')',1)[1].split()[0]=='Z' for s in states), os.getppid())";
    let mut command = world.command("unshare");
    command.args(["--pid", "--fork", "--mount-proc", KEYVAULT, "exec", "--mask", "--only", "a", "--"]);
    let ran = finish(command.args(["python3", "-c", script]), b"").ok();
    assert_eq!(ran.out, "0 1\n");
}

/// Killed in the first moments, we left the process that watches the group behind, for ever.
#[test]
fn what_watches_the_group_ends_with_us_however_early_we_are_killed() {
    let (world, _runtime) = with_runtime();
    let mut command = world.command("timeout");
    // It is made before the command, and asks to end with its maker only when that was killed long ago.
    command.args(["-s", "KILL", "20", "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=prctl"]);
    command.args(["-e", "inject=prctl:delay_enter=500000", KEYVAULT, "exec", "--only", "a", "--mask", "--"]);
    let ran = finish(command.args(["sh", "-c", "kill -KILL $PPID"]), b"");
    assert_eq!(ran.code, 128 + 9, "and not 124, as for a process that never ends");
}
