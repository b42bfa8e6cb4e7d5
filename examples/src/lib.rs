//! What the examples share. The programs themselves stand in `src/bin`: start with `bank_server`.

pub mod bank;
