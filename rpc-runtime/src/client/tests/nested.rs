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
    let facts = Facts { call: CallId::UNSENT, deadline: now() + time, caller, depth: 0 };
    CallContext::new(here(), facts)
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
