//! Debian's Rust compiler with the source of its standard library, unpacked into a folder of ours.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::Step;
use crate::{Progress, Result, Silent};

const UPDATE: Step<'static> = Step {
    name: "reading Debian's list of packages",
    remedy: "run `apt-get update` as root, on Debian 12 or later, where Debian's archive can be reached",
};
const FIND: Step<'static> = Step {
    name: "looking for Debian's packages of Rust for the web",
    remedy: "run `apt-get update` as root, on Debian 12 or later, and see that `apt-cache show rustc-web` finds something",
};
const DOWNLOAD: Step<'static> = Step {
    name: "downloading Debian's packages",
    remedy: "check that Debian's archive can be reached, then try again",
};
const UNPACK: Step<'static> =
    Step { name: "unpacking Debian's packages", remedy: "check that there is 1 GiB free, then try again" };

/// Downloads and unpacks into `folder/root`. Returns the compiler's package and version.
pub(crate) fn unpack(folder: &Path, progress: &mut dyn Progress) -> Result<String> {
    progress.step("reading Debian's list of packages (apt-get update)");
    if let Err(error) = UPDATE.run(Command::new("apt-get").args(["update", "--quiet"]), progress) {
        // Only root may do that. The list that is there may do.
        progress.line(&format!("{error}"));
        progress.line("going on with the list that is there");
    }
    let packages = packages()?;
    let version = version("rustc-web")?;
    progress.step(&format!("downloading Debian's {} (about 140 MB)", packages.join(", ")));
    let downloads = folder.join("debs");
    fs::create_dir_all(&downloads).map_err(|error| DOWNLOAD.failed(format!("{}: {error}", downloads.display())))?;
    let mut download = Command::new("apt-get");
    // As root, apt would hand the download to a user who cannot write here, and warn.
    download
        .args(["download", "--quiet", "--option", "APT::Sandbox::User=root"])
        .args(&packages)
        .current_dir(&downloads);
    DOWNLOAD.run(&mut download, progress)?;

    progress.step("unpacking Debian's packages");
    let root = folder.join("root");
    let failed = |error: std::io::Error| UNPACK.failed(error.to_string());
    for entry in downloads.read_dir().map_err(failed)? {
        let package = entry.map_err(failed)?.path();
        if package.extension() == Some(OsStr::new("deb")) {
            UNPACK.run(Command::new("dpkg").arg("-x").args([&package, &root]), progress)?;
        }
    }
    fs::remove_dir_all(&downloads).map_err(failed)?;
    if !compiler(&root).is_file() {
        return Err(UNPACK.failed("the packages hold no usr/bin/rustc"));
    }
    Ok(format!("rustc-web {version}"))
}

/// The compiler and what it needs: which versions those are, Debian's dependencies say.
fn packages() -> Result<Vec<String>> {
    let development = dependency("rustc-web", "libstd-rust-web-dev")?;
    let standard = dependency(&development, "libstd-rust-web-")?;
    let llvm = dependency(&standard, "libllvm")?;
    Ok(vec!["rustc-web".to_owned(), development, standard, "rust-web-src".to_owned(), llvm])
}

/// The package that `package` depends on and whose name begins with `prefix`.
fn dependency(package: &str, prefix: &str) -> Result<String> {
    let lines = FIND.run(Command::new("apt-cache").args(["depends", package]), &mut Silent)?;
    dependency_among(&lines, prefix)
        .ok_or_else(|| FIND.failed(format!("`{package}` does not depend on a package `{prefix}…`")))
}

fn dependency_among(lines: &[String], prefix: &str) -> Option<String> {
    let mut packages = lines.iter().filter_map(|line| line.trim().strip_prefix("Depends: "));
    packages.find(|package| package.starts_with(prefix)).map(str::to_owned)
}

fn version(package: &str) -> Result<String> {
    let lines = FIND.run(Command::new("apt-cache").args(["policy", package]), &mut Silent)?;
    let candidate = lines.iter().find_map(|line| line.trim().strip_prefix("Candidate: "));
    candidate
        .filter(|version| *version != "(none)")
        .map(str::to_owned)
        .ok_or_else(|| FIND.failed(format!("Debian has no `{package}` here")))
}

/// The compiler in an unpacked root.
pub(crate) fn compiler(root: &Path) -> PathBuf {
    root.join("usr/bin/rustc")
}

/// Where the compiler's shared libraries are: the multi-arch folder and LLVM's own.
pub(crate) fn shared_libraries(root: &Path) -> Result<Vec<PathBuf>> {
    let library = root.join("usr/lib");
    let entries = library.read_dir().map_err(|error| UNPACK.failed(format!("{}: {error}", library.display())))?;
    let mut folders = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains("-linux-") {
            folders.push(entry.path());
        } else if name.starts_with("llvm-") {
            folders.push(entry.path().join("lib"));
        }
    }
    // The order of a folder's entries is not fixed, and cargo must always see the same.
    folders.sort();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_found_by_the_beginning_of_its_name() {
        let lines: Vec<_> =
            ["libstd-rust-web-dev", "  Depends: libc6", " |Depends: x", "  Depends: libstd-rust-web-1.96"]
                .iter()
                .map(|line| (*line).to_owned())
                .collect();
        assert_eq!(dependency_among(&lines, "libstd-rust-web-").as_deref(), Some("libstd-rust-web-1.96"));
        assert_eq!(dependency_among(&lines, "libllvm"), None);
    }
}
