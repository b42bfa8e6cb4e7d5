//! Two ends on real sockets and memory: what crosses, who wakes whom, and peers that keep to nothing.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;

use socket2::{Domain, Socket, Type};

use super::callers::Peers;
use super::handshake::{GREETING, REGION_BYTES};
use super::system::{self, Region};
use super::*;
use crate::driver::{Received, Sent};
use crate::reactor::clock;
use crate::time::Instant;

mod killed;

struct Pair {
    server: Arc<Listening>,
    client: Arc<dyn Link>,
    to: Address,
    path: String,
    _folder: tempfile::TempDir,
}

fn held_to(bounds: Bounds, path: &str) -> Arc<Listening> {
    let way = way(path).unwrap();
    let (socket, name) = unix::bind_named(&way, path).unwrap();
    Arc::new(Listening::on((socket, Some(name)), way.address, bounds).unwrap())
}

fn pair_held_to(bounds: Bounds) -> Pair {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket").to_str().unwrap().to_owned();
    let server = held_to(bounds, &path);
    let (client, to) = dial(&path).unwrap();
    assert_eq!(server.local(), to);
    Pair { server, client, to, path, _folder: folder }
}

fn pair() -> Pair {
    pair_held_to(Bounds::default())
}

fn soon() -> Instant {
    clock::now() + Duration::from_secs(10)
}

/// The next that comes, and from where.
fn hear(link: &dyn Link) -> (Vec<u8>, Address) {
    let mut buffer = vec![0; link.datagram_bytes_max()];
    let end = soon();
    loop {
        match link.receive(&mut buffer, Some(end)) {
            Received::Datagram { len, from } => return (buffer[..len].to_vec(), from),
            Received::Nothing | Received::Broken => assert!(clock::now() < end, "nothing comes"),
            Received::Closed => panic!("closed"),
        }
    }
}

/// Lets the link look after its peers until `is_done`.
fn until(link: &dyn Link, is_done: impl Fn() -> bool) {
    let mut buffer = vec![0; link.datagram_bytes_max()];
    let end = soon();
    while !is_done() {
        assert!(clock::now() < end, "it never happens: {:?}", link.streams());
        let _ = link.receive(&mut buffer, Some(clock::now() + Duration::from_millis(1)));
    }
}

/// Somebody who connects, and shares memory with the server as it likes.
struct Stranger {
    socket: UnixStream,
    region: Region,
}

impl Stranger {
    fn greet(path: &str) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        let (region, gift) = Region::create(REGION_BYTES).unwrap();
        let sent = system::send_with(&socket.try_clone().unwrap().into(), &GREETING, &gift);
        assert_eq!(sent.unwrap(), GREETING.len());
        Self { socket, region }
    }

    fn is_closed(&mut self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 64];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(1..) => {}
                Ok(0) => return true,
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    }
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
fn datagrams_cross_and_their_sender_can_be_answered() {
    let Pair { server, client, to, _folder, .. } = pair();
    assert_eq!(client.send(to, b"one"), Sent::Yes);
    assert_eq!(client.send(to, b"two"), Sent::Yes);
    let (came, from) = hear(&*server);
    assert_eq!(came, b"onetwo", "one read brings both");
    assert_eq!(server.send(from, b"three"), Sent::Yes);
    assert_eq!(hear(&*client), (b"three".to_vec(), to));
    let longest = vec![7; client.datagram_bytes_max()];
    assert_eq!(client.send(to, &longest), Sent::Yes);
    assert!(hear(&*server).0 == longest);
    assert_eq!(client.send(to, &[longest, vec![7]].concat()), Sent::Failed);
    assert_eq!(client.send(to, &[]), Sent::Failed);
    assert_eq!(server.send(to, b"x"), Sent::Failed, "nobody calls from there");
    assert_eq!(client.send(from, b"x"), Sent::Failed, "rings lead to one place");
    assert_eq!((server.streams().opened, client.streams().opened), (1, 1));
}

