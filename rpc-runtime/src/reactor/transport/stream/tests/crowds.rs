//! More streams than there may be, and streams that come to nothing: who gives way, and what is left.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use super::*;
use crate::address::Host;

/// A stream from 127.0.0.`host`.
fn from_host(host: u8, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// As [`from_host`], and a PDU by it has come.
fn heard(server: &dyn Link, host: u8, to: SocketAddr) -> TcpStream {
    let mut stream = from_host(host, to);
    stream.write_all(&pdu(u64::from(host))).unwrap();
    assert_eq!(hear(server).0, [u64::from(host)]);
    stream
}

#[test]
fn a_host_that_has_all_streams_gives_those_it_uses_least_to_who_comes_later() {
    let (server, address) = held_to(Bounds { streams_max: 4, ..Bounds::default() });
    let mut first: Vec<_> = (0..4).map(|_| heard(&*server, 1, address)).collect();
    first[0].write_all(&pdu(7)).unwrap(); // so that the second is idle longest
    assert_eq!(hear(&*server).0, [7]);
    let second: Vec<_> = (0..2).map(|_| heard(&*server, 2, address)).collect();
    assert_eq!(server.streams().crowded, 2);
    for (index, stream) in first.iter_mut().enumerate() {
        let is_closed = [1, 2].contains(&index);
        stream.write_all(&pdu(8)).unwrap();
        if is_closed {
            assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "{index}");
        } else {
            assert_eq!(hear(&*server).0, [8], "{index}");
        }
    }
    // Now both have as many.
    let mut third = from_host(2, address);
    until(&*server, || server.streams().refused == 1);
    assert_eq!(third.read(&mut [0; 8]).unwrap_or(0), 0);
    assert_eq!((server.streams().crowded, second.len()), (2, 2));
}

/// Lets all ways look after their sockets until `is_done`.
fn until_all(ways: &[&dyn Link], is_done: impl Fn() -> bool) {
    let end = clock::now() + Duration::from_secs(10);
    while !is_done() {
        assert!(clock::now() < end, "it never happens: {:?}", ways[0].streams());
        for way in ways {
            let _ = way.receive(&mut [0; 2_048], Some(clock::now() + Duration::from_millis(1)));
        }
    }
}

#[test]
fn streams_are_spread_over_all_ways_and_held_together_to_what_there_may_be() {
    let (server, address) = held_to(Bounds { streams_max: 4, ..Bounds::default() });
    let other = &*server.further_ways(1)[0];
    let ways: [&dyn Link; 2] = [&*server, other];
    let mut first = Vec::new();
    for number in 0..4 {
        let mut stream = from_host(1, address);
        until_all(&ways, || server.streams().opened > number);
        stream.write_all(&pdu(number)).unwrap();
        let way = ways[usize::from(number % 2 == 1)];
        let (heard, from) = hear(way);
        assert_eq!(heard, [number], "whoever has fewest has the next");
        for (count, way) in ways.iter().enumerate() {
            assert_eq!(way.send(from, &pdu(5)), Sent::Yes);
            stream.read_exact(&mut vec![0; pdu(5).len()]).expect(["the same", "another"][count]);
        }
        first.push(stream);
    }
    first[0].write_all(&pdu(7)).unwrap(); // so that the second is idle longest: the other way has it
    assert_eq!(hear(ways[0]).0, [7]);
    let mut late = from_host(2, address);
    until_all(&ways, || server.streams().opened == 5);
    assert_eq!((server.streams().crowded, other.streams().crowded), (1, 1));
    assert_eq!(first[1].read(&mut [0; 8]).unwrap_or(0), 0);
    late.write_all(&pdu(8)).unwrap();
    assert_eq!(hear(other).0, [8], "there is one fewer");
    drop((first, late));
    until_all(&ways, || server.streams().ended == 4);
    assert!(server.crowd.hosts().is_empty());
    assert_eq!(server.streams().crowded, 1);
}

#[test]
fn what_waits_for_a_slow_reader_is_watched_by_the_thread_that_has_it() {
    let patience = Duration::from_millis(60);
    let (server, address) = held_to(Bounds { patience, ..Bounds::default() });
    let other = &*server.further_ways(1)[0];
    let ways: [&dyn Link; 2] = [&*server, other];
    let _first = from_host(1, address);
    until_all(&ways, || server.streams().opened == 1);
    let mut slow = from_host(1, address);
    until_all(&ways, || server.streams().opened == 2);
    slow.write_all(&pdu(1)).unwrap();
    let from = hear(other).1;
    while server.send(from, &pdu(2).repeat(17)) == Sent::Yes {}
    until_all(&ways, || server.streams().overrun == 1);
    assert_eq!(server.send(from, &pdu(2)), Sent::Failed);
}

