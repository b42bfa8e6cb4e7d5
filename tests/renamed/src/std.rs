//! A module of the user's that is called `std`, with parts that are called as its are.

/// Not `std::sync`.
pub mod sync {
    /// What a call asks for.
    pub const VERSION: u32 = 2;
}
