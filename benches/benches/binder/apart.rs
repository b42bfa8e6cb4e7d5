//! Caller and callee on processors of their own, as if they were on two machines.
//!
//! Where a call mostly waits for a processor to wake, it takes 15 us or 50 by where the system has placed the
//! two, which it settles anew every few milliseconds. `taskset` (util-linux) places them for a while.

use std::process::{self, Command, Stdio};
use std::thread;

/// As long as this lives they are apart: the main thread of this process, and these processes.
#[derive(Debug)]
pub(crate) struct Apart {
    callees: Vec<u32>,
    all: String,
}

impl Apart {
    /// Nothing is done where there is one processor only, or no `taskset`.
    pub(crate) fn new(callees: &[u32]) -> Self {
        let last = thread::available_parallelism().map_or(0, |count| count.get() - 1);
        let apart = Self { callees: callees.to_owned(), all: format!("0-{last}") };
        if last > 0 {
            apart.place("0", "1");
        }
        apart
    }

    fn place(&self, caller: &str, callee: &str) {
        place(&["-cp", caller], process::id());
        self.callees.iter().for_each(|pid| place(&["-acp", callee], *pid));
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.place(&self.all, &self.all);
    }
}

fn place(how: &[&str], pid: u32) {
    let mut taskset = Command::new("taskset");
    let taskset = taskset.args(how).arg(pid.to_string()).stdout(Stdio::null());
    let _left_where_it_is = taskset.stderr(Stdio::null()).status();
}
