//! The Python SDK of the Durable Task protocol, as a third party for the tests: in a virtual environment below `target`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{command, workspace};

/// The versions that the tests were written against.
const PACKAGES: [&str; 1] = ["durabletask==1.12.0"];

/// The environment's Python interpreter, set up if it is not there.
pub(crate) fn ensure() -> Result<PathBuf> {
    let folder = workspace::target()?.join("python");
    let python = folder.join("bin").join("python");
    let marker = folder.join("installed.txt");
    let wanted = PACKAGES.join("\n");
    if python.exists() && std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    eprintln!("    installing {} in {}", PACKAGES.join(", "), folder.display());
    command::run(command::program("python3").args(["-m", "venv"]).arg(&folder))
        .context("the tests need Python 3 with venv: `apt-get install python3 python3-venv` on Debian and Ubuntu")?;
    command::run(
        command::program(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(PACKAGES),
    )?;
    std::fs::write(&marker, wanted).with_context(|| format!("cannot write {}", marker.display()))?;
    Ok(python)
}
