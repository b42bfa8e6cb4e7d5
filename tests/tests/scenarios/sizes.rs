//! How long datagrams may be: paths that carry more than every path does, or do so no longer.

use rpc_runtime::sim::HostId;
use rpc_runtime::wire::{DATAGRAM_BYTES_MAX, Kind};
use rpc_tests::scenario::{Call, World, durable, faultless_story, ms, once, secs, story};

const LARGE: usize = 400_000;

/// Two hosts between which datagrams of so many bytes come through, each way.
fn path(world: &mut World, there: Option<usize>, back: Option<usize>) -> (HostId, HostId) {
    world.carry_long_datagrams();
    let bank = world.server("bank");
    let till = world.client("till", bank);
    world.link(till, bank).carries(there);
    world.link(bank, till).carries(back);
    world.handlers_return(bank, LARGE);
    (bank, till)
}

/// It returned what it was given, and ran once.
fn assert_ran_once(world: &World, call: Call) {
    assert!(world.outcome(call) == world.returned(call, 1), "something else came back");
    assert_eq!(world.executions(call), 1);
}

/// The longest datagrams with requests, and with replies, since so many of each.
fn longest(world: &mut World, (bank, till): (HostId, HostId), since: (usize, usize)) -> [usize; 2] {
    let requests = world.link(till, bank).lengths(Kind::Request);
    let replies = world.link(bank, till).lengths(Kind::Reply);
    [requests[since.0..].iter().max(), replies[since.1..].iter().max()]
        .map(|it| *it.expect("some were sent"))
}

fn sent(world: &mut World, (bank, till): (HostId, HostId)) -> (usize, usize) {
    (world.link(till, bank).sent(Kind::Request), world.link(bank, till).sent(Kind::Reply))
}

/// RFC 8899: given a path of jumbo frames, when a large message was sent, then the next one takes as
/// long datagrams, both ways, and an eighth as many.
#[test]
fn a_path_of_jumbo_frames_is_found() {
    story(|world| {
        let hosts = path(world, Some(8_960), Some(8_960));
        let first = world.finish_call(hosts.1, once().of(LARGE));
        assert_ran_once(world, first);
        let before = sent(world, hosts);
        assert!(before.0 > 300);

        world.run(secs(1));
        let second = world.finish_call(hosts.1, once().of(LARGE));

        assert_ran_once(world, second);
        assert_eq!(longest(world, hosts, before), [8_952, 8_952]);
        let after = sent(world, hosts);
        assert!(after.0 - before.0 < 50 && after.1 - before.1 < 50);
        assert_eq!(world.server_counters(hosts.0).sizes_told, 1);
        assert_eq!(world.client_counters(hosts.1).black_holes, 0);
    });
}

/// Given a path that carries whatever a link sends, when large calls are made, then none is
/// retransmitted, and after ten minutes the path is asked again, and found to be as it was.
#[test]
fn a_path_that_carries_all_loses_nothing() {
    faultless_story(|world| {
        let (bank, till) = path(world, None, None);
        for _ in 0..4 {
            let call = world.finish_call(till, once().of(LARGE));
            assert_ran_once(world, call);
            world.run(ms(200));
        }
        let probes = world.link(till, bank).sent(Kind::Probe);
        assert_eq!(probes, 4, "three lengths, and what was found");
        world.handlers_return(bank, 0);
        let call = world.finish_call(till, durable().of(50_000));
        assert_ran_once(world, call);
        assert_eq!(world.link(till, bank).sent(Kind::Probe), probes);
    });
}

/// Given messages that one datagram holds, when they are sent, then nothing is probed; and nothing
/// longer than holds the whole of a message that takes two.
#[test]
fn small_messages_probe_nothing() {
    faultless_story(|world| {
        world.carry_long_datagrams();
        let bank = world.server("bank");
        let till = world.client("till", bank);
        for _ in 0..20 {
            world.finish_call(till, once().of(1_000));
        }
        assert_eq!(world.link(till, bank).sent(Kind::Probe), 0);
        world.finish_call(till, once().of(2_000));
        world.run(ms(500));
        let lengths = world.link(till, bank).lengths(Kind::Probe);
        assert_eq!(lengths.into_iter().max(), Some(8_952));
    });
}

/// Given a path that was found to carry long datagrams, when it carries only short ones from the
/// middle of a message on, then the message begins anew in short ones; it returns, and ran once.
#[test]
fn a_path_shrinks_in_the_middle_of_a_message() {
    for at in [ms(0), ms(1), ms(2), ms(3)] {
        story(|world| {
            let (bank, till) = path(world, None, None);
            world.finish_call(till, once().of(LARGE));
            world.run(secs(1));
            let before = sent(world, (bank, till));

            let call = world.call(till, once().of(4 * LARGE));
            world.run(at / 8);
            for (from, to) in [(till, bank), (bank, till)] {
                world.link(from, to).carries(Some(DATAGRAM_BYTES_MAX));
            }
            world.run_until_ended(call);

            assert_ran_once(world, call);
            assert!(longest(world, (bank, till), before)[0] > 60_000);
            // Neither side goes on to send what is swallowed.
            let before = sent(world, (bank, till));
            let call = world.finish_call(till, once().of(LARGE));
            assert_ran_once(world, call);
            let longest = longest(world, (bank, till), before);
            assert!(longest[0] <= DATAGRAM_BYTES_MAX, "{longest:?}");
        });
    }
}

