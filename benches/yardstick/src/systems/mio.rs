//! An echo whose both ends ask mio first: what readiness costs by itself.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::raw::{self, Wire, WireCaller};
use crate::system::{Caller, Place, Result, System, Transport, Work};

pub(crate) struct Mio;

impl System for Mio {
    fn name(&self) -> &'static str {
        "mio"
    }

    fn speaks(&self, transport: Transport, work: Work) -> bool {
        matches!(transport, Transport::Udp | Transport::Tcp | Transport::Unix) && work == Work::Echo
    }

    fn serve(&self, at: Place<'_>, announce: &dyn Fn(&str)) -> Result<()> {
        let wire: Box<dyn Wire> = match at.transport {
            Transport::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                announce(&listener.local_addr()?.to_string());
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Box::new(Polled::new(stream)?)
            }
            Transport::Unix => {
                let listener = UnixListener::bind(at.path)?;
                announce(at.path);
                Box::new(Polled::new(listener.accept()?.0)?)
            }
            _ => {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                announce(&socket.local_addr()?.to_string());
                let (_, peer) = socket.peek_from(&mut [0])?;
                socket.connect(peer)?;
                Box::new(Polled::new(Datagrams(socket))?)
            }
        };
        raw::serve(wire, at.work)
    }

    fn connect(&self, transport: Transport, _work: Work, address: &str) -> Result<Box<dyn Caller>> {
        let wire: Box<dyn Wire> = match transport {
            Transport::Tcp => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Box::new(Polled::new(stream)?)
            }
            Transport::Unix => Box::new(Polled::new(UnixStream::connect(address)?)?),
            _ => {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                socket.connect(address)?;
                Box::new(Polled::new(Datagrams(socket))?)
            }
        };
        Ok(Box::new(WireCaller::new(wire)))
    }
}

/// A socket that does not block.
trait Socket: AsRawFd + Read + Write {
    fn never_block(&self) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn never_block(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

impl Socket for UnixStream {
    fn never_block(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

/// A connected UDP socket, read and written as if it were a stream.
struct Datagrams(UdpSocket);

impl AsRawFd for Datagrams {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer)
    }
}

impl Write for Datagrams {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Datagrams {
    fn never_block(&self) -> io::Result<()> {
        self.0.set_nonblocking(true)
    }
}

struct Polled<S> {
    socket: S,
    poll: Poll,
    events: Events,
}

impl<S: Socket> Polled<S> {
    fn new(socket: S) -> Result<Self> {
        socket.never_block()?;
        let poll = Poll::new()?;
        let descriptor = socket.as_raw_fd();
        poll.registry().register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE)?;
        Ok(Self { socket, poll, events: Events::with_capacity(8) })
    }
}

impl<S: Socket> Wire for Polled<S> {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.socket.write_all(bytes)?)
    }

    /// One read for each readiness: the next message, which nobody sends before it was answered, is a
    /// new one.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            self.poll.poll(&mut self.events, None)?;
            match self.socket.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return Ok(other?),
            }
        }
    }
}
