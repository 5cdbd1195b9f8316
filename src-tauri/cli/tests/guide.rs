//! The user guide's page on the command line says what `helio` takes, all of it and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

fn help(command: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_helio")).args(command).arg("--help").output().expect("helio");
    assert!(output.status.success(), "helio {command:?} --help");
    String::from_utf8(output.stdout).expect("text")
}

/// What is listed under `Commands:`.
fn listed(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("Commands:\n") else { return Vec::new() };
    let lines = list.split("\n\n").next().expect("a list").lines();
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

/// The help of every command there is, and of the commands below it.
fn everything() -> Vec<String> {
    let mut waiting = vec![Vec::new()];
    let mut helps = Vec::new();
    while let Some(command) = waiting.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        // These two take the names of shells and commands.
        if matches!(words[..], ["completions" | "man", ..]) {
            continue;
        }
        let help = help(&words);
        waiting.extend(listed(&help).into_iter().map(|name| [command.clone(), vec![name]].concat()));
        helps.push(help);
    }
    helps
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/command-line.md");
    std::fs::read_to_string(path).expect("the page")
}

/// What looks like a long option.
fn options(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let parts = text.split(|c: char| !word(c) && c != '_');
    let long =
        |part: &&str| part.starts_with("--") && part.contains(char::is_alphanumeric) && !part.contains('_');
    parts.filter(long).map(str::to_owned).collect()
}

#[test]
fn every_option_is_in_the_guide_and_every_option_of_the_guide_exists() {
    let page = page();
    let written = options(&page);
    let mut real = BTreeSet::new();
    for help in everything() {
        real.extend(options(&help));
    }
    let missing: Vec<_> = real.difference(&written).collect();
    assert!(missing.is_empty(), "docs/guide/command-line.md says nothing of {missing:?}");
    let wrong: Vec<_> = written.difference(&real).collect();
    assert!(wrong.is_empty(), "docs/guide/command-line.md speaks of {wrong:?}, which helio does not know");
}

#[test]
fn every_command_and_every_short_option_is_in_the_guide() {
    let page = page();
    for name in listed(&help(&[])) {
        assert!(
            page.contains(&format!("`helio {name}")),
            "docs/guide/command-line.md says nothing of {name}"
        );
    }
    for help in everything() {
        for line in help.lines().map(str::trim).filter(|line| line.starts_with('-')) {
            let Some((short, long)) = line.split_once(", ").filter(|(short, _)| short.len() == 2) else {
                continue;
            };
            let long = long.split_whitespace().next().expect("an option");
            let written = format!("`{short}, {long}");
            assert!(page.contains(&written), "docs/guide/command-line.md does not say {written}");
        }
    }
}

#[test]
fn every_exit_status_and_variable_is_in_the_guide() {
    let (page, overview) = (page(), help(&[]));
    let environment = overview.split_once("Environment:\n").expect("an environment").1;
    for name in environment.lines().filter_map(|line| line.split_whitespace().next()) {
        if name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            assert!(page.contains(&format!("`{name}`")), "docs/guide/command-line.md says nothing of {name}");
        }
    }
    let (_, status) = overview.split_once("Exit status:").expect("exit status");
    for number in status.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty()) {
        assert!(page.contains(&format!("| {number}")), "docs/guide/command-line.md says nothing of {number}");
    }
}
