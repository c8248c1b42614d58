//! `durawasm history`: what has happened to an instance.

use clap::Args;
use durawasm_client::Narrator;
use durawasm_errors::CodedError;

use crate::{arguments::InstanceArguments, console::Console, outcome, render};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
    /// Go on with the events to come, until the instance has ended.
    #[arg(long, short)]
    follow: bool,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let connection = &arguments.instance.connection;
    let client = connection.connect().await?;
    console.note(render::event_header());
    if arguments.follow {
        // How it ended is the last event; the command has done what it was asked for either way.
        outcome::follow(&client, &id, None, console).await?;
    } else {
        let mut history = client.history(&id).await?;
        let mut narrator = Narrator::default();
        while let Some(events) = history.next().await? {
            for event in &events {
                console.data(event, || render::event_line(event, &mut narrator));
            }
        }
    }
    console.next_step("See where it stands", arguments.instance.command("status", ""));
    Ok(())
}
