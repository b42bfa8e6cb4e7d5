//! Extermination over a chain of three hosts: `top` keeps a journal and dies, `middle` keeps one for
//! its own calls, `back` does the work until somebody tells it to stop.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rpc_runtime::client::{Exterminated, Fate};
use rpc_runtime::fault::Faults;
use rpc_runtime::ids::ServerId;
use rpc_runtime::sim::{HostId, SimDisk, Simulation, sleep};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{
    CallError, Channel, ErrorKind, Execution, Extermination, Journal, Options, Server, current,
    service,
};

use super::simulated::ms;

#[service]
trait Mill {
    /// Grinds until nobody wants it.
    #[rpc(timeout = "1m", orphan = "exterminate")]
    fn grind(&self) -> Result<(), CallError>;
    /// The same, any number of times.
    #[rpc(timeout = "1m", at_least_once, orphan = "exterminate")]
    fn sift(&self) -> Result<(), CallError>;
    /// Grinds for so long, whoever tells it to stop.
    #[rpc(timeout = "1m", orphan = "exterminate")]
    fn crush(&self, ms: u64) -> Result<(), CallError>;
    /// Whether the mill is there.
    #[rpc(at_least_once, timeout = "2s")]
    fn knock(&self) -> Result<(), CallError>;
}

/// Has the next one grind, or grinds.
#[derive(Clone)]
struct Miller {
    next: Option<Channel>,
    at_work: Arc<AtomicU64>,
}

/// Somebody at work at a mill, until it is dropped.
struct Seat<'m>(&'m AtomicU64);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Miller {
    fn sit(&self) -> Seat<'_> {
        self.at_work.fetch_add(1, Ordering::SeqCst);
        Seat(&self.at_work)
    }

    fn work(&self) -> Result<(), CallError> {
        if let Some(next) = &self.next {
            return MillClient::on(next).grind();
        }
        let _seat = self.sit();
        let context = current().expect("inside a handler");
        while !context.cancelled() {
            sleep(ms(5));
        }
        Err(CallError::failed("called off"))
    }
}

impl Mill for Miller {
    fn grind(&self) -> Result<(), CallError> {
        self.work()
    }

    fn sift(&self) -> Result<(), CallError> {
        self.work()
    }

    fn crush(&self, ms: u64) -> Result<(), CallError> {
        let _seat = self.sit();
        sleep(Duration::from_millis(ms));
        Ok(())
    }

    fn knock(&self) -> Result<(), CallError> {
        Ok(())
    }
}

/// What a client's extermination said, for the test outside.
type Said = Arc<Mutex<Option<Extermination>>>;

