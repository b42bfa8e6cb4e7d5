//! Every form of parameter. The handler says what reached it, so that a remote call can be compared
//! with a local one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rpc_runtime::{CallError, service};
use serde::{Deserialize, Serialize};

/// A value that owns what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What is bought.
    pub article: String,
    /// How many.
    pub count: u32,
}

/// A value that borrows from the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order<'a> {
    /// Who buys.
    pub buyer: &'a str,
    /// What is written on the parcel.
    #[serde(borrow)]
    pub label: Cow<'a, str>,
}

/// Every form of parameter, alone and together.
#[service(name = "forms", version = "1.2")]
pub trait Forms {
    /// Nothing at all.
    fn nothing(&self) -> Result<(), CallError>;

    /// What is borrowed from the request.
    #[rpc(at_least_once, inline)]
    #[expect(clippy::too_many_arguments, reason = "a line of its own for each form")]
    fn borrowed(
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
    fn referred(
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
    fn owned(
        &self,
        line: Line,
        lines: Vec<Line>,
        maybe_line: Option<Line>,
        pair: (u8, String),
        wait: std::time::Duration,
    ) -> Result<String, CallError>;

    /// What comes back changed; what else is passed stays.
    fn changed(
        &self,
        lines: &mut Vec<Line>,
        new_lines: &[Line],
        total: &mut u32,
        note: &mut Option<String>,
        name: &str,
    ) -> Result<usize, CallError>;
}

/// An object that says what reached it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Forms for Plain {
    fn nothing(&self) -> Result<(), CallError> {
        Ok(())
    }

    fn borrowed(
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
        let texts = texts.join("+");
        Ok(format!(
            "{text} {block:?} {maybe_text:?} {maybe_block:?} {texts} {cow} {cow_block:?} {order:?}"
        ))
    }

    fn referred(
        &self,
        line: &Line,
        lines: &[Line],
        maybe_line: Option<&Line>,
        numbers: &[u64],
        nested: &BTreeMap<String, Vec<u8>>,
        array: &[u16; 3],
    ) -> Result<String, CallError> {
        Ok(format!("{line:?} {lines:?} {maybe_line:?} {numbers:?} {nested:?} {array:?}"))
    }

    fn owned(
        &self,
        line: Line,
        lines: Vec<Line>,
        maybe_line: Option<Line>,
        pair: (u8, String),
        wait: std::time::Duration,
    ) -> Result<String, CallError> {
        let all: Vec<Line> = std::iter::once(line).chain(lines).chain(maybe_line).collect();
        Ok(format!("{all:?} {pair:?} {wait:?}"))
    }

    fn changed(
        &self,
        lines: &mut Vec<Line>,
        new_lines: &[Line],
        total: &mut u32,
        note: &mut Option<String>,
        name: &str,
    ) -> Result<usize, CallError> {
        lines.extend_from_slice(new_lines);
        *total += new_lines.iter().map(|line| line.count).sum::<u32>();
        *note = note.take().map_or_else(|| Some(name.to_owned()), |_| None);
        Ok(lines.len())
    }
}
