//! The two whole-file locks etcd takes.
//!
//! An open-file-description lock (`F_OFD_SETLK`, Linux 3.15) belongs to the open file and goes with
//! its last descriptor; unlike a POSIX record lock it does not vanish when the process closes some
//! other descriptor of the same file. Kernels without it answer `EINVAL`, and then etcd, and we,
//! take a BSD `flock` instead.
use std::fs::File;
use std::io;

use nix::errno::Errno as NixErrno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::FlockOperation;

#[expect(
    clippy::cast_possible_truncation,
    reason = "constants of the kernel ABI, 0 to 2"
)]
const F_WRLCK: libc::c_short = libc::F_WRLCK as libc::c_short;
#[expect(
    clippy::cast_possible_truncation,
    reason = "constants of the kernel ABI, 0 to 2"
)]
const SEEK_SET: libc::c_short = libc::SEEK_SET as libc::c_short;

/// Takes an exclusive open-file-description lock; `WouldBlock` when it is taken.
pub(super) fn try_ofd(file: &File) -> io::Result<()> {
    let request = whole_file_write_lock();
    loop {
        return match fcntl(file, FcntlArg::F_OFD_SETLK(&request)) {
            Ok(_) => Ok(()),
            Err(NixErrno::EINTR) => continue,
            Err(NixErrno::EACCES | NixErrno::EAGAIN) => Err(io::ErrorKind::WouldBlock.into()),
            Err(NixErrno::EINVAL) => try_flock(file),
            Err(e) => Err(e.into()),
        };
    }
}

/// Takes an exclusive BSD lock; `WouldBlock` when it is taken.
pub(super) fn try_flock(file: &File) -> io::Result<()> {
    super::retry(|| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive))
}

/// Start 0 and length 0 mean the whole file, however long it grows.
fn whole_file_write_lock() -> libc::flock {
    libc::flock {
        l_type: F_WRLCK,
        l_whence: SEEK_SET,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
