//! The binder as a process of its own, and what is asked of it.

use std::collections::VecDeque;
use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use benches::names::{name, registration};
use rpc_binder::daemon;
use rpc_binder::registry::Limits;
use rpc_runtime::binder::{
    self, BinderError, Directory as _, DirectoryClient, Entries, Lease, Report, VersionRequirement,
};
use rpc_runtime::{Balance, Call, CallError, Server, service};

use super::{Trouble, rate, real};

/// Long enough that nobody need be renewed in a bench.
const LEASE: Duration = Duration::from_secs(3_600);

/// A binder's process.
#[derive(Debug)]
pub(crate) struct Binder {
    child: Child,
    directory: DirectoryClient,
    last: AtomicU64,
}

/// The binder's part.
pub(crate) fn serve(store: &Path) -> Result<(), Trouble> {
    let limits = Limits { lease: LEASE, registrations_max: 2_000_000, ..Limits::default() };
    let running = match store.to_str() {
        Some("none") => daemon::start("udp://127.0.0.1:0", limits)?,
        _ => daemon::start_in("udp://127.0.0.1:0", limits, store)?,
    };
    println!("{}", running.url());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

type Looked = rpc_runtime::Result<Entries, BinderError>;

impl Binder {
    /// One whose registrations last in `store`, or do not last.
    pub(crate) fn start(store: Option<&Path>) -> Result<Self, Trouble> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("serve").arg(store.unwrap_or(Path::new("none")));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        let out = child.stdout.take().ok_or("the binder has no output")?;
        BufReader::new(out).read_line(&mut url)?;
        let directory = DirectoryClient::connect(url.trim())?;
        Ok(Self { child, directory, last: AtomicU64::new(1 << 32) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Registers so many, each under a name of its own.
    pub(crate) fn fill(&self, entries: u64) -> Result<(), Trouble> {
        let mut under_way = VecDeque::new();
        for number in 0..entries {
            let register = self.directory.start();
            under_way.push_back(register.register(&registration(number), Some(Vec::new())));
            if under_way.len() == 256 {
                under_way.pop_front().map(Call::wait).transpose()?;
            }
        }
        for call in under_way {
            call.wait()?;
        }
        Ok(())
    }

    /// Lookups a second, with so many under way.
    pub(crate) fn lookups(
        &self,
        entries: u64,
        together: usize,
        turn: Duration,
    ) -> Result<f64, Trouble> {
        let any = VersionRequirement::any();
        let mut number = 0_u64;
        let mut next = || {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            name((number >> 33) % entries)
        };
        let found = |page: Looked| -> Result<(), Trouble> {
            if page?.entries.len() == 1 { Ok(()) } else { Err("nobody was found".into()) }
        };
        if together == 1 {
            return rate(turn, || {
                found(self.directory.lookup(&next(), &any, None))?;
                Ok(1)
            });
        }
        let mut under_way: VecDeque<Call<Looked>> = VecDeque::new();
        let half = together / 2;
        let rate = rate(turn, || {
            while under_way.len() < together {
                under_way.push_back(self.directory.start().lookup(&next(), &any, None));
            }
            let mut done = 0;
            for call in under_way.drain(..half) {
                found(call.wait())?;
                done += 1;
            }
            Ok(done)
        })?;
        under_way.into_iter().try_for_each(|call| found(call.wait()))?;
        Ok(rate)
    }

    /// Registrations a second, by so many callers.
    pub(crate) fn registrations(&self, callers: usize, turn: Duration) -> Result<f64, Trouble> {
        self.by_callers(callers, turn, |_| {
            let number = self.last.fetch_add(1, Ordering::Relaxed);
            let call = self.directory.start().register(&registration(number), Some(Vec::new()));
            call.wait().map(drop).map_err(|error| error.to_string())
        })
    }

    /// Renewals a second, by so many callers of one registration each.
    pub(crate) fn renewals(&self, callers: usize, turn: Duration) -> Result<f64, Trouble> {
        let leases: Result<Vec<Lease>, _> = (0..callers)
            .map(|_| {
                let number = self.last.fetch_add(1, Ordering::Relaxed);
                self.directory.start().register(&registration(number), Some(Vec::new())).wait()
            })
            .collect();
        let leases = leases?;
        self.by_callers(callers, turn, |caller| {
            let Lease { id, secret, .. } = leases[caller];
            let renewed = self.directory.renew(id, secret, &Report::default());
            renewed.map(drop).map_err(|error| error.to_string())
        })
    }

    fn by_callers(
        &self,
        callers: usize,
        turn: Duration,
        work: impl Fn(usize) -> Result<(), String> + Sync,
    ) -> Result<f64, Trouble> {
        let started = Instant::now();
        let done = AtomicU64::new(0);
        thread::scope(|threads| {
            let one = |caller| {
                let (work, done) = (&work, &done);
                threads.spawn(move || {
                    while started.elapsed() < turn {
                        work(caller)?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<(), String>(())
                })
            };
            let callers: Vec<_> = (0..callers).map(one).collect();
            for caller in callers {
                caller.join().map_err(|_| "a caller panicked")??;
            }
            Ok::<(), Trouble>(())
        })?;
        Ok(real(done.load(Ordering::Relaxed)) / started.elapsed().as_secs_f64())
    }
}

impl Drop for Binder {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _exit = self.child.wait();
    }
}

/// What is called once it is found.
#[service(name = "bench.found", version = "1.0")]
trait Found {
    /// Does nothing.
    #[rpc(inline)]
    fn nothing(&self) -> Result<(), CallError>;
}

struct Nobody;

impl Found for Nobody {
    fn nothing(&self) -> Result<(), CallError> {
        Ok(())
    }
}

/// What the binder is asked for each call of a client that is bound to three servers.
pub(crate) fn lookups_per_call() -> Result<f64, Trouble> {
    const CALLS: u64 = 20_000;
    let names = daemon::start("udp://127.0.0.1:0", Limits { lease: LEASE, ..Limits::default() })?;
    let binder = binder::Binder::at(&names.url())?.balance(Balance::RoundRobin);
    let server = || {
        Server::bind("udp://127.0.0.1:0")?
            .export(FoundService::new(Nobody))
            .register(&binder)
            .spawn()
    };
    let servers = [server()?, server()?, server()?];
    let client = FoundClient::import(&binder)?;
    for _ in 0..100 {
        client.nothing()?;
    }
    thread::sleep(Duration::from_millis(200)); // it has heard who is there
    let before = names.counters().datagrams_in;
    for _ in 0..CALLS {
        client.nothing()?;
    }
    let asked = names.counters().datagrams_in - before;
    drop(servers);
    Ok(real(asked) / real(CALLS))
}
