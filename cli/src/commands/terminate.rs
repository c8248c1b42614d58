//! `durawasm terminate`: ends an instance for good.

use clap::Args;
use durawasm_errors::CodedError;

use crate::{arguments::InstanceArguments, console::Console, input, render};

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
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let output = arguments.output.as_deref().map(|text| input::payload(text, false)).transpose()?;
    let children = if arguments.recursive { " and all that it has started" } else { "" };
    console.confirm(&format!("this ends the instance `{id}`{children}"))?;
    let connection = &arguments.instance.connection;
    let client = connection.connect().await?;
    client.terminate(&id, output, arguments.recursive).await?;
    if console.is_json() {
        console.data(&serde_json::json!({ "id": id }), String::new);
    }
    console.note(format_args!("the end of {id} is requested"));
    let shown = render::quoted(id.as_str());
    console.next_step("See that it has ended", format_args!("durawasm status {shown}{}", connection.repeated()));
    Ok(())
}