/// The three hosts and the disks of those that call.
struct World {
    simulation: Simulation,
    hosts: [HostId; 3],
    disks: [SimDisk; 2],
    /// Who works at `back`.
    at_work: Arc<AtomicU64>,
    now: RefCell<Duration>,
    /// The middle's name, if it has one that outlives its process.
    middle: Option<ServerId>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self::with(seed, Some(ServerId(2)))
    }

    fn with(seed: u64, middle: Option<ServerId>) -> Self {
        let simulation = Simulation::new(seed);
        let hosts = simulation.with(|control| {
            control.net.set_faults(Faults::default().delay(ms(1)));
            ["top", "middle", "back"].map(|name| control.add_host(name))
        });
        let disks = [SimDisk::new(seed, 0), SimDisk::new(seed, 1)];
        let now = RefCell::new(Duration::ZERO);
        let world = Self { simulation, hosts, disks, at_work: Arc::default(), now, middle };
        let miller = Miller { next: None, at_work: Arc::clone(&world.at_work) };
        world.spawn(2, move || serve("back", None, miller));
        world.start_middle(Middle::Forgetful);
        world
    }

    fn spawn(&self, host: usize, body: impl FnOnce() + Send + 'static) {
        self.simulation.with(|control| control.spawn(self.hosts[host], "main", false, body));
    }

    /// The middle comes up; if it is careful, it kills first what its former life left.
    fn start_middle(&self, middle: Middle) {
        let (disk, id) = (self.disks[1].clone(), self.middle);
        self.spawn(1, move || {
            let journal = Journal::on_disk(&disk).unwrap();
            let next = Channel::connect("sim://back").unwrap().with_journal(&journal).unwrap();
            if middle == Middle::Careful {
                let report = next.exterminate();
                assert_eq!(
                    (report.count(Fate::Killed), report.chains_missed()),
                    (1, 0),
                    "{report}"
                );
            }
            serve("middle", id, Miller { next: Some(next), at_work: Arc::default() });
        });
    }

    fn crash(&self, host: usize) {
        if let Some(disk) = self.disks.get(host) {
            disk.crash();
        }
        self.simulation.with(|control| control.crash(self.hosts[host]));
    }

    fn restart(&self, host: usize) {
        self.simulation.with(|control| control.restart(self.hosts[host]));
    }

    /// The top's process runs `body` with a channel to the middle, and stays.
    fn top(&self, body: impl FnOnce(&Channel) + Send + 'static) {
        let disk = self.disks[0].clone();
        self.spawn(0, move || {
            let journal = Journal::on_disk(&disk).unwrap();
            let channel = Channel::connect("sim://middle").unwrap().with_journal(&journal).unwrap();
            body(&channel.with(Options::new().timeout(ms(3_000))));
            sleep(Duration::from_secs(1_000));
        });
    }

    /// The top's process runs `body` without options, dies while it waits, and is up again.
    fn top_that_dies(&self, body: impl FnOnce(&Channel) + Send + 'static) {
        self.top(move |channel| body(&channel.with(Options::new())));
        self.run_for(ms(500));
        self.crash(0);
        self.restart(0);
    }

    /// A life of the top that exterminates, and is over.
    fn exterminate(&self) -> Extermination {
        let said: Said = Arc::default();
        let tell = Arc::clone(&said);
        self.top(move |channel| *tell.lock().unwrap() = Some(channel.exterminate()));
        self.run_for(ms(4_000));
        self.crash(0);
        self.restart(0);
        said.lock().unwrap().take().expect("within its timeout")
    }

    fn run_for(&self, time: Duration) {
        let until = *self.now.borrow() + time;
        *self.now.borrow_mut() = until;
        self.simulation.run_until(Instant::START + until);
    }

    fn at_work(&self) -> u64 {
        self.at_work.load(Ordering::SeqCst)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Middle {
    Careful,
    Forgetful,
}

fn serve(place: &str, id: Option<ServerId>, miller: Miller) {
    let mut server = Server::bind(&format!("sim://{place}")).unwrap();
    if let Some(id) = id {
        server = server.id(id);
    }
    let _running = server.export(MillService::new(miller)).spawn().unwrap();
    sleep(Duration::from_secs(100_000));
}

fn fates(report: &Extermination) -> Vec<Fate> {
    report.calls().iter().map(|one| one.fate).collect()
}

#[test]
fn the_next_life_kills_what_is_left_down_the_chain_and_only_when_it_is_told_to() {
    let world = World::new(41);
    world.top_that_dies(|channel| drop(MillClient::on(channel).grind()));
    assert_eq!(world.at_work(), 1);
    world.top(|channel| MillClient::on(channel).knock().unwrap());
    world.run_for(ms(20_000));
    assert_eq!(world.at_work(), 1, "a later life alone changes nothing, nor does time");
    world.crash(0);
    world.restart(0);

    let report = world.exterminate();

    assert_eq!(fates(&report), [Fate::Killed], "{report}");
    assert_eq!((world.at_work(), report.chains_missed()), (0, 0));
    assert_eq!(report.to_string(), "1 call left; 1 killed");
    assert_eq!(fates(&world.exterminate()), [], "it is known to be dead");
}

#[test]
fn calls_that_may_run_again_are_killed_too() {
    let world = World::new(42);
    world.top_that_dies(|channel| drop(MillClient::on(channel).sift()));
    assert_eq!(world.at_work(), 1);
    let report = world.exterminate();
    assert_eq!((fates(&report), world.at_work()), (vec![Fate::Killed], 0), "{report}");
}

#[test]
fn a_chain_whose_middle_is_down_is_missed_and_mended_by_the_middle_s_own_journal() {
    let world = World::new(43);
    world.top_that_dies(|channel| drop(MillClient::on(channel).grind()));
    world.crash(1);
    assert_eq!(world.at_work(), 1, "the back knows of nothing");

    let down = world.exterminate();
    assert_eq!((fates(&down), down.chains_missed()), (vec![Fate::Unreached], 1), "{down}");
    assert_eq!(world.at_work(), 1);

    world.restart(1);
    world.start_middle(Middle::Careful);
    world.run_for(ms(500));
    assert_eq!(world.at_work(), 0, "the middle killed what its former life had called");

    let back = world.exterminate();
    assert_eq!((fates(&back), back.chains_missed()), (vec![Fate::Broken], 1), "{back}");
    let [Exterminated { answer: Err(error), .. }] = back.calls() else { panic!("{back}") };
    assert_eq!((error.kind(), error.execution()), (ErrorKind::ServerRestarted, Execution::Unknown));
    let again = world.exterminate();
    assert_eq!(again.chains_missed(), 1, "nobody above can know that it was mended");
    assert_eq!(
        again.to_string(),
        "1 call left; 1 chain missed, to be exterminated again:\n  \
         mill.grind at middle: another life of its server is there, what it had called may run"
    );
    world.run_for(Duration::from_secs(60));
    let over = world.exterminate();
    assert_eq!((over.chains_missed(), over.calls().len()), (0, 0), "{over}");
}

#[test]
fn a_chain_that_nobody_mends_runs_until_the_time_is_over_and_is_counted_until_then() {
    let world = World::with(44, None);
    world.top_that_dies(|channel| drop(MillClient::on(channel).grind()));
    world.crash(1);
    world.restart(1);
    world.start_middle(Middle::Forgetful);
    let report = world.exterminate();
    assert_eq!((fates(&report), world.at_work()), (vec![Fate::Broken], 1), "{report} {report:?}");
    world.run_for(ms(40_000));
    assert_eq!((world.exterminate().chains_missed(), world.at_work()), (1, 1));
    world.run_for(ms(20_000));
    assert_eq!((world.exterminate().chains_missed(), world.at_work()), (0, 0));
}

#[test]
fn a_chain_whose_middle_could_not_be_heard_is_killed_when_it_can() {
    let world = World::new(45);
    world.top_that_dies(|channel| drop(MillClient::on(channel).grind()));
    let [top, middle, _] = world.hosts;
    world.simulation.with(|control| control.net.partition(&[top], &[middle]));
    let report = world.exterminate();
    assert_eq!((fates(&report), world.at_work()), (vec![Fate::Unreached], 1), "{report}");
    world.simulation.with(|control| control.net.mend_all());
    let report = world.exterminate();
    assert_eq!((fates(&report), world.at_work()), (vec![Fate::Killed], 0), "{report}");
}

#[test]
fn a_middle_that_stays_down_is_no_longer_a_broken_chain_once_the_time_is_over() {
    let world = World::new(46);
    world.top_that_dies(|channel| drop(MillClient::on(channel).grind()));
    world.crash(1);
    world.run_for(Duration::from_secs(70));
    let report = world.exterminate();
    assert_eq!((fates(&report), world.at_work()), (vec![Fate::Over], 0), "{report}");
}

#[test]
fn a_handler_that_does_not_stop_is_reported_as_running() {
    let world = World::new(47);
    world.top_that_dies(|_| {
        let back = Channel::connect("sim://back").unwrap();
        let journal = Journal::on_disk(&SimDisk::new(47, 9)).unwrap();
        drop(MillClient::on(&back.with_journal(&journal).unwrap()).crush(1));
    });
    let disk = world.disks[0].clone();
    world.spawn(0, move || {
        let journal = Journal::on_disk(&disk).unwrap();
        let back = Channel::connect("sim://back").unwrap().with_journal(&journal).unwrap();
        drop(MillClient::on(&back).crush(20_000));
    });
    world.run_for(ms(500));
    world.crash(0);
    world.restart(0);
    // The channel leads to the middle; the call was made at the back.
    let report = world.exterminate();
    assert_eq!((fates(&report), report.chains_missed()), (vec![Fate::Running], 0), "{report}");
    world.run_for(ms(20_000));
    assert_eq!(fates(&world.exterminate()), [Fate::Ended]);
}

#[test]
fn without_a_journal_such_a_call_is_not_made() {
    let world = World::new(48);
    world.spawn(0, || {
        let error = MillClient::connect("sim://back").unwrap().grind().unwrap_err();
        assert_eq!(
            (error.kind(), error.execution()),
            (ErrorKind::JournalFailed, Execution::NotExecuted)
        );
        assert_eq!(
            error.to_string(),
            "not executed: orphans of this method are killed from the client's journal, and this \
             channel keeps none: give it one with `Channel::journal`"
        );
    });
    world.run_for(ms(500));
    assert_eq!(world.at_work(), 0);
}
