//! A minimal server of tarpc.

use futures::StreamExt;
use tarpc::context::Context;
use tarpc::serde_transport::tcp;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;

#[tarpc::service]
trait Greeter {
    async fn greet(name: String) -> String;
}

#[derive(Clone)]
struct Polite;

impl Greeter for Polite {
    async fn greet(self, _: Context, name: String) -> String {
        format!("good day, {name}")
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut incoming = tcp::listen("127.0.0.1:7001", Bincode::default).await?;
    while let Some(transport) = incoming.next().await {
        let calls = BaseChannel::with_defaults(transport?).execute(Polite.serve());
        tokio::spawn(calls.for_each(|call| async {
            tokio::spawn(call);
        }));
    }
    Ok(())
}
