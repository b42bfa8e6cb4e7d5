//! One endpoint at several addresses: several UDP sockets that one thread waits for, through mio.
//!
//! An answer leaves by the socket its peer was last heard at, because a peer behind a packet filter
//! hears nothing from another address. Which that was is kept in a table of fixed size; a peer that
//! fell out of it is answered by the first socket of its family, and is found again when it asks
//! again.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};

use super::{classify_send, enlarge_buffers, is_of_the_network, longest_datagram, path, ways};
use crate::address::Address;
use crate::driver::{Link, Received, Sent};
use crate::reactor::clock;
use crate::time::{Duration, Instant};
use crate::wire::DATAGRAM_BYTES_MAX;

/// Names the waker among the sockets' tokens.
const BELL: Token = Token(usize::MAX);

/// How long to hold up after an error that is no news from the network, against a busy loop.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(1);

/// Several sockets as one link.
#[derive(Debug)]
pub struct Several {
    sockets: Vec<UdpSocket>,
    locals: Vec<SocketAddr>,
    polling: Mutex<Polling>,
    bell: Waker,
    is_rung: AtomicBool,
    /// Shared by all ways into the endpoint.
    routes: Arc<Mutex<Routes>>,
    /// Whether the system leaves datagrams of all of them in one piece.
    is_unbroken: bool,
    errors: AtomicU64,
}

/// What only the receiving thread uses.
#[derive(Debug)]
struct Polling {
    poll: Poll,
    events: Events,
    /// Sockets that may hold a datagram: mio tells only once when one gets ready.
    is_ready: Vec<bool>,
    /// Whose turn it is, so that a busy socket does not silence the others.
    next: usize,
}

impl Several {
    /// Joins bound sockets; there must be at least one.
    pub(super) fn join(sockets: Vec<std::net::UdpSocket>) -> io::Result<Self> {
        Self::with_routes(sockets, Arc::new(Mutex::new(Routes::new())))
    }

    fn with_routes(
        sockets: Vec<std::net::UdpSocket>,
        routes: Arc<Mutex<Routes>>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Waker::new(poll.registry(), BELL)?;
        let mut joined = Vec::with_capacity(sockets.len());
        let mut locals = Vec::with_capacity(sockets.len());
        let mut is_unbroken = true;
        for (index, socket) in sockets.into_iter().enumerate() {
            socket.set_nonblocking(true)?;
            let local = socket.local_addr()?;
            enlarge_buffers(&socket);
            is_unbroken &= path::forbid_fragments(&socket, &local);
            locals.push(local);
            let mut socket = UdpSocket::from_std(socket);
            poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
            joined.push(socket);
        }
        let events = Events::with_capacity(joined.len() + 1);
        let is_ready = vec![true; joined.len()]; // a datagram may have come before we asked
        Ok(Self {
            sockets: joined,
            locals,
            polling: Mutex::new(Polling { poll, events, is_ready, next: 0 }),
            bell,
            is_rung: AtomicBool::new(false),
            routes,
            is_unbroken,
            errors: AtomicU64::new(0),
        })
    }

    /// A datagram from one of the sockets that are ready, in turn.
    fn pick_up(&self, polling: &mut Polling, buffer: &mut [u8]) -> Option<Received> {
        let count = self.sockets.len();
        for _ in 0..count {
            let index = polling.next;
            polling.next = (index + 1) % count;
            if !polling.is_ready[index] {
                continue;
            }
            match self.sockets[index].recv_from(buffer) {
                Ok((len, from)) => {
                    self.routes().learn(from, index);
                    return Some(Received::Datagram { len, from: Address::Ip(from) });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    polling.is_ready[index] = false;
                }
                Err(error) => {
                    self.errors.fetch_add(1, Ordering::Relaxed);
                    if !is_of_the_network(&error) {
                        clock::pause(PAUSE_AFTER_ERROR);
                    }
                    return Some(Received::Nothing); // the socket stays ready: it may hold more
                }
            }
        }
        None
    }

