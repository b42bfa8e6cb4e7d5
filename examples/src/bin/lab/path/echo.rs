//! The raw echo: two threads that block in the same system calls, and nothing else.

#![expect(clippy::disallowed_methods, reason = "what is measured is real time, in own threads")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Instant;

use super::Transport;
use super::sample::Samples;

/// Bytes of a call on the wire beside its payload, about: of the REQUEST, the longer one.
pub(super) const BYTES: usize = 112;

/// Receives that find their datagram waiting, for the mean of one.
const RECEIVES: u32 = 2_000;

/// A connected socket.
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(bytes).map(drop),
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }

    /// All of a message; none at the end.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => match socket.recv(buffer)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(()),
            },
            Self::Tcp(stream) => stream.read_exact(buffer),
            Self::Unix(stream) => stream.read_exact(buffer),
        }
    }
}

fn pair(transport: Transport, folder: &Path) -> io::Result<[Socket; 2]> {
    match transport {
        Transport::Udp => {
            let [one, two] = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
            one.connect(two.local_addr()?)?;
            two.connect(one.local_addr()?)?;
            Ok([Socket::Udp(one), Socket::Udp(two)])
        }
        Transport::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let one = TcpStream::connect(listener.local_addr()?)?;
            let (two, _) = listener.accept()?;
            one.set_nodelay(true)?;
            two.set_nodelay(true)?;
            Ok([Socket::Tcp(one), Socket::Tcp(two)])
        }
        Transport::Unix => {
            let path = folder.join("raw");
            let listener = UnixListener::bind(&path)?;
            let one = UnixStream::connect(&path)?;
            Ok([Socket::Unix(one), Socket::Unix(listener.accept()?.0)])
        }
    }
}

/// A caller, and the thread that echoes.
pub(super) struct Echo {
    socket: Socket,
    buffer: Vec<u8>,
    /// Both ends of another pair, for one thread.
    alone: [Socket; 2],
}

impl Echo {
    /// Starts the thread, which ends with the caller.
    pub(super) fn new(transport: Transport, folder: &Path, bytes: usize) -> io::Result<Self> {
        let [socket, mut server] = pair(transport, folder)?;
        thread::spawn(move || {
            let mut buffer = vec![0; bytes];
            while server.receive(&mut buffer).is_ok() && server.send(&buffer).is_ok() {}
        });
        let alone_in = folder.join("alone");
        std::fs::create_dir(&alone_in)?;
        Ok(Self { socket, buffer: vec![0; bytes], alone: pair(transport, &alone_in)? })
    }

    /// Sends and waits for the echo, so many times, after one that is not timed.
    pub(super) fn call(&mut self, calls: u64, into: &mut Samples) -> io::Result<()> {
        self.echo()?;
        for _ in 0..calls {
            let started = Instant::now();
            self.echo()?;
            into.add_raw(started.elapsed());
        }
        Ok(())
    }

    fn echo(&mut self) -> io::Result<()> {
        self.socket.send(&self.buffer)?;
        self.socket.receive(&mut self.buffer)
    }

    /// How long a receive takes whose datagram waits already.
    pub(super) fn receive_ns(&mut self) -> io::Result<f64> {
        let [one, two] = &mut self.alone;
        let mut took = Vec::new();
        for _ in 0..RECEIVES {
            one.send(&self.buffer)?;
            let started = Instant::now();
            two.receive(&mut self.buffer)?;
            took.push(started.elapsed().as_secs_f64() * 1e9);
        }
        took.sort_unstable_by(f64::total_cmp);
        Ok(took[took.len() / 2])
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if let Socket::Udp(socket) = &self.socket {
            let _ = socket.send(&[]); // an empty datagram is the end, as a stream has one
        }
    }
}
