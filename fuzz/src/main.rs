//! `durawasm-fuzz`: runs fuzz targets for as long as is asked, and runs failing inputs again.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use durawasm_fuzz::{Plan, targets};

/// Runs fuzz targets.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run targets one after the other.
    Run {
        /// Their names; none: all.
        targets: Vec<String>,
        /// Seconds for each.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// The seed. Left out: another one each time.
        #[arg(long)]
        seed: Option<u64>,
        /// Where failing inputs are kept.
        #[arg(long, default_value = "target/fuzz")]
        failures: PathBuf,
    },
    /// Run one input again.
    Replay {
        /// The target.
        target: String,
        /// The file with the input.
        file: PathBuf,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Run { targets: names, seconds, seed, failures } => {
            let names = if names.is_empty() { targets::NAMES.map(str::to_owned).to_vec() } else { names };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            let plan =
                Plan { seed: seed.unwrap_or(now), inputs: u64::MAX, time: Duration::from_secs(seconds), failures };
            for name in names {
                let mut target = target(&name)?;
                println!("{name}: seed {}, {seconds} s", plan.seed);
                let report = durawasm_fuzz::run(&mut *target, &plan)?;
                println!("{name}: {} inputs in {:?}, none failed", report.inputs, report.time);
            }
            Ok(())
        }
        Command::Replay { target: name, file } => {
            durawasm_fuzz::replay(&mut *target(&name)?, &file)?;
            println!("it does not fail");
            Ok(())
        }
    }
}

fn target(name: &str) -> Result<Box<dyn durawasm_fuzz::Target>> {
    targets::target(name)
        .with_context(|| format!("there is no target `{name}`; there are: {}", targets::NAMES.join(", ")))
}
