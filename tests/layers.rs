//! The arrows of `docs/architecture.md` only point down, and the core names no I/O crate.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

/// Room, layer. A room may import rooms of its own layer or of one below, never of one above.
const ROOMS: &[(&str, u8)] = &[
    ("model", 0),
    ("view", 0),
    ("ownership", 0),
    ("plan", 0),
    ("spec", 0),
    ("split", 0),
    ("hostplan", 0),
    ("external", 0),
    ("dns", 1),
    // The engine drives the transport through its own types, so the transport stands below it.
    ("knot", 2),
    // The host engine drives the bus through its own types.
    ("resolved", 2),
    ("host", 3),
    ("zone", 3),
    ("source", 3),
    ("authority", 3),
    ("cluster", 3),
    ("agent", 4),
    ("metrics", 4),
    ("operator", 4),
    ("webhook", 4),
    ("cli", 4),
];

/// Words that must not stand in a layer's code: crate or module paths of I/O.
const FORBIDDEN_IN_CORE: &[&str] = &[
    "tokio",
    "domain::",
    "kube::",
    "zbus",
    "axum",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::env",
    "SystemTime::now",
    "Instant::now",
    // Scoped threads share out pure work and are allowed.
    "thread::spawn",
    "thread::sleep",
    "getrandom",
];
const FORBIDDEN_IN_PROTOCOL: &[&str] =
    &["tokio", "kube::", "zbus", "axum", "std::fs", "std::net::Tcp", "std::net::Udp", "SystemTime::now", "std::env"];

fn sources(dir: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            all.push(path);
        }
    }
}

/// The code of a file without comments and without its test module, which may use what it likes.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("\n#[cfg(test)]").next().unwrap_or("").to_owned();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn room_of(path: &Path, src: &Path) -> Option<String> {
    let inside = path.strip_prefix(src).unwrap();
    let mut parts = inside.components();
    let first = parts.next()?.as_os_str().to_str()?.to_owned();
    parts.next().map(|_| first)
}

#[test]
fn arrows_point_down_and_the_core_is_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        // Test modules may use what they like.
        let is_test = |part: &std::ffi::OsStr| part == "tests" || part.to_string_lossy().ends_with("tests.rs");
        if file.strip_prefix(&src).unwrap().iter().any(is_test) {
            continue;
        }
        let Some(room) = room_of(file, &src) else { continue };
        let Some((_, layer)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{}: the room `{room}` is not in tests/layers.rs", file.display()));
            continue;
        };
        let code = code(file);
        for (other, above) in ROOMS {
            // `crate::host` is not `crate::hostplan`.
            let is_room = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            let named = code.split(&format!("crate::{other}")).skip(1).any(is_room);
            if above > layer && named {
                wrong.push(format!("{}: `{room}` imports `{other}`, which stands above it", file.display()));
            }
        }
        let forbidden = match layer {
            0 => FORBIDDEN_IN_CORE,
            1 => FORBIDDEN_IN_PROTOCOL,
            _ => &[],
        };
        for word in forbidden {
            let domain_is_at_home = *word == "domain::" && room == "dns" && file.ends_with("tsig.rs");
            if code.contains(word) && !domain_is_at_home {
                wrong.push(format!("{}: layer {layer} must not name `{word}`", file.display()));
            }
        }
        if code.contains("domain::") && code.contains("use domain") && !file.ends_with("dns/tsig.rs") {
            wrong.push(format!("{}: only src/dns/tsig.rs imports the crate `domain`", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_file_grows_into_two_rooms() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["src", "tests", "benches"] {
        if root.join(dir).is_dir() {
            sources(&root.join(dir), &mut files);
        }
    }
    let long: Vec<String> = files
        .iter()
        .map(|file| (std::fs::read_to_string(file).unwrap().lines().count(), file))
        .filter(|(lines, _)| *lines > 560)
        .map(|(lines, file)| format!("{}: {lines} lines", file.display()))
        .collect();
    assert!(long.is_empty(), "files past about 500 lines, split them by meaning:\n{}", long.join("\n"));
}
