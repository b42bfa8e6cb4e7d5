//! `rpc-binder key`: files with keys.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rpc_runtime::binder::Key;
use rpc_runtime::{Exit, scheme};

use crate::command::{NO, Outcome};
use crate::render::clean;

/// Writes a new key to a new file; gives what is to be said of it.
pub(crate) fn new(path: &Path, json: bool) -> Outcome<String> {
    let key = Key::draw(&mut *scheme::here()?.rng());
    let shown = path.display().to_string();
    let failed = |error| Exit::failure(NO, format!("{}: {error}", clean(&shown)));
    // One that is there is somebody's.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(failed)?;
    file.write_all(format!("{}\n", key.to_secret_text()).as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let id = key.id();
    if json {
        let file = serde_json::to_string(&shown).expect("a text becomes JSON");
        return Ok(format!("{{\"key\":\"{id:016x}\",\"file\":{file}}}\n"));
    }
    Ok(format!("key {id:016x} in {}\n", clean(&shown)))
}
