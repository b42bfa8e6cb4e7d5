use super::super::Simulation;
use super::super::net::{LATENCY, Rule, Verdict};
use super::super::node::NodeOutput;
use super::*;
use crate::fault::Faults;
use crate::random::Rng;
use crate::wire::{self, Envelope, Kind, Pdu, Ping};

const SECOND: Instant = Instant::from_micros(1_000_000);

/// Answers every datagram with its own bytes.
#[derive(Default)]
struct Echo {
    answers: Vec<(Address, Vec<u8>)>,
    heard: u64,
}

impl Node for Echo {
    fn handle_datagram(&mut self, _now: Instant, from: Address, datagram: &[u8]) {
        self.heard += 1;
        self.answers.push((from, datagram.to_vec()));
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant, datagram: &mut Vec<u8>) -> NodeOutput {
        let Some((to, answer)) = self.answers.pop() else {
            return NodeOutput::Wait { until: None };
        };
        datagram.extend(answer);
        NodeOutput::Transmit { to }
    }
}

/// Sends `left` numbered datagrams, one every `every`, and notes when what comes back.
struct Pinger {
    to: Address,
    left: u32,
    every: Duration,
    next: Option<Instant>,
    heard: Vec<(Instant, u32)>,
}

impl Pinger {
    fn new(to: HostId, left: u32, every: Duration) -> Self {
        Self { to: to.address(), left, every, next: Some(Instant::START), heard: Vec::new() }
    }
}

impl Node for Pinger {
    fn handle_datagram(&mut self, now: Instant, _from: Address, datagram: &[u8]) {
        let number = datagram.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        self.heard.push((now, number));
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, now: Instant, datagram: &mut Vec<u8>) -> NodeOutput {
        if self.left == 0 {
            return NodeOutput::Wait { until: None };
        }
        match self.next {
            Some(next) if next > now => NodeOutput::Wait { until: Some(next) },
            _ => {
                self.left -= 1;
                self.next = Some(now + self.every);
                datagram.extend(self.left.to_le_bytes());
                NodeOutput::Transmit { to: self.to }
            }
        }
    }
}

/// A world in which host 1 pings host 0.
fn pinging(seed: u64, faults: Faults, count: u32) -> (Simulation, HostId, HostId) {
    let simulation = Simulation::new(seed);
    let (echo, pinger) = simulation.with(|world| {
        world.net.set_faults(faults);
        let (echo, pinger) = (world.add_host("echo"), world.add_host("pinger"));
        world.place(echo, Echo::default());
        world.place(pinger, Pinger::new(echo, count, Duration::from_millis(1)));
        (echo, pinger)
    });
    (simulation, echo, pinger)
}

fn heard(simulation: &Simulation, pinger: HostId) -> Vec<(Instant, u32)> {
    simulation.with(|world| world.node(pinger, |node: &mut Pinger, _| node.heard.clone())).unwrap()
}

