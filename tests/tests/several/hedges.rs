//! Hedged calls: the same call at a second server where the first takes long.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use rpc_runtime::Call;

/// Who calls: it must not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Overlapped,
    Await,
}

const WAYS: [Way; 3] = [Way::Plain, Way::Overlapped, Way::Await];

impl Way {
    fn find(self, shop: &ShopClient, call: u64) -> Result<String, CallError> {
        match self {
            Self::Plain => shop.find(call),
            Self::Overlapped => shop.start().find(call).wait(),
            Self::Await => sim::block_on(shop.start().find(call)),
        }
    }
}

/// The counts that are the channel's, over all its servers: made, won, denied, called off.
fn hedges(channel: &Channel) -> [u64; 4] {
    let stats: ChannelStats = channel.stats();
    [stats.hedges, stats.hedges_won, stats.hedges_denied, stats.hedges_called_off]
}

#[test]
fn where_the_first_server_is_slow_the_second_answers_and_the_first_is_called_off() {
    for seed in 0..10 {
        for way in WAYS {
            let books = town(
                seed,
                &SHOPS,
                |_, _| {},
                move |books| {
                    let channel = channel();
                    let (shop, who) = shop(&channel);
                    books.point_at(&who);
                    books.takes(&who, ms(1_000));
                    let started = sim::now();
                    let other = way.find(&shop, 1).unwrap();
                    let took = sim::now().since(started);
                    assert_ne!(other, who);
                    assert!((ms(20)..ms(40)).contains(&took), "{way:?} {took:?}");
                    assert_eq!(hedges(&channel), [1, 1, 0, 1]);
                    sim::sleep(ms(100));
                    assert_eq!(books.called_off(1), [&*who], "it need not go on");
                },
            );
            assert_eq!(books.began(1).len(), 2, "{way:?} seed {seed}");
        }
    }
}

#[test]
fn the_first_server_wins_if_it_answers_first_and_the_second_is_called_off() {
    for way in WAYS {
        let books = town(
            2,
            &SHOPS,
            |_, _| {},
            move |books| {
                let channel = channel();
                let (shop, who) = shop(&channel);
                books.point_at(&who);
                books.all_take(ms(1_000));
                books.takes(&who, ms(60));
                assert_eq!(way.find(&shop, 1).unwrap(), who);
                assert_eq!(hedges(&channel), [1, 0, 0, 1], "{way:?}");
                sim::sleep(ms(100));
            },
        );
        let began = books.began(1);
        assert_eq!(began.len(), 2);
        assert_eq!(books.called_off(1), began[1..], "{way:?}");
    }
}

#[test]
fn calls_that_are_answered_in_time_are_made_once() {
    for way in WAYS {
        let books = town(
            3,
            &SHOPS,
            |_, _| {},
            move |books| {
                let channel = channel();
                let (shop, _) = shop(&channel);
                books.all_take(ms(10));
                for call in 1..100 {
                    way.find(&shop, call).unwrap();
                }
                sim::sleep(ms(100));
                assert_eq!(hedges(&channel), [0; 4], "{way:?}");
            },
        );
        for call in 1..100 {
            assert_eq!(books.began(call).len(), 1, "{way:?}");
        }
    }
}

#[test]
fn with_one_server_nothing_is_hedged() {
    for way in WAYS {
        let books = town(
            4,
            &SHOPS[..1],
            |_, _| {},
            move |books| {
                let channel = channel();
                let (shop, who) = shop(&channel);
                books.takes(&who, ms(200));
                for call in 1..20 {
                    assert_eq!(way.find(&shop, call).unwrap(), who);
                }
                assert_eq!(hedges(&channel), [0; 4], "{way:?}");
                // One address leads nowhere else.
                let alone = ShopClient::connect("sim://anna").unwrap();
                assert_eq!(way.find(&alone, 20).unwrap(), who);
            },
        );
        for call in 1..=20 {
            assert_eq!(books.began(call).len(), 1, "{way:?}");
        }
    }
}

