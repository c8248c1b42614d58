//! The scheduler and the host of the demo.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use tokio::process::Command;

use super::process::Process;
use crate::setup::Installation;

/// One scheduler and one host, each a process of its own, with a fresh data folder.
pub(super) struct Cluster {
    program: PathBuf,
    components: PathBuf,
    folder: PathBuf,
    /// Where the scheduler listens; it gets the same port when it comes back.
    listen: String,
    scheduler: Option<Process>,
    host: Option<Process>,
    /// How many hosts there have been: each has its own log.
    hosts: usize,
}

impl Cluster {
    pub(super) fn new(installation: &Installation, folder: &Path) -> Result<Cluster> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Cluster {
            program: installation.program.clone(),
            components: installation.examples.clone(),
            folder: folder.to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            scheduler: None,
            host: None,
            hosts: 0,
        })
    }

    /// The scheduler's address.
    pub(super) fn address(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub(super) async fn start_scheduler(&mut self) -> Result<()> {
        let mut command = self.command("scheduler");
        command.args(["--listen", &self.listen, "--data"]).arg(self.folder.join("data"));
        let (process, ready) = Process::start("scheduler", &mut command, &self.folder.join("scheduler.log")).await?;
        self.listen = ready
            .split_whitespace()
            .last()
            .ok_or_else(|| anyhow!("the scheduler's first line names no address: `{ready}`"))?
            .to_owned();
        self.scheduler = Some(process);
        Ok(())
    }

    /// Starts a host; returns what it says that it has.
    pub(super) async fn start_host(&mut self) -> Result<String> {
        self.hosts += 1;
        let log = self.host_log(self.hosts);
        let mut command = self.command("host");
        command.args(["--scheduler", &self.address(), "--components"]).arg(&self.components);
        // A line for each activity that begins, written before it runs, so that a kill cannot hide one.
        command.args(["--log", "info,durawasm::activity=debug", "--log-format", "json"]);
        let (process, ready) = Process::start("host", &mut command, &log).await?;
        self.host = Some(process);
        Ok(ready)
    }

    pub(super) async fn kill_scheduler(&mut self) -> Result<()> {
        let mut process = self.scheduler.take().ok_or_else(|| anyhow!("there is no scheduler to kill"))?;
        process.kill().await
    }

    pub(super) async fn kill_host(&mut self) -> Result<()> {
        let mut process = self.host.take().ok_or_else(|| anyhow!("there is no host to kill"))?;
        process.kill().await
    }

    /// Shuts both down in order.
    pub(super) async fn stop(&mut self) -> Result<()> {
        for process in [self.host.take(), self.scheduler.take()] {
            let mut process = process.ok_or_else(|| anyhow!("a process is missing at the end"))?;
            process.stop().await?;
        }
        Ok(())
    }

    /// The logs of all hosts.
    pub(super) fn host_logs(&self) -> Vec<PathBuf> {
        (1..=self.hosts).map(|number| self.host_log(number)).collect()
    }

    /// The ends of the logs, for when something went wrong.
    pub(super) fn show_logs(&self) {
        for (name, process) in [("scheduler", &self.scheduler), ("host", &self.host)] {
            if let Some(process) = process {
                eprintln!("\n  the {name}'s last lines:\n{}", process.last_lines(15));
            }
        }
    }

    fn host_log(&self, number: usize) -> PathBuf {
        self.folder.join(format!("host-{number}.log"))
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(subcommand);
        // What the user has set for other schedulers must not lead the demo's processes there.
        for variable in ["DURAWASM_SCHEDULER", "DURAWASM_HUB", "DURAWASM_TOKEN", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command
    }
}
