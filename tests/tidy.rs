//! Style as a test: reads `src/` and fails on what the house does not allow, so that it cannot rot unseen.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A room and what none of its files may name.
#[rustfmt::skip]
const ROOMS: &[(&str, &[&str])] = &[
    (
        "src/dcv",
        &[
            "crate::adapters", "crate::app", "crate::cli", "crate::config", "crate::demo", "crate::http", "crate::jobs",
            "crate::lifecycle", "crate::ports", "crate::render", "crate::store", "crate::telemetry", "tokio", "sqlx", "axum",
            "hickory", "lettre", "reqwest", "tracing", "getrandom", "std::fs", "std::net", "std::env", "std::process",
            "std::thread", "SystemTime", "Instant::now", "now_utc", "async fn", ".await", "println!", "eprintln!",
        ],
    ),
    (
        "src/ports.rs",
        &["sqlx", "axum", "hickory", "lettre", "reqwest", "crate::app", "crate::http", "crate::store", "crate::adapters"],
    ),
    (
        "src/adapters",
        &[
            "crate::app", "crate::http", "crate::jobs", "crate::store", "crate::render", "crate::config", "crate::cli",
            "sqlx", "axum",
        ],
    ),
    (
        "src/store",
        &[
            "crate::app", "crate::http", "crate::jobs", "crate::adapters", "crate::render", "crate::config", "crate::ports",
            "crate::cli",
        ],
    ),
    (
        "src/render",
        &["crate::app", "crate::http", "crate::jobs", "crate::adapters", "crate::store", "crate::config", "crate::cli"],
    ),
    (
        "src/app",
        &[
            "crate::http", "crate::jobs", "crate::adapters", "crate::config", "crate::cli", "axum", "sqlx", "hickory",
            "lettre", "reqwest",
        ],
    ),
    ("src/jobs", &["crate::http", "crate::adapters", "crate::config", "crate::cli", "crate::render", "sqlx", "axum"]),
    ("src/http", &["crate::adapters", "crate::jobs", "crate::config", "crate::cli", "sqlx", "lettre", "hickory", "reqwest"]),
    (
        "src/config",
        &[
            "crate::app", "crate::http", "crate::jobs", "crate::adapters", "crate::store", "crate::render", "crate::ports",
            "crate::cli",
        ],
    ),
    ("src/telemetry.rs", &["crate::app", "crate::http", "crate::jobs", "crate::store", "crate::adapters"]),
    ("src/lifecycle.rs", &["crate::app", "crate::http", "crate::jobs", "crate::store", "crate::adapters"]),
];

/// What no file may hold.
#[rustfmt::skip]
const NOWHERE: &[&str] = &["todo!", "unimplemented!", "FIXME", "// XXX", "dbg!", "#[ignore", "#[allow", "unsafe {"];

/// The only modules of the root, as DESIGN's house draws them.
#[rustfmt::skip]
const HOUSE: &[&str] = &[
    "adapters", "app", "cli", "config", "dcv", "demo", "http", "jobs", "lib.rs", "lifecycle.rs", "main.rs", "ports.rs",
    "render", "store", "telemetry.rs",
];

/// What may stand at the root of the repository, dotfiles aside.
#[rustfmt::skip]
const ROOT: &[&str] = &[
    "CHANGELOG.md", "Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "config", "docs", "migrations", "src", "systemd",
    "target", "templates", "tests",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(path: &Path, ending: &str) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).expect("the folder can be read").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file's lines with their numbers, tests and comments left out.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).expect("the file can be read");
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at + 1, line.to_owned()))
        .collect()
}

/// Whether a line names something, and not merely a longer word that holds it.
fn names(line: &str, what: &str) -> bool {
    line.match_indices(what).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + what.len()..].chars().next();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let starts = what.starts_with(|c: char| c.is_alphanumeric()) && word(before);
        let ends = what.ends_with(|c: char| c.is_alphanumeric()) && word(after);
        !starts && !ends
    })
}

#[test]
fn every_room_keeps_to_its_neighbours() {
    let mut wrong = Vec::new();
    for (room, forbidden) in ROOMS {
        for file in files(&root().join(room), "rs") {
            for (at, line) in code(&file) {
                for what in forbidden.iter().filter(|what| names(&line, what)) {
                    wrong.push(format!(
                        "{}:{at}: `{what}` may not be used in {room}",
                        file.strip_prefix(root()).unwrap().display()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_half_done_stands_anywhere() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests"] {
        for file in files(&root().join(folder), "rs").into_iter().filter(|file| !file.ends_with("tests/tidy.rs")) {
            let text = std::fs::read_to_string(&file).unwrap();
            for (at, line) in text.lines().enumerate() {
                wrong.extend(
                    NOWHERE
                        .iter()
                        .filter(|mark| line.contains(**mark))
                        .map(|mark| format!("{}:{}: {mark}", file.display(), at + 1)),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_house_has_the_rooms_that_are_drawn() {
    let found: BTreeSet<String> = std::fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, HOUSE.iter().map(|room| (*room).to_owned()).collect());
    for entry in std::fs::read_dir(root()).unwrap().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || ROOT.contains(&name.as_str()), "{name} has no place at the root");
    }
}

#[test]
fn the_core_cites_the_section_of_every_rule_it_fixes() {
    // Sections of the Baseline Requirements are cited in one grammar, so that they can be listed.
    let mut bare = Vec::new();
    for file in files(&root().join("src/dcv"), "rs") {
        let text = std::fs::read_to_string(&file).unwrap();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| line.contains("BR §") || line.contains("BRs §")) {
            bare.push(format!("{}:{}: cite as `BR v2.2.6 §…`: {line}", file.display(), at + 1));
        }
    }
    assert!(bare.is_empty(), "{}", bare.join("\n"));
}

#[test]
fn every_test_that_the_seeds_page_names_is_there() {
    let page = std::fs::read_to_string(root().join("docs/seeds.md")).unwrap();
    let named = page.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"));
    let mut count = 0;
    for (module, test) in named {
        let text = std::fs::read_to_string(root().join(format!("tests/it/{module}.rs"))).unwrap();
        assert!(text.contains(&format!("fn {test}(")), "{module}::{test}");
        count += 1;
    }
    assert!(count > 50, "{count}");
    for id in (1..=16).chain(20..=31).chain(40..=55).chain(60..=73).chain(80..=90) {
        assert!(page.contains(&format!("| R-{id:02} |")), "R-{id:02}");
    }
}

#[test]
fn files_stay_short_enough_to_read() {
    let long: Vec<_> = files(&root().join("src"), "rs")
        .into_iter()
        .map(|file| (std::fs::read_to_string(&file).unwrap().lines().count(), file))
        .filter(|(lines, _)| *lines > 700)
        .collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn the_default_configuration_names_no_registry_and_ships_no_secret() {
    let text = std::fs::read_to_string(root().join("config/default.toml")).unwrap();
    assert!(!text.lines().any(|line| line.starts_with("secret") || line.starts_with("token_sha256")));
}
