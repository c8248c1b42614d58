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
        return GuestFault::Limit(*limit, message.clone());
    }
    if let Some(denied) = error.downcast_ref::<Denied>() {
        // Trying again gives the same answer.
        return GuestFault::Trap(Failure { retriable: false, ..failure("Denied", denied.to_string(), error) });
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => GuestFault::Limit(
            Limit::Stack,
            format!(
                "its stack overflowed; the limit is {} bytes{}",
                super::engine::STACK,
                panic.map(|panic| format!(" ({panic})")).unwrap_or_default()
            ),
        ),
        Some(Trap::Interrupt) => GuestFault::Limit(
            Limit::Deadline,
            format!("it computed for more than {} ms without an end", limits.deadline.as_millis()),
        ),
        Some(Trap::OutOfFuel) => GuestFault::Limit(Limit::Fuel, "it used up the fuel of its episode".to_owned()),
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
        stack: error.downcast_ref::<WasmBacktrace>().map(ToString::to_string),
        retriable: true,
        properties: Vec::new(),
    }
}
