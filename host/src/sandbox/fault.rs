//! What a stopped guest means: whose fault it was, and how to say it.

use wasmtime::{Trap, WasmBacktrace};

use super::denial::Denied;
use super::limits::LimitReached;
use super::logs::LogBuffer;
use crate::abi::Failure;
use crate::orchestration::GuestFault;

/// Explains the error of a call.
pub(super) fn explain(error: &wasmtime::Error, logs: &mut LogBuffer, deadline: std::time::Duration) -> GuestFault {
    let panic = logs.take_panic();
    if let Some(limit) = error.downcast_ref::<LimitReached>() {
        return GuestFault::Limit("memory", limit.to_string());
    }
    if let Some(denied) = error.downcast_ref::<Denied>() {
        return GuestFault::Trap(failure("Denied", denied.to_string(), error));
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => GuestFault::Limit(
            "stack",
            format!("the guest's stack overflowed{}", panic.map(|panic| format!(" ({panic})")).unwrap_or_default()),
        ),
        Some(Trap::Interrupt) => {
            GuestFault::Deadline(format!("the guest computed for more than {} ms without an end", deadline.as_millis()))
        }
        Some(trap) => GuestFault::Trap(match panic {
            Some(message) => failure("Panic", message, error),
            None => failure("Trap", format!("the guest trapped: {trap}"), error),
        }),
        // The canonical ABI refused what the guest gave: a string that is not UTF-8, a list outside its memory, …
        None => GuestFault::Contract(format!("the guest's answer cannot be read: {}", error.root_cause())),
    }
}

fn failure(error_type: &str, message: String, error: &wasmtime::Error) -> Failure {
    Failure {
        error_type: error_type.to_owned(),
        message,
        stack: error.downcast_ref::<WasmBacktrace>().map(ToString::to_string),
        retriable: true,
        properties: Vec::new(),
    }
}
