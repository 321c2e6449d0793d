//! Container hosts whose filter of system calls is older than the program: what they do not know they refuse.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Refuses these system calls to a command and to all that it starts, with this error.
#[allow(unsafe_code, reason = "seccomp(2) between fork and exec")]
pub fn refuse(command: &mut Command, calls: &[libc::c_long], errno: libc::c_int) {
    // Classic BPF: load the call's number; for each refused one, answer with the error; else allow.
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = vec![step(LOAD, 0, 0, 0)];
    for call in calls {
        filter.push(step(EQUAL, 0, 1, u32::try_from(*call).unwrap()));
        filter.push(step(ANSWER, 0, 0, libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap()));
    }
    filter.push(step(ANSWER, 0, 0, libc::SECCOMP_RET_ALLOW));
    // SAFETY: two system calls; the filter is made before and outlives them.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog {
                len: u16::try_from(filter.len()).unwrap_or(0),
                filter: filter.as_ptr().cast_mut(),
            };
            let no_new = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let set = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0);
            if no_new == 0 && set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
}
