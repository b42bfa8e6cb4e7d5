//! Planted bugs: small edits of the core, each of which breaks a sentence of the contract.
//!
//! A `.bug` file names the sentence, the file, the text to take out and the text to put in its
//! place; further edits follow behind a line of `===`. They are applied to a copy of the sources, so the core stays clean, and a bug whose text
//! is no longer found is an error: it must be planted anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One planted bug.
#[derive(Clone, Debug)]
pub struct Bug {
    /// Its file's name.
    pub name: String,
    /// The sentence of the contract that it breaks.
    pub breaks: String,
    /// The world of the model check in which it shows; empty where seeds find it.
    pub world: String,
    /// What it changes.
    pub edits: Vec<Edit>,
}

/// One change of a file.
#[derive(Clone, Debug)]
pub struct Edit {
    /// The file, from the root of the project.
    pub file: PathBuf,
    /// What stands there.
    pub old: String,
    /// What the bug makes of it.
    pub new: String,
}

/// The root of the project's sources.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root")
}

/// All planted bugs, by name.
///
/// # Errors
///
/// A file cannot be read, or is not of the form.
pub fn all() -> io::Result<Vec<Bug>> {
    read(&root().join("tests/planted"))
}

/// The rules of the protocol that can be switched off, by name: each as the bug that it prevents.
///
/// # Errors
///
/// A file cannot be read, or is not of the form.
pub fn rules() -> io::Result<Vec<Bug>> {
    read(&root().join("tests/planted/rules"))
}

fn read(folder: &Path) -> io::Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "bug") {
            bugs.push(parse(&path)?);
        }
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

fn parse(path: &Path) -> io::Result<Bug> {
    let text = fs::read_to_string(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let form = || io::Error::other(format!("{name}: not of the form breaks:, file:, ---, +++"));
    let field = |head: &str, key: &str| {
        head.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
    };
    let mut edits = Vec::new();
    for part in text.split("\n===\n") {
        let (head, edit) = part.split_once("\n---\n").ok_or_else(form)?;
        let (old, new) = edit.split_once("\n+++\n").ok_or_else(form)?;
        let file = field(head, "file:").ok_or_else(form)?;
        let new = new.trim_end_matches('\n').to_owned();
        edits.push(Edit { file: PathBuf::from(file), old: old.to_owned(), new });
    }
    Ok(Bug {
        breaks: field(&text, "breaks:").ok_or_else(form)?,
        world: field(&text, "world:").unwrap_or_default(),
        edits,
        name: name.clone(),
    })
}

impl Bug {
    /// Edits the copy of the sources in `sources`.
    ///
    /// # Errors
    ///
    /// A file cannot be edited, or a text to take out does not stand there exactly once.
    pub fn plant(&self, sources: &Path) -> Result<(), String> {
        for edit in &self.edits {
            let place = sources.join(&edit.file);
            let told = |error: io::Error| format!("{}: {error}", edit.file.display());
            let planted = self.edited(edit, &fs::read_to_string(&place).map_err(told)?)?;
            fs::write(&place, planted).map_err(told)?;
        }
        Ok(())
    }

    /// Whether it can be planted in the project as it stands.
    ///
    /// # Errors
    ///
    /// Says what is not found.
    pub fn check(&self) -> Result<(), String> {
        for edit in &self.edits {
            let source = fs::read_to_string(root().join(&edit.file));
            self.edited(edit, &source.map_err(|error| error.to_string())?)?;
        }
        Ok(())
    }

    /// Takes the bug out of the copy again.
    ///
    /// # Errors
    ///
    /// A file cannot be copied.
    pub fn uproot(&self, sources: &Path) -> io::Result<()> {
        for edit in &self.edits {
            fs::write(sources.join(&edit.file), fs::read(root().join(&edit.file))?)?;
        }
        Ok(())
    }

    fn edited(&self, edit: &Edit, source: &str) -> Result<String, String> {
        match source.matches(&edit.old).count() {
            1 => Ok(source.replacen(&edit.old, &edit.new, 1)),
            found => Err(format!(
                "{}: its text stands {found} times in {}; plant it anew",
                self.name,
                edit.file.display()
            )),
        }
    }
}

/// Builds the program `name` from a copy of the sources with the bug in it; gives its place.
///
/// # Errors
///
/// The bug does not find its place, or its sources do not build.
pub fn build(bug: &Bug, name: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let folder = root().join("target/planted");
    let (sources, target) = (folder.join("sources"), folder.join("build"));
    copy_sources(&sources)?;
    bug.plant(&sources)?;
    let built = cargo()
        .current_dir(&sources)
        .args(["build", "--quiet", "--release", "--locked", "--bin", name, "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "-Awarnings")
        // Each bug touches a line: what is built in pieces is built again in seconds.
        .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .status();
    bug.uproot(&sources)?;
    if !built?.success() {
        return Err("the sources with the bug do not build".into());
    }
    Ok(target.join("release").join(name))
}

/// The very `cargo` and `rustc` that built this program: whoever asked for another toolchain on the
/// way, be it a dependency with a `rust-toolchain` file of its own, is not heard.
#[must_use]
pub fn cargo() -> Command {
    let cargo = Path::new(env!("CARGO"));
    let mut command = Command::new(cargo);
    let rustc = cargo.with_file_name("rustc");
    if rustc.exists() {
        command.env("RUSTC", rustc);
    }
    command
}

/// Copies what the campaign is built from to `to`, so that bugs can be planted there.
///
/// # Errors
///
/// A file cannot be copied.
pub fn copy_sources(to: &Path) -> io::Result<()> {
    for file in ["Cargo.toml", "Cargo.lock", "clippy.toml", "README.md"] {
        fs::create_dir_all(to)?;
        fs::copy(root().join(file), to.join(file))?;
    }
    for member in ["rpc-macros", "rpc-runtime", "rpc-binder", "examples", "tests", "benches"] {
        copy_folder(&root().join(member), &to.join(member))?;
        prune(&root().join(member), &to.join(member))?;
    }
    Ok(())
}

/// Copies a folder; files that are equal already keep their time, so that nothing is built again.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
            if name != "target" {
                copy_folder(&path, &target)?;
            }
        } else if fs::read(&target).ok() != Some(fs::read(&path)?) {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Removes from the copy what the project no longer has.
fn prune(from: &Path, copy: &Path) -> io::Result<()> {
    for entry in fs::read_dir(copy)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        let original = from.join(name);
        match (path.is_dir(), original.exists()) {
            (true, true) => prune(&original, &path)?,
            (true, false) => fs::remove_dir_all(&path)?,
            (false, true) => {}
            (false, false) => fs::remove_file(&path)?,
        }
    }
    Ok(())
}
