//! A server that dies without a word, and another one that takes over its address while the binder
//! still names the first: clients that follow the binder must notice, and must not call it.

#![expect(clippy::disallowed_methods, reason = "lives and calls take real time")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rpc_runtime::binder::{
    Binder, Directory as _, Registration, Report, Traits, Version, describe,
};
use rpc_runtime::ids::ServerId;
use rpc_runtime::server::Running;
use rpc_runtime::{CallError, Options, Server, service};
use rpc_tests::processes;

use crate::binders::Binders;
use crate::judge::{Counts, LEASE};

/// How long a place may be taken by a server that was dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// Says who answers.
#[service(name = "impostor", version = "1.0")]
trait Post {
    /// Does nothing but run.
    fn run(&self) -> Result<(), CallError>;
}

/// Counts how often it was called.
struct Counting(Arc<AtomicU64>);

impl Post for Counting {
    fn run(&self) -> Result<(), CallError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Lives of a server, with another server in its place in between.
pub(crate) fn run(urls: &[String], counts: &Counts) {
    let result = lives(urls, counts);
    if let Err(error) = result {
        eprintln!("binder_storm: the servers at one address failed: {error}");
        counts.stale_called.fetch_add(1, Ordering::Relaxed); // nothing was shown
    }
}

fn lives(urls: &[String], counts: &Counts) -> Result<(), Box<dyn Error>> {
    let place = processes::lasting_place(7_001);
    let binders = Binders::new(urls, 0)?;
    let (rightly, wrongly) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let mut number = 1_u64 << 60;
    while !counts.is_over.load(Ordering::Relaxed) {
        number += 1;
        let server = server(&place, number, &rightly)?;
        let registration = Registration {
            name: "impostor".into(),
            version: Version::new(1, 0),
            server: ServerId(number),
            incarnation: server.incarnation(),
            addresses: vec![place.clone()],
            fingerprint: POST_INTERFACE.fingerprint(),
            traits: Traits::default(),
            claim: number,
        };
        let methods = Some(describe(&POST_INTERFACE));
        let lease = binders.ask(|binder| binder.start().register(&registration, methods).wait());
        for _ in 0..4 {
            thread::sleep(LEASE / 5);
            if let Ok(lease) = &lease {
                let report = Report::default();
                let _late = binders.ask(|binder| binder.renew(lease.id, lease.secret, &report));
            }
        }
        drop(server); // without a word to the binder
        number += 1;
        let other = self::server(&place, number, &wrongly)?;
        thread::sleep(LEASE / 2);
        drop(other);
        counts.stale_called.store(wrongly.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    Ok(())
}

/// A server at the place of one that is gone: as soon as that one's threads have let go of it.
fn server(place: &str, number: u64, called: &Arc<AtomicU64>) -> Result<Running, CallError> {
    let started = Instant::now();
    loop {
        let post = PostService::new(Counting(Arc::clone(called)));
        let server = Server::bind(place).map(|server| server.id(ServerId(number)).export(post));
        match server.and_then(Server::spawn) {
            Err(_) if started.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(10)),
            done => return done,
        }
    }
}

/// Calls whoever the binder names.
pub(crate) fn call(url: &str, counts: &Counts) {
    while !counts.is_over.load(Ordering::Relaxed) {
        let binder = Binder::at(url).map(|binder| binder.patience(LEASE));
        let Ok(client) = binder.and_then(|binder| PostClient::import(&binder)) else { continue };
        let client = client.with(Options::new().timeout(LEASE / 2));
        for _ in 0..200 {
            if counts.is_over.load(Ordering::Relaxed) {
                return; // nobody serves any more
            }
            if client.run().is_ok() {
                counts.called.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}
