//! Calls over streams: connections that break at every byte, servers that come back in another life,
//! many callers and many peers at a time. What holds over every transport is in `errors`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::disallowed_methods, reason = "peers of the system under test own their threads")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rpc_runtime::server::Running;
use rpc_runtime::wire::{self, Bye, ByeReason, Envelope, Pdu};
use rpc_runtime::{
    CallError, Channel, ErrorKind, Execution, Options, Server, SharedBytes, service,
};
use rpc_tests::transports::{SCHEMES, fresh};

#[service(name = "teller", version = "1.0")]
trait Teller {
    /// Counts, and says how often it did.
    #[rpc(timeout = "20s")]
    fn count(&self) -> Result<u64, CallError>;
    #[rpc(inline, timeout = "20s")]
    fn echo(&self, number: u64) -> Result<u64, CallError>;
    /// Counts, and says it at length.
    #[rpc(timeout = "2s")]
    fn tell(&self, bytes: u32) -> Result<Vec<u8>, CallError>;
    /// Gives the bytes back in the other order.
    #[rpc(timeout = "60s")]
    fn turn(&self, bytes: &[u8]) -> Result<Vec<u8>, CallError>;
    /// The same, behind others; a second block follows the first.
    #[rpc(timeout = "60s")]
    fn turn_shared(
        &self,
        before: &[u8],
        first: SharedBytes<'_>,
        second: SharedBytes<'_>,
    ) -> Result<Vec<u8>, CallError>;
    /// Counts, and takes its time.
    #[rpc(timeout = "20s")]
    fn dawdle(&self, millis: u64) -> Result<u64, CallError>;
}

#[derive(Clone, Default)]
struct Clerk(Arc<AtomicU64>);

impl Teller for Clerk {
    fn count(&self) -> Result<u64, CallError> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn echo(&self, number: u64) -> Result<u64, CallError> {
        Ok(number)
    }

    fn tell(&self, bytes: u32) -> Result<Vec<u8>, CallError> {
        self.count().map(|_| vec![7; usize::try_from(bytes).unwrap()])
    }

    fn turn(&self, bytes: &[u8]) -> Result<Vec<u8>, CallError> {
        Ok(bytes.iter().rev().copied().collect())
    }

    fn turn_shared(
        &self,
        before: &[u8],
        first: SharedBytes<'_>,
        second: SharedBytes<'_>,
    ) -> Result<Vec<u8>, CallError> {
        self.turn(&[before, &first, &second].concat())
    }

    fn dawdle(&self, millis: u64) -> Result<u64, CallError> {
        let counted = self.count();
        thread::sleep(Duration::from_millis(millis));
        counted
    }
}

fn serve(url: &str, clerk: &Clerk) -> Running {
    serve_by(1, url, clerk)
}

fn serve_by(lanes: usize, url: &str, clerk: &Clerk) -> Running {
    let server = Server::bind(url).unwrap().lanes(lanes);
    server.export(TellerService::new(clerk.clone())).spawn().unwrap()
}

fn connect(url: &str) -> TellerClient {
    TellerClient::connect(url).unwrap()
}

fn tcp(running: &Running) -> SocketAddr {
    running.url().strip_prefix("tcp://").unwrap().parse().unwrap()
}

/// A PDU that asks for nothing.
fn bye() -> Vec<u8> {
    let mut bytes = Vec::new();
    let pdu = Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] });
    wire::encode(&Envelope::default(), &pdu, &mut bytes);
    bytes
}

#[test]
fn a_call_before_its_server_is_there_waits_for_it() {
    for scheme in SCHEMES {
        let clerk = Clerk::default();
        let url = serve(&fresh(scheme), &clerk).url();
        let client = connect(&url);
        let call = client.start().count();
        thread::sleep(Duration::from_millis(100));
        let _running = serve(&url, &clerk);
        assert_eq!(call.wait().unwrap(), 1, "{scheme}");
    }
}

#[test]
fn a_call_of_a_server_that_restarted_is_in_doubt_and_the_next_one_finds_the_new_life() {
    for (scheme, lanes) in SCHEMES.into_iter().flat_map(|scheme| [(scheme, 1), (scheme, 2)]) {
        let clerk = Clerk::default();
        let first = serve_by(lanes, &fresh(scheme), &clerk);
        let url = first.url();
        let client = connect(&url);
        assert_eq!(client.count().unwrap(), 1);
        let call = client.start().dawdle(300);
        thread::sleep(Duration::from_millis(60));
        first.stop();
        let second = serve_by(lanes, &url, &clerk);
        let error = call.wait().unwrap_err();
        assert_eq!(error.execution(), Execution::Unknown, "{scheme}: {error}");
        assert_eq!(error.kind(), ErrorKind::ServerRestarted, "{scheme}: {error}");
        assert_eq!(client.count().unwrap(), 3, "{scheme}: the one in doubt ran once");
        assert_eq!(second.counters().begun, 1, "{scheme}");
    }
}

