//! Daemons that give up their groups, which a user namespace forbids.

use nix::libc::{
    self, BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SYS_setgroups, sock_filter, sock_fprog,
};
use std::io;
use tokio::process::Command;

/// Lets `setgroups` succeed without effect in a command and in all that it starts.
///
/// The sandbox has a single group, so there is nothing to give up. Daemons that take the refusal
/// for an attack would end.
#[allow(unsafe_code)]
pub(super) fn ignore_setgroups(command: &mut Command) {
    // SAFETY: between fork and exec only a system call is made, on memory prepared before.
    unsafe { command.pre_exec(install_filter) };
}

/// Installs the filter in the calling thread (seccomp(2)): error 0 is success.
#[allow(unsafe_code)]
fn install_filter() -> io::Result<()> {
    // Both constants are far below the limits of the fields.
    let statement =
        |code: u32, k: u32| sock_filter { code: code.try_into().unwrap_or_default(), jt: 0, jf: 0, k };
    let setgroups = SYS_setgroups.try_into().unwrap_or_default();
    let mut filter = [
        // The number of the system call is the first word of the data.
        statement(BPF_LD | BPF_W | BPF_ABS, 0),
        sock_filter { jf: 1, ..statement(BPF_JMP | BPF_JEQ | BPF_K, setgroups) },
        statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
        statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    ];
    let program = sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter live until the call returns; the kernel copies both.
    let installed = unsafe { libc::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &raw const program) };
    if installed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
