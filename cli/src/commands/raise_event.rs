//! `durawasm raise-event`: sends an external event.

use clap::Args;
use durawasm_errors::CodedError;

use crate::{arguments::InstanceArguments, console::Console, input};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
    /// The event's name. Names compare without regard to case.
    #[arg(value_name = "NAME")]
    name: String,
    /// The event's payload: JSON, @FILE, or - for standard input.
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    payload: Option<String>,
    /// Send the payload as it is, even if it is not JSON.
    #[arg(long, requires = "payload")]
    raw_input: bool,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let payload = arguments.payload.as_deref().map(|text| input::payload(text, arguments.raw_input)).transpose()?;
    let client = arguments.instance.connection.connect().await?;
    // The protocol takes an event for an instance that has ended, and drops it.
    let ended = client.get(&id, false).await?.filter(|instance| instance.status.is_terminal());
    client.raise_event(&id, &arguments.name, payload).await?;
    if console.is_json() {
        console.data(&serde_json::json!({ "id": id, "event": arguments.name }), String::new);
    }
    if let Some(instance) = ended {
        console.warn(format_args!("{id} has ended already ({}): nobody takes the event", instance.status));
        return Ok(());
    }
    console.note(format_args!("event `{}` sent to {id}", arguments.name));
    console.next_step("See what it does", arguments.instance.command("history", " --follow"));
    Ok(())
}
