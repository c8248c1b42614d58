//! The components of the tests that are not written in Rust: `tests/guests-python` and `tests/guests-js`, made by the tools that
//! people use for these languages, which come from PyPI and npm.
//!
//! What is made is made again only if a source, the contract or a tool's version has changed: each takes half a minute.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{command, node::Node, python, stage::Stages, workspace};

/// What makes components of Python.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// Makes them all. Returns the folder with one folder a language.
pub(crate) fn make(stages: &mut Stages, node: &Node) -> Result<PathBuf> {
    let folder = workspace::folder("guests")?;
    stages.run("making the components in Python", || python(&folder.join("python")))?;
    stages.run("making the components in JavaScript", || javascript(node, &folder.join("js")))?;
    Ok(folder)
}

/// Makes components of Python.
fn python(stage: &Path) -> Result<()> {
    let tool = workspace::folder("guests/tools")?.join("python");
    let interpreter = python::environment(&tool)?;
    python::install(&interpreter, "installed.txt", &[COMPONENTIZE_PY]).context(
        "the tests need the package `componentize-py` from PyPI, which makes components of Python, and it cannot be installed",
    )?;
    let sources = workspace::root().join("tests").join("guests-python");
    Work { name: "Python", sources: &sources, tools: COMPONENTIZE_PY, folder: stage }.make(|folder| {
        for (module, world) in [("world", "durawasm:guest/guest"), ("activities", "durawasm:workflow/activities")] {
            // No traces of the machine's own interpreter: neither its packages nor compiled files beside the sources.
            let mut componentize = command::program(interpreter.with_file_name("componentize-py"));
            componentize.env_remove("PYTHONPATH").env("VIRTUAL_ENV", &tool).env("PYTHONDONTWRITEBYTECODE", "1");
            componentize.arg("--wit-path").arg(wit()).arg("--wit-path").arg(sources.join("wit"));
            componentize.args(["--world", world, "componentize", module, "--python-path"]).arg(&sources);
            command::run(componentize.arg("--output").arg(folder.join(format!("test_python_{module}.wasm"))))?;
        }
        Ok(())
    })
}

/// Makes components of JavaScript.
fn javascript(node: &Node, stage: &Path) -> Result<()> {
    let sources = workspace::root().join("tests").join("guests-js");
    let tool = workspace::folder("guests/tools/node")?;
    node.install(&sources, &tool).context(
        "the tests need the packages `@bytecodealliance/componentize-js` and `@bytecodealliance/jco` from npm, which make \
         components of JavaScript, and they cannot be installed",
    )?;
    let tools = node.version()?;
    Work { name: "JavaScript", sources: &sources, tools: &tools, folder: stage }.make(|folder| {
        // The packages are found from where the modules are.
        for source in files(&sources)? {
            let name = source.file_name().context("a file has a name")?;
            fs::copy(&source, tool.join(name)).with_context(|| format!("cannot copy {}", source.display()))?;
        }
        command::run(command::program(&node.program).current_dir(&tool).arg("build.mjs").arg(wit()).arg(folder))
    })
}

/// What is made of which sources, with which tools.
struct Work<'a> {
    name: &'a str,
    sources: &'a Path,
    tools: &'a str,
    folder: &'a Path,
}

impl Work<'_> {
    fn make(&self, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let marker = self.folder.join("made-of.txt");
        let wanted = self.content()?;
        if fs::read_to_string(&marker).is_ok_and(|made| made == wanted) {
            return Ok(());
        }
        eprintln!("    making components of {} with {}", self.name, self.tools);
        // With them goes the compiled code of components that are gone.
        if self.folder.exists() {
            fs::remove_dir_all(self.folder).with_context(|| format!("cannot clear {}", self.folder.display()))?;
        }
        fs::create_dir_all(self.folder).with_context(|| format!("cannot create {}", self.folder.display()))?;
        make(self.folder).with_context(|| format!("no component can be made of {}", self.sources.display()))?;
        fs::write(&marker, wanted).with_context(|| format!("cannot write {}", marker.display()))
    }

    /// All that the components depend on.
    fn content(&self) -> Result<String> {
        let mut content = format!("{}\n", self.tools);
        for file in [self.sources, &self.sources.join("wit"), &wit()]
            .into_iter()
            .map(files)
            .collect::<Result<Vec<_>>>()?
            .concat()
        {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            content.push_str(&format!("--- {}\n{text}", file.file_name().unwrap_or_default().display()));
        }
        Ok(content)
    }
}

fn wit() -> PathBuf {
    workspace::root().join("wit")
}

/// The files of a folder, in order; none if there is no such folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
