//! Echoes: what a call costs that is nothing but system calls, with sockets that block and with
//! sockets that mio says are ready. Servers are threads, and stop when they are told to.

#![expect(clippy::disallowed_methods, reason = "a bench owns its threads")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::Stop;

/// Bytes of a null call, each way, without what the system adds: what the echoes send too.
pub const BYTES: usize = 96;

/// How often a server looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(200);

/// A caller of an echo.
pub trait Call {
    /// Calls, and waits for the echo.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn call(&mut self) -> io::Result<usize>;
}

/// A socket of any kind that is connected, and can be told how long to block.
trait Socket: AsRawFd + Send {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn blocks(&self, patience: Option<Duration>) -> io::Result<()>;
}

macro_rules! socket {
    ($type:ty, $receive:ident, $send:ident) => {
        impl Socket for $type {
            fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.$receive(buffer)
            }

            fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.$send(bytes)
            }

            fn blocks(&self, patience: Option<Duration>) -> io::Result<()> {
                self.set_nonblocking(patience.is_none())?;
                if patience.is_some() { self.set_read_timeout(patience) } else { Ok(()) }
            }
        }
    };
}

socket!(TcpStream, read, write);
socket!(UnixStream, read, write);

/// A UDP socket that sends to whoever it heard last, as a server does.
struct Datagrams {
    socket: UdpSocket,
    peer: Option<SocketAddr>,
}

impl AsRawFd for Datagrams {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Socket for Datagrams {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (len, from) = self.socket.recv_from(buffer)?;
        self.peer = Some(from);
        Ok(len)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send_to(bytes, self.peer.ok_or(io::ErrorKind::NotConnected)?)
    }

    fn blocks(&self, patience: Option<Duration>) -> io::Result<()> {
        self.socket.set_nonblocking(patience.is_none())?;
        if patience.is_some() { self.socket.set_read_timeout(patience) } else { Ok(()) }
    }
}

/// Two connected sockets: the server's and the client's.
fn pair(transport: &str, path: &Path) -> io::Result<(Box<dyn Socket>, Box<dyn Socket>)> {
    match transport {
        "udp" => {
            let [server, client] =
                [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
            let peer = Some(server.local_addr()?);
            let server = Datagrams { socket: server, peer: None };
            Ok((Box::new(server), Box::new(Datagrams { socket: client, peer })))
        }
        "tcp" => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let client = TcpStream::connect(listener.local_addr()?)?;
            let (server, _) = listener.accept()?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            Ok((Box::new(server), Box::new(client)))
        }
        _ => {
            let listener = UnixListener::bind(path)?;
            let client = UnixStream::connect(path)?;
            Ok((Box::new(listener.accept()?.0), Box::new(client)))
        }
    }
}

/// An echo whose both ends block in the read.
///
/// # Errors
///
/// What the system says.
pub fn raw(transport: &str, folder: &Path, stop: &Stop) -> io::Result<Box<dyn Call>> {
    let (mut server, client) = pair(transport, &folder.join("raw"))?;
    server.blocks(Some(LOOK))?;
    client.blocks(Some(Duration::from_secs(1)))?;
    let stop = stop.clone();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while !stop.is_set() {
            if let Ok(len @ 1..) = server.receive(&mut buffer) {
                let _ = server.send(&buffer[..len]);
            }
        }
    });
    Ok(Box::new(Raw(client)))
}

struct Raw(Box<dyn Socket>);

impl Call for Raw {
    fn call(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 2048];
        self.0.send(&buffer[..BYTES])?;
        self.0.receive(&mut buffer)
    }
}

/// An echo whose both ends ask mio first.
///
/// # Errors
///
/// What the system says.
pub fn mio(transport: &str, folder: &Path, stop: &Stop) -> io::Result<Box<dyn Call>> {
    let (server, client) = pair(transport, &folder.join("mio"))?;
    let (mut server, client) = (Polled::new(server)?, Polled::new(client)?);
    let stop = stop.clone();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while !stop.is_set() {
            let _ = server.poll.poll(&mut server.events, Some(LOOK));
            while let Ok(len @ 1..) = server.socket.receive(&mut buffer) {
                let _ = server.socket.send(&buffer[..len]);
            }
        }
    });
    Ok(Box::new(client))
}

struct Polled {
    socket: Box<dyn Socket>,
    poll: Poll,
    events: Events,
}

impl Polled {
    fn new(socket: Box<dyn Socket>) -> io::Result<Self> {
        socket.blocks(None)?;
        let poll = Poll::new()?;
        let descriptor = socket.as_raw_fd();
        poll.registry().register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE)?;
        Ok(Self { socket, poll, events: Events::with_capacity(8) })
    }
}

impl Call for Polled {
    fn call(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 2048];
        self.socket.send(&buffer[..BYTES])?;
        loop {
            self.poll.poll(&mut self.events, Some(Duration::from_secs(1)))?;
            match self.socket.receive(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}