#[test]
fn other_methods_and_callers_who_want_no_retries_are_not_hedged() {
    let books = town(
        5,
        &SHOPS,
        |_, _| {},
        |books| {
            let channel = channel();
            let (shop, _) = shop(&channel);
            books.all_take(ms(300));
            shop.sell(1).unwrap();
            shop.look(2).unwrap();
            shop.with(Options::new().retry(false)).find(3).unwrap();
            assert_eq!(hedges(&channel), [0; 4]);
        },
    );
    for call in 1..=3 {
        assert_eq!(books.began(call).len(), 1);
    }
}

#[test]
fn hedges_stay_within_the_budget_of_the_second_server() {
    const CALLS: u64 = 300;
    town(
        6,
        &SHOPS[..2],
        |_, _| {},
        |books| {
            let channel = channel();
            let (shop, _) = shop(&channel);
            books.all_take(ms(50));
            let started = sim::now();
            for call in 1..=CALLS {
                shop.find(call).unwrap();
            }
            let seconds = sim::now().since(started).as_secs();
            let [made, _, denied, _] = hedges(&channel);
            // Its reserve, and what comes with time: nobody else calls the second server.
            assert!((5..=10 + seconds + 1).contains(&made), "{made} in {seconds} s");
            assert!(denied >= CALLS / 2, "{denied}");
            assert!(made + denied <= CALLS);
        },
    );
}

#[test]
fn a_first_server_that_dies_costs_a_hedged_call_nothing() {
    for seed in 0..10 {
        for die in [Town::crash, Town::restart, Town::part] {
            let plan = move |control: &mut Control, town: &Town| {
                let town = town.clone();
                control.at(at(1_010), move |control| die(&town, control));
            };
            town(seed, &SHOPS, plan, |books| {
                let channel = channel();
                let (shop, who) = shop(&channel);
                books.point_at(&who);
                books.takes(&who, ms(5_000));
                sleep_until(at(1_000));
                let other = shop.find(1).unwrap();
                assert_ne!(other, who);
                assert!(sim::now() < at(1_050), "{:?}", sim::now());
            });
        }
    }
}

/// Its calls are called off before their deadlines, so that none of them says that it is dead.
#[test]
fn a_silent_first_server_is_given_up_after_three_hedges() {
    for seed in 0..10 {
        for way in WAYS {
            let part = |control: &mut Control, town: &Town| {
                let town = town.clone();
                control.at(at(1_000), move |control| town.part(control));
            };
            town(seed, &SHOPS, part, move |books| {
                let channel = channel();
                let (shop, who) = shop(&channel);
                books.point_at(&who);
                sleep_until(at(1_000));
                for call in 1..100 {
                    let started = sim::now();
                    assert_ne!(way.find(&shop, call).unwrap(), who);
                    let took = sim::now().since(started);
                    assert!(took < ms(50), "call {call} took {took:?}, {way:?}, seed {seed}");
                }
                assert_eq!(hedges(&channel)[..2], [3, 3], "{way:?}, seed {seed}");
            });
        }
    }
}

/// The join over both: an answer of one is the call's, and doubt about one is doubt about the call.
#[test]
fn where_neither_answers_the_call_is_in_doubt() {
    for seed in 0..10 {
        let part = |control: &mut Control, town: &Town| {
            let town = town.clone();
            control.at(at(1_500), move |control| {
                let shops: Vec<_> = town.hosts.values().copied().collect();
                control.net.partition(&[town.visitor], &shops);
            });
        };
        let books = town(seed, &SHOPS, part, |books| {
            let channel = channel();
            let (shop, _) = shop(&channel);
            books.all_take(ms(5_000));
            sleep_until(at(1_000));
            let started = sim::now();
            let error = shop.find(1).unwrap_err();
            assert_eq!(error.execution(), Execution::Unknown, "{error}");
            assert!(sim::now().since(started) <= ms(2_001), "in its time");
            assert_eq!(hedges(&channel), [1, 0, 0, 0]);
        });
        assert_eq!(books.began(1).len(), 2);
    }
}

