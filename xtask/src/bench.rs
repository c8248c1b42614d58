//! `cargo xtask bench`: the benchmarks, on the program and the components as users have them.

use anyhow::Result;
use clap::Args;

use crate::{command, setup, stage::Stages};

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
    stages.run("measuring", || {
        let mut command = command::cargo();
        installation.announce(&mut command);
        command.args(["run", "--release", "--package", "durawasm-benches", "--"]);
        command::run(command.args(&arguments.bench))
    })?;
    Ok(())
}
