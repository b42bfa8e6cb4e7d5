//! The UDP links on real loopback sockets.

use super::*;

fn listen_at_loopback() -> Arc<dyn Link> {
    listen("127.0.0.1:0").expect("loopback has a free port")
}

fn port(link: &dyn Link) -> u16 {
    let Address::Ip(local) = link.local() else { panic!("not an IP address") };
    local.port()
}

fn dial_to(link: &dyn Link) -> (Arc<dyn Link>, Address) {
    dial(&link.local().to_string()).expect("loopback is reachable")
}

fn soon() -> Option<Instant> {
    Some(clock::now() + Duration::from_secs(10))
}

fn expect_datagram(link: &dyn Link, expected: &[u8]) -> Address {
    let mut buffer = [0; 2048];
    loop {
        match link.receive(&mut buffer, soon()) {
            Received::Datagram { len, from } => {
                assert_eq!(&buffer[..len], expected);
                return from;
            }
            Received::Nothing | Received::Broken => {} // any wait may end early
            Received::Closed => panic!("closed"),
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
fn a_datagram_crosses_and_its_sender_can_be_answered() {
    for place in ["127.0.0.1:0", "[::1]:0"] {
        let server = listen(place).expect("loopback has a free port");
        let (client, to) = dial_to(&*server);
        assert_eq!(client.send(to, b"ping"), Sent::Yes);
        let from = expect_datagram(&*server, b"ping");
        assert_eq!(from, client.local());
        assert_eq!(server.send(from, b"pong"), Sent::Yes);
        expect_datagram(&*client, b"pong");
    }
}

#[test]
fn an_endpoint_at_all_addresses_is_reached_by_loopback_and_can_be_woken() {
    for (place, host) in [("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "[::1]")] {
        let server = listen(place).expect("a free port");
        let (client, to) = dial(&format!("{host}:{}", port(&*server))).expect("reachable");
        assert_eq!(client.send(to, b"x"), Sent::Yes);
        expect_datagram(&*server, b"x");

        let waiter = Arc::clone(&server);
        let end = in_thread(move || waiter.receive(&mut [0; 64], None));
        server.wake();
        assert_eq!(end(), Received::Nothing);
    }
}

#[test]
fn all_addresses_are_no_place_to_call() {
    for place in ["0.0.0.0:7", "[::]:7", "[::ffff:0.0.0.0]:7"] {
        let error = dial(place).map(|_| ()).expect_err("nobody lives there");
        assert_eq!(error, LinkError::Unresolved(format!("{place} (all addresses of a host)")));
    }
}

#[test]
fn a_name_resolves_and_its_two_ends_meet() {
    let server = listen("localhost:0").expect("localhost is a name");
    let (client, to) = dial(&format!("localhost:{}", port(&*server))).expect("reachable");
    assert_eq!(client.send(to, b"hello"), Sent::Yes);
    expect_datagram(&*server, b"hello");
}

#[test]
fn a_wait_ends_when_its_time_has_come_and_not_before() {
    let link = listen_at_loopback();
    for wait_ms in [3, 1, 20] {
        let until = clock::now() + Duration::from_millis(wait_ms);
        assert_eq!(link.receive(&mut [0; 64], Some(until)), Received::Nothing);
        assert!(clock::now() >= until);
    }
    assert_eq!(link.receive(&mut [0; 64], Some(Instant::START)), Received::Nothing);
}

#[test]
fn a_wake_before_the_wait_ends_the_next_one_only() {
    let link = listen_at_loopback();
    link.wake();
    link.wake();
    assert_eq!(link.receive(&mut [0; 64], None), Received::Nothing);
    let until = clock::now() + Duration::from_millis(5);
    assert_eq!(link.receive(&mut [0; 64], Some(until)), Received::Nothing);
    assert!(clock::now() >= until, "one ringing ended two waits");
}

#[test]
fn many_wakes_from_many_threads_always_get_through() {
    let link = listen_at_loopback();
    let waiter = Arc::clone(&link);
    let (heard, hears) = std::sync::mpsc::channel();
    let end = in_thread(move || {
        for _ in 0..200 {
            assert_eq!(waiter.receive(&mut [0; 64], None), Received::Nothing);
            let _ = heard.send(());
        }
    });
    for _ in 0..200 {
        link.wake();
        hears.recv_timeout(Duration::from_secs(20)).expect("a lost wake-up");
    }
    end();
}

#[test]
fn what_looks_like_a_wake_from_elsewhere_is_an_ordinary_datagram() {
    let server = listen_at_loopback();
    let (client, to) = dial_to(&*server);
    for garbage in [&[0_u8; 8][..], &[][..], &[0xff; 1400][..]] {
        assert_eq!(client.send(to, garbage), Sent::Yes);
        expect_datagram(&*server, garbage);
    }
}

#[test]
fn a_datagram_longer_than_the_buffer_fills_it() {
    let server = listen_at_loopback();
    let (client, to) = dial_to(&*server);
    assert_eq!(client.send(to, &[7; 100]), Sent::Yes);
    let mut buffer = [0; 10];
    let received = server.receive(&mut buffer, soon());
    assert_eq!(received, Received::Datagram { len: 10, from: client.local() });
    assert_eq!(buffer, [7; 10]);
}

#[test]
fn a_datagram_too_long_to_send_fails_and_the_link_lives_on() {
    let server = listen_at_loopback();
    let (client, to) = dial_to(&*server);
    assert_eq!(client.send(to, &vec![0; client.datagram_bytes_max() + 1]), Sent::Failed);
    assert_eq!(client.send(Address::Virtual(3), b"x"), Sent::Failed);
    assert_eq!(client.send(to, b"x"), Sent::Yes);
    expect_datagram(&*server, b"x");
}

#[test]
fn sending_never_waits_for_a_peer_that_does_not_read() {
    let server = listen_at_loopback();
    let (client, to) = dial_to(&*server);
    for _ in 0..20_000 {
        assert_ne!(client.send(to, &[0; 1200]), Sent::Failed);
    }
}

#[test]
fn a_peer_that_is_gone_does_not_end_the_wait() {
    let server = listen_at_loopback();
    let (client, to) = dial_to(&*server);
    drop(server);
    assert_eq!(client.send(to, b"anybody there?"), Sent::Yes);
    let until = clock::now() + Duration::from_millis(5);
    assert_eq!(client.receive(&mut [0; 64], Some(until)), Received::Nothing);
    assert!(clock::now() >= until);
}

#[test]
fn a_taken_address_is_said_to_be_in_use() {
    let taken = listen_at_loopback().local();
    drop(listen(&taken.to_string())); // free again
    let first = listen(&taken.to_string());
    let second = listen(&taken.to_string());
    drop(first);
    assert_eq!(second.err(), Some(LinkError::InUse(taken.to_string())));
}

#[test]
fn what_does_not_resolve_is_said_so() {
    for place in ["", "nowhere", "127.0.0.1", "127.0.0.1:99999", "no.such.host.invalid:1"] {
        assert!(matches!(listen(place), Err(LinkError::Unresolved(_))), "{place}");
        assert!(matches!(dial(place), Err(LinkError::Unresolved(_))), "{place}");
    }
    assert!(matches!(dial("127.0.0.1:0"), Err(LinkError::Unresolved(_))));
}

#[test]
fn an_address_of_another_machine_cannot_be_listened_at() {
    assert!(matches!(listen("192.0.2.1:0"), Err(LinkError::System(..)))); // RFC 5737
}

#[test]
fn several_addresses_are_one_endpoint_that_answers_from_the_one_asked() {
    let server = listen("127.0.0.1:0,[::1]:0,127.0.0.1:0").expect("free ports");
    let locals = server.locals();
    assert_eq!(locals.len(), 3);
    for local in locals {
        let (client, to) = dial(&local.to_string()).expect("reachable");
        assert_eq!(client.send(to, b"who are you?"), Sent::Yes);
        let from = expect_datagram(&*server, b"who are you?");
        assert_eq!(server.send(from, b"me"), Sent::Yes);
        assert_eq!(expect_datagram(&*client, b"me"), local);
    }
}

#[test]
fn a_wait_at_several_addresses_ends_by_time_and_by_wake() {
    let server = listen("127.0.0.1:0,127.0.0.1:0").expect("free ports");
    let until = clock::now() + Duration::from_millis(3);
    assert_eq!(server.receive(&mut [0; 64], Some(until)), Received::Nothing);
    assert!(clock::now() >= until);

    let waiter = Arc::clone(&server);
    let end = in_thread(move || waiter.receive(&mut [0; 64], None));
    server.wake();
    assert_eq!(end(), Received::Nothing);
}

#[test]
fn the_longest_datagrams_cross_whole_and_too_long_ones_do_not_leave() {
    for place in ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0,127.0.0.1:0"] {
        let Ok(server) = listen(place) else { continue };
        let (client, to) = dial_to(&*server);
        let longest = server.unbroken_bytes_max().min(client.unbroken_bytes_max()).min(65_488);
        let datagram: Vec<u8> = (0_u8..=250).cycle().take(longest).collect();
        assert_eq!(client.send(to, &datagram), Sent::Yes, "{place}");
        let mut buffer = vec![0; server.datagram_bytes_max()];
        let len = loop {
            if let Received::Datagram { len, .. } = server.receive(&mut buffer, soon()) {
                break len;
            }
        };
        assert!(buffer[..len] == datagram, "{place}: {len} bytes");
        assert_eq!(client.send(to, &[0; 65_536]), Sent::Failed);
        // A run of datagrams that an interface does not carry costs others nothing.
        let long = || (to, vec![1; 30_000]);
        client.send_all(&[long(), long(), long()]);
        assert_eq!(client.send(to, b"x"), Sent::Yes);
    }
}
