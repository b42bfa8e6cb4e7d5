//! Servers that register under one name, renew, leave, and fall silent; and what is known of each.

#![expect(clippy::disallowed_methods, reason = "leases run in real time")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rpc_runtime::binder::{
    Binder, BinderError, Directory as _, Lease, Registration, Report, Traits, Version,
    VersionRequirement,
};
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::interface::fingerprint_of;
use rpc_runtime::{CallError, Error};
use rpc_tests::processes::Moments;

use crate::binders::{Binders, PATIENCE};
use crate::judge::Counts;

/// Servers of a crowd that are registered at a time, at most.
const REGISTERED_MAX: usize = 20;

/// Servers of a crowd that fell silent and are waited for, at most: each restart of the binder is time for
/// them, and more of them would leave no room for those who renew.
const SILENT_MAX: usize = 8;

/// How long lookups may take.
const LOOKUP: Duration = Duration::from_secs(2);

/// Within what time every binder shows what another one has confirmed.
const LATE: Duration = Duration::from_secs(2);

/// One name's servers.
pub(crate) struct Crowd<'c> {
    name: String,
    binders: Binders,
    binder: Binder,
    moments: Moments,
    counts: &'c Counts,
    servers: BTreeMap<u64, Fate>,
    /// Which life of a server it is, where it is not the first.
    lives: BTreeMap<u64, u32>,
    last: u64,
}

/// What is known of one of them.
enum Fate {
    /// Registered, for its lease from this time on at least.
    Registered(Lease, Instant),
    /// As before; nobody renews it any more.
    Silent(Lease, Instant),
    /// What was asked for it last was not answered.
    Doubtful,
    /// It is registered no more.
    Gone,
}

impl<'c> Crowd<'c> {
    pub(crate) fn new(
        urls: &[String],
        number: u32,
        seed: u64,
        counts: &'c Counts,
    ) -> Result<Self, CallError> {
        let patience = if urls.len() > 1 { LOOKUP } else { PATIENCE };
        Ok(Self {
            name: format!("crowd-{number}"),
            binders: Binders::new(urls, usize::try_from(number).unwrap_or_default())?,
            binder: Binder::at(&urls.join(","))?.patience(patience),
            moments: Moments::new(seed.wrapping_add(u64::from(number) * 7_919)),
            counts,
            servers: BTreeMap::new(),
            lives: BTreeMap::new(),
            last: u64::from(number) << 32,
        })
    }

    pub(crate) fn run(mut self) {
        while !self.counts.is_over.load(Ordering::Relaxed) {
            if self.moments.below(20) == 0 {
                self.binders.turn();
            }
            self.renew_all();
            match self.moments.below(10) {
                0..4 => self.register(),
                4..6 => self.deregister(),
                6 => self.silence(),
                _ => self.look(),
            }
            self.forget();
        }
    }

    fn register(&mut self) {
        let server = match self.any_registered().filter(|_| self.moments.below(4) == 0) {
            // A later life, which takes the place of this one.
            Some((server, _)) => server,
            None if self.registered().count() >= REGISTERED_MAX => return,
            None => {
                self.last += 1;
                self.last
            }
        };
        let life = self.lives.entry(server).and_modify(|life| *life += 1).or_insert(1);
        let registration = Registration {
            name: self.name.clone(),
            version: Version::new(1, 0),
            server: ServerId(server),
            incarnation: Incarnation::new(*life, 1),
            addresses: vec!["udp://127.0.0.1:9".into()],
            fingerprint: fingerprint_of(&self.name, std::iter::empty()),
            traits: Traits::default(),
            claim: server,
        };
        let asked = Instant::now();
        let register = |methods| {
            self.binders.ask(|binder| binder.start().register(&registration, methods).wait())
        };
        let mut registered = register(None);
        if let Err(Error::App(BinderError::UnknownInterface)) = registered {
            registered = register(Some(Vec::new()));
        }
        let fate = match registered {
            Ok(lease) => {
                self.counts.confirm();
                Fate::Registered(lease, asked)
            }
            Err(_) => Fate::Doubtful,
        };
        self.servers.insert(server, fate);
    }

    fn deregister(&mut self) {
        let Some((server, lease)) = self.any_registered() else { return };
        let ended =
            self.binders.ask(|binder| binder.start().deregister(lease.id, lease.secret).wait());
        let fate = match ended {
            // An earlier try of the same call may have ended it.
            Ok(()) | Err(Error::App(BinderError::UnknownRegistration)) => {
                count(&self.counts.ended);
                Fate::Gone
            }
            Err(_) => Fate::Doubtful,
        };
        self.servers.insert(server, fate);
    }

