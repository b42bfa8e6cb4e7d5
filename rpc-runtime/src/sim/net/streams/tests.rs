//! Streams as blocking code at both ends sees them.

use std::sync::{Arc, Mutex};

use super::*;
use crate::driver::Received;
use crate::ids::{Sequence, SlotIndex};
use crate::sim::net::Rule;
use crate::sim::{Simulation, current_world, sleep};
use crate::wire::{self, Envelope, Pdu, Ping};

fn pdu(number: u64) -> Vec<u8> {
    let ping = Ping { slot: SlotIndex(0), sequence: Sequence(number), stamp: 0 };
    let mut bytes = Vec::new();
    wire::encode(&Envelope::default(), &Pdu::Ping(ping), &mut bytes);
    bytes
}

fn numbers(mut bytes: &[u8]) -> Vec<u64> {
    let mut numbers = Vec::new();
    while !bytes.is_empty() {
        let (_, pdu, rest) = wire::decode(bytes).expect("whole PDUs");
        let Pdu::Ping(ping) = pdu else { panic!("{pdu:?}") };
        numbers.push(ping.sequence.0);
        bytes = rest;
    }
    numbers
}

/// What a server does that keeps the numbers that come, and sends them back.
fn keep_what_comes(kept: &Mutex<Vec<u64>>) {
    let link = current_world().unwrap().listen("server").unwrap();
    let mut buffer = vec![0; link.datagram_bytes_max()];
    while let Received::Datagram { len, from } = link.receive(&mut buffer, None) {
        kept.lock().unwrap().extend(numbers(&buffer[..len]));
        let _ = link.send(from, &buffer[..len]);
    }
}

/// A world in which a server keeps the numbers that come, and what a caller does.
fn told(faults: StreamFaults, body: impl FnOnce() + Send + 'static) -> (Vec<u64>, Simulation) {
    let simulation = Simulation::new(3);
    let come: Arc<Mutex<Vec<u64>>> = Arc::default();
    let kept = Arc::clone(&come);
    simulation.with(|control| {
        control.net.dial_streams(true);
        control.net.set_stream_faults(faults);
        let (server, caller) = (control.add_host("server"), control.add_host("caller"));
        control.spawn(server, "main", false, move || keep_what_comes(&kept));
        control.spawn(caller, "main", true, body);
    });
    simulation.run_until_finished(Instant::START + Duration::from_secs(100));
    let come = come.lock().unwrap().clone();
    (come, simulation)
}

#[test]
fn all_comes_once_and_in_order_however_it_is_cut() {
    let faults = StreamFaults { crumbs: 0.5, slow: 0.5, ..StreamFaults::default() };
    let (come, simulation) = told(faults, || {
        let (link, to) = current_world().unwrap().dial("server").unwrap();
        let (mut buffer, mut back) = (vec![0; link.datagram_bytes_max()], Vec::new());
        for number in 0..300 {
            assert_eq!(link.send(to, &pdu(number)), Sent::Yes);
        }
        while back.len() < 300 {
            let Received::Datagram { len, from } = link.receive(&mut buffer, None) else {
                panic!("the stream holds")
            };
            assert_eq!(from, to);
            back.extend(numbers(&buffer[..len]));
        }
        assert!(back.iter().copied().eq(0..300), "{back:?}");
    });
    assert!(come.iter().copied().eq(0..300), "{come:?}");
    simulation.with(|control| assert_eq!(control.net.counters().opened, 1));
}

#[test]
fn who_opened_a_stream_learns_that_it_broke_and_the_next_write_opens_another() {
    let faults = StreamFaults { breaks: 0.2, crumbs: 0.5, ..StreamFaults::default() };
    let (come, simulation) = told(faults, || {
        let (link, to) = current_world().unwrap().dial("server").unwrap();
        let mut buffer = vec![0; link.datagram_bytes_max()];
        let mut breaks = 0;
        for number in 0..200 {
            let _ = link.send(to, &pdu(number));
            let soon = current_world().unwrap().now() + Duration::from_millis(5);
            while let received @ (Received::Datagram { .. } | Received::Broken) =
                link.receive(&mut buffer, Some(soon))
            {
                breaks += u64::from(received == Received::Broken);
            }
            sleep(PAUSE_MAX);
        }
        assert!(breaks > 20, "{breaks}");
    });
    assert!(come.len() > 100, "{come:?}");
    assert!(come.windows(2).all(|pair| pair[0] < pair[1]), "in order, and none twice: {come:?}");
    simulation.with(|control| {
        let counters = control.net.counters();
        assert!(counters.broken > 20 && counters.opened > 20, "{counters:?}");
    });
}

