//! A toolchain made of packages, for machines that reach package registries and nothing else.
//!
//! - A Rust compiler whose standard library comes as source: Debian's `rustc-web` and what belongs to it, unpacked into a
//!   folder of ours ([`debian`]). Nothing is installed.
//! - The C library of WASI: compiled by the `ziglang` package of PyPI ([`wasi_libc`]).
//! - The linkers of the installed Rust toolchain.
//!
//! The two first are kept in the cache, in a folder named after their versions. Cargo compiles the standard library with the
//! first guest; guests share it as long as they share a target folder, since [`PackageToolchain::configure`] always sets the same.

mod debian;
mod wasi_libc;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::Step;
use crate::{Error, Progress, Result, TARGET, absolute, rustup};

/// Names the folder in the cache that is complete and in use.
const CURRENT: &str = "current";

const NEW_FOLDER: Step<'static> = Step {
    name: "keeping the toolchain in its cache",
    remedy: "check that the cache folder is writable and its disk not full",
};

/// Where the parts are.
#[derive(Clone, Debug)]
pub struct PackageToolchain {
    /// Debian's packages, unpacked.
    root: PathBuf,
    /// The C library.
    libraries: PathBuf,
    /// The linkers' folders.
    linkers: [PathBuf; 2],
    /// Such as `rustc-web 1.96.0, ziglang 0.17.0`.
    versions: String,
}

pub(crate) fn ensure(cache: &Path, progress: &mut dyn Progress) -> Result<PackageToolchain> {
    let linkers = linkers()?;
    let cache = absolute(cache, NEW_FOLDER.name)?;
    fs::create_dir_all(&cache).map_err(|error| io_failed(&cache, &error))?;
    // Two processes that set up at the same time: the second waits, and finds what the first made.
    let lock = cache.join("lock");
    let lock =
        File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(|error| io_failed(&lock, &error))?;
    let folder = match current(&cache) {
        Some(folder) => folder,
        None => set_up(&cache, progress)?,
    };
    drop(lock);
    let versions = folder.file_name().map(|name| name.to_string_lossy().replace('_', ", ")).unwrap_or_default();
    Ok(PackageToolchain { root: folder.join("root"), libraries: folder.join("wasilib"), linkers, versions })
}

fn current(cache: &Path) -> Option<PathBuf> {
    let name = fs::read_to_string(cache.join(CURRENT)).ok()?;
    let folder = cache.join(name.trim());
    let whole = debian::compiler(&folder.join("root")).is_file() && folder.join("wasilib").join("libc.a").is_file();
    whole.then_some(folder)
}

/// Makes everything in a scratch folder, then gives it its name: a folder with a name is whole.
fn set_up(cache: &Path, progress: &mut dyn Progress) -> Result<PathBuf> {
    let scratch = cache.join("unfinished");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(|error| io_failed(&scratch, &error))?;
    }
    fs::create_dir_all(&scratch).map_err(|error| io_failed(&scratch, &error))?;
    let compiler = debian::unpack(&scratch, progress)?;
    let libc = wasi_libc::make(&scratch, progress)?;

    let name = format!("{compiler}_{libc}").replace([' ', ':', '~', '+'], "-");
    let folder = cache.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| io_failed(&folder, &error))?;
    }
    fs::rename(&scratch, &folder).map_err(|error| io_failed(&folder, &error))?;
    let current = cache.join(CURRENT);
    fs::write(&current, &name).map_err(|error| io_failed(&current, &error))?;
    progress.step(&format!("the toolchain is kept in {}", folder.display()));
    Ok(folder)
}

fn io_failed(path: &Path, error: &std::io::Error) -> Error {
    NEW_FOLDER.failed(format!("{}: {error}", path.display()))
}

/// rustup's Rust toolchain brings `wasm-component-ld`, and `rust-lld` and `wasm-ld` in a folder below.
fn linkers() -> Result<[PathBuf; 2]> {
    let sysroot = rustup::sysroot()?;
    let step = Step {
        name: "looking for the WebAssembly linkers",
        remedy: "install Rust through https://rustup.rs: its toolchain brings them, a distribution's may not",
    };
    let hosts = sysroot.join("lib/rustlib");
    let entries = hosts.read_dir().map_err(|error| step.failed(format!("{}: {error}", hosts.display())))?;
    entries
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .find(|folder| folder.join("wasm-component-ld").is_file() && folder.join("gcc-ld/wasm-ld").is_file())
        .map(|folder| [folder.clone(), folder.join("gcc-ld")])
        .ok_or_else(|| step.failed(format!("{} holds no wasm-component-ld", sysroot.display())))
}

impl PackageToolchain {
    pub(crate) fn description(&self) -> String {
        format!("a toolchain made of packages ({})", self.versions)
    }

    /// Sets up cargo and returns the compiler flags that it needs. Always the same, or the standard library would be compiled again.
    pub(crate) fn configure(&self, cargo: &mut Command) -> Result<[OsString; 3]> {
        let libraries =
            env::join_paths(debian::shared_libraries(&self.root)?).map_err(|error| not_a_path_list(&error))?;
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = self.linkers.iter().cloned().chain(env::split_paths(&path));
        let path = env::join_paths(folders).map_err(|error| not_a_path_list(&error))?;
        let mut flags = OsString::from("-Lnative=");
        flags.push(&self.libraries);
        cargo
            .env("RUSTC", debian::compiler(&self.root))
            // A stable compiler takes `-Z` options only so.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("LD_LIBRARY_PATH", libraries)
            .env("PATH", path)
            .env("CARGO_TARGET_WASM32_WASIP2_LINKER", self.linkers[0].join("wasm-component-ld"))
            .arg("-Zbuild-std=std,panic_abort");
        Ok([flags, "-Clink-arg=-lzigc".into(), "-Clink-arg=-lcompiler_rt".into()])
    }
}

fn not_a_path_list(error: &env::JoinPathsError) -> Error {
    Error::new(
        format!("setting up cargo for {TARGET}"),
        format!("a folder's name cannot be in a list of folders: {error}"),
        "keep the toolchain's cache in a folder without `:` in its name",
    )
}
