//! A minimal server of Cap'n Proto.

#[path = "../../../src/systems/capnp/echo_capnp.rs"]
#[allow(clippy::all, unused, reason = "generated")]
mod echo_capnp;

use capnp::Error;
use capnp::capability::Rc;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::twoparty::VatNetwork;
use capnp_rpc::{RpcSystem, new_client};
use echo_capnp::echo;
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

struct Here;

impl echo::Server for Here {
    async fn echo(
        self: Rc<Self>,
        given: echo::EchoParams,
        mut back: echo::EchoResults,
    ) -> Result<(), Error> {
        back.get().set_bytes(given.get()?.get_bytes()?);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let serve = async {
        let here: echo::Client = new_client(Here);
        let listener = TcpListener::bind("127.0.0.1:7001").await?;
        loop {
            let (read, write) = listener.accept().await?.0.into_split();
            let network = VatNetwork::new(
                futures::io::BufReader::new(read.compat()),
                futures::io::BufWriter::new(write.compat_write()),
                Side::Server,
                capnp::message::ReaderOptions::new(),
            );
            spawn_local(RpcSystem::new(Box::new(network), Some(here.client.clone())));
        }
    };
    LocalSet::new().run_until(serve).await
}
