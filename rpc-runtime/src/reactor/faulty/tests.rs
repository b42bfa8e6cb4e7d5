//! Real sockets with faults of every kind between them.

use super::*;
use crate::reactor;

struct Pair {
    world: Faulty,
    server: Arc<dyn Link>,
    client: Arc<dyn Link>,
    to: Address,
}

fn pair(faults: Faults) -> Pair {
    let world = Faulty::new(reactor::world(), faults, 7);
    let server = world.listen("127.0.0.1:0").expect("a free port");
    let (client, to) = world.dial(&server.local().to_string()).expect("reachable");
    Pair { world, server, client, to }
}

impl Pair {
    /// What arrives until nothing has for `patience_ms`.
    fn arrivals(&self, patience_ms: u64) -> Vec<Vec<u8>> {
        let mut arrived = Vec::new();
        let mut buffer = [0; 2048];
        let mut until = self.world.now() + Duration::from_millis(patience_ms);
        loop {
            match self.server.receive(&mut buffer, Some(until)) {
                Received::Datagram { len, from } => {
                    assert_eq!(from, self.client.local());
                    arrived.push(buffer[..len].to_vec());
                    until = self.world.now() + Duration::from_millis(patience_ms);
                }
                Received::Nothing if self.world.now() >= until => return arrived,
                Received::Nothing | Received::Broken => {}
                Received::Closed => panic!("closed"),
            }
        }
    }

    fn send_numbered(&self, count: u8) {
        for number in 0..count {
            assert_eq!(self.client.send(self.to, &[number; 32]), Sent::Yes);
        }
    }
}

#[test]
fn without_faults_everything_arrives_once_and_in_order() {
    let pair = pair(Faults::NONE);
    pair.send_numbered(50);
    let arrived = pair.arrivals(20);
    assert_eq!(arrived, (0..50).map(|number| vec![number; 32]).collect::<Vec<_>>());
}

#[test]
fn what_is_lost_looks_sent_and_never_arrives() {
    let pair = pair(Faults::default().loss(1.0));
    pair.send_numbered(10);
    assert!(pair.arrivals(5).is_empty());
    assert_eq!(pair.world.injected().dropped, 10);
}

#[test]
fn what_is_doubled_arrives_twice() {
    let pair = pair(Faults::default().duplicate(1.0));
    pair.send_numbered(20);
    let mut arrived = pair.arrivals(50);
    arrived.sort();
    let expected: Vec<_> =
        (0..20).flat_map(|number| [vec![number; 32], vec![number; 32]]).collect();
    assert_eq!(arrived, expected);
}

#[test]
fn what_is_damaged_differs_in_few_bits() {
    let pair = pair(Faults::default().corrupt(1.0));
    pair.send_numbered(20);
    let arrived = pair.arrivals(20);
    assert_eq!(arrived.len(), 20);
    for (number, bytes) in (0_u8..).zip(&arrived) {
        let flipped: u32 = bytes.iter().map(|byte| (byte ^ number).count_ones()).sum();
        assert!((1..=32).contains(&flipped), "{flipped} bits");
    }
}

#[test]
fn what_is_delayed_arrives_all_the_same_and_not_before_its_time() {
    let delay = Duration::from_millis(5);
    let pair = pair(Faults::default().delay(delay));
    let sent = pair.world.now();
    pair.send_numbered(20);
    let first = pair.server.receive(&mut [0; 64], None);
    assert!(matches!(first, Received::Datagram { .. }));
    assert!(pair.world.now() >= sent + delay);
    assert_eq!(pair.arrivals(50).len(), 19);
}

#[test]
fn reordering_loses_nothing() {
    let pair = pair(Faults::default().reorder(0.5));
    pair.send_numbered(100);
    let mut arrived = pair.arrivals(50);
    arrived.sort();
    assert_eq!(arrived, (0..100).map(|number| vec![number; 32]).collect::<Vec<_>>());
}

#[test]
fn faults_can_be_changed_while_links_live() {
    let pair = pair(Faults::default().loss(1.0));
    pair.send_numbered(3);
    pair.world.set_faults(Faults::NONE);
    pair.send_numbered(1);
    assert_eq!(pair.arrivals(10), [vec![0; 32]]);
}
