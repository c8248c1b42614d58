//! `cargo xtask soak`: the long runs. The tests have a short form of each.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::Args;

use crate::{command, python, setup, stage::Stages, workspace};

/// How long to run what.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Seeds of the simulator.
    #[arg(long, default_value_t = 200_000)]
    seeds: u64,
    /// The first of them. Left out: another one each time; it is printed.
    #[arg(long)]
    first_seed: Option<u64>,
    /// How many times as many cases as in the tests the property tests try.
    #[arg(long, default_value_t = 50)]
    cases: u32,
    /// How often the tests run that kill hosts and schedulers.
    #[arg(long, default_value_t = 10)]
    kills: u32,
    /// How often each attack of a guest on its host is repeated.
    #[arg(long, default_value_t = 10_000)]
    repetitions: u32,
    /// How many seconds each fuzz target runs. Failing inputs are kept in `target/fuzz`.
    #[arg(long, default_value_t = 300)]
    fuzz_seconds: u32,
    /// The seed of the fuzz targets. Left out: another one each time; it is printed.
    #[arg(long)]
    fuzz_seed: Option<u64>,
    /// How many versions are deployed, one a second, while hosts are killed.
    #[arg(long, default_value_t = 120)]
    deployments: u32,
    /// Only this part: `simulation`, `properties`, `determinism`, `isolation`, `fuzz`, `kills`, `versions` or `scale`.
    #[arg(long)]
    only: Option<String>,
}

/// The parts.
const PARTS: [&str; 8] = ["simulation", "properties", "determinism", "isolation", "fuzz", "kills", "versions", "scale"];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(only) = &arguments.only {
        anyhow::ensure!(PARTS.contains(&only.as_str()), "there is no part `{only}`; there are: {}", PARTS.join(", "));
    }
    let mut stages = Stages::default();
    let outcome = soak(arguments, &mut stages);
    stages.summarize();
    outcome
}

fn soak(arguments: &Arguments, stages: &mut Stages) -> Result<()> {
    let wanted = |part: &str| arguments.only.as_deref().is_none_or(|only| only == part);
    let random = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() << 20);
    if wanted("simulation") {
        let first = arguments.first_seed.unwrap_or(random);
        eprintln!("simulator: seeds {first} to {}", first + arguments.seeds - 1);
        stages.run("the simulator", || {
            let mut command = tests("simulation");
            command.env("DURAWASM_SIM_FIRST", first.to_string());
            command.env("DURAWASM_SIM_SEEDS", arguments.seeds.to_string());
            command::run(&mut command)
        })?;
        stages.run("the bank of entities", || {
            let mut command = tests("bank");
            command.env("DURAWASM_SIM_FIRST", first.to_string());
            // A world of it is ten times as long.
            command.env("DURAWASM_SIM_SEEDS", (arguments.seeds / 10).to_string());
            command::run(&mut command)
        })?;
    }
    if wanted("properties") {
        // Failing cases are printed, and kept beside the test, by the property tests themselves.
        for target in ["store_model", "store_payloads", "replay_properties", "programs"] {
            stages.run(&format!("properties: {target}"), || {
                let mut command = tests(target);
                // The tests take their share of this number, whose default is 256.
                command.env("PROPTEST_CASES", (256 * arguments.cases).to_string());
                command::run(&mut command)
            })?;
        }
        // Everything that the protocol's tests send and get goes through the payload store, however short it is.
        stages.run("properties: every payload in the payload store", || {
            command::run(tests("protocol").env("DURAWASM_PAYLOAD_THRESHOLD", "0"))
        })?;
    }
    if wanted("isolation") {
        stages.run("isolation", || {
            let mut command = tests("isolation");
            // One at a time: the process's memory, files, mappings and threads are measured.
            command.args(["--test-threads", "1"]);
            command::run(command.env("DURAWASM_ISOLATION_REPETITIONS", arguments.repetitions.to_string()))
        })?;
    }
    if wanted("fuzz") {
        fuzz(arguments, stages)?;
    }
    if !["determinism", "kills", "versions", "scale"].into_iter().any(wanted) {
        return Ok(());
    }
    let installation = setup::install(stages, true)?;
    if wanted("determinism") {
        let seed = arguments.first_seed.unwrap_or(random);
        eprintln!("random programs on several processors: seed {seed}");
        stages.run("determinism", || {
            let mut command = tests("determinism");
            installation.announce(&mut command);
            command.env("PROPTEST_RNG_SEED", seed.to_string());
            command.env("PROPTEST_CASES", (256 * arguments.cases).to_string());
            command::run(&mut command)
        })?;
    }
    if wanted("kills") {
        let python = stages.run("setting up the Python SDK", python::ensure)?;
        for round in 1..=arguments.kills {
            stages.run(&format!("kills, round {round} of {}", arguments.kills), || {
                let mut command = tests("kills");
                installation.announce(&mut command);
                command::run(command.env("DURAWASM_PYTHON", &python))
            })?;
            stages.run(&format!("entities under kills, round {round} of {}", arguments.kills), || {
                let mut command = tests("entities_under_kills");
                installation.announce(&mut command);
                command::run(command.env("DURAWASM_BANK_KILLS", "25"))
            })?;
        }
    }
    if wanted("versions") {
        stages.run("versions under load", || {
            let mut command = tests("versions_under_load");
            installation.announce(&mut command);
            command.env("DURAWASM_DEPLOYMENTS", arguments.deployments.to_string());
            command::run(command.env("DURAWASM_DEPLOY_EVERY", "1000"))
        })?;
    }
    if wanted("scale") {
        stages.run("scale", || {
            let mut command = command::cargo();
            installation.announce(&mut command);
            command.args(["run", "--release", "--package", "durawasm-benches", "--"]);
            command::run(command.args(["children", "generations", "idle", "listing", "timers"]))
        })?;
    }
    Ok(())
}

/// The fuzz targets, with new components from the generator.
fn fuzz(arguments: &Arguments, stages: &mut Stages) -> Result<()> {
    let generated = workspace::folder("fuzz/generated")?;
    stages.run("generating components", || {
        let manifest = workspace::root().join("fuzz").join("smith").join("Cargo.toml");
        let mut command = command::cargo();
        command.args(["run", "--release", "--manifest-path"]).arg(manifest);
        command.arg("--target-dir").arg(workspace::target()?.join("fuzz").join("build"));
        command::run(command.arg("--").arg(&generated).arg("500"))
    })?;
    stages.run("fuzzing", || {
        // `cargo run` knows no `--workspace`, and another selection of packages would compile wasmtime again.
        command::run(command::cargo().args(["build", "--release", "--workspace", "--bin", "durawasm-fuzz"]))?;
        let mut command = command::program(workspace::target()?.join("release").join("durawasm-fuzz"));
        command.args(["run", "--seconds"]);
        command.arg(arguments.fuzz_seconds.to_string()).arg("--failures").arg(workspace::folder("fuzz")?);
        if let Some(seed) = arguments.fuzz_seed {
            command.arg("--seed").arg(seed.to_string());
        }
        command::run(command.env("DURAWASM_FUZZ_COMPONENTS", &generated))
    })
}

/// A test target, with what it prints. The whole workspace is built, as for the tests, so that nothing is built twice.
fn tests(target: &str) -> Command {
    let mut command = command::cargo();
    command.args(["test", "--release", "--workspace", "--test", target, "--", "--nocapture"]);
    command
}
