//! The table of the cases in `docs/determinism.md`.

use std::path::Path;

use crate::corpus::{CASES, Source};

const BEGIN: &str = "<!-- cases: written by the tests -->\n";
const END: &str = "<!-- end of cases -->";

fn table() -> String {
    let mut text = String::from("\n| # | it tries to see | what it sees | how it is written |\n|---|---|---|---|\n");
    for (number, case) in CASES.iter().enumerate() {
        let written = match case.source {
            Source::Rust => "Rust",
            Source::Text(_) => "WebAssembly",
        };
        text += &format!("| {} | {} | {} | {written} |\n", number + 1, case.name, case.must);
    }
    text + "\n"
}

#[test]
fn the_documentation_lists_every_case() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/determinism.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (found, after) = rest.split_once(END).unwrap();
    if std::env::var_os("DURAWASM_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", table())).unwrap();
    } else {
        assert_eq!(found, table(), "run this test with DURAWASM_WRITE_DOCS=1 to write the table into the page");
    }
}
