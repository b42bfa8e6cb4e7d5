//! Journals: what a client's next life learns of its calls, and what it never does to them.

use rpc_runtime::error::Execution;
use rpc_runtime::protocol::{DoubtCause, Outcome};
use rpc_runtime::wire::Kind;
use rpc_tests::scenario::{durable, ms, once, secs, story};

/// Given a journaled `at_most_once` call, when the client's new incarnation seals it, then it learns
/// the reply, or that the call did not run, and it never runs later.
#[test]
fn exterminate_after_restart() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.keeping_client("till", bank);
        world.finish_call(till, once());
        world.handlers_take(bank, ms(50));
        let ran = world.call(till, once().recorded());
        world.run(ms(5));
        let late = world.link(till, bank).hold_next(Kind::Request);
        let lost = world.call(till, once().recorded());
        world.run(ms(5));
        world.crash(till);
        world.restart_client(till);
        let left = world.unfinished(till);
        assert_eq!(left.len(), 2);

        let told = world.learn(ran, &left[0], secs(5));
        assert_eq!(told, world.returned(ran, 1));
        assert_eq!(world.learn(lost, &left[1], secs(5)), Outcome::Sealed);
        world.deliver(&late);
        world.run(secs(1));

        assert_eq!([ran, lost].map(|call| world.executions(call)), [1, 0]);
        assert_eq!(world.unfinished(till), []);
        assert_eq!(world.link(bank, till).welcomed().len(), 2, "asked in the old session");
    });
}

/// Given a journaled `exactly_once` call that is sealed as not executed, when the client dies right
/// after it has said so, then no later life of it sends the call again.
#[test]
fn journal_before_verdict() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.keeping_client("till", bank);
        world.finish_call(till, durable());
        let late = world.link(till, bank).hold_next(Kind::Request);
        let call = world.call(till, durable().within(ms(150)));
        world.run(ms(1));
        world.link(till, bank).cut();
        world.run_until_ended(call);
        world.link(till, bank).mend();
        assert_eq!(world.outcome(call), Outcome::InDoubt(DoubtCause::NoReply));
        assert_eq!(world.unfinished(till).len(), 1, "doubt is no end");
        assert_eq!(world.resolve(call, secs(5)), Outcome::Sealed);
        let sent = world.requests(call).len();
        world.crash(till);
        world.crash(bank);
        world.restart_server(bank);
        world.restart_client(till);

        assert_eq!(world.unfinished(till), []);
        let next = world.finish_call(till, durable());
        world.deliver(&late);
        world.run(secs(1));

        assert_eq!(world.outcome(next), world.returned(next, 1));
        assert_eq!(world.executions(call), 0);
        assert_eq!(world.requests(call).len(), sent, "no other than those of before");
        let (first, last) = (world.requests(call)[0], world.requests(next)[0]);
        assert!(last.slot != first.slot || last.sequence > first.sequence, "no name is used again");
    });
}

/// Given a journaled call that ran, when both sides die before the reply is told, then the client's
/// next life learns the reply from the server's.
#[test]
fn reply_over_both_crashes() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.keeping_client("till", bank);
        world.link(bank, till).drop_next(Kind::Reply);
        let call = world.call(till, durable());
        world.run(ms(20));
        world.crash(till);
        world.crash(bank);
        world.restart_server(bank);
        world.restart_client(till);
        let left = world.unfinished(till);

        let told = world.learn(call, &left[0], secs(5));

        assert_eq!(told, world.returned(call, 1));
        assert_eq!(world.executions(call), 1);
    });
}

/// Given a journaled call that never arrived, when the next life wants it to run, then it runs, once,
/// and a late copy of the first request changes nothing.
#[test]
fn completed_by_the_next_life() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.keeping_client("till", bank);
        let late = world.link(till, bank).hold_next(Kind::Request);
        let call = world.call(till, durable());
        world.run(ms(20));
        world.crash(till);
        world.restart_client(till);
        let left = world.unfinished(till);

        let told = world.complete(call, &left[0], secs(5));
        world.deliver(&late);
        world.run(secs(1));

        assert_eq!(told, world.returned(call, 1));
        assert_eq!(told.execution(), Execution::Executed);
        assert_eq!(world.executions(call), 1);
    });
}
