//! `cargo xtask setup`: everything that demo, tests and benches need, from the compilers to the example components.
//!
//! Each step says what it does; what is there already is used again, so the second run takes seconds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use durawasm_toolchain::{BuildRequest, Options, Stderr, Toolchain};

use crate::{command, stage::Stages, workspace};

/// What the set-up has made.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    /// The program `durawasm`.
    pub(crate) program: PathBuf,
    /// The folder with the components of `examples/`.
    pub(crate) examples: PathBuf,
    /// The folder with the components of `tests/guests/`, if those were asked for.
    pub(crate) test_guests: Option<PathBuf>,
}

impl Installation {
    /// Tells a test or a bench where everything is.
    pub(crate) fn announce(&self, command: &mut std::process::Command) {
        command.env("DURAWASM_PROGRAM", &self.program).env("DURAWASM_EXAMPLES", &self.examples);
        if let Some(guests) = &self.test_guests {
            command.env("DURAWASM_TEST_GUESTS", guests);
        }
    }
}

/// Sets up what people need.
pub(crate) fn run() -> Result<Installation> {
    let mut stages = Stages::default();
    let installation = install(&mut stages, false)?;
    stages.summarize();
    eprintln!("\nReady. Next: cargo xtask demo");
    Ok(installation)
}

/// Sets up what people need, and for tests also the guests that misbehave.
pub(crate) fn install(stages: &mut Stages, with_test_guests: bool) -> Result<Installation> {
    stages.run("checking the tools", check_tools)?;
    stages.run("building durawasm", || {
        // The whole workspace, as the tests do: another selection of packages chooses other features of what they share, and
        // then wasmtime, most of the work, would be compiled again.
        command::run(command::cargo().args(["build", "--release", "--workspace"]))
    })?;
    let toolchain = stages.run("setting up the WebAssembly toolchain", || {
        let options = Options::from_env(workspace::target()?.join("wasm-toolchain"))?;
        Ok(Toolchain::ensure(&options, &mut Stderr)?)
    })?;
    let examples = stages.run("building the example components", || {
        build(&toolchain, &workspace::root().join("examples"), "guests/examples")
    })?;
    let test_guests = match with_test_guests {
        false => None,
        true => Some(stages.run("building the components of the tests", || {
            build(&toolchain, &workspace::root().join("tests").join("guests"), "guests/tests")
        })?),
    };
    Ok(Installation { program: workspace::program()?, examples, test_guests })
}

/// The C compiler is what SQLite is compiled with. Rust is there, else this would not run.
fn check_tools() -> Result<()> {
    eprintln!("    {}", command::read(command::program("rustc").arg("--version"))?.trim());
    let chosen = std::env::var("CC").ok();
    let compilers: Vec<&str> = chosen.as_deref().into_iter().chain(["cc", "gcc", "clang"]).collect();
    for compiler in &compilers {
        if let Ok(version) = command::read(command::program(compiler).arg("--version")) {
            eprintln!("    {}", version.lines().next().unwrap_or(compiler));
            return Ok(());
        }
    }
    bail!(
        "no C compiler was found (tried {}); SQLite is compiled with one.\n\
         Install one: `apt-get install gcc` on Debian and Ubuntu, `xcode-select --install` on macOS.",
        compilers.join(", ")
    )
}

/// Compiles the guests of a workspace and collects the components in one folder below `target`.
fn build(toolchain: &Toolchain, manifest_dir: &Path, folder: &str) -> Result<PathBuf> {
    // One cargo folder for all guests: where the standard library must be compiled, that is done once.
    let request = BuildRequest::new(manifest_dir).target_dir(workspace::target()?.join("guests").join("build"));
    let components = toolchain.build(&request, &mut Stderr)?;
    let folder = workspace::folder(folder)?;
    let mut wanted = Vec::new();
    for component in components {
        let name = component.file_name().with_context(|| format!("{} has no name", component.display()))?;
        let to = folder.join(name);
        copy_if_changed(&component, &to)?;
        let manifest = component.with_extension("toml");
        if manifest.is_file() {
            let to = to.with_extension("toml");
            copy_if_changed(&manifest, &to)?;
            wanted.push(to);
        }
        wanted.push(to);
    }
    // A component or a manifest whose source is gone must not be found by a host.
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm" || extension == "toml")
            && !wanted.contains(&path)
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(folder)
}

/// Copies under another name and renames: a host that watches the folder never sees half a file.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|present| present == content) {
        return Ok(());
    }
    let partial = to.with_extension("partial");
    fs::write(&partial, content).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, to).with_context(|| format!("cannot write {}", to.display()))
}
