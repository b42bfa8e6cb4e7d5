//! The same over real sockets, as far as it needs no clock: a first server that never answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::*;

#[service(name = "stall", version = "1.0")]
trait Stall {
    /// Whoever is asked first waits until it is called off.
    #[rpc(at_least_once, timeout = "20s", hedge = "20ms")]
    fn buy(&self) -> Result<u32, CallError>;
}

struct Holder {
    number: u32,
    was_asked: Arc<AtomicBool>,
    called_off: mpsc::Sender<u32>,
}

impl Stall for Holder {
    fn buy(&self) -> Result<u32, CallError> {
        if self.was_asked.swap(true, Ordering::SeqCst) {
            return Ok(self.number);
        }
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
    let was_asked = Arc::<AtomicBool>::default();
    let servers = [1, 2].map(|number| {
        let (was_asked, called_off) = (Arc::clone(&was_asked), called_off.clone());
        let service = StallService::new(Holder { number, was_asked, called_off });
        let server = Server::bind("udp://127.0.0.1:0").unwrap().export(service);
        server.register(&binder).spawn().unwrap()
    });
    let channel = Channel::import::<StallClient>(&binder).unwrap();
    let stall = StallClient::on(&channel);
    let answered = stall.buy().unwrap();
    let first = heard.recv_timeout(Duration::from_secs(10)).expect("it is called off");
    assert_eq!(answered + first, 3, "one of them each");
    let stats = channel.stats();
    assert_eq!((stats.hedges, stats.hedges_won, stats.hedges_called_off), (1, 1, 1));
    drop(servers);
}