#[test]
fn both_ends_wake_each_other_wherever_they_sleep() {
    let Pair { server, client, to, _folder, .. } = pair();
    let echo = in_thread(move || {
        let mut buffer = vec![0; server.datagram_bytes_max()];
        loop {
            if let Received::Datagram { len, from } = server.receive(&mut buffer, None) {
                assert_eq!(server.send(from, &buffer[..len]), Sent::Yes);
                if buffer[..len] == *b"end" {
                    return server.streams();
                }
            }
        }
    });
    for turn in 0..3_000_u64 {
        assert_eq!(client.send(to, &turn.to_le_bytes()), Sent::Yes);
        assert_eq!(hear(&*client).0, turn.to_le_bytes());
        if turn % 300 == 0 {
            clock::pause(BLOCKED * 2); // the server sleeps in its poll by then, or soon
        }
    }
    client.send(to, b"end");
    assert_eq!(hear(&*client).0, b"end");
    assert_eq!(echo().ended, 0);
}

#[test]
fn many_callers_of_one_server_are_all_heard() {
    const CALLERS: usize = 8;
    const TURNS: usize = 500;
    let Pair { server, path, _folder, .. } = pair();
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let path = path.clone();
            in_thread(move || {
                let (client, to) = dial(&path).unwrap();
                for turn in 0..TURNS {
                    let call = [number, turn].map(usize::to_le_bytes).concat();
                    assert_eq!(client.send(to, &call), Sent::Yes);
                    assert_eq!(hear(&*client).0, call);
                }
            })
        })
        .collect();
    let mut buffer = vec![0; server.datagram_bytes_max()];
    for _ in 0..CALLERS * TURNS {
        let (call, from) = loop {
            if let Received::Datagram { len, from } = server.receive(&mut buffer, Some(soon())) {
                break (&buffer[..len], from);
            }
        };
        assert_eq!(server.send(from, call), Sent::Yes);
    }
    for caller in callers {
        caller();
    }
    until(&*server, || server.streams().ended == CALLERS as u64);
    assert_eq!(server.streams().opened, CALLERS as u64);
}

#[test]
fn a_wait_ends_by_time_by_wake_and_not_before() {
    let Pair { server, client, to, _folder, .. } = pair();
    assert_eq!(client.send(to, b"x"), Sent::Yes);
    let (_, from) = hear(&*server);
    assert_eq!(server.send(from, b"y"), Sent::Yes);
    hear(&*client);
    // Both are kept until both were tried: the end of one is news to the other.
    let server: Arc<dyn Link> = server;
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

#[test]
fn lost_rings_are_made_again_by_what_is_sent_next() {
    let Pair { server, client, to, path, _folder, .. } = pair();
    assert_eq!(client.send(to, b"1"), Sent::Yes);
    let (_, first) = hear(&*server);
    drop(server);
    until(&*client, || client.streams().ended == 1);
    assert_eq!(client.send(to, b"2"), Sent::Full, "nobody is there");
    let server = held_to(Bounds::default(), &path);
    until(&*client, || client.send(to, b"3") == Sent::Yes);
    let (came, second) = hear(&*server);
    assert_eq!(came, b"3");
    assert_ne!(first, second);
    assert_eq!(client.streams().opened, 2);
}

#[test]
fn who_only_sends_finds_out_that_the_server_died_wherever_it_slept() {
    for asleep in [pipe::AWAKE, pipe::AT_WORD, pipe::IN_POLL] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket").to_str().unwrap().to_owned();
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let (client, to) = dial(&path).unwrap();
        assert_eq!(client.send(to, b"1"), Sent::Yes);
        let socket = Arc::new(listener.accept().unwrap().0.into());
        let region = handshake::welcome(&socket).unwrap().unwrap();
        let pipe = pipe::Pipe::new(socket, region, ring::Side::Called);
        pipe.announce(asleep);
        drop(pipe); // as the system does for who was killed
        let end = soon();
        while client.streams().opened < 2 {
            assert!(clock::now() < end, "it goes on sending to nobody: {asleep}");
            client.send(to, b"2");
        }
        assert_eq!(client.streams().ended, 1);
    }
}

#[test]
fn what_the_server_said_before_it_died_is_heard() {
    let Pair { server, client, to, _folder, .. } = pair();
    assert_eq!(client.send(to, b"1"), Sent::Yes);
    let (_, from) = hear(&*server);
    assert_eq!(server.send(from, b"2"), Sent::Yes);
    drop(server);
    assert_eq!(hear(&*client).0, b"2");
    until(&*client, || client.streams().ended == 1);
}

