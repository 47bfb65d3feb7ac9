//! Limits that a worker puts on itself before it does anything else: sizes, numbers, a umask, and a kernel that
//! does not know `openat2`.

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, getrlimit, setrlimit, umask},
};

/// `fsize:n`, `nofile:n`, `umask:n` (decimal), `user:n` and `no-openat2` hold for all that comes after. `false`:
/// this is no limit.
pub(crate) fn set_limit(verb: &str) -> bool {
    if verb == "no-openat2" {
        forbid_openat2();
        return true;
    }
    let Some((name, number)) = verb.split_once(':') else { return false };
    let number: u64 = match number.parse() {
        Ok(number) => number,
        Err(_) => return false,
    };
    let resource = match name {
        "fsize" => Resource::Fsize,
        "nofile" => Resource::Nofile,
        "umask" => {
            umask(Mode::from_bits_truncate(number as u32));
            return true;
        }
        "user" => {
            become_user(number as u32);
            return true;
        }
        _ => return false,
    };
    setrlimit(resource, Rlimit { current: Some(number), ..getrlimit(resource) }).is_ok()
}

/// Another user and group, for good.
#[expect(unsafe_code, reason = "the safe form changes one thread only")]
fn become_user(user: u32) {
    // SAFETY: both take numbers only.
    let done = unsafe {
        libc::setgroups(0, std::ptr::null()) == 0 && libc::setgid(user) == 0 && libc::setuid(user) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
}

/// From here on `openat2` is ENOSYS for this process and its children, as on kernels before 5.6.
#[expect(unsafe_code, reason = "a filter of system calls has no other form")]
fn forbid_openat2() {
    const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt, jf, k }
    }
    let load_number = instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0);
    let is_openat2 = instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_openat2 as u32);
    let answer = |value| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    let missing = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    let mut filter = [load_number, is_openat2, answer(missing), answer(libc::SECCOMP_RET_ALLOW)];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the first call takes numbers only; the second reads the program, which lives until it returns.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
    let answer = rustix::fs::openat2(
        rustix::fs::CWD,
        "/",
        rustix::fs::OFlags::RDONLY,
        Mode::empty(),
        rustix::fs::ResolveFlags::empty(),
    );
    assert_eq!(answer.err(), Some(rustix::io::Errno::NOSYS), "openat2 is still there");
}
