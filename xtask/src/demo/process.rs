//! A process of the demo: it says one line when it is ready, and logs to a file.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// How long a process may take to get ready: a host compiles its components first.
const READY: Duration = Duration::from_secs(60);
/// How long a process may take to shut down in order.
const STOP: Duration = Duration::from_secs(30);

/// A running process. It dies with this value.
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a process and waits for its line on standard output.
    pub(super) async fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<(Process, String)> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write the log {}", log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("the {name} cannot be started"))?;
        let stdout = child.stdout.take().ok_or_else(|| anyhow!("the {name} has no standard output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let mut process = Process { name, child, log: log.to_owned() };
        let line = match timeout(READY, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(_) => {
                let status = process.child.wait().await.map(|status| status.to_string()).unwrap_or_default();
                bail!("the {name} ended before it was ready ({status}):\n{}", process.last_lines(10))
            }
            Err(_) => bail!("this hung: the {name} was not ready within {} s", READY.as_secs()),
        };
        // Nobody reads on, so the pipe must not fill up.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok((process, line))
    }

    /// Ends the process as a power cut would: it gets no chance to do anything.
    pub(super) async fn kill(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the {} has ended by itself ({status}):\n{}", self.name, self.last_lines(10));
        }
        self.child.kill().await.with_context(|| format!("the {} cannot be killed", self.name))
    }

    /// Asks the process to end, and checks that it does so in order.
    pub(super) async fn stop(&mut self) -> Result<()> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let Some(pid) = pid else { bail!("the {} has ended by itself:\n{}", self.name, self.last_lines(10)) };
        kill_process(pid, Signal::TERM).with_context(|| format!("the {} cannot be asked to end", self.name))?;
        let Ok(status) = timeout(STOP, self.child.wait()).await else {
            bail!("this hung: the {} did not end within {} s of SIGTERM", self.name, STOP.as_secs())
        };
        let status = status?;
        ensure!(status.success(), "the {} ended with {status} after SIGTERM:\n{}", self.name, self.last_lines(10));
        Ok(())
    }

    /// The end of the log.
    pub(super) fn last_lines(&self, count: usize) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| format!("    {line}\n")).collect()
    }
}
