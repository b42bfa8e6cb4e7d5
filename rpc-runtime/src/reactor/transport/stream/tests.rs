//! Streams on real sockets: what crosses, what is cut, and peers that keep to nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use super::crowd::Bounds;
use super::listening::{Listener, Listening};
use super::*;
use crate::driver::{Link, LinkError, Received, Sent};
use crate::reactor::clock;
use crate::time::Instant;
use crate::wire::{self, Bye, ByeReason, Cookie, Envelope, Nonce, Pdu};

mod crowds;

/// A PDU that tells which one it is.
fn pdu(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let cookie = Cookie { nonce: Nonce(number), cookie: [0; wire::COOKIE_BYTES] };
    wire::encode(&Envelope::default(), &Pdu::Cookie(cookie), &mut bytes);
    bytes
}

fn bye() -> Vec<u8> {
    let mut bytes = Vec::new();
    let pdu = Pdu::Bye(Bye { reason: ByeReason::Done, pad: [0; 3] });
    wire::encode(&Envelope::default(), &pdu, &mut bytes);
    bytes
}

/// The numbers of the PDUs of a datagram; a BYE is 0.
fn numbers(mut bytes: &[u8]) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Ok((_, pdu, rest)) = wire::decode(bytes) {
        bytes = rest;
        numbers.push(if let Pdu::Cookie(cookie) = pdu { cookie.nonce.0 } else { 0 });
    }
    assert!(bytes.is_empty(), "whole PDUs only");
    numbers
}

/// A listener, who dials it and how, and a folder for the socket.
type Pair = (Arc<dyn Link>, Arc<dyn Link>, Address, tempfile::TempDir);

/// One in each transport.
fn pairs() -> Vec<Pair> {
    let pair = |place: &dyn Fn(&str) -> String| {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path().to_str().unwrap());
        let server = super::super::listen(&place).unwrap();
        let place = match server.local() {
            Address::Tcp(address) => format!("tcp://{address}"),
            Address::Ip(_)
            | Address::Local(_)
            | Address::Virtual(_)
            | Address::VirtualStream(_) => place,
        };
        let (client, to) = super::super::dial(&place).unwrap();
        (server, client, to, folder)
    };
    vec![
        pair(&|_| "tcp://127.0.0.1:0".to_owned()),
        pair(&|_| "tcp://[::1]:0".to_owned()),
        pair(&|folder| format!("unix://{folder}/socket")),
    ]
}

fn soon() -> Option<Instant> {
    Some(clock::now() + Duration::from_secs(10))
}

/// The next numbers that come, and from where.
fn hear(link: &dyn Link) -> (Vec<u64>, Address) {
    let mut buffer = vec![0; link.datagram_bytes_max()];
    let end = soon();
    loop {
        match link.receive(&mut buffer, end) {
            Received::Datagram { len, from } => return (numbers(&buffer[..len]), from),
            Received::Nothing | Received::Broken => {
                assert!(clock::now() < end.unwrap(), "nothing comes");
            }
            Received::Closed => panic!("closed"),
        }
    }
}

/// Lets the link look after its sockets until `is_done`.
fn until(link: &dyn Link, is_done: impl Fn() -> bool) {
    let mut buffer = vec![0; link.datagram_bytes_max()];
    let end = clock::now() + Duration::from_secs(10);
    while !is_done() {
        assert!(clock::now() < end, "it never happens: {:?}", link.streams());
        let _ = link.receive(&mut buffer, Some(clock::now() + Duration::from_millis(1)));
    }
}

fn held_to(bounds: Bounds) -> (Arc<Listening>, std::net::SocketAddr) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Listener::new(socket.into(), Address::Tcp(address), None);
    (Arc::new(Listening::on(vec![listener], bounds).unwrap()), address)
}

fn in_thread<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> impl FnOnce() -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().spawn(move || {
        let _ = sender.send(body());
    });
    drop(thread.expect("a thread"));
    move || receiver.recv_timeout(Duration::from_secs(20)).expect("the thread ends in time")
}

#[test]
fn pdus_cross_and_their_sender_can_be_answered() {
    for (server, client, to, _folder) in pairs() {
        assert_eq!(client.send(to, &pdu(1)), Sent::Yes);
        let (came, from) = hear(&*server);
        assert_eq!(came, [1]);
        assert_eq!(server.send(from, &pdu(2)), Sent::Yes);
        assert_eq!(hear(&*client), (vec![2], to));
        assert_eq!(server.send(to, &pdu(3)), Sent::Failed, "nobody calls from there");
        assert_eq!(client.send(from, &pdu(3)), Sent::Failed, "a stream leads to one place");
    }
}

