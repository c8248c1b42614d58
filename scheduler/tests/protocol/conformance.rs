//! `docs/conformance.md` and the sources say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The tests that a source file has.
fn tests(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut tests = BTreeSet::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if is_test && !line.starts_with("#[") {
            let name = line.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
            tests.extend(name.map(|(name, _)| name.to_owned()));
            is_test = false;
        }
    }
    tests
}

/// `FILE::TEST` as the page writes it.
fn named() -> BTreeSet<(String, String)> {
    let page = fs::read_to_string(root().join("docs/conformance.md")).expect("the page is there");
    let quoted = page.split('`').skip(1).step_by(2);
    let names = quoted.filter_map(|text| text.split_once("::"));
    names.filter(|(_, test)| !test.is_empty() && *test != "TEST").map(|(f, t)| (f.to_owned(), t.to_owned())).collect()
}

fn modules() -> Vec<(String, PathBuf)> {
    let folder = root().join("scheduler/tests/protocol");
    let files = fs::read_dir(folder).expect("this crate").map(|entry| entry.expect("readable").path());
    let sources = files.filter(|path| path.extension().is_some_and(|e| e == "rs"));
    sources.map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), path)).collect()
}

#[test]
fn every_test_that_the_page_names_exists() {
    let root = root();
    for (file, test) in named() {
        let places = [
            root.join(format!("scheduler/tests/protocol/{file}.rs")),
            root.join(format!("scheduler/tests/{file}/main.rs")),
            root.join(format!("tests/tests/{file}.rs")),
        ];
        let exists = places.iter().filter(|path| path.exists()).any(|path| tests(path).contains(&test));
        assert!(exists, "docs/conformance.md names `{file}::{test}`, which is not there");
    }
}

#[test]
fn every_test_of_this_crate_is_on_the_page() {
    let named = named();
    for (module, path) in modules() {
        for test in tests(&path) {
            let here = named.contains(&(module.clone(), test.clone()));
            assert!(here, "`{module}::{test}` is missing in docs/conformance.md: write its rule in one line");
        }
    }
}