    fn routes(&self) -> std::sync::MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for Several {
    fn local(&self) -> Address {
        Address::Ip(self.locals[0])
    }

    fn locals(&self) -> Vec<Address> {
        self.locals.iter().copied().map(Address::Ip).collect()
    }

    fn datagram_bytes_max(&self) -> usize {
        self.locals.iter().map(longest_datagram).min().unwrap_or(0)
    }

    fn unbroken_bytes_max(&self) -> usize {
        if self.is_unbroken { self.datagram_bytes_max() } else { DATAGRAM_BYTES_MAX }
    }

    fn send(&self, to: Address, datagram: &[u8]) -> Sent {
        let Address::Ip(to) = to else { return Sent::Failed };
        let known = self.routes().find(to);
        let same_family = || self.locals.iter().position(|local| local.is_ipv4() == to.is_ipv4());
        let Some(index) = known.or_else(same_family) else { return Sent::Failed };
        match self.sockets[index].send_to(datagram, to) {
            Ok(_) => Sent::Yes,
            Err(error) => classify_send(&error),
        }
    }

    fn further_ways(&self, count: usize) -> Vec<Arc<dyn Link>> {
        let way = |sockets| Self::with_routes(sockets, Arc::clone(&self.routes));
        ways::of_several(&self.sockets, &self.locals, count)
            .into_iter()
            .map_while(|sockets| Some(Arc::new(way(sockets).ok()?) as Arc<dyn Link>))
            .collect()
    }

    fn take(&self, buffer: &mut [u8]) -> Received {
        let polling = &mut *self.polling.lock().unwrap_or_else(PoisonError::into_inner);
        polling.is_ready.fill(true);
        self.pick_up(polling, buffer).unwrap_or(Received::Nothing)
    }

    fn receive(&self, buffer: &mut [u8], until: Option<Instant>) -> Received {
        let polling = &mut *self.polling.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.is_rung.swap(false, Ordering::SeqCst) {
                return Received::Nothing;
            }
            if let Some(received) = self.pick_up(polling, buffer) {
                return received;
            }
            let left = match until {
                None => None,
                Some(until) => match clock::left(until) {
                    None => return Received::Nothing,
                    left => left,
                },
            };
            if polling.poll.poll(&mut polling.events, left).is_err() {
                return Received::Nothing; // a signal; the caller looks around and waits again
            }
            for event in &polling.events {
                if let Some(is_ready) = polling.is_ready.get_mut(event.token().0) {
                    *is_ready = true;
                }
            }
        }
    }

    fn wake(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            let _ = self.bell.wake(); // fails only if it is rung already
        }
    }
}

/// Peers remembered at once. A power of two, so that a hash is cut by a mask.
const ROUTES_MAX: usize = 4096;

/// By which socket a peer was heard last: a table in which the later of two peers that share a
/// place wins.
#[derive(Debug)]
struct Routes {
    places: Vec<Option<(SocketAddr, usize)>>,
}

impl Routes {
    fn new() -> Self {
        Self { places: vec![None; ROUTES_MAX] }
    }

    fn learn(&mut self, peer: SocketAddr, socket: usize) {
        self.places[Self::place(peer)] = Some((peer, socket));
    }

    fn find(&self, peer: SocketAddr) -> Option<usize> {
        let (known, socket) = self.places[Self::place(peer)]?;
        (known == peer).then_some(socket)
    }

    /// FNV-1a over the peer's address and port.
    fn place(peer: SocketAddr) -> usize {
        let mut hash: u32 = 0x811c_9dc5;
        let mut eat = |byte: u8| hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        match peer {
            SocketAddr::V4(peer) => peer.ip().octets().into_iter().for_each(&mut eat),
            SocketAddr::V6(peer) => peer.ip().octets().into_iter().for_each(&mut eat),
        }
        peer.port().to_le_bytes().into_iter().for_each(eat);
        usize::try_from(hash).unwrap_or(0) & (ROUTES_MAX - 1)
    }
}
