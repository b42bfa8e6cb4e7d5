//! What a stream was given to send and its socket did not take.
//!
//! Knows bytes; their bound is the owner's.

use std::io::{self, IoSlice};

use socket2::Socket;

/// Memory kept by a queue that is empty.
const KEPT_BYTES: usize = 16 * 1024;

/// Bytes that wait for room in a socket.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    sent: usize,
}

impl Queue {
    /// How many bytes wait.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.sent = 0;
    }

    /// Sends behind what waits already; what the socket does not take waits too.
    ///
    /// # Errors
    ///
    /// The stream is lost.
    pub(super) fn send(&mut self, socket: &Socket, [head, rest]: [&[u8]; 2]) -> io::Result<()> {
        let sent = match (self.is_empty(), rest) {
            (false, _) => 0,
            (true, []) => send_now(socket, head)?,
            (true, _) => send_both_now(socket, head, rest)?,
        };
        self.push(head.get(sent..).unwrap_or_default());
        self.push(rest.get(sent.saturating_sub(head.len())..).unwrap_or_default());
        Ok(())
    }

    /// Sends what waits, as far as the socket takes it.
    ///
    /// # Errors
    ///
    /// The stream is lost.
    pub(super) fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        while !self.is_empty() {
            match send_now(socket, &self.bytes[self.sent..])? {
                0 => return Ok(()),
                sent => self.sent += sent,
            }
        }
        self.clear();
        Ok(())
    }
}

const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// How many of the bytes the socket took, without waiting: none if it is full.
fn send_now(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    as_taken(|| socket.send_with_flags(bytes, FLAGS))
}

/// The same of bytes in two places.
fn send_both_now(socket: &Socket, head: &[u8], rest: &[u8]) -> io::Result<usize> {
    let both = [IoSlice::new(head), IoSlice::new(rest)];
    as_taken(|| socket.send_vectored_with_flags(&both, FLAGS))
}

fn as_taken(send: impl Fn() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        return match send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other,
        };
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    #[test]
    fn bytes_leave_in_order_whatever_the_socket_takes_at_once() {
        let (near, far) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let mut queue = Queue::default();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        for piece in bytes.chunks(70_001) {
            let (head, rest) = piece.split_at(piece.len() / 3);
            queue.send(&near, [head, rest]).unwrap();
        }
        assert!(queue.len() > 1_000_000, "the socket holds less");
        let mut come = Vec::new();
        let mut buffer = vec![0; 100_003];
        while come.len() < bytes.len() {
            let len = io::Read::read(&mut &far, &mut buffer).unwrap();
            come.extend_from_slice(&buffer[..len]);
            queue.flush(&near).unwrap();
        }
        assert!(come == bytes && queue.is_empty());
        assert!(queue.bytes.capacity() <= KEPT_BYTES, "{}", queue.bytes.capacity());
    }

    #[test]
    fn a_stream_that_nobody_holds_is_lost() {
        let (near, far) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        drop(far);
        assert!(Queue::default().send(&near, [b"x", b""]).is_err());
    }
}
