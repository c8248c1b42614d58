//! `cargo xtask test`: all tests, with the components and the third parties that they need.

use anyhow::Result;
use clap::Args;

use crate::{command, languages, node, python, setup, stage::Stages, workspace};

/// What to test.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// What is handed on to the test runner, for instance the name of a test.
    #[arg(last = true)]
    runner: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut stages = Stages::default();
    let outcome = test(arguments, &mut stages);
    stages.summarize();
    outcome
}

pub(crate) fn test(arguments: &Arguments, stages: &mut Stages) -> Result<()> {
    let installation = setup::install(stages, true)?;
    let python = stages.run("setting up the Python SDK", python::ensure)?;
    let node = stages.run("setting up the JavaScript SDK", || node::ensure(&python))?;
    let guests = languages::make(stages, &node)?;
    let nextest = command::works(command::cargo().args(["nextest", "--version"]));
    let announce = |command: &mut std::process::Command| {
        installation.announce(command);
        command.env("DURAWASM_PYTHON", &python).env("DURAWASM_LANGUAGE_GUESTS", &guests);
        node.announce(command);
    };
    stages.run("running the tests", || {
        let mut command = command::cargo();
        announce(&mut command);
        match nextest {
            true => command.args(["nextest", "run", "--release", "--workspace", "--no-fail-fast"]),
            false => command.args(["test", "--release", "--workspace", "--no-fail-fast"]),
        };
        command::run(command.args(&arguments.runner))
    })?;
    // What the guests of the tests compute is compared with their model on this machine too, without WebAssembly.
    stages.run("running the tests of the guests", || {
        let manifest = workspace::root().join("tests").join("guests").join("Cargo.toml");
        let target = workspace::target()?.join("guests").join("build");
        let mut command = command::cargo();
        command.args(["test", "--release", "--package", "test-programs", "--manifest-path"]).arg(manifest);
        command::run(command.arg("--target-dir").arg(target))
    })?;
    // nextest does not run the examples in the documentation.
    if nextest && arguments.runner.is_empty() {
        stages.run("running the examples of the documentation", || {
            let mut command = command::cargo();
            announce(&mut command);
            command::run(command.args(["test", "--release", "--workspace", "--doc"]))
        })?;
    }
    Ok(())
}