#[test]
fn what_is_not_shared_as_agreed_is_refused_and_disturbs_nobody() {
    let Pair { server, client, to, path, _folder, .. } = pair();
    assert_eq!(client.send(to, b"1"), Sent::Yes);
    let (_, from) = hear(&*server);
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    let memory = |bytes, seals| system::anonymous(bytes, seals).unwrap();
    let cases: Vec<(&[u8], Option<std::os::fd::OwnedFd>)> = vec![
        (&GREETING, None),
        (&GREETING[..15], Some(memory(REGION_BYTES, seals))),
        (b"rpc-runtime shm\x01", Some(memory(REGION_BYTES, seals))),
        (&GREETING, Some(memory(REGION_BYTES, 0))),
        (&GREETING, Some(memory(REGION_BYTES, libc::F_SEAL_GROW | libc::F_SEAL_SEAL))),
        (&GREETING, Some(memory(REGION_BYTES - 4_096, seals))),
        (&GREETING, Some(tempfile::tempfile().unwrap().into())),
    ];
    for (count, (greeting, gift)) in (1..).zip(cases) {
        let mut socket = UnixStream::connect(&path).unwrap();
        match &gift {
            None => drop(socket.write(greeting).unwrap()),
            Some(gift) => {
                let socket = socket.try_clone().unwrap().into();
                assert_eq!(system::send_with(&socket, greeting, gift).unwrap(), greeting.len());
            }
        }
        until(&*server, || server.streams().malformed == count);
        assert_eq!(socket.read(&mut [0; 8]).unwrap_or(0), 0, "closed");
    }
    assert_eq!(server.send(from, b"2"), Sent::Yes);
    assert_eq!(hear(&*client).0, b"2");
    assert_eq!((server.streams().opened, server.streams().ended), (1, 0));
}

#[test]
fn a_newcomer_who_says_nothing_is_turned_away_in_time() {
    let patience = Duration::from_millis(40);
    let Pair { server, client, to, path, _folder, .. } =
        pair_held_to(Bounds { patience, ..Bounds::default() });
    assert_eq!(client.send(to, b"1"), Sent::Yes);
    hear(&*server);
    let begun = clock::now();
    let mut silent = UnixStream::connect(&path).unwrap();
    until(&*server, || server.streams().stalled == 1);
    assert!(clock::now() - patience >= begun, "not before its time");
    assert_eq!(silent.read(&mut [0; 8]).unwrap_or(0), 0);
    let end = clock::now() + patience * 2;
    until(&*server, || clock::now() > end);
    assert_eq!(client.send(to, b"2"), Sent::Yes);
    assert_eq!(hear(&*server).0, b"2", "who has said it may take its time");
}

#[test]
fn one_caller_too_many_is_turned_away_and_room_is_given_back() {
    let Pair { server, client, to, path, _folder, .. } =
        pair_held_to(Bounds { callers_max: 1, ..Bounds::default() });
    assert_eq!(client.send(to, b"1"), Sent::Yes);
    hear(&*server);
    let mut second = Stranger::greet(&path);
    until(&*server, || server.streams().refused == 1);
    assert!(second.is_closed());
    drop(client);
    until(&*server, || server.streams().ended == 1);
    let (third, to) = dial(&path).unwrap();
    assert_eq!(third.send(to, b"3"), Sent::Yes);
    assert_eq!(hear(&*server).0, b"3");
}

/// Who has most of the places gives way to another user; one user's own newcomers take nobody's.
#[test]
fn users_share_the_places_for_callers() {
    let mut peers = Peers::default();
    let mut enter = |user: u64| {
        let (socket, _) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        peers.enter(Arc::new(socket), Address::Local(user << 32 | 7)).0
    };
    let first = enter(1);
    for _ in 0..4 {
        enter(1);
    }
    enter(2);
    let host = |user: u64| Address::Local(user << 32 | 9).host();
    assert_eq!(peers.who_gives_way(host(2)), Some(first), "five against one");
    assert_eq!(peers.who_gives_way(host(3)), Some(first));
    assert_eq!(peers.who_gives_way(host(1)), None, "it would only take its own");
}

