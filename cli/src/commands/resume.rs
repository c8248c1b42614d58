//! `durawasm resume`: lets a paused instance go on.

use durawasm_client::Status;
use durawasm_errors::CodedError;

use crate::{arguments::ReasonedArguments, console::Console};

pub(crate) async fn run(arguments: ReasonedArguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let client = arguments.instance.connection.connect().await?;
    let before = client.get(&id, false).await?.map(|instance| instance.status);
    client.resume(&id, arguments.reason.as_deref()).await?;
    match before {
        Some(status) if status.is_terminal() => console.warn(format_args!("{id} has ended already: it is {status}")),
        Some(status) if status != Status::Suspended => {
            console.note(format_args!("{id} was not paused: it is {status}"))
        }
        _ => console.note(format_args!("{id} goes on")),
    }
    if console.is_json() {
        console.data(&serde_json::json!({ "id": id }), String::new);
    }
    console.next_step("See what it does", arguments.instance.command("history", " --follow"));
    Ok(())
}
