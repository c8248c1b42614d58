//! `durawasm wait`: until an instance has ended.

use std::time::Duration;

use clap::Args;
use durawasm_errors::CodedError;

use crate::{arguments::InstanceArguments, console::Console, outcome, render};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
    /// Wait this long at most (30s, 10m). Without it: until the end.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let connection = &arguments.instance.connection;
    let client = connection.connect().await?;
    let instance = outcome::wait(&client, &id, arguments.timeout, console).await?;
    outcome::conclude(&instance, console)?;
    let shown = render::quoted(id.as_str());
    console.next_step("See what happened", format_args!("durawasm history {shown}{}", connection.repeated()));
    Ok(())
}
