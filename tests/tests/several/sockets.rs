//! The same over real sockets, as far as it needs no clock: a first server that never answers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};

use super::*;

#[service(name = "stall", version = "1.0")]
trait Stall {
    /// Who serves.
    fn who(&self) -> Result<u32, CallError>;
    /// One waits until it is called off; the other answers once that one waits.
    #[rpc(at_least_once, timeout = "20s", hedge = "20ms")]
    fn buy(&self) -> Result<u32, CallError>;
}

struct Holder {
    number: u32,
    /// The one that waits, and that it does.
    waits: Arc<(AtomicU32, OnceLock<()>)>,
    called_off: mpsc::Sender<u32>,
}

impl Stall for Holder {
    fn who(&self) -> Result<u32, CallError> {
        Ok(self.number)
    }

    fn buy(&self) -> Result<u32, CallError> {
        let (who, does) = &*self.waits;
        if self.number != who.load(Ordering::SeqCst) {
            does.wait(); // or it might be called off before it has begun
            return Ok(self.number);
        }
        does.get_or_init(|| ());
        let context = rpc_runtime::current().expect("inside a handler");
        let world = rpc_runtime::reactor::world();
        let gate = world.gate();
        let told = Arc::clone(&gate);
        context.on_cancel(move || told.open());
        while !context.cancelled() {
            gate.wait(None);
        }
        self.called_off.send(self.number).unwrap();
        Err(CallError::failed("nobody waits"))
    }
}

#[test]
fn a_second_server_answers_and_the_first_is_called_off() {
    let names = daemon::start("udp://127.0.0.1:0", Leases::default()).unwrap();
    let binder = Binder::at(&names.url()).unwrap();
    let (called_off, heard) = mpsc::channel();
    let waits = Arc::<(AtomicU32, OnceLock<()>)>::default();
    let servers = [1, 2].map(|number| {
        let (waits, called_off) = (Arc::clone(&waits), called_off.clone());
        let service = StallService::new(Holder { number, waits, called_off });
        let server = Server::bind("udp://127.0.0.1:0").unwrap().export(service);
        server.register(&binder).spawn().unwrap()
    });
    let sticky = binder.clone().balance(Balance::Sticky);
    let channel = Channel::import::<StallClient>(&sticky).unwrap();
    let stall = StallClient::on(&channel);
    let first = stall.who().unwrap(); // all calls go there as long as it lives
    waits.0.store(first, Ordering::SeqCst);
    let answered = stall.buy().unwrap();
    let called_off = heard.recv_timeout(Duration::from_secs(10)).expect("it is called off");
    assert_eq!((answered, called_off), (3 - first, first));
    let stats = channel.stats();
    assert_eq!((stats.hedges, stats.hedges_won, stats.hedges_called_off), (1, 1, 1));
    drop(servers);
}

#[service(name = "post", version = "1.0")]
trait Post {
    /// Who serves.
    fn who(&self) -> Result<u32, CallError>;
}

struct Clerk(u32);

impl Post for Clerk {
    fn who(&self) -> Result<u32, CallError> {
        Ok(self.0)
    }
}

/// Three servers: of weights 300, 100 and 0, the second in a zone of its own.
fn posts(binder: &Binder) -> [rpc_runtime::server::Running; 3] {
    [(1, 300, "a"), (2, 100, "b"), (3, 0, "a")].map(|(number, weight, zone)| {
        let server = Server::bind("udp://127.0.0.1:0").unwrap().weight(weight).zone(zone);
        server.export(PostService::new(Clerk(number))).register(binder).spawn().unwrap()
    })
}

fn tally(post: &PostClient, calls: u32) -> BTreeMap<u32, u32> {
    let mut tally = BTreeMap::new();
    for _ in 0..calls {
        *tally.entry(post.who().unwrap()).or_default() += 1;
    }
    tally
}

#[test]
fn calls_go_by_weight_and_to_the_zone_of_the_caller_as_long_as_somebody_is_there() {
    let names = daemon::start("udp://127.0.0.1:0", Leases::default()).unwrap();
    let binder = Binder::at(&names.url()).unwrap();
    let [one, two, three] = posts(&binder);
    let weighted = binder.clone().balance(Balance::Weighted);
    let tally_of = |binder: &Binder| tally(&PostClient::import(binder).unwrap(), 1_000);
    let by_weight = tally_of(&weighted);
    assert!((650..850).contains(&by_weight[&1]) && !by_weight.contains_key(&3), "{by_weight:?}");

    let near = weighted.clone().zone("b");
    assert_eq!(tally_of(&near), [(2, 1_000)].into());
    let client = PostClient::import(&near).unwrap();
    assert_eq!(tally(&client, 10), [(2, 10)].into());
    let leave = |server: &rpc_runtime::server::Running| {
        assert!(server.drain(Duration::from_secs(5)).is_complete());
    };
    leave(&two);
    assert_eq!(
        tally(&client, 100),
        [(1, 100)].into(),
        "nobody is left there, and three has no weight"
    );
    leave(&one);
    assert_eq!(tally(&client, 100), [(3, 100)].into(), "there is no other");
    leave(&three);
    let error = client.with(Options::new().timeout(ms(300))).who().unwrap_err();
    assert_eq!(error.execution(), Execution::NotExecuted, "{error}");
}
