//! A call allocates nothing in the steady state, on neither side, over any transport: also where `tracing`
//! hands to `log` what nobody listens to, as it does in a tree of crates of which one wants that.

use std::error::Error;

use benches::Allocations;
use rpc_runtime::{CallError, Server, service};

#[global_allocator]
static ALLOCATIONS: Allocations = Allocations::new();

#[service(name = "bench.steady", version = "1.0")]
trait Steady {
    /// Does nothing.
    #[rpc(inline)]
    fn null(&self) -> Result<(), CallError>;
    /// Says how many bytes there are: borrowed where they arrived.
    #[rpc(inline)]
    fn count(&self, bytes: &[u8]) -> Result<u64, CallError>;
}

struct Here;

impl Steady for Here {
    fn null(&self) -> Result<(), CallError> {
        Ok(())
    }

    fn count(&self, bytes: &[u8]) -> Result<u64, CallError> {
        Ok(bytes.len() as u64)
    }
}

/// Calls before it is counted: tables and buffers have their sizes then.
const BEFORE: u32 = 2_000;
/// Calls while it is counted.
const COUNTED: u32 = 10_000;
/// What timers, keep-alives and other threads of the test may allocate meanwhile.
const BESIDE_MAX: u64 = 500;

#[test]
fn a_call_allocates_nothing_over_any_transport() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let place = folder.path().display();
    let urls = [
        "udp://127.0.0.1:0".to_owned(),
        "tcp://127.0.0.1:0".to_owned(),
        format!("unix://{place}/unix"),
        format!("shm://{place}/shm"),
        "mem://steady".to_owned(),
    ];
    for url in urls {
        let server = Server::bind(&url)?.export(SteadyService::new(Here)).spawn()?;
        let client = SteadyClient::connect(&server.url())?;
        let calls = |times: u32| -> Result<(), CallError> {
            for _ in 0..times {
                client.null()?;
                assert_eq!(client.count(&[7; 64])?, 64);
            }
            Ok(())
        };
        calls(BEFORE)?;
        let before = ALLOCATIONS.count();
        calls(COUNTED)?;
        let allocated = ALLOCATIONS.count() - before;
        assert!(allocated < BESIDE_MAX, "{url}: {allocated} for {} calls", 2 * COUNTED);
    }
    Ok(())
}
