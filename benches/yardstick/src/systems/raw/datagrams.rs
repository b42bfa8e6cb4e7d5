//! UDP: a datagram a message; many messages in one call of the system (GSO and GRO); and a stream of
//! bytes in such batches, with a window so that nothing is lost.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::SockRef;

use super::Wire;
use crate::system::{Result, SMALL_BYTES};

/// After how long without a word a datagram is taken for lost: figures with losses are none.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a socket may hold for a slow reader, if the system lets it.
const RECEIVE_BYTES: usize = 1 << 20;

/// One datagram a message.
pub(crate) struct Single {
    socket: UdpSocket,
    /// Not until the first datagram says who the other side is.
    is_connected: bool,
}

impl Single {
    pub(crate) fn listen(announce: &dyn Fn(&str)) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        announce(&socket.local_addr()?.to_string());
        Ok(Self { socket, is_connected: false })
    }

    pub(crate) fn connect(address: &str) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, is_connected: true })
    }
}

impl Wire for Single {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.send(bytes)?;
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.is_connected {
            return Ok(self.socket.recv(buffer)?);
        }
        let (len, peer) = self.socket.recv_from(buffer)?;
        self.socket.connect(peer)?;
        self.is_connected = true;
        Ok(len)
    }
}

/// Many datagrams of one size in a call of the system.
pub(crate) struct Segments {
    socket: UdpSocket,
    state: UdpSocketState,
    peer: Option<SocketAddr>,
    segment_bytes: usize,
}

/// The longest batch that the system takes: an IP packet's length is 16 bits.
const BATCH_BYTES_MAX: usize = 65_000;

impl Segments {
    fn new(socket: UdpSocket, peer: Option<SocketAddr>, segment_bytes: usize) -> Result<Self> {
        let sock = SockRef::from(&socket);
        sock.set_recv_buffer_size(RECEIVE_BYTES)?;
        sock.set_send_buffer_size(RECEIVE_BYTES)?;
        let state = UdpSocketState::new((&socket).into())?;
        socket.set_nonblocking(false)?;
        Ok(Self { socket, state, peer, segment_bytes })
    }

    pub(crate) fn listen(announce: &dyn Fn(&str)) -> Result<Self> {
        Self::listen_for(SMALL_BYTES, announce)
    }

    fn listen_for(segment_bytes: usize, announce: &dyn Fn(&str)) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?.to_string();
        let segments = Self::new(socket, None, segment_bytes)?;
        announce(&address);
        Ok(segments)
    }

    pub(crate) fn connect(address: &str) -> Result<Self> {
        Self::connect_for(SMALL_BYTES, address)
    }

    fn connect_for(segment_bytes: usize, address: &str) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Self::new(socket, Some(address.parse()?), segment_bytes)
    }

    /// Bytes that leave in one call of the system.
    fn batch_bytes(&self) -> usize {
        let segments = self.state.max_gso_segments();
        segments.min(BATCH_BYTES_MAX / self.segment_bytes) * self.segment_bytes
    }
}

impl Wire for Segments {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let destination = self.peer.ok_or("nobody has called yet")?;
        let segment_size = (bytes.len() > self.segment_bytes).then_some(self.segment_bytes);
        for contents in bytes.chunks(self.batch_bytes()) {
            let transmit =
                Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
            self.state.try_send((&self.socket).into(), &transmit)?;
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut meta = [RecvMeta::default()];
        self.state.recv((&self.socket).into(), &mut [IoSliceMut::new(buffer)], &mut meta)?;
        self.peer.get_or_insert(meta[0].addr);
        Ok(meta[0].len)
    }
}

/// A stream of bytes in segments, of which a window is under way.
pub(crate) struct Windowed {
    segments: Segments,
    batch: Vec<u8>,
}

/// Bytes of a datagram that every IPv6 link carries (RFC 8200, section 5).
const DATAGRAM_BYTES: usize = 1_280 - 40 - 8;

/// Batches that may be under way.
const WINDOW_BATCHES: usize = 2;

/// An acknowledgement: one for each batch that came.
const ACK: [u8; 1] = [1];

impl Windowed {
    fn new(segments: Segments) -> Self {
        Self { segments, batch: vec![0; 64 << 10] }
    }

    pub(crate) fn listen(announce: &dyn Fn(&str)) -> Result<Self> {
        Ok(Self::new(Segments::listen_for(DATAGRAM_BYTES, announce)?))
    }

    pub(crate) fn connect(address: &str) -> Result<Self> {
        Ok(Self::new(Segments::connect_for(DATAGRAM_BYTES, address)?))
    }

    fn await_ack(&mut self) -> Result<()> {
        self.segments.receive(&mut self.batch)?;
        Ok(())
    }
}

impl Wire for Windowed {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let mut unacknowledged = 0;
        for batch in bytes.chunks(self.segments.batch_bytes()) {
            if unacknowledged == WINDOW_BATCHES {
                self.await_ack()?;
                unacknowledged -= 1;
            }
            self.segments.send(batch)?;
            unacknowledged += 1;
        }
        while unacknowledged > 0 {
            self.await_ack()?;
            unacknowledged -= 1;
        }
        Ok(())
    }

    fn receive(&mut self, _buffer: &mut [u8]) -> Result<usize> {
        Err("comes whole only".into())
    }

    fn receive_all(&mut self, buffer: &mut [u8]) -> Result<()> {
        for batch in buffer.chunks_mut(self.segments.batch_bytes()) {
            let mut received = 0;
            while received < batch.len() {
                // Into memory of the longest batch: what the system joined must not be cut off.
                let len = self.segments.receive(&mut self.batch)?;
                let end = (received + len).min(batch.len());
                batch[received..end].copy_from_slice(&self.batch[..end - received]);
                received = end;
            }
            self.segments.send(&ACK)?;
        }
        Ok(())
    }
}
