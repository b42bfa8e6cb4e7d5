//! PostgreSQL: the promises of every store, and what only a database server can do to one.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::{Client, IsolationLevel, NoTls};
use rpc_runtime::store::postgres::Postgres;
use rpc_runtime::store::{Commit, Durable, Ended, Store, StoreErrorKind};

use crate::conformance::{self, Application, Place, call, outcome, world};
use crate::proxy::Proxy;
use crate::server::Server;
use crate::services;

#[test]
fn postgresql_keeps_all_promises() {
    // Nobody cuts the power here.
    let mut server = match Server::start(false) {
        Ok(server) => server,
        Err(why) => {
            assert!(std::env::var_os("RPC_TEST_POSTGRES").is_none(), "it is to be there: {why}");
            // Past the harness, which shows nothing of a test that passes.
            let _ = writeln!(io::stderr(), "PostgreSQL's tests are skipped: {why}");
            return;
        }
    };
    let config = server.config();
    let mut operator = Client::connect(&config, NoTls).unwrap();
    let accounts = "CREATE TABLE accounts (name text PRIMARY KEY, balance bigint NOT NULL)";
    operator.batch_execute(accounts).unwrap();

    let open = || Postgres::open(&config).unwrap();
    conformance::all(&Place { open, another: Some(&open) });
    one_in_the_way_of_another_runs_again(&open());
    let without_snapshots = open().isolation(IsolationLevel::ReadCommitted);
    without_snapshots_one_waits_for_another(&without_snapshots);
    a_failed_statement_is_never_committed(&open());
    a_broken_connection_is_lost_and_opened_again(open(), &mut operator);
    two_that_begin_at_once_are_two_lives(&open);
    let proxy = Proxy::before(&server);
    let store = Postgres::open(&proxy.config()).unwrap();
    services::a_commit_that_outlives_its_connection_is_not_denied(store, &proxy, &mut operator);
    services::a_database_that_goes_away_in_a_call_costs_time_only(open(), &mut server);
    drop(operator);
    a_database_that_goes_away_comes_back(open(), &mut server);
    drop(server);
    let refused = Postgres::open(&config).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::CannotOpen, "{refused}");
    let refused = Postgres::open("what is this").unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::CannotOpen, "{refused}");
}

fn one_in_the_way_of_another_runs_again(store: &Postgres) {
    let (sum, runs) = added_from_two_connections_at_once(store, "shared");
    assert_eq!(sum, u64::from(2 * TIMES), "{runs} runs");
}

fn without_snapshots_one_waits_for_another(store: &Postgres) {
    let (sum, runs) = added_from_two_connections_at_once(store, "shared, one after another");
    assert_eq!((sum, runs), (u64::from(2 * TIMES), 2 * TIMES));
}

/// How often each of two connections adds.
const TIMES: u32 = 20;

/// Adds one to an account many times; what is in it then, and how often a transaction ran for that.
fn added_from_two_connections_at_once(store: &Postgres, name: &str) -> (u64, u32) {
    let other = Postgres::open_config(store.config().clone()).unwrap();
    let other = other.isolation(store.isolation_level());
    let runs = AtomicU32::new(0);
    std::thread::scope(|threads| {
        for store in [store, &other] {
            let runs = &runs;
            threads.spawn(move || {
                for _ in 0..TIMES {
                    store
                        .transact(&mut |tx| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            let query = "SELECT balance FROM accounts WHERE name = $1";
                            // A handler that hides its database's errors: the promise holds.
                            let Ok(row) = tx.query_opt(query, &[&name]) else {
                                return Commit::Undo;
                            };
                            let balance = row.map_or(0_i64, |row| row.get(0)) + 1;
                            let put = "INSERT INTO accounts VALUES ($1, $2) \
                                ON CONFLICT (name) DO UPDATE SET balance = excluded.balance";
                            let _hidden = tx.execute(put, &[&name, &balance]);
                            Commit::Keep
                        })
                        .unwrap();
                }
            });
        }
    });
    let mut sum = 0;
    store
        .transact(&mut |tx| {
            sum = Postgres::balance(tx, name);
            Commit::Undo
        })
        .unwrap();
    (sum, runs.into_inner())
}

