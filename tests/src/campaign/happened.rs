//! How often each kind of fault happened: a campaign that never saw one says nothing about it.

use std::ops::AddAssign;

use rpc_runtime::sim::Control;
use serde::Serialize;

use super::Transport;

/// Faults of a day, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// Copies of datagrams that were dropped.
    pub drop: u64,
    /// Datagrams that were sent twice.
    pub duplicate: u64,
    /// Copies that others overtook.
    pub reorder: u64,
    /// Copies that were damaged.
    pub corrupt: u64,
    /// Copies, or writes to streams, that came late.
    pub delay: u64,
    /// Those that a partition lost.
    pub partition: u64,
    /// Hosts that crashed.
    pub crash: u64,
    /// Streams that broke.
    pub stream_break: u64,
    /// Writes to streams in which there was no room.
    pub full: u64,
}

impl Happened {
    pub(super) fn of(control: &Control) -> Self {
        let counters = control.net.counters();
        let injected = counters.injected;
        Self {
            drop: injected.dropped,
            duplicate: injected.duplicated,
            reorder: injected.reordered,
            corrupt: injected.corrupted,
            delay: injected.delayed,
            partition: counters.cut,
            crash: control.crashes(),
            stream_break: counters.broken,
            full: counters.queue_full,
        }
    }

    /// Each kind that this transport knows, and how often it happened.
    #[must_use]
    pub fn kinds(&self, transport: Transport) -> Vec<(&'static str, u64)> {
        let both = [("delay", self.delay), ("partition", self.partition), ("crash", self.crash)];
        let own = match transport {
            Transport::Udp => vec![
                ("drop", self.drop),
                ("duplicate", self.duplicate),
                ("reorder", self.reorder),
                ("corrupt", self.corrupt),
            ],
            Transport::Tcp | Transport::Unix | Transport::Shm => {
                vec![("break", self.stream_break), ("full", self.full)]
            }
        };
        own.into_iter().chain(both).collect()
    }
}

impl AddAssign for Happened {
    fn add_assign(&mut self, other: Self) {
        self.drop += other.drop;
        self.duplicate += other.duplicate;
        self.reorder += other.reorder;
        self.corrupt += other.corrupt;
        self.delay += other.delay;
        self.partition += other.partition;
        self.crash += other.crash;
        self.stream_break += other.stream_break;
        self.full += other.full;
    }
}