#[test]
fn one_read_serves_all_pdus_that_it_brings() {
    for (server, client, to, _folder) in pairs() {
        for number in 1..=20 {
            assert_eq!(client.send(to, &pdu(number)), Sent::Yes);
        }
        let (came, from) = hear(&*server);
        assert_eq!(came, (1..=20).collect::<Vec<_>>());
        for number in 1..=20 {
            assert_eq!(server.send(from, &pdu(number)), Sent::Yes);
        }
        assert_eq!(hear(&*client).0.len(), 20);
    }
}

#[test]
fn a_stream_cut_at_every_byte_is_put_together() {
    let (server, address) = held_to(Bounds::default());
    let whole = [pdu(1), pdu(2)].concat();
    for cut in 1..whole.len() {
        let mut peer = TcpStream::connect(address).unwrap();
        peer.set_nodelay(true).unwrap();
        peer.write_all(&whole[..cut]).unwrap();
        let mut came = Vec::new();
        if cut >= pdu(1).len() {
            came.extend(hear(&*server).0);
        } else {
            // The beginning is read before the rest comes.
            let _ = server.receive(&mut vec![0; READ_BYTES_MAX], Some(clock::now()));
        }
        peer.write_all(&whole[cut..]).unwrap();
        while came.len() < 2 {
            came.extend(hear(&*server).0);
        }
        assert_eq!(came, [1, 2], "cut at {cut}");
    }
    assert_eq!(server.streams().malformed, 0);
}

#[test]
fn a_caller_puts_together_what_is_cut_at_every_byte() {
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (client, to) = tcp::dial(&place.local_addr().unwrap().to_string()).unwrap();
    assert_eq!(client.send(to, &pdu(0)), Sent::Yes);
    let (mut peer, _) = place.accept().unwrap();
    peer.set_nodelay(true).unwrap();
    let whole = pdu(7);
    for cut in 1..whole.len() {
        peer.write_all(&whole[..cut]).unwrap();
        assert_eq!(client.take(&mut [0; 2_048]), Received::Nothing);
        peer.write_all(&whole[cut..]).unwrap();
        assert_eq!(hear(&*client).0, [7], "cut at {cut}");
    }
}

#[test]
fn what_is_no_pdu_ends_its_own_stream_only() {
    let (server, address) = held_to(Bounds::default());
    let mut good = TcpStream::connect(address).unwrap();
    good.write_all(&pdu(1)).unwrap();
    let (_, from) = hear(&*server);
    let mut long = pdu(3);
    long[6] = 1;
    let garbage = [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 70_000], long];
    for (count, garbage) in (1..).zip(garbage) {
        let mut bad = TcpStream::connect(address).unwrap();
        bad.write_all(&pdu(9)).unwrap();
        let _ = bad.write_all(&garbage); // it may be closed before it is whole
        assert_eq!(hear(&*server).0, [9], "what came before counts");
        until(&*server, || server.streams().malformed == count);
        let _ = bad.read_to_end(&mut Vec::new()); // an end, or a reset
    }
    good.write_all(&pdu(4)).unwrap();
    assert_eq!(hear(&*server), (vec![4], from));
    assert_eq!(server.streams().ended, 0);
}

#[test]
fn a_caller_closes_a_stream_that_brings_no_pdu_and_opens_another() {
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (client, to) = tcp::dial(&place.local_addr().unwrap().to_string()).unwrap();
    assert_eq!(client.send(to, &pdu(1)), Sent::Yes);
    place.accept().unwrap().0.write_all(b"220 smtp.example.org\r\n").unwrap();
    until(&*client, || client.streams().malformed == 1);
    until(&*client, || client.send(to, &bye()) == Sent::Yes); // at once, or after a pause
    let (mut peer, _) = place.accept().unwrap();
    let mut come = vec![0; bye().len()];
    peer.read_exact(&mut come).unwrap();
    assert_eq!(numbers(&come), [0], "nothing of the former stream");
    assert_eq!(client.streams().opened, 2);
}

#[test]
fn a_reader_that_never_reads_is_sent_no_more_and_loses_its_own_stream_only() {
    let patience = Duration::from_millis(300);
    let bounds = Bounds { stream_bytes_max: 100_000, patience, ..Bounds::default() };
    let (server, address) = held_to(bounds);
    let mut streams = [address; 2].map(|address| TcpStream::connect(address).unwrap());
    let mut callers = Vec::new();
    for stream in &mut streams {
        stream.write_all(&pdu(1)).unwrap();
        callers.push(hear(&*server).1);
    }
    let many = pdu(2).repeat(17);
    let sent = (0..).take_while(|_| server.send(callers[0], &many) == Sent::Yes).count();
    assert!(sent * many.len() >= bounds.stream_bytes_max);
    until(&*server, || server.streams().overrun == 1);
    assert_eq!(server.send(callers[0], &many), Sent::Failed);
    assert_eq!(server.send(callers[1], &pdu(3)), Sent::Yes);
    let mut come = vec![0; pdu(3).len()];
    streams[1].read_exact(&mut come).unwrap();
    assert_eq!(numbers(&come), [3]);
}

