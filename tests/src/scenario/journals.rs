//! What a client's journal remembers of a story, and what its next life makes of it.

use rpc_runtime::client::journal::StartedCall;
use rpc_runtime::protocol::Outcome;
use rpc_runtime::sim::HostId;
use rpc_runtime::sim::checker::CallNumber;
use rpc_runtime::time::Duration;

use super::{Call, World, ms};

impl World {
    /// The calls without an end in a client's journal.
    ///
    /// # Panics
    ///
    /// The client keeps none.
    #[must_use]
    pub fn unfinished(&self, client: HostId) -> Vec<StartedCall> {
        self.with_client(client, |node, _| {
            let book = node.book().expect("it keeps a journal");
            book.ledger().open().cloned().collect()
        })
    }

    /// A user of a later life asks what became of a call, and waits for the answer.
    ///
    /// # Panics
    ///
    /// The answer does not come in time.
    pub fn learn(&mut self, call: Call, started: &StartedCall, within: Duration) -> Outcome {
        self.ask_later_life(call, started, within, false)
    }

    /// The same, and the call runs if it did not.
    ///
    /// # Panics
    ///
    /// As [`World::learn`].
    pub fn complete(&mut self, call: Call, started: &StartedCall, within: Duration) -> Outcome {
        self.ask_later_life(call, started, within, true)
    }

    fn ask_later_life(
        &mut self,
        call: Call,
        started: &StartedCall,
        within: Duration,
        completes: bool,
    ) -> Outcome {
        let number: CallNumber = call.number;
        assert!(started.arguments.starts_with(&number.to_le_bytes()), "it is that call");
        let answers = self.told(call).len();
        self.with_client(call.client, |node, now| {
            node.settle(now, number, started, (now + within, completes));
        });
        let limit = self.simulation.now() + within + ms(2);
        while self.told(call).len() == answers && self.simulation.now() < limit {
            self.run(ms(1));
        }
        self.told(call).into_iter().nth(answers).expect("a question ends in time").1
    }
}
