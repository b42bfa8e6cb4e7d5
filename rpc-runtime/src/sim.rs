//! A deterministic world to test in: hosts, a network that misbehaves, a clock that jumps, one seed.
//!
//! The simulator runs the very code that runs on sockets, in virtual time and in one process.
//! Everything that chance decides (what is lost, doubled, late, damaged; every identifier and every
//! jitter) follows from one seed, so a failure that was seen once can be seen again, and a day of
//! lost replies, crashes and partitions takes seconds.
//!
//! Two ways to live in it, side by side in one [`Simulation`]:
//!
//! - **Blocking code, unchanged** ([`threads`]). A client or a server as you wrote it runs on real
//!   threads, of which exactly one runs at a time; wherever it would wait in the runtime, the world
//!   goes on instead. Addresses are `sim://host`.
//! - **Nodes** ([`node`]). A machine that is fed datagrams and times and says what to send: no
//!   threads, a hundred times as fast.
//!
//! ```
//! use rpc_runtime::fault::Faults;
//! use rpc_runtime::sim::{self, Simulation};
//! use rpc_runtime::driver::World;
//! use rpc_runtime::time::{Duration, Instant};
//!
//! let world = Simulation::new(7);
//! world.with(|world| {
//!     world.net.set_faults(Faults::default().duplicate(0.2).delay(Duration::from_millis(1)));
//!     let (echo, client) = (world.add_host("echo"), world.add_host("client"));
//!     world.spawn(echo, "main", false, || {
//!         let link = sim::current_world().unwrap().listen("echo").unwrap();
//!         let mut buffer = [0; 100];
//!         while let rpc_runtime::driver::Received::Datagram { len, from } =
//!             link.receive(&mut buffer, None)
//!         {
//!             link.send(from, &buffer[..len]);
//!         }
//!     });
//!     world.spawn(client, "main", true, || {
//!         sim::sleep(Duration::from_secs(3_600)); // costs nothing
//!         let (link, echo) = sim::current_world().unwrap().dial("echo").unwrap();
//!         link.send(echo, b"hello");
//!         link.receive(&mut [0; 100], None);
//!     });
//! });
//! world.run_until_finished(Instant::START + Duration::from_secs(4_000));
//! println!("{:016x}", world.trace_hash()); // the same for seed 7, today and on any machine
//! ```
//!
//! # What code in the world may and may not do
//!
//! | instead of | use | because otherwise |
//! |---|---|---|
//! | `std::thread::sleep` | [`sleep`] | real time passes, virtual time does not |
//! | `std::time::Instant::now`, `SystemTime` | [`now`] | the run depends on the machine |
//! | `block_on` of an async runtime, its timers and sockets | [`block_on`] | as above |
//! | `std::thread::spawn` | [`World::spawn`](crate::driver::World::spawn) | two threads run at once, and the run depends on the machine |
//! | a lock held across a call, which another thread wants | release it before the call | the thread that wants it blocks with the baton in its hand, and nothing moves |
//! | channels, condition variables, `park` between threads | [`World::gate`](crate::driver::World::gate), or a call | as above |
//! | randomness of the system, iteration over a `HashMap` | [`World::rng`](crate::driver::World::rng), `BTreeMap` | the run is not a function of its seed |
//! | files, sockets | a [`SimDisk`], or values shared by `Arc`: they survive a crash, as a disk does | the run depends on the machine |
//!
//! Locks that are *not* held across a call are free to use: with one thread running at a time they
//! never block. So are atomics, and computing, which takes no virtual time at all.
//!
//! A thread that blocks outside of the runtime is found by a watchdog after some seconds of real
//! time, and the run fails with a message that says what every thread is doing. So does a run in
//! which everybody waits for ever, or in which things keep happening at one moment.
//!
//! # Crashes
//!
//! [`Control::crash`] ends a host: nothing on it happens any more. Its threads unwind from the
//! place where they wait, or from their next use of the runtime, and print nothing. Destructors
//! run, but whatever they try to send or wait for has no effect; a mutex that is locked just then
//! is poisoned. What the process kept in memory is gone when its threads are; what a test shares
//! with it by `Arc` is its disk. [`Control::restart`] brings the host up, empty, in its next life.
//!
//! # Speed
//!
//! A node's datagram takes some 200 ns from sender to receiver; a hand-over between threads is one
//! wake-up by the system, about 1 µs where it keeps both threads on one core and 15 where it does
//! not: pin a long campaign with blocking code to a core (`taskset -c 0`). Keeping the trace's text
//! costs more than all else; leave it off until a seed fails.
//!
//! # When a run fails
//!
//! A panic of code in the world ends the run, which panics with the seed, the moment and the thread
//! in its message. Run the seed again with [`Trace::keep`](trace::Trace::keep) to see the last
//! events. Equal seeds with unequal [`Trace::hash`](trace::Trace::hash)es mean that something in
//! the run depends on more than the seed: see the table above.

pub mod random;
pub mod hosts;
pub mod disk;
pub mod clock;
pub mod trace;
pub mod net;
pub mod node;
mod schedule;
pub mod threads;
pub mod checker;
pub mod nodes;
pub mod world;

pub use crate::fault::Faults;
pub use disk::SimDisk;
pub use hosts::HostId;
pub use node::{Node, NodeOutput};
pub use schedule::{Control, Ended, Failure, FailureKind};
pub use threads::{Handle, HostWorld, Simulation, block_on, current_world, note, now, sleep};
pub use world::{World, check};
