//! The rules of the house, checked: layers, headers, names, bans. No network, under a second; each
//! message is `file:line: what; do this`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Exceptions to the rules, each with its reason. The list may only shrink: an entry that is no
/// longer needed fails too.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_owned()
}

/// The folders of the workspace's members.
fn members() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace");
    let (_, list) = manifest.split_once("members = [").expect("a list of members");
    let (list, _) = list.split_once(']').expect("the list's end");
    let members: Vec<_> =
        list.split('"').skip(1).step_by(2).map(|member| member.to_owned()).collect();
    assert!(members.len() >= 8, "only {members:?}");
    members
}

/// Every Rust file of the project, by its path from the root.
fn sources() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for member in ["rpc-macros", "rpc-runtime", "rpc-binder", "examples", "tests", "benches"] {
        collect(&root().join(member), &mut files);
    }
    assert!(
        files.len() > 30,
        "tidy found only {} files: is it looking in the right place?",
        files.len()
    );
    files
}

fn collect(folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.strip_prefix(root()).expect("below the root");
            let name = name.to_str().expect("UTF-8 names").to_owned();
            files.insert(name, fs::read_to_string(&path).expect("a readable file"));
        }
    }
}

/// Fails with all findings at once, but for the listed exceptions.
fn report(rule: &str, findings: Vec<(String, String)>) {
    let listed: Vec<_> = EXCEPTIONS.iter().filter(|(of, ..)| *of == rule).collect();
    for (_, file, _) in &listed {
        assert!(
            findings.iter().any(|(found, _)| found == file),
            "{file} no longer breaks `{rule}`: remove its exception"
        );
    }
    let left: Vec<_> = findings
        .iter()
        .filter(|(file, _)| !listed.iter().any(|(_, listed, _)| listed == file))
        .map(|(_, text)| text.as_str())
        .collect();
    assert!(left.is_empty(), "{rule}:\n  {}", left.join("\n  "));
}

/// Files whose text is not Rust of ours to judge: inputs of the compile-fail and golden tests.
fn is_specimen(file: &str) -> bool {
    file.contains("/ui/") || file.contains("/golden/")
}

#[test]
fn every_file_opens_with_its_responsibility() {
    let findings = sources()
        .into_iter()
        .filter(|(file, text)| {
            !is_specimen(file) && !text.starts_with("//!") && !file.ends_with("tests.rs")
        })
        .map(|(file, _)| {
            (file.clone(), format!("{file}:1: no `//!`; say what the file is responsible for"))
        })
        .collect();
    report("header", findings);
}

/// The layer table of ARCHITECTURE.md: module → (layer, place in reading order).
fn layers() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut layers = BTreeMap::new();
    let rows = text.lines().skip_while(|line| !line.starts_with("| layer | modules"));
    for line in rows.skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let layer = cells[1].parse().expect("a layer number");
        for module in cells[2].split(',') {
            layers.insert(module.trim().trim_matches('`').to_owned(), layer);
        }
    }
    assert!(layers.len() > 15, "the layer table of ARCHITECTURE.md was not understood");
    layers
}

/// The layer of a file or of a path in a `use`, by its longest known module.
fn layer_of(path: &[&str], layers: &BTreeMap<String, u32>) -> Option<u32> {
    let two = path.get(..2).map(|parts| parts.join("::"));
    two.and_then(|name| layers.get(&name)).or_else(|| layers.get(*path.first()?)).copied()
}

