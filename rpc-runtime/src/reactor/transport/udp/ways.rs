//! Several sockets at one address, one for each thread that receives there: `socket(7)`, `SO_REUSEPORT`.
//!
//! The kernel spreads peers over the sockets by a hash of both addresses, so that what one peer sends
//! always comes to one of them. The first socket is bound as any other is, so that an address that
//! somebody has is taken; only then others may join it. So two servers never share an address, even if
//! they start at a time. What remains is a program of the same user that sets the option without such a
//! care: it would join, and get a part of the peers.
//!
//! Linux knows this; elsewhere an endpoint has one way in.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;

use socket2::{Domain, SockRef, Socket, Type};

use super::Udp;
use super::bell::Bell;
use crate::driver::Link;

/// Whether sockets that are bound already let others join them.
const CAN_JOIN: bool = cfg!(any(target_os = "android", target_os = "linux"));

/// Further ways into the endpoint of one socket.
pub(super) fn of_one(first: &Udp, count: usize) -> Vec<Arc<dyn Link>> {
    let secret = first.bell.secret();
    let way = |number: u32, socket| {
        let bell = Bell::of_group(first.local, secret, number)?;
        Udp::woken_by(bell, socket)
    };
    let mut ways: Vec<Arc<dyn Link>> = Vec::new();
    for (socket, number) in joining(&first.socket, first.local, count).into_iter().zip(1..) {
        let Ok(way) = way(number, socket) else { break };
        ways.push(Arc::new(way));
    }
    if !ways.is_empty() && filter::deliver_bells(&first.socket, secret).is_err() {
        ways.clear(); // nobody could wake their threads
    }
    if ways.is_empty() {
        let _ = SockRef::from(&first.socket).set_reuse_port(false);
    }
    ways
}

/// The sockets of further ways into an endpoint of several, as many for each way.
pub(super) fn of_several<S: AsFd>(
    firsts: &[S],
    locals: &[SocketAddr],
    count: usize,
) -> Vec<Vec<UdpSocket>> {
    let mut ways: Vec<Vec<UdpSocket>> = Vec::new();
    ways.resize_with(count, Vec::new);
    for (first, local) in firsts.iter().zip(locals) {
        let joined = joining(first, *local, ways.len());
        ways.truncate(joined.len());
        ways.iter_mut().zip(joined).for_each(|(way, socket)| way.push(socket));
    }
    ways
}

/// Sockets at the address of `first`, as many as are to be had.
fn joining(first: &impl AsFd, local: SocketAddr, count: usize) -> Vec<UdpSocket> {
    if !CAN_JOIN || count == 0 || SockRef::from(first).set_reuse_port(true).is_err() {
        return Vec::new();
    }
    (0..count).map_while(|_| joined(local).ok()).collect()
}

fn joined(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None)?;
    socket.set_reuse_port(true)?;
    socket.bind(&local.into())?;
    Ok(socket.into())
}

/// What the kernel does with the datagrams of bells: a classic BPF program of the group
/// (`SO_ATTACH_REUSEPORT_CBPF`, since Linux 4.5). What is too short for it goes to the first socket; no PDU
/// is. `socket(7)`; Linux, `networking/filter.rst`.
#[cfg(any(target_os = "android", target_os = "linux"))]
mod filter {
    use std::io;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    /// Loads a word of the datagram.
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    /// Goes on if the word is this one, and jumps otherwise.
    const IS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    /// Gives the socket whose number was loaded last.
    const GIVE_LOADED: u32 = libc::BPF_RET | 0x10; // BPF_A, which the library does not name
    /// Gives what stands there.
    const GIVE: u32 = libc::BPF_RET | libc::BPF_K;
    /// No socket's number: then the kernel picks one as it does without a program.
    const BY_HASH: u32 = u32::MAX;

    /// Has what begins with the secret of a group of sockets go to the one whose number follows.
    pub(super) fn deliver_bells(socket: &UdpSocket, secret: [u8; 8]) -> io::Result<()> {
        let [a, b, c, d, e, f, g, h] = secret;
        let step = |code: u32, otherwise: u8, k: u32| libc::sock_filter {
            code: u16::try_from(code).expect("codes are short"),
            jt: 0,
            jf: otherwise,
            k,
        };
        let mut program = [
            step(LOAD, 0, 0),
            step(IS, 4, u32::from_be_bytes([a, b, c, d])),
            step(LOAD, 0, 4),
            step(IS, 2, u32::from_be_bytes([e, f, g, h])),
            step(LOAD, 0, 8),
            step(GIVE_LOADED, 0, 0),
            step(GIVE, 0, BY_HASH),
        ];
        attach(socket, &mut program)
    }

