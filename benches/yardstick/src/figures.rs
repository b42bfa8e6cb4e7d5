//! The figures, one file each.

pub(crate) mod latency;
pub(crate) mod throughput;
pub(crate) mod bulk;
pub(crate) mod scale;
pub(crate) mod size;
pub(crate) mod counts;
