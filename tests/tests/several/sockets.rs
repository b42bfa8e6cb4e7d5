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
    let channel = Channel::import::<StallClient>(&binder).unwrap();
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
