//! A server that keeps failing is left alone and probed: what that spares, and what it never touches.

use super::*;
use rpc_runtime::ErrorKind;
use rpc_runtime::wire::Kind;

const ONE: [&str; 1] = ["anna"];

/// Nothing reaches the shop between two moments.
fn silent(from: u64, to: u64) -> impl FnOnce(&mut Control, &Town) {
    move |control, town| {
        let town = town.clone();
        town.books.point_at("anna");
        control.at(at(from), move |control| town.part(control));
        control.at(at(to), |control| control.net.mend_all());
    }
}

fn hasty(channel: &Channel) -> ShopClient {
    ShopClient::on(&channel.with(Options::new().timeout(ms(200))))
}

#[test]
fn a_silent_server_is_left_alone_after_five_calls_and_a_second_and_found_again() {
    town(1, &ONE, silent(1_000, 4_000), |_| {
        let channel = channel();
        let shop = hasty(&channel);
        shop.who(0).unwrap();
        sleep_until(at(1_000));
        let mut slow = 0;
        let error = loop {
            let started = sim::now();
            let error = shop.sell(1).unwrap_err();
            if error.kind() == ErrorKind::LeftAlone {
                assert!(sim::now().since(started) < ms(50), "at once: {error}");
                break error;
            }
            slow += 1;
        };
        assert!((5..=7).contains(&slow), "{slow}");
        assert!(sim::now() >= at(2_000));
        assert_eq!(error.execution(), Execution::NotExecuted);
        let text = error.to_string();
        assert!(text.contains("keeps failing and is left alone: a call in"), "{text}");
        let wait = error.evidence().push_back.expect("when it is asked again");
        assert!(wait <= ms(750), "{wait:?}");

        // Probes alone go out, one at a time, and less and less often.
        let mut asked = Vec::new();
        while sim::now() < at(4_000) {
            let started = sim::now();
            match shop.sell(1) {
                Ok(_) => panic!("it is silent"),
                Err(error) if error.kind() == ErrorKind::LeftAlone => sim::sleep(ms(5)),
                Err(_) => asked.push(started),
            }
        }
        assert!((1..=3).contains(&asked.len()), "{asked:?}");
        let kept_back = channel.stats().kept_back;
        assert!(kept_back > 100, "{kept_back}");

        // Back: the next probe closes it.
        while shop.sell(1).is_err() {
            assert!(sim::now() < at(4_000) + ms(4_500), "found again");
            sim::sleep(ms(5));
        }
        for call in 2..100 {
            shop.sell(call).unwrap();
        }
    });
}

#[test]
fn a_server_that_is_back_within_a_second_is_not_left_alone() {
    for seed in 0..10 {
        let restart = |control: &mut Control, town: &Town| {
            let town = town.clone();
            town.books.point_at("anna");
            control.at(at(1_000), {
                let town = town.clone();
                move |control| town.crash(control)
            });
            control.at(at(1_800), move |control| {
                control.restart(town.victim());
                town.open(control, "anna");
            });
        };
        town(seed, &ONE, restart, |_| {
            let shop = ShopClient::connect("sim://anna").unwrap();
            shop.who(0).unwrap();
            sleep_until(at(1_000));
            let hasty = shop.with(Options::new().timeout(ms(60)));
            while let Err(error) = hasty.sell(1) {
                assert_ne!(error.kind(), ErrorKind::LeftAlone, "{error}");
                assert!(sim::now() < at(3_000));
            }
        });
    }
}

#[test]
fn who_does_not_want_it_is_not_kept_back() {
    town(2, &ONE, silent(1_000, 9_000), |_| {
        let channel = channel();
        let options = Options::new().timeout(ms(200)).circuit_breaker(false);
        let (stubborn, other) = (ShopClient::on(&channel.with(options)), hasty(&channel));
        stubborn.who(0).unwrap();
        sleep_until(at(1_000));
        for _ in 0..20 {
            let error = stubborn.sell(1).unwrap_err();
            assert_ne!(error.kind(), ErrorKind::LeftAlone, "{error}");
        }
        assert_eq!(channel.stats().kept_back, 0);
        let ends = [1, 1].map(|call| other.sell(call).unwrap_err().kind());
        assert_eq!(ends[1], ErrorKind::LeftAlone, "what it saw counts for the others");
        sleep_until(at(9_000));
        stubborn.sell(2).unwrap();
        other.sell(3).unwrap(); // any success ends it
    });
}

/// One worker, and no room beside it.
fn narrow(limits: &mut Limits) {
    limits.calls_queued_max = 1;
    limits.calls_running_max = 1;
}

