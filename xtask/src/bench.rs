//! `cargo xtask bench`: the benchmarks, on the program and the components as users have them.

use anyhow::Result;
use clap::Args;

use crate::{command, languages, node, python, setup, stage::Stages, workspace};

/// What to measure.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// What is handed on to the benches, for instance the name of one.
    #[arg(last = true)]
    bench: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut stages = Stages::default();
    let installation = setup::install(&mut stages, true)?;
    let names = &arguments.bench;
    if names.iter().all(|name| name.starts_with('-')) || names.iter().any(|name| name == "languages") {
        let python = stages.run("setting up the Python SDK", python::ensure)?;
        let node = stages.run("setting up the JavaScript SDK", || node::ensure(&python))?;
        languages::make(&mut stages, &node)?;
    }
    stages.run("measuring", || {
        let mut command = command::cargo();
        installation.announce(&mut command);
        command.env("DURAWASM_LANGUAGE_GUESTS", workspace::folder("guests")?);
        command.args(["run", "--release", "--package", "durawasm-benches", "--"]);
        command::run(command.args(&arguments.bench))
    })?;
    Ok(())
}
