//! The repository's tasks, the same for people and for continuous integration: `cargo xtask TASK`.
//!
//! One task a module. Each can be run by itself on a clean clone and does what it needs to do first.

mod bench;
mod ci;
mod command;
mod demo;
mod languages;
mod licences;
mod node;
mod python;
mod setup;
mod soak;
mod stage;
mod test;
mod workspace;

#[cfg(test)]
mod dependencies;

use clap::{Parser, Subcommand};

/// The repository's tasks.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check the tools, set up the WebAssembly toolchain, build the program and the example components.
    Setup,
    /// Run orchestrations, kill the host and the scheduler in the middle, and show that nothing is lost.
    Demo(demo::Arguments),
    /// Run all tests.
    Test(test::Arguments),
    /// Run the benchmarks.
    Bench(bench::Arguments),
    /// Run for long what the tests run in short: the simulator, property tests, kills, and what scale needs.
    Soak(soak::Arguments),
    /// Run what continuous integration runs.
    Ci(ci::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Setup => setup::run().map(|_| ()),
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Soak(arguments) => soak::run(&arguments),
        Task::Ci(arguments) => ci::run(&arguments),
    }
}