/// What becomes of a call that nobody wants any more.
type End = fn(Call<Result<String, CallError>>);

#[test]
fn a_hedged_call_that_nobody_wants_any_more_is_called_off_at_both_servers() {
    let ends: [End; 3] = [
        |call| drop(call),
        |call| {
            call.cancel();
            assert_eq!(call.wait().unwrap_err().execution(), Execution::Unknown);
        },
        |call| {
            call.cancel();
            assert_eq!(sim::block_on(call).unwrap_err().execution(), Execution::Unknown);
        },
    ];
    for end in ends {
        let books = town(
            7,
            &SHOPS,
            |_, _| {},
            move |books| {
                let channel = channel();
                let (shop, _) = shop(&channel);
                books.all_take(ms(1_500));
                let mut call = shop.start().find(1);
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                let begun = sim::now();
                while sim::now().since(begun) < ms(100) {
                    let polled = std::pin::Pin::new(&mut call).poll(&mut context);
                    assert!(polled.is_pending(), "both take their time");
                    sim::sleep(ms(5));
                }
                end(call);
                sim::sleep(ms(200));
            },
        );
        assert_eq!(books.began(1).len(), 2);
        assert_eq!(books.called_off(1).len(), 2);
    }
}

#[test]
fn many_hedged_futures_at_a_time_all_end() {
    let books = town(
        8,
        &SHOPS,
        |_, _| {},
        |books| {
            let channel = channel();
            let (shop, who) = shop(&channel);
            books.takes(&who, ms(100));
            let calls: Vec<_> = (1..=50).map(|call| shop.start().find(call)).collect();
            sim::block_on(async {
                for call in calls {
                    call.await.unwrap();
                }
            });
            let [made, won, denied, called_off] = hedges(&channel);
            assert!(made >= 5 && denied >= 5, "{made} made, {denied} denied");
            assert!(won >= 1 && called_off <= made, "{won} won, {called_off} called off");
        },
    );
    for call in 1..=50 {
        assert!((1..=2).contains(&books.began(call).len()));
    }
}

#[test]
fn one_seed_is_one_story() {
    let story = |seed| {
        let books = town(
            seed,
            &SHOPS,
            |control, _| control.net.set_faults(sim::Faults::default().loss(0.1)),
            |books| {
                let channel = channel();
                let (shop, who) = shop(&channel);
                books.takes(&who, ms(30));
                for (call, way) in (1..50).zip(WAYS.iter().cycle()) {
                    let _ = way.find(&shop, call);
                }
            },
        );
        books.open().began.clone()
    };
    for seed in 0..5 {
        assert_eq!(story(seed), story(seed));
    }
}

/// Threads that receive for all leave when it is time to hedge: the others must not wait for it.
#[test]
fn callers_whose_patience_ends_leave_nobody_behind() {
    for seed in 0..20 {
        for shops in 1..=2 {
            let plan = |_: &mut Control, _: &Town| {};
            town(seed, &SHOPS[..shops], plan, move |books| {
                let channel = channel();
                let (shop, _) = shop(&channel);
                books.all_take(ms(21)); // as long as it takes until a call is hedged
                let ended = Arc::<AtomicU64>::default();
                let (world, all) = (sim::current_world().unwrap(), 6);
                for thread in 0..all {
                    let (shop, ended) = (shop.clone(), Arc::clone(&ended));
                    let body = move || {
                        sim::sleep(Duration::from_micros(300 * thread));
                        for call in 0..20 {
                            let started = sim::now();
                            let number = thread * 100 + call;
                            if (thread + call) % 3 == 0 {
                                shop.look(number).unwrap();
                            } else {
                                shop.find(number).unwrap();
                            }
                            let took = sim::now().since(started);
                            assert!(took < ms(26), "seed {seed}: {took:?}");
                        }
                        ended.fetch_add(1, Ordering::Relaxed);
                    };
                    world.spawn("caller", Box::new(body)).unwrap();
                }
                while ended.load(Ordering::Relaxed) < all {
                    sim::sleep(ms(10));
                }
            });
        }
    }
}
