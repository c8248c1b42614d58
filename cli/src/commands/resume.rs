//! `durawasm resume`: lets a paused instance go on.

use clap::Args;
use durawasm_errors::CodedError;

use crate::{arguments::InstanceArguments, console::Console};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
    /// Why, for people who look at its history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let client = arguments.instance.connection.connect().await?;
    client.resume(&id, arguments.reason.as_deref()).await?;
    let ended = client.get(&id, false).await?.filter(|instance| instance.status.is_terminal());
    if let Some(instance) = &ended {
        console.warn(format_args!("{id} has ended: it is {}", instance.status));
    } else {
        console.note(format_args!("{id} goes on"));
    }
    if console.is_json() {
        console.data(&serde_json::json!({ "id": id }), String::new);
    }
    console.next_step("See what it does", arguments.instance.command("history", " --follow"));
    Ok(())
}