fn a_failed_statement_is_never_committed(store: &Postgres) {
    let error = store
        .transact(&mut |tx| {
            Postgres::set_balance(tx, "hidden", 1);
            let _hidden = tx.batch_execute("SELECT 1 / 0");
            Commit::Keep
        })
        .unwrap_err();
    assert!(!error.is_doubtful(), "{error}");
    // One that undoes after a failure is believed.
    store
        .transact(&mut |tx| {
            let _hidden = tx.batch_execute("SELECT 1 / 0");
            Commit::Undo
        })
        .unwrap();
    let mut balance = u64::MAX;
    store
        .transact(&mut |tx| {
            balance = Postgres::balance(tx, "hidden");
            Commit::Undo
        })
        .unwrap();
    assert_eq!(balance, 0);
    // In a batch, it fails alone.
    let bank = Durable::open(Postgres::open_config(store.config().clone()).unwrap(), world());
    let bank = bank.unwrap();
    std::thread::scope(|threads| {
        for index in 0..10 {
            let bank = &bank;
            threads.spawn(move || {
                let ended = bank.commit(move |tx| {
                    if index == 3 {
                        let _hidden = tx.batch_execute("SELECT 1 / 0");
                        return Commit::Keep;
                    }
                    call::<Postgres>(tx, 100 + index)
                });
                assert_eq!(ended.is_err(), index == 3, "{ended:?}");
            });
        }
    });
    for index in 0..10 {
        let expected = u64::from(index != 3);
        assert_eq!(outcome(store, 100 + index), (expected, expected));
    }
}

fn a_broken_connection_is_lost_and_opened_again(store: Postgres, operator: &mut Client) {
    let bank = Durable::open(store, world()).unwrap();
    for turn in 0..3_u32 {
        // The operator ends the connection: before the call, in it, or in one that undoes then.
        let config = bank.store().config().clone();
        let end_it = move |tx: &mut postgres::Transaction<'_>| {
            let id: i32 = tx.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
            let mut operator = config.connect(NoTls).unwrap();
            operator.execute("SELECT pg_terminate_backend($1, 5000)", &[&id]).unwrap();
        };
        let ended = bank.commit(move |tx| match turn {
            0 => {
                end_it(tx);
                Commit::Keep
            }
            1 => {
                Postgres::set_balance(tx, "lost", 1);
                end_it(tx);
                Commit::Undo
            }
            _ => {
                end_it(tx);
                call::<Postgres>(tx, 50)
            }
        });
        if turn == 2 {
            // A handler that does not expect it panics, which does not hide what happened.
            assert!(!matches!(ended, Ok(Ended::Kept | Ended::Undone)), "{ended:?}");
        } else {
            assert_eq!(ended.unwrap_err().kind(), StoreErrorKind::Lost);
        }
        assert!(matches!(bank.commit(move |tx| call::<Postgres>(tx, 60 + turn)), Ok(Ended::Kept)));
        assert_eq!(outcome(bank.store(), 60 + turn), (1, 1));
    }
    let all = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
               WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
    operator.query(all, &[]).unwrap();
    assert!(matches!(bank.commit(|tx| call::<Postgres>(tx, 70)), Ok(Ended::Kept)));
    operator.query(all, &[]).unwrap();
    let rows = rpc_runtime::store::Rows::of_all_clients();
    assert!(!bank.look(rows, 1).unwrap().is_empty());
}

fn two_that_begin_at_once_are_two_lives(open: &(impl Fn() -> Postgres + Sync)) {
    let mut lives: Vec<_> = std::thread::scope(|threads| {
        let begin = || Durable::open(open(), world()).unwrap().incarnation().0 >> 32;
        let threads: Vec<_> = (0..4).map(|_| threads.spawn(begin)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    lives.sort_unstable();
    assert!(lives.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{lives:?}");
}

fn a_database_that_goes_away_comes_back(store: Postgres, server: &mut Server) {
    let bank = Durable::open(store, world()).unwrap();
    assert!(matches!(bank.commit(|tx| call::<Postgres>(tx, 200)), Ok(Ended::Kept)));
    server.crash();
    let error = bank.commit(|tx| call::<Postgres>(tx, 200)).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Lost, "{error}");
    assert!(bank.look(rpc_runtime::store::Rows::of_all_clients(), 1).is_err());
    server.run().unwrap();
    assert_eq!(outcome(bank.store(), 200), (1, 1));
    assert!(matches!(bank.commit(|tx| call::<Postgres>(tx, 200)), Ok(Ended::Kept)));
    assert_eq!(outcome(bank.store(), 200), (2, 2));
}
