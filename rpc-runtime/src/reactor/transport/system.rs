//! What only the system knows: how many descriptors this process may have, and whose process calls.
//!
//! getrlimit(2), unix(7). Knows no stream.

use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Descriptors that this process may have open at a time.
pub(super) fn descriptors_max() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    #[expect(unsafe_code, reason = "the system writes to memory of ours")]
    // SAFETY: `limit` is a valid place for what getrlimit(2) writes, and outlives the call.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if result != 0 {
        return usize::MAX;
    }
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
}

/// The user whose process has the other end of a Unix socket, as it was when that was connected.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) fn user_of(socket: BorrowedFd<'_>) -> Option<u32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).ok()?;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    #[expect(unsafe_code, reason = "the system writes to memory of ours")]
    // SAFETY: `peer` and `length` are valid places for what getsockopt(2) writes, `length` says how
    // long the first is, and both outlive the call.
    let result = unsafe {
        let place = (&raw mut peer).cast();
        libc::getsockopt(socket.as_raw_fd(), level, name, place, &raw mut length)
    };
    (result == 0).then_some(peer.uid)
}

/// The user whose process has the other end of a Unix socket: not known here.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) fn user_of(_socket: BorrowedFd<'_>) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_system_says_how_many_descriptors_there_are_and_who_calls() {
        assert!(descriptors_max() >= 16);
        let folder = tempfile::tempdir().unwrap();
        let own = std::fs::metadata(folder.path()).unwrap().uid();
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(user_of(one.as_fd()), Some(own));
        let file = std::fs::File::open(folder.path()).unwrap();
        assert_eq!(user_of(file.as_fd()), None, "not a socket");
    }
}
