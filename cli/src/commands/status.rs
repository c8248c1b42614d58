//! `durawasm status`: an instance, and what it waits for.

use clap::Args;
use durawasm_client::Status;
use durawasm_errors::{Code, CodedError};

use crate::{arguments::InstanceArguments, console::Console, render};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let connection = &arguments.instance.connection;
    let client = connection.connect().await?;
    let description = client.describe(&id, true).await?.ok_or_else(|| {
        CodedError::new(
            Code::InstanceNotFound,
            format!("there is no instance `{id}` in the task hub `{}` of {}", connection.hub, connection.scheduler),
        )
    })?;
    console.data(&description, || render::description(&description));
    let (shown, place) = (render::quoted(id.as_str()), connection.repeated());
    let parked = description.details.as_ref().and_then(|details| details.parked.as_ref());
    if let Some(parked) = parked {
        console.next_step("What this means", format_args!("durawasm errors {}", render::parked_code(parked)));
    } else if description.instance.status.is_terminal() || description.instance.status == Status::Suspended {
        console.next_step("See what led to it", format_args!("durawasm history {shown}{place}"));
    } else {
        console.next_step("See it go on", format_args!("durawasm history {shown} --follow{place}"));
    }
    Ok(())
}
