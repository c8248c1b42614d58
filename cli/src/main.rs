//! The program `durawasm`: reads the command line, runs one command, and turns its outcome into an exit code.
//!
//! Thin on purpose: what the commands do is in the crates of the client, the scheduler, the host and the toolchain.
//! Data goes to standard output, all else to standard error.

mod arguments;
mod commands;
mod console;
mod input;
mod limits;
mod logging;
mod moment;
mod outcome;
mod render;
mod repair;
mod signals;
mod status;

use std::process::ExitCode;

use clap::{Parser as _, error::ErrorKind};
use durawasm_errors::{Code, CodedError};

use crate::{arguments::Arguments, console::Console};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let console = Console::new(&arguments.output);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error =
                CodedError::new(Code::SystemRefused, "the threads of the program could not be started").because(error);
            return report(&console, &error);
        }
    };
    match runtime.block_on(commands::run(arguments.command, &console)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&console, &error),
    }
}

fn report(console: &Console, error: &CodedError) -> ExitCode {
    console.error(error);
    ExitCode::from(error.code().class().exit_code())
}

/// Help and version are answers; everything else that clap reports is an error of usage.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let message = error.kind().as_str().unwrap_or("the command line cannot be understood");
        let detail = error.render().to_string();
        Console::json().error(&CodedError::new(Code::Usage, message).because(detail));
    } else {
        // Nothing to do if standard error is closed; the exit code tells.
        let _ = error.print();
        eprintln!("\n[{}] Read on: durawasm errors {}", Code::Usage, Code::Usage);
    }
    ExitCode::from(Code::Usage.class().exit_code())
}
