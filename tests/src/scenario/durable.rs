//! What outlives the processes of a story: stores and their effects, addresses and who has them.

use rpc_runtime::protocol::{DurableRow, HandlerEnd};
use rpc_runtime::sim::HostId;
use rpc_runtime::sim::checker::CallNumber;
use rpc_runtime::sim::nodes::Disk;

use super::{Call, World};

impl World {
    /// A later life of a server, on the same store and at the same address, while the former one still
    /// runs and knows nothing of it.
    pub fn successor(&mut self, name: &str, former: HostId) -> HostId {
        let host = self.add_host(name);
        let plan = self.servers[&former].clone();
        let life = plan.life;
        self.servers.insert(host, plan);
        // A host counts its lives by itself: this one's are to be the later ones.
        while self.with(|control| control.incarnation(host)) < life {}
        self.place_server(host);
        self.with(|control| control.net.move_to(host, former));
        host
    }

    /// A client closes its connections, in good order.
    pub fn close(&mut self, client: HostId) {
        self.with_client(client, |node, now| node.machines().for_each(|one| one.close(now)));
    }

    /// From now on, a client is seen at another address, and does not know it.
    pub fn move_client(&mut self, client: HostId, place: &str) {
        let place = self.add_host(place);
        self.with(|control| control.net.move_to(client, place));
    }

    /// A host that says only what the story has it say: a copy of a machine, a stranger.
    pub fn puppet(&mut self, name: &str) -> HostId {
        self.add_host(name)
    }

    /// From now on, a server's handlers panic, or whatever else `end` says.
    pub fn handlers_end(&mut self, server: HostId, end: HandlerEnd) {
        self.servers[&server].tempers.now().end = end;
    }

    /// A server's store.
    #[must_use]
    pub fn disk(&self, server: HostId) -> Disk {
        self.servers[&server].disk.clone()
    }

    /// How often the call's effect is in a store.
    #[must_use]
    pub fn effects(&self, call: Call) -> u32 {
        let of_call = |(number, _): &(CallNumber, u32)| *number == call.number;
        self.all_effects().into_iter().filter(of_call).map(|(_, times)| times).sum()
    }

    /// What a server's store says of its clients' slots.
    #[must_use]
    pub fn rows(&self, server: HostId) -> Vec<DurableRow> {
        self.servers[&server].disk.rows()
    }
}
