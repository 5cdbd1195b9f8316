//! `docs/security.md` is held to its word: every claim names tests, and every test that is named is there.

#![allow(clippy::panic, reason = "a test says what is wrong with the document")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file as the document names it: of the engine's sources, of a crate, or of the repository.
fn source(name: &str) -> Option<String> {
    let places = [format!("src-tauri/engine/src/{name}"), format!("src-tauri/{name}"), name.to_owned()];
    places.iter().find_map(|path| std::fs::read_to_string(root().join(path)).ok())
}

#[test]
fn every_claim_names_tests_that_are_there() {
    let document = read("docs/security.md");
    let (_, table) = document.split_once("## How each claim is tested").expect("the table");
    let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(rows.len() > 25, "{} claims", rows.len());
    let mut wrong = Vec::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        let [claim, tests] = cells[..] else { panic!("not two cells: {row}") };
        let mut file = String::new();
        let mut named = 0;
        for name in tests.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") {
                file = source(name).unwrap_or_else(|| panic!("{name} is not there: {claim}"));
            } else if name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            {
                named += 1;
                // A test has its attribute before it, whatever stands between.
                let at = file.find(&format!("fn {name}("));
                let before = at.map(|at| &file[..at]).unwrap_or_default();
                let is_test =
                    before.rfind("test").is_some_and(|test| before[test..].matches("\n").count() <= 4);
                if !is_test {
                    wrong.push(format!("{name}: {claim}"));
                }
            }
        }
        if named == 0 {
            wrong.push(format!("no test: {claim}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_window_runs_no_script_but_its_own() {
    let configuration: serde_json::Value = serde_json::from_str(&read("tauri.conf.json")).expect("JSON");
    let policy = configuration["app"]["security"]["csp"].as_str().expect("a policy");
    let rules: BTreeMap<_, _> = policy.split(';').filter_map(|rule| rule.trim().split_once(' ')).collect();
    // All of them: a rule more, or a source more in one, is to be thought about here.
    let thought_about = BTreeMap::from([
        ("default-src", "'self'"),
        ("img-src", "'self' data:"),
        ("style-src", "'self' 'unsafe-inline'"),
        ("font-src", "'self' data:"),
        ("connect-src", "ipc: http://ipc.localhost"),
        ("object-src", "'none'"),
        ("base-uri", "'none'"),
        ("form-action", "'none'"),
        ("frame-ancestors", "'none'"),
    ]);
    assert_eq!(rules, thought_about);
}

/// The window's own sources: what is under `folder` and is neither a test nor generated.
fn sources_of_the_window(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap_or_else(|error| panic!("{error}")).path();
        let name = path.to_string_lossy();
        if path.is_dir() && !name.ends_with("paraglide") {
            sources_of_the_window(&path, found);
        } else if (name.ends_with(".svelte") || name.ends_with(".ts")) && !name.ends_with(".test.ts") {
            found.push(path);
        }
    }
}

#[test]
fn the_window_makes_no_markup_and_no_program_of_text() {
    let mut sources = Vec::new();
    sources_of_the_window(&root().join("ui/src"), &mut sources);
    assert!(sources.len() > 100, "{} sources", sources.len());
    let mut wrong = Vec::new();
    for path in sources {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}"));
        // The last two: a rule of the linter that is switched off.
        for word in [
            "{@html",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "createContextualFragment",
            "srcdoc",
            "document.write",
            "eval(",
            "new Function",
            "no-at-html-tags",
            "no-eval",
        ] {
            if text.contains(word) {
                wrong.push(format!("{word} in {}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The sources of engine, shell and command line, without what is compiled for tests alone.
fn sources_of_the_product(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap_or_else(|error| panic!("{error}")).path();
        if path.is_dir() && !path.ends_with("tests") {
            sources_of_the_product(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{error}"));
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            found.push((path, product));
        }
    }
}

/// What is never started has no arguments that others could read, however short it would live.
#[test]
fn no_other_program_is_started() {
    let mut sources = Vec::new();
    for folder in ["src-tauri/engine/src", "src-tauri/src", "src-tauri/cli/src"] {
        sources_of_the_product(&root().join(folder), &mut sources);
    }
    assert!(sources.len() > 100, "{} sources", sources.len());
    let ways = ["process::Command", "Command::new(\"", "CommandExt", "posix_spawn", "execv", "libc::system"];
    let mut wrong = Vec::new();
    for (path, text) in sources {
        let of_it = ways.iter().filter(|way| text.contains(**way));
        wrong.extend(of_it.map(|way| format!("{way} in {}", path.display())));
    }
    for file in ["Cargo.toml", "src-tauri/cli/Cargo.toml", "src-tauri/engine/Cargo.toml"] {
        if read(file).contains("tauri-plugin-shell") {
            wrong.push(format!("a plug-in that starts programs in {file}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