#[test]
fn a_reader_that_lags_keeps_its_stream_and_is_not_heard_until_it_has_read() {
    let (server, address) = held_to(Bounds { stream_bytes_max: 100_000, ..Bounds::default() });
    let mut streams = [address; 2].map(|address| TcpStream::connect(address).unwrap());
    let mut callers = Vec::new();
    for stream in &mut streams {
        stream.write_all(&pdu(1)).unwrap();
        callers.push(hear(&*server).1);
    }
    let many = pdu(2).repeat(17);
    let sent = (0..).take_while(|_| server.send(callers[0], &many) == Sent::Yes).count();
    assert_eq!(server.send(callers[0], &many), Sent::Full);
    let [lagging, other] = &mut streams;
    lagging.write_all(&pdu(5)).unwrap();
    other.write_all(&pdu(6)).unwrap();
    assert_eq!(hear(&*server), (vec![6], callers[1]), "it would only ask for more");
    let mut lagging = lagging.try_clone().unwrap();
    let reader = in_thread(move || {
        let mut come = vec![0; sent * many.len()];
        lagging.read_exact(&mut come).unwrap();
        many
    });
    assert_eq!(hear(&*server), (vec![5], callers[0]));
    let done = Arc::clone(&server);
    let flushed =
        in_thread(
            move || {
                while done.receive(&mut vec![0; READ_BYTES_MAX], None) != Received::Nothing {}
            },
        );
    let many = reader();
    server.wake();
    flushed();
    assert_eq!(server.send(callers[0], &many), Sent::Yes);
    assert_eq!((server.streams().overrun, server.streams().ended), (0, 0));
}

#[test]
fn a_slow_reader_gets_all_that_was_written() {
    let (server, address) = held_to(Bounds { stream_bytes_max: 16 << 20, ..Bounds::default() });
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&pdu(1)).unwrap();
    let (_, from) = hear(&*server);
    let many: Vec<u8> = (0..200_000).flat_map(pdu).collect();
    for piece in many.chunks(pdu(0).len() * 20) {
        assert_eq!(server.send(from, piece), Sent::Yes);
    }
    let bytes = many.len();
    let reader = in_thread(move || {
        let mut come = vec![0; bytes];
        stream.read_exact(&mut come).unwrap();
        (come, stream)
    });
    let flusher = Arc::clone(&server);
    let flushed = in_thread(move || {
        while flusher.receive(&mut vec![0; READ_BYTES_MAX], None) != Received::Nothing {}
    });
    let (come, _stream) = reader();
    server.wake();
    flushed();
    assert!(come == many, "in order and whole");
}

#[test]
fn who_sends_nothing_whole_is_closed_in_time() {
    let patience = Duration::from_millis(40);
    let (server, address) = held_to(Bounds { patience, ..Bounds::default() });
    let _silent = TcpStream::connect(address).unwrap();
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(&pdu(1)).unwrap();
    let mut idle = TcpStream::connect(address).unwrap();
    idle.write_all(&pdu(1)).unwrap();
    let (mut from, mut begun) = (Vec::new(), clock::now());
    while from.len() < 2 {
        from.push(hear(&*server).1);
    }
    slow.write_all(&pdu(2)[..30]).unwrap();
    until(&*server, || server.streams().stalled == 2);
    assert!(clock::now() - patience >= begun, "not before its time");
    begun = clock::now() + patience * 2;
    until(&*server, || clock::now() > begun);
    idle.write_all(&pdu(3)).unwrap();
    assert_eq!(hear(&*server).0, [3], "who is between two PDUs may take its time");
    assert_eq!(server.streams().stalled, 2);
}

#[test]
fn one_stream_too_many_is_refused_and_room_is_given_back() {
    let (server, address) = held_to(Bounds { streams_max: 2, ..Bounds::default() });
    let first = TcpStream::connect(address).unwrap();
    let _second = TcpStream::connect(address).unwrap();
    until(&*server, || server.streams().opened == 2);
    let mut third = TcpStream::connect(address).unwrap();
    until(&*server, || server.streams().refused == 1);
    assert_eq!(third.read(&mut [0; 8]).unwrap_or(0), 0);
    drop(first);
    until(&*server, || server.streams().ended == 1);
    let mut fourth = TcpStream::connect(address).unwrap();
    fourth.write_all(&pdu(4)).unwrap();
    assert_eq!(hear(&*server).0, [4]);
}

