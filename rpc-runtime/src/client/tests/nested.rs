//! What a handler asks of others, and the end of the call that it serves.

use super::*;
use crate::address::Address;
use crate::client::{Finder, Loss, Whereabouts};
use crate::context::{CallContext, Caller, Facts};
use crate::ids::{CallId, ClientId};
use crate::protocol::Target;
use crate::{ErrorKind, Execution};

/// A call that is served for so long.
fn served_for(time: Duration) -> CallContext {
    let caller = Caller { client: ClientId(7), address: Address::Virtual(2) };
    let facts = Facts {
        call: CallId::UNSENT,
        deadline: now() + time,
        caller,
        depth: 0,
        method: 0,
        begun: now(),
    };
    CallContext::new(here(), facts, None)
}

#[test]
fn calls_that_a_handler_lets_go_of_leave_nothing_with_it_once_they_have_ended() {
    check(1, |channel| {
        let context = served_for(Duration::from_secs(60));
        let _entered = context.enter();
        let clock = ClockClient::on(channel);
        for _ in 0..200 {
            clock.start().quick().detach();
            clock.quick().unwrap();
        }
        sleep(Duration::from_secs(1)); // what came meanwhile is read
        assert_eq!(context.registered(), 0);
        clock.start().slow(2_000_000).detach();
        assert_eq!(context.registered(), 1, "it is called off with the call");
        sleep(Duration::from_secs(3));
        assert_eq!(context.registered(), 0);
    });
}

#[test]
fn a_call_that_a_handler_let_go_of_is_called_off_with_the_handlers_own() {
    check(1, |channel| {
        let context = served_for(Duration::from_secs(60));
        let entered = context.enter();
        ClockClient::on(channel).start().slow(1_000_000).detach();
        drop(entered);
        let sent = || channel.stats().protocol.datagrams_out;
        sleep(Duration::from_millis(10));
        let before = sent();
        context.cancel();
        assert_eq!(sent(), before + 1, "CANCEL");
    });
}

/// Finds nobody, however long it may search.
#[derive(Debug)]
struct Nobody;

impl Finder for Nobody {
    fn find(&self, deadline: Instant, call: &Whereabouts) -> Result<Channel, CallError> {
        call.rest(&here(), deadline);
        Err(CallError::new(ErrorKind::NoServer, Execution::NotExecuted))
    }

    fn find_other(&self, _than: Target, _deadline: Instant) -> Option<Channel> {
        None
    }

    fn lost(&self, _target: Target, _loss: Loss) {}
}

#[test]
fn a_search_that_is_called_off_does_not_say_that_there_is_no_server() {
    let context = served_for(Duration::from_secs(60));
    let _entered = context.enter();
    let search = |time| Channel::found(Box::new(Nobody), now() + time).expect_err("nobody");
    assert_eq!(search(Duration::from_millis(1)).kind(), ErrorKind::NoServer);
    std::thread::scope(|threads| {
        let served = context.clone();
        threads.spawn(move || served.cancel());
        let error = search(Duration::from_secs(20));
        let found = (error.kind(), error.execution());
        assert_eq!(found, (ErrorKind::Cancelled, Execution::NotExecuted), "{error}");
        assert!(error.to_string().contains("the call that made it was cancelled"), "{error}");
    });
}
