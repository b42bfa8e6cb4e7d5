//! Marks on the path of a call, for whoever wants to know where its time goes (`lab path`).
//!
//! Where the layers meet, the code stamps a [`Mark`]. Without the feature `probe` that is nothing at
//! all; with it, and while it is [on](set_on), the time is kept, and the next call overwrites it. So
//! marks mean something where one call of an `inline` method is under way at a time, with client and
//! server in one process, on one clock. Knows no call: nothing is added to what is sent.
//!
//! The idea is as old as the calls themselves: Schroeder & Burrows, "Performance of Firefly RPC" (1990).

#[cfg(feature = "probe")]
pub use on::{MARKS, cost, read, set_on, stamp};

/// A place on the path of a call, in the order in which it is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// The caller enters the stub. Stamped by the caller.
    Called,
    /// The stub has a connection, and a buffer.
    Prepared,
    /// The arguments are in the buffer.
    Marshalled,
    /// The call has its deadline, was admitted, and has the lock.
    Admitted,
    /// The machine has taken it, and its datagram is there, with header and checksum; the lock is
    /// released.
    Encoded,
    /// The system has taken the datagram.
    Sent,
    /// The server's receive has returned.
    Arrived,
    /// The datagram is checked and decoded, and the slot table knows of the call.
    Checked,
    /// The execution has begun, and has its context; the lock is released.
    Begun,
    /// The method is found.
    Dispatched,
    /// The arguments are decoded, and the procedure begins. Stamped by the procedure.
    Entered,
    /// The procedure ends. Stamped by the procedure.
    Left,
    /// The result is in a buffer.
    ReplyMarshalled,
    /// The machine has taken it, and its datagram is there.
    ReplyEncoded,
    /// The system has taken the datagram.
    ReplySent,
    /// The client's receive has returned.
    ReplyArrived,
    /// The datagram is checked and decoded, and the call has ended.
    ReplyChecked,
    /// The result is decoded.
    ReplyRead,
    /// The stub has returned. Stamped by the caller.
    Returned,
}

/// Does nothing.
#[cfg(not(feature = "probe"))]
#[inline]
pub const fn stamp(_mark: Mark) {}

#[cfg(feature = "probe")]
mod on {
    #![expect(clippy::disallowed_methods, reason = "it tells how long things take in real time")]

    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Instant;

    use super::Mark;

    /// How many marks there are.
    pub const MARKS: usize = Mark::Returned as usize + 1;

    /// The times of one side's marks, away from those that another core writes.
    #[repr(align(128))]
    struct Side([AtomicU64; MARKS]);

    static IS_ON: AtomicBool = AtomicBool::new(false);
    static CLIENT: Side = Side([const { AtomicU64::new(0) }; MARKS]);
    static SERVER: Side = Side([const { AtomicU64::new(0) }; MARKS]);

    const fn side(mark: usize) -> &'static Side {
        let is_of_server = mark >= Mark::Arrived as usize && mark <= Mark::ReplySent as usize;
        if is_of_server { &SERVER } else { &CLIENT }
    }

    fn now_ns() -> u64 {
        static BASE: OnceLock<Instant> = OnceLock::new();
        let since = BASE.get_or_init(Instant::now).elapsed();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether times are kept from here on.
    pub fn set_on(is_on: bool) {
        IS_ON.store(is_on, Ordering::Relaxed);
    }

    /// Keeps the time of a mark.
    #[inline]
    pub fn stamp(mark: Mark) {
        if IS_ON.load(Ordering::Relaxed) {
            side(mark as usize).0[mark as usize].store(now_ns(), Ordering::Release);
        }
    }

    /// The time of each mark when it was passed last, in nanoseconds.
    #[must_use]
    pub fn read() -> [u64; MARKS] {
        std::array::from_fn(|mark| side(mark).0[mark].load(Ordering::Acquire))
    }

    /// What a stamp costs, in nanoseconds, about.
    #[must_use]
    pub fn cost() -> f64 {
        const STAMPS: u32 = 100_000;
        set_on(true);
        let started = Instant::now();
        for _ in 0..STAMPS {
            stamp(std::hint::black_box(Mark::Called));
        }
        let took = started.elapsed();
        set_on(false);
        took.as_secs_f64() * 1e9 / f64::from(STAMPS)
    }
}
