//! Many datagrams for one system call: the kernel cuts one send into datagrams of equal length (generic
//! segmentation offload), and gives what came from one sender in a row to one receive (generic receive
//! offload). `udp(7)`, `UDP_SEGMENT` and `UDP_GRO`; both since Linux 5.0.
//!
//! A machine packs PDUs whole into each datagram, so datagrams that were put together are PDUs back to
//! back, as in one: where one ended need not be known. Where the system has neither, each datagram is
//! sent and received alone.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{MsgHdr, SockRef};

use crate::address::Address;
use crate::wire::DATAGRAM_BYTES_MAX;

/// Datagrams that one send is cut into, at the most: what the oldest kernel that cuts at all allows.
const SEGMENTS_MAX: usize = 64;

/// Bytes that one send has, at the most: what the length field of UDP over IPv4 counts.
const SEND_BYTES_MAX: usize = 65_535 - 8 - 20;

/// Whether a socket's sends are cut by the kernel.
#[derive(Debug)]
pub(super) struct Segments {
    is_cut: AtomicBool,
}

impl Segments {
    /// Has the kernel put together what comes by the socket, if it can.
    pub(super) fn on(socket: &UdpSocket) -> Self {
        system::put_together(socket);
        Self { is_cut: AtomicBool::new(system::CUTS) }
    }

    /// Sends in runs of equal length to one peer, and what is alone by `send`.
    pub(super) fn send_all(
        &self,
        socket: &UdpSocket,
        mut datagrams: &[(Address, Vec<u8>)],
        send: impl Fn(Address, &[u8]),
    ) {
        while let [(to, first), ..] = datagrams {
            let run = if self.is_cut.load(Ordering::Relaxed) { run_of(datagrams) } else { 1 };
            let (now, later) = datagrams.split_at(run);
            datagrams = later;
            if let (Address::Ip(to), 2..) = (*to, run)
                && self.send_cut(socket, to, now, first.len())
            {
                continue;
            }
            now.iter().for_each(|(to, datagram)| send(*to, datagram));
        }
    }

    /// Sends a run at once; says whether that is settled: it left, or is lost for now.
    fn send_cut(
        &self,
        socket: &UdpSocket,
        to: SocketAddr,
        run: &[(Address, Vec<u8>)],
        each_bytes: usize,
    ) -> bool {
        let mut slices = [IoSlice::new(&[]); SEGMENTS_MAX];
        for (slice, (_, datagram)) in slices.iter_mut().zip(run) {
            *slice = IoSlice::new(datagram);
        }
        let Ok(each_bytes) = u16::try_from(each_bytes) else { return false };
        let (to, control) = (to.into(), system::segment(each_bytes));
        let message = MsgHdr::new().with_addr(&to).with_control(&control);
        let message = message.with_buffers(&slices[..run.len()]);
        let sent = SockRef::from(socket).sendmsg(&message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        match sent {
            Ok(_) => true,
            Err(error) if is_for_now(&error) => true,
            // The path's, not the device's: each finds out by itself.
            Err(_) if usize::from(each_bytes) > DATAGRAM_BYTES_MAX => false,
            Err(_) => {
                // No device of this route can, or the kernel does not know how.
                self.is_cut.store(false, Ordering::Relaxed);
                false
            }
        }
    }
}

/// How many of the first datagrams go to one peer and have one length; the last may be shorter.
fn run_of(datagrams: &[(Address, Vec<u8>)]) -> usize {
    let Some(((to, first), rest)) = datagrams.split_first() else { return 0 };
    let (mut run, mut bytes) = (1, first.len());
    for (other, datagram) in rest {
        bytes += datagram.len();
        let joins = other == to
            && run < SEGMENTS_MAX
            && datagram.len() <= first.len()
            && bytes <= SEND_BYTES_MAX;
        if !joins {
            break;
        }
        run += 1;
        if datagram.len() < first.len() {
            break;
        }
    }
    run
}

/// Whether an error says nothing of the socket's abilities: it is full, or tells of an earlier send.
fn is_for_now(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOBUFS)
        || error.kind() == io::ErrorKind::WouldBlock
        || super::is_of_the_network(error)
}