    /// One is renewed no more.
    fn silence(&mut self) {
        let silent = self.servers.values().filter(|fate| matches!(fate, Fate::Silent(..)));
        if silent.count() >= SILENT_MAX {
            return;
        }
        if let Some((server, _)) = self.any_registered()
            && let Some(Fate::Registered(lease, since)) = self.servers.get(&server)
        {
            let silent = Fate::Silent(*lease, *since);
            self.servers.insert(server, silent);
        }
    }

    fn renew_all(&mut self) {
        for (server, fate) in &mut self.servers {
            let Fate::Registered(lease, since) = *fate else { continue };
            if since.elapsed() < lease.duration() / 8 {
                continue;
            }
            let asked = Instant::now();
            match renew(&self.binders, &lease) {
                Ok(lease) => {
                    count(&self.counts.renewed);
                    *fate = Fate::Registered(lease, asked);
                }
                // What it was promised before still holds.
                Err(Error::App(BinderError::NotKept { .. })) => {}
                Err(Error::App(refusal)) => {
                    if since.elapsed() < lease.duration() {
                        eprintln!(
                            "{server:x}: its renewal was refused within its lease: {refusal}"
                        );
                        count(&self.counts.lost);
                    }
                    *fate = Fate::Gone;
                }
                Err(Error::Call(_)) => {} // it goes on as long as its lease does
            }
        }
    }

    /// Holds what the binder shows against what is known. What looks wrong is looked at again where there
    /// are several: another one may have confirmed it just now.
    fn look(&mut self) {
        let until = Instant::now() + if self.binders.are_several() { LATE } else { Duration::ZERO };
        loop {
            let Ok(entries) = self.binder.lookup(&self.name, &VersionRequirement::any()) else {
                count(&self.counts.lookups_failed);
                return;
            };
            count(&self.counts.looks);
            let now = Instant::now();
            let there: BTreeSet<_> = entries.iter().map(|entry| entry.server.0).collect();
            let is_odd = |(server, fate): (&u64, &Fate)| match (fate, there.contains(server)) {
                (Fate::Registered(lease, since) | Fate::Silent(lease, since), false) => {
                    now.duration_since(*since) < lease.duration()
                }
                (Fate::Gone, true) => true,
                (Fate::Registered(..) | Fate::Silent(..) | Fate::Doubtful, true)
                | (Fate::Doubtful | Fate::Gone, false) => false,
            };
            if now >= until || !self.servers.iter().any(is_odd) {
                return self.judge(now, &there);
            }
            thread::sleep(Duration::from_millis(20));
            self.renew_all();
        }
    }

    fn judge(&mut self, now: Instant, there: &BTreeSet<u64>) {
        for (server, fate) in &mut self.servers {
            match (&*fate, there.contains(server)) {
                (Fate::Registered(lease, since) | Fate::Silent(lease, since), false) => {
                    if now.duration_since(*since) < lease.duration() {
                        eprintln!("{server:x}: registered, within its lease, and not found");
                        count(&self.counts.lost);
                    } else {
                        count(&self.counts.expired);
                    }
                    *fate = Fate::Gone;
                }
                (Fate::Gone, true) => {
                    eprintln!("{server:x}: gone, and found again");
                    count(&self.counts.resurrected);
                    *fate = Fate::Doubtful; // told once
                }
                (Fate::Registered(..) | Fate::Silent(..) | Fate::Doubtful, true)
                | (Fate::Doubtful | Fate::Gone, false) => {}
            }
        }
    }

    /// Some that are gone are watched for a while only.
    fn forget(&mut self) {
        while self.servers.len() > 50 * REGISTERED_MAX {
            let forgotten = self.servers.pop_first();
            forgotten.map(|(server, _)| self.lives.remove(&server));
        }
    }

    fn registered(&self) -> impl Iterator<Item = (u64, Lease)> {
        self.servers.iter().filter_map(|(server, fate)| match fate {
            Fate::Registered(lease, _) => Some((*server, *lease)),
            Fate::Silent(..) | Fate::Doubtful | Fate::Gone => None,
        })
    }

    fn any_registered(&mut self) -> Option<(u64, Lease)> {
        let registered: Vec<_> = self.registered().collect();
        let bound = u64::try_from(registered.len()).ok().filter(|count| *count > 0)?;
        registered.get(usize::try_from(self.moments.below(bound)).ok()?).copied()
    }
}

/// Renews at one of the binders. One that has not heard of the registration yet will.
fn renew(binders: &Binders, lease: &Lease) -> Result<Lease, Error<BinderError>> {
    let until = Instant::now() + LATE;
    let report = Report::default();
    loop {
        let renewed = binders.ask(|binder| binder.renew(lease.id, lease.secret, &report));
        let is_unknown = matches!(renewed, Err(Error::App(BinderError::UnknownRegistration)));
        if !is_unknown || !binders.are_several() || Instant::now() >= until {
            return renewed;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
