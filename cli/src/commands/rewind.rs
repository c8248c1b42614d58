//! `durawasm rewind`: a failed instance tries again what failed.

use durawasm_client::{ErrorKind, Status};
use durawasm_errors::CodedError;

use crate::{
    arguments::{InstanceArguments, ReasonedArguments},
    console::Console,
};

pub(crate) async fn run(arguments: ReasonedArguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let client = arguments.instance.connection.connect().await?;
    if let Err(error) = client.rewind(&id, arguments.reason.as_deref()).await {
        if error.kind() != ErrorKind::Refused {
            return Err(error.into());
        }
        let status = client.get(&id, false).await?.map(|instance| instance.status);
        return Err(CodedError::from(error).advise(advice(status, &arguments.instance)));
    }
    if console.is_json() {
        console.data(&serde_json::json!({ "id": id }), String::new);
    }
    console
        .note(format_args!("{id} goes on from before its failure: what failed is tried again, what succeeded is not"));
    console.next_step("See what it does", arguments.instance.command("history", " --follow"));
    Ok(())
}

/// What to do with an instance that has not failed.
fn advice(status: Option<Status>, instance: &InstanceArguments) -> String {
    match status {
        Some(status) if status.is_terminal() => format!(
            "Go on from an earlier point: {}. Or start it again: {}",
            instance.command("reset", " --at EVENT"),
            instance.command("restart", "")
        ),
        _ => format!("See where it stands: {}", instance.command("status", "")),
    }
}
