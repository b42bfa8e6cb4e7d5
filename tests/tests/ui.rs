//! What is said about mistakes in a `#[service]` trait: one mistake each under `ui/`, with the text
//! and the carets beside it, and many at once. What must compile is under `ui/pass`, in this crate.
//! `cargo x bless` rewrites the texts; read the diff.

use std::process::Command;

/// The compiler that worded the texts under `ui/types`.
const COMPILER: &str = "rustc 1.95.";

/// Mistakes that the macro tells, in its own words: the same under every compiler.
const THEMES: [&str; 6] =
    ["*", "interface/*", "methods/*", "parameters/*", "results/*", "options/*"];

/// One run for all files: nothing here compiles, so they are only checked, and together.
#[test]
fn each_mistake_is_told_at_the_token_to_change() {
    let cases = trybuild::TestCases::new();
    for theme in THEMES {
        cases.compile_fail(format!("tests/ui/{theme}.rs"));
    }
    let version = Command::new("rustc").arg("--version").output().expect("a compiler");
    if version.stdout.starts_with(COMPILER.as_bytes()) {
        cases.compile_fail("tests/ui/types/*.rs");
    }
}

/// What must compile, as part of this test.
#[path = "ui/pass"]
mod pass {
    mod colours;
    mod places;
    mod results;
}
