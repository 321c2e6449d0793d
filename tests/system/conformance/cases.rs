//! The table: what a wrapper must not change. Each case says what is observed without a wrapper.

use std::os::unix::ffi::OsStringExt;

use rustix::process::Signal;

use super::stage::{Setting, Stage};

/// An observation and its expected result.
pub struct Case {
    pub name: String,
    pub expected: String,
    pub observe: Box<dyn Fn(&Stage<'_>) -> String>,
}

/// The first byte after what a terminal's driver makes of the key.
const INTERRUPT: &[u8] = b"\x03";
const QUIT: &[u8] = b"\x1c";
const SUSPEND: &[u8] = b"\x1a";

pub fn table() -> Vec<Case> {
    let mut table = Vec::new();
    let mut case = |name: &str, expected: &str, observe: Box<dyn Fn(&Stage<'_>) -> String>| {
        table.push(Case { name: name.to_owned(), expected: expected.to_owned(), observe });
    };

    // ── How it ends ──────────────────────────────────────────────────────────────────────────────────────────────────
    for code in [0, 1, 42, 255] {
        let script = format!("exit {code}");
        let name = format!("exit code {code}");
        case(&name, &script.clone(), Box::new(move |stage| stage.script(&script).observe()));
    }
    case(
        "a command that cannot be run is 126",
        "exit 126",
        Box::new(|stage| stage.command(&["/dev/null"]).observe()),
    );
    case(
        "a command that is not there is 127",
        "exit 127",
        Box::new(|stage| stage.command(&["no-such-command"]).observe()),
    );
    for (name, number) in
        [("TERM", 15), ("INT", 2), ("HUP", 1), ("KILL", 9), ("SEGV", 11), ("ABRT", 6), ("PIPE", 13)]
    {
        let script = format!("ulimit -c 0; kill -{name} $$");
        case(
            &format!("death by {name}"),
            &format!("signal {number}"),
            Box::new(move |stage| stage.script(&script).observe()),
        );
    }

    // ── Signals ──────────────────────────────────────────────────────────────────────────────────────────────────────
    for (name, signal) in [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("TERM", Signal::TERM),
        ("USR1", Signal::USR1),
        ("ALRM", Signal::ALARM),
        ("WINCH", Signal::WINCH),
        ("CONT", Signal::CONT),
    ] {
        let expected = format!("ready, {name}, over, exit 7");
        case(
            &format!("{name} to the process arrives once"),
            &expected.clone(),
            Box::new(move |stage| {
                let run = counting(stage);
                let reported = format!("ready, {name}");
                run.wait_for("ready").signal(signal).wait_for(&reported).signal(Signal::USR2);
                run.end()
            }),
        );
    }
    for (name, signal) in [("TERM", Signal::TERM), ("INT", Signal::INT)] {
        let expected = format!("ready, {name}, over, exit 7");
        case(
            &format!("{name} to the group arrives once"),
            &expected.clone(),
            Box::new(move |stage| {
                let run = counting(stage);
                let reported = format!("ready, {name}");
                run.wait_for("ready").signal_group(signal).wait_for(&reported).signal(Signal::USR2);
                run.end()
            }),
        );
    }
    case(
        "a queued signal keeps its value",
        "ready, 34 7, exit 0",
        Box::new(|stage| {
            let receive = "import os,signal
s=signal.SIGRTMIN
signal.pthread_sigmask(signal.SIG_BLOCK,[s])
r=open(os.environ['REPORT'],'a')
print('ready',file=r,flush=True)
import ctypes
i=(ctypes.c_int*32)()
m=(ctypes.c_ulong*16)(1<<(s-1))
ctypes.CDLL(None).sigwaitinfo(m,i)
print(i[0],i[6],file=r,flush=True)";
            let run = stage.command(&["python3", "-c", receive]).start();
            run.wait_for("ready");
            let send = "import ctypes,sys
ctypes.CDLL(None).sigqueue(int(sys.argv[1]),34,ctypes.c_void_p(7))";
            let sent = stage.world.command("python3").args(["-c", send, &run.id().to_string()]).status();
            assert!(sent.unwrap().success());
            run.end()
        }),
    );
    case(
        "nothing kills a command that cleans up",
        "ready, TERM, clean, exit 3",
        Box::new(|stage| {
            let script =
                "trap 'say TERM; sleep 1; say clean; exit 3' TERM; say ready; while :; do sleep 0.02; done";
            let run = stage.script(script).start();
            run.wait_for("ready").signal(Signal::TERM);
            run.end()
        }),
    );
    case(
        "an alarm that was set before goes off in it",
        "ready, ALRM, exit 5",
        Box::new(|stage| {
            let alarm = "import os,signal,sys
signal.setitimer(signal.ITIMER_REAL,5)
os.execvp(sys.argv[1],sys.argv[1:])";
            let script = "trap 'say ALRM; exit 5' ALRM; say ready; while :; do sleep 0.02; done";
            stage.script(script).before(&format!("set -- python3 -c '{alarm}' \"$@\"")).observe()
        }),
    );
    case(
        "stopped by TSTP, it goes on with CONT",
        "ready, on, exit 0",
        Box::new(|stage| {
            // In a shell, as the kernel stops no group that nobody could let go on.
            let line = "\"$@\"; say stopped $?; kill -CONT %1; wait %1; echo $? > /dev/null";
            let script = "say ready; kill -TSTP $$; say on";
            let run = stage.script(script).in_a_shell(line);
            let whole = run.end();
            whole.replace("stopped 148, ", "")
        }),
    );

    // ── Keys on a terminal ───────────────────────────────────────────────────────────────────────────────────────────
    case(
        "Ctrl-C arrives once",
        "ready, INT, over, exit 7",
        Box::new(|stage| {
            let run = counting_on_a_terminal(stage);
            run.wait_for("ready").press(INTERRUPT).wait_for("ready, INT").signal(Signal::USR2);
            run.end()
        }),
    );
    case(
        "Ctrl-\\ arrives once",
        "ready, QUIT, over, exit 7",
        Box::new(|stage| {
            let run = counting_on_a_terminal(stage);
            run.wait_for("ready").press(QUIT).wait_for("ready, QUIT").signal(Signal::USR2);
            run.end()
        }),
    );
    case(
        "Ctrl-C ends the script around it too",
        "ready, signal 2",
        Box::new(|stage| {
            let line = "set +m; \"$@\"; say went on";
            let run = stage.script("say ready; exec sleep 60").in_a_shell(line);
            run.wait_for("ready").press(INTERRUPT);
            run.end()
        }),
    );
    case(
        "Ctrl-Z stops it, fg lets it go on",
        "ready, stopped 148, on, end 9, exit 0",
        Box::new(|stage| {
            let line = "\"$@\"; say stopped $?; fg > /dev/null; say end $?";
            let run = stage.command(&["python3", "-c", GOES_ON, "1"]).in_a_shell(line);
            run.wait_for("ready").press(SUSPEND);
            run.end()
        }),
    );
    case(
        "Ctrl-Z twice",
        "ready, on, on, end 9, exit 0",
        Box::new(|stage| {
            let line = "\"$@\"; fg > /dev/null; fg > /dev/null; say end $?";
            let run = stage.command(&["python3", "-c", GOES_ON, "2"]).in_a_shell(line);
            run.wait_for("ready").press(SUSPEND).wait_for("ready, on").press(SUSPEND);
            run.end()
        }),
    );
    case(
        "sent to the background and brought back, it reads what is typed",
        "ready, on, typed, end 9, exit 0",
        Box::new(|stage| {
            let line = "\"$@\"; bg > /dev/null; sleep 0.3; fg > /dev/null; say end $?";
            let run = stage.command(&["python3", "-c", READS_IN_FRONT]).in_a_shell(line);
            run.wait_for("ready").press(SUSPEND).wait_for("ready, on").press(b"typed\n");
            run.end()
        }),
    );
    case(
        "a background job goes on in the background",
        "on, end 4, exit 0",
        Box::new(|stage| {
            let line = "\"$@\" & wait $!; say end $?";
            stage.script("sleep 0.1; say on; exit 4").in_a_shell(line).end()
        }),
    );
    case(
        "a new size of the terminal",
        "24 80, 50 132, over, exit 7",
        Box::new(|stage| {
            let script = "trap 'say $(stty size)' WINCH; trap 'say over; exit 7' USR2
say $(stty size); while :; do sleep 0.02; done";
            let run = stage.script(script).typing().start();
            run.wait_for("24 80").resize(132, 50).wait_for("24 80, 50 132").signal(Signal::USR2);
            run.end()
        }),
    );
    case(
        "a line that is typed is read",
        "ready, typed, exit 0",
        Box::new(|stage| {
            let run = stage.script("say ready; read line; say $line").typing().start();
            run.wait_for("ready").press(b"typed\n");
            run.end()
        }),
    );
    case(
        "Ctrl-D ends the input",
        "ready, a, exit 0",
        Box::new(|stage| {
            let run = stage.script("say ready; text=$(cat); say $text").typing().start();
            run.wait_for("ready").press(b"a\n\x04");
            run.end()
        }),
    );
    case(
        "a program that takes single keys",
        "ready, q, exit 0",
        Box::new(|stage| {
            let script =
                "stty -icanon -echo; say ready; key=$(dd bs=1 count=1 2>/dev/null); say $key; stty sane";
            let run = stage.script(script).typing().start();
            run.wait_for("ready").press(b"q");
            run.end()
        }),
    );
    case(
        "/dev/tty is the terminal",
        "ready, typed, exit 0",
        Box::new(|stage| {
            let run = stage.script("say ready; read line < /dev/tty; say $line").typing().start();
            run.wait_for("ready").press(b"typed\n");
            run.end()
        }),
    );
    case(
        "the caller's terminal is as it was",
        "same, exit 0",
        Box::new(|stage| {
            let line = "before=$(stty -g); \"$@\"; [ \"$before\" = \"$(stty -g)\" ] && say same";
            stage.script("kill -KILL $$").in_a_shell(line).end()
        }),
    );

    // ── What it is given ─────────────────────────────────────────────────────────────────────────────────────────────
    case(
        "arguments, byte for byte",
        "exit 0",
        Box::new(|stage| {
            let check = "import sys,os
sys.exit([os.fsencode(a) for a in sys.argv[1:]]!=[b'',b' a  b ',b'$(id)',b'*',b'--',b'-x',b'\\n',b'\"\\\\\\'',b'\\xff\\x80'])";
            let odd = std::ffi::OsString::from_vec(b"\xff\x80".to_vec());
            let words = ["python3", "-c", check, "", " a  b ", "$(id)", "*", "--", "-x", "\n", "\"\\'"];
            stage.command(&words).argument(odd).observe()
        }),
    );
    case(
        "environment, byte for byte",
        "exit 0",
        Box::new(|stage| {
            let check = "import os,sys
e=os.environb
sys.exit((e.get(b'ODD\\xff'),e.get(b'LINES_'),e.get(b'EMPTY'))!=(b'\\xfe=\\n',b'a\\nb',b''))";
            let set = "import os,sys
e=os.environb; e[b'ODD\\xff']=b'\\xfe=\\n'; e[b'LINES_']=b'a\\nb'; e[b'EMPTY']=b''
os.execvp(sys.argv[1],sys.argv[1:])";
            let before = format!("set -- python3 -c \"{}\" \"$@\"", set.replace('\\', "\\\\"));
            stage.command(&["python3", "-c", check]).before(&before).observe()
        }),
    );
    case(
        "standard input, byte for byte",
        "exit 0",
        Box::new(|stage| {
            let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
            let check = "import sys; sys.exit(sys.stdin.buffer.read()!=(bytes(range(256))*1200)[:300000])";
            stage.command(&["python3", "-c", check]).stdin(&bytes).observe()
        }),
    );
    case(
        "descriptors that were passed, and no others",
        "0 1 2 5 9, exit 0",
        Box::new(|stage| {
            // Above nine the caller of the tests may have some of its own.
            let look = "import os,fcntl
def is_open(n):
    try: return fcntl.fcntl(n,fcntl.F_GETFD)>=0
    except OSError: return False
n=[str(n) for n in range(10) if is_open(n)]
print(*n,file=open(os.environ['REPORT'],'a'))";
            stage.command(&["python3", "-c", look]).streams("5</dev/null 9</dev/null").observe()
        }),
    );
    for (name, redirection, number) in [("input", "<&-", 0), ("output", ">&-", 1), ("error", "2>&-", 2)] {
        let script = format!("[ -e /proc/$$/fd/{number} ] || say closed");
        case(
            &format!("closed standard {name} stays closed"),
            "closed, exit 0",
            Box::new(move |stage| stage.script(&script).streams(redirection).observe()),
        );
    }
    case(
        "limits",
        "100, 200, 300, exit 0",
        Box::new(|stage| {
            let script = "say $(ulimit -Sc); say $(ulimit -Sn); say $(ulimit -Hn)";
            stage.script(script).before("ulimit -Sc 100; ulimit -Sn 200; ulimit -Hn 300").observe()
        }),
    );
    case(
        "umask",
        "0027, exit 0",
        Box::new(|stage| stage.script("say $(umask)").before("umask 027").observe()),
    );
    case(
        "folder",
        "/usr, exit 0",
        Box::new(|stage| stage.script("say $(pwd -P)").before("cd /usr").observe()),
    );
    case(
        "nohup: what was ignored is ignored, here and by what looks after it",
        "ready, over, exit 7",
        Box::new(|stage| {
            let script = "trap 'say over; exit 7' USR2; say ready; while :; do sleep 0.02; done";
            let run = stage.script(script).before("trap '' HUP").start();
            run.wait_for("ready").signal(Signal::HUP).signal_group(Signal::HUP).signal(Signal::USR2);
            run.end()
        }),
    );
    for (name, before, expected) in [
        ("SIGPIPE has its default", "", "0, exit 0"),
        ("SIGPIPE that was ignored is ignored", "trap '' PIPE", "1, exit 0"),
    ] {
        let script =
            "ign=$(sed -n 's/^SigIgn:[[:space:]]*//p' /proc/self/status); say $(( 0x$ign >> 12 & 1 ))";
        case(name, expected, Box::new(move |stage| stage.script(script).before(before).observe()));
    }
    case(
        "the signal mask",
        "blocked 2000, exit 0",
        Box::new(|stage| {
            let block = "import os,signal,sys
signal.pthread_sigmask(signal.SIG_BLOCK,[signal.SIGALRM])
os.execvp(sys.argv[1],sys.argv[1:])";
            let script = "say blocked $(sed -n 's/^SigBlk:[[:space:]]*0*//p' /proc/self/status)";
            stage.script(script).before(&format!("set -- python3 -c '{block}' \"$@\"")).observe()
        }),
    );
    case(
        "SIGCHLD that was ignored is ignored, and the end is seen all the same",
        "ignored, exit 6",
        Box::new(|stage| {
            let ignore = "import os,signal,sys
signal.signal(signal.SIGCHLD,signal.SIG_IGN)
os.execvp(sys.argv[1],sys.argv[1:])";
            // In Python, as dash takes SIGCHLD for itself.
            let look = "import os,sys
ign=int([l for l in open('/proc/self/status') if l.startswith('SigIgn')][0].split()[1],16)
print('ignored' if ign>>16&1 else 'default',file=open(os.environ['REPORT'],'a'))
sys.exit(6)";
            let before = format!("set -- python3 -c '{ignore}' \"$@\"");
            stage.command(&["python3", "-c", look]).before(&before).observe()
        }),
    );
    case(
        "a terminal is a terminal, and what is none is none",
        "as it was, exit 0",
        Box::new(|stage| {
            let script = "t=; for n in 0 1 2; do [ -t $n ] && t=\"$t$n\"; done; say \"${t:-none}\"";
            let seen = stage.script(script).typing().observe();
            let expected = if stage.mode.setting == Setting::Terminal { "012" } else { "0" };
            seen.replacen(expected, "as it was", 1)
        }),
    );

    // ── What it writes ───────────────────────────────────────────────────────────────────────────────────────────────
    case(
        "standard output and error stay apart",
        "exit 0",
        Box::new(|stage| {
            let mut run = stage.script("echo out; echo err >&2").start();
            let ended = run.ended();
            run.wait_for_all("err");
            let seen = (run.output(), run.errors());
            let expected = match stage.mode.setting {
                Setting::Pipes => ("out\n", "err\n"),
                Setting::Terminal => ("out\nerr\n", ""),
            };
            if (seen.0.as_str(), seen.1.as_str()) == expected { ended } else { format!("{seen:?}") }
        }),
    );
    case(
        "2>&1 keeps the order",
        "exit 0",
        Box::new(|stage| {
            let script = "i=0; while [ $i -lt 200 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done";
            let mut run = stage.script(script).streams("2>&1").start();
            let ended = run.ended();
            run.wait_for_all("e199");
            let expected: String = (0..200).map(|i| format!("o{i}\ne{i}\n")).collect();
            if run.output() == expected { ended } else { run.output() }
        }),
    );
    case(
        "ten megabytes arrive whole",
        "exit 0",
        Box::new(|stage| {
            let mut run = stage.script("seq 1 1400000; echo done").start();
            let ended = run.ended();
            run.wait_for_all("done\n");
            let expected: String = (1..=1_400_000).map(|n| format!("{n}\n")).collect::<String>() + "done\n";
            if run.output() == expected { ended } else { format!("{} bytes, {ended}", run.output().len()) }
        }),
    );
    case(
        "a prompt appears before its answer",
        "exit 0",
        Box::new(|stage| {
            let run = stage.script("printf 'Password: '; read x; exit 0").typing().start();
            run.wait_for_screen("Password: ").press(b"x\n");
            run.end()
        }),
    );
    case(
        "a reader that goes away is told by SIGPIPE",
        "141, exit 0",
        Box::new(|stage| {
            // The wrapper in a pipeline of its own, whatever its own streams are.
            let line = "\"$@\" | head -n 1 > /dev/null; say ${PIPESTATUS[0]}";
            stage.command(&["yes"]).before(&piped(line)).observe()
        }),
    );
    case(
        "standard output that it closes is closed",
        "read, over, exit 0",
        Box::new(|stage| {
            let line = "\"$@\" | { cat > /dev/null; say read; echo go > go; }; say over";
            let script = "rm -f go; exec >&-; while [ ! -e go ]; do sleep 0.02; done";
            stage.command(&["sh", "-c", script]).before(&piped(line)).observe()
        }),
    );
    case(
        "a grandchild that keeps the pipe does not keep its end back",
        "ended 3, exit 0",
        Box::new(|stage| {
            let line = "{ \"$@\"; say ended $?; kill $(cat pid); } | cat > /dev/null";
            let script = "sleep 60 & echo $! > pid; exit 3";
            stage.command(&["sh", "-c", script]).before(&piped(line)).observe()
        }),
    );
    case(
        "what a grandchild writes later arrives",
        "exit 3",
        Box::new(|stage| {
            // It hears of no hangup: on a terminal that ends with its session, that is the terminal's doing.
            let script =
                "trap '' HUP; rm -f go; (while [ ! -e go ]; do sleep 0.02; done; echo late) & exit 3";
            let mut run = stage.script(script).start();
            let ended = run.ended();
            std::fs::write(stage.world.home().join("go"), "").unwrap();
            if stage.mode.setting == Setting::Terminal {
                // The terminal's session ended with the wrapper, and the kernel has hung it up.
                return ended;
            }
            run.wait_for_all("late");
            if run.output() == "late\n" { ended } else { format!("{:?}", run.output()) }
        }),
    );

    // ── As the first process ─────────────────────────────────────────────────────────────────────────────────────────
    case(
        "as process 1, orphans are reaped",
        "none left, exit 0",
        Box::new(|stage| {
            let script = "(sleep 0.1 & sleep 0.2 &); sleep 0.5
grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null || echo none left >> \"$REPORT\"";
            stage.command(&["bash", "-c", script]).before(FIRST).observe()
        }),
    );
    case(
        "as process 1, TERM arrives once and the code is its own",
        "ready, TERM, over, exit 7",
        Box::new(|stage| {
            let run = counting_with(stage, FIRST);
            run.wait_for("ready").signal_first_below(Signal::TERM).wait_for("ready, TERM");
            run.signal_first_below(Signal::USR2);
            run.end()
        }),
    );

    // ── Ours ─────────────────────────────────────────────────────────────────────────────────────────────────────────
    case(
        "credentials of the vault do not reach it",
        "none, exit 0",
        Box::new(|stage| {
            if stage.mode.wrapper.is_empty() {
                return "none, exit 0".to_owned();
            }
            let script = "own=$(env | grep '^KEYVAULT_' | grep -v -e '^KEYVAULT_EXEC=1$' -e '^KEYVAULT_VAULT=/'); say ${own:-none}";
            stage.script(script).observe()
        }),
    );
    table
}

/// As the first process of a namespace that has its own `/proc`.
const FIRST: &str = "set -- unshare --pid --fork --mount-proc \"$@\"";

/// The rest of the process is a line of bash in which `$@` is the wrapper with the command.
fn piped(line: &str) -> String {
    let line = format!("say() {{ echo \"$*\" >> \"$REPORT\"; }}\n{line}").replace('\'', "'\\''");
    format!("set -- bash -c '{line}' bash \"$@\"")
}

/// Says each time that it goes on, and ends with 9 after so many times.
const GOES_ON: &str = "import os,signal,sys
r=open(os.environ['REPORT'],'a')
signal.pthread_sigmask(signal.SIG_BLOCK,[signal.SIGCONT])
print('ready',file=r,flush=True)
for _ in range(int(sys.argv[1])):
    signal.sigwait([signal.SIGCONT])
    print('on',file=r,flush=True)
os._exit(9)";

/// Not a shell: one that is stopped while it waits for its child to begin does not stop at all.
const READS_IN_FRONT: &str = "import os,signal,time
r=open(os.environ['REPORT'],'a')
signal.pthread_sigmask(signal.SIG_BLOCK,[signal.SIGCONT])
print('ready',file=r,flush=True)
signal.sigwait([signal.SIGCONT])
time.sleep(1)
print('on',file=r,flush=True)
print(input(),file=r,flush=True)
os._exit(9)";

const COUNT: &str = "for s in HUP INT QUIT TERM USR1 ALRM WINCH CONT; do trap \"say $s\" $s; done
trap 'say over; exit 7' USR2
say ready; while :; do sleep 0.02; done";

fn counting(stage: &Stage<'_>) -> super::stage::Running {
    stage.script(COUNT).start()
}

fn counting_with(stage: &Stage<'_>, before: &str) -> super::stage::Running {
    stage.script(COUNT).before(before).start()
}

fn counting_on_a_terminal(stage: &Stage<'_>) -> super::stage::Running {
    stage.script(COUNT).typing().start()
}
