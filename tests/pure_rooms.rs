//! The pure rooms stay pure: facts in, decisions out. They know neither the server nor the script
//! engine, read no clock and start no thread, so that they can be tested by the million steps.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms that may not know of the others. One that does not exist yet is pure.
const PURE_ROOMS: [&str; 3] = ["stream", "keyspace", "persist"];

/// What is the business of other rooms, in code and in comments.
const FORBIDDEN: [&str; 15] = [
    "redis_module",
    "RedisModule",
    "v8::",
    "Instant",
    "SystemTime",
    "std::thread",
    "thread::spawn",
    "extern crate",
    "crate::host",
    "crate::engine",
    "crate::exec",
    "crate::commands",
    "crate::library",
    "crate::persist",
    "crate::cluster",
];

/// All Rust files below a folder.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a line has these words, and not just as a part of longer ones.
fn mentions(line: &str, words: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(words).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + words.len()..].chars().next();
        !before.is_some_and(is_part) && (words.ends_with(':') || !after.is_some_and(is_part))
    })
}

#[test]
fn the_pure_rooms_know_neither_server_nor_engine_nor_clock_nor_threads() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    for room in PURE_ROOMS {
        let folder = source.join(room);
        if folder.is_dir() {
            rust_files(&folder, &mut files);
        }
        let file = folder.with_extension("rs");
        if file.is_file() {
            files.push(file);
        }
    }
    assert!(files.iter().any(|file| file.ends_with("stream/mod.rs")));
    let mut impure = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("source files are text");
        for (number, line) in text.lines().enumerate() {
            for words in FORBIDDEN.iter().filter(|words| mentions(line, words)) {
                impure.push(format!("{}:{}: {words}", file.display(), number + 1));
            }
        }
    }
    assert!(
        impure.is_empty(),
        "not the business of a pure room:\n{}",
        impure.join("\n")
    );
}

#[test]
fn a_mention_is_a_word_and_no_part_of_one() {
    assert!(mentions("use std::time::{Duration, Instant};", "Instant"));
    assert!(mentions("    v8::Local::new(scope)", "v8::"));
    assert!(!mentions("/// Instantly.", "Instant"));
    assert!(!mentions("let not_redis_module = 1;", "redis_module"));
}

/// Rooms that may contain unsafe code, and must say why it is sound.
const UNSAFE_ROOMS: [&str; 2] = ["src/host/", "src/engine/v8/"];

#[test]
fn unsafe_code_is_in_the_rooms_for_it_and_nowhere_else() {
    let mut files = Vec::new();
    rust_files(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let stray = files.iter().filter(|file| {
        let path = file.to_string_lossy();
        let text = fs::read_to_string(file).expect("source files are text");
        !UNSAFE_ROOMS.iter().any(|room| path.contains(room))
            && text.lines().any(|line| mentions(line, "unsafe"))
    });
    assert_eq!(stray.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}
