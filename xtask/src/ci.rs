//! `cargo xtask ci`: what continuous integration runs.

use anyhow::Result;
use clap::Args;

use crate::{command, demo, licences, stage::Stages, test, workspace};

/// What to leave out.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Leave out the tests and the demo: what can be said of the source alone.
    #[arg(long)]
    source_only: bool,
}

/// Workspaces beside the main one: guests, and what makes components for fuzzing.
const OTHERS: [&str; 4] = ["examples", "tests/guests", "tests/guests/bare", "fuzz/smith"];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut stages = Stages::default();
    let outcome = all(arguments, &mut stages);
    stages.summarize();
    outcome
}

fn all(arguments: &Arguments, stages: &mut Stages) -> Result<()> {
    stages.run("formatting", || {
        command::run(command::cargo().args(["fmt", "--all", "--check"]))?;
        for other in OTHERS {
            let manifest = workspace::root().join(other).join("Cargo.toml");
            command::run(command::cargo().args(["fmt", "--all", "--check", "--manifest-path"]).arg(manifest))?;
        }
        Ok(())
    })?;
    stages.run("lints", || {
        let clippy = ["clippy", "--release", "--workspace", "--all-targets"];
        command::run(command::cargo().args(clippy).args(["--", "--deny", "warnings"]))
    })?;
    stages.run("licences, bans and sources", licences::check)?;
    if arguments.source_only {
        return Ok(());
    }
    test::test(&test::Arguments::default(), stages)?;
    stages.run("the demo", || demo::run(&demo::Arguments::default()))
}
