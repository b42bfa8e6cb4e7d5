//! The client's machine against the server's, through a network that loses, repeats and reorders.
//!
//! Checked is what the contract promises, whatever the schedule: see [`World::begin`] and
//! [`World::judge`].

use proptest::prelude::*;

use super::world::World;
use super::*;

/// No call has more patience.
const LONGEST_MS: u64 = 3_000;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Call {
        method: usize,
        depth: u8,
        millis: u64,
    },
    Cancel {
        back: usize,
    },
    Resolve {
        back: usize,
        millis: u64,
    },
    /// So many datagrams arrive in order.
    Flow(usize),
    /// So many datagrams are lost, or will be late.
    Lose(usize),
    /// One said so long ago arrives, for the first time or once more.
    Late(usize),
    Begin(usize),
    /// The store gives a generation that it was asked for.
    Open(usize),
    Finish {
        which: usize,
        end: u8,
    },
    Pass(u64),
    /// The client gets another address, and does not know.
    Move,
    RestartServer,
    RestartClient,
    Drain,
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        100 => (0_usize..4, 0_u8..2, 1_u64..LONGEST_MS)
            .prop_map(|(method, depth, millis)| Deed::Call { method, depth, millis }),
        10 => (0_usize..4).prop_map(|back| Deed::Cancel { back }),
        20 => (0_usize..4, 1_u64..LONGEST_MS)
            .prop_map(|(back, millis)| Deed::Resolve { back, millis }),
        200 => (1_usize..6).prop_map(Deed::Flow),
        40 => (1_usize..4).prop_map(Deed::Lose),
        80 => (0_usize..40).prop_map(Deed::Late),
        100 => (0_usize..3).prop_map(Deed::Begin),
        60 => (0_usize..3).prop_map(Deed::Open),
        100 => (0_usize..3, 0_u8..8).prop_map(|(which, end)| Deed::Finish { which, end }),
        60 => (0_u64..400).prop_map(Deed::Pass),
        10 => (1_000_u64..9_000).prop_map(Deed::Pass),
        5 => Just(Deed::Move),
        5 => Just(Deed::RestartServer),
        3 => Just(Deed::RestartClient),
        1 => Just(Deed::Drain),
    ]
}

impl World {
    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Call { method, depth, millis } => {
                self.call(method, depth, Duration::from_millis(millis));
            }
            Deed::Cancel { back } => {
                if let Some(key) = self.waits.keys().rev().nth(back).copied() {
                    self.client.cancel(self.now, key);
                }
            }
            Deed::Resolve { back, millis } => self.resolve(back, Duration::from_millis(millis)),
            Deed::Flow(count) => self.flow(count),
            Deed::Lose(count) => self.arrived = (self.arrived + count).min(self.said.len()),
            Deed::Late(back) => {
                if let Some(index) = self.said.len().checked_sub(1 + back) {
                    self.deliver(index);
                }
            }
            Deed::Begin(which) => self.begin(which),
            Deed::Open(which) => self.open(which),
            Deed::Finish { which, end } => self.finish(which, end),
            Deed::Pass(millis) => self.pass(Duration::from_millis(millis)),
            Deed::Move => self.address += 1,
            Deed::RestartServer => self.restart_server(),
            Deed::RestartClient => self.restart_client(),
            Deed::Drain => {
                self.server.drain(self.server_time(self.now), Duration::from_secs(1));
            }
        }
        self.drain();
        let in_flight = |call: &Call| call.outgoing.as_ref().map_or(0, |out| out.in_flight());
        let in_flight = self.client.calls.iter().map(|(_, call)| in_flight(call)).sum::<u32>();
        assert_eq!(self.client.way.flight(), in_flight, "none is counted that is nobody's");
        self.client.slots.check(&self.client.calls);
        self.client.durable.slots.check(&self.client.calls);
        assert_eq!(self.client.outstanding(), self.waits.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_a_client_is_told_is_true_whatever_the_network_does(
        rate in 0_u8..3,
        cookie_always in any::<bool>(),
        deeds in proptest::collection::vec(deeds(), 1..250),
    ) {
        let mut world = World::new(rate, cookie_always);
        for deed in &deeds {
            world.act(*deed);
        }
        // All that was ever said comes once more, in whatever session it was.
        for index in 0..world.said.len() {
            world.deliver(index);
        }
        world.calm(Duration::from_millis(2 * LONGEST_MS));
        prop_assert!(world.waits.is_empty(), "{:?}", world.waits);
        if world.client.is_calling_off() {
            // No server answers that drains, or that does not know what its store says of a call.
            world.calm(world.longest_call_off());
        }
        prop_assert!(world.client.is_quiet());
        let last = |deed: &&Deed| matches!(deed, Deed::Drain | Deed::RestartServer);
        if !matches!(deeds.iter().rev().find(last), Some(Deed::Drain)) {
            world.check_that_it_works();
        }
        world.pass(Duration::from_secs(60));
        prop_assert_eq!(world.server.sessions(), 0);
        prop_assert_eq!((world.server.queued(), world.server.running()), (0, 0));
        prop_assert_eq!(world.server.stored_bytes(), 0);
    }

    #[test]
    fn without_faults_a_call_is_never_in_doubt_whatever_was_called_off_before(
        patience_ms in 1_u64..2_000,
        idle_ms in 0_u64..12_000,
        flows in 0_usize..4,
    ) {
        let mut world = World::new(1, false);
        world.call(0, 0, Duration::from_millis(patience_ms));
        world.drain();
        world.flow(flows);
        if let Some(key) = world.waits.keys().next().copied() {
            world.client.cancel(world.now, key);
        }
        world.drain();
        world.calm(Duration::from_millis(idle_ms));
        world.call(0, 0, Duration::from_secs(2));
        world.drain();
        world.calm(Duration::from_secs(3));
        prop_assert!(world.waits.is_empty());
        let fact = &world.facts[1];
        prop_assert_eq!((fact.begun, fact.returned), (1, true), "the session was dropped under it");
    }

    #[test]
    fn without_faults_every_call_returns_and_runs_once(
        rate in 0_u8..3,
        calls in proptest::collection::vec((0_usize..4, 0_u8..2, 0_u64..20_000), 1..20),
    ) {
        let mut world = World::new(rate, false);
        for (method, depth, millis) in calls {
            world.call(method, depth, Duration::from_secs(2));
            world.drain();
            world.calm(Duration::from_millis(millis)); // idle, perhaps for longer than a lease
        }
        world.calm(Duration::from_secs(3));
        prop_assert!(world.waits.is_empty());
        prop_assert!(world.facts.iter().all(|fact| fact.begun == 1 && fact.returned));
    }
}
