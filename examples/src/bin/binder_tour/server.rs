//! A server's part: serves a shop, registers it, and ends when the tour does.

use std::error::Error;
use std::io;

use rpc_runtime::{Binder, Server};

use crate::ServerPart;
use crate::shop::{Keeper, first, second};

/// Calls that a shop serves at a time.
const WORKERS: usize = 32;

/// Prints where it serves once it can be found, and serves until nobody holds its standard input.
pub(crate) fn serve(part: &ServerPart) -> Result<(), Box<dyn Error>> {
    let keeper = Keeper::open(part.number, &part.ledger)?;
    let server = Server::bind("udp://127.0.0.1:0")?.workers(WORKERS);
    let server = match part.version.as_str() {
        "1.0" => server.export(first::ShopService::new(keeper)),
        "1.1" => server.export(second::ShopService::new(keeper)),
        other => return Err(format!("there is no shop {other}").into()),
    };
    let running = server.register(&Binder::at(&part.binder)?).spawn()?;
    println!("{}", running.url());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
