//! The service that takes messages, and the client that sends them: the same in both worlds.

use std::error::Error;
use std::time::Duration;

use rpc_runtime::driver::World;
use rpc_runtime::{CallError, Channel, Options, service};

use super::Cell;

/// No cell takes longer: stop-and-wait needs minutes where much is lost far away.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Takes parcels.
#[service(name = "lab.parcels", version = "1.0")]
pub(super) trait Parcels {
    /// Says how many bytes came.
    #[rpc(at_most_once, inline)]
    fn take(&self, parcel: &[u8]) -> Result<u64, CallError>;
}

/// Takes everything.
#[derive(Debug)]
pub(super) struct Depot;

impl Parcels for Depot {
    fn take(&self, parcel: &[u8]) -> Result<u64, CallError> {
        Ok(parcel.len() as u64)
    }
}

/// Sends the cell's messages one after another; gives how long they took by the world's clock.
pub(super) fn send(
    world: &dyn World,
    channel: &Channel,
    cell: &Cell,
    calls: usize,
) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    let options = Options::new().timeout(PATIENCE).ack(cell.protocol);
    let depot = ParcelsClient::on(&channel.with(options));
    let parcel = vec![0x5a; cell.bytes];
    depot.take(&[])?; // opens the session
    let started = world.now();
    for _ in 0..calls {
        if depot.take(&parcel)? != parcel.len() as u64 {
            return Err("a message came across in part".into());
        }
    }
    Ok(world.now().since(started))
}
