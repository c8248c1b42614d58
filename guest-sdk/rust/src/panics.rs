//! Panics in user code. A panic ends the WebAssembly instance with a trap, which says neither what nor where. So the hook
//! hands both to the host first: a line of level `error` with the target `durawasm.panic`, the panic's message, and the
//! field `location`. The host makes the failure of it.

use std::panic::PanicHookInfo;
use std::sync::Once;

use crate::bindings::durawasm::workflow::log::Level;
use crate::logging;

/// The target of the line.
const TARGET: &str = "durawasm.panic";

pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(report)));
}

fn report(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("panicked with a value that is not text");
    let fields: Vec<_> = panic.location().map(|place| ("location".to_owned(), place.to_string())).into_iter().collect();
    logging::write(Level::Error, TARGET, message, &fields);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::captured;

    #[test]
    fn a_panic_is_reported_with_its_message_and_place() {
        install();
        let panicked = std::panic::catch_unwind(|| panic!("out of {}", "paper"));
        assert!(panicked.is_err());
        let lines = captured::take();
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(line.starts_with("Level::Error durawasm.panic: out of paper location="), "{line}");
        assert!(line.contains("panics.rs:"), "{line}");
    }
}
