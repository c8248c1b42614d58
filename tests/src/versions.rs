//! Versions of a component of `tests/guests`, without compiling it anew: another version of as many letters is written over its own.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// What the components state whose version is replaced.
const STATED: &str = "1.0.0";

/// Writes a component of the tests (`test_rolling`), as another version of five letters, into a file of this folder. The file appears at
/// once and whole.
///
/// # Errors
/// If the component is not built, or does not state its version.
pub fn write(folder: &Path, component: &str, version: &str) -> Result<PathBuf> {
    let bytes = std::fs::read(crate::test_guests().join(component).with_extension("wasm"))?;
    let file = folder.join(format!("{component}-{version}.wasm"));
    let partial = file.with_extension("partial");
    std::fs::write(&partial, replaced(bytes, STATED, version)?)?;
    std::fs::rename(partial, &file)?;
    Ok(file)
}

/// A component in which a text stands in place of another one of the same length.
///
/// # Errors
/// If they have not the same length, or the text is nowhere.
pub fn replaced(mut bytes: Vec<u8>, from: &str, to: &str) -> Result<Vec<u8>> {
    ensure!(from.len() == to.len(), "`{from}` and `{to}` have not the same length");
    let is_there = |(at, window): (usize, &[u8])| (window == from.as_bytes()).then_some(at);
    let places: Vec<usize> = bytes.windows(from.len()).enumerate().filter_map(is_there).collect();
    ensure!(!places.is_empty(), "`{from}` is nowhere in the component");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    Ok(bytes)
}

/// The version with this number, the lowest first: 1.0.0, 1.0.1, up to 9.9.9.
#[must_use]
pub fn numbered(number: usize) -> String {
    format!("{}.{}.{}", 1 + number / 100, number / 10 % 10, number % 10)
}
