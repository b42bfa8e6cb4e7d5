//! A cell on loopback sockets, in real time, with the injector around both ends.

use std::error::Error;
use std::time::Duration;

use rpc_runtime::reactor::{self, Faulty};
use rpc_runtime::{Channel, Server};

use super::Cell;
use super::parcels::{Depot, ParcelsService, send};

/// Where the server listens: the system chooses the port.
const ANYWHERE: &str = "127.0.0.1:0";

/// How long the calls took.
pub(super) fn measure(cell: &Cell, calls: usize) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    // Each end sends through an injector of its own: a datagram suffers once.
    let at_server = Faulty::new(reactor::world(), cell.faults(), cell.seed);
    let at_client = Faulty::new(reactor::world(), cell.faults(), cell.seed.wrapping_add(1));
    let server = Server::bind_in(&at_server.world(), ANYWHERE)?;
    let running = server.export(ParcelsService::new(Depot)).spawn()?;
    let world = at_client.world();
    let url = running.url();
    let place = url.split_once("://").map_or(url.as_str(), |(_, place)| place);
    let channel = Channel::connect_in(&world, place)?;
    let took = send(&*world, &channel, cell, calls);
    running.stop();
    took
}
