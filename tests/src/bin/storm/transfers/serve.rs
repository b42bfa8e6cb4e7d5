//! The bank's server, as a process of its own.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use rpc_runtime::Server;
use rpc_runtime::store::postgres::Postgres;
use rpc_runtime::store::redb::Redb;
use rpc_runtime::store::{Durable, Store};

use super::StoreKind;
use super::bank::{BankService, Books, Open};
use crate::parts::{wait_for_end_of_input, world};

/// The bank's part.
#[derive(Args, Debug)]
pub(crate) struct BankPart {
    /// Port on the loopback address.
    #[arg(long)]
    at: String,
    /// What kind of store.
    #[arg(long, value_enum)]
    store: StoreKind,
    /// Where that is: a folder, or how to connect.
    #[arg(long)]
    place: String,
    /// Share of datagrams lost on sending.
    #[arg(long)]
    drop: f64,
    /// Seed of the losses.
    #[arg(long)]
    seed: u64,
}

/// Serves until killed.
pub(crate) fn serve(part: &BankPart) -> Result<(), Box<dyn Error>> {
    match part.store {
        StoreKind::Redb => serve_on(part, Redb::open(Path::new(&part.place))?),
        StoreKind::Postgres => serve_on(part, Postgres::open(&part.place)?),
    }
}

fn serve_on<S: Books + Store>(part: &BankPart, store: S) -> Result<(), Box<dyn Error>> {
    let store = Durable::start(store)?;
    let service = BankService::durable(&store, |tx, call| call.on(&Open::<S>::new(tx)));
    let server =
        Server::bind_in(&world(part.drop, part.seed), &part.at)?.export(service).spawn()?;
    println!("{}", server.url());
    io::stdout().flush()?;
    wait_for_end_of_input();
    Ok(())
}