    #[expect(unsafe_code, reason = "no library sets this option")]
    fn attach(socket: &UdpSocket, program: &mut [libc::sock_filter]) -> io::Result<()> {
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let program = libc::sock_fprog {
            len: program.len().try_into().map_err(too_long)?,
            filter: program.as_mut_ptr(),
        };
        let length = libc::socklen_t::try_from(size_of_val(&program)).map_err(too_long)?;
        let (level, option) = (libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF);
        // SAFETY: the descriptor is open as long as the socket is borrowed; the option's value and the
        // program that it points to live through the call, of the lengths that are told.
        let result = unsafe {
            libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const program).cast(), length)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
mod filter {
    pub(super) fn deliver_bells(_: &std::net::UdpSocket, _: [u8; 8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{dial, listen};
    use crate::address::Address;
    use crate::driver::{Link, LinkError, Received, Sent};
    use crate::reactor::clock;
    use crate::time::Duration;

    const PLACES: [&str; 5] =
        ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0", "127.0.0.1:0,[::1]:0"];

    /// As long as a PDU is at least: what is shorter than a bell's datagram all goes to the first socket.
    const LEN: usize = 40;

    /// Who was heard by a way, as often as `bytes` came.
    fn come(way: &dyn Link, bytes: usize) -> Vec<Address> {
        let (mut buffer, mut come) = ([0; 2_048], Vec::new());
        while let Received::Datagram { len, from } = way.take(&mut buffer) {
            // The kernel may have put several together.
            come.extend(std::iter::repeat_n(from, len / bytes));
        }
        come
    }

    #[test]
    fn peers_are_spread_over_all_ways_and_can_be_answered_by_any() {
        for place in PLACES {
            let first = listen(place).expect("free ports");
            let mut ways = first.further_ways(2);
            ways.push(first);
            assert_eq!(ways.len(), 3, "{place}");
            assert!(ways.iter().all(|way| way.locals() == ways[2].locals()));
            let port = ways[0].local().to_string().rsplit(':').next().unwrap().to_owned();
            let host = if place.starts_with('[') { "[::1]" } else { "127.0.0.1" };
            let peers: Vec<_> = (0..64).map(|_| dial(&format!("{host}:{port}")).unwrap()).collect();
            for (peer, to) in &peers {
                assert_eq!(peer.send(*to, &[1; LEN]), Sent::Yes);
                assert_eq!(peer.send(*to, &[2; LEN]), Sent::Yes);
            }
            let end = clock::now() + Duration::from_secs(10);
            let mut heard = vec![Vec::new(); ways.len()];
            while heard.iter().flatten().count() < 128 {
                assert!(clock::now() < end, "{place}: {heard:?}");
                let all = ways.iter().zip(&mut heard);
                all.for_each(|(way, heard)| heard.extend(come(&**way, LEN)));
            }
            for (index, heard) in heard.iter().enumerate() {
                assert!(heard.len() >= 4, "{place}: {} by way {index}", heard.len());
                for from in heard {
                    assert_eq!(ways[(index + 1) % 3].send(*from, &[3; LEN]), Sent::Yes);
                    assert_eq!(heard.iter().filter(|peer| *peer == from).count(), 2);
                }
            }
            for (peer, _) in &peers {
                let mut answers = 0;
                while answers < 2 {
                    assert!(clock::now() < end, "{place}: {answers}");
                    answers += come(&**peer, LEN).len();
                }
            }
        }
    }

    #[test]
    fn each_way_is_woken_by_its_own_bell() {
        for place in PLACES {
            let first = listen(place).expect("free ports");
            let mut ways = first.further_ways(3);
            ways.push(first);
            for woken in 0..ways.len() {
                for _ in 0..5 {
                    std::thread::scope(|scope| {
                        let waits = || ways[woken].receive(&mut [0; 2_048], None);
                        let waiting = std::thread::Builder::new().spawn_scoped(scope, waits);
                        clock::pause(Duration::from_millis(2));
                        ways[woken].wake();
                        let received = waiting.unwrap().join().unwrap();
                        assert_eq!(received, Received::Nothing, "{place}: {woken}");
                    });
                }
                assert!(ways.iter().all(|way| come(&**way, 1).is_empty()), "{place}");
            }
        }
    }

    #[test]
    fn an_address_is_taken_as_long_as_one_way_is_open_and_free_then() {
        for place in PLACES {
            let first = listen(place).expect("free ports");
            let locals: Vec<_> = first.locals().iter().map(ToString::to_string).collect();
            let place = locals.join(",");
            let mut ways = first.further_ways(2);
            drop(first);
            while let Some(way) = ways.pop() {
                assert!(matches!(listen(&place), Err(LinkError::InUse(_))), "{place}");
                drop(way);
            }
            assert!(listen(&place).is_ok(), "{place}");
        }
    }
}
