//! What a framework brings along: crates, the size of a minimal server, the time to build it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use std::collections::BTreeSet;

use serde::Serialize;

use crate::cli::Common;
use crate::system::Result;
use crate::table::{self, Row, number};

/// The minimal servers below `servers/`: the system, and the crate that its users name.
const SERVERS: [(&str, &str); 5] = [
    ("rpc", "rpc-runtime"),
    ("tarpc", "tarpc"),
    ("tonic", "tonic"),
    ("capnp", "capnp-rpc"),
    ("ttrpc", "ttrpc"),
];

#[derive(Serialize)]
struct Line {
    system: &'static str,
    crates: usize,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_seconds: Option<f64>,
}

impl Row for Line {
    const HEADER: &'static [&'static str] =
        &["SYSTEM", "crates", "server KiB, stripped", "clean build s"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.system.to_owned(),
            self.crates.to_string(),
            number(self.bytes as f64 / 1024.0, 0),
            self.build_seconds.map_or_else(String::new, |seconds| number(seconds, 1)),
        ]
    }
}

pub(crate) fn run(common: &Common, build: bool) -> Result<()> {
    let kept = tempfile::tempdir()?;
    let mut lines = Vec::new();
    for (system, of) in SERVERS {
        if !common.wants(system) {
            continue;
        }
        let package = format!("server-{system}");
        // Without `--build` crates that several servers need are built once.
        let clean = if build { Some(tempfile::tempdir()?) } else { None };
        let target = clean.as_ref().unwrap_or(&kept).path();
        let begun = Instant::now();
        let bytes = built(&package, target)?;
        lines.push(Line {
            system,
            crates: crates(&package, of)?,
            bytes,
            build_seconds: build.then(|| begun.elapsed().as_secs_f64()),
        });
    }
    table::show(common.json, "what a minimal server takes", &lines);
    Ok(())
}

fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    cargo
}

/// Builds the server, and says how large it is.
fn built(package: &str, target: &Path) -> Result<u64> {
    let mut cargo = cargo();
    cargo.args(["build", "--quiet", "--profile", "size", "--package", package, "--target-dir"]);
    if !cargo.arg(target).status()?.success() {
        return Err(format!("{package} cannot be built").into());
    }
    let program: PathBuf = [target, Path::new("size"), Path::new(package)].iter().collect();
    Ok(fs::metadata(program)?.len())
}

/// Crates that the crate `of` needs, itself among them, with the features that the server asks for.
fn crates(package: &str, of: &str) -> Result<usize> {
    let mut cargo = cargo();
    cargo.args(["tree", "--quiet", "--edges", "normal", "--prefix", "depth", "--format", " {p}"]);
    let output = cargo.args(["--no-dedupe", "--package", package]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(below(&String::from_utf8(output.stdout)?, of).len())
}

/// The lines of a tree at or below those of the crate `of`: `DEPTH NAME VERSION …`.
fn below<'t>(tree: &'t str, of: &str) -> BTreeSet<&'t str> {
    let mut found = BTreeSet::new();
    let mut root = None;
    for line in tree.lines() {
        let Some((depth, name)) = line.split_once(' ') else { continue };
        let Ok(depth) = depth.parse::<u32>() else { continue };
        if root.is_some_and(|root| depth <= root) {
            root = None;
        }
        if root.is_none() && name.split(' ').next() == Some(of) {
            root = Some(depth);
        }
        if root.is_some() {
            found.insert(name.trim_end_matches(" (*)").trim_end_matches(" (proc-macro)"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_counted_once_and_what_the_server_alone_needs_is_not() {
        let tree =
            "0 server v1\n1 ours v1\n2 libc v1\n2 serde v1\n3 libc v1\n1 clap v4\n2 strsim v1\n";
        assert_eq!(below(tree, "ours"), BTreeSet::from(["libc v1", "ours v1", "serde v1"]));
    }
}