#[test]
fn a_datagram_takes_its_latency_each_way() {
    let (simulation, _, pinger) = pinging(1, Faults::NONE, 3);
    assert_eq!(simulation.run_until_quiet(SECOND), Ended::Quiet);
    let heard = heard(&simulation, pinger);
    let first = Instant::START + LATENCY + LATENCY;
    assert_eq!(heard[0], (first, 2));
    assert_eq!(heard[2], (first + Duration::from_millis(2), 0));
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let faults = "drop=0.2,duplicate=0.2,reorder=0.3,corrupt=0.01,delay=tail:1ms..1s";
    let hash = |seed| {
        let (simulation, ..) = pinging(seed, faults.parse().unwrap(), 500);
        simulation.run_until_quiet(Instant::from_micros(u64::MAX));
        simulation.trace_hash()
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn what_leaves_at_one_moment_arrives_in_the_order_it_left() {
    let simulation = Simulation::new(1);
    let (echo, pinger) = simulation.with(|world| {
        let (echo, pinger) = (world.add_host("echo"), world.add_host("pinger"));
        world.place(echo, Echo::default());
        world.place(pinger, Pinger::new(echo, 100, Duration::ZERO));
        (echo, pinger)
    });
    simulation.run_until_quiet(SECOND);
    let numbers: Vec<_> = heard(&simulation, pinger).into_iter().map(|(_, n)| n).collect();
    assert_eq!(numbers, (0..100).rev().collect::<Vec<_>>());
    assert_eq!(
        simulation.with(|world| world.node(echo, |node: &mut Echo, _| node.heard)),
        Some(100)
    );
}

#[test]
fn a_partition_can_be_one_way_and_heals() {
    let (simulation, echo, pinger) = pinging(1, Faults::NONE, 30);
    simulation.with(|world| {
        world.at(Instant::from_micros(9_500), move |world| world.net.cut(echo, pinger));
        world.at(Instant::from_micros(19_500), move |world| world.net.mend(echo, pinger));
    });
    simulation.run_until_quiet(SECOND);
    let at_echo = simulation.with(|world| world.node(echo, |node: &mut Echo, _| node.heard));
    assert_eq!(at_echo, Some(30), "the other way is open");
    assert_eq!(heard(&simulation, pinger).len(), 20);
    assert_eq!(simulation.with(|world| world.net.counters().cut), 10);
}

#[test]
fn a_host_that_is_down_hears_nothing_and_starts_empty() {
    let (simulation, echo, pinger) = pinging(1, Faults::NONE, 30);
    simulation.with(|world| {
        world.at(Instant::from_micros(9_500), move |world| world.crash(echo));
        world.at(Instant::from_micros(19_500), move |world| {
            world.restart(echo);
            world.place(echo, Echo::default());
        });
    });
    simulation.run_until_quiet(SECOND);
    let at_echo = simulation.with(|world| world.node(echo, |node: &mut Echo, _| node.heard));
    assert_eq!(at_echo, Some(10));
    assert_eq!(heard(&simulation, pinger).len(), 20);
    assert_eq!(simulation.with(|world| (world.life(echo), world.net.counters().nobody)), (2, 10));
}

#[test]
fn a_fast_host_waits_less() {
    let (simulation, _, pinger) = pinging(1, Faults::NONE, 0);
    simulation.with(|world| {
        world.set_drift(pinger, 100_000);
        world.node(pinger, |node: &mut Pinger, _| {
            node.left = 11;
            node.every = Duration::from_secs(1);
        });
    });
    assert_eq!(simulation.run_until(Instant::from_micros(9_090_908)), Ended::Limit);
    assert_eq!(simulation.with(|world| world.net.counters().sent), 20, "ten pings, ten answers");
    simulation.run_until_quiet(Instant::from_micros(9_200_000));
    let sent = simulation.with(|world| world.net.counters().sent);
    assert_eq!(sent, 22, "eleven of its seconds are ten of the world's and a bit");
}

#[test]
fn rules_name_datagrams_and_decide_about_them() {
    let (simulation, echo, pinger) = pinging(1, Faults::default().loss(1.0), 6);
    let (dropped, rest) = simulation.with(|world| {
        let from_echo = |verdict| Rule::new(verdict).from(echo).to(pinger);
        let dropped = world.net.script(from_echo(Verdict::Drop).skip(1).times(2));
        world.net.script(from_echo(Verdict::Delay(Duration::from_secs(3_600))).times(1));
        let ones = |datagram: &[u8]| datagram.first() == Some(&1);
        world.net.script(from_echo(Verdict::Repeat(Duration::from_secs(1))).when(ones));
        let rest = world.net.script(Rule::new(Verdict::Pass));
        (dropped, rest)
    });
    simulation.run_until_quiet(Instant::from_micros(u64::MAX));
    // Sent as 5 4 3 2 1 0; the 5 left before there were rules, and was lost. The hour's delay hits
    // 4 (the drop skips it), the drop 3 and 2.
    let numbers: Vec<_> = heard(&simulation, pinger).into_iter().map(|(_, n)| n).collect();
    assert_eq!(numbers, [1, 0, 1, 4]);
    assert_eq!(simulation.with(|world| (world.net.hits(dropped), world.net.hits(rest))), (2, 6));
}

#[test]
fn a_datagram_too_long_for_the_network_is_refused() {
    let (simulation, _, _) = pinging(1, Faults::NONE, 5);
    simulation.with(|world| world.net.set_datagram_bytes_max(3));
    simulation.run_until_quiet(SECOND);
    let counters = simulation.with(|world| world.net.counters());
    assert_eq!((counters.refused, counters.sent), (5, 1), "one ping left before, unanswered");
}

#[test]
fn a_forged_datagram_arrives_in_anybodys_name() {
    let (simulation, echo, pinger) = pinging(1, Faults::default().loss(1.0), 0);
    simulation.with(|world| {
        world.inject(echo.address(), pinger.address(), &[9, 0, 0, 0], Duration::ZERO);
    });
    simulation.run_until_quiet(SECOND);
    assert_eq!(heard(&simulation, pinger), [(Instant::START, 9)]);
}

#[test]
fn a_node_that_panics_fails_the_run_with_its_seed() {
    struct Bomb;
    impl Node for Bomb {
        fn handle_datagram(&mut self, _: Instant, _: Address, _: &[u8]) {}
        fn handle_timeout(&mut self, _: Instant) {
            panic!("out of paper");
        }
        fn poll_output(&mut self, _: Instant, _: &mut Vec<u8>) -> NodeOutput {
            NodeOutput::Wait { until: Some(Instant::from_micros(5)) }
        }
    }
    let simulation = Simulation::new(0x5eed);
    simulation.with(|world| {
        let host = world.add_host("bomb");
        world.place(host, Bomb);
    });
    let failure = simulation.try_run_until_quiet(SECOND).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "the simulation with seed 0x5eed failed at +0.000005 s: a node or an action panicked: out of paper"
    );
}

#[test]
fn a_world_whose_time_stands_still_fails() {
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        world.net.set_latency(Duration::ZERO);
        let (a, b) = (world.add_host("a"), world.add_host("b"));
        world.place(a, Echo::default());
        world.place(b, Echo::default());
        world.inject(a.address(), b.address(), b"for ever", Duration::ZERO);
    });
    let failure = simulation.try_run_until_quiet(SECOND).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Still);
}