/// Given that the path shrinks while a handler works, when it replies, then the reply begins anew in
/// short datagrams, whoever asks for it meanwhile.
#[test]
fn a_path_shrinks_before_the_reply() {
    story(|world| {
        let (bank, till) = path(world, None, None);
        world.finish_call(till, once().of(LARGE));
        world.run(secs(1));
        world.handlers_take(bank, ms(500));

        let call = world.call(till, once().of(LARGE));
        world.run(ms(400));
        world.link(bank, till).carries(Some(1_300));
        world.run_until_ended(call);

        assert_ran_once(world, call);
        assert!(world.server_counters(bank).black_holes > 0);
    });
}

/// Given that fragments of the longer cut come again, late, when those of the shorter one come, then they
/// never mix.
#[test]
fn fragments_of_the_longer_cut_come_late() {
    story(|world| {
        let (bank, till) = path(world, None, None);
        world.finish_call(till, once().of(LARGE));
        world.run(secs(1));

        let call = world.call(till, once().of(LARGE));
        let late = world.link(till, bank).copy_last(Kind::Request);
        world.link(till, bank).carries(Some(DATAGRAM_BYTES_MAX));
        for _ in 0..100 {
            world.run(ms(5));
            world.deliver(&late);
        }
        world.run_until_ended(call);

        assert_ran_once(world, call);
        assert!(world.client_counters(till).black_holes > 0);
    });
}

/// Given that probes, and answers, are lost, when they are sent again, then the path is found; and when
/// all are lost, then messages go on in short datagrams.
#[test]
fn probes_are_lost() {
    story(|world| {
        let (bank, till) = path(world, None, None);
        world.link(till, bank).drop_times(Kind::Probe, 4);
        world.link(bank, till).drop_times(Kind::Probed, 2);
        world.handlers_take(bank, secs(2));
        let call = world.finish_call(till, once().of(LARGE));
        assert_ran_once(world, call);
        assert_eq!(world.client_counters(till).sizes_found, 3);
        let before = sent(world, (bank, till));
        let call = world.finish_call(till, once().of(LARGE));
        assert_ran_once(world, call);
        assert!(longest(world, (bank, till), before)[0] > 60_000);
    });
    story(|world| {
        let (bank, till) = path(world, None, None);
        world.link(till, bank).drop_times(Kind::Probe, 1_000);
        for _ in 0..3 {
            world.handlers_take(bank, secs(2));
            let call = world.finish_call(till, once().of(LARGE));
            assert_ran_once(world, call);
        }
        assert_eq!(world.link(till, bank).sent(Kind::Probe), 9, "three lengths, three times");
        assert_eq!(longest(world, (bank, till), (0, 0)), [DATAGRAM_BYTES_MAX; 2]);
    });
}

/// Given a server that dies between two calls, or during one, when its next life is called, then it knows nothing of
/// the path, and is told anew.
#[test]
fn a_server_restarts_between() {
    story(|world| {
        let (bank, till) = path(world, None, None);
        world.finish_call(till, once().of(LARGE));
        world.run(secs(1));
        world.crash(bank);
        world.restart_server(bank);
        world.handlers_return(bank, 0);

        let call = world.finish_call(till, durable().of(60_000));
        assert_ran_once(world, call);
        let before = sent(world, (bank, till));
        let call = world.call(till, durable().of(60_000));
        world.run(ms(1));
        world.crash(bank);
        world.run(ms(300));
        world.restart_server(bank);
        world.run_until_ended(call);

        assert_ran_once(world, call);
        assert!(longest(world, (bank, till), before)[0] > 60_000);
    });
}

/// Given a path that carries long datagrams one way only, when it is probed, then none is sent: what
/// comes back proves both ways.
#[test]
fn only_one_way_carries_long_datagrams() {
    for (there, back) in [(None, Some(1_300)), (Some(1_300), None)] {
        story(|world| {
            let hosts = path(world, there, back);
            for _ in 0..3 {
                let call = world.finish_call(hosts.1, once().of(LARGE));
                assert_ran_once(world, call);
                world.run(secs(1));
            }
            assert_eq!(longest(world, hosts, (0, 0)), [DATAGRAM_BYTES_MAX; 2]);
            assert_eq!(world.client_counters(hosts.1).sizes_found, 0);
        });
    }
}

/// Given a path that only ever lets probes through, when messages are swallowed, then they get through in
/// short datagrams, and only a minute later anything longer is tried again.
#[test]
fn long_messages_are_swallowed_for_ever() {
    story(|world| {
        let (bank, till) = path(world, None, None);
        let call = world.finish_call(till, once().of(LARGE));
        assert_ran_once(world, call);
        world.run(secs(1));
        world.link(till, bank).carries(Some(DATAGRAM_BYTES_MAX));
        world.link(bank, till).carries(Some(DATAGRAM_BYTES_MAX));
        let call = world.finish_call(till, once().of(LARGE));
        assert_ran_once(world, call);
        let probes = world.link(till, bank).sent(Kind::Probe);
        for _ in 0..10 {
            let call = world.finish_call(till, once().of(LARGE));
            assert_ran_once(world, call);
        }
        assert_eq!(world.link(till, bank).sent(Kind::Probe), probes);
        world.run(secs(61));
        let call = world.finish_call(till, once().of(LARGE));
        assert_ran_once(world, call);
        assert!(world.link(till, bank).sent(Kind::Probe) > probes);
    });
}
