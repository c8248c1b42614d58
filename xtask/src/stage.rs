//! Stages of a task: each announced, timed, and listed at the end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// The stages so far.
#[derive(Default)]
pub(crate) struct Stages {
    done: Vec<(String, Duration)>,
}

impl Stages {
    /// Runs a stage.
    pub(crate) fn run<T>(&mut self, name: &str, stage: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n=== {name}");
        let begun = Instant::now();
        let outcome = stage();
        let took = begun.elapsed();
        self.done.push((name.to_owned(), took));
        let outcome = outcome.with_context(|| format!("the stage `{name}` failed after {}", show(took)))?;
        eprintln!("=== {name}: {}", show(took));
        Ok(outcome)
    }

    /// Prints how long each stage took.
    pub(crate) fn summarize(&self) {
        eprintln!();
        for (name, took) in &self.done {
            eprintln!("{:>10}  {name}", show(*took));
        }
        eprintln!("{:>10}  in all", show(self.done.iter().map(|(_, took)| *took).sum()));
    }
}

/// A duration as people say it.
pub(crate) fn show(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds >= 100.0 => format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60),
        seconds if seconds >= 1.0 => format!("{seconds:.1} s"),
        seconds => format!("{:.0} ms", seconds * 1000.0),
    }
}
