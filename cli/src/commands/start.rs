//! `durawasm start`: starts an orchestration, and waits for it or follows it if asked to.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use durawasm_client::{InstanceId, Reuse, StartOptions};
use durawasm_errors::{Code, CodedError};

use crate::{arguments::ConnectionArguments, console::Console, input, moment, outcome, render};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The name of the orchestrator.
    name: String,
    /// The id of the new instance. Without one the scheduler makes one. Give one to make a repeated start harmless.
    #[arg(long)]
    id: Option<String>,
    /// The input: JSON, @FILE, or - for standard input.
    #[arg(long, short, value_name = "JSON", allow_hyphen_values = true)]
    input: Option<String>,
    /// Send the input as it is, even if it is not JSON.
    #[arg(long, requires = "input")]
    raw_input: bool,
    /// The version of the orchestrator. Without one the default for the name.
    #[arg(long)]
    version: Option<String>,
    /// A name and value that travel with the instance. May be repeated.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = input::tag)]
    tags: Vec<(String, String)>,
    /// Start not before this time: 2027-01-31T08:00:00Z, or a while from now: 90s, 2h.
    #[arg(long, value_name = "TIME", value_parser = moment::from_now)]
    at: Option<SystemTime>,
    /// Replace an instance that has the id, if it has ended, or in any case.
    #[arg(long, value_enum, requires = "id", value_name = "WHICH")]
    replace: Option<Replace>,
    /// Wait until it has ended, and print its output.
    #[arg(long)]
    wait: bool,
    /// Show its events as they are committed, until it has ended.
    #[arg(long)]
    follow: bool,
    /// With --wait or --follow: wait this long at most (30s, 10m).
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Replace {
    /// One that has ended.
    Ended,
    /// Any; one that runs is terminated.
    Any,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    if arguments.timeout.is_some() && !arguments.wait && !arguments.follow {
        return Err(CodedError::new(Code::Usage, "--timeout says how long to wait, and needs --wait or --follow"));
    }
    let input = arguments.input.as_deref().map(|text| input::payload(text, arguments.raw_input)).transpose()?;
    let options = StartOptions {
        id: arguments.id.map(InstanceId::new).transpose()?,
        version: arguments.version,
        tags: arguments.tags.into_iter().collect(),
        scheduled_at: arguments.at,
        reuse: match arguments.replace {
            None => Reuse::Refuse,
            Some(Replace::Ended) => Reuse::ReplaceEnded,
            Some(Replace::Any) => Reuse::ReplaceAny,
        },
    };
    let client = arguments.connection.connect().await?;
    let id = client.start(&arguments.name, input, options).await?;
    let place = arguments.connection.repeated();
    let shown = render::quoted(id.as_str());
    if arguments.follow {
        console.note(format_args!("{} started as {id}", arguments.name));
        let instance = outcome::follow(&client, &id, arguments.timeout, console).await?;
        outcome::conclude(&instance, console)
    } else if arguments.wait {
        console.note(format_args!("{} started as {id}", arguments.name));
        let instance = outcome::wait(&client, &id, arguments.timeout, console).await?;
        outcome::conclude(&instance, console)
    } else {
        console.data(&serde_json::json!({ "id": id }), || id.to_string());
        console.next_step("Wait for its output", format_args!("durawasm wait {shown}{place}"));
        Ok(())
    }
}
