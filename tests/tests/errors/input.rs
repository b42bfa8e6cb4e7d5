//! Bad input of every sort: each ends in a documented error or a counter, and disturbs no other
//! call. What a server is sent by hand stands in rpc-runtime/src/server/tests.rs, too.

use std::net::UdpSocket;
use std::sync::atomic::AtomicBool;

use rpc_runtime::address::Address;
use rpc_runtime::driver::{Link, Received};
use rpc_runtime::ids::{Incarnation, Sequence, SessionId};
use rpc_runtime::protocol::{ClientCounters, ServerCounters};
use rpc_runtime::wire::{self, DATAGRAM_BYTES_MAX, Pdu};
use rpc_runtime::{Channel, ErrorKind, Execution};

use super::kinds::{desk, own_place, within};
use super::*;

/// How long the simulated desk serves.
const SHOW: Duration = Duration::from_secs(2);

/// What somebody on the path may make of a datagram without being able to pass as the peer.
fn variants(datagram: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new(), b"hello?".to_vec(), vec![0xff; DATAGRAM_BYTES_MAX]];
    all.extend([1, 20, 30].map(|cut| datagram[..datagram.len().saturating_sub(cut)].to_vec()));
    let mut oversized = datagram.to_vec();
    oversized.resize(3_000, 0xa5); // few of them fill a socket's buffer
    all.push(oversized);
    let mut version = datagram.to_vec();
    version[0] = 9;
    all.push(version);
    let mut flipped = datagram.to_vec();
    flipped[datagram.len() - 1] ^= 1;
    all.push(flipped);
    all.extend(forgeries(datagram));
    all
}

/// Whole datagrams with a valid checksum, of another session, another life, another call.
fn forgeries(datagram: &[u8]) -> Vec<Vec<u8>> {
    let Ok((envelope, pdu, _)) = wire::decode(datagram) else { return Vec::new() };
    let encoded = |envelope, pdu: Pdu<'_>| {
        let mut out = Vec::new();
        wire::encode(&envelope, &pdu, &mut out);
        out
    };
    let session = SessionId(envelope.session.0 ^ 1);
    let incarnation = Incarnation(envelope.incarnation.0 ^ 1);
    let mut all = vec![
        encoded(wire::Envelope { session, ..envelope }, pdu),
        encoded(wire::Envelope { incarnation, ..envelope }, pdu),
        encoded(wire::Envelope { target: envelope.target ^ 1, ..envelope }, pdu),
    ];
    if let Pdu::Reply(reply) = pdu {
        let sequence = Sequence(reply.sequence.0 + 7);
        let forged = wire::Reply { sequence, body: b"\0\x63", ..reply };
        all.push(encoded(envelope, Pdu::Reply(forged)));
        let body = b"\0\x63";
        let foreign = wire::Envelope { session, ..envelope };
        all.push(encoded(foreign, Pdu::Reply(wire::Reply { body, ..reply })));
    }
    all
}

/// Somebody stands in the middle until this is dropped.
struct Show(Arc<AtomicBool>);

