//! What the tests of the whole share: simulated campaigns and planted bugs. Start reading at
//! [`campaign`].

pub mod campaign;
pub mod planted;
