//! A scheduler and its hosts, as processes.

use std::path::{Path, PathBuf};

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{Client, Connection, Instance, InstanceId, Payload, StartOptions, Status, Wait};
use tempfile::TempDir;

use crate::process::Process;

/// How a scheduler is started.
#[derive(Clone, Debug, Default)]
pub struct SchedulerOptions {
    /// Keep everything in memory.
    pub in_memory: bool,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// No file may grow beyond so many bytes: to the process it looks as if the disk were full.
    pub file_limit: Option<u64>,
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
        Ok(Client::connect(Connection::to(self.uri())).await?)
    }

    /// Other arguments for the next start.
    pub fn set_arguments(&mut self, arguments: Vec<String>) {
        self.options.arguments = arguments;
    }

    /// Whether files may grow without bound at the next start, or how far.
    pub fn set_file_limit(&mut self, file_limit: Option<u64>) {
        self.options.file_limit = file_limit;
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
    let mut process = match options.file_limit {
        None => Process::start(&crate::program(), &arguments, &[])?,
        // The shell's unit is 512 bytes. Without the signal, a write that is too much fails and nothing else happens.
        Some(bytes) => {
            let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 512);
            let program = crate::program().display().to_string();
            let arguments = ["-c".to_owned(), script, "sh".to_owned(), program].into_iter().chain(arguments);
            Process::start(Path::new("/bin/sh"), &arguments.collect::<Vec<_>>(), &[])?
        }
    };
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
    start_host_in(scheduler, components, arguments, &[]).await
}

/// Starts a host with further environment variables and waits until it is ready.
///
/// # Errors
/// If it does not become ready.
pub async fn start_host_in(
    scheduler: &str,
    components: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<Process> {
    let mut all: Vec<PathBuf> = ["host", "--scheduler", scheduler, "--components"].iter().map(PathBuf::from).collect();
    all.push(components.into());
    all.extend(arguments.iter().map(PathBuf::from));
    let mut process = Process::start(&crate::program(), &all, environment)?;
    process.line("ready").await?;
    Ok(process)
}

/// A scheduler, a host with the given components, and a client.
pub struct World {
    /// The scheduler.
    pub scheduler: Scheduler,
    /// The host.
    pub host: Process,
    /// A client of the default hub.
    pub client: Client,
    /// The components that the host runs, for its next start.
    pub components: PathBuf,
}

impl World {
    /// Starts all three. `components` is a folder.
    ///
    /// # Errors
    /// If something does not become ready.
    pub async fn start(components: &Path) -> Result<Self> {
        // The tests of what is over the limit need not be large.
        Self::with(components, &["--payload-limit=1048576"], &["--payload-limit=1048576"]).await
    }

    /// Starts all three, the scheduler and the host with these arguments.
    ///
    /// # Errors
    /// If something does not become ready.
    pub async fn with(components: &Path, scheduler: &[&str], host: &[&str]) -> Result<Self> {
        let arguments = scheduler.iter().map(|&argument| argument.to_owned()).collect();
        let scheduler = Scheduler::start(SchedulerOptions { arguments, ..SchedulerOptions::default() }).await?;
        let host = start_host(&scheduler.uri(), components, host).await?;
        let client = scheduler.client().await?;
        Ok(Self { scheduler, host, client, components: components.into() })
    }

    /// Kills the host with SIGKILL and starts another one.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn crash_and_restart_host(&mut self) -> Result<()> {
        self.host.kill().await?;
        self.host = start_host(&self.scheduler.uri(), &self.components, &[]).await?;
        Ok(())
    }

    /// Starts an orchestration under an id; with an empty one the scheduler makes it.
    ///
    /// # Errors
    /// The client's error.
    pub async fn begin(&self, id: &str, name: &str, input: Option<&str>) -> Result<InstanceId> {
        let id = if id.is_empty() { None } else { Some(InstanceId::new(id)?) };
        let options = StartOptions { id, ..Default::default() };
        Ok(self.client.start(name, input.map(Payload::from_text), options).await?)
    }

    /// Waits for the end of an instance.
    ///
    /// # Errors
    /// The client's error, or that it takes longer than a minute.
    pub async fn ended(&self, id: &InstanceId) -> Result<Instance> {
        Ok(self.client.wait_for_completion(id, &Wait::at_most(Duration::from_secs(60))).await?)
    }

    /// Waits for the end of an instance and returns its output.
    ///
    /// # Errors
    /// If it does not complete.
    pub async fn output(&self, id: &InstanceId) -> Result<String> {
        let instance = self.ended(id).await?;
        ensure!(instance.status == Status::Completed, "{id} is {}: {:?}", instance.status, instance.failure);
        Ok(instance.output.map(|o| o.as_str().to_owned()).unwrap_or_default())
    }

    /// Starts an orchestration under an id and returns its output.
    ///
    /// # Errors
    /// If it does not complete.
    pub async fn run(&self, id: &str, name: &str, input: Option<&str>) -> Result<String> {
        let id = self.begin(id, name, input).await?;
        self.output(&id).await
    }
}

/// A folder with some of the components of tests and examples and their manifests, as a user would have it.
///
/// # Errors
/// If a component is missing.
pub fn components(files: &[&str]) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for file in files {
        let places = [crate::examples(), crate::test_guests()];
        let from = places.iter().map(|place| place.join(file)).find(|path| path.is_file());
        let from = from.with_context(|| format!("{file} is not built: run `cargo xtask setup`"))?;
        let (manifest, to) = (from.with_extension("toml"), folder.path().join(file));
        if manifest.is_file() {
            std::fs::copy(manifest, to.with_extension("toml"))?;
        }
        std::fs::copy(from, to)?;
    }
    Ok(folder)
}

/// Tries until a condition holds.
///
/// # Errors
/// If it does not hold within half a minute.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = std::time::Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        ensure!(begin.elapsed() < Duration::from_secs(30), "did not come about within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
