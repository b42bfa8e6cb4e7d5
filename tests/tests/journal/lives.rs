//! What a later life does about `at_most_once` calls of a former one, and which durable slots it has.

use rpc_runtime::client::Exterminated;
use rpc_runtime::sim::SimDisk;
use rpc_runtime::{Channel, Execution, Journal, Options, Resolution};

use super::till::{Shop, Till as _, TillClient, channel, ms};

#[test]
fn a_later_life_kills_what_a_former_one_left() {
    let shop = Shop::new(1);
    let disk = SimDisk::new(1, 1);
    let ours = disk.clone();
    let client = shop.client("ann", move || {
        let (channel, _journal) = channel(&ours);
        let till = TillClient::on(&channel.with(Options::new().journal_all(true)));
        till.open(1, 0).unwrap();
        let calls = (till.start().open(2, 100), till.start().open(3, 2_500));
        let _ended = (calls.0.wait(), calls.1.wait());
    });
    shop.run_to(ms(1_000));
    let ours = disk.clone();
    shop.restart_client(client, &disk, move || {
        let (channel, journal) = channel(&ours);
        assert_eq!(journal.calls().len(), 3, "two with an end");
        let left = channel.exterminate();
        assert_eq!(left.chains_missed(), 0);
        let [Exterminated { call, answer, .. }] = left.calls() else { panic!("{left:?}") };
        assert_eq!(
            (call.arguments::<(u64, u64)>(), call.method()),
            (Some((3, 2_500)), "till.open")
        );
        // It does not heed its cancellation, so it runs to its end, and is known to have.
        assert!(matches!(answer, Ok(Resolution::Returned(_))), "{answer:?}");
        assert_eq!(channel.unfinished(), []);
    });
    shop.finish();
    assert_eq!(*shop.opened.lock().unwrap(), [1, 2, 3]);
}

#[test]
fn what_the_server_s_former_life_knew_nobody_knows() {
    let shop = Shop::new(2);
    let disk = SimDisk::new(2, 1);
    let ours = disk.clone();
    let client = shop.client("ann", move || {
        let (channel, _journal) = channel(&ours);
        let till = TillClient::on(&channel.with(Options::new().journal_all(true)));
        let _ended = till.open(1, 2_000);
    });
    shop.run_to(ms(500));
    shop.restart_till();
    let ours = disk.clone();
    shop.restart_client(client, &disk, move || {
        let (channel, journal) = channel(&ours);
        let call = channel.unfinished().remove(0);
        let error = channel.resolve(call.id()).unwrap_err();
        assert_eq!(error.execution(), Execution::Unknown, "{error}");
        assert_eq!(channel.unfinished(), [], "asking again is of no use");
        assert_eq!(channel.resolve(call.id()).unwrap_err().kind(), error.kind());
        assert_eq!(journal.calls()[0].execution(), Execution::Unknown);
    });
    shop.finish();
}

#[test]
fn connections_of_a_process_use_different_slots_and_later_lives_the_same() {
    let shop = Shop::new(3);
    let disk = SimDisk::new(3, 1);
    let ours = disk.clone();
    let client = shop.client("ann", move || {
        let (channel, journal) = channel(&ours);
        // The same server, meant by its name too: a connection of its own.
        let till = TillClient::on(&channel);
        till.pay(1).unwrap();
        let server = journal.calls()[0].server();
        let world = rpc_runtime::sim::current_world().unwrap();
        let life = rpc_runtime::ids::Incarnation::NONE;
        let named = Channel::to(&world, "till", server, life).unwrap();
        let other = TillClient::on(&named.with_journal(&journal).unwrap());
        other.pay(2).unwrap();
        till.pay(3).unwrap();
        let names: Vec<_> = journal.calls().iter().map(|call| call.id().session).collect();
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), 2, "{names:?}");
    });
    shop.finish();
    let ours = disk.clone();
    shop.restart_client(client, &disk, move || {
        let journal = Journal::on_disk(&ours).unwrap();
        let before: Vec<_> = journal.calls().iter().map(|call| call.id().session).collect();
        let channel = Channel::connect("sim://till").unwrap().with_journal(&journal).unwrap();
        TillClient::on(&channel).pay(4).unwrap();
        let calls = journal.calls();
        let last = calls.iter().find(|call| call.arguments() == Some((4_u64,))).unwrap();
        assert!(before.contains(&last.id().session), "the slots go on");
        assert!(calls.iter().all(|call| call.execution() == Execution::Executed));
    });
    shop.finish();
}
