//! The reading end of a stream, and a stream's end.
//!
//! Puts pieces together to whole PDUs, finds that nobody is there, and tells who opened a stream that it
//! is no more. Does not know what is written, nor how it is cut.

use super::super::super::trace::{Event, Lost};
use super::super::{Flight, Landed, Ledger, Net};
use super::{PAUSE_MAX, PAUSE_MIN, Part, Stream, StreamId, Way};
use crate::address::Address;
use crate::random::Rng as _;
use crate::time::Duration;
use crate::wire::frames;

/// Reading.
impl Net {
    /// A piece has come: what it completes is handed on.
    pub(in crate::sim::net) fn read(
        &mut self,
        ledger: &mut Ledger<'_>,
        (id, way): (StreamId, Way),
        flight: Flight,
        is_there: impl FnOnce(Address) -> bool,
    ) -> Landed {
        let Flight { from, to, mut datagram, part } = flight;
        let stream = self.streams.open.get_mut(&id);
        let Some(stream) = stream.filter(|stream| !stream.is_lost(way)) else {
            self.counters.lost_with_stream += 1;
            ledger.record(&Event::Lost { from, to, why: Lost::Broken, datagram: &datagram });
            self.recycle(datagram);
            return Landed::Nothing;
        };
        if !stream.is_accepted && !is_there(to) {
            self.recycle(datagram);
            return self.end(ledger, id, self.latency);
        }
        stream.is_accepted = true;
        stream.is_heard |= way == Way::Down;
        let half = stream.half(way);
        half.under_way_bytes -= datagram.len();
        half.partial.extend_from_slice(&datagram);
        let whole = frames(&half.partial);
        let len = *whole.as_ref().unwrap_or_else(|(len, _)| len);
        datagram.clear();
        datagram.extend_from_slice(&half.partial[..len]);
        half.partial.drain(..len);
        if whole.is_err() {
            stream.is_ending = true;
            self.launch_end(ledger, id, ledger.now);
        }
        if len == 0 {
            self.recycle(datagram);
            return Landed::Nothing;
        }
        Landed::Datagram(Flight { from, to, datagram, part })
    }

    /// A stream is no more. Who opened it learns that when another one may be tried, and not before
    /// `after`.
    pub(in crate::sim::net) fn end(
        &mut self,
        ledger: &mut Ledger<'_>,
        id: StreamId,
        after: Duration,
    ) -> Landed {
        let Some(stream) = self.streams.open.remove(&id) else { return Landed::Nothing };
        self.streams.callers.remove(&stream.caller);
        if stream.is_left {
            return Landed::Nothing;
        }
        let (endpoint, place) = stream.dial;
        ledger.record(&Event::Broke { from: endpoint, to: place });
        match stream.is_accepted {
            true => self.counters.broken += 1,
            false => self.counters.not_opened += 1,
        }
        let dial = self.streams.dials.get_mut(&stream.dial);
        let Some(dial) = dial.filter(|dial| dial.stream == Some(id)) else {
            return Landed::Nothing; // it has crashed
        };
        let held = stream.is_heard && ledger.now - PAUSE_MAX >= stream.since;
        dial.pause = if held { Duration::ZERO } else { dial.pause.max(PAUSE_MIN / 2) * 2 };
        dial.pause = dial.pause.min(PAUSE_MAX);
        dial.stream = None;
        dial.not_before = ledger.now + dial.pause.max(after);
        if stream.is_accepted {
            let told = Flight { from: place, to: endpoint, datagram: Vec::new(), part: Part::Told };
            let due = ledger.order.due(dial.not_before);
            self.launch(due, told);
            self.leave(ledger, id, stream);
        }
        Landed::Nothing
    }

    /// A reset meets one end first: the other one may read on what has come to it, while the next stream
    /// is there already and overtakes it.
    fn leave(&mut self, ledger: &mut Ledger<'_>, id: StreamId, mut stream: Stream) {
        if stream.up.last <= ledger.now || !self.streams.rng.chance(0.5) {
            return;
        }
        (stream.is_left, stream.is_ending, stream.down.is_lost) = (true, true, true);
        let last = stream.up.last;
        self.streams.open.insert(id, stream);
        self.launch_end(ledger, id, last);
    }
}
