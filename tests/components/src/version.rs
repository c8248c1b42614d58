//! The same component as another version, without compiling it anew.

/// A component in which a text, such as its version, stands in place of another one of the same length.
///
/// # Panics
/// If it has not the same length, or is nowhere.
#[must_use]
pub fn rewritten(mut component: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "`{from}` and `{to}` have not the same length");
    let windows = component.windows(from.len()).enumerate();
    let places: Vec<usize> = windows.filter(|(_, window)| *window == from.as_bytes()).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "`{from}` is nowhere in the component");
    for at in places {
        component[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    component
}
