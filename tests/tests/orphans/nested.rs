//! Calls that a handler makes and does not wait for: on a thread of its own after it has returned, or
//! with a handle that it lets go of.

use std::sync::{Arc, Mutex};

use rpc_runtime::orphans::OrphanStrategy;
use rpc_runtime::sim::{current_world, now, sleep};
use rpc_runtime::{CallError, Options, Server, current, service};

use super::chain::{Chain as _, ChainClient};
use super::simulated::{World, ms};

#[service]
trait Agent {
    /// Has a thread ask the next one on behalf of this call, once this has returned.
    fn leave(&self) -> Result<(), CallError>;
    /// Asks about a call that the next one works at, as long as that takes.
    #[rpc(timeout = "1s")]
    fn ask(&self) -> Result<(), CallError>;
    /// Has the next one work, lets go of that, and goes on until it is called off.
    #[rpc(timeout = "10m")]
    fn hand_on(&self) -> Result<(), CallError>;
}

type Told = Arc<Mutex<Option<Result<u64, CallError>>>>;

struct Busy {
    told: Told,
}

impl Agent for Busy {
    fn leave(&self) -> Result<(), CallError> {
        let (context, told) = (current().expect("inside a handler"), Arc::clone(&self.told));
        let body = move || {
            let _entered = context.enter();
            sleep(ms(100));
            let worked = ChainClient::connect("sim://link-0").unwrap().work_for(20);
            *told.lock().unwrap() = Some(worked);
        };
        current_world().unwrap().spawn("aside", Box::new(body)).unwrap();
        Ok(())
    }

    fn ask(&self) -> Result<(), CallError> {
        let link = ChainClient::connect("sim://link-0")?;
        let hasty = link.with(Options::new().timeout(ms(50)));
        let doubt = hasty.print(20_000).expect_err("it takes longer");
        let asked = now();
        let answer = link.resolve(doubt.call());
        assert!(answer.is_err(), "{answer:?}");
        *self.told.lock().unwrap() = Some(Ok(now().since(asked).as_millis().try_into().unwrap()));
        Ok(())
    }

    fn hand_on(&self) -> Result<(), CallError> {
        let context = current().expect("inside a handler");
        let link = ChainClient::connect("sim://link-0")?;
        link.start().work().detach();
        while !context.cancelled() {
            sleep(ms(5));
        }
        Err(CallError::failed("called off"))
    }
}

/// One link of a chain, and an agent that calls it.
fn world(seed: u64) -> (World, Told) {
    let world = World::new(seed, 1, OrphanStrategy::default());
    let told = Told::default();
    let busy = Busy { told: Arc::clone(&told) };
    world.client("agent", move || {
        let server = Server::bind("sim://agent").unwrap().export(AgentService::new(busy));
        let _running = server.spawn().unwrap();
        sleep(ms(1_000_000));
    });
    (world, told)
}

#[test]
fn a_call_on_behalf_of_a_handler_that_has_returned_is_made_in_what_time_is_left() {
    let (world, told) = world(1);
    world.client("client", || AgentClient::connect("sim://agent").unwrap().leave().unwrap());
    world.run_to(ms(5_000));
    let told = told.lock().unwrap().take().expect("it has ended");
    assert_eq!(told.expect("nobody called it off"), 20);
}

#[test]
fn a_handler_that_is_called_off_takes_along_what_it_let_go_of() {
    let (world, _) = world(2);
    world.client("client", || {
        let handing_on = AgentClient::connect("sim://agent").unwrap().start().hand_on();
        sleep(ms(1_000));
        handing_on.cancel();
        let _called_off = handing_on.wait();
    });
    world.run_to(ms(900));
    assert_eq!(world.at_work(), [1]);
    world.run_to(ms(1_100));
    assert_eq!(world.at_work(), [0]);
}

#[test]
fn a_question_about_a_call_takes_no_longer_than_the_handler_that_asks() {
    let (world, told) = world(3);
    world.client("client", || {
        let _in_time_or_not = AgentClient::connect("sim://agent").unwrap().ask();
    });
    world.run_to(ms(30_000));
    let asked = told.lock().unwrap().take().expect("it was asked").unwrap();
    assert!((700..950).contains(&asked), "{asked} ms");
}

#[test]
fn a_question_about_a_call_ends_when_the_handler_that_asks_is_called_off() {
    let (world, told) = world(4);
    world.client("client", || {
        let asking = AgentClient::connect("sim://agent").unwrap().start().ask();
        sleep(ms(300));
        asking.cancel();
        let _called_off = asking.wait();
    });
    world.run_to(ms(30_000));
    let asked = told.lock().unwrap().take().expect("it was asked").unwrap();
    assert!(asked < 300, "{asked} ms");
}