#[test]
fn many_callers_share_one_stream_and_nothing_is_sent_twice() {
    const CALLERS: u64 = 64;
    const CALLS: u64 = 200;
    for scheme in ["tcp", "unix", "shm", "mem"] {
        let clerk = Clerk::default();
        let running = serve(&fresh(scheme), &clerk);
        let client = connect(&running.url());
        thread::scope(|threads| {
            for caller in 0..CALLERS {
                let client = &client;
                threads.spawn(move || {
                    for number in 0..CALLS {
                        let number = caller << 32 | number;
                        assert_eq!(client.echo(number).unwrap(), number);
                    }
                    client.count().unwrap();
                });
            }
        });
        let pipeline: Vec<_> = (0..1_000).map(|number| client.start().echo(number)).collect();
        for (number, call) in (0..).zip(pipeline) {
            assert_eq!(call.wait().unwrap(), number);
        }
        assert_eq!(client.count().unwrap(), CALLERS + 1, "{scheme}");
        assert_eq!(running.counters().begun, CALLERS * (CALLS + 1) + 1_001, "{scheme}");
        let streams = running.streams();
        assert_eq!((streams.opened, streams.ended), (u64::from(scheme != "mem"), 0), "{scheme}");
    }
}

#[test]
fn large_messages_cross_every_transport_byte_for_byte() {
    for scheme in SCHEMES {
        let running = serve(&fresh(scheme), &Clerk::default());
        let client = connect(&running.url());
        for length in [1_200, 65_536, 1 << 20, 5 << 20] {
            let bytes: Vec<u8> =
                (0..length).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let mut back = client.turn(&bytes).unwrap();
            back.reverse();
            assert!(back == bytes, "{scheme}: {length} bytes came back changed");
        }
    }
}

#[test]
fn bytes_that_are_shared_cross_every_transport_and_are_given_back() {
    let pattern = |from: u32, length: u32| -> Arc<Vec<u8>> {
        let at = (from..from + length).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8);
        Arc::new(at.collect())
    };
    for scheme in SCHEMES {
        let running = serve(&fresh(scheme), &Clerk::default());
        let client = connect(&running.url());
        let too_long = Arc::new(vec![7; 17 << 20]);
        let error = client.turn_shared(&[], vec![].into(), (&too_long).into()).unwrap_err();
        assert_eq!(
            (error.kind(), error.execution()),
            (ErrorKind::TooLarge, Execution::NotExecuted)
        );
        assert_eq!(Arc::strong_count(&too_long), 1, "{scheme}");
        for (before, first, second) in [
            (0, 0, 0),
            (3, 65_400, 65_600),
            (70_000, 70_000, 70_000),
            (0, 100_000, 10),
            (150_000, 0, 1 << 20),
            (1_100, 0, 5 << 20),
        ] {
            let parts = [pattern(0, before), pattern(7, first), pattern(9, second)];
            let [before, first, second] = &parts;
            let mut back = client.turn_shared(before, first.into(), second.into()).unwrap();
            back.reverse();
            assert!(back == parts.clone().map(|part| part.to_vec()).concat(), "{scheme}: changed");
            // What still stands in a socket's queue holds on to it for a moment.
            let given_back = || parts.iter().all(|part| Arc::strong_count(part) == 1);
            assert!((0..1_000).any(|_| {
                thread::sleep(Duration::from_millis(if given_back() { 0 } else { 5 }));
                given_back()
            }));
        }
    }
}

/// Somebody between clients and a server who cuts each connection after so many bytes more than the
/// last, counted both ways.
fn cutting(server: SocketAddr, step: usize, last: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let budgets = (1..).map(|turn| turn * step).take_while(|bytes| *bytes < last);
        for budget in budgets.chain(std::iter::repeat(usize::MAX)) {
            let Ok((near, _)) = listener.accept() else { return };
            let Ok(far) = TcpStream::connect(server) else { return };
            let left = Arc::new(AtomicU64::new(budget as u64));
            let passing = [(&near, &far), (&far, &near)].map(|(from, to)| {
                let ends = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let left = Arc::clone(&left);
                thread::spawn(move || pass(ends, &left))
            });
            drop(passing); // it ends with the connection
        }
    });
    address
}

fn pass((mut from, mut to): (TcpStream, TcpStream), left: &AtomicU64) {
    let mut buffer = [0; 4_096];
    to.set_nodelay(true).unwrap();
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        let had = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            Some(left.saturating_sub(len as u64))
        });
        let may = usize::try_from(had.unwrap()).unwrap_or(usize::MAX).min(len);
        if to.write_all(&buffer[..may]).is_err() || may < len {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Somebody between a client and a server who reads so much of the answers and then no more, and goes
/// on to pass what the client says.
fn never_reading(server: SocketAddr, last: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let far = TcpStream::connect(server).unwrap();
        let (mut answers, mut asker) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        thread::spawn(move || pass((near, far), &AtomicU64::new(u64::MAX)));
        let mut buffer = [0; 1_024];
        let mut passed = 0;
        while passed < last {
            let Ok(len @ 1..) = answers.read(&mut buffer) else { return };
            passed += len;
            let _ = asker.write_all(&buffer[..len]);
        }
        // The clones keep the connection open, for as long as the test goes on.
        loop {
            thread::park();
        }
    });
    address
}

