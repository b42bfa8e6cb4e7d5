//! Disks that are full, journals that are open elsewhere, clocks that go back, machines that are
//! cloned.

use rpc_runtime::sim::SimDisk;
use rpc_runtime::{Channel, ErrorKind, Execution, Journal};

use super::till::{Shop, Till as _, TillClient, channel, ms, paid};

#[test]
fn a_call_that_cannot_be_recorded_is_not_made_and_says_why() {
    let shop = Shop::new(1);
    let disk = SimDisk::new(1, 1);
    shop.client("ann", move || {
        let (channel, journal) = channel(&disk);
        let till = TillClient::on(&channel);
        till.pay(1).unwrap();
        disk.set_room(100);
        let error = till.pay(2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::JournalFailed);
        assert_eq!(error.execution(), Execution::NotExecuted);
        assert!(error.to_string().contains("no room left"), "{error}");
        assert_eq!(paid(2), 0, "it was never sent");
        assert!(journal.stats().failed > 0);
        assert_eq!(channel.unfinished(), []);
        disk.set_room(1 << 20);
        till.pay(3).unwrap();
        assert_eq!([paid(1), paid(2), paid(3)], [1, 0, 1]);
    });
    shop.finish();
}

#[test]
fn a_journal_is_one_process_s_at_a_time() {
    let shop = Shop::new(2);
    let disk = SimDisk::new(2, 1);
    shop.client("ann", move || {
        let (_channel, journal) = channel(&disk);
        let error = Journal::on_disk(&disk).unwrap_err();
        assert!(error.to_string().contains("another process has the journal open"), "{error}");
        let other = Channel::connect("sim://till").unwrap().with_journal(&journal).unwrap();
        TillClient::on(&other).pay(1).unwrap();
    });
    shop.finish();
}

#[test]
fn within_a_process_channels_share_the_journal_at_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("till.journal");
    let connect = || Channel::connect("udp://127.0.0.1:9").unwrap().journal(&path);
    let (first, second) = (Journal::open(&path).unwrap(), connect().unwrap());
    assert_eq!(first.incarnation(), Journal::open(&path).unwrap().incarnation(), "one life");
    drop((first, second));
    let error = Channel::connect("udp://127.0.0.1:9").unwrap();
    let error = error.journal(folder.path().join("missing/till.journal")).unwrap_err();
    assert_eq!(
        (error.kind(), error.execution()),
        (ErrorKind::JournalFailed, Execution::NotExecuted)
    );
    assert!(error.to_string().contains("missing/till.journal"), "{error}");
    Journal::open(&path).unwrap();
}

#[test]
fn a_clock_that_was_set_back_changes_nothing() {
    let shop = Shop::new(3);
    let disk = SimDisk::new(3, 1);
    let ours = disk.clone();
    let client = shop.client("ann", move || {
        let (channel, _journal) = channel(&ours);
        let till = TillClient::on(&channel);
        for number in 0..1_000 {
            let _ended = till.pay(number);
        }
    });
    let day = ms(24 * 3_600 * 1_000);
    let far = rpc_runtime::time::Instant::START + day * 2;
    shop.simulation.with(|world| world.set_clock(client, far));
    shop.run_to(ms(50));
    let ours = disk.clone();
    shop.restart_client(client, &disk, move || {
        let (channel, _journal) = channel(&ours);
        for call in channel.unfinished() {
            channel.resolve(call.id()).unwrap();
        }
        TillClient::on(&channel).pay(5_000).unwrap();
        assert_eq!(paid(5_000), 1);
    });
    shop.simulation.with(|world| world.set_clock(client, rpc_runtime::time::Instant::START + day));
    shop.finish();
}

#[test]
fn a_cloned_machine_is_refused_the_original_s_replies() {
    // A payment of its own, and the very one that the original made.
    clone_pays(3, [1, 1, 0]);
    clone_pays(2, [1, 1, 0]);
}

fn clone_pays(number: u64, paid_in_the_end: [u64; 3]) {
    let shop = Shop::new(4);
    let disk = SimDisk::new(4, 1);
    let (ours, copied) = (disk.clone(), disk);
    shop.client("original", move || {
        let (channel, _journal) = channel(&ours);
        let till = TillClient::on(&channel);
        till.pay(1).unwrap();
        // The image is taken here; the original goes on.
        let clone = SimDisk::new(4, 2);
        let mut image = Vec::new();
        copied.damage(|bytes| image.clone_from(bytes));
        clone.damage(|bytes| *bytes = image);
        till.pay(2).unwrap();
        drop((till, channel));
        let journal = Journal::on_disk(&clone).unwrap();
        let channel = Channel::connect("sim://till").unwrap().with_journal(&journal).unwrap();
        let till = TillClient::on(&channel);
        let error = till.pay(number).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IdentityInUse, "{error}");
        assert_eq!(error.execution(), Execution::NotExecuted);
        assert_eq!([paid(1), paid(2), paid(3)], paid_in_the_end);
    });
    shop.finish();
}
