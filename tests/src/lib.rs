//! What the tests of the whole share: simulated campaigns, planted bugs, stories, and transports. Start reading
//! at [`campaign`].

pub mod campaign;
pub mod planted;
pub mod scenario;
pub mod transports;
