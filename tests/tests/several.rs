//! Calls through a binder that offers several servers: where they are made again, where they are
//! made at two servers at once, when a server is left alone, and what never happens meanwhile. All but
//! [`balance`] have their calls go to one server as long as that lives.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "several/balance.rs"]
mod balance;
#[path = "several/breaker.rs"]
mod breaker;
#[path = "several/chain.rs"]
mod chain;
#[path = "several/failover.rs"]
mod failover;
#[path = "several/hedges.rs"]
mod hedges;
#[path = "several/sockets.rs"]
mod sockets;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rpc_binder::daemon;
use rpc_binder::registry::Limits as Leases;
use rpc_runtime::binder::Binder;
use rpc_runtime::client::ChannelStats;
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::protocol::Limits;
use rpc_runtime::sim::{self, Control, Ended, HostId, Simulation};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{Balance, CallError, Channel, Execution, Options, Server, service};

/// A shop of which there are several; each call brings a number of its own.
#[service(name = "shop", version = "1.0")]
trait Shop {
    /// Says who serves.
    #[rpc(timeout = "2s")]
    fn who(&self, call: u64) -> Result<String, CallError>;
    /// Must not happen twice.
    #[rpc(timeout = "2s")]
    fn sell(&self, call: u64) -> Result<String, CallError>;
    /// May happen again.
    #[rpc(at_least_once, timeout = "2s")]
    fn look(&self, call: u64) -> Result<String, CallError>;
    /// May happen again, and at two shops at a time.
    #[rpc(at_least_once, timeout = "2s", hedge = "20ms")]
    fn find(&self, call: u64) -> Result<String, CallError>;
    /// Says who serves a customer.
    #[rpc(timeout = "2s")]
    fn serve(&self, #[rpc(key)] customer: &str, call: u64) -> Result<String, CallError>;
}

/// What is known of all shops from outside: it survives them.
#[derive(Clone, Default)]
struct Books(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    /// Who began to serve which call, in order.
    began: Vec<(u64, &'static str)>,
    /// Whose service was called off.
    called_off: Vec<(u64, &'static str)>,
    /// How long a shop takes for all but `who`.
    takes: BTreeMap<&'static str, Duration>,
    /// The shop that the plan of a test is about.
    victim: Option<String>,
}

impl Books {
    fn open(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.0.lock().unwrap()
    }

    /// The shops that began to serve a call.
    fn began(&self, call: u64) -> Vec<&'static str> {
        let pages = self.open();
        pages.began.iter().filter(|(number, _)| *number == call).map(|(_, shop)| *shop).collect()
    }

    /// The shops whose service of a call was called off.
    fn called_off(&self, call: u64) -> Vec<&'static str> {
        let pages = self.open();
        let of_call = pages.called_off.iter().filter(|(number, _)| *number == call);
        of_call.map(|(_, shop)| *shop).collect()
    }

    /// From now on a shop takes this long.
    fn takes(&self, shop: &str, takes: Duration) {
        let shop = SHOPS.into_iter().find(|name| *name == shop).expect("one of them");
        self.open().takes.insert(shop, takes);
    }

    fn all_take(&self, takes: Duration) {
        SHOPS.into_iter().for_each(|shop| self.takes(shop, takes));
    }

    /// Names the shop that the plan is about.
    fn point_at(&self, shop: &str) {
        self.open().victim = Some(shop.to_owned());
    }

    fn victim(&self) -> String {
        self.open().victim.clone().expect("the visitor has named it")
    }
}

/// One of them.
struct Keeper {
    name: &'static str,
    books: Books,
}

impl Keeper {
    fn attend(&self, call: u64) -> Result<String, CallError> {
        let takes = {
            let mut pages = self.books.open();
            pages.began.push((call, self.name));
            pages.takes.get(self.name).copied().unwrap_or_default()
        };
        let context = rpc_runtime::current().expect("inside a handler");
        let (world, gate) = (sim::current_world().unwrap(), sim::current_world().unwrap().gate());
        let told = Arc::clone(&gate);
        context.on_cancel(move || told.open());
        let until = world.now() + takes;
        while world.now() < until {
            if context.cancelled() {
                self.books.open().called_off.push((call, self.name));
                return Err(CallError::failed("nobody waits"));
            }
            gate.wait(Some(until));
        }
        Ok(self.name.to_owned())
    }
}

impl Shop for Keeper {
    fn who(&self, _call: u64) -> Result<String, CallError> {
        Ok(self.name.to_owned())
    }

    fn sell(&self, call: u64) -> Result<String, CallError> {
        self.attend(call)
    }

    fn look(&self, call: u64) -> Result<String, CallError> {
        self.attend(call)
    }

