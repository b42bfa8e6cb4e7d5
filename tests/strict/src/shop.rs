//! Every word of the grammar, and both forms of result, over an object with state.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rpc_runtime::{CallError, service};
use serde::{Deserialize, Serialize};

use crate::forms::Line;

/// What a shop answers with a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShopError {
    /// Fewer are left than were asked for.
    SoldOut {
        /// How many are left.
        left: u32,
    },
}

impl fmt::Display for ShopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SoldOut { left } => write!(f, "only {left} left"),
        }
    }
}

impl std::error::Error for ShopError {}

/// An alias of a user, which hides the form of the result from the macro.
pub type ShopResult<T> = rpc_runtime::Result<T, ShopError>;

/// A shop.
///
/// # Example
///
/// The docs of the trait may say anything.
#[service]
pub trait Shop: fmt::Debug + Send + Sync {
    /// How many are on the shelf: the method's own result type is an alias.
    #[rpc(at_least_once)]
    #[rpc(timeout = "2s", inline)]
    fn left(&self, article: &str) -> ShopResult<u32>;

    /// Takes from the shelf, at most once.
    #[rpc(at_most_once, worker)]
    fn take(&self, line: &Line) -> rpc_runtime::Result<u32, ShopError>;

    /// Puts back; the default semantics. The wire keeps the old name.
    #[rpc(name = "put_back", timeout = "500ms")]
    fn put(&self, line: Line) -> Result<u32, CallError>;

    /// Takes what there is and shortens the wish.
    fn take_some(&self, wish: &mut u32) -> ShopResult<()>;

    /// Somebody looked in; nobody waits.
    #[rpc(maybe)]
    fn look(&self, who: &str);

    /// A bell that nobody waits for.
    #[rpc(maybe, inline)]
    fn ring(&self);
}

/// A shop with one article.
#[derive(Debug)]
pub struct Shelves {
    left: Mutex<u32>,
    visits: Mutex<Vec<String>>,
}

impl Shelves {
    /// A shop with so many on its shelf.
    #[must_use]
    pub fn with(left: u32) -> Self {
        Self { left: Mutex::new(left), visits: Mutex::default() }
    }

    /// Who looked in or rang.
    #[must_use]
    pub fn visits(&self) -> Vec<String> {
        lock(&self.visits).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shop for Shelves {
    fn left(&self, _article: &str) -> ShopResult<u32> {
        Ok(*lock(&self.left))
    }

    fn take(&self, line: &Line) -> rpc_runtime::Result<u32, ShopError> {
        let mut left = lock(&self.left);
        *left = left.checked_sub(line.count).ok_or(ShopError::SoldOut { left: *left })?;
        Ok(*left)
    }

    fn put(&self, line: Line) -> Result<u32, CallError> {
        let mut left = lock(&self.left);
        *left =
            left.checked_add(line.count).ok_or_else(|| CallError::failed("the shelf is full"))?;
        Ok(*left)
    }

    fn take_some(&self, wish: &mut u32) -> ShopResult<()> {
        let mut left = lock(&self.left);
        let taken = (*wish).min(*left);
        *left -= taken;
        *wish -= taken;
        if taken == 0 {
            Err(ShopError::SoldOut { left: *left })?;
        }
        Ok(())
    }

    fn look(&self, who: &str) {
        lock(&self.visits).push(who.to_owned());
    }

    fn ring(&self) {
        lock(&self.visits).push("the bell".to_owned());
    }
}
