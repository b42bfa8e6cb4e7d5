//! The forms again, of the other colour: on the wire the two interfaces are one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use rpc_runtime::{CallError, service};

use crate::forms::{Forms, Line, Order, Plain};

/// Every form of parameter, alone and together, of methods that wait.
#[service(name = "forms", version = "1.2")]
pub trait Waits {
    /// Nothing at all.
    async fn nothing(&self) -> Result<(), CallError>;

    /// What is borrowed from the request.
    #[rpc(at_least_once)]
    #[expect(clippy::too_many_arguments, reason = "a line of its own for each form")]
    async fn borrowed(
        &self,
        text: &str,
        block: &[u8],
        maybe_text: Option<&str>,
        maybe_block: Option<&[u8]>,
        texts: Vec<&str>,
        cow: Cow<'_, str>,
        cow_block: Cow<'_, [u8]>,
        order: Order<'_>,
    ) -> Result<String, CallError>;

    /// What is referred to here, and owned over there.
    #[rpc(at_least_once, worker, timeout = "1m 30s")]
    async fn referred(
        &self,
        line: &Line,
        lines: &[Line],
        maybe_line: Option<&Line>,
        numbers: &[u64],
        nested: &BTreeMap<String, Vec<u8>>,
        array: &[u16; 3],
    ) -> Result<String, CallError>;

    /// What is given away.
    #[rpc(at_most_once)]
    async fn owned(
        &self,
        line: Line,
        lines: Vec<Line>,
        maybe_line: Option<Line>,
        pair: (u8, String),
        wait: std::time::Duration,
    ) -> Result<String, CallError>;

    /// What comes back changed; what else is passed stays.
    async fn changed(
        &self,
        lines: &mut Vec<Line>,
        new_lines: &[Line],
        total: &mut u32,
        note: &mut Option<String>,
        name: &str,
    ) -> Result<usize, CallError>;

    /// Nobody waits. The other interface has no such method, which harms nobody who does not call it.
    #[rpc(maybe)]
    async fn knock(&self, who: &str);
}

/// An object that waits a while, and then says what reached it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patient;

/// Lets others go first.
async fn a_while() {
    let mut is_over = false;
    poll_fn(|task| {
        if std::mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Waits for Patient {
    async fn nothing(&self) -> Result<(), CallError> {
        a_while().await;
        Plain.nothing()
    }

    async fn borrowed(
        &self,
        text: &str,
        block: &[u8],
        maybe_text: Option<&str>,
        maybe_block: Option<&[u8]>,
        texts: Vec<&str>,
        cow: Cow<'_, str>,
        cow_block: Cow<'_, [u8]>,
        order: Order<'_>,
    ) -> Result<String, CallError> {
        a_while().await;
        Plain.borrowed(text, block, maybe_text, maybe_block, texts, cow, cow_block, order)
    }

    async fn referred(
        &self,
        line: &Line,
        lines: &[Line],
        maybe_line: Option<&Line>,
        numbers: &[u64],
        nested: &BTreeMap<String, Vec<u8>>,
        array: &[u16; 3],
    ) -> Result<String, CallError> {
        a_while().await;
        Plain.referred(line, lines, maybe_line, numbers, nested, array)
    }

    async fn owned(
        &self,
        line: Line,
        lines: Vec<Line>,
        maybe_line: Option<Line>,
        pair: (u8, String),
        wait: std::time::Duration,
    ) -> Result<String, CallError> {
        a_while().await;
        Plain.owned(line, lines, maybe_line, pair, wait)
    }

    async fn changed(
        &self,
        lines: &mut Vec<Line>,
        new_lines: &[Line],
        total: &mut u32,
        note: &mut Option<String>,
        name: &str,
    ) -> Result<usize, CallError> {
        a_while().await;
        let count = Plain.changed(lines, new_lines, total, note, name);
        a_while().await;
        count
    }

    async fn knock(&self, _who: &str) {
        a_while().await;
    }
}
