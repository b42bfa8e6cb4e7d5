//! Counts of calls: what servers report is what was called.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use rpc_runtime::binder::{Callee, Figures};
use rpc_runtime::{CallError, Error, Execution, Result, Server, service};

use super::*;

/// Why a bank does not pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Broke {
    /// There is not so much.
    NotSoMuch,
}

impl std::fmt::Display for Broke {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("there is not so much")
    }
}

impl std::error::Error for Broke {}

#[service(name = "bank", version = "1.0")]
trait Bank {
    /// Takes 2 ms; pays up to 100.
    #[rpc(timeout = "2s")]
    fn pay(&self, cents: u64) -> Result<u64, Broke>;
    /// Takes longer than anybody waits.
    #[rpc(timeout = "200ms")]
    fn ponder(&self) -> std::result::Result<u64, CallError>;
}

#[service(name = "till", version = "1.0")]
trait Till {
    /// Has the bank pay.
    #[rpc(timeout = "2s")]
    fn buy(&self, cents: u64) -> std::result::Result<u64, CallError>;
}

struct Vault;

impl Bank for Vault {
    fn pay(&self, cents: u64) -> Result<u64, Broke> {
        sim::sleep(Duration::from_millis(2));
        if cents > 100 { Err(Error::App(Broke::NotSoMuch)) } else { Ok(cents) }
    }

    fn ponder(&self) -> std::result::Result<u64, CallError> {
        sim::sleep(Duration::from_secs(1));
        Ok(42)
    }
}

struct Clerk(BankClient);

impl Till for Clerk {
    fn buy(&self, cents: u64) -> std::result::Result<u64, CallError> {
        if cents == 0 {
            return self.0.ponder();
        }
        match self.0.pay(cents) {
            Ok(paid) => Ok(paid),
            Err(Error::App(Broke::NotSoMuch)) => Err(CallError::failed("the bank does not pay")),
            Err(Error::Call(error)) => Err(error),
        }
    }
}

#[test]
fn what_servers_report_is_what_was_called_and_how_it_ended() {
    let stage = Stage::set(11);
    stage.host("bank", |binder| {
        let server = Server::bind("sim://bank").unwrap().export(BankService::new(Vault));
        let _running = server.register(&binder).spawn().unwrap();
        stay();
    });
    stage.host("till", |binder| {
        sim::sleep(Duration::from_millis(100));
        let clerk = Clerk(BankClient::import(&binder).unwrap());
        let server = Server::bind("sim://till").unwrap().export(TillService::new(clerk));
        let _running = server.register(&binder).spawn().unwrap();
        stay();
    });
    let has_called = Arc::<AtomicBool>::default();
    let called = Arc::clone(&has_called);
    stage.host("customer", move |binder| {
        sim::sleep(Duration::from_millis(300));
        let till = TillClient::import(&binder).unwrap();
        for _ in 0..20 {
            assert_eq!(till.buy(7).unwrap(), 7);
        }
        for cents in [101, 102, 0] {
            assert_eq!(till.buy(cents).unwrap_err().execution(), Execution::Executed);
        }
        let till = [("till", 20, 3)].map(|(name, returned, executed)| Callee {
            name: name.to_owned(),
            returned,
            executed,
            ..Callee::default()
        });
        assert_eq!(binder.callees(), till);
        called.store(true, Ordering::Release);
    });
    stage.tell(move |seen| {
        while !has_called.load(Ordering::Acquire) {
            sim::sleep(Duration::from_millis(10));
        }
        sim::sleep(Duration::from_secs(1)); // the bank has pondered
        sim::sleep(LEASE);
        let bank = seen.wait_for("bank", |state, _| state == EntryState::Live);
        let till = seen.wait_for("till", |state, _| state == EntryState::Live);
        let Figures { calls, failed, running, queued, p50_us, p99_us, .. } = bank.figures;
        assert_eq!((calls, failed, running, queued), (23, 2, 0, 0));
        assert!((2_000..2_300).contains(&p50_us), "{p50_us}");
        assert!((1_000_000..1_150_000).contains(&p99_us), "{p99_us}");
        assert_eq!(bank.callees, []);
        assert_eq!((till.figures.calls, till.figures.failed, till.figures.running), (23, 3, 0));
        let bank = Callee { name: "bank".into(), returned: 22, unknown: 1, ..Callee::default() };
        assert_eq!(till.callees, [bank], "by the binder's handle that it is registered by");
    });
}
