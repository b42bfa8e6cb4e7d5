//! TCP and Unix sockets: `write` and `read`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use super::Wire;
use crate::system::Result;

pub(crate) struct Stream<S>(S);

impl<S: Read + Write> Wire for Stream<S> {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.0.write_all(bytes)?)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Ok(self.0.read(buffer)?)
    }
}

pub(crate) fn accept_tcp(announce: &dyn Fn(&str)) -> Result<Stream<TcpStream>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    announce(&listener.local_addr()?.to_string());
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    Ok(Stream(stream))
}

pub(crate) fn connect_tcp(address: &str) -> Result<Stream<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(Stream(stream))
}

pub(crate) fn accept_unix(path: &str, announce: &dyn Fn(&str)) -> Result<Stream<UnixStream>> {
    let listener = UnixListener::bind(path)?;
    announce(path);
    Ok(Stream(listener.accept()?.0))
}

pub(crate) fn connect_unix(path: &str) -> Result<Stream<UnixStream>> {
    Ok(Stream(UnixStream::connect(path)?))
}
