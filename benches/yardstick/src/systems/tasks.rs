//! What the asynchronous peers share: a runtime of one thread at each end, which is the fastest for
//! one connection, and many calls under way in one task.

use std::time::Instant;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use crate::system::Result;

pub(crate) fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Listens on the loopback, and says where.
pub(crate) async fn listen_tcp(announce: &dyn Fn(&str)) -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(&listener.local_addr()?.to_string());
    Ok(listener)
}

pub(crate) async fn connect_tcp(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Keeps `outstanding` calls under way until `until`; how many ended.
pub(crate) async fn pump<F: Future<Output = Result<()>>>(
    outstanding: usize,
    until: Instant,
    mut call: impl FnMut() -> F,
) -> Result<u64> {
    let mut calls = 0;
    let mut under_way: FuturesUnordered<_> = (0..outstanding).map(|_| call()).collect();
    while let Some(ended) = under_way.next().await {
        ended?;
        calls += 1;
        if Instant::now() < until {
            under_way.push(call());
        }
    }
    Ok(calls)
}
