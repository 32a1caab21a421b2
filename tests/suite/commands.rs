//! What the program prints: every help, and every command of the README, as a user sees it.
//!
//! `TRYCMD=overwrite cargo test --test suite commands::` writes what is printed now into the files.

use std::collections::BTreeSet;

use crate::common::stdout;

#[test]
fn every_help() {
    trycmd::TestCases::new()
        .default_bin_name("replay")
        .case("tests/cmd/*.trycmd");
}

#[test]
fn the_readme() {
    trycmd::TestCases::new()
        .default_bin_name("replay")
        .case("README.md");
}

/// The names of the commands below a command, from its help.
fn commands(path: &[&str]) -> Vec<String> {
    let help = stdout(&[path, &["--help"]].concat());
    let mut names = Vec::new();
    let (_, listed) = help.split_once("Commands:\n").unwrap_or_default();
    for line in listed.lines().take_while(|line| line.starts_with("  ")) {
        let name = line[2..].split(' ').next().unwrap_or_default();
        if !name.is_empty() && name != "help" {
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn no_help_is_without_a_snapshot() {
    let mut missing = BTreeSet::new();
    let mut check = |path: &[&str]| {
        let file = format!("tests/cmd/{}.trycmd", [&["help"], path].concat().join("-"));
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let command = [&["$ replay"], path, &["--help"]].concat().join(" ");
        if !text.lines().any(|line| line == command) {
            missing.insert(file);
        }
    };
    check(&[]);
    for name in commands(&[]) {
        check(&[&name]);
        for inner in commands(&[&name]) {
            check(&[&name, &inner]);
        }
    }
    assert!(missing.is_empty(), "no snapshot of: {missing:?}");
}

#[test]
fn every_command_is_in_the_page_of_commands() {
    let page = include_str!("../../docs/commands.md");
    let names = commands(&[]);
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let headed = |line: &str| {
            let mut words = line.trim_start_matches("## ").split(", ");
            line.starts_with("## ") && words.any(|word| word == name)
        };
        assert!(page.lines().any(headed), "no section of {name}");
    }
}

#[test]
fn no_help_is_wrapped_by_hand() {
    for name in commands(&[]) {
        let help = stdout(&[&name, "--help"]);
        for line in help.lines() {
            let width = line.chars().count();
            assert!(width <= 100, "{name}: {width} columns: {line}");
        }
    }
}
