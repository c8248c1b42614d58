//! The Python SDK of the Durable Task protocol, as a third party for the tests: in a virtual environment below `target`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{command, workspace};

/// The versions that the tests were written against.
const PACKAGES: [&str; 1] = ["durabletask==1.12.0"];

/// The Python interpreter of the tests' environment, with its packages, set up if it is not there.
pub(crate) fn ensure() -> Result<PathBuf> {
    let python = environment(&workspace::target()?.join("python"))?;
    install(&python, "installed.txt", &PACKAGES)?;
    Ok(python)
}

/// The Python interpreter of an environment in this folder, set up if it is not there.
pub(crate) fn environment(folder: &Path) -> Result<PathBuf> {
    let python = folder.join("bin").join("python");
    if !python.exists() {
        command::run(command::program("python3").args(["-m", "venv"]).arg(folder)).context(
            "the tests need Python 3 with venv: `apt-get install python3 python3-venv` on Debian and Ubuntu",
        )?;
    }
    Ok(python)
}

/// Installs packages in an environment, unless the marker says that they are there.
pub(crate) fn install(python: &Path, marker: &str, packages: &[&str]) -> Result<()> {
    let folder = python.parent().and_then(Path::parent).context("an interpreter is in a folder of its environment")?;
    let marker = folder.join(marker);
    let wanted = packages.join("\n");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("    installing {} in {}", packages.join(", "), folder.display());
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    command::run(command::program(python).args(pip).args(packages))?;
    fs::write(&marker, wanted).with_context(|| format!("cannot write {}", marker.display()))
}
