//! What the tests of the whole share: simulated campaigns, planted bugs, processes of storms, an etcd, stories, a shop to look at, and transports. Start reading
//! at [`campaign`].

pub mod campaign;
pub mod etcd;
pub mod planted;
pub mod processes;
pub mod scenario;
pub mod shop;
pub mod transports;
