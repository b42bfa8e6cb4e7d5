//! The README, followed to the letter: its blocks make a new crate that compiles, runs and passes its
//! own test in the simulator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Most lines that the README's test in the simulator may have.
const TEST_LINES_MAX: usize = 20;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("it is where we are")
}

/// The README's blocks of one language, in order.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let fence = format!("```{language}\n");
    let begin = |part: &str| part.split("```").next().map(str::to_owned);
    readme.split(&fence).skip(1).filter_map(begin).collect()
}

/// Writes the crate that the README's reader has at the end of its four steps.
fn crate_of_the_reader() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("newcomer");
    fs::create_dir_all(root.join("src")).expect("a place to write");
    let here = repository();
    let dependencies = blocks("toml").concat().replace("../rpc/", &format!("{}/", here.display()));
    let manifest = format!(
        "[package]\nname = \"newcomer\"\nedition = \"2024\"\n\n{dependencies}\n[workspace]\n"
    );
    fs::write(root.join("Cargo.toml"), manifest).expect("written");
    fs::copy(here.join("Cargo.lock"), root.join("Cargo.lock")).expect("the same versions");
    fs::write(root.join("src/main.rs"), blocks("rust").concat()).expect("written");
    root
}

fn cargo(root: &Path, what: &str) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args([what, "--offline", "--quiet"]);
    command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("newcomer-target"));
    let output = command.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {what} in {}:\n{said}{complained}", root.display());
    assert!(!complained.contains("warning"), "cargo {what}:\n{complained}");
    said
}

#[test]
fn a_service_written_from_the_readme_alone_compiles_runs_and_passes_its_test() {
    let root = crate_of_the_reader();
    let said = cargo(&root, "run");
    assert_eq!(said, "paid, 70 left\nann Some(70), bob Some(30)\n");
    let said = cargo(&root, "test");
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
fn the_readmes_test_in_the_simulator_is_short() {
    let test = blocks("rust").into_iter().find(|block| block.starts_with("#[test]"));
    let lines = test.expect("a test").lines().count();
    assert!(lines <= TEST_LINES_MAX, "{lines} lines");
}
