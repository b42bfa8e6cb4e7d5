//! What a method may return, and what `?` may do in a handler.

use std::borrow::Cow;

use rpc_runtime::{CallError, CallReport, ResultExt, service};
use serde::{Deserialize, Serialize};

type Answer<T> = rpc_runtime::Result<T, BankError>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
enum BankError {
    #[error("{short} cents short")]
    NoFunds { short: u64 },
    #[error("the ledger did not answer")]
    Ledger(#[source] CallReport),
}

#[service]
trait Ledger {
    fn append(&self, line: &str) -> Result<(), CallError>;
    fn check(&self, line: &str) -> rpc_runtime::Result<(), String>;
}

#[service]
trait Bank {
    fn alias(&self) -> Answer<u64>;
    fn own(&self) -> rpc_runtime::Result<(), BankError>;
    fn none(&self) -> Result<Cow<'static, str>, CallError>;
    #[expect(clippy::too_many_arguments, reason = "no limit is meant to show")]
    fn seventeen(
        &self,
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
        m: u8,
        n: u8,
        o: u8,
        p: u8,
        q: u8,
    ) -> Result<u8, CallError>;
}

struct MyBank {
    ledger: LedgerClient,
}

impl Bank for MyBank {
    fn alias(&self) -> Answer<u64> {
        self.ledger.append("a").map_err(|error| BankError::Ledger(error.into()))?;
        self.ledger.append("b")?;
        self.ledger.check("c").nested()?;
        Err(BankError::NoFunds { short: 1 })?
    }

    fn own(&self) -> rpc_runtime::Result<(), BankError> {
        match self.ledger.check("d").app()? {
            Ok(()) => Ok(()),
            Err(text) => Err(CallError::failed(text).into()),
        }
    }

    fn none(&self) -> Result<Cow<'static, str>, CallError> {
        Ok("borrowed for ever".into())
    }

    fn seventeen(
        &self,
        a: u8,
        _b: u8,
        _c: u8,
        _d: u8,
        _e: u8,
        _f: u8,
        _g: u8,
        _h: u8,
        _i: u8,
        _j: u8,
        _k: u8,
        _l: u8,
        _m: u8,
        _n: u8,
        _o: u8,
        _p: u8,
        q: u8,
    ) -> Result<u8, CallError> {
        Ok(a + q)
    }
}

fn anyhow_like(bank: &dyn Bank) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    bank.own()?;
    Ok(bank.alias()?)
}

#[test]
fn question_marks_pass_each_failure_on_as_what_it_is() {
    let bank = MyBank { ledger: LedgerClient::connect("udp://127.0.0.1:9").expect("an address") };
    assert_eq!(bank.none().expect("an answer"), "borrowed for ever");
    assert_eq!(
        bank.seventeen(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17).unwrap(),
        18
    );
    let _: fn(&dyn Bank) -> _ = anyhow_like;
}
