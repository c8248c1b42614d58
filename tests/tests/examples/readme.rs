//! Runs what the examples' READMEs show.
//!
//! In a block of the language `console`, a line that begins with `$ ` is a command, and the lines below it are what it prints,
//! on either output and in this order; it may print more. `...` stands for any output. A command that shows an error fails.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

/// A command, and what is shown of its output.
struct Shown {
    command: String,
    output: Vec<String>,
}

impl Shown {
    fn fails(&self) -> bool {
        self.output.iter().any(|line| line.starts_with("error["))
    }
}

/// Runs the commands of an example's README against a scheduler. Returns how many there were.
pub(crate) async fn run(example: &Path, scheduler: &str) -> Result<usize> {
    let readme = example.join("README.md");
    let text = std::fs::read_to_string(&readme).with_context(|| format!("{} is missing", readme.display()))?;
    let commands = commands(&text);
    for shown in &commands {
        // The components are there already, made by the task that runs this. That the folder exists is worth a look.
        if let Some(arguments) = shown.command.strip_prefix("durawasm build ") {
            let folder = arguments.split(' ').next().unwrap_or_default();
            ensure!(root().join(folder).join("Cargo.toml").is_file(), "{folder} is no crate: {}", readme.display());
            continue;
        }
        let output = shell(&shown.command, scheduler).await?;
        check(shown, &output).with_context(|| format!("{}: {}", readme.display(), shown.command))?;
    }
    Ok(commands.len())
}

fn commands(text: &str) -> Vec<Shown> {
    let mut commands: Vec<Shown> = Vec::new();
    let mut within = false;
    for line in text.lines() {
        if line.starts_with("```") {
            within = line == "```console";
        } else if within {
            match line.strip_prefix("$ ") {
                Some(command) => commands.push(Shown { command: command.to_owned(), output: Vec::new() }),
                None => commands.last_mut().into_iter().for_each(|shown| shown.output.push(line.to_owned())),
            }
        }
    }
    commands
}

/// As in a user's terminal: a shell that finds `durawasm`, and the scheduler in the environment.
async fn shell(command: &str, scheduler: &str) -> Result<Output> {
    let program = durawasm_tests::program();
    let mut path = program.parent().context("the program is in a folder")?.as_os_str().to_owned();
    if let Some(inherited) = std::env::var_os("PATH") {
        path.push(":");
        path.push(inherited);
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(root()).env("PATH", path);
    shell.env("DURAWASM_SCHEDULER", scheduler).env("NO_COLOR", "1").kill_on_drop(true);
    Ok(shell.output().await?)
}

fn check(shown: &Shown, output: &Output) -> Result<()> {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() != shown.fails(), "{}:\n{said}", output.status);
    let mut lines = said.lines();
    for wanted in shown.output.iter().filter(|line| *line != "...") {
        ensure!(lines.any(|line| line == wanted), "`{wanted}` was not printed, or not in this order:\n{said}");
    }
    Ok(())
}

/// Where the examples' READMEs expect their reader to be.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The examples: the members of their workspace.
pub(crate) fn examples() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("examples"))? {
        let folder = entry?.path();
        if folder.join("Cargo.toml").is_file() {
            found.push(folder);
        }
    }
    found.sort();
    Ok(found)
}
