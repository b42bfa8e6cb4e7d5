//! A module of the user's that is called `core`, with parts that are called as its are.

/// Not `core::result`.
pub mod result {
    /// What a call asks for.
    pub const VERSION: u32 = 40;
}
