//! The same component as another version.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The component of `tests/guests/version-one` as another version with as many letters as `1.0.0`, in a file `shop-VERSION.wasm` of this
/// folder, which is there as a whole or not at all.
///
/// # Errors
/// If the component is not built, or the file cannot be written.
pub fn version_one_as(folder: &Path, version: &str) -> Result<PathBuf> {
    let bytes = std::fs::read(crate::test_guests().join("test_version_one.wasm"))?;
    let file = folder.join(format!("shop-{version}.wasm"));
    let partial = file.with_extension("partial");
    std::fs::write(&partial, replaced(bytes, b"1.0.0", version.as_bytes())?)?;
    std::fs::rename(partial, &file)?;
    Ok(file)
}

/// Bytes with something in the place of something else that is as long.
///
/// # Errors
/// If it is not as long, or is nowhere.
pub fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Result<Vec<u8>> {
    ensure!(from.len() == to.len(), "both must be of one length");
    let windows = bytes.windows(from.len()).enumerate();
    let places: Vec<usize> = windows.filter(|(_, window)| *window == from).map(|(at, _)| at).collect();
    ensure!(!places.is_empty(), "what is to be replaced is nowhere");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    Ok(bytes)
}
