//! What is called: a shop with a method of every kind, a later one of its name, and a till with a store.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rpc_runtime::store::memory::MemoryTx;
use rpc_runtime::time::Duration;
use rpc_runtime::{CallError, service};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    customer: String,
    items: Vec<Item>,
    paid: Paid,
    stamp: Vec<u8>,
    notes: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    name: String,
    price: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Paid {
    Cash,
    Card(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ShopError {
    TooLittle { short: u64 },
    Closed,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Password;

impl TryFrom<String> for Password {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        if text == "sesame" { Ok(Self) } else { Err("no") }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Login {
    password: Password,
    after: u8,
}

/// A shop with a method of every kind.
#[service(name = "shop", version = "1.3")]
pub(crate) trait Shop {
    /// Gives the order back, with a number.
    fn order(
        &self,
        order: &Order,
        hurry: Option<bool>,
    ) -> rpc_runtime::Result<(u64, Order), ShopError>;
    /// Fails as the shop does, beyond 100.
    fn pay(&self, r#in: &str, cents: u64) -> rpc_runtime::Result<u64, ShopError>;
    /// Takes the first things out of the basket.
    fn fill(&self, basket: &mut Vec<String>, count: u32) -> rpc_runtime::Result<u32, ShopError>;
    /// Counts.
    #[rpc(maybe)]
    fn note(&self, line: &str);
    /// Nothing in, nothing out.
    #[rpc(at_least_once)]
    fn ping(&self) -> Result<(), CallError>;
    /// Gives up.
    fn give_up(&self) -> Result<u8, CallError>;
    /// Takes as long.
    fn sleep(&self, millis: u64) -> Result<u64, CallError>;
    /// Kept from its orphans by a journal.
    #[rpc(orphan = "exterminate")]
    fn print(&self, pages: u8) -> Result<u8, CallError>;
    /// Takes what nobody can describe.
    fn login(&self, login: &Login) -> Result<u8, CallError>;
}

#[derive(Default)]
pub(crate) struct Notes(pub(crate) Arc<AtomicU64>);

impl Shop for Notes {
    fn order(
        &self,
        order: &Order,
        hurry: Option<bool>,
    ) -> rpc_runtime::Result<(u64, Order), ShopError> {
        Ok((u64::MAX - u64::from(hurry.is_some()), order.clone()))
    }

    fn pay(&self, r#in: &str, cents: u64) -> rpc_runtime::Result<u64, ShopError> {
        match (r#in, cents) {
            ("sand", _) => Err(ShopError::Closed.into()),
            (_, 101..) => Err(ShopError::TooLittle { short: cents - 100 }.into()),
            (_, cents) => Ok(100 - cents),
        }
    }

    fn fill(&self, basket: &mut Vec<String>, count: u32) -> rpc_runtime::Result<u32, ShopError> {
        if count > 9 {
            return Err(ShopError::Closed.into());
        }
        basket.extend((0..count).map(|index| format!("thing {index}")));
        Ok(count)
    }

    fn note(&self, _: &str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn ping(&self) -> Result<(), CallError> {
        Ok(())
    }

    fn give_up(&self) -> Result<u8, CallError> {
        Err(CallError::failed("the shop burns"))
    }

    fn sleep(&self, millis: u64) -> Result<u64, CallError> {
        std::thread::sleep(Duration::from_millis(millis));
        Ok(millis)
    }

    fn print(&self, pages: u8) -> Result<u8, CallError> {
        Ok(pages)
    }

    fn login(&self, login: &Login) -> Result<u8, CallError> {
        Ok(login.after)
    }
}

/// A later shop of the same name.
pub(crate) mod later {
    use super::{CallError, service};

    #[service(name = "shop", version = "2.0")]
    pub(crate) trait Shop {
        fn pay(&self, cents: u8) -> Result<u8, CallError>;
    }

    pub(crate) struct Free;

    impl Shop for Free {
        fn pay(&self, _: u8) -> Result<u8, CallError> {
            Ok(0)
        }
    }
}

/// A till whose sum is in a store.
#[service(name = "till", version = "1.0")]
pub(crate) trait Till {
    /// Puts `cents` in; gives the sum.
    #[rpc(exactly_once)]
    fn put(&self, cents: u8) -> Result<u8, CallError>;
}

pub(crate) struct Open<'t>(pub(crate) RefCell<&'t mut MemoryTx>);

impl Till for Open<'_> {
    fn put(&self, cents: u8) -> Result<u8, CallError> {
        let mut tx = self.0.borrow_mut();
        let sum = cents + tx.get(b"sum").unwrap().map_or(0, |row| row[0]);
        tx.put(b"sum", &[sum]);
        Ok(sum)
    }
}
