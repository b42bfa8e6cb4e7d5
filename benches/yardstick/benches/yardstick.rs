//! The command line: `cargo bench --manifest-path benches/yardstick/Cargo.toml -- latency`.

use std::process::ExitCode;

fn main() -> ExitCode {
    yardstick::main()
}
