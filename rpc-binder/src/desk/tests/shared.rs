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
    /// How many batches there were.
    batches: usize,
    /// How often all was to be told anew.
    is_anew: usize,
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
    /// What the next batch that changes anything comes to.
    next: Arc<Mutex<Option<News>>>,
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
        common.batches += 1;
        if !changes.is_empty()
            && let Some(mut news) = self.next.lock().unwrap().take()
        {
            if let News::Decided { batch: of, .. } | News::Gone { batch: of, .. } = &mut news {
                *of = batch;
            }
            self.own.push_back(news);
            common.gates.iter().for_each(|gate| gate.open());
            return batch;
        }
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

    fn start_over(&mut self) {
        let mut common = self.common.lock().unwrap();
        common.is_anew += 1;
        let whole = Whole { revision: Revision(common.revision), ..Whole::default() };
        self.epoch = common.epoch;
        self.told = common.steps.len() + 1;
        self.own.push_back(News::Whole { whole, batch: None });
        common.gates.iter().for_each(|gate| gate.open());
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
    next: Arc<Mutex<Option<News>>>,
    leases: Arc<Told>,
}

fn desks() -> (Arc<Mutex<Common>>, [One; 2]) {
    let common = Arc::new(Mutex::new(Common { revision: 1, ..Common::default() }));
    let world = rpc_runtime::scheme::open("udp://127.0.0.1:0").unwrap().0;
    let one = |number| {
        let is_heard = Arc::new(Mutex::new(true));
        let next = Arc::default();
        let leases = Arc::new(Told(Mutex::new(Ok(Duration::from_secs(10)))));
        let member = Member {
            common: Arc::clone(&common),
            told: 0,
            epoch: 0,
            own: VecDeque::new(),
            is_heard: Arc::clone(&is_heard),
            next: Arc::clone(&next),
            leases: Arc::clone(&leases),
            number,
        };
        One {
            desk: Desk::share(&world, Limits::default(), Box::new(member)),
            is_heard,
            next,
            leases,
        }
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
fn who_was_deregistered_meanwhile_does_not_come_back_and_nobody_else_is_given_what_he_knows() {
    let (_common, [here, there]) = desks();
    let lease = here.ask(register(1)).unwrap().unwrap();
    there.await_found(&[(1, Live)]);
    *there.is_heard.lock().unwrap() = false;
    let end = Request::Deregister { id: lease.id, secret: lease.secret };
    here.ask(end).unwrap();
    // The same process, asking again at the other one, where it is registered still.
    let again = there.desk.ask(register(1)).unwrap();
    let waiting = std::thread::spawn(move || block_on(again));
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiting.is_finished());
    *there.is_heard.lock().unwrap() = true;
    there.desk.shared.gate.open();
    let refused = waiting.join().unwrap();
    assert_eq!(refused, Err(sharing::ended_meanwhile()));
    let other = there.ask(register(2)).unwrap().unwrap();
    assert_ne!((other.id, other.secret), (lease.id, lease.secret));
    let anew = there.ask(register(1)).unwrap().unwrap();
    assert_ne!(anew.id, lease.id, "asked anew it begins anew");
}

#[test]
fn who_has_expired_meanwhile_begins_anew() {
    let (common, [here, there]) = desks();
    let lease = here.ask(register(1)).unwrap().unwrap();
    there.await_found(&[(1, Live)]);
    *there.is_heard.lock().unwrap() = false;
    let step = Step { expired: vec![lease.id], ..Step::default() };
    common.lock().unwrap().tell(step, None);
    here.await_found(&[(1, Expired)]);
    here.ask(register(2)).unwrap();
    let again = there.desk.ask(register(1)).unwrap();
    let waiting = std::thread::spawn(move || block_on(again));
    std::thread::sleep(Duration::from_millis(20));
    *there.is_heard.lock().unwrap() = true;
    there.desk.shared.gate.open();
    let anew = waiting.join().unwrap().unwrap().unwrap();
    assert_ne!(anew.id, lease.id);
}

fn not_kept(asked: Result<Option<Lease>, BinderError>) -> String {
    match asked {
        Err(BinderError::NotKept { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_that_holds_another_history_is_read_anew_and_asked_no_more_until_then() {
    let (common, [here, _there]) = desks();
    here.ask(register(1)).unwrap();
    here.await_found(&[(1, Live)]);
    {
        // As from a backup: the last batch that it knows of is one from before.
        let mut common = common.lock().unwrap();
        (common.revision, common.epoch, common.batches) = (1, 1, 0);
        common.steps.clear();
    }
    let reason = not_kept(here.ask(register(2)));
    assert!(reason.contains("another history"), "{reason}");
    assert!(!reason.contains("it may have committed"), "{reason}");
    here.await_found(&[]);
    assert!(common.lock().unwrap().batches < 100, "it is not asked again and again");
    assert!(common.lock().unwrap().is_anew > 0);
}

#[test]
fn a_batch_of_which_the_news_do_not_tell_is_given_up() {
    let (_common, [here, _there]) = desks();
    here.ask(register(1)).unwrap();
    let overtaken = News::Decided { batch: BatchId(0), at: Revision(1 << 40), is_kept: None };
    *here.next.lock().unwrap() = Some(overtaken);
    let reason = not_kept(here.ask(register(2)));
    assert!(reason.contains("does not tell within 6s"), "{reason}");
    assert!(reason.contains("it may have committed"), "{reason}");
    assert_ne!(here.desk.trouble(), None);
    here.ask(register(3)).unwrap(); // and the next one is asked for
}

#[test]
fn a_store_that_does_not_tell_what_comes_to_pass_is_in_trouble_until_it_does() {
    let (_common, [here, _there]) = desks();
    here.ask(register(1)).unwrap();
    let deaf = News::Deaf { error: StoreError::new(StoreErrorKind::Lost, "it is silent") };
    *here.next.lock().unwrap() = Some(deaf);
    let reason = not_kept(here.ask(register(2)));
    assert!(reason.contains("does not tell"), "{reason}");
    while here.desk.trouble().is_none_or(|trouble| !trouble.contains("it is silent")) {
        std::thread::sleep(Duration::from_millis(10));
    }
    here.ask(register(3)).unwrap(); // which it tells of
    while here.desk.trouble().is_some() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_marked_of_one_that_is_gone_waits_until_that_is_told() {
    let (common, [here, there]) = desks();
    let lease = here.ask(register(1)).unwrap().unwrap();
    there.await_found(&[(1, Live)]);
    *there.is_heard.lock().unwrap() = false;
    common.lock().unwrap().tell(Step { expired: vec![lease.id], ..Step::default() }, None);
    here.await_found(&[(1, Expired)]);
    // The store has ended it, which this one has not heard.
    *there.next.lock().unwrap() = Some(News::Gone { batch: BatchId(0), ids: vec![lease.id] });
    let (_, answered) = there.desk.drain(ServerId(1), None).unwrap();
    let waiting = std::thread::spawn(move || block_on(answered.unwrap()));
    std::thread::sleep(Duration::from_millis(20));
    assert!(!waiting.is_finished(), "planned anew it would come to the same");
    *there.is_heard.lock().unwrap() = true;
    there.desk.shared.gate.open();
    assert_eq!(waiting.join().unwrap(), Err(BinderError::UnknownRegistration));
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

#[test]
fn a_watch_waits_for_later_news_than_another_binder_has_told() {
    let (common, [here, there]) = desks();
    here.ask(register(1)).unwrap();
    there.await_found(&[(1, Live)]);
    let world = Arc::clone(&there.desk.shared.world);
    let told = Revision(50); // by a binder that has read everything anew
    let until = world.now() + Duration::from_millis(50);
    assert_eq!(block_on(there.desk.watch("bank", told, until)), Ok(()));
    assert!(world.now() >= until, "the last change here is {}", there.revision());

    let watching = there.desk.watch("bank", told, world.now() + Duration::from_secs(60));
    let waiting = std::thread::spawn(move || block_on(watching));
    common.lock().unwrap().revision = told.0;
    here.ask(register(2)).unwrap();
    assert_eq!(waiting.join().unwrap(), Ok(()));
    assert!(there.revision() > told);
}

#[test]
fn whoever_waits_for_news_goes_to_another_binder_when_this_one_does_not_reach_the_store() {
    let (common, [here, _there]) = desks();
    common.lock().unwrap().trouble = Some(StoreError::new(StoreErrorKind::Lost, "it is away"));
    assert!(here.ask(register(1)).is_err());
    let until = here.desk.shared.world.now() + Duration::from_secs(60);
    let watched = block_on(here.desk.watch("bank", here.revision(), until));
    assert!(matches!(watched, Err(BinderError::NotKept { .. })), "{watched:?}");
}
