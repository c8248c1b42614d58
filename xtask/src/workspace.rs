//! Where things are in this repository.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// Where cargo puts what it builds, and we what we make: the folder that this program was built into.
pub(crate) fn target() -> Result<PathBuf> {
    let program = env::current_exe().context("this program does not know its own path")?;
    // target/release/xtask, or target/release/deps/xtask-… in a test.
    let release = program.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "release"));
    let target = release.and_then(Path::parent).with_context(|| {
        format!("{} is not in a folder `release`: run the tasks with `cargo xtask`", program.display())
    })?;
    Ok(target.to_owned())
}

/// The program `durawasm`.
pub(crate) fn program() -> Result<PathBuf> {
    Ok(target()?.join("release").join("durawasm"))
}

/// A folder below `target` that is there.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let folder = target()?.join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    Ok(folder)
}
