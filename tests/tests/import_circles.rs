//! `scripts/import-circles` finds circles between the files of a crate, and nothing else.
#![cfg(unix)]

use std::{fs, io, path::Path, process::Command};
use tempfile::TempDir;

/// Runs the script over a crate made of the given files.
///
/// Returns whether it passed, and what it printed.
fn check(files: &[(&str, &str)]) -> io::Result<(bool, String)> {
    let folder = TempDir::new()?;
    for (name, text) in files {
        let file = folder.path().join("src").join(name);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(file, text)?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/import-circles");
    let output = Command::new(script).arg(folder.path()).output()?;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[test]
fn two_files_that_import_each_other_are_a_circle() {
    let (passed, printed) = check(&[
        ("lib.rs", "mod a;\nmod b;"),
        ("a.rs", "use crate::b::B;\npub struct A(B);"),
        ("b.rs", "pub struct B;\nfn inspect(_: &crate::a::A) {}"),
    ])
    .unwrap();
    assert!(!passed);
    assert!(printed.contains("a.rs:1: crate::b::B"), "{printed}");
    assert!(printed.contains("b.rs:2: crate::a::A"), "{printed}");
}

#[test]
fn a_parent_and_a_child_that_use_each_other_are_a_circle() {
    let (passed, printed) = check(&[
        ("lib.rs", "mod parent;"),
        ("parent/mod.rs", "mod child;\npub struct Shared;\nfn run() { child::step() }"),
        ("parent/child.rs", "use super::Shared;\npub fn step() { let _ = Shared; }"),
    ])
    .unwrap();
    assert!(!passed, "{printed}");
}

#[test]
fn a_circle_of_three_files_is_found_through_nested_imports() {
    let (passed, printed) = check(&[
        ("main.rs", "mod a;\nmod b;\nmod c;"),
        ("a.rs", "use crate::{b::{self, B as Other}};"),
        ("b.rs", "use super::c::*;\npub struct B;"),
        ("c.rs", "pub fn f() { crate::a::g() }"),
    ])
    .unwrap();
    assert!(!passed);
    assert!(printed.contains("an import circle of 3 files"), "{printed}");
}

#[test]
fn a_module_whose_file_an_attribute_names_is_followed() {
    let (passed, printed) = check(&[
        ("main.rs", "mod notify;"),
        (
            "notify/mod.rs",
            "#[path = \"linux.rs\"]\nmod desktop;\npub struct Text;\nfn f() { desktop::show() }",
        ),
        ("notify/linux.rs", "use super::Text;\npub fn show() { let _ = Text; }"),
    ])
    .unwrap();
    assert!(!passed, "{printed}");
}

#[test]
fn imports_downwards_re_exports_strings_and_comments_are_no_circle() {
    let (passed, printed) = check(&[
        // The item that the crate's root re-exports counts for the file that defines it.
        ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B;"),
        ("a.rs", "use crate::B;\npub struct A(B);"),
        // Neither a comment, a string, a character, a lifetime nor a capture list is an import.
        (
            "b.rs",
            "// use crate::a::A;\npub struct B;\nconst TEXT: &str = \"crate::a::A {\";\n\
             const BRACE: char = '{';\nfn f<'a>(x: &'a str) -> impl Fn() + use<'a> { move || drop(x) }\n\
             #[cfg(test)]\nmod tests { use super::*; fn t() { let _ = B; } }",
        ),
    ])
    .unwrap();
    assert!(passed, "{printed}");
}
