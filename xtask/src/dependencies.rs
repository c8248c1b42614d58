//! `docs/dependencies.md` says of each direct dependency what it is for.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{command, workspace};

#[test]
fn each_direct_dependency_is_justified_and_none_is_listed_that_is_gone() {
    let mut used: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for manifest in manifests() {
        let manifest = workspace::root().join(manifest);
        let text = fs::read_to_string(&manifest).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let dependencies = table.get(section).and_then(toml::Value::as_table);
            for (name, value) in dependencies.into_iter().flatten() {
                let is_ours = value.get("path").is_some() || name.starts_with("durawasm");
                if !is_ours {
                    used.entry(name.clone()).or_default().push(short(&manifest));
                }
            }
        }
    }
    let page = fs::read_to_string(workspace::root().join("docs/dependencies.md")).unwrap();
    let listed: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, reason)| (name, reason.trim_end_matches(" |")))
        .collect();
    let missing: Vec<_> = used.iter().filter(|(name, _)| !listed.contains_key(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/dependencies.md lacks a line for {missing:#?}");
    let gone: Vec<_> = listed.keys().filter(|name| !used.contains_key(**name)).collect();
    assert!(gone.is_empty(), "docs/dependencies.md lists what nobody uses: {gone:?}");
    let silent: Vec<_> = listed.iter().filter(|(_, reason)| reason.len() < 10).collect();
    assert!(silent.is_empty(), "docs/dependencies.md does not say what these are for: {silent:?}");
}

/// The manifests under version control.
fn manifests() -> Vec<String> {
    let listing =
        command::read(command::program("git").args(["ls-files", "--", "Cargo.toml", "*/Cargo.toml"])).unwrap();
    listing.lines().map(str::to_owned).collect()
}

fn short(manifest: &Path) -> String {
    let folder = manifest.parent().and_then(|folder| folder.strip_prefix(workspace::root()).ok());
    folder.map(|folder| folder.display().to_string()).unwrap_or_default()
}