#[test]
fn processes_of_successive_lives_draw_different_numbers_and_higher_incarnations() {
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        let host = world.add_host("a");
        let first = world.rng(host).next_u64();
        world.crash(host);
        world.restart(host);
        assert_ne!(world.rng(host).next_u64(), first);
        let former = world.incarnation(host);
        assert!(world.incarnation(host) > former);
    });
}

#[test]
fn a_hundred_thousand_deliveries_make_do_with_a_handful_of_buffers() {
    let (simulation, ..) = pinging(1, Faults::default().duplicate(0.1), 50_000);
    simulation.run_until_quiet(Instant::from_micros(u64::MAX));
    simulation.with(|world| {
        let counters = world.net.counters();
        assert!(counters.arrived > 100_000, "{counters:?}");
        assert_eq!(world.net.under_way(), 0);
        assert!(world.net.pooled() < 20, "{} buffers", world.net.pooled());
    });
}

#[test]
fn pdus_are_counted_by_kind_and_dropped_by_kind() {
    let (slot, sequence) = Default::default();
    let mut ping = Vec::new();
    wire::encode(&Envelope::default(), &Pdu::Ping(Ping { slot, sequence, stamp: 7 }), &mut ping);
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        let (a, b) = (world.add_host("a"), world.add_host("b"));
        world.place(b, Echo::default());
        let rule = world.net.drop_next(b, a, Kind::Ping);
        world.inject(a.address(), b.address(), &ping, Duration::ZERO);
        ping.extend_from_within(..);
        world.inject(a.address(), b.address(), &ping, Duration::ZERO);
        world.at(SECOND, move |world| {
            assert_eq!(world.net.hits(rule), 1);
            assert_eq!(world.net.sent(b, Kind::Ping), 3);
            assert_eq!(world.net.sent(b, Kind::Request), 0);
            assert_eq!(world.net.sent(a, Kind::Ping), 0);
        });
    });
    simulation.run_until(SECOND);
}
