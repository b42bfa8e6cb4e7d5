//! What the tests of the whole share: simulated campaigns, planted bugs, and stories. Start reading
//! at [`campaign`].

pub mod campaign;
pub mod planted;
pub mod scenario;