#[test]
fn a_reader_that_never_reads_is_heard_no_more_and_loses_its_own_rings_only() {
    let patience = Duration::from_millis(100);
    let Pair { server, client, to, path, _folder, .. } =
        pair_held_to(Bounds { patience, ..Bounds::default() });
    assert_eq!(client.send(to, b"1"), Sent::Yes);
    let (_, other) = hear(&*server);
    let (mute, to) = dial(&path).unwrap();
    assert_eq!(mute.send(to, b"2"), Sent::Yes);
    let (_, from) = hear(&*server);
    let many = vec![1; 1_200];
    let sent = (0..).take_while(|_| server.send(from, &many) == Sent::Yes).count();
    assert!(sent * many.len() > 1_000_000, "{sent}");
    assert_eq!(mute.send(to, b"3"), Sent::Yes);
    assert_eq!(client.send(to, b"x"), Sent::Yes);
    assert_eq!(hear(&*server), (b"x".to_vec(), other), "it would only ask for more");
    until(&*server, || server.streams().overrun == 1);
    assert_eq!(server.send(from, b"4"), Sent::Failed);
    assert_eq!(server.send(other, b"5"), Sent::Yes);
    assert_eq!(hear(&*client).0, b"5");
}

#[test]
fn a_reader_that_lags_keeps_its_rings_and_is_heard_when_it_has_read() {
    let Pair { server, client, to, _folder, .. } = pair();
    assert_eq!(client.send(to, b"1"), Sent::Yes);
    let (_, from) = hear(&*server);
    let many = vec![1; 1_200];
    let sent = (0..).take_while(|_| server.send(from, &many) == Sent::Yes).count();
    assert_eq!(client.send(to, b"2"), Sent::Yes);
    let waiter = in_thread(move || (hear(&*server), server));
    let mut come = 0;
    while come < sent * many.len() {
        come += hear(&*client).0.len();
    }
    let (heard, server) = waiter();
    assert_eq!(heard, (b"2".to_vec(), from));
    assert_eq!((server.streams().overrun, server.streams().ended), (0, 0));
}

#[test]
fn who_scribbles_over_the_rings_loses_them_and_nobody_else_notices() {
    let Pair { server, client, to, path, _folder, .. } = pair();
    let mut number = 1_u64;
    let mut draw = move || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        number >> 20
    };
    let mut buffer = vec![0; server.datagram_bytes_max()];
    for turn in 0..100_u64 {
        let mut stranger = Stranger::greet(&path);
        for word in stranger.region.words() {
            let value = if draw() % 2 == 0 { draw() % 4_096 * 8 } else { draw() };
            word.store(u32::try_from(value % (1 << 32)).unwrap(), Ordering::SeqCst);
        }
        for word in &stranger.region.rings()[..8_192] {
            let value = if draw() % 2 == 0 { draw() % 70_000 } else { draw() };
            word.store(value, Ordering::SeqCst);
        }
        assert_eq!(client.send(to, &turn.to_le_bytes()), Sent::Yes);
        let mut is_heard = false;
        let end = soon();
        while !(is_heard && server.streams().opened == turn + 2) {
            assert!(clock::now() < end, "{:?}", server.streams());
            let soon = clock::now() + Duration::from_millis(1);
            let Received::Datagram { len, from } = server.receive(&mut buffer, Some(soon)) else {
                continue;
            };
            is_heard |=
                buffer[..len] == turn.to_le_bytes() && server.send(from, b"yes") == Sent::Yes;
        }
        assert_eq!(hear(&*client).0, b"yes");
        drop(stranger.socket.write(&[0; 100]));
        drop(stranger);
    }
    until(&*server, || server.streams().malformed + server.streams().ended == 100);
    assert!(server.streams().malformed > 50, "{:?}", server.streams());
    assert_eq!(client.streams().opened, 1);
}

#[test]
fn a_server_that_scribbles_is_left_and_called_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket").to_str().unwrap().to_owned();
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let (client, to) = dial(&path).unwrap();
    assert_eq!(client.send(to, b"1"), Sent::Yes);
    let socket = listener.accept().unwrap().0.into();
    let region = handshake::welcome(&socket).unwrap().unwrap();
    for word in region.words() {
        word.store(12_345, Ordering::SeqCst);
    }
    until(&*client, || client.streams().malformed == 1);
    until(&*client, || client.send(to, b"2") == Sent::Yes);
    assert_eq!(client.streams().opened, 2);
}
