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
            format!("it took more than {} ms and was still computing{}", limits.deadline.as_millis(), place(error)),
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
    Failure { error_type: error_type.to_owned(), message, stack: stack(error), retriable: true, properties: Vec::new() }
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

/// A failure with the backtrace of the call that was stopped.
pub(super) fn traced(failure: Failure, error: &wasmtime::Error) -> Failure {
    Failure { stack: failure.stack.clone().or_else(|| stack(error)), ..failure }
}

/// The backtrace of a call that was stopped, if the guest's code was running.
fn stack(error: &wasmtime::Error) -> Option<String> {
    error.downcast_ref::<WasmBacktrace>().map(|backtrace| bounded(&backtrace.to_string()))
}

/// How many functions a message names: the innermost, and those of its callers that are the author's and not a library's. The rest is
/// in the backtrace.
const MAX_PLACES: usize = 3;

/// In which function of the guest it happened and who called that, and at which line where there is debug information:
/// "; it was in `f` at a.rs:1:2, called by `g`".
fn place(error: &wasmtime::Error) -> String {
    stack(error).map(|backtrace| places(&backtrace)).unwrap_or_default()
}

fn places(backtrace: &str) -> String {
    let mut places: Vec<(&str, Option<&str>)> = Vec::new();
    for line in backtrace.lines().map(str::trim_start) {
        if let Some(at) = line.strip_prefix("at ") {
            if let Some((_, place)) = places.last_mut() {
                *place = Some(at);
            }
        } else if let Some(function) = function(line) {
            places.push((function, None));
        }
    }
    // A function that calls itself is named once.
    places.dedup_by(|(caller, line), (function, at)| {
        let is_same = caller == function;
        if is_same {
            *at = at.or(*line);
        }
        is_same
    });
    let innermost = places.iter().take(1);
    let callers = places.iter().skip(1).filter(|(function, at)| !is_library(function, *at));
    let mut text = String::new();
    for (number, (function, at)) in innermost.chain(callers).take(MAX_PLACES).enumerate() {
        text += if number == 0 { "; it was in `" } else { ", called by `" };
        text += function;
        text.push('`');
        if let Some(at) = at.filter(|_| !is_library(function, *at)) {
            text += " at ";
            text += at;
        }
    }
    text
}

/// Whether a function belongs to the language and not to the component's author, as far as that can be told: allocators and formatters
/// call each other many levels deep.
fn is_library(function: &str, at: Option<&str>) -> bool {
    const CRATES: [&str; 5] = ["core::", "alloc::", "std::", "dlmalloc::", "__rust"];
    let name = function.rsplit_once('!').map_or(function, |(_, name)| name).trim_start_matches('<');
    at.is_some_and(|at| at.starts_with("/rustc/") || at.contains("wasi-libc"))
        || CRATES.iter().any(|prefix| name.starts_with(prefix))
}

/// The function of a line of a backtrace, without the spaces before it: "0: 0x1f2 - module!function", or "0: module!function" where the
/// instruction has no place in the component's code (as the check for the end of the stack), or "- function" where it was inlined.
fn function(line: &str) -> Option<&str> {
    if let Some(inlined) = line.strip_prefix("- ") {
        return Some(inlined);
    }
    let (number, rest) = line.split_once(": ")?;
    number.parse::<u32>().ok()?;
    let rest = rest.trim_start();
    match rest.split_once(" - ") {
        Some((address, function)) if address.starts_with("0x") => Some(function),
        _ => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_the_innermost_functions_with_their_lines_and_a_recursion_once() {
        let backtrace = "error while executing at wasm backtrace:
    0:   0x1f2 - shop!price
                    at src/price.rs:7:9
                - shop::total
                    at src/lib.rs:20:1
    1:   0x300 - shop!run
    2:   0x310 - shop!main";
        let expected = "; it was in `shop!price` at src/price.rs:7:9, called by `shop::total` at src/lib.rs:20:1, called by `shop!run`";
        assert_eq!(places(backtrace), expected);
        let recursion = "error while executing at wasm backtrace:
    0: shop!down
    1:   0x20 - shop!down
                    at src/down.rs:3:5
    2:   0x20 - shop!down
                    at src/down.rs:3:5
    3:   0x80 - shop!run";
        assert_eq!(places(recursion), "; it was in `shop!down` at src/down.rs:3:5, called by `shop!run`");
        let library = "error while executing at wasm backtrace:
    0:   0x1f2 - shop!dlmalloc::malloc
    1:   0x300 - shop!<alloc::vec::Vec<u8> as core::clone::Clone>::clone
    2:   0x310 - with_capacity
                    at /rustc/5980/library/alloc/src/vec/mod.rs:9:1
                - shop::basket
                    at src/lib.rs:7:3
    3:   0x400 - shop!run";
        let expected =
            "; it was in `shop!dlmalloc::malloc`, called by `shop::basket` at src/lib.rs:7:3, called by `shop!run`";
        assert_eq!(places(library), expected);
        assert_eq!(places("error while executing at wasm backtrace:"), "");
    }
}
