//! A raw UDP echo: blocking sockets at both ends, and a process of its own like the contestants.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::Trouble;

/// What goes there and back: as much as a short lookup.
const BYTES: usize = 64;
/// How long an echo may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The end that calls.
#[derive(Debug)]
pub(crate) struct Echo {
    child: Child,
    socket: UdpSocket,
}

/// The end that echoes, until its input ends.
pub(crate) fn serve() -> Result<(), Trouble> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    println!("{}", socket.local_addr()?);
    thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _who_asked_may_be_gone = socket.send_to(&buffer[..len], from);
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

impl Echo {
    pub(crate) fn start() -> Result<Self, Trouble> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.arg("echo").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        let out = child.stdout.take().ok_or("the echo has no output")?;
        BufReader::new(out).read_line(&mut address)?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(address.trim())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { child, socket })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn call(&self) -> Result<u64, Trouble> {
        let mut buffer = [0; BYTES];
        self.socket.send(&buffer)?;
        self.socket.recv(&mut buffer)?;
        Ok(1)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _exit = self.child.wait();
    }
}
