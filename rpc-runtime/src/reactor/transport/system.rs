//! What only the system knows: how many descriptors this process may have, whose process calls, and whether a
//! socket has something to read before some microseconds are over.
//!
//! getrlimit(2), unix(7), poll(2). Knows no transport.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use crate::time::Duration;

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

/// Waits until a socket has something to read, or for so long: to the microsecond, where `SO_RCVTIMEO` is rounded to
/// the system's ticks. An error counts as something to read, which says what it is, and so does a signal.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(super) fn is_readable_within(socket: BorrowedFd<'_>, patience: Duration) -> bool {
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let patience = libc::timespec {
        tv_sec: libc::time_t::try_from(patience.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    #[expect(unsafe_code, reason = "the system writes to memory of ours")]
    // SAFETY: both structures outlive the call, which reads the one and writes to the other; no signal mask is
    // given.
    let ready = unsafe { libc::ppoll(&raw mut asked, 1, &raw const patience, std::ptr::null()) };
    ready != 0
}

/// The same to the millisecond, and no sooner.
#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) fn is_readable_within(socket: BorrowedFd<'_>, patience: Duration) -> bool {
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let patience_ms = patience.as_nanos().div_ceil(1_000_000);
    let patience_ms = libc::c_int::try_from(patience_ms).unwrap_or(libc::c_int::MAX);
    #[expect(unsafe_code, reason = "the system writes to memory of ours")]
    // SAFETY: it is one structure, which outlives the call.
    let ready = unsafe { libc::poll(&raw mut asked, 1, patience_ms) };
    ready != 0
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
    use std::io::Write as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::reactor::clock;

    #[test]
    fn a_socket_is_waited_for_as_long_as_was_said_or_until_something_came() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let begun = clock::now();
        assert!(!is_readable_within(near.as_fd(), Duration::from_micros(300)));
        assert!(clock::now().since(begun) >= Duration::from_micros(299)); // the clock counts whole ones
        far.write_all(&[7]).unwrap();
        assert!(is_readable_within(near.as_fd(), Duration::from_secs(60)));
    }

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
