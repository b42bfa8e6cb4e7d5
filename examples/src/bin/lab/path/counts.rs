//! What a call costs that is counted: allocations, context switches, system calls, copies.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::process::{Command, Stdio};

use serde::Serialize;

use super::sample::{real, rounded};
use super::{Pin, Transport};
use crate::allocations;

/// Copies of the payload in our own code, by construction: the arguments are marshalled into a buffer,
/// which the call keeps for retransmissions; from there go into the datagram; and out of the receive
/// buffer into one that the handler borrows from. The reply takes the same three steps back.
const COPIES: u32 = 6;

/// Calls under `strace`: what two runs differ in is what so many calls cost.
const TRACED: (u64, u64) = (200, 1_200);

/// For each call, of both sides together.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) transport: Option<Transport>,
    pub(crate) allocations: f64,
    pub(crate) context_switches: f64,
    /// Of the raw echo.
    pub(crate) raw_context_switches: f64,
    /// Of the payload, in our own code.
    pub(crate) copies: u32,
    /// By name; none where they could not be counted.
    pub(crate) system_calls: Option<BTreeMap<String, f64>>,
    #[serde(skip)]
    calls: u64,
}

/// Allocations and context switches so far, or in a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    allocations: u64,
    switches: u64,
}

impl Before {
    pub(super) fn now() -> Self {
        Self { allocations: allocations::count(), switches: switches() }
    }

    pub(super) fn since(self) -> Self {
        let now = Self::now();
        let allocations = now.allocations - self.allocations;
        Self { allocations, switches: now.switches - self.switches }
    }
}

impl Counts {
    pub(super) fn add(&mut self, plain: Before, raw: Before, calls: u64) {
        self.allocations += real(plain.allocations);
        self.context_switches += real(plain.switches);
        self.raw_context_switches += real(raw.switches);
        self.calls += calls;
    }

    /// Makes means of the sums.
    pub(super) fn finish(&mut self, transport: Transport) {
        let calls = real(self.calls.max(1));
        self.transport = Some(transport);
        self.copies = COPIES;
        for sum in
            [&mut self.allocations, &mut self.context_switches, &mut self.raw_context_switches]
        {
            *sum = rounded(*sum / calls, 1e-3);
        }
    }
}

/// Context switches of this process so far, whoever wanted them.
#[expect(unsafe_code, reason = "the system's own count has no other door")]
fn switches() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a whole `rusage`, which the call fills, and of which all zeroes are one.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_nvcsw + usage.ru_nivcsw).unwrap_or(0)
}

/// System calls of each call, both sides together, where `strace` is to be had and may trace.
pub(super) fn system_calls(
    transport: Transport,
    payload_bytes: usize,
    pin: Pin,
) -> Option<BTreeMap<String, f64>> {
    let fewer = traced(transport, payload_bytes, pin, TRACED.0)?;
    let more = traced(transport, payload_bytes, pin, TRACED.1)?;
    let calls = real(TRACED.1 - TRACED.0);
    let each = more.into_iter().map(|(name, count)| {
        let before = fewer.get(&name).copied().unwrap_or(0);
        (name, rounded(real(count.saturating_sub(before)) / calls, 0.01))
    });
    // Below a hundredth it is the connection's, not the call's.
    let each: BTreeMap<_, _> = each.filter(|(_, count)| *count >= 0.01).collect();
    (!each.is_empty()).then_some(each)
}

/// All system calls of a process of our own that makes so many calls.
fn traced(
    transport: Transport,
    payload_bytes: usize,
    pin: Pin,
    calls: u64,
) -> Option<BTreeMap<String, u64>> {
    let summary = tempfile::NamedTempFile::new().ok()?;
    let status = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(summary.path())
        .arg(std::env::current_exe().ok()?)
        .args(["path", "--only-call", "--transport", transport.word(), "--pin", pin.word()])
        .args(["--calls", &calls.to_string(), "--bytes", &payload_bytes.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    let text = std::fs::read_to_string(summary.path()).ok()?;
    status.success().then(|| parse(&text))
}

/// The table of `strace -c`: the fourth column is how often, the last one the name.
fn parse(text: &str) -> BTreeMap<String, u64> {
    let row = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let count = columns.get(3)?.parse().ok()?;
        let name = columns.last().filter(|name| **name != "total")?;
        Some(((*name).to_owned(), count))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_understood() {
        let text = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 57.14    0.000032           1        20         3 futex
 42.86    0.000024           2        12           sendto
------ ----------- ----------- --------- --------- ----------------
100.00    0.000056           1        32         3 total
";
        let expected = [("futex".to_owned(), 20), ("sendto".to_owned(), 12)];
        assert_eq!(parse(text), expected.into_iter().collect());
    }

    #[test]
    fn the_system_counts_context_switches() {
        let before = switches();
        std::thread::yield_now();
        assert!(switches() >= before);
    }
}
