//! Desks before one store that does as it is told: who sees what, and when.

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::registry::follow::{Step, Whole};
use crate::store::shared::{BatchId, Leases, News, SharedStore};

/// What all have in common.
#[derive(Debug, Default)]
struct Common {
    revision: u64,
    epoch: u64,
    steps: Vec<(Step, Option<BatchId>)>,
    /// Nothing is kept as long as there is some.
    trouble: Option<StoreError>,
    gates: Vec<Arc<dyn Gate>>,
}

/// One desk's way to it.
#[derive(Debug)]
struct Member {
    common: Arc<Mutex<Common>>,
    told: usize,
    epoch: u64,
    own: VecDeque<News>,
    /// Steps are told as long as this is so.
    is_heard: Arc<Mutex<bool>>,
    leases: Arc<Told>,
    number: u128,
}

/// Vouches for as long as it is told.
#[derive(Debug)]
struct Told(Mutex<Result<Duration, String>>);

impl Leases for Told {
    fn duration(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn vouch(&self, now: Instant, _: RegistrationId) -> Result<Instant, String> {
        self.0.lock().unwrap().clone().map(|left| now + left)
    }

    fn end_of(&self, _: RegistrationId) -> Option<Instant> {
        None
    }
}

impl Common {
    fn tell(&mut self, mut step: Step, batch: Option<BatchId>) {
        self.revision += 1;
        if batch.is_some() {
            self.epoch = self.revision;
        }
        step.revision = Revision(self.revision);
        self.steps.push((step, batch));
        self.gates.iter().for_each(|gate| gate.open());
    }
}

impl SharedStore for Member {
    fn ring(&mut self, gate: Arc<dyn Gate>) {
        self.common.lock().unwrap().gates.push(gate);
    }

    fn room(&self) -> Room {
        Room { changes: 127, bytes: 1 << 20 }
    }

    fn begin(&mut self, changes: &[Change<'_>]) -> BatchId {
        self.number += 1;
        let batch = BatchId(self.number);
        let mut common = self.common.lock().unwrap();
        if let Some(error) = common.trouble.clone() {
            self.own.push_back(News::Failed { batch, error });
            common.gates.iter().for_each(|gate| gate.open());
            return batch;
        }
        let mut at = Revision(common.epoch);
        if common.epoch == self.epoch {
            let mut step = Step::default();
            for change in changes {
                match *change {
                    Change::Forget(print) => step.forgotten.push(print),
                    Change::Describe(print, methods) => {
                        step.described.push((print, methods.to_vec()));
                    }
                    Change::Begin(id, kept) => step.begun.push((id, kept.clone())),
                    Change::Mark(id, marks) => step.marked.push((id, marks)),
                    Change::End(id) => step.ended.push(id),
                }
            }
            if !changes.is_empty() {
                common.tell(step, Some(batch));
                at = Revision(common.epoch);
            }
            self.own.push_back(News::Decided { batch, at, is_kept: Some(true) });
        } else {
            self.own.push_back(News::Decided { batch, at, is_kept: None });
        }
        common.gates.iter().for_each(|gate| gate.open());
        batch
    }

    fn news(&mut self) -> Option<News> {
        if let Some(news) = self.own.pop_front() {
            return Some(news);
        }
        let common = self.common.lock().unwrap();
        if self.told == 0 {
            self.told = 1;
            let whole = Whole { revision: Revision(1), ..Whole::default() };
            return Some(News::Whole { whole, batch: None });
        }
        let (step, batch) =
            common.steps.get(self.told - 1).filter(|_| *self.is_heard.lock().unwrap())?;
        self.told += 1;
        self.epoch = batch.map_or(self.epoch, |_| step.revision.0);
        Some(News::Step { step: step.clone(), batch: *batch })
    }

    fn leases(&self) -> Arc<dyn Leases> {
        Arc::<Told>::clone(&self.leases)
    }
}

struct One {
    desk: Desk,
    is_heard: Arc<Mutex<bool>>,
    leases: Arc<Told>,
}

fn desks() -> (Arc<Mutex<Common>>, [One; 2]) {
    let common = Arc::new(Mutex::new(Common { revision: 1, ..Common::default() }));
    let world = rpc_runtime::scheme::open("udp://127.0.0.1:0").unwrap().0;
    let one = |number| {
        let is_heard = Arc::new(Mutex::new(true));
        let leases = Arc::new(Told(Mutex::new(Ok(Duration::from_secs(10)))));
        let member = Member {
            common: Arc::clone(&common),
            told: 0,
            epoch: 0,
            own: VecDeque::new(),
            is_heard: Arc::clone(&is_heard),
            leases: Arc::clone(&leases),
            number,
        };
        One { desk: Desk::share(&world, Limits::default(), Box::new(member)), is_heard, leases }
    };
    let both = [one(0), one(1 << 64)];
    (common, both)
}

impl One {
    fn ask(&self, request: Request) -> Result<Option<Lease>, BinderError> {
        block_on(self.desk.ask(request).unwrap())
    }

