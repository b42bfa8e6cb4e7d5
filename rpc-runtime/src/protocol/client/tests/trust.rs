//! What a server says of time is believed only as far as it does no harm, and only as long.

use super::world::World;
use super::*;

/// Two of these fit the lease of [`World`], so that no HELLO tells the time anew.
const PAUSE: Duration = Duration::from_secs(2);
const DAY_S: u64 = 86_400;

#[test]
fn a_session_that_is_busy_for_a_day_refuses_no_call_as_expired() {
    for rate in 0..3 {
        let mut world = World::new(rate, false);
        while world.now.as_micros() < DAY_S * 1_000_000 {
            let number = world.facts.len();
            world.call(0, 0, Duration::from_millis(100));
            world.drain();
            world.calm(PAUSE);
            let fact = world.facts[number];
            let after = Duration::from_micros(world.now.as_micros()).as_secs();
            assert_eq!(fact.begun, 1, "call {number}, after {after} s, rate {rate}: {fact:?}");
        }
        assert_eq!(world.client.counters().sessions_opened, 1);
    }
}

#[test]
fn every_answer_about_a_call_tells_the_server_s_time() {
    let session_time_us = 500_000_000;
    let (Pdu::Reply(reply), Pdu::Refuse(refuse)) = (reply(1), refuse(1, RefuseReason::Overload))
    else {
        unreachable!()
    };
    let (Pdu::Working(working), Pdu::Unseen(unseen)) = (working(1, 1), unseen(1)) else {
        unreachable!()
    };
    for answer in [
        Pdu::Reply(Reply { session_time_us, ..reply }),
        Pdu::Refuse(Refuse { session_time_us, ..refuse }),
        Pdu::Working(Working { session_time_us, ..working }),
        Pdu::Unseen(Unseen { session_time_us, ..unseen }),
    ] {
        let (mut bench, _) = Bench::busy();
        bench.tell(&answer);
        bench.call();
        let patience_us = u64::try_from(PATIENCE.as_micros()).unwrap();
        let not_after_us = bench.asked.as_ref().unwrap().not_after_us;
        let expected = session_time_us + patience_us;
        assert!((expected - 300..expected).contains(&not_after_us), "{answer:?}: {not_after_us}");
    }
}
