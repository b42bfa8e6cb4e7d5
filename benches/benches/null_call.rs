//! Null call.
fn main() {}
