//! What a stopped guest means: whose fault it was, and how to say it.

use wasmtime::{Trap, WasmBacktrace};

use super::denial::Denied;
use super::limits::{GuestLimits, LimitReached};
use super::logs::LogBuffer;
use crate::abi::Failure;
use crate::orchestration::{GuestFault, Limit};

/// Explains the error of a call.
pub(super) fn explain(error: &wasmtime::Error, logs: &mut LogBuffer, limits: &GuestLimits) -> GuestFault {
    let panic = logs.take_panic();
    if let Some(LimitReached { limit, message }) = error.downcast_ref() {
        return GuestFault::Limit(*limit, format!("{message}{}", place(error)));
    }
    if let Some(denied) = error.downcast_ref::<Denied>() {
        // Trying again gives the same answer.
        return GuestFault::Trap(Failure { retriable: false, ..failure("Denied", denied.to_string(), error) });
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => GuestFault::Limit(
            Limit::Stack,
            format!(
                "its stack overflowed; the limit is {} bytes{}{}",
                super::engine::STACK,
                place(error),
                panic.map(|panic| format!(" ({panic})")).unwrap_or_default()
            ),
        ),
        Some(Trap::Interrupt) => GuestFault::Limit(
            Limit::Deadline,
            format!("it computed for more than {} ms without an end{}", limits.deadline.as_millis(), place(error)),
        ),
        Some(Trap::OutOfFuel) => {
            GuestFault::Limit(Limit::Fuel, format!("it used up the fuel of its episode{}", place(error)))
        }
        Some(trap) => GuestFault::Trap(match panic {
            Some(message) => failure("Panic", message, error),
            None => failure("Trap", format!("the guest trapped: {trap}"), error),
        }),
        None => refused(&error.root_cause().to_string(), limits),
    }
}

/// What wasmtime refused: it has no types for these errors.
fn refused(why: &str, limits: &GuestLimits) -> GuestFault {
    if why.contains("fuel allocated for hostcalls has been exhausted") {
        let message = format!("one call handed over more than {} bytes to the host", limits.answer);
        return GuestFault::Limit(Limit::Answer, message);
    }
    if let Some(count) = why.strip_prefix("resource limit exceeded: ") {
        return GuestFault::Limit(Limit::Parts, format!("it consists of too many parts: {count}"));
    }
    // The canonical ABI refused what the guest gave: a string that is not UTF-8, a list outside its memory, …
    GuestFault::Contract(format!("the guest's answer cannot be read: {why}"))
}

fn failure(error_type: &str, message: String, error: &wasmtime::Error) -> Failure {
    Failure {
        error_type: error_type.to_owned(),
        message,
        stack: error.downcast_ref::<WasmBacktrace>().map(|backtrace| bounded(&backtrace.to_string())),
        retriable: true,
        properties: Vec::new(),
    }
}

/// Characters of one line of a backtrace: compilers make long names, and attackers longer ones.
const MAX_LINE: usize = 400;

/// A backtrace within bounds. wasmtime itself bounds how many frames it has.
fn bounded(backtrace: &str) -> String {
    let lines = backtrace.lines().map(|line| match line.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// In which function of the guest it happened, and at which line where there is debug information: "; it was in `f` at a.rs:1:2".
fn place(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>().map(|backtrace| bounded(&backtrace.to_string())) else {
        return String::new();
    };
    // "    0:   0x1f2 - module!function", and then perhaps "                    at file:line:column".
    let mut lines = backtrace.lines().skip_while(|line| !line.trim_start().starts_with("0:"));
    let Some((_, function)) = lines.next().and_then(|line| line.split_once(" - ")) else { return String::new() };
    let line = lines.next().map(str::trim).filter(|line| line.starts_with("at "));
    format!("; it was in `{function}`{}", line.map(|line| format!(" {line}")).unwrap_or_default())
}