#[test]
fn a_reader_that_never_reads_costs_a_server_bounded_memory_and_its_own_calls_only() {
    let clerk = Clerk::default();
    let running = serve("tcp://127.0.0.1:0", &clerk);
    let stuck = connect(&format!("tcp://{}", never_reading(tcp(&running), 4_000)));
    assert!(stuck.count().is_ok());
    let client = connect(&running.url());
    let unread = thread::spawn(move || {
        let calls: Vec<_> = (0..40).map(|_| stuck.start().tell(1 << 20)).collect();
        calls.into_iter().filter_map(|call| call.wait().ok()).count()
    });
    while !unread.is_finished() {
        let told = client.tell(100_000).unwrap();
        assert_eq!(told.len(), 100_000);
        assert!(client.count().is_ok());
    }
    assert_eq!(unread.join().unwrap(), 0, "none is read to its end");
    let (streams, counters) = (running.streams(), running.counters());
    assert_eq!((streams.opened, streams.overrun), (2, 0), "given up after ten seconds only");
    // What finds no room in its stream is asked for now and then, and not poured on and on.
    assert!(counters.fragments_resent < 1_000, "{counters:?}");
}

#[test]
fn a_connection_that_breaks_at_every_byte_loses_no_call_and_runs_none_twice() {
    for lanes in [1, 2] {
        let clerk = Clerk::default();
        let running = serve_by(lanes, "tcp://127.0.0.1:0", &clerk);
        let client = connect(&format!("tcp://{}", cutting(tcp(&running), 11, 1_400)));
        let mut calls = 0;
        while running.streams().opened < 120 {
            calls += 1;
            assert_eq!(client.count().unwrap(), calls, "once each, in order");
        }
        let server = running.counters();
        assert_eq!(server.begun, calls);
        assert_eq!((server.malformed, running.streams().malformed), (0, 0), "a cut is no garbage");
    }
}

#[test]
fn a_long_call_outlives_its_stream_and_hears_of_it_at_once() {
    let clerk = Clerk::default();
    let running = serve("tcp://127.0.0.1:0", &clerk);
    // The handshake and the call take less; probes and the reply come by another stream.
    let client = connect(&format!("tcp://{}", cutting(tcp(&running), 600, 601)));
    assert_eq!(client.dawdle(150).unwrap(), 1);
    for _ in 0..20 {
        client.count().unwrap();
    }
    assert_eq!(running.counters().begun, 21);
    assert_eq!(running.streams().opened, 2);
}

#[test]
fn peers_that_keep_to_nothing_disturb_nobody() {
    let clerk = Clerk::default();
    let running = serve("tcp://127.0.0.1:0", &clerk);
    let client = connect(&running.url());
    assert_eq!(client.count().unwrap(), 1);
    let mut idle: Vec<_> = (0..200).map(|_| TcpStream::connect(tcp(&running)).unwrap()).collect();
    for peer in &mut idle {
        peer.write_all(&bye()).unwrap();
    }
    for first in [&b"GET / HTTP/1.1\r\n"[..], b"\x01", &[0xff; 4_000], b"\x16\x03\x01\x02\x00"] {
        let mut peer = TcpStream::connect(tcp(&running)).unwrap();
        let _ = peer.write_all(first);
        assert!(client.count().is_ok());
        idle.push(peer);
    }
    for number in 0..500 {
        assert_eq!(client.echo(number).unwrap(), number);
    }
    let streams = running.streams();
    assert_eq!((streams.opened, streams.malformed), (205, 3), "the one byte may be a beginning");
    drop(idle);
    assert!(client.count().is_ok());
}

#[test]
fn a_server_at_two_addresses_is_reached_at_both_and_kinds_do_not_mix() {
    let server = Server::bind("tcp://127.0.0.1:0").unwrap().also("tcp://[::1]:0").unwrap();
    let clerk = Clerk::default();
    let running = server.export(TellerService::new(clerk)).spawn().unwrap();
    assert_eq!(running.urls().len(), 2);
    for (number, url) in (1..).zip(running.urls()) {
        assert_eq!(connect(url).count().unwrap(), number);
    }
    for url in ["udp://127.0.0.1:0", "mem://also", "unix:///tmp/also", "shm:///tmp/also"] {
        let refused = Server::bind("tcp://127.0.0.1:0").unwrap().also(url).map(drop);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::BadAddress, "{url}");
    }
}

#[test]
fn a_silent_listener_ends_a_call_in_time_and_says_that_it_did_not_run() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let channel = Channel::connect(&format!("tcp://{}", silent.local_addr().unwrap())).unwrap();
    let client = TellerClient::on(&channel);
    let options = Options::new().timeout(Duration::from_millis(200));
    let error = client.with(options).count().unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::Unreachable, Execution::NotExecuted));
}
