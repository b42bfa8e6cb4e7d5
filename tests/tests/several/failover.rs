//! Failover by the contract's rule: what certainly did not run is made elsewhere, what may have run
//! only if it may run twice.

use super::*;

/// The visitor's call is under way when its shop's process dies; gives how it ended.
fn call_while_its_shop_dies(
    seed: u64,
    plan: fn(&Town, &mut Control),
    call: fn(&ShopClient) -> Result<String, CallError>,
) -> (Result<String, CallError>, Books) {
    let told = Arc::<Mutex<Option<Result<String, CallError>>>>::default();
    let end = Arc::clone(&told);
    let die = move |control: &mut Control, town: &Town| {
        let town = town.clone();
        control.at(at(1_100), move |control| plan(&town, control));
    };
    let books = town(seed, &SHOPS, die, move |books| {
        let channel = channel();
        let (shop, who) = shop(&channel);
        books.point_at(&who);
        books.takes(&who, ms(500));
        sleep_until(at(1_000));
        *end.lock().unwrap() = Some(call(&shop));
        let next = shop.sell(99).expect("calls go on elsewhere, or in its next life");
        assert_eq!(books.began(99), [&*next]);
    });
    let end = told.lock().unwrap().take().unwrap();
    (end, books)
}

#[test]
fn what_may_have_run_at_a_server_that_died_is_in_doubt_and_made_nowhere_else() {
    for seed in 0..20 {
        for die in [Town::crash, Town::restart, Town::part] {
            let (end, books) = call_while_its_shop_dies(seed, die, |shop| shop.sell(1));
            assert_eq!(end.unwrap_err().execution(), Execution::Unknown, "seed {seed}");
            assert_eq!(books.began(1), [&*books.victim()], "seed {seed}");
        }
    }
}

#[test]
fn what_may_run_twice_moves_on_when_its_server_s_life_is_over() {
    for seed in 0..20 {
        let (end, books) = call_while_its_shop_dies(seed, Town::restart, |shop| shop.look(1));
        let (end, began) = (end.unwrap(), books.began(1));
        assert_eq!(began[0], books.victim(), "seed {seed}");
        assert_eq!(began[1..], [&*end], "seed {seed}");
    }
}

/// The request is lost until the server's life is over: nobody ever saw it, but the client cannot
/// know that.
#[test]
fn a_call_handed_over_and_lost_is_in_doubt_too() {
    for seed in 0..10 {
        let lose = |control: &mut Control, town: &Town| {
            let (cut, dead) = (town.clone(), town.clone());
            control.at(at(900), move |control| cut.part(control));
            control.at(at(1_100), move |control| {
                control.net.mend_all();
                dead.restart(control);
            });
        };
        let books = town(seed, &SHOPS, lose, |books| {
            let channel = channel();
            let (shop, who) = shop(&channel);
            books.point_at(&who);
            sleep_until(at(1_000));
            let looked = shop.start().look(2);
            let error = shop.sell(1).unwrap_err();
            assert_eq!(error.execution(), Execution::Unknown, "{error}");
            assert_ne!(looked.wait().unwrap(), who);
        });
        assert!(books.began(1).is_empty());
        assert_eq!(books.began(2).len(), 1);
    }
}

#[test]
fn what_was_never_handed_over_is_made_elsewhere() {
    for seed in 0..20 {
        let die = |control: &mut Control, town: &Town| {
            let town = town.clone();
            control.at(at(900), move |control| town.restart(control));
        };
        let books = town(seed, &SHOPS, die, |books| {
            let channel = channel();
            let (shop, who) = shop(&channel);
            books.point_at(&who);
            // Nothing is heard of the server for as long as a session lives, so that the next call
            // opens another one: it finds another life at the address, which it was not meant for.
            sleep_until(at(60_000));
            for call in 1..20 {
                shop.sell(call).unwrap();
            }
        });
        for call in 1..20 {
            assert_eq!(books.began(call).len(), 1, "seed {seed}: once, wherever");
        }
    }
}

/// A server that is full asks for 200 ms; whoever is refused does as it is told.
#[test]
fn a_server_s_wish_to_be_left_alone_is_heeded_with_others_about() {
    use rpc_runtime::sim::net::{Rule, Verdict};
    use rpc_runtime::wire::{Pdu, decode};
    let narrow = |limits: &mut Limits| {
        limits.calls_queued_max = 1;
        limits.calls_running_max = 1;
        limits.push_back = ms(200);
    };
    let moments = Arc::<Mutex<Vec<u64>>>::default();
    let seen = Arc::clone(&moments);
    let watch = move |control: &mut Control, town: &Town| {
        let rule = Rule::new(Verdict::Pass).from(town.visitor).when(move |bytes| {
            if let Ok((_, Pdu::Request(request), _)) = decode(bytes)
                && request.transmission == 1
                && request.arguments == [77]
            {
                seen.lock().unwrap().push(request.remaining_us);
            }
            false
        });
        control.net.script(rule);
    };
    let books = town_with(3, &SHOPS, narrow, watch, |books| {
        let channel = channel();
        let (shop, who) = shop(&channel);
        books.takes(&who, ms(900));
        let busy = shop.start().sell(1);
        sim::sleep(ms(20));
        shop.sell(77).unwrap();
        busy.wait().unwrap();
    });
    assert_eq!(books.began(77).len(), 1);
    let left = moments.lock().unwrap();
    let waits: Vec<u64> = left.windows(2).map(|pair| pair[0] - pair[1]).collect();
    assert!(waits.len() >= 2, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait >= 200_000), "{waits:?}");
}