#[cfg(target_os = "linux")]
mod system {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    pub(super) const CUTS: bool = true;

    /// Bytes of a control message's header, and of the whole with two bytes of data: `CMSG_SPACE(2)`.
    const HEADER_BYTES: usize = size_of::<libc::cmsghdr>();
    const CONTROL_BYTES: usize = HEADER_BYTES + size_of::<usize>();

    /// The control message by which a send is cut.
    pub(super) fn segment(each_bytes: u16) -> [u8; CONTROL_BYTES] {
        let mut control = [0; CONTROL_BYTES];
        let length = HEADER_BYTES + size_of::<u16>();
        let (word, int) = (size_of::<usize>(), size_of::<i32>());
        control[..word].copy_from_slice(&length.to_ne_bytes());
        control[word..][..int].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
        control[word + int..][..int].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
        control[HEADER_BYTES..][..2].copy_from_slice(&each_bytes.to_ne_bytes());
        control
    }

    #[expect(unsafe_code, reason = "no library sets this option alone")]
    pub(super) fn put_together(socket: &UdpSocket) {
        let on: libc::c_int = 1;
        let Ok(length) = libc::socklen_t::try_from(size_of::<libc::c_int>()) else { return };
        // SAFETY: the descriptor is open as long as the socket is borrowed, and the option's value is
        // an integer that lives through the call, of the length that is told.
        let _ = unsafe {
            let fd = socket.as_raw_fd();
            libc::setsockopt(fd, libc::SOL_UDP, libc::UDP_GRO, (&raw const on).cast(), length)
        };
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) const CUTS: bool = false;

    pub(super) fn segment(_: u16) -> [u8; 0] {
        []
    }

    pub(super) fn put_together(_: &std::net::UdpSocket) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(port: u16, len: usize, fill: u8) -> (Address, Vec<u8>) {
        (Address::Ip(([127, 0, 0, 1], port).into()), vec![fill; len])
    }

    #[test]
    fn a_run_ends_at_another_peer_another_length_and_what_one_send_may_have() {
        let run = |all: &[(u16, usize)]| {
            run_of(&all.iter().map(|&(port, len)| datagram(port, len, 0)).collect::<Vec<_>>())
        };
        assert_eq!(run(&[(1, 9), (1, 9), (1, 5), (1, 5)]), 3, "a shorter one is the last");
        assert_eq!(run(&[(1, 9), (2, 9)]), 1);
        assert_eq!(run(&[(1, 9), (1, 10)]), 1);
        assert_eq!(run(&[(1, 9); 99]), SEGMENTS_MAX);
        assert_eq!(run(&[(1, 1_232); 64]), 53);
        assert_eq!(run(&[]), 0);
    }

    #[test]
    fn what_leaves_in_runs_comes_whole_and_in_order() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = receiver.local_addr().unwrap().port();
        let (segments, _put_together) = (Segments::on(&sender), Segments::on(&receiver));
        let lengths = [700, 700, 700, 300, 800, 900, 900];
        let datagrams: Vec<_> =
            lengths.iter().zip(1..).map(|(&len, fill)| datagram(port, len, fill)).collect();
        segments.send_all(&sender, &datagrams, |to, datagram| {
            let Address::Ip(to) = to else { panic!("{to}") };
            sender.send_to(datagram, to).unwrap();
        });
        let whole: Vec<u8> = datagrams.into_iter().flat_map(|(_, bytes)| bytes).collect();
        let mut come = Vec::new();
        let mut buffer = vec![0; 65_536];
        while come.len() < whole.len() {
            let len = receiver.recv(&mut buffer).unwrap();
            come.extend_from_slice(&buffer[..len]);
        }
        assert!(come == whole);
    }
}
