//! Case 24 of the fault catalog, many at once: each sees one state, and all are in the log.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use crate::harness::{KEYVAULT, PASSPHRASE, World, finish};

/// A world with a passphrase file, for what asks twice.
fn with_files() -> World {
    let world = World::own();
    let file = world.file("new", PASSPHRASE);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world
}

#[test]
fn two_that_change_the_ways_in_at_once_see_no_damage() {
    let world = with_files();
    world.run(&["generate", "g"]).ok();
    let both = |first: &str, second: &str| {
        let line = format!(
            "{first} >o1 2>e1 & one=$!; {second} >o2 2>e2 & wait $one; echo $?; wait $!; echo $?; cat e1 e2"
        );
        let line = line.replace("keyvault", KEYVAULT);
        let mut command = world.command("sh");
        finish(command.args(["-c", &line]), b"").out
    };
    for round in 0..4 {
        for (first, second) in [
            (
                "keyvault vault passwd --new-passphrase-file new",
                "keyvault vault passwd --new-passphrase-file new",
            ),
            ("keyvault vault rekey --keep-passphrase --no-recovery --yes", "keyvault rotate g"),
            (
                "keyvault vault rekey --keep-passphrase --no-recovery --yes",
                "keyvault vault rekey --keep-passphrase --no-recovery --yes",
            ),
            ("keyvault vault rekey --keep-passphrase --no-recovery --yes", "keyvault exec --all -- true"),
        ] {
            let out = both(first, second);
            assert!(
                !out.contains("damaged") && !out.contains("authentic") && !out.contains("tampered"),
                "{round}: {out}"
            );
            let codes: Vec<&str> = out.lines().take(2).collect();
            assert!(
                codes.iter().all(|code| ["0", "1", "4", "7", "125"].contains(code)),
                "{first}, {second}: {out}"
            );
            assert!(codes.contains(&"0"), "{out}");
        }
    }
    world.run(&["vault", "check"]).ok();
}

#[test]
fn case_24_many_exec_beside_a_changing_process_see_one_state_each_and_all_are_in_the_log() {
    let (rounds, at_once) = match std::env::var("KEYVAULT_ROUNDS") {
        Ok(rounds) => (rounds.parse().expect("KEYVAULT_ROUNDS is a number"), 100),
        Err(_) => (5, 40),
    };
    let world = World::own();
    let import = |number: usize| {
        let file = world.file("pair.env", format!("LEFT={number}\nRIGHT={number}\n"));
        world.run(&["import", file.to_str().unwrap(), "--on-conflict", "replace"]).ok();
    };
    import(0);
    // Faster, so more crowded; a passphrase does as well where the kernel has no sessions.
    let session = world.run(&["unlock"]).code == 0;
    let done = AtomicBool::new(false);
    let imports = AtomicUsize::new(1);
    let mut seen = BTreeSet::new();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                import(imports.fetch_add(1, Ordering::Relaxed));
            }
        });
        for _ in 0..rounds {
            let children: Vec<_> = (0..at_once)
                .map(|_| {
                    let mut command = world.command(KEYVAULT);
                    command.args([
                        "exec",
                        "--only",
                        "LEFT",
                        "--only",
                        "RIGHT",
                        "--",
                        "sh",
                        "-c",
                        "echo $LEFT $RIGHT",
                    ]);
                    command.stdout(Stdio::piped()).stderr(Stdio::piped());
                    command.spawn().unwrap()
                })
                .collect();
            for child in children {
                let output = child.wait_with_output().unwrap();
                let (out, err) =
                    (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                assert!(output.status.success(), "{:?}: {err}", output.status);
                let (left, right) = out.trim().split_once(' ').unwrap();
                assert_eq!(left, right, "a mixed set");
                seen.insert(left.to_owned());
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let logged =
        |action: &str| world.run(&["audit", "log", "--action", action, "--json"]).ok().out.lines().count();
    assert_eq!(logged("exec"), rounds * at_once);
    assert_eq!(logged("import"), imports.load(Ordering::Relaxed));
    world.run(&["vault", "check"]).ok();
    world.run(&["audit", "verify"]).ok();
    println!(
        "case 24: {} exec beside {} imports, {} different states seen, session {session}, in {:.1?}",
        rounds * at_once,
        imports.into_inner(),
        seen.len(),
        begun.elapsed()
    );
    assert!(seen.len() > 1, "nothing changed while it was read");
}