#[test]
fn a_broken_stream_is_opened_again_by_what_is_sent_next() {
    for (server, client, to, _folder) in pairs() {
        assert_eq!(client.send(to, &pdu(1)), Sent::Yes);
        let (_, first) = hear(&*server);
        let place = match server.local() {
            Address::Tcp(address) => format!("tcp://{address}"),
            Address::Ip(_) | Address::Virtual(_) | Address::VirtualStream(_) => {
                unreachable!("these are streams")
            }
            Address::Local(_) => format!("unix://{}/socket", _folder.path().to_str().unwrap()),
        };
        drop(server);
        until(&*client, || client.streams().ended == 1);
        assert_eq!(client.send(to, &pdu(2)), Sent::Full, "nobody is there");
        let server = super::super::listen(&place).unwrap();
        until(&*client, || client.send(to, &pdu(3)) == Sent::Yes);
        let (came, second) = hear(&*server);
        assert_eq!(came, [3]);
        assert_ne!(first, second);
        assert_eq!(client.streams().opened, 2);
    }
}

#[test]
fn a_wait_ends_by_time_by_wake_and_not_before() {
    for (server, client, to, _folder) in pairs() {
        client.send(to, &pdu(1));
        assert_eq!(hear(&*server).0, [1]);
        // Both are kept until both were tried: the end of one is news to the other.
        for link in [&server, &client].map(Arc::clone) {
            let mut buffer = vec![0; 2_048];
            for wait_ms in [1, 3, 9] {
                let end = clock::now() + Duration::from_millis(wait_ms);
                while clock::now() < end {
                    assert_eq!(link.receive(&mut buffer, Some(end)), Received::Nothing);
                }
            }
            let waiter = Arc::clone(&link);
            let end = in_thread(move || {
                for _ in 0..50 {
                    assert_eq!(waiter.receive(&mut [0; 2_048], None), Received::Nothing);
                }
            });
            let (done, is_done) = std::sync::mpsc::channel();
            let waker = in_thread(move || {
                while is_done.try_recv().is_err() {
                    link.wake();
                    clock::pause(Duration::from_micros(300));
                }
            });
            end();
            done.send(()).unwrap();
            waker();
        }
    }
}

#[test]
fn an_abandoned_socket_is_taken_over_and_a_live_one_or_another_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bank.sock");
    let place = path.to_str().unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // leaves its file
    assert!(path.exists());
    let live = unix::listen(place).unwrap();
    let in_use = LinkError::InUse(place.to_owned());
    assert_eq!(unix::listen(place).map(drop), Err(in_use.clone()));
    drop(live);
    assert!(!path.exists(), "the file goes with its listener");
    std::fs::write(&path, "accounts").unwrap();
    assert_eq!(unix::listen(place).map(drop), Err(in_use));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "accounts");
    for place in ["", "a\0b", &"x".repeat(200)] {
        assert!(matches!(unix::listen(place), Err(LinkError::Unresolved(_))), "{place}");
        assert!(matches!(unix::dial(place), Err(LinkError::Unresolved(_))), "{place}");
    }
}

#[test]
fn who_holds_a_lock_on_the_folder_keeps_nobody_waiting_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("{}/bank.sock", folder.path().to_str().unwrap());
    let held = std::fs::File::open(folder.path()).unwrap();
    held.lock().unwrap();
    let listens = in_thread(move || (unix::listen(&place).map(drop), place));
    let (busy, place) = listens();
    assert!(matches!(busy, Err(LinkError::System(..))), "{busy:?}");
    drop(held);
    assert!(unix::listen(&place).is_ok());
}

#[test]
fn a_taken_port_is_said_to_be_in_use_and_several_addresses_are_one_endpoint() {
    let server = tcp::listen("127.0.0.1:0,[::1]:0").unwrap();
    assert_eq!(server.locals().len(), 2);
    for local in server.locals() {
        let Address::Tcp(address) = local else { panic!("{local}") };
        let place = address.to_string();
        assert_eq!(tcp::listen(&place).map(drop), Err(LinkError::InUse(place.clone())));
        let (client, to) = tcp::dial(&place).unwrap();
        assert_eq!(client.send(to, &pdu(5)), Sent::Yes);
        assert_eq!(hear(&*server).0, [5]);
    }
}
