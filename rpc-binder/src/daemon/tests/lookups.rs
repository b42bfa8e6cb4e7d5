//! Lookups past the trait: answered as the trait answers them.

use std::sync::Arc;

use rpc_runtime::__private::{Answer, Dispatched, Incoming};
use rpc_runtime::binder::{DirectoryClient, DirectoryService, Place, Version, VersionRequirement};
use rpc_runtime::ids::ServerId;
use rpc_runtime::protocol::HandlerEnd;
use rpc_runtime::sim::{Ended, Simulation};
use rpc_runtime::time::{Duration, Instant};
use rpc_runtime::{Server, Service, scheme};

use crate::daemon::Daemon;
use crate::front::Front;
use crate::registry::Limits;
use crate::samples::bank;

/// The end and the body of a reply.
fn reply(service: &impl Service, method: usize, arguments: &[u8]) -> (HandlerEnd, Vec<u8>) {
    let mut arguments = arguments.to_vec();
    let incoming = Incoming { arguments: &mut arguments, reply: Vec::new(), durable: None };
    match service.dispatch(method, incoming) {
        Dispatched::Now(Answer { end, body }) => (end, body),
        Dispatched::Later(_) | Dispatched::Stored(_) => panic!("it is answered at once"),
    }
}

fn all_is_answered_alike() {
    let (world, _) = scheme::open("sim://names").unwrap();
    let daemon = Arc::new(Daemon::new(world, Limits::default(), None));
    let desk = Arc::clone(&daemon.desk);
    let plain = DirectoryService::shared(Arc::clone(&daemon));
    let running = Server::bind("sim://names").unwrap().export(plain).spawn().unwrap();
    let client = DirectoryClient::connect("sim://names").unwrap();
    for server in 1..=20 {
        client.start().register(&bank(server), Some(Vec::new())).wait().unwrap();
    }
    let plain = DirectoryService::shared(Arc::clone(&daemon));
    let front = Front::new(daemon, desk);
    let place_of = |name| {
        let mut methods = front.interface().methods().iter();
        methods.position(|method| method.name() == name).unwrap()
    };
    let (lookup, list) = (place_of("lookup"), place_of("list"));
    let any = VersionRequirement::any();
    let place = |server| Some(Place { name: "bank".into(), version: Version::new(1, 0), server });
    let mut asked: Vec<Vec<u8>> = ["bank", "ledger", "Bank", "", "a\n"]
        .map(|name| postcard::to_allocvec(&(name, &any, None::<Place>)).unwrap())
        .into();
    for after in [place(ServerId(0)), place(ServerId(7)), place(ServerId(20)), None] {
        let wish = ("bank", VersionRequirement::major(1), after);
        asked.push(postcard::to_allocvec(&wish).unwrap());
    }
    for requirement in ["1.0", "2", "one", "", "1.2.3"] {
        asked.push(postcard::to_allocvec(&("bank", requirement, None::<Place>)).unwrap());
    }
    let good = asked[0].clone();
    asked.extend((0..good.len()).map(|len| good[..len].to_vec())); // cut short
    asked.push([&good[..], &[0]].concat()); // too long
    asked.push(vec![0xff; 40]);
    asked.push(vec![2, 0xff, 0xfe, 1, b'*', 0]); // no UTF-8
    for wish in &asked {
        assert_eq!(reply(&front, lookup, wish), reply(&plain, lookup, wish), "{wish:?}");
    }
    assert_eq!(reply(&front, lookup, &good).0, HandlerEnd::Returned);
    assert!(reply(&front, lookup, &good).1.len() > 300);
    // And what is no lookup goes its way.
    assert_eq!(reply(&front, list, &[0]), reply(&plain, list, &[0]));
    drop(running);
}

#[test]
fn a_lookup_is_answered_as_the_trait_answers_it_whatever_is_sent() {
    let simulation = Simulation::new(1);
    simulation.with(|world| {
        let names = world.add_host("names");
        world.spawn(names, "main", true, all_is_answered_alike);
    });
    let end = Instant::START + Duration::from_secs(60);
    assert_eq!(simulation.run_until_finished(end), Ended::Reached);
}
