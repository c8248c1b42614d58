//! `durawasm reset`: takes an instance back to an earlier point of its history.

use clap::Args;
use durawasm_client::ResetOptions;
use durawasm_errors::CodedError;

use crate::{
    arguments::InstanceArguments,
    console::Console,
    repair::{Point, RESET, Rollback},
};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
    /// The event to go back to, as `durawasm history` numbers them. The turn that it is part of is undone, and all after it.
    #[arg(long, value_name = "EVENT")]
    at: u64,
    /// Why, for people who look at its history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let client = arguments.instance.connection.connect().await?;
    // First the instance, then its history: if it continues as new in between, that is noticed before anything is done.
    let instance = client.get(&id, false).await?.ok_or_else(|| arguments.instance.not_found())?;
    let history = client.history(&id).await?.all().await?;
    let rollback = Rollback::plan(&arguments.instance, instance.execution_id, &history, Point::Event(arguments.at))?;
    console.note(rollback.text(RESET));
    console.confirm(&format!("this discards {} of the history of `{id}`", rollback.undone()))?;
    rollback.check_execution(&client).await?;
    let options = ResetOptions { reason: arguments.reason, execution: rollback.execution() };
    let kept = client.reset(&id, arguments.at, options).await?;
    if console.is_json() {
        console.data(&serde_json::json!({ "id": id, "keptEvents": kept }), String::new);
    }
    console.note(format_args!("{id} goes on from there"));
    console.next_step("See what it does", arguments.instance.command("history", " --follow"));
    Ok(())
}
