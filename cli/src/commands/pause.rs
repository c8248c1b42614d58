//! `durawasm pause`: holds an instance until it is resumed.

use durawasm_errors::CodedError;

use crate::{arguments::ReasonedArguments, console::Console};

pub(crate) async fn run(arguments: ReasonedArguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let client = arguments.instance.connection.connect().await?;
    // The protocol takes this for an instance that has ended, and does nothing.
    let ended = client.get(&id, false).await?.filter(|instance| instance.status.is_terminal());
    client.suspend(&id, arguments.reason.as_deref()).await?;
    if let Some(instance) = &ended {
        console.warn(format_args!("{id} has ended already: it is {}", instance.status));
    }
    if console.is_json() {
        console.data(&serde_json::json!({ "id": id, "paused": ended.is_none() }), String::new);
    }
    if ended.is_none() {
        console.note(format_args!("{id} is paused: what arrives for it is kept"));
        console.next_step("Let it go on", arguments.instance.command("resume", ""));
    }
    Ok(())
}