    fn found(&self) -> BTreeMap<u64, EntryState> {
        let all = self.desk.with(|now, registry| registry.list(now, None));
        all.entries.iter().map(|entry| (entry.server.0, entry.state)).collect()
    }

    fn await_found(&self, servers: &[(u64, EntryState)]) {
        for _ in 0..5_000 {
            if self.found() == servers.iter().copied().collect() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{:?}", self.found());
    }

    fn revision(&self) -> Revision {
        self.desk.with(|_, registry| registry.revision_of("bank"))
    }
}

use rpc_runtime::binder::EntryState::{self, Draining, Expired, Live, NotServing};
use rpc_runtime::binder::{Health, Secret};

#[test]
fn what_one_keeps_all_see_at_the_same_revision() {
    let (common, [here, there]) = desks();
    let lease = here.ask(register(1)).unwrap().unwrap();
    here.await_found(&[(1, Live)]);
    there.await_found(&[(1, Live)]);
    assert_eq!((here.revision(), there.revision()), (Revision(2), Revision(2)));

    // The same process asks at the other one, and has what it had.
    let again = there.ask(register(1)).unwrap().unwrap();
    assert_eq!((again.id, again.secret), (lease.id, lease.secret));

    // Only the store ends leases.
    let step = Step { expired: vec![lease.id], ..Step::default() };
    common.lock().unwrap().tell(step, None);
    here.await_found(&[(1, Expired)]);
    there.await_found(&[(1, Expired)]);
}

#[test]
fn whoever_was_overtaken_plans_anew_with_what_the_other_did() {
    let (_common, [here, there]) = desks();
    *there.is_heard.lock().unwrap() = false;
    here.ask(register(1)).unwrap();
    let another = Registration { claim: 2, ..registration(1) };
    let methods: Option<Arc<[MethodDescription]>> = Some(Arc::new([]));
    let request = Request::Register { registration: another, methods };
    let answered = there.desk.ask(request).unwrap();
    let beside = there.desk.ask(register(2)).unwrap();
    let waiting = std::thread::spawn(move || (block_on(answered), block_on(beside)));
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiting.is_finished(), "it does not know what it was overtaken by");
    assert_eq!(there.found(), BTreeMap::new());
    *there.is_heard.lock().unwrap() = true;
    there.desk.shared.gate.open();
    let (refused, beside) = waiting.join().unwrap();
    assert_eq!(refused, Err(BinderError::IdentityInUse));
    assert!(beside.is_ok(), "{beside:?}");
}

#[test]
fn nothing_is_refused_for_what_has_changed_meanwhile() {
    let (_common, [here, there]) = desks();
    *there.is_heard.lock().unwrap() = false;
    let lease = here.ask(register(1)).unwrap().unwrap();
    let end = Request::Deregister { id: lease.id, secret: lease.secret };
    let answered = there.desk.ask(end).unwrap();
    let waiting = std::thread::spawn(move || block_on(answered));
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiting.is_finished());
    *there.is_heard.lock().unwrap() = true;
    there.desk.shared.gate.open();
    assert_eq!(waiting.join().unwrap(), Ok(None));
    here.await_found(&[]);
}

#[test]
fn a_renewal_promises_what_the_store_does() {
    let (_common, [here, there]) = desks();
    let lease = here.ask(register(1)).unwrap().unwrap();
    there.await_found(&[(1, Live)]);
    let renew = |report: &Report| there.desk.renew(lease.id, lease.secret, report);
    assert_eq!(renew(&Report::default()).unwrap().lease_ms, 5_000, "half of the store's");
    *there.leases.0.lock().unwrap() = Err("it is away".into());
    let refused = renew(&Report::draining());
    assert_eq!(refused, Err(BinderError::NotKept { reason: "it is away".into() }));
    // That it drains is told all the same, and everywhere.
    here.await_found(&[(1, Draining)]);
    there.await_found(&[(1, Draining)]);
    let wrong = there.desk.renew(lease.id, Secret(1), &Report::default());
    assert_eq!(wrong, Err(BinderError::WrongSecret));
    drop(here.leases);
}

#[test]
fn whoever_waits_for_news_is_told_when_the_desk_ends() {
    let (common, [_here, there]) = desks();
    common.lock().unwrap().epoch = 99; // by a batch that is not told
    let answered = there.desk.ask(register(1)).unwrap();
    let waiting = std::thread::spawn(move || block_on(answered));
    std::thread::sleep(Duration::from_millis(10));
    assert!(!waiting.is_finished());
    drop(there.desk);
    let Err(BinderError::NotKept { reason }) = waiting.join().unwrap() else { panic!() };
    assert_eq!(reason, "it is about to end");
}

#[test]
fn what_a_server_says_of_its_health_at_one_is_known_to_all() {
    let (common, [here, there]) = desks();
    let lease = here.ask(register(1)).unwrap().unwrap();
    there.await_found(&[(1, Live)]);
    let tell = |one: &One, number, health| {
        let report = Report { number, health, ..Report::default() };
        one.desk.renew(lease.id, lease.secret, &report).unwrap()
    };
    tell(&here, 5, Health::NotServing);
    here.await_found(&[(1, NotServing)]);
    there.await_found(&[(1, NotServing)]);
    assert_eq!(here.revision(), there.revision());
    let steps = || common.lock().unwrap().steps.len();
    let written = steps();
    tell(&there, 6, Health::NotServing);
    tell(&here, 4, Health::Serving); // under way before it told its news
    let answered = here.desk.ask(register(2)).unwrap(); // behind whatever was asked for
    block_on(answered).unwrap();
    assert_eq!(steps(), written + 1, "only what changes is written");
    there.await_found(&[(1, NotServing), (2, Live)]);

    // The server has gone on to the other one, and is well again.
    tell(&there, 7, Health::Serving);
    here.await_found(&[(1, Live), (2, Live)]);
    there.await_found(&[(1, Live), (2, Live)]);
}

#[test]
fn a_server_hears_that_it_shall_drain_wherever_it_renews() {
    let (_common, [here, there]) = desks();
    let lease = here.ask(register(1)).unwrap().unwrap();
    there.await_found(&[(1, Live)]);
    let drain = |one: &One, server, name| {
        let (count, kept) = one.desk.drain(ServerId(server), name)?;
        block_on(kept.unwrap()).map(|_| count)
    };
    assert_eq!(drain(&there, 9, None), Err(BinderError::UnknownServer));
    assert_eq!(drain(&there, 1, Some("bank")), Ok(1));
    assert_eq!(there.found()[&1], Draining, "whoever waited sees it");
    here.await_found(&[(1, Draining)]);
    let renew = || here.desk.renew(lease.id, lease.secret, &Report::default()).unwrap();
    assert!(!renew().is_asked_to_drain, "only the clients of that service leave it");
    assert_eq!(drain(&there, 1, None), Ok(1));
    assert_eq!(drain(&there, 1, None), Ok(1), "once more it is done already");
    let both_heard = || {
        here.desk.with(|_, registry| registry.revision())
            >= there.desk.with(|_, registry| registry.revision())
    };
    while !both_heard() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(renew().is_asked_to_drain);
    let again = here.ask(register(1)).unwrap().unwrap();
    assert!(again.id == lease.id && again.is_asked_to_drain, "the same process is asked still");
    assert_eq!(here.found()[&1], Draining);
}

#[test]
fn a_store_that_fails_is_in_trouble_until_it_keeps_again() {
    let (common, [here, _there]) = desks();
    here.ask(register(1)).unwrap();
    assert_eq!(here.desk.trouble(), None);
    common.lock().unwrap().trouble = Some(StoreError::new(StoreErrorKind::Lost, "it is away"));
    assert!(here.ask(register(2)).is_err());
    assert!(here.desk.trouble().unwrap().contains("it is away"));
    common.lock().unwrap().trouble = None;
    while here.desk.trouble().is_some() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Nobody asks it for anything, and it shows all the same.
    common.lock().unwrap().trouble = Some(StoreError::new(StoreErrorKind::Lost, "it is away"));
    while here.desk.trouble().is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
}
