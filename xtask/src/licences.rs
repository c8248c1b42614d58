//! Licences, bans and sources of everything that we link: cargo-deny, with the rules of `deny.toml`.
//!
//! Where cargo-deny is not installed it is compiled once, below `target`. Its database of advisories is not asked: it
//! cannot be fetched where there are only package registries.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{command, workspace};

const VERSION: &str = "0.20.2";

pub(crate) fn check() -> Result<()> {
    let deny = ensure()?;
    eprintln!("    advisories are not checked: the database is not a package registry");
    command::run(command::program(deny).args(["--workspace", "check", "licenses", "bans", "sources"]))
}

/// The installed cargo-deny, else our own.
fn ensure() -> Result<PathBuf> {
    if command::works(command::program("cargo-deny").arg("--version")) {
        return Ok("cargo-deny".into());
    }
    let folder = workspace::target()?.join("tools");
    let own = folder.join("bin").join("cargo-deny");
    let version = command::read(command::program(&own).arg("--version")).unwrap_or_default();
    if version.trim().ends_with(VERSION) {
        return Ok(own);
    }
    eprintln!("    compiling cargo-deny {VERSION}, once; `cargo install cargo-deny` makes it for all your projects");
    let mut install = command::cargo();
    // Without optimization: it runs for a second, and compiles in a third of the time.
    install.args(["install", "--quiet", "--debug", "--locked", "--no-default-features", "cargo-deny"]);
    install.args(["--version", VERSION, "--root"]).arg(&folder).env("CARGO_TARGET_DIR", folder.join("build"));
    command::run(&mut install)
        .context("cargo-deny cannot be installed; it checks licences by the rules of deny.toml")?;
    // What it was made of is large, and not needed again.
    std::fs::remove_dir_all(folder.join("build")).context("the build folder of cargo-deny cannot be removed")?;
    Ok(own)
}
