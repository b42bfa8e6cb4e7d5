//! How calls are spread over several servers: fairly while they are alike, away from those that are
//! slow, silent or gone, and by the binder's news.

use super::*;

/// How often each shop answered.
fn tally(shop: &ShopClient, calls: std::ops::Range<u64>) -> BTreeMap<String, u64> {
    let mut tally = BTreeMap::new();
    for call in calls {
        *tally.entry(shop.sell(call).unwrap()).or_default() += 1;
    }
    tally
}

#[test]
fn shops_that_are_alike_get_the_same_share_whoever_chooses() {
    for balance in Balance::ALL.into_iter().filter(|balance| *balance != Balance::Sticky) {
        town(
            1,
            &SHOPS,
            |_, _| {},
            move |books| {
                books.all_take(ms(1));
                let tally = tally(&ShopClient::on(&channel_by(balance)), 0..900);
                assert_eq!(tally.values().sum::<u64>(), 900);
                for name in SHOPS {
                    assert!((250..350).contains(&tally[name]), "{balance}: {tally:?}");
                }
            },
        );
    }
}

#[test]
fn a_sticky_channel_stays_with_one() {
    town(
        2,
        &SHOPS,
        |_, _| {},
        |books| {
            books.all_take(ms(1));
            assert_eq!(tally(&ShopClient::on(&channel()), 0..50).len(), 1);
        },
    );
}

#[test]
fn a_shop_that_gets_slow_gets_less_than_a_third_of_its_share() {
    town(
        3,
        &SHOPS,
        |_, _| {},
        |books| {
            books.all_take(ms(1));
            let shop = ShopClient::on(&channel_by(Balance::PeakEwma));
            tally(&shop, 0..300);
            books.takes("bert", ms(10));
            let now = tally(&shop, 1_000..1_900);
            let bert = now.get("bert").copied().unwrap_or_default();
            assert!((1..100).contains(&bert), "it is tried now and then: {now:?}");
            books.takes("bert", ms(1));
            tally(&shop, 2_000..3_500);
            let again = tally(&shop, 4_000..4_900);
            assert!(again["bert"] > 200, "it is back: {again:?}");
        },
    );
}

#[test]
fn among_many_callers_the_shop_with_fewer_calls_under_way_is_chosen() {
    town(
        4,
        &SHOPS,
        |_, _| {},
        |books| {
            books.all_take(ms(5));
            let shop = ShopClient::on(&channel_by(Balance::PeakEwma));
            for round in 0..20 {
                let calls: Vec<_> =
                    (0..6).map(|call| shop.start().sell(round * 10 + call)).collect();
                let mut tally = BTreeMap::<String, u64>::new();
                for call in calls {
                    *tally.entry(call.wait().unwrap()).or_default() += 1;
                }
                if round > 0 {
                    assert!(tally.values().all(|count| *count <= 3), "round {round}: {tally:?}");
                }
            }
        },
    );
}

#[test]
fn a_shop_that_dies_fails_no_call_that_was_safe_to_repeat_and_gets_none_after_its_lease() {
    for balance in [Balance::PeakEwma, Balance::RoundRobin, Balance::Random] {
        let plan = |control: &mut Control, town: &Town| {
            town.books.point_at("carl");
            let town = town.clone();
            control.at(at(1_000), move |control| town.crash(control));
        };
        let books = town(5, &SHOPS, plan, move |books| {
            books.all_take(ms(1));
            let shop = ShopClient::on(&channel_by(balance));
            for call in 0..2_000 {
                shop.look(call).unwrap();
            }
            let (mut before, mut after) = (0, 0);
            sleep_until(at(13_000)); // its lease is over
            for call in 5_000..5_600 {
                let sold = shop.sell(call).unwrap();
                before += u64::from(sold == "anna");
                after += u64::from(sold == "bert");
            }
            assert!(before > 200 && after > 200, "{balance}: {before} and {after}");
        });
        assert!(books.began(5_000).len() == 1);
    }
}

#[test]
fn a_shop_that_opens_gets_its_share_little_by_little() {
    let plan = |control: &mut Control, town: &Town| {
        town.books.point_at("carl");
        let (away, back) = (town.clone(), town.clone());
        control.at(at(100), move |control| away.crash(control));
        control.at(at(15_000), move |control| {
            control.restart(back.victim());
            back.open(control, "carl");
        });
    };
    town(6, &SHOPS, plan, |books| {
        books.all_take(ms(1));
        sleep_until(at(14_000)); // the lease of its former life is over
        let shop = ShopClient::on(&channel_by(Balance::RoundRobin));
        assert_eq!(tally(&shop, 0..100).len(), 2);
        sleep_until(at(15_500));
        let young = tally(&shop, 1_000..1_300)["carl"];
        assert!((1..60).contains(&young), "{young} of 300");
        sleep_until(at(27_000));
        let grown = tally(&shop, 2_000..2_300)["carl"];
        assert!((90..110).contains(&grown), "{grown} of 300");
    });
}

