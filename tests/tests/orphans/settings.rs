//! Settings that make no sense, and what is said about them.

use std::sync::Arc;

use rpc_runtime::orphans::OrphanStrategy;
use rpc_runtime::protocol::Limits;
use rpc_runtime::time::Duration;
use rpc_runtime::{CallError, ErrorKind, Server, service};

use super::chain::{ChainService, Desk, Link};

#[service]
trait Hasty {
    #[rpc(expires = "10us")]
    fn run(&self) -> Result<(), CallError>;
}

struct Nobody;

impl Hasty for Nobody {
    fn run(&self) -> Result<(), CallError> {
        Ok(())
    }
}

fn server() -> Server {
    let link = Link::new(None, &Arc::<Desk>::default(), |_| {});
    Server::bind("udp://127.0.0.1:0").unwrap().export(ChainService::new(link))
}

fn refused(server: Server) -> String {
    let error = server.spawn().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    error.to_string()
}

#[test]
fn a_quantum_of_nothing_is_refused_and_the_error_says_what_to_do() {
    let text = refused(server().quantum(Duration::ZERO));
    assert!(
        text.contains("the server's quantum is 0ns, and nobody can answer that fast"),
        "{text}"
    );
    assert!(text.contains("give it 1ms or more"), "{text}");
    let text = refused(server().grace(Duration::from_micros(1)));
    assert!(text.contains("the server's grace period is 1µs"), "{text}");
    let text = refused(server().export(HastyService::new(Nobody)));
    assert!(text.contains("the quantum of hasty.run is 10µs"), "{text}");
}

#[test]
fn limits_that_contradict_each_other_are_refused_by_name() {
    let mut limits = Limits::default();
    limits.lease = Duration::from_secs(1);
    let text = refused(server().limits(limits));
    assert!(text.contains("the server's limits contradict each other"), "{text}");
    assert!(text.contains("`lease` must be `lease_unused` at least"), "{text}");
}

#[test]
fn every_strategy_can_be_chosen() {
    for strategy in [
        OrphanStrategy::ExpireAndGentle,
        OrphanStrategy::Expire,
        OrphanStrategy::Gentle,
        OrphanStrategy::Reincarnate,
        OrphanStrategy::Exterminate,
    ] {
        let server = server().orphans(strategy).quantum(Duration::from_millis(1));
        assert!(server.spawn().is_ok(), "{strategy:?}");
    }
}
