//! What is asked of the system: memory that two processes share, waits at one of its words, and a
//! descriptor that goes through a socket. All `unsafe` of this transport is here.
//!
//! The memory is seen as atomic words and as nothing else, so that what another process does to it is a
//! value that one did not expect, and never a data race. It cannot shrink under a reader: whoever gets it
//! from a peer checks that it is sealed, and that it is plain memory (`memfd_create(2)`, `fcntl(2)`).

#![expect(unsafe_code, reason = "mapped memory, futexes and descriptors from a socket need it")]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use socket2::Socket;

use crate::time::Duration;

/// Bytes in front, which are seen as words; all others are the rings'.
pub(super) const WORDS_BYTES: usize = 4_096;

/// What a peer can do nothing to any more: make it shorter (reading it would be `SIGBUS`), longer, or open
/// to either.
const SEALS: i32 = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// Memory that two processes have mapped.
#[derive(Debug)]
pub(super) struct Region {
    base: NonNull<libc::c_void>,
    bytes: usize,
}

// SAFETY: the mapping belongs to no thread, and is only seen as atomics.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Fresh memory, all zero, and the descriptor that gives it to a peer.
    pub(super) fn create(bytes: usize) -> io::Result<(Self, OwnedFd)> {
        let memory = anonymous(bytes, SEALS)?;
        Ok((Self::map(&memory, bytes)?, memory))
    }

    /// The memory that a peer gave.
    ///
    /// # Errors
    ///
    /// It is not of that size, not sealed, or not plain memory.
    pub(super) fn of_peer(memory: &OwnedFd, bytes: usize) -> io::Result<Self> {
        let refused = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        // SAFETY: asks about a descriptor, and touches no memory.
        let seals = unsafe { libc::fcntl(memory.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 || seals & SEALS != SEALS {
            return refused("the memory is not sealed");
        }
        // SAFETY: the structure is plain numbers, and the call writes to nothing else.
        let (is_known, kind) = unsafe {
            let mut kind: libc::statfs = std::mem::zeroed();
            (libc::fstatfs(memory.as_raw_fd(), &raw mut kind) == 0, kind.f_type)
        };
        if !is_known || kind != libc::TMPFS_MAGIC {
            return refused("this is no plain memory"); // huge pages may be gone when they are touched
        }
        let len = std::fs::File::from(memory.try_clone()?).metadata()?.len();
        if usize::try_from(len) != Ok(bytes) {
            return refused("the memory has another size");
        }
        Self::map(memory, bytes)
    }

    fn map(memory: &OwnedFd, bytes: usize) -> io::Result<Self> {
        assert!(bytes > WORDS_BYTES && bytes.is_multiple_of(size_of::<u64>()), "room for rings");
        let how = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at a place that the system chooses.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, how.0, how.1, memory.as_raw_fd(), 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base).expect("nothing is mapped at zero");
        Ok(Self { base, bytes })
    }

    /// The first [`WORDS_BYTES`].
    pub(super) const fn words(&self) -> &[AtomicU32] {
        let base = self.base.as_ptr().cast::<AtomicU32>().cast_const();
        // SAFETY: so much is mapped, aligned to a page, for as long as `self` is, and initialised as all
        // memory of the system's; it cannot shrink, for it is sealed. Other processes write to it as they
        // like, which atomics allow for.
        unsafe { std::slice::from_raw_parts(base, WORDS_BYTES / size_of::<u32>()) }
    }

    /// All that follows.
    pub(super) const fn rings(&self) -> &[AtomicU64] {
        let count = (self.bytes - WORDS_BYTES) / size_of::<u64>();
        // SAFETY: as for the words; none of these is among them, so each byte is always seen as part of an
        // atomic of one size.
        unsafe {
            let base = self.base.as_ptr().byte_add(WORDS_BYTES).cast::<AtomicU64>().cast_const();
            std::slice::from_raw_parts(base, count)
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: it was mapped so, and nobody has a reference into it any more.
        unsafe { libc::munmap(self.base.as_ptr(), self.bytes) };
    }
}

/// Memory that has a descriptor and no name.
pub(super) fn anonymous(bytes: usize, seals: i32) -> io::Result<OwnedFd> {
    let create = |flags| {
        // SAFETY: the name ends in a zero.
        let memory = unsafe { libc::memfd_create(c"rpc".as_ptr(), flags) };
        if memory < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is ours, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(memory) })
    };
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // Before Linux 6.3 it cannot be said that nobody will execute it.
    let memory = create(flags | libc::MFD_NOEXEC_SEAL).or_else(|_| create(flags))?;
    let file = std::fs::File::from(memory);
    file.set_len(bytes as u64)?;
    // SAFETY: changes a descriptor, and touches no memory.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file.into())
}

