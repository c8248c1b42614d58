//! The manifests and policies that the documentation shows are such, and its example is code that is compiled.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

use std::sync::Arc;

use durawasm_host::deployment::{Grant, Manifest, Policy, Terms};
use durawasm_host::sandbox::SandboxLimits;

const PAGE: &str = include_str!("../../docs/sandbox.md");

fn blocks(language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    PAGE.split(&opening).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

#[test]
fn what_is_shown_is_read_and_the_manifest_fits_the_policy() {
    let (manifests, policies) = (blocks("toml manifest"), blocks("toml policy"));
    assert!(!manifests.is_empty() && manifests.len() == policies.len());
    for (manifest, policy) in manifests.iter().zip(&policies) {
        let manifest = Manifest::parse(manifest).unwrap_or_else(|error| panic!("{error}\n{manifest}"));
        let policy = Policy::parse(policy).unwrap_or_else(|error| panic!("{error}\n{policy}"));
        let terms = Terms { policy: Arc::new(policy), limits: SandboxLimits::default() };
        Grant::new("shop", &manifest, &terms).unwrap_or_else(|refusal| panic!("{refusal}"));
        assert!(Grant::new("another", &manifest, &terms).is_err(), "the section is the shop's own");
    }
}

/// `tests/guests/capabilities` is built by all tests.
#[test]
fn the_example_in_rust_is_a_part_of_a_component_of_the_tests() {
    let source = include_str!("../../tests/guests/capabilities/src/partner.rs");
    let (_, code) = source.split_once("\n\n").unwrap();
    assert_eq!(blocks("rust"), [code]);
}

#[test]
fn each_key_of_a_manifest_is_in_the_table() {
    for entry in Manifest::parse(&blocks("toml manifest")[0]).unwrap().entries() {
        let key = entry.key;
        let general = match key.split('.').collect::<Vec<_>>().as_slice() {
            ["environment", _] => "environment.NAME".to_owned(),
            ["secrets", _] => "secrets.NAME".to_owned(),
            ["limits", _, name] => format!("limits.ROLE.{name}"),
            _ => key,
        };
        assert!(PAGE.contains(&format!("| `{general}` |")), "{general}");
    }
}