    fn find(&self, call: u64) -> Result<String, CallError> {
        self.attend(call)
    }

    fn serve(&self, _customer: &str, _call: u64) -> Result<String, CallError> {
        Ok(self.name.to_owned())
    }
}

const SHOPS: [&str; 3] = ["anna", "bert", "carl"];

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(millis: u64) -> Instant {
    Instant::START + ms(millis)
}

fn stay() {
    loop {
        sim::sleep(ms(3_600_000));
    }
}

/// Where the shops are.
#[derive(Clone)]
struct Town {
    books: Books,
    names: HostId,
    visitor: HostId,
    hosts: BTreeMap<&'static str, HostId>,
    set: fn(&mut Limits),
}

impl Town {
    /// The host of the shop that the visitor named.
    fn victim(&self) -> HostId {
        self.hosts[&*self.books.victim()]
    }

    /// The victim's process dies, for good.
    fn crash(&self, control: &mut Control) {
        control.crash(self.victim());
    }

    /// The victim's process dies and another life of it comes at once.
    fn restart(&self, control: &mut Control) {
        self.crash(control);
        control.restart(self.victim());
        let name = SHOPS.into_iter().find(|name| **name == *self.books.victim()).unwrap();
        self.open(control, name);
    }

    /// Nothing reaches the victim from the visitor any more, nor the other way.
    fn part(&self, control: &mut Control) {
        control.net.partition(&[self.visitor], &[self.victim()]);
    }

    /// A shop's process.
    fn open(&self, control: &mut Control, name: &'static str) {
        let (host, books, set) = (self.hosts[name], self.books.clone(), self.set);
        let life = control.life(host);
        control.spawn(host, "main", false, move || keep(name, life, &books, set));
    }
}

/// Serves, as soon as the binder lets it.
fn keep(name: &'static str, life: u32, books: &Books, set: fn(&mut Limits)) {
    let binder = Binder::at("sim://names").unwrap();
    let id = SHOPS.iter().position(|shop| *shop == name).unwrap() as u64 + 1;
    loop {
        let mut limits = Limits::default();
        set(&mut limits);
        let server = Server::bind(&format!("sim://{name}"))
            .unwrap()
            .id(ServerId(id))
            .incarnation(Incarnation::new(life + 1, 0))
            .workers(limits.calls_running_max.min(8))
            .limits(limits)
            .export(ShopService::new(Keeper { name, books: books.clone() }))
            .register(&binder)
            .spawn();
        match server {
            Ok(_running) => stay(),
            Err(_no_binder) => sim::sleep(ms(50)),
        }
    }
}

/// Some shops as they are by default.
fn town(
    seed: u64,
    shops: &[&'static str],
    plan: impl FnOnce(&mut Control, &Town),
    visit: impl FnOnce(&Books) + Send + 'static,
) -> Books {
    town_with(seed, shops, |_| {}, plan, visit)
}

/// Runs a town until its visitor has left; gives its books.
fn town_with(
    seed: u64,
    shops: &[&'static str],
    set: fn(&mut Limits),
    plan: impl FnOnce(&mut Control, &Town),
    visit: impl FnOnce(&Books) + Send + 'static,
) -> Books {
    let simulation = Simulation::new(seed);
    let books = Books::default();
    simulation.with(|control| {
        let (names, visitor) = (control.add_host("names"), control.add_host("visitor"));
        control.spawn(names, "main", false, || {
            let _running = daemon::start("sim://names", Leases::default()).unwrap();
            stay();
        });
        let hosts = shops.iter().map(|shop| (*shop, control.add_host(shop))).collect();
        let town = Town { books: books.clone(), names, visitor, hosts, set };
        shops.iter().for_each(|shop| town.open(control, shop));
        plan(control, &town);
        let books = books.clone();
        control.spawn(visitor, "main", true, move || {
            sim::sleep(ms(500)); // all are registered by then
            visit(&books);
        });
    });
    assert_eq!(simulation.run_until_finished(at(3_600_000)), Ended::Reached);
    books
}

/// A visitor's channel to whichever shop is found, as long as that lives.
fn channel() -> Channel {
    channel_by(Balance::Sticky)
}

/// A visitor's channel to all shops, between which it chooses so.
fn channel_by(balance: Balance) -> Channel {
    let binder = Binder::at("sim://names").unwrap().balance(balance);
    Channel::import::<ShopClient>(&binder).unwrap()
}

/// A client of it, and who serves it now.
fn shop(channel: &Channel) -> (ShopClient, String) {
    let shop = ShopClient::on(channel);
    let who = shop.who(0).unwrap();
    (shop, who)
}

/// Sleeps until a moment of the visitor's clock.
fn sleep_until(when: Instant) {
    sim::sleep(sim::now().until(when));
}
