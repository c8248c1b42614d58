//! `durawasm history`: what has happened to an instance.

use std::path::PathBuf;

use clap::Args;
use durawasm_client::{ExportedHistory, Narrator};
use durawasm_errors::{Code, CodedError, Context as _};

use crate::{arguments::InstanceArguments, console::Console, outcome, render};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
    /// Go on with the events to come, until the instance has ended.
    #[arg(long, short)]
    follow: bool,
    /// Write the whole history to this file, from which it can be replayed: durawasm replay --history FILE.
    #[arg(long, value_name = "FILE", conflicts_with = "follow")]
    export: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let connection = &arguments.instance.connection;
    let client = connection.connect().await?;
    if let Some(file) = &arguments.export {
        let recorded = client.history(&id).await?.recorded().await?;
        let events = recorded.events().len() as u64;
        let exported = ExportedHistory { instance_id: id.to_string(), recorded };
        // A file that is there already, perhaps a test's, is never left half written.
        let partial = file.with_extension("partial");
        std::fs::write(&partial, exported.to_json())
            .and_then(|()| std::fs::rename(&partial, file))
            .inspect_err(|_| drop(std::fs::remove_file(&partial)))
            .coded(Code::SystemRefused, || format!("the history cannot be written to {}", file.display()))?;
        let shown = file.display().to_string();
        console.data(&serde_json::json!({ "file": shown, "events": events }), || {
            format!("{} in {shown}", render::amount(events, "event", "events"))
        });
        let replay = format!("durawasm replay --history {} --component FILE", render::quoted(&shown));
        console.next_step("Run a component over it", replay);
        return Ok(());
    }
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