#[test]
fn calls_under_way_are_not_touched_and_their_success_ends_it() {
    let books = town_with(
        4,
        &ONE,
        narrow,
        |_, _| {},
        |books| {
            let channel = channel();
            let (shop, _) = shop(&channel);
            books.takes("anna", ms(8_000));
            let patient = shop.with(Options::new().timeout(ms(20_000)));
            let busy = patient.start().sell(1);
            sim::sleep(ms(20));
            let once = shop.with(Options::new().retry(false));
            let began = sim::now();
            let mut refused = 0;
            let error = loop {
                let error = once.sell(2).unwrap_err();
                assert_eq!(error.execution(), Execution::NotExecuted, "{error}");
                if error.kind() == ErrorKind::LeftAlone {
                    break error;
                }
                assert_eq!(error.kind(), ErrorKind::Overloaded);
                refused += 1;
                sim::sleep(ms(100));
            };
            assert!(
                sim::now().since(began) >= ms(5_000),
                "one that answers is given time: {error}"
            );
            assert!(refused >= 40, "{refused}");
            assert_eq!(busy.wait().unwrap(), "anna", "what was handed over ends as it would");
            books.takes("anna", ms(0));
            assert_eq!(once.sell(3).unwrap(), "anna", "its success was one");
        },
    );
    assert!(books.began(2).is_empty(), "not executed is not executed");
}

#[test]
fn a_probe_that_is_at_work_has_told_enough() {
    let books = town(5, &ONE, silent(1_000, 3_000), |books| {
        let channel = channel();
        let shop = hasty(&channel);
        shop.who(0).unwrap();
        sleep_until(at(1_000));
        while sim::now() < at(3_000) {
            let _ = shop.sell(1);
            sim::sleep(ms(5));
        }
        books.takes("anna", ms(10_000));
        let patient = shop.with(Options::new().timeout(ms(20_000)));
        let mut probe = patient.start().sell(2);
        while shop.who(0).is_err() {
            // Either it was kept back itself, or it is the probe that keeps this one back.
            if probe.id().is_none() {
                probe = patient.start().sell(2);
            }
            assert!(sim::now() < at(8_000), "others are let through while the probe works");
            sim::sleep(ms(5));
        }
        assert!(sim::now() < at(8_000));
        assert_eq!(probe.wait().unwrap(), "anna");
    });
    assert_eq!(books.began(2).len(), 1);
}

#[test]
fn with_several_servers_calls_go_elsewhere_and_none_fails_for_it() {
    for seed in 0..10 {
        let books = town_with(
            seed,
            &SHOPS,
            narrow,
            |_, _| {},
            |books| {
                let channel = channel();
                let (shop, who) = shop(&channel);
                books.takes(&who, ms(60_000));
                let patient = shop.with(Options::new().timeout(ms(90_000)));
                patient.start().sell(1).detach();
                sim::sleep(ms(20));
                let hasty = shop.with(Options::new().timeout(ms(300)));
                let mut failed = 0;
                while sim::now() < at(8_000) {
                    failed += u32::from(hasty.sell(2).is_err());
                    sim::sleep(ms(50));
                }
                assert!(failed >= 5, "it was full");
                for call in 3..100 {
                    assert_ne!(hasty.sell(call).unwrap(), who, "and is left alone now");
                    sim::sleep(ms(20));
                }
            },
        );
        for call in 3..100 {
            assert_eq!(books.began(call).len(), 1);
        }
    }
}

#[test]
fn with_all_servers_silent_calls_fail_at_once_and_the_binder_is_not_stormed() {
    let asked = Arc::<Mutex<[u64; 2]>>::default();
    let seen = Arc::clone(&asked);
    let part = move |control: &mut Control, town: &Town| {
        let (town, first, last) = (town.clone(), Arc::clone(&seen), seen);
        let visitor = town.visitor;
        control.at(at(1_000), move |control| {
            let shops: Vec<_> = town.hosts.values().copied().collect();
            control.net.partition(&[visitor], &shops);
        });
        let count = move |control: &Control| control.net.sent(visitor, Kind::Request);
        control.at(at(30_000), move |control| first.lock().unwrap()[0] = count(control));
        control.at(at(40_000), move |control| last.lock().unwrap()[1] = count(control));
    };
    town(6, &SHOPS, part, |_| {
        let channel = channel();
        let shop = hasty(&channel);
        shop.who(0).unwrap();
        sleep_until(at(1_000));
        let mut quick = 0;
        while sim::now() < at(40_000) {
            let started = sim::now();
            let error = shop.sell(1).unwrap_err();
            if error.kind() == ErrorKind::LeftAlone {
                assert_eq!(error.execution(), Execution::NotExecuted);
                quick += u32::from(sim::now().since(started) < ms(50));
            }
            sim::sleep(ms(5));
        }
        assert!(quick > 2_000, "{quick}");
    });
    let [first, last] = *asked.lock().unwrap();
    assert!(last - first < 100, "{} requests in 10 s, those to the binder with them", last - first);
}