impl Drop for Show {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Passes datagrams on both ways, and sends all it can make of each before it.
fn stand_in_the_middle(front: &Arc<dyn Link>, back: Arc<dyn Link>, desk: Address) -> Show {
    let visitor = Arc::<Mutex<Option<Address>>>::default();
    let show = Show(Arc::default());
    let is_over = Arc::clone(&show.0);
    let pass = move |from: &dyn Link, to: &dyn Link, whom: &dyn Fn(Address) -> Option<Address>| {
        let mut buffer = [0; 2_048];
        while !is_over.load(Ordering::SeqCst) {
            let soon = here().now() + Duration::from_millis(50);
            let Received::Datagram { len, from } = from.receive(&mut buffer, Some(soon)) else {
                continue;
            };
            if let Some(peer) = whom(from) {
                for variant in variants(&buffer[..len]) {
                    to.send(peer, &variant);
                }
                to.send(peer, &buffer[..len]);
            }
        }
    };
    let (there, known) = ((Arc::clone(front), Arc::clone(&back)), Arc::clone(&visitor));
    let pass_there = pass.clone();
    here()
        .spawn(
            "there",
            Box::new(move || {
                pass_there(&*there.0, &*there.1, &|from| {
                    *known.lock().unwrap() = Some(from);
                    Some(desk)
                });
            }),
        )
        .unwrap();
    let front = Arc::clone(front);
    here()
        .spawn("back", Box::new(move || pass(&*back, &*front, &|_| *visitor.lock().unwrap())))
        .unwrap();
    show
}

/// Calls through the middle: all return what they should. Gives the client's counters.
fn visit_through(url: &str) -> ClientCounters {
    let through = desk(url).with(within(10_000));
    for number in 1..=20 {
        assert_eq!(through.count().unwrap(), number, "each ran once");
        assert_eq!(through.echo(&[7; 300]).unwrap(), [7; 300]);
    }
    Channel::connect(url).unwrap().stats().protocol
}

fn assert_all_was_counted(client: ClientCounters, server: ServerCounters) {
    let calls = 40;
    for (who, malformed) in [("client", client.malformed), ("server", server.malformed)] {
        assert!(malformed >= calls * 6, "{who}: {malformed} of all the garbage");
    }
    assert!(client.stale + client.foreign >= calls * 3, "{client:?}");
    assert!(server.sessionless + server.foreign >= calls * 2, "{server:?}");
    assert!(server.duplicates_suppressed > 0, "what stands before the damage is a copy");
    assert_eq!((server.begun, server.mismatches), (calls, 0));
}

#[test]
fn garbage_truncated_oversized_foreign_and_forged_datagrams_are_counted_on_sockets() {
    let service = DeskService::new(Clerk::default());
    let running = Server::bind("udp://127.0.0.1:0").unwrap().export(service).spawn().unwrap();
    let front = here().listen("127.0.0.1:0").unwrap();
    let (back, address) = here().dial(running.url().trim_start_matches("udp://")).unwrap();
    let _show = stand_in_the_middle(&front, back, address);
    let client = visit_through(&format!("udp://{}", front.local()));
    let direct = desk(&running.url());
    assert_eq!(direct.count().unwrap(), 21, "other clients are not disturbed");
    let mut server = running.counters();
    server.begun -= 1;
    assert_all_was_counted(client, server);
}

#[test]
fn garbage_truncated_oversized_foreign_and_forged_datagrams_are_counted_in_the_simulator() {
    let simulation = Simulation::new(3);
    let counters = Arc::<Mutex<Option<ServerCounters>>>::default();
    let told = Arc::clone(&counters);
    simulation.with(|control| {
        control.net.set_datagram_bytes_max(65_000);
        let hosts = ["desk", "middle", "visitor"].map(|name| control.add_host(name));
        control.spawn(hosts[0], "desk", true, move || {
            let service = DeskService::new(Clerk::default());
            let running = Server::bind("sim://desk").unwrap().export(service).spawn().unwrap();
            rest(SHOW);
            *told.lock().unwrap() = Some(running.counters());
        });
        control.spawn(hosts[1], "middle", false, || {
            let front = here().listen("middle").unwrap();
            let (back, address) = here().dial("desk").unwrap();
            let _show = stand_in_the_middle(&front, back, address);
            stay();
        });
    });
    let learned = Arc::<Mutex<Option<ClientCounters>>>::default();
    let client = Arc::clone(&learned);
    simulation.with(|control| {
        let visitor = control.host("visitor").unwrap();
        control.spawn(visitor, "visitor", true, move || {
            *client.lock().unwrap() = Some(visit_through("sim://middle"));
        });
    });
    assert_eq!(simulation.run_until_finished(at(60_000)), Ended::Reached);
    let (client, server) = (learned.lock().unwrap().take(), counters.lock().unwrap().take());
    assert_all_was_counted(client.unwrap(), server.unwrap());
}

#[test]
fn a_call_on_top_of_a_full_queue_of_the_client_ends_at_once() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let desk = desk(&format!("udp://{}", silent.local_addr().unwrap())).with(within(60_000));
    let calls: Vec<_> = (0..4_096).map(|_| desk.start().count()).collect();
    let error = desk.count().unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::NoFreeSlot, Execution::NotExecuted));
    for call in calls {
        call.cancel();
        let error = call.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "those before were not disturbed");
    }
}