#[test]
fn a_host_s_own_idle_stream_gives_way_to_another_of_it() {
    let patience = Duration::from_millis(40);
    let (server, address) = held_to(Bounds { streams_max: 2, patience, ..Bounds::default() });
    let mut idle = heard(&*server, 1, address);
    let mut used = heard(&*server, 1, address);
    let begun = clock::now() + patience;
    until(&*server, || clock::now() > begun);
    used.write_all(&pdu(3)).unwrap();
    assert_eq!(hear(&*server).0, [3]);
    let _third = heard(&*server, 1, address);
    assert_eq!(idle.read(&mut [0; 8]).unwrap_or(0), 0);
    assert_eq!((server.streams().crowded, server.streams().refused), (1, 0));
}

#[test]
fn streams_that_come_and_go_leave_nothing_behind() {
    let (server, address) = held_to(Bounds::default());
    let _silent = TcpStream::connect(address).unwrap();
    for count in 0..1_200 {
        drop(TcpStream::connect(address).unwrap());
        until(&*server, || server.streams().ended > count);
    }
    let watched = server.polling().watched.len();
    assert!(watched < 1_100, "{watched}");
    assert_eq!(server.crowd.hosts().values().sum::<usize>(), 1);
}

#[test]
fn callers_by_a_unix_socket_are_told_apart_by_their_users() {
    let folder = tempfile::tempdir().unwrap();
    let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(folder.path()).unwrap());
    let place = format!("{}/socket", folder.path().to_str().unwrap());
    let server = unix::listen(&place).unwrap();
    let (client, to) = unix::dial(&place).unwrap();
    assert_eq!(client.send(to, &pdu(1)), Sent::Yes);
    assert_eq!(hear(&*server).1.host(), Host::Local(own & 0x7fff_ffff));
}

#[test]
fn a_socket_that_is_connected_to_itself_is_no_stream() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let own = socket.local_addr().unwrap();
    socket.connect(&own).unwrap();
    assert!(dialled::is_own_end(&socket));
    let (_server, address) = held_to(Bounds::default());
    let stream = TcpStream::connect(address).unwrap();
    assert!(!dialled::is_own_end(&stream.into()));
}

#[test]
fn a_server_that_answers_and_closes_is_not_asked_ever_faster() {
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    place.set_nonblocking(true).unwrap();
    let (client, to) = tcp::dial(&place.local_addr().unwrap().to_string()).unwrap();
    let end = clock::now() + Duration::from_millis(300);
    until(&*client, || {
        client.send(to, &bye());
        if let Ok((mut stream, _)) = place.accept() {
            stream.write_all(&pdu(1)).unwrap();
        }
        clock::now() > end
    });
    let opened = client.streams().opened;
    assert!((2..20).contains(&opened), "{:?}", client.streams());
}

#[test]
fn what_leaves_at_the_first_look_of_who_receives_is_told_too() {
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (client, to) = tcp::dial(&place.local_addr().unwrap().to_string()).unwrap();
    assert_eq!(client.send(to, &pdu(1)), Sent::Yes);
    let (mut peer, _) = place.accept().unwrap();
    let many = pdu(2).repeat(17);
    while !client.holds() {
        assert_eq!(client.send(to, &many), Sent::Yes);
    }
    // The system has room for the rest before anybody receives.
    peer.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    while peer.read(&mut [0; 65_536]).is_ok_and(|come| come > 0) {}
    while client.holds() {
        assert_eq!(client.receive(&mut [0; 2_048], None), Received::Nothing);
    }
}

#[test]
fn what_a_caller_s_socket_did_not_take_leaves_while_it_receives_and_it_says_when_all_has() {
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (client, to) = tcp::dial(&place.local_addr().unwrap().to_string()).unwrap();
    assert_eq!(client.send(to, &pdu(1)), Sent::Yes);
    let (mut peer, _) = place.accept().unwrap();
    let many = pdu(2).repeat(17);
    let mut sent = pdu(1).len();
    while !client.holds() {
        assert_eq!(client.send(to, &many), Sent::Yes);
        sent += many.len();
    }
    let reader = in_thread(move || {
        let mut come = vec![0; sent];
        peer.read_exact(&mut come).unwrap();
        peer
    });
    while client.holds() {
        assert_eq!(client.receive(&mut [0; 2_048], None), Received::Nothing);
    }
    let _peer = reader();
}
