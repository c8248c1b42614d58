//! `durawasm restart`: an instance begins again, with the input that it was started with.

use clap::Args;
use durawasm_client::RestartAs;
use durawasm_errors::CodedError;

use crate::{arguments::InstanceArguments, console::Console, render};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
    /// Start it as a new instance, under an id that the scheduler makes. The old one stays as it is, and need not have ended.
    #[arg(long)]
    new_id: bool,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let under = if arguments.new_id { RestartAs::NewId } else { RestartAs::SameId };
    if under == RestartAs::SameId {
        console.confirm(&format!("this discards the history and the output of the instance `{id}`"))?;
    }
    let connection = &arguments.instance.connection;
    let client = connection.connect().await?;
    let started = client.restart(&id, under).await?;
    console.data(&serde_json::json!({ "id": started }), || started.to_string());
    console.note(format_args!("{started} starts with the input of {id}"));
    let shown = render::quoted(started.as_str());
    console.next_step("Wait for its output", format_args!("durawasm wait {shown}{}", connection.repeated()));
    Ok(())
}
