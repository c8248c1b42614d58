//! The C library of WASI. The Zig compiler of PyPI's package `ziglang` holds it as source, and compiles it when it first
//! compiles anything for that target. What its cache then holds is what the linker needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::Step;
use crate::{Progress, Result};

/// The version whose names of libraries are known here.
const PACKAGE: &str = "ziglang==0.17.*";
const LIBRARIES: [&str; 4] = ["libc.a", "libzigc.a", "libcompiler_rt.a", "crt1-command.o"];

const INSTALL: Step<'static> = Step {
    name: "downloading the Zig compiler",
    remedy: "check that Python 3 with pip is installed and that PyPI can be reached, then try again",
};
const COMPILE: Step<'static> =
    Step { name: "compiling the C library of WASI", remedy: "check that there is 1 GiB free, then try again" };

/// Compiles the libraries into `folder/wasilib`. Returns the compiler's package and version.
pub(crate) fn make(folder: &Path, progress: &mut dyn Progress) -> Result<String> {
    progress.step("downloading the Zig compiler for the C library of WASI (pip, about 100 MB)");
    let package = folder.join("ziglang");
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
        "--target",
    ])
    .arg(&package)
    .arg(PACKAGE);
    INSTALL.run(&mut pip, progress)?;

    progress.step("compiling the C library of WASI");
    let cache = folder.join("zig-cache");
    let source = folder.join("empty.c");
    let failed = |error: std::io::Error| COMPILE.failed(error.to_string());
    fs::write(&source, "int main(void) { return 0; }\n").map_err(failed)?;
    let zig = || {
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", &package).env("ZIG_GLOBAL_CACHE_DIR", &cache).args(["-m", "ziglang"]);
        command
    };
    let version = COMPILE.run(zig().arg("version"), progress)?.into_iter().next().unwrap_or_default();
    let output = folder.join("empty.wasm");
    COMPILE.run(zig().args(["cc", "-target", "wasm32-wasi", "-O2", "-o"]).args([&output, &source]), progress)?;

    let libraries = folder.join("wasilib");
    fs::create_dir_all(&libraries).map_err(failed)?;
    for library in LIBRARIES {
        let made = largest_named(&cache, library).map_err(failed)?;
        let made = made.ok_or_else(|| COMPILE.failed(format!("ziglang {version} made no {library}")))?;
        fs::copy(made, libraries.join(library)).map_err(failed)?;
    }
    for scratch in [&package, &cache] {
        fs::remove_dir_all(scratch).map_err(failed)?;
    }
    for scratch in [&source, &output] {
        fs::remove_file(scratch).map_err(failed)?;
    }
    Ok(format!("ziglang {version}"))
}

/// The largest file of that name. A second, smaller `libc.a` may be there: a part of the library.
fn largest_named(folder: &Path, name: &str) -> std::io::Result<Option<PathBuf>> {
    let mut largest = None;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir()? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() == name {
                let size = entry.metadata()?.len();
                if largest.as_ref().is_none_or(|(most, _)| size > *most) {
                    largest = Some((size, entry.path()));
                }
            }
        }
    }
    Ok(largest.map(|(_, path)| path))
}