#[test]
fn calls_go_on_while_the_binder_is_dead_and_news_come_when_it_is_back() {
    let plan = |control: &mut Control, town: &Town| {
        let names = town.names;
        control.at(at(1_000), move |control| control.crash(names));
        let town = town.clone();
        town.books.point_at("anna");
        control.at(at(60_000), move |control| {
            control.restart(names);
            control.spawn(names, "main", false, || {
                let _running = daemon::start("sim://names", Leases::default()).unwrap();
                stay();
            });
        });
        control.at(at(80_000), move |control| town.crash(control));
    };
    town(7, &SHOPS, plan, |books| {
        books.all_take(ms(1));
        let shop = ShopClient::on(&channel_by(Balance::PeakEwma));
        tally(&shop, 0..100);
        sleep_until(at(30_000));
        let meanwhile = tally(&shop, 1_000..1_300);
        assert_eq!(meanwhile.len(), 3, "{meanwhile:?}");
        sleep_until(at(95_000));
        let after = tally(&shop, 2_000..2_100);
        assert_eq!(after.len(), 2, "anna is gone, and the binder said so: {after:?}");
    });
}

#[test]
fn a_shop_that_was_cut_off_is_tried_by_one_call_at_a_time_and_is_back_when_it_answers() {
    let plan = |control: &mut Control, town: &Town| {
        town.books.point_at("bert");
        let parts = town.clone();
        control.at(at(1_000), move |control| parts.part(control));
        control.at(at(8_000), |control| {
            control.net.mend_all();
        });
    };
    for balance in [Balance::PeakEwma, Balance::RoundRobin] {
        town(8, &SHOPS, plan, move |books| {
            books.all_take(ms(1));
            let channel = channel_by(balance).with(Options::new().timeout(ms(200)));
            let shop = ShopClient::on(&channel);
            assert_eq!(tally(&shop, 90_000..90_060).len(), 3);
            sleep_until(at(1_100));
            let (mut lost, mut calls) = (0, 0);
            while sim::now() < at(7_000) {
                lost += u32::from(shop.sell(calls).is_err());
                calls += 1;
            }
            assert!((1..12).contains(&lost), "{balance}: {lost} of {calls}");
            sleep_until(at(9_500));
            let _tries = shop.sell(10_000);
            let tally = tally(&shop, 20_000..20_300);
            assert!(tally["bert"] > 70, "{balance}: {tally:?}");
            let call = shop.start().sell(30_000);
            assert!(call.id().is_some(), "it is made where it was to be made");
            call.wait().unwrap();
        });
    }
}

#[test]
fn calls_that_a_full_shop_refuses_are_made_at_another_one() {
    let books = town_with(
        9,
        &SHOPS,
        |limits| {
            limits.calls_running_max = 1;
            limits.calls_queued_max = 1;
        },
        |_, _| {},
        |books| {
            books.all_take(ms(1));
            books.takes("carl", ms(400));
            let shop = ShopClient::on(&channel_by(Balance::RoundRobin));
            let held: Vec<_> = (0..6).map(|call| shop.start().sell(call)).collect();
            for call in 100..160 {
                shop.sell(call).unwrap();
            }
            held.into_iter().for_each(|call| drop(call.wait()));
        },
    );
    let carls = (100..160).filter(|call| books.began(*call).contains(&"carl")).count();
    assert!(carls < 10, "{carls} calls waited for carl");
}

#[test]
fn calls_of_one_key_go_to_one_shop_and_move_only_if_that_is_gone() {
    let plan = |control: &mut Control, town: &Town| {
        town.books.point_at("anna");
        let town = town.clone();
        control.at(at(2_000), move |control| town.crash(control));
    };
    town(10, &SHOPS, plan, |_| {
        let shop = ShopClient::on(&channel_by(Balance::Hash));
        let customers: Vec<_> = (0..60).map(|number| format!("customer {number}")).collect();
        let serves = |call| -> Vec<_> {
            customers.iter().map(|name| shop.serve(name, call).unwrap()).collect()
        };
        let before = serves(1);
        assert_eq!(before, serves(2), "whatever else a call says");
        for name in SHOPS {
            let count = before.iter().filter(|serves| *serves == name).count();
            assert!((8..35).contains(&count), "{name} serves {count} of 60");
        }
        sleep_until(at(15_000)); // its lease is over
        let after = serves(3);
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after || before == "anna", "{before} serves, and {after} then");
            assert_ne!(after, "anna");
        }
    });
}
