//! The transports of the real world, behind the one seam of [`crate::driver::Link`].

pub mod udp;
