//! Compiles guests with cargo.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::command::Step;
use crate::{Progress, Result, TARGET, Toolchain, absolute};

/// What to compile.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The folder of the package's or workspace's `Cargo.toml`.
    pub manifest_dir: PathBuf,
    /// These packages of the workspace; all its default members if empty.
    pub packages: Vec<String>,
    /// Where cargo works and leaves the components. Guests that share it share what they have in common; above all the
    /// standard library, if the toolchain has to compile it. None: cargo's own choice.
    pub target_dir: Option<PathBuf>,
}

impl BuildRequest {
    /// All packages of a folder.
    pub fn new(manifest_dir: impl Into<PathBuf>) -> Self {
        Self { manifest_dir: manifest_dir.into(), packages: Vec::new(), target_dir: None }
    }

    /// One more package.
    #[must_use]
    pub fn package(mut self, name: impl Into<String>) -> Self {
        self.packages.push(name.into());
        self
    }

    /// Where cargo works.
    #[must_use]
    pub fn target_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.target_dir = Some(folder.into());
        self
    }
}

/// What an outer cargo, or the user's configuration of native builds, may have set and what must not reach the guests' build.
const NOT_FOR_GUESTS: [&str; 8] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MAKEFLAGS",
    "CARGO_TARGET_DIR",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
];

pub(crate) fn build(
    toolchain: &Toolchain,
    request: &BuildRequest,
    progress: &mut dyn Progress,
) -> Result<Vec<PathBuf>> {
    let what = match request.packages.as_slice() {
        [] => format!("the guests in {}", request.manifest_dir.display()),
        packages => packages.join(", "),
    };
    progress.step(&format!("compiling {what} with {}", toolchain.description()));
    let name = format!("compiling {what}");
    let step = Step { name: &name, remedy: "see what the compiler says above" };

    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    for variable in NOT_FOR_GUESTS {
        command.env_remove(variable);
    }
    command.current_dir(&request.manifest_dir);
    command.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    for package in &request.packages {
        command.args(["--package", package]);
    }
    if let Some(folder) = &request.target_dir {
        command.arg("--target-dir").arg(absolute(folder, &name)?);
    }
    let mut flags = without_paths(&absolute(&request.manifest_dir, &name)?);
    if let Toolchain::Packages(packages) = toolchain {
        flags.extend(packages.configure(&mut command)?);
    }
    // Cargo splits the encoded flags at this character, so that paths may hold spaces.
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\u{1f}")));
    let components = components(&step.run(&mut command, progress)?);
    if components.is_empty() {
        let problem = "it made no component: a guest's Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\"]`";
        return Err(step.failed(problem));
    }
    for Built { component, package } in &components {
        bring_manifest(component, package).map_err(|error| {
            step.failed(format!("the manifest of {} could not be copied: {error}", component.display()))
        })?;
    }
    Ok(components.into_iter().map(|built| built.component).collect())
}

/// What a component is to be granted: this file beside the package's `Cargo.toml`. A host looks for it beside the component, under
/// the component's name.
const MANIFEST: &str = "durawasm.toml";

/// Copies the package's manifest beside the component. Where there is none, none of an earlier build is left.
fn bring_manifest(component: &Path, package: &Path) -> std::io::Result<()> {
    let (from, to) = (package.join(MANIFEST), component.with_extension("toml"));
    if from.is_file() {
        fs::copy(from, to)?;
    } else if to.is_file() {
        fs::remove_file(to)?;
    }
    Ok(())
}

/// Compiler flags that keep the folders of this machine out of components: they would stand in the texts of panics.
fn without_paths(manifest_dir: &Path) -> Vec<OsString> {
    // The repository, so that crates beside the guest's are covered too; a folder that is in none stands for itself.
    let project = manifest_dir.ancestors().find(|folder| folder.join(".git").exists()).unwrap_or(manifest_dir);
    let home = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cargo = home("CARGO_HOME").or_else(|| Some(home("HOME")?.join(".cargo")));
    let folders = [(Some(project.to_owned()), "."), (cargo, "cargo")];
    let flag = |(folder, name): (Option<PathBuf>, &str)| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(folder?);
        flag.push("=");
        flag.push(name);
        Some(flag)
    };
    folders.into_iter().filter_map(flag).collect()
}

/// A component and the folder of the package that it was made from.
#[derive(Debug, PartialEq, Eq)]
struct Built {
    component: PathBuf,
    package: PathBuf,
}

/// The `.wasm` files of the libraries among cargo's messages, in cargo's order.
fn components(messages: &[String]) -> Vec<Built> {
    let messages = messages.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let artifacts = messages.filter(|message| {
        let is_library =
            || message["target"]["crate_types"].as_array().is_some_and(|types| types.contains(&"cdylib".into()));
        message["reason"] == "compiler-artifact" && is_library()
    });
    let built = artifacts.flat_map(|message| {
        let package = message["manifest_path"].as_str().map(Path::new).and_then(Path::parent).map(Path::to_owned);
        let files = message["filenames"].as_array().cloned().unwrap_or_default().into_iter();
        let components =
            files.filter_map(|file| file.as_str().filter(|file| file.ends_with(".wasm")).map(PathBuf::from));
        let built = components.map(move |component| Built { component, package: package.clone().unwrap_or_default() });
        built.collect::<Vec<_>>()
    });
    built.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_the_wasm_files_of_cdylibs() {
        let messages = [
            r#"{"reason":"compiler-artifact","target":{"crate_types":["lib"]},"filenames":["/t/libserde.rlib"]}"#,
            r#"{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","target":{"crate_types":["cdylib"]},"filenames":["/t/a.wasm","/t/a.d"]}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "not json",
        ];
        let messages: Vec<_> = messages.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(components(&messages), [Built { component: "/t/a.wasm".into(), package: "/p".into() }]);
    }

    #[test]
    fn the_package_s_manifest_lies_beside_its_component_for_as_long_as_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let (component, package) = (folder.path().join("shop.wasm"), folder.path().join("package"));
        let beside = folder.path().join("shop.toml");
        fs::create_dir(&package).unwrap();
        bring_manifest(&component, &package).unwrap();
        assert!(!beside.exists());
        fs::write(package.join(MANIFEST), "[environment]").unwrap();
        bring_manifest(&component, &package).unwrap();
        assert_eq!(fs::read_to_string(&beside).unwrap(), "[environment]");
        fs::remove_file(package.join(MANIFEST)).unwrap();
        bring_manifest(&component, &package).unwrap();
        assert!(!beside.exists());
    }
}