#[test]
fn an_address_in_use_is_said_so_and_the_server_that_has_it_serves_on() {
    let case = Case::of(|url| {
        let service = || DeskService::new(Clerk::default());
        let running = Server::bind(&own_place(url)).unwrap().export(service()).spawn().unwrap();
        let error = Server::bind(&running.url()).map(drop).unwrap_err();
        assert_eq!(desk(&running.url()).count().unwrap(), 1);
        error
    });
    for (_, error) in case.everywhere() {
        assert_eq!(
            (error.kind(), error.execution()),
            (ErrorKind::BadAddress, Execution::NotExecuted)
        );
        assert!(error.to_string().contains("in use"), "{error}");
    }
}

#[test]
fn a_wrong_url_or_an_unknown_option_in_one_says_what_is_wrong() {
    for (url, text) in [
        ("", "not executed: `` has no scheme: write `udp://127.0.0.1:7001`"),
        ("udp://", "not executed: `udp://` names no place: write `udp://127.0.0.1:7001`"),
        ("udp://127.0.0.1", "not executed: 127.0.0.1 does not name a reachable place"),
        ("udp://127.0.0.1:99999", "not executed: 127.0.0.1:99999 does not name a reachable place"),
        ("tcp://127.0.0.1", "not executed: 127.0.0.1 does not name a reachable place"),
        ("tcp://0.0.0.0:1", "not executed: 0.0.0.0:1 (all addresses of a host) does not name a"),
        ("unix://a\0b", "not executed: a\0b does not name a reachable place"),
        ("shm://a\0b", "not executed: a\0b does not name a reachable place"),
        ("mem://a/b", "not executed: a/b does not name a reachable place"),
        ("quic://127.0.0.1:1", "not executed: `quic` in `quic://127.0.0.1:1` is no known scheme"),
        ("sim://desk", "not executed: `sim://desk` exists inside a simulation only"),
        (
            "binder://127.0.0.1:1/desk?vresion=1",
            "not executed: \"binder://127.0.0.1:1/desk?vresion=1\" is no URL of a service: \
             \"vresion=1\" is not version=REQUIREMENT",
        ),
        ("binder://127.0.0.1:1/desk?version=one", "not executed: \"binder://127.0.0.1:1/desk?ver"),
        ("binder://127.0.0.1:1", "not executed: \"binder://127.0.0.1:1\" is no URL of a service"),
    ] {
        let error = DeskClient::connect(url).unwrap_err();
        assert_eq!(
            (error.kind(), error.execution()),
            (ErrorKind::BadAddress, Execution::NotExecuted)
        );
        assert!(error.to_string().starts_with(text), "{url}: {error}");
    }
}

#[test]
fn a_server_that_dies_mid_call_is_told_from_one_that_is_silent() {
    // Over sockets: the process goes on, the server does not.
    let running = Server::bind("udp://127.0.0.1:0")
        .unwrap()
        .export(DeskService::new(Clerk::default()))
        .spawn()
        .unwrap();
    let desk = desk(&running.url()).with(within(1_500));
    assert_eq!(desk.count().unwrap(), 1);
    let connection = Channel::connect(&running.url()).unwrap(); // the same one
    let heard = || {
        let counters = connection.stats().protocol;
        counters.datagrams_in - counters.stale
    };
    let before = heard();
    let error = thread::scope(|threads| {
        let call = threads.spawn(|| desk.wait().unwrap_err());
        // The server has nothing to say but that it is at work.
        eventually("a word from the server", || heard() > before || call.is_finished());
        running.stop();
        call.join().unwrap()
    });
    assert_eq!((error.kind(), error.execution()), (ErrorKind::NoReply, Execution::Unknown));
    assert!(error.evidence().working_seen, "it was at work when last heard");
    let error = desk.count().unwrap_err();
    assert_eq!(error.execution(), Execution::Unknown, "handed over to a session that may live");
}
