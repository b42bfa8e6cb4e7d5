//! Binder daemon.
fn main() {}
