//! The catalogue is complete: each code has a page of the right shape, each page a code, and each code is raised.

use std::{collections::BTreeSet, fs, path::Path};

use durawasm_errors::Code;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn each_page_has_a_code_and_is_listed_in_the_index() {
    let known: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{code}.md")).collect();
    let found: BTreeSet<String> = fs::read_dir(root().join("docs/errors"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(known, found);
    let index = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    for code in Code::ALL {
        let line = format!("| [{code}](errors/{code}.md) | {} |", code.page().title());
        assert!(index.contains(&line), "docs/errors.md lacks the line: {line}");
    }
}

#[test]
fn each_page_says_what_it_means_why_and_what_to_do() {
    for &code in Code::ALL {
        let page = code.page();
        assert!(page.text().starts_with(&format!("# {code}: ")), "{code}: the title begins with the code");
        assert!(page.title().len() > 10, "{code}: a title");
        assert!(page.summary().len() > 40, "{code}: a summary");
        assert!(page.text().contains("\n## Why\n"), "{code}: the section `Why`");
        assert!(page.advice().len() > 40, "{code}: the section `What to do`");
    }
}

#[test]
fn each_code_is_raised_somewhere() {
    let mut sources = String::new();
    for folder in ["cli", "client", "scheduler", "host", "toolchain"] {
        collect(&root().join(folder).join("src"), &mut sources);
    }
    let missing: Vec<_> =
        Code::ALL.iter().filter(|code| !sources.contains(&format!("Code::{}", code.name()))).collect();
    assert!(missing.is_empty(), "no source raises {missing:?}");
}

fn collect(folder: &Path, sources: &mut String) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder of sources can be read").path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).expect("a source is UTF-8"));
        }
    }
}
