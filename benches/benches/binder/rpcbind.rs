//! rpcbind: its process, on this machine's loopback only, and its protocol as far as a lookup needs it.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Trouble, real};

/// How long it may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// RFC 5531, section 9, and RFC 1833, section 3: a call of `GETPORT` of the portmapper, version 2.
const CALL: u32 = 0;
const RPC_VERSION: u32 = 2;
const PORTMAPPER: u32 = 100_000;
const PORTMAPPER_VERSION: u32 = 2;
const GETPORT: u32 = 3;
const UDP: u32 = 17;

/// A process that was started for this run.
#[derive(Debug)]
pub(crate) struct Rpcbind {
    child: Child,
    socket: UdpSocket,
}

impl Rpcbind {
    pub(crate) fn start() -> Result<Self, Trouble> {
        let mut command = Command::new("rpcbind");
        // In the foreground, at loopback addresses only: 127.0.0.1 it adds by itself, and falls over it when
        // it is named.
        command.args(["-f", "-h", "127.0.0.2"]).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect("127.0.0.1:111")?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let mut rpcbind = Self { child, socket };
        let started = Instant::now();
        while rpcbind.lookup(1).is_err() {
            if rpcbind.child.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                return Err(
                    "it does not start: port 111 may be taken, and only root can take it".into()
                );
            }
        }
        rpcbind.socket.set_read_timeout(Some(PATIENCE))?;
        Ok(rpcbind)
    }

    fn lookup(&self, number: u32) -> std::io::Result<()> {
        self.send(number)?;
        self.answer()
    }

    fn answer(&self) -> std::io::Result<()> {
        let mut buffer = [0; 64];
        let len = self.socket.recv(&mut buffer)?;
        let port = buffer[..len].last_chunk().map(|port| u32::from_be_bytes(*port));
        if port == Some(111) { Ok(()) } else { Err(std::io::Error::other("it named another port")) }
    }

    /// Lookups a second with so many under way.
    pub(crate) fn lookups(&self, together: usize, turn: Duration) -> Result<f64, Trouble> {
        let started = Instant::now();
        let (mut number, mut done) = (0_u32, 0);
        for _ in 1..together {
            number = number.wrapping_add(1);
            self.send(number)?;
        }
        while started.elapsed() < turn {
            number = number.wrapping_add(1);
            self.lookup(number)?; // one leaves, and the answer to one comes
            done += 1;
        }
        let rate = real(done) / started.elapsed().as_secs_f64();
        for _ in 1..together {
            self.answer()?;
        }
        Ok(rate)
    }

    fn send(&self, number: u32) -> std::io::Result<()> {
        let words = [
            number,
            CALL,
            RPC_VERSION,
            PORTMAPPER,
            PORTMAPPER_VERSION,
            GETPORT,
            0,
            0,
            0,
            0,
            PORTMAPPER,
            PORTMAPPER_VERSION,
            UDP,
            0,
        ];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        self.socket.send(&bytes).map(drop)
    }
}

impl Drop for Rpcbind {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _exit = self.child.wait();
    }
}
