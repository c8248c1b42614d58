//! `durawasm query`: asks an orchestrator a question, on a throwaway replay of its history.

use clap::Args;
use durawasm_client::{Failure, InstanceId};
use durawasm_errors::{Code, CodedError};

use crate::{arguments::InstanceArguments, console::Console, input};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
    /// What to ask.
    #[arg(value_name = "NAME")]
    name: String,
    /// The query's input: JSON, @FILE, or - for standard input.
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    input: Option<String>,
    /// Send the input as it is, even if it is not JSON.
    #[arg(long, requires = "input")]
    raw_input: bool,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let input = arguments.input.as_deref().map(|text| input::payload(text, arguments.raw_input)).transpose()?;
    let client = arguments.instance.connection.connect().await?;
    match client.query(&id, &arguments.name, input).await? {
        Ok(output) => {
            console.data(&output, || output.as_ref().map_or("null", |output| output.as_str()).to_owned());
            Ok(())
        }
        Err(failure) => Err(unanswered(&id, &arguments.name, &failure)),
    }
}

/// A question without an answer, by the failure's type.
fn unanswered(id: &InstanceId, name: &str, failure: &Failure) -> CodedError {
    let code = match failure.error_type.as_str() {
        "UnknownQuery" | "NoQueries" => Code::UnknownQuery,
        "NoVersion" => Code::NoWorker,
        _ => Code::QueryFailed,
    };
    let error = match code {
        Code::QueryFailed => CodedError::new(code, format!("the query `{name}` of `{id}` failed: {failure}")),
        _ => CodedError::new(code, format!("`{id}` did not answer the query `{name}`: {}", failure.message)),
    };
    let causes: Vec<String> = failure.chain().skip(1).map(ToString::to_string).collect();
    if causes.is_empty() { error } else { error.because(causes.join("\n  caused by: ")) }
}
