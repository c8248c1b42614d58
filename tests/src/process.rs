//! A process of the program under test: started, awaited by what it prints, killed.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How long a process may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How many lines of a process are kept for error messages.
const LINES_KEPT: usize = 2_000;

/// What a process has printed so far.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Lines {
    /// The lines, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    /// The first line that holds a text.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<String> {
        self.lock().iter().find(|line| line.contains(text)).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A running process. It is killed when this is dropped.
pub struct Process {
    name: String,
    child: Child,
    /// What it printed, to both outputs.
    pub output: Lines,
    grown: watch::Receiver<u64>,
}

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start<A: AsRef<OsStr>>(
        program: &std::path::Path,
        arguments: &[A],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let name = arguments.first().map_or_else(String::new, |a| a.as_ref().to_string_lossy().into_owned());
        let mut child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let output = Lines::default();
        let (sender, grown) = watch::channel(0);
        collect(child.stdout.take(), output.clone(), sender.clone());
        collect(child.stderr.take(), output.clone(), sender);
        Ok(Self { name, child, output, grown })
    }

    /// The process id.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn id(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }

    /// Waits for a line that holds a text and returns it.
    ///
    /// # Errors
    /// If the process ends, or a minute passes, without it.
    pub async fn line(&mut self, text: &str) -> Result<String> {
        let wait = async {
            loop {
                self.grown.mark_unchanged();
                if let Some(line) = self.output.find(text) {
                    return Ok(line);
                }
                // Both outputs are closed when the process ends.
                if self.grown.changed().await.is_err() {
                    return match self.output.find(text) {
                        Some(line) => Ok(line),
                        None => Err(()),
                    };
                }
            }
        };
        match tokio::time::timeout(READY_WITHIN, wait).await {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(())) => bail!("`{}` ended before it said `{text}`:\n{}", self.name, self.tail()),
            Err(_) => bail!("`{}` did not say `{text}` within {READY_WITHIN:?}:\n{}", self.name, self.tail()),
        }
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks it to stop (SIGTERM) and waits until it is gone.
    ///
    /// # Errors
    /// If it has ended before.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(rustix::process::Signal::TERM)?;
        self.ended().await
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If it has ended before.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let id = i32::try_from(self.id()?)?;
        let pid = rustix::process::Pid::from_raw(id).context("a process id is not 0")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// If that takes more than a minute.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let end = async {
            let status = self.child.wait().await;
            // Its outputs are closed by now; what it printed last is read when both readers are done.
            while self.grown.changed().await.is_ok() {}
            status
        };
        match tokio::time::timeout(READY_WITHIN, end).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!("`{}` did not end within {READY_WITHIN:?}:\n{}", self.name, self.tail()),
        }
    }

    /// The last lines that it printed.
    #[must_use]
    pub fn tail(&self) -> String {
        let lines = self.output.all();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// If it has ended.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.split_whitespace().next().context("no number")?.parse()?;
        Ok(kib * 1024)
    }

    /// CPU time used so far, in user and kernel mode.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()?))?;
        let (_, rest) = stat.rsplit_once(')').context("not a stat line")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // USER_HZ is 100 on every Linux that we run on.
        Ok(Duration::from_millis(ticks * 10))
    }
}

fn collect(from: Option<impl AsyncRead + Unpin + Send + 'static>, to: Lines, grown: watch::Sender<u64>) {
    let Some(from) = from else { return };
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut kept = to.lock();
            if kept.len() == LINES_KEPT {
                kept.pop_front();
            }
            kept.push_back(line);
            drop(kept);
            grown.send_modify(|n| *n += 1);
        }
    });
}