#[test]
fn imports_go_downward_by_the_table_in_architecture_md() {
    let layers = layers();
    let mut findings = Vec::new();
    for (file, text) in sources() {
        let Some(inner) = file.strip_prefix("rpc-runtime/src/") else { continue };
        let path: Vec<_> = inner.trim_end_matches(".rs").split('/').collect();
        if path == ["lib"]
            || path == ["sim"]
            || path.last().is_some_and(|name| name.contains("tests"))
        {
            continue;
        }
        let Some(own) = layer_of(&path, &layers) else {
            findings
                .push((file.clone(), format!("{file}:1: in no layer; add it to ARCHITECTURE.md")));
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            if line.starts_with("#[cfg(test)]") {
                break;
            }
            let Some((_, after)) = line.split_once("crate::") else { continue };
            if line.trim_start().starts_with("//") {
                continue;
            }
            let used: Vec<_> = after
                .split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
                .next()
                .unwrap_or_default()
                .split("::")
                .filter(|part| !part.is_empty())
                .collect();
            if let Some(layer) = layer_of(&used, &layers)
                && layer > own
            {
                let number = number + 1;
                let what = used.join("::");
                findings.push((
                        file.clone(),
                        format!("{file}:{number}: layer {own} imports `{what}` of layer {layer}; turn the dependency round"),
                    ));
            }
        }
    }
    report("layers", findings);
}

#[test]
fn the_core_names_no_thread_lock_clock_file_or_socket() {
    let layers = layers();
    let banned = [
        "std::thread",
        "std::fs",
        "std::process",
        "std::env",
        "std::sync",
        "UdpSocket",
        "TcpStream",
        "SystemTime",
        "std::time::Instant",
        "thread_local!",
        "static mut",
    ];
    let mut findings = Vec::new();
    for (file, text) in sources() {
        let Some(inner) = file.strip_prefix("rpc-runtime/src/") else { continue };
        let path: Vec<_> = inner.trim_end_matches(".rs").split('/').collect();
        if layer_of(&path, &layers).is_none_or(|layer| layer > 2) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if line.starts_with("#[cfg(test)]") {
                break;
            }
            // What an `Arc` holds is shared and never written: no lock.
            if line == "use std::sync::Arc;" {
                continue;
            }
            for word in banned {
                if line.contains(word) && !line.trim_start().starts_with("//") {
                    let number = number + 1;
                    findings.push((
                        file.clone(),
                        format!("{file}:{number}: the core names `{word}`; make it an argument"),
                    ));
                }
            }
        }
    }
    report("core", findings);
}

#[test]
fn states_and_pdus_are_matched_without_a_wildcard() {
    let mut findings = Vec::new();
    for (file, text) in sources() {
        if !file.starts_with("rpc-runtime/src/protocol/") || file.contains("test") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if line.starts_with("#[cfg(test)]") {
                break;
            }
            if line.trim_start().starts_with("_ =>") || line.contains("| _ =>") {
                let number = number + 1;
                findings.push((
                    file.clone(),
                    format!("{file}:{number}: a wildcard arm; name what it stands for"),
                ));
            }
        }
    }
    report("wildcards", findings);
}

#[test]
fn integer_constants_of_the_core_end_in_their_unit() {
    let units = [
        "_BYTES",
        "_MS",
        "_US",
        "_MAX",
        "_PPM",
        "_BITS",
        "_SLOTS",
        "_COUNT",
        "_TRIES",
        "_PERCENT",
        "LEN",
        "_VERSION",
        "_MIN",
        "_FLAG",
        "_MASK",
        "_DATAGRAMS",
        "_FRAGMENTS",
        "_PARTS",
        "_CALLS",
        "_SESSIONS",
        "_LEVELS",
        "_S",
        "_NONE",
        "_ROUNDS",
        "_SHIFT",
        "_KIND",
        "_INDEX",
        "_CODE",
    ];
    let layers = layers();
    let mut findings = Vec::new();
    for (file, text) in sources() {
        let Some(inner) = file.strip_prefix("rpc-runtime/src/") else { continue };
        let path: Vec<_> = inner.trim_end_matches(".rs").split('/').collect();
        if layer_of(&path, &layers).is_none_or(|layer| layer > 3) || file.contains("test") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if line.starts_with("#[cfg(test)]") {
                break;
            }
            let Some((_, after)) = line.split_once("const ") else { continue };
            let Some((name, rest)) = after.split_once(':') else { continue };
            let integer = ["u8", "u16", "u32", "u64", "usize", "i32", "i64"]
                .iter()
                .any(|kind| rest.trim_start().split([' ', ';', '=']).next() == Some(kind));
            let shouting =
                name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            // `BYTES` of a field is its unit itself.
            if integer
                && shouting
                && name != "BYTES"
                && !units.iter().any(|unit| name.ends_with(unit))
            {
                let number = number + 1;
                findings.push((
                    file.clone(),
                    format!("{file}:{number}: `{name}` does not end in a unit; add it"),
                ));
            }
        }
    }
    report("units", findings);
}

