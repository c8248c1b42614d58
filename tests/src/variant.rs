//! The same component as another version.

use std::path::{Path, PathBuf};

use anyhow::Result;
use durawasm_test_components::rewritten;

/// The component of `tests/guests/version-one` as another version with as many letters as `1.0.0`, in a file `shop-VERSION.wasm` of this
/// folder, which is there as a whole or not at all.
///
/// # Errors
/// If the component is not built, or the file cannot be written.
pub fn version_one_as(folder: &Path, version: &str) -> Result<PathBuf> {
    written("test_version_one", &folder.join(format!("shop-{version}.wasm")), version)
}

/// The component of `tests/guests/rolling`, likewise, in a file `rolling-VERSION.wasm`.
///
/// # Errors
/// If the component is not built, or the file cannot be written.
pub fn rolling_as(folder: &Path, version: &str) -> Result<PathBuf> {
    written("test_rolling", &folder.join(format!("rolling-{version}.wasm")), version)
}

/// The version with this number, the lowest first: 1.0.0, 1.0.1, up to 9.9.9.
#[must_use]
pub fn numbered(number: usize) -> String {
    format!("{}.{}.{}", 1 + number / 100, number / 10 % 10, number % 10)
}

fn written(component: &str, file: &Path, version: &str) -> Result<PathBuf> {
    let bytes = std::fs::read(crate::test_guests().join(component).with_extension("wasm"))?;
    let partial = file.with_extension("partial");
    std::fs::write(&partial, rewritten(bytes, "1.0.0", version))?;
    std::fs::rename(partial, file)?;
    Ok(file.into())
}
