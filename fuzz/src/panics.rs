//! Counts the panics of all threads: one in a thread of the tested code must not go unseen.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static PANICS: AtomicU64 = AtomicU64::new(0);
static HOOK: Once = Once::new();

/// Begins to count. Panics are printed as before.
pub(crate) fn watch() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            before(info);
        }));
    });
}

/// How many there were so far.
pub(crate) fn count() -> u64 {
    PANICS.load(Ordering::SeqCst)
}
