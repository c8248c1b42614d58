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
    if arguments.follow {
        console.note(render::event_header());
        // How it ended is the last event; the command has done what it was asked for either way.
        outcome::follow(&client, &id, None, console).await?;
    } else {
        let mut history = client.history(&id).await?;
        let mut narrator = Narrator::default();
        let mut begun = false;
        while let Some(events) = history.next().await? {
            for event in &events {
                if !std::mem::replace(&mut begun, true) {
                    console.note(render::event_header());
                }
                console.data(event, || render::event_line(event, &mut narrator));
            }
        }
        if !begun {
            console.note(format_args!("{id} has not begun yet: nothing has happened to it"));
        }
    }
    console.next_step("See where it stands", arguments.instance.command("status", ""));
    Ok(())
}