/// Sleeps while the word is as expected: until another process, or this one, wakes who sleeps there, no
/// longer than `patience`, or less (`futex(2)`).
pub(super) fn sleep(word: &AtomicU32, expected: u32, patience: Duration) {
    let patience = libc::timespec {
        tv_sec: libc::time_t::try_from(patience.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    // SAFETY: the word outlives the call, which reads it and the time-out, and writes nothing. An error
    // means that there is no reason to sleep.
    unsafe {
        let (word, patience) = (word.as_ptr(), &raw const patience);
        libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, expected, patience);
    }
}

/// Wakes who sleeps at the word, in whatever process.
pub(super) fn rouse(word: &AtomicU32) {
    // SAFETY: only the address is used.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}

/// Whether a socket's other end was closed, or this one; what is yet to be read stays unread.
pub(super) fn has_hung_up(socket: &Socket) -> bool {
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: it is one structure, which outlives the call.
    let told = unsafe { libc::poll(&raw mut asked, 1, 0) };
    told > 0
}

/// Room for a message about one descriptor, aligned as the system wants it.
type Control = [u64; 4];

fn control_len(control: &Control) -> usize {
    size_of_val(control)
}

/// Sends bytes and a descriptor with them, without waiting; says how many bytes left.
pub(super) fn send_with(socket: &Socket, bytes: &[u8], gift: &OwnedFd) -> io::Result<usize> {
    let mut control: Control = [0; 4];
    let mut piece =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: the header is plain numbers and pointers, which point at what outlives the call. The system
    // reads the bytes and the control message and writes to neither. The control message fits: it is
    // asserted, and made with the system's own macros.
    let sent = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(RAW_FD_BYTES) as _;
        assert!(libc::CMSG_SPACE(RAW_FD_BYTES) as usize <= size_of::<Control>(), "it fits");
        let message = libc::CMSG_FIRSTHDR(&raw const header);
        (*message).cmsg_level = libc::SOL_SOCKET;
        (*message).cmsg_type = libc::SCM_RIGHTS;
        (*message).cmsg_len = libc::CMSG_LEN(RAW_FD_BYTES) as _;
        libc::CMSG_DATA(message).cast::<RawFd>().write_unaligned(gift.as_raw_fd());
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        libc::sendmsg(socket.as_raw_fd(), &raw const header, flags)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

const RAW_FD_BYTES: u32 = RawFd::BITS / 8;

/// Receives what is there, without waiting: how many bytes, and the descriptors that came with them,
/// which are this process's to close.
pub(super) fn receive_with(
    socket: &Socket,
    buffer: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control: Control = [0; 4];
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut gifts = Vec::new();
    // SAFETY: the header's pointers are to what outlives the call, with its true sizes. What the system
    // wrote is walked with its own macros, within the length that it gave; the descriptors in it were
    // made for this process, and nothing else knows them.
    let received = unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = control_len(&control) as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let received = libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags);
        let mut message = if received < 0 {
            std::ptr::null_mut()
        } else {
            libc::CMSG_FIRSTHDR(&raw const header)
        };
        while !message.is_null() {
            if ((*message).cmsg_level, (*message).cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS)
            {
                let bytes = (*message).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data = libc::CMSG_DATA(message).cast::<RawFd>();
                for index in 0..bytes / size_of::<RawFd>() {
                    gifts.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
        received
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    Ok((received, gifts))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use socket2::{Domain, Type};

    use super::*;

    const BYTES: usize = WORDS_BYTES + 8_192;

    #[test]
    fn memory_that_went_through_a_socket_is_the_same_memory() {
        let (near, far) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let (ours, gift) = Region::create(BYTES).unwrap();
        assert_eq!(send_with(&near, b"hello", &gift).unwrap(), 5);
        let mut buffer = [0; 8];
        let (len, gifts) = receive_with(&far, &mut buffer).unwrap();
        assert_eq!((&buffer[..len], gifts.len()), (&b"hello"[..], 1));
        let theirs = Region::of_peer(&gifts[0], BYTES).unwrap();
        ours.words()[7].store(8, Ordering::SeqCst);
        ours.rings()[1_023].store(9, Ordering::SeqCst);
        assert_eq!(theirs.words()[7].load(Ordering::SeqCst), 8);
        assert_eq!(theirs.rings()[1_023].load(Ordering::SeqCst), 9);
        let nothing = receive_with(&far, &mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn memory_that_is_not_sealed_or_of_another_size_or_kind_is_refused() {
        let why =
            |memory: &OwnedFd| Region::of_peer(memory, BYTES).map(drop).unwrap_err().to_string();
        for missing in [libc::F_SEAL_SHRINK, libc::F_SEAL_GROW, libc::F_SEAL_SEAL] {
            let memory = anonymous(BYTES, SEALS & !missing).unwrap();
            assert_eq!(why(&memory), "the memory is not sealed");
        }
        for bytes in [0, WORDS_BYTES, BYTES - 1, BYTES + 1, 1 << 30] {
            assert_eq!(why(&anonymous(bytes, SEALS).unwrap()), "the memory has another size");
        }
        let file = tempfile::tempfile().unwrap();
        file.set_len(BYTES as u64).unwrap();
        assert_eq!(why(&file.into()), "the memory is not sealed");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        assert_eq!(why(&socket.into()), "the memory is not sealed");
    }

    #[test]
    fn a_sleep_ends_by_time_and_is_none_where_the_word_is_another() {
        let word = AtomicU32::new(1);
        sleep(&word, 2, Duration::from_secs(1_000));
        sleep(&word, 1, Duration::from_millis(1));
        rouse(&word);
    }
}
