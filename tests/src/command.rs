//! The program's short commands, as a person or a script runs them.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::cluster::Scheduler;

/// Somebody at a command line, connected to a scheduler.
#[derive(Clone, Debug)]
pub struct Shell {
    scheduler: String,
}

/// How a command ended, and what it said.
#[derive(Clone, Debug)]
pub struct Said {
    /// The exit code.
    pub exit: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Shell {
    /// Somebody who talks to this scheduler.
    #[must_use]
    pub fn at(scheduler: &Scheduler) -> Self {
        Self { scheduler: scheduler.uri() }
    }

    /// Runs a command until it ends.
    ///
    /// # Errors
    /// If it cannot be started, or prints what is not text.
    pub async fn run(&self, arguments: &[&str]) -> Result<Said> {
        let output = Command::new(crate::program())
            .args(arguments)
            .env("DURAWASM_SCHEDULER", &self.scheduler)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("cannot run {arguments:?}"))?;
        let exit = output.status.code().with_context(|| format!("{arguments:?} was killed"))?;
        Ok(Said { exit, out: String::from_utf8(output.stdout)?, err: String::from_utf8(output.stderr)? })
    }

    /// Runs a command that must succeed.
    ///
    /// # Errors
    /// If it does not.
    pub async fn succeeds(&self, arguments: &[&str]) -> Result<Said> {
        let said = self.run(arguments).await?;
        ensure!(said.exit == 0, "{arguments:?}: {said:#?}");
        Ok(said)
    }

    /// Runs a command that must end with this exit code, and say this on standard error.
    ///
    /// # Errors
    /// If it does not.
    pub async fn refuses(&self, arguments: &[&str], exit: i32, words: &str) -> Result<Said> {
        let said = self.run(arguments).await?;
        ensure!(said.exit == exit && said.err.contains(words), "{exit} and `{words}` from {arguments:?}: {said:#?}");
        Ok(said)
    }
}

impl Said {
    /// Whether this is on one line of the output, with any spaces between its words.
    #[must_use]
    pub fn shows(&self, words: &str) -> bool {
        let lines = self.out.lines().chain(self.err.lines());
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).any(|line| line.contains(words))
    }

    /// The output's first line.
    #[must_use]
    pub fn first(&self) -> &str {
        self.out.lines().next().unwrap_or_default()
    }
}
