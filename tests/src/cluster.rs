//! A scheduler and its hosts, as processes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use durawasm_client::{Client, Connection};
use tempfile::TempDir;

use crate::process::Process;

/// How a scheduler is started.
#[derive(Clone, Debug, Default)]
pub struct SchedulerOptions {
    /// Keep everything in memory.
    pub in_memory: bool,
    /// Further arguments.
    pub arguments: Vec<String>,
}

/// A scheduler that keeps its data folder and its port over restarts.
pub struct Scheduler {
    /// The process.
    pub process: Process,
    data: TempDir,
    options: SchedulerOptions,
    address: String,
}

impl Scheduler {
    /// Starts a scheduler on a free port and waits until it listens.
    ///
    /// # Errors
    /// If it does not.
    pub async fn start(options: SchedulerOptions) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let (process, address) = launch(&options, data.path(), "127.0.0.1:0").await?;
        Ok(Self { process, data, options, address })
    }

    /// Where it listens: host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it listens, as a URI.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// A client of the default hub.
    ///
    /// # Errors
    /// If it cannot connect.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::connect(Connection::to(&self.uri())).await?)
    }

    /// Kills it with SIGKILL and starts it again on the same data and port.
    ///
    /// # Errors
    /// If it does not come back.
    pub async fn crash_and_restart(&mut self) -> Result<()> {
        self.process.kill().await?;
        self.restart().await
    }

    /// Starts it again after it has ended.
    ///
    /// # Errors
    /// If it does not come back.
    pub async fn restart(&mut self) -> Result<()> {
        (self.process, _) = launch(&self.options, self.data.path(), &self.address).await?;
        Ok(())
    }
}

async fn launch(options: &SchedulerOptions, data: &Path, listen: &str) -> Result<(Process, String)> {
    let mut arguments = vec!["scheduler".to_owned(), "--listen".into(), listen.into()];
    match options.in_memory {
        true => arguments.push("--in-memory".into()),
        false => arguments.extend(["--data".into(), data.display().to_string()]),
    }
    arguments.extend(options.arguments.iter().cloned());
    let mut process = Process::start(&crate::program(), &arguments, &[])?;
    let line = process.line("listening on ").await?;
    let (_, after) = line.split_once("listening on ").context("the line has an address")?;
    let address = after.trim_start_matches("http://");
    let end = address.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(address.len());
    Ok((process, address[..end].to_owned()))
}

/// Starts a host and waits until it is ready.
///
/// # Errors
/// If it does not become ready.
pub async fn start_host(scheduler: &str, components: &Path, arguments: &[&str]) -> Result<Process> {
    let mut all: Vec<PathBuf> =
        ["host", "--scheduler", scheduler, "--components"].iter().map(PathBuf::from).collect();
    all.push(components.into());
    all.extend(arguments.iter().map(PathBuf::from));
    let mut process = Process::start(&crate::program(), &all, &[])?;
    process.line("ready").await?;
    Ok(process)
}
