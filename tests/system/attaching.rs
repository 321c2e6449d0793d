//! From when on processes of the same user cannot read keyvault's memory, as docs/THREATS.md says.
//!
//! strace holds a copy of the program at a system call. Needs root, to become another user: root itself may read everything.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::harness::{RELEASED, poll};

const ARM: bool = cfg!(target_arch = "aarch64");
/// The first call of ours that keeps others out.
const HARDENING: (&str, u16) = ("prctl", if ARM { 167 } else { 157 });
const END: (&str, u16) = ("exit_group", if ARM { 94 } else { 231 });

fn as_nobody(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]).current_dir("/");
    command
}

/// Returns `true` if another process of the same user may open the memory of keyvault, installed with this mode, at
/// this call.
fn can_be_read(mode: u32, (name, number): (&str, u16)) -> bool {
    assert!(rustix::process::geteuid().is_root(), "this test needs root: it becomes another user");
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("keyvault");
    std::fs::copy(RELEASED, &binary).unwrap();
    for (path, mode) in [(folder.path(), 0o755), (&binary, mode)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut strace = as_nobody("strace");
    strace.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={name}")]);
    strace.args(["-e", &format!("inject={name}:delay_enter=60000000:when=1")]);
    strace.arg(&binary).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut strace = strace.spawn().unwrap();
    let held = || {
        let children = format!("/proc/{0}/task/{0}/children", strace.id());
        let pid = std::fs::read_to_string(children).ok()?.split_whitespace().next()?.to_owned();
        let ours = std::fs::read_link(format!("/proc/{pid}/exe")).ok()? == binary;
        let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
        (ours && call.split(' ').next()?.parse() == Ok(number)).then_some(pid)
    };
    let pid = poll(held);
    let read = pid.map(|pid| {
        let mut shell = as_nobody("sh");
        shell.args(["-c", &format!(": < /proc/{pid}/mem")]).stderr(Stdio::null()).status().unwrap().success()
    });
    strace.kill().unwrap();
    strace.wait().unwrap();
    read.expect("strace held keyvault at the call")
}

#[test]
fn between_its_start_and_its_first_steps_a_readable_program_can_be_attached_to_and_later_not() {
    assert!(can_be_read(0o755, HARDENING), "THREATS names a window that is not there");
    assert!(!can_be_read(0o755, END));
}

#[test]
fn a_program_that_its_user_may_run_and_not_read_can_be_attached_to_at_no_time() {
    assert!(!can_be_read(0o711, HARDENING));
    assert!(!can_be_read(0o711, END));
}
