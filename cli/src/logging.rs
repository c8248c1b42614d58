//! The log of the long-running commands: lines on standard error.

use clap::{Args, ValueEnum};
use durawasm_errors::{Code, CodedError};
use tracing_subscriber::EnvFilter;

/// What is logged, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogArguments {
    /// What to log: a level, or levels by target as in `info,durawasm_host=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    /// The form of a line.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Begins to log.
pub(crate) fn begin(arguments: &LogArguments) -> Result<(), CodedError> {
    let filter = EnvFilter::try_new(&arguments.log).map_err(|error| {
        CodedError::new(Code::Usage, format!("`{}` is not a log filter", arguments.log))
            .because(error)
            .advise("Give a level (error, warn, info, debug, trace), or levels by target: `info,durawasm_host=debug`.")
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => {
            lines.with_ansi(anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never).init()
        }
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
