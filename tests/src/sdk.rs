//! Other people's SDKs: their scripts in `tests/python` and `tests/js`, run against our scheduler beside our host.
//!
//! A script holds the scenarios of one feature. It says of each whether it held, with what was expected and what came
//! instead, and ends with a failure if one did not.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::cluster::{World, components};
use crate::process::Process;

/// Whose SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// The PyPI package `durabletask`.
    Python,
    /// The npm package `@microsoft/durabletask-js`.
    JavaScript,
}

/// The WebAssembly components that scenarios call and are called by.
const COMPONENTS: [&str; 3] = ["hello_cities.wasm", "test_durability.wasm", "test_foreign.wasm"];

impl Sdk {
    /// Runs the scenarios of a feature in a world of their own: a scheduler, a host with components, and the script.
    ///
    /// # Errors
    /// If a scenario does not hold, with what the script said.
    pub async fn proves(self, feature: &str) -> Result<()> {
        let folder = components(&COMPONENTS)?;
        let world = World::start(folder.path()).await?;
        self.proves_at(world.scheduler.address(), feature).await
    }

    /// The same against a scheduler that listens on the given address.
    ///
    /// # Errors
    /// If a scenario does not hold, with what the script said.
    pub async fn proves_at(self, address: &str, feature: &str) -> Result<()> {
        let mut script = self.start(address, &["scenarios", feature])?;
        let status = script.ended().await?;
        let lines = script.output.all();
        ensure!(status.success(), "{self:?}, {feature}: {status}\n{}", lines.join("\n"));
        // A script that ran nothing proves nothing.
        ensure!(lines.iter().any(|line| line.starts_with("holds: ")), "{self:?}, {feature}: no scenario ran");
        Ok(())
    }

    /// Starts a script with the scheduler's address, `host:port`, as its first argument. The words are the script's name,
    /// without its extension, and further arguments.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(self, address: &str, words: &[&str]) -> Result<Process> {
        let (name, arguments) = words.split_first().map_or(("", &[][..]), |(name, rest)| (*name, rest));
        let mut all = vec![self.script(name).display().to_string(), address.to_owned()];
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let modules = crate::node_modules().display().to_string();
        let environment = match self {
            Self::Python => [("PYTHONUNBUFFERED", "1")],
            Self::JavaScript => [("NODE_PATH", modules.as_str())],
        };
        Process::start(&self.program(), &all, &environment)
    }

    fn program(self) -> PathBuf {
        match self {
            Self::Python => crate::python(),
            Self::JavaScript => crate::node(),
        }
    }

    fn script(self, name: &str) -> PathBuf {
        let (folder, extension) = match self {
            Self::Python => ("python", "py"),
            Self::JavaScript => ("js", "js"),
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name).with_extension(extension)
    }
}