#[test]
fn what_finds_no_room_is_not_taken() {
    let faults = StreamFaults { queue_bytes_max: 200, ..StreamFaults::default() };
    let (come, _) = told(faults, || {
        let (link, to) = current_world().unwrap().dial("server").unwrap();
        let taken = (0..100).filter(|number| link.send(to, &pdu(*number)) == Sent::Yes).count();
        assert_eq!(taken, 200 / pdu(0).len());
        sleep(Duration::from_secs(1));
        assert_eq!(link.send(to, &pdu(100)), Sent::Yes, "it has been read");
        sleep(Duration::from_secs(1));
    });
    assert_eq!(come.last(), Some(&100));
}

/// What a server reads of one stream that is far, of which the answer breaks, and of the next, which is near.
fn read_over_a_break(seed: u64) -> Vec<u64> {
    let simulation = Simulation::new(seed);
    let come: Arc<Mutex<Vec<u64>>> = Arc::default();
    let kept = Arc::clone(&come);
    simulation.with(|control| {
        control.net.dial_streams(true);
        let (server, caller) = (control.add_host("server"), control.add_host("caller"));
        control.net.set_path_latency(caller, server, Some(Duration::from_millis(50)));
        control.net.script(Rule::new(Verdict::Drop).from(server).times(1));
        control.at(Instant::START + Duration::from_millis(50), move |control| {
            control.net.set_path_latency(caller, server, None);
        });
        control.spawn(server, "main", false, move || keep_what_comes(&kept));
        control.spawn(caller, "main", true, || {
            let (link, to) = current_world().unwrap().dial("server").unwrap();
            for number in 0..100 {
                let _ = link.send(to, &pdu(number));
                sleep(Duration::from_millis(2));
            }
            sleep(Duration::from_secs(1));
        });
    });
    simulation.run_until_finished(Instant::START + Duration::from_secs(100));
    come.lock().unwrap().clone()
}

#[test]
fn what_was_written_before_a_break_is_lost_or_read_behind_what_comes_by_the_next_stream() {
    let is_overtaken = |come: &Vec<u64>| !come.is_sorted();
    let runs: Vec<_> = (0..20).map(read_over_a_break).collect();
    let overtaken = runs.iter().filter(|come| is_overtaken(come)).count();
    assert!((1..20).contains(&overtaken), "{overtaken} of 20");
    for mut come in runs {
        let before = come.len();
        come.sort_unstable();
        come.dedup();
        assert_eq!(come.len(), before, "none comes twice");
        assert!(come.contains(&0) && come.contains(&99));
    }
}

#[test]
fn a_way_that_is_cut_breaks_its_streams_at_once_or_after_a_silence() {
    let mut silences = Vec::new();
    for seed in 0..20 {
        let simulation = Simulation::new(seed);
        let broke: Arc<Mutex<Option<Instant>>> = Arc::default();
        let told = Arc::clone(&broke);
        simulation.with(|control| {
            control.net.dial_streams(true);
            let (server, caller) = (control.add_host("server"), control.add_host("caller"));
            control.spawn(server, "main", false, move || {
                let link = current_world().unwrap().listen("server").unwrap();
                let mut buffer = vec![0; link.datagram_bytes_max()];
                while let Received::Datagram { .. } = link.receive(&mut buffer, None) {}
            });
            control.spawn(caller, "main", true, move || {
                let (link, to) = current_world().unwrap().dial("server").unwrap();
                let mut buffer = vec![0; link.datagram_bytes_max()];
                assert_eq!(link.send(to, &pdu(1)), Sent::Yes);
                sleep(Duration::from_secs(1));
                assert_eq!(link.send(to, &pdu(2)), Sent::Yes, "nobody knows yet");
                let heard = link.receive(&mut buffer, None);
                assert_eq!(heard, Received::Broken);
                *told.lock().unwrap() = Some(current_world().unwrap().now());
            });
            control.at(Instant::START + Duration::from_millis(500), move |control| {
                control.net.cut(caller, server);
            });
        });
        simulation.run_until_finished(Instant::START + Duration::from_secs(100));
        let broke = broke.lock().unwrap().expect("it is told");
        silences.push(broke.since(Instant::START + Duration::from_secs(1)));
    }
    let most = Duration::from_micros(SILENCE_US_MAX) + PAUSE_MAX;
    assert!(silences.iter().all(|silence| *silence < most), "{silences:?}");
    assert!(silences.iter().any(|silence| *silence > Duration::from_secs(1)), "{silences:?}");
    assert!(silences.iter().any(|silence| *silence < PAUSE_MAX), "{silences:?}");
}