/// Rows of all `| offset | bytes | …` tables of a text, by the heading or struct they stand under.
fn layout_tables(text: &str, prefix: &str) -> Vec<String> {
    let mut tables = Vec::new();
    let mut current: Option<Vec<String>> = None;
    for line in text.lines() {
        let line =
            line.trim_start().strip_prefix(prefix).unwrap_or_else(|| line.trim_start()).trim();
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let is_row = line.starts_with('|');
        match (&mut current, is_row) {
            (None, true) if cells.first() == Some(&"offset") && cells.get(1) == Some(&"bytes") => {
                current = Some(Vec::new());
            }
            (Some(rows), true) => {
                if !cells[0].contains("--") {
                    rows.push(cells.join("|"));
                }
            }
            (Some(rows), false) => {
                tables.push(rows.join("\n"));
                current = None;
            }
            (None, _) => {}
        }
    }
    tables.extend(current.map(|rows| rows.join("\n")));
    tables
}

#[test]
fn layout_tables_of_the_document_equal_those_in_the_code() {
    let document = fs::read_to_string(root().join("docs/protocol.md")).expect("docs/protocol.md");
    let documented = layout_tables(&document, "");
    let mut findings = Vec::new();
    let mut coded = 0;
    for (file, text) in sources() {
        if !file.starts_with("rpc-runtime/src/wire") {
            continue;
        }
        for table in layout_tables(&text, "///") {
            coded += 1;
            if !documented.contains(&table) {
                findings.push((
                    file.clone(),
                    format!("{file}: a layout is not in docs/protocol.md; copy it there:\n{table}"),
                ));
            }
        }
    }
    assert!(coded >= 18, "only {coded} layout tables in wire/");
    report("layouts", findings);
}

#[test]
fn members_inherit_the_lints_and_nothing_is_left_unfinished() {
    let mut findings = Vec::new();
    for member in members() {
        let manifest =
            fs::read_to_string(root().join(&member).join("Cargo.toml")).expect("a manifest");
        if !manifest.contains("[lints]\nworkspace = true") {
            findings.push((
                member.clone(),
                format!("{member}/Cargo.toml: add `[lints] workspace = true`"),
            ));
        }
    }
    let unfinished = ["FIX".to_owned() + "ME", "TO".to_owned() + "DO", "XX".to_owned() + "X"];
    for (file, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            if unfinished.iter().any(|mark| line.contains(mark.as_str())) {
                let number = number + 1;
                findings.push((file.clone(), format!("{file}:{number}: unfinished; finish it")));
            }
        }
    }
    report("finished", findings);
}

#[test]
fn the_map_names_every_file_of_the_runtime_and_its_links_resolve() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut findings = Vec::new();
    for word in map.split('`') {
        let looks_like_path = word.contains('/') && !word.contains(' ') && !word.contains("::");
        if looks_like_path {
            let places = ["", "rpc-runtime/src/", "rpc-binder/src/"];
            if !places.iter().any(|place| root().join(place).join(word).exists()) {
                findings.push((
                    word.to_owned(),
                    format!("ARCHITECTURE.md: `{word}` does not exist; mend the map"),
                ));
            }
        }
    }
    report("map", findings);
}

#[test]
fn every_planted_bug_still_finds_its_place() {
    let bugs = rpc_tests::planted::all().expect("readable bugs");
    let rules = rpc_tests::planted::rules().expect("readable rules");
    assert!(bugs.len() >= 20, "only {} planted bugs", bugs.len());
    assert!(rules.len() >= 15, "only {} rules", rules.len());
    for bug in bugs.into_iter().chain(rules) {
        if let Err(error) = bug.check() {
            panic!("{error}");
        }
    }
}
