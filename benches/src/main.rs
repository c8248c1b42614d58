//! `cargo xtask bench`: what durawasm costs. Each bench prints its figures with the conditions under which they hold.
//!
//! Everything runs for real: the program in processes of its own, gRPC over loopback, fsync on, unless a row says
//! "in process". Figures of one run belong together; machines differ, and so do days.

mod children;
mod conditions;
mod deploy;
mod enforcement;
mod entities;
mod fan_out;
mod generations;
mod hello_cities;
mod idle;
mod instances;
mod languages;
mod listing;
mod load;
mod path;
mod replay;
mod restart;
mod scripted;
mod timers;

use anyhow::{Result, bail};
use clap::Parser;

/// Which benches to run.
#[derive(Parser)]
struct Arguments {
    /// Names of benches; none: all.
    names: Vec<String>,
    /// Shorter runs, for a quick look.
    #[arg(long)]
    quick: bool,
    /// Be a host of this scheduler and this folder of components, for a bench that compares hosts.
    #[arg(long, hide = true, num_args = 2, value_names = ["URI", "DIR"])]
    as_host: Vec<String>,
    /// Whether that host limits its guests.
    #[arg(long, hide = true, action = clap::ArgAction::Set, default_value_t = true)]
    enforcement: bool,
}

const BENCHES: [&str; 15] = [
    "hello-cities",
    "enforcement",
    "path",
    "fan-out",
    "replay",
    "instances",
    "languages",
    "restart",
    "children",
    "generations",
    "idle",
    "listing",
    "timers",
    "entities",
    "deploy",
];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let [scheduler, components] = arguments.as_host.as_slice() {
        return enforcement::host(scheduler, components.as_ref(), arguments.enforcement).await;
    }
    for name in &arguments.names {
        if !BENCHES.contains(&name.as_str()) {
            bail!("there is no bench `{name}`; there are: {}", BENCHES.join(", "));
        }
    }
    conditions::print();
    for name in BENCHES {
        if !arguments.names.is_empty() && !arguments.names.iter().any(|n| n == name) {
            continue;
        }
        println!("\n## {name}\n");
        match name {
            "hello-cities" => hello_cities::run(arguments.quick).await?,
            "enforcement" => enforcement::run(arguments.quick).await?,
            "path" => path::run(arguments.quick).await?,
            "fan-out" => fan_out::run(arguments.quick).await?,
            "replay" => replay::run(arguments.quick)?,
            "instances" => instances::run(arguments.quick)?,
            "languages" => languages::run(arguments.quick)?,
            "restart" => restart::run(arguments.quick).await?,
            "children" => children::run(arguments.quick).await?,
            "generations" => generations::run(arguments.quick).await?,
            "idle" => idle::run(arguments.quick).await?,
            "listing" => listing::run(arguments.quick).await?,
            "deploy" => deploy::run(arguments.quick).await?,
            "entities" => entities::run(arguments.quick).await?,
            "timers" => timers::run(arguments.quick).await?,
            other => bail!("bench `{other}` is not wired"),
        }
    }
    Ok(())
}
