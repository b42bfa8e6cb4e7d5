//! Whatever crashes, in the end the client knows of each payment whether it was made, and it was
//! made once if it was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rpc_runtime::fault::Faults;
use rpc_runtime::sim::{SimDisk, sleep};
use rpc_runtime::{Execution, Journal, Resolution};

use super::till::{Shop, Till as _, TillClient, channel, ms, paid};

/// What a client's lives know of their payments; outlives them, as its owner would.
type Known = Arc<Mutex<BTreeMap<u64, Execution>>>;

/// A life: learns what became of the payments of those before, and makes `count` more.
fn live(disk: &SimDisk, known: &Known, first: u64, count: u64) {
    let (channel, journal) = channel(disk);
    for call in channel.unfinished() {
        let (number,) = call.arguments::<(u64,)>().unwrap();
        // A server that is down is asked again.
        let answer = loop {
            match channel.resolve(call.id()) {
                Ok(answer) => break answer,
                Err(error) => assert_eq!(error.execution(), Execution::Unknown, "{error}"),
            }
        };
        let execution = match answer {
            Resolution::Returned(reply) => {
                let total: Result<u64, rpc_runtime::CallError> = reply.decode();
                assert!(total.unwrap() > 0);
                Execution::Executed
            }
            Resolution::NotExecuted => Execution::NotExecuted,
            other => panic!("{other:?}"),
        };
        known.lock().unwrap().insert(number, execution);
    }
    // What had an end that was not told.
    for call in journal.calls() {
        let (number,) = call.arguments::<(u64,)>().unwrap();
        assert_eq!(call.method(), "till.pay");
        let mut known = known.lock().unwrap();
        if *known.get(&number).unwrap_or(&Execution::Unknown) == Execution::Unknown {
            known.insert(number, call.execution());
        }
    }
    let till = TillClient::on(&channel);
    let calls: Vec<_> =
        (first..first + count).map(|number| (number, till.start().pay(number))).collect();
    for (number, call) in calls {
        let execution = match call.wait() {
            Ok(_) => Execution::Executed,
            Err(error) => error.execution(),
        };
        known.lock().unwrap().insert(number, execution);
    }
    let doubtful = channel.unfinished();
    for call in doubtful {
        let (number,) = call.arguments::<(u64,)>().unwrap();
        if let Ok(answer) = channel.resolve(call.id()) {
            let ran = matches!(answer, Resolution::Returned(_));
            let execution = if ran { Execution::Executed } else { Execution::NotExecuted };
            known.lock().unwrap().insert(number, execution);
        }
    }
}

#[test]
fn after_all_crashes_every_payment_is_known_and_made_once_or_never() {
    let (mut resolved, mut made) = (0, 0);
    for seed in 0..60 {
        let shop = Shop::new(seed);
        shop.faults(Faults::default().loss(0.2).duplicate(0.2));
        let disk = SimDisk::new(seed, 1);
        disk.set_flush_takes(ms(1 + seed % 5));
        let known = Known::default();
        let life = |first, count| {
            let (disk, known) = (disk.clone(), Arc::clone(&known));
            move || live(&disk, &known, first, count)
        };
        let client = shop.client("ann", life(0, 12));
        shop.run_to(ms(3 + seed * 2));
        shop.restart_client(client, &disk, life(100, 12));
        if seed % 3 == 0 {
            shop.restart_till();
        }
        shop.run_to(ms(3 + seed * 2 + 40 + seed * 7 % 90));
        shop.restart_till();
        shop.restart_client(client, &disk, life(200, 5));
        shop.finish();
        // The last life had no crash: whatever it left in doubt, another one asks for.
        shop.faults(Faults::default());
        shop.restart_client(client, &disk, life(300, 1));
        shop.finish();
        let known = known.lock().unwrap().clone();
        let checked = Arc::new(Mutex::new((0, 0)));
        let sum = Arc::clone(&checked);
        shop.client("judge", move || {
            for number in (0..12).chain(100..112).chain(200..205).chain([300]) {
                let times = paid(number);
                let expected = match known.get(&number) {
                    Some(Execution::Executed) => 1,
                    // Not even recorded when its client died: it never left.
                    Some(Execution::NotExecuted) | None => 0,
                    Some(Execution::Unknown) => panic!("seed {seed}: {number} is not known"),
                };
                assert_eq!(times, expected, "seed {seed}: payment {number}, {known:?}");
                let mut sum = sum.lock().unwrap();
                sum.0 += u64::from(known.contains_key(&number) && number < 200);
                sum.1 += times;
            }
        });
        shop.finish();
        let (known, times) = *checked.lock().unwrap();
        resolved += known;
        made += times;
    }
    assert!(resolved > 400 && made > 500, "{resolved} {made}");
}

#[test]
fn sixty_four_callers_share_flushes() {
    let shop = Shop::new(1);
    let disk = SimDisk::new(1, 1);
    disk.set_flush_takes(ms(5));
    let ours = disk.clone();
    shop.client("ann", move || {
        let (channel, journal) = channel(&ours);
        let till = TillClient::on(&channel);
        till.pay(0).unwrap();
        let before = journal.stats();
        let calls: Vec<_> = (1..=64).map(|number| till.start().pay(number)).collect();
        for call in calls {
            call.wait().unwrap();
        }
        let after = journal.stats();
        assert_eq!(after.entries - before.entries, 128, "a start and an end each");
        let flushes = after.flushes - before.flushes;
        assert!(flushes <= 16, "{flushes} flushes for 64 calls at a time");
        assert_eq!(after.failed, 0);
        assert_eq!(journal.calls().len(), 65);
    });
    shop.finish();
}

#[test]
fn a_call_of_a_former_life_that_never_arrived_runs_only_if_that_is_wanted() {
    let shop = Shop::new(2);
    let disk = SimDisk::new(2, 1);
    let ours = disk.clone();
    let client = shop.client("ann", move || {
        let (channel, _journal) = channel(&ours);
        let till = TillClient::on(&channel);
        till.pay(0).unwrap();
        sleep(ms(100));
        let lost = till.start();
        let _ended = (lost.pay(1), lost.pay(2)).0.wait();
    });
    shop.run_to(ms(50));
    let till = shop.till;
    shop.simulation.with(|world| world.net.cut(client, till));
    shop.run_to(ms(500));
    shop.simulation.with(|world| world.net.mend(client, till));
    let ours = disk.clone();
    shop.restart_client(client, &disk, move || {
        let journal = Journal::on_disk(&ours).unwrap();
        let plain = rpc_runtime::Channel::connect("sim://till").unwrap();
        assert_eq!(plain.unfinished(), [], "without a journal");
        let channel = plain.with_journal(&journal).unwrap();
        let left = channel.unfinished();
        assert_eq!(left.len(), 2);
        for call in &left {
            let (number,) = call.arguments::<(u64,)>().unwrap();
            assert_eq!(paid(number), 0);
            let answer = channel.complete(call.id()).unwrap();
            assert!(matches!(answer, Resolution::Returned(_)), "{answer:?}");
            assert_eq!(paid(number), 1);
            assert_eq!(channel.resolve(call.id()).unwrap(), answer, "from the journal");
        }
        assert_eq!(channel.unfinished(), []);
    });
    shop.finish();
}
