//! Bad days of the network: much is lost, or one way only.

use rpc_runtime::error::Execution;
use rpc_runtime::wire::Kind;
use rpc_tests::scenario::{again, maybe, ms, once, secs, story};

/// Given the request, the reply and the probe each lost three times, when the fourth passes, then
/// there is one execution, and its reply.
#[test]
fn lost_everything_three_times() {
    story(|world| {
        let bank = world.server("bank");
        let till = world.client("till", bank);
        world.handlers_take(bank, ms(200));
        world.link(till, bank).drop_times(Kind::Request, 3);
        world.link(till, bank).drop_times(Kind::Ping, 3);
        world.link(bank, till).drop_times(Kind::Reply, 3);

        let call = world.finish_call(till, once().within(secs(60)));

        assert_eq!(world.outcome(call), world.returned(call, 1));
        assert_eq!(world.executions(call), 1);
        assert_eq!(world.requests(call).len(), 4);
        assert_eq!(world.link(bank, till).sent(Kind::Reply), 4);
        assert!(world.link(till, bank).sent(Kind::Ping) >= 4);
        assert_eq!(world.link(till, bank).sent(Kind::Hello), 1);
    });
}

/// Given that only the way to the server passes for five seconds, when it heals, then every call
/// ended in time, and no verdict is untrue.
#[test]
fn one_way_partition() {
    story(|world| {
        let bank = world.server("bank");
        let tills = ["left", "right"].map(|name| world.client(name, bank));
        for till in tills {
            world.finish_call(till, once());
        }
        for till in tills {
            world.link(bank, till).cut();
        }
        let (mut short, mut long) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            for till in tills {
                short.extend([once(), again()].map(|plan| world.call(till, plan.within(ms(400)))));
                long.extend([once(), again()].map(|plan| world.call(till, plan)));
                world.call(till, maybe());
            }
            world.run(ms(500));
        }
        assert!(short.iter().all(|&call| world.has_ended(call)), "in time");
        assert!(long.iter().all(|&call| !world.has_ended(call)));
        for till in tills {
            world.link(bank, till).mend();
        }
        for &call in &long {
            world.run_until_ended(call);
        }

        for &call in &short {
            assert_eq!(world.verdict(call), Execution::Unknown);
            assert!(world.executions(call) > 0, "it ran, and nobody could say so");
        }
        for &call in &long {
            assert_eq!(world.verdict(call), Execution::Executed);
        }
        for till in tills {
            assert_eq!(world.link(till, bank).sent(Kind::Hello), 1, "the session lives");
        }
    });
}
