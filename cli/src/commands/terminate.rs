//! `durawasm terminate`: ends an instance for good.

use clap::Args;
use durawasm_client::Client;
use durawasm_errors::{Code, CodedError};

use crate::{arguments::InstanceArguments, console::Console, input};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
    /// What those who wait for the instance get as its output: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    output: Option<String>,
    /// Also end the orchestrations that it has started, and theirs.
    #[arg(long)]
    recursive: bool,
    /// End it at once, in the store: its orchestrator is not asked, and no worker is needed.
    #[arg(long, conflicts_with_all = ["output", "recursive"])]
    force: bool,
    /// With --force: why, for people.
    #[arg(long, value_name = "TEXT", requires = "force")]
    reason: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let output = arguments.output.as_deref().map(|text| input::payload(text, false)).transpose()?;
    let what = match (arguments.force, arguments.recursive) {
        (true, _) => format!("this ends the instance `{id}` at once, without asking its orchestrator"),
        (false, true) => format!("this ends the instance `{id}` and all that it has started"),
        (false, false) => format!("this ends the instance `{id}`"),
    };
    console.confirm(&what)?;
    let client = arguments.instance.connection.connect().await?;
    if arguments.force {
        let left = client.terminate_at_once(std::slice::from_ref(&id), arguments.reason.as_deref()).await?;
        if !left.is_empty() {
            return Err(why_not(&client, &arguments.instance).await?);
        }
        console.note(format_args!("{id} has ended"));
    } else {
        // The protocol takes this for an instance that has ended, and does nothing.
        let ended = client.get(&id, false).await?.filter(|instance| instance.status.is_terminal());
        client.terminate(&id, output, arguments.recursive).await?;
        match ended {
            Some(instance) => console.warn(format_args!("{id} has ended already: it is {}", instance.status)),
            None => console.note(format_args!("the end of {id} is requested")),
        }
    }
    if console.is_json() {
        console.data(&serde_json::json!({ "id": id }), String::new);
    }
    console.next_step("See how it has ended", arguments.instance.command("status", ""));
    Ok(())
}

/// Why an instance was not ended at once. The protocol tells only that.
async fn why_not(client: &Client, instance: &InstanceArguments) -> Result<CodedError, CodedError> {
    let id = instance.id()?;
    Ok(match client.get(&id, false).await? {
        None => instance.not_found(),
        Some(found) if found.status.is_terminal() => {
            CodedError::new(Code::Refused, format!("the instance `{id}` has ended already: it is {}", found.status))
                .advise(format!("See how it ended: {}", instance.command("status", "")))
        }
        Some(_) => CodedError::new(
            Code::Refused,
            format!("the scheduler did not end the instance `{id}`: it may hold locks of entities"),
        )
        .advise(format!("End it through its orchestrator: {}", instance.command("terminate", ""))),
    })
}
