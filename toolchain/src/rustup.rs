//! The installed Rust toolchain, with the target added through rustup if it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::Step;
use crate::{Progress, Result, Silent, TARGET};

pub(crate) fn ensure(progress: &mut dyn Progress) -> Result<()> {
    if has_target(&sysroot()?) {
        return Ok(());
    }
    progress.step(&format!("adding the target {TARGET} to the Rust toolchain (rustup target add)"));
    let step = Step {
        name: "adding the WebAssembly target",
        remedy: "run `rustup target add wasm32-wasip2` where rustup's servers can be reached",
    };
    step.run(Command::new("rustup").args(["target", "add", TARGET]), progress)?;
    if has_target(&sysroot()?) {
        return Ok(());
    }
    Err(step.failed("rustup says that the target is installed, but the compiler in use does not have it"))
}

/// The folder of the Rust toolchain in use.
pub(crate) fn sysroot() -> Result<PathBuf> {
    let step = Step { name: "looking for the Rust compiler", remedy: "install Rust from https://rustup.rs" };
    let lines = step.run(Command::new("rustc").args(["--print", "sysroot"]), &mut Silent)?;
    lines.into_iter().next().map(PathBuf::from).ok_or_else(|| step.failed("`rustc --print sysroot` printed nothing"))
}

/// Whether the standard library for the target is there.
fn has_target(sysroot: &Path) -> bool {
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let Ok(entries) = libraries.read_dir() else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}
