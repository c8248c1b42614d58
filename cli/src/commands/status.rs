//! `durawasm status`: an instance, and what it waits for; or an entity, and what waits for it.

use clap::Args;
use durawasm_client::{EntityId, Status};
use durawasm_errors::CodedError;

use super::entity;
use crate::{arguments::InstanceArguments, console::Console, render};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let connection = &arguments.instance.connection;
    let shown = arguments.instance.shown();
    if let (true, Ok(entity)) = (shown.starts_with('@'), shown.parse::<EntityId>()) {
        return entity::show(&entity, connection, console).await;
    }
    let id = arguments.instance.id()?;
    let client = connection.connect().await?;
    let description = client.describe(&id, true).await?.ok_or_else(|| arguments.instance.not_found())?;
    console.data(&description, || render::description(&description));
    let step =
        |what: &str, name: &str, options: &str| console.next_step(what, arguments.instance.command(name, options));
    let trouble = description.details.as_ref().and_then(render::trouble);
    if let Some(code) = trouble {
        console.next_step("What this means", format_args!("durawasm errors {code}"));
    } else {
        match description.instance.status {
            Status::Suspended => step("Let it go on", "resume", ""),
            Status::Failed => {
                step("See what led to it", "history", "");
                step("Try again what failed", "rewind", "");
            }
            status if status.is_terminal() => step("See what led to it", "history", ""),
            _ => step("See it go on", "history", " --follow"),
        }
    }
    Ok(())
}
