//! Real guests are compiled, and the components export what the contract says.

use std::fs;
use std::path::{Path, PathBuf};

use durawasm_toolchain::{BuildRequest, Options, Silent, Source, Toolchain};
use wasmparser::{Parser, Payload};

const ENTITY: &str = "durawasm:workflow/entity@0.1.0";
const MIGRATION: &str = "durawasm:workflow/migration@0.1.0";
const COMPONENT: &str = "durawasm:workflow/component@0.1.0";
const ORCHESTRATOR: &str = "durawasm:workflow/orchestrator@0.1.0";
const ACTIVITY: &str = "durawasm:workflow/activity@0.1.0";
const QUERIES: &str = "durawasm:workflow/queries@0.1.0";
/// What the Rust SDK exports, whatever a component has of it.
const OF_THE_SDK: [&str; 6] = [ACTIVITY, COMPONENT, ENTITY, MIGRATION, ORCHESTRATOR, QUERIES];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn toolchain() -> Toolchain {
    let options = Options::from_env(repository().join("target/wasm-toolchain")).expect("a valid source");
    Toolchain::ensure(&options, &mut Silent).expect("a toolchain")
}

/// The names of a component's own exports, those of components within it left out.
fn exports(file: &Path) -> Vec<String> {
    let bytes = fs::read(file).expect("a component was made");
    let mut depth = 0_u32;
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.expect("a valid component") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 0 => {
                names.extend(section.into_iter().map(|export| export.expect("a valid export").name.name.to_owned()));
            }
            _ => {}
        }
    }
    names.sort();
    names
}

fn build(folder: &str) -> Vec<PathBuf> {
    let root = repository();
    let request = BuildRequest::new(root.join(folder)).target_dir(root.join("target/guests"));
    let mut components = toolchain().build(&request, &mut Silent).expect("the guests compile");
    components.sort();
    components
}

fn named<'a>(components: &'a [PathBuf], name: &str) -> &'a Path {
    components.iter().find(|file| file.file_name().is_some_and(|it| it == name)).expect("it was compiled")
}

#[test]
fn each_example_is_a_component_with_the_exports_of_the_contract() {
    let components = build("examples");
    for name in ["approval.wasm", "fan_out.wasm", "hello_cities.wasm", "saga.wasm"] {
        assert_eq!(exports(named(&components, name)), OF_THE_SDK, "{name}");
    }
}

#[test]
fn the_guests_for_tests_export_what_they_are_for() {
    let components = build("tests/guests");
    for name in ["test_durability.wasm", "test_programs.wasm"] {
        assert_eq!(exports(named(&components, name)), OF_THE_SDK, "{name}");
    }
    // Without the SDK, and without queries: that interface is optional.
    assert_eq!(exports(named(&components, "test_hostile.wasm")), [ACTIVITY, COMPONENT, ORCHESTRATOR]);
    for name in ["test_describe_loops.wasm", "test_describe_repeats.wasm", "test_describe_traps.wasm"] {
        assert_eq!(exports(named(&components, name)), [ACTIVITY, COMPONENT], "{name}");
    }
    let old = ["durawasm:workflow/activity@0.0.9", "durawasm:workflow/component@0.0.9"];
    assert_eq!(exports(named(&components, "test_wrong_version.wasm")), old);
    assert_eq!(exports(named(&components, "test_not_a_workflow.wasm")), ["test:calculator/arithmetic@1.0.0"]);
}

#[test]
fn a_package_that_is_no_cdylib_is_said_to_make_no_component() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("src")).expect("a folder");
    fs::write(folder.path().join("src/lib.rs"), "").expect("a file");
    let manifest = "[package]\nname = \"plain\"\nedition = \"2024\"\n\n[workspace]\n";
    fs::write(folder.path().join("Cargo.toml"), manifest).expect("a file");
    let error = toolchain().build(&BuildRequest::new(folder.path()), &mut Silent).expect_err("makes no component");
    assert!(error.problem().contains("crate-type"), "{error}");
}

#[test]
fn a_guest_that_does_not_compile_fails_with_what_the_compiler_says() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("src")).expect("a folder");
    fs::write(folder.path().join("src/lib.rs"), "fn broken() -> u32 { \"text\" }").expect("a file");
    let manifest =
        "[package]\nname = \"broken\"\nedition = \"2024\"\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n[workspace]\n";
    fs::write(folder.path().join("Cargo.toml"), manifest).expect("a file");
    let error = toolchain().build(&BuildRequest::new(folder.path()), &mut Silent).expect_err("does not compile");
    assert!(error.to_string().contains("could not compile `broken`"), "{error}");
}

#[test]
fn a_source_that_does_not_exist_is_refused() {
    let error = "zig".parse::<Source>().expect_err("there is no such source");
    assert!(error.remedy().contains("`auto`, `rustup` or `packages`"), "{error}");
}
