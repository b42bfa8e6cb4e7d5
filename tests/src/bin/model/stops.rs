//! SEAL and CANCEL as an observer sees them: what they must bring about, whoever sent them.

use rpc_runtime::ids::{CallId, Space};
use rpc_runtime::wire::{Envelope, Pdu};

use crate::message::Message;
use crate::record::{Sentence, client_life_of_speaker};
use crate::sides::address;
use crate::steps::Step;

/// What a message to the server must bring about.
#[derive(Debug, Default)]
pub(crate) struct Must {
    /// An answer: a later life of the client asks in a session of a former one (H12).
    answer: bool,
    /// That this call never begins: it is called off before it came (H5).
    stop: Option<CallId>,
}

impl Step<'_> {
    /// What `message` must bring about, as things stand.
    pub(crate) fn must(&self, message: &Message) -> Must {
        let (envelope, pdu) = message.read();
        let (slot, sequence, stops) = if let Pdu::Seal(seal) = pdu {
            (seal.slot, seal.sequence, false)
        } else if let Pdu::Cancel(cancel) = pdu {
            (cancel.slot, cancel.sequence, true)
        } else {
            return Must::default();
        };
        if envelope.space != Space::Session || message.client() != address(0) {
            return Must::default();
        }
        let call = CallId { session: envelope.session, space: Space::Session, slot, sequence };
        let work = &self.state.rest.work;
        let in_slot = |other: CallId| (other.session, other.slot) == (call.session, call.slot);
        let queued = work.queued.iter().map(|call| call.ticket.call_id());
        let mut live = queued.chain(work.running.iter().map(|one| one.call.ticket.call_id()));
        let is_busy = live.any(in_slot);
        let opener = self.opener_of(&envelope);
        let speaker = client_life_of_speaker(&envelope);
        Must {
            answer: opener.is_some_and(|life| life < speaker && self.is_fenced(life)),
            stop: (stops && !is_busy && opener == Some(speaker)).then_some(call),
        }
    }

    /// The life of the client that opened a session which this life of the server still has.
    fn opener_of(&self, envelope: &Envelope) -> Option<u8> {
        let rest = &self.state.rest;
        rest.record.opener_of(rest.lives, envelope.session)
    }

    fn is_fenced(&self, life: u8) -> bool {
        let rest = &self.state.rest;
        rest.record.newest_life(rest.lives).is_some_and(|newest| newest > life)
    }

    /// The server has dealt with the message, and said `said` messages.
    pub(crate) fn hold_to(&mut self, must: &Must, said: usize) {
        if must.answer && said == 0 {
            self.broke(Sentence::HeirIsAnswered);
        }
        if let Some(call) = must.stop {
            self.state.rest_mut().record.on_called_off(call);
        }
    }
}
