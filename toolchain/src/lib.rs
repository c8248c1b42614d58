//! Finds or sets up what compiles Rust guests to WebAssembly components, and compiles them.
//!
//! [`Toolchain::ensure`] takes the first that works: the target `wasm32-wasip2` if it is installed, then `rustup target add`,
//! then a toolchain made of Debian's and PyPI's packages ([`Source`] says which of them may be tried).
//! [`Toolchain::build`] hands the rest to cargo. What a component exports is not looked at here: that is the host's job.

mod building;
mod command;
mod error;
mod packages;
mod progress;
mod rustup;

use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use crate::building::BuildRequest;
pub use crate::error::{Error, Result};
pub use crate::packages::PackageToolchain;
pub use crate::progress::{Progress, Silent, Stderr};

/// The target that guests are compiled for. Cargo makes a component of it directly.
pub const TARGET: &str = "wasm32-wasip2";

/// The environment variable that says which [`Source`] to use: `auto`, `rustup` or `packages`.
pub const SOURCE_VARIABLE: &str = "DURAWASM_TOOLCHAIN";

/// Where the toolchain may come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// From rustup if that works, else from packages.
    #[default]
    Auto,
    /// Only the installed Rust toolchain, with its target added through rustup if need be.
    Rustup,
    /// Only Debian's and PyPI's packages.
    Packages,
}

impl FromStr for Source {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "rustup" => Ok(Self::Rustup),
            "packages" => Ok(Self::Packages),
            _ => Err(Error::new(
                "choosing a WebAssembly toolchain",
                format!("`{text}` is not a source of one"),
                format!("set {SOURCE_VARIABLE} to `auto`, `rustup` or `packages`"),
            )),
        }
    }
}

/// How to find a toolchain.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it may come from.
    pub source: Source,
    /// Where a toolchain made of packages is kept. What is there is used again.
    pub cache: PathBuf,
}

impl Options {
    /// With the source that the environment asks for, and this cache.
    ///
    /// # Errors
    /// If the environment asks for a source that does not exist.
    pub fn from_env(cache: impl Into<PathBuf>) -> Result<Self> {
        let source = std::env::var(SOURCE_VARIABLE).unwrap_or_default().parse()?;
        Ok(Self { source, cache: cache.into() })
    }
}

/// The user's cache folder for toolchains: `$XDG_CACHE_HOME/durawasm/toolchain`, else below `~/.cache`, else below the
/// folder for temporary files.
pub fn user_cache() -> PathBuf {
    let from = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("XDG_CACHE_HOME")
        .filter(|cache| cache.is_absolute())
        .or_else(|| from("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("durawasm")
        .join("toolchain")
}

/// What compiles guests.
#[derive(Clone, Debug)]
pub enum Toolchain {
    /// The installed Rust toolchain, which has the target.
    Rustup,
    /// Made of packages.
    Packages(PackageToolchain),
}

impl Toolchain {
    /// Finds a toolchain, or sets one up. The second call costs next to nothing.
    ///
    /// # Errors
    /// If none of the ways that the options allow works. The error names the step and how to mend it.
    pub fn ensure(options: &Options, progress: &mut dyn Progress) -> Result<Self> {
        if options.source != Source::Packages {
            match rustup::ensure(progress) {
                Ok(()) => return Ok(Self::Rustup),
                Err(error) if options.source == Source::Rustup => return Err(error),
                Err(error) => {
                    progress.line(&format!("{error}"));
                    progress.step("using a WebAssembly toolchain made of Debian's and PyPI's packages instead");
                }
            }
        }
        packages::ensure(&options.cache, progress).map(Self::Packages)
    }

    /// Compiles guests: one component for each package of the request that is a `cdylib`. A package's `durawasm.toml` is copied beside
    /// its component, under the component's name.
    ///
    /// # Errors
    /// If cargo cannot be run or a guest does not compile. What the compiler says goes to `progress`.
    pub fn build(&self, request: &BuildRequest, progress: &mut dyn Progress) -> Result<Vec<PathBuf>> {
        building::build(self, request, progress)
    }

    /// What it is, for people.
    pub fn description(&self) -> String {
        match self {
            Self::Rustup => format!("the installed Rust toolchain with the target {TARGET}"),
            Self::Packages(packages) => packages.description(),
        }
    }
}

/// Makes a path absolute, which cargo's configuration by environment needs.
fn absolute(path: &Path, step: &str) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        Error::new(step, format!("{} has no absolute path: {error}", path.display()), "name another folder")
    })
}
