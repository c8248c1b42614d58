//! `durawasm replay` and `durawasm test`: does a component do what a history says? Offline, and without any effect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use durawasm_client::{ExportedHistory, Narrator};
use durawasm_errors::{Code, CodedError, Context as _};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::replay::{Disagreement, Recording, ReplayLimits, Replayed, replay};
use serde::Serialize;

use crate::{
    arguments::ConnectionArguments,
    commands::inspect,
    console::{BAD, Console, GOOD, styled},
    render::{self, amount},
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The instance. Its history is read from the scheduler.
    #[arg(required_unless_present = "history", conflicts_with = "history")]
    id: Option<String>,
    /// A history that was exported: durawasm history ID --export FILE.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// The component to run over it. Its version does not matter.
    #[arg(long, value_name = "FILE")]
    component: PathBuf,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Args)]
pub(crate) struct TestArguments {
    /// The folder with exported histories: its *.json files.
    folder: PathBuf,
    /// The component to run over them. May be repeated: each history is replayed on those that have its orchestrator.
    #[arg(long, value_name = "FILE", required = true)]
    component: Vec<PathBuf>,
}

/// What became of one history.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    instance: String,
    component: String,
    replays: bool,
    /// How many events replay.
    events: u64,
    /// Whether the history tells the execution's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<bool>,
    /// What each episode cost, in units of fuel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fuel: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disagreement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let exported = match (&arguments.history, &arguments.id) {
        (Some(file), _) => read(file)?,
        (None, id) => fetch(id.as_deref().unwrap_or_default(), &arguments.connection).await?,
    };
    let component = Arc::new(inspect::load(arguments.component.clone()).await?);
    let (report, outcome) = check(None, &exported, &component).await;
    if console.is_json() {
        console.data(&report, String::new);
    } else {
        narrate(&exported, &report, console);
    }
    match outcome {
        Ok(replayed) => {
            let state = match (replayed.ended, replayed.open) {
                (true, _) => "to its end".to_owned(),
                (false, open) => format!("and waits for {}", amount(open as u64, "thing", "things")),
            };
            console.note(format_args!("{} replays it {state}", report.component));
            Ok(())
        }
        Err(disagreement) => Err(diverges(&disagreement)),
    }
}

pub(crate) async fn test(arguments: TestArguments, console: &Console) -> Result<(), CodedError> {
    let mut components = Vec::new();
    for file in &arguments.component {
        components.push(Arc::new(inspect::load(file.clone()).await?));
    }
    let files = histories(&arguments.folder)?;
    let (mut replayed, mut failed) = (0, Vec::new());
    for file in &files {
        let exported = read(file)?;
        let name = exported.recorded.orchestrator().unwrap_or_default().to_owned();
        let mut fitting = components.iter().filter(|component| component.orchestrators().contains(&name)).peekable();
        if fitting.peek().is_none() {
            let message = format!("{}: none of the components has its orchestrator `{name}`", file.display());
            return Err(CodedError::new(Code::InvalidComponent, message)
                .advise("Name the component that has it as well: --component FILE. It may be repeated."));
        }
        for component in fitting {
            let (report, outcome) = check(Some(file), &exported, component).await;
            let shown = file.display();
            console.data(&report, || match &report.disagreement {
                None => format!("{} {shown} on {}: {} events", styled(GOOD, "ok"), report.component, report.events),
                Some(why) => format!("{} {shown} on {}: {why}", styled(BAD, "diverges"), report.component),
            });
            match outcome {
                Ok(_) => replayed += 1,
                Err(disagreement) => failed.push(disagreement),
            }
        }
    }
    console.note(format_args!("{} replay, {} diverge", amount(replayed, "history", "histories"), failed.len()));
    match failed.first() {
        None => Ok(()),
        Some(first) => Err(diverges(first)),
    }
}

fn diverges(disagreement: &Disagreement) -> CodedError {
    CodedError::new(Code::ReplayDiverges, disagreement.to_string())
}

/// Runs a component over a history.
async fn check(
    file: Option<&Path>,
    exported: &ExportedHistory,
    component: &Arc<LoadedComponent>,
) -> (Report, Result<Replayed, Disagreement>) {
    let recording = Recording {
        instance_id: exported.instance_id.clone(),
        events: exported.recorded.clone().into_prefix(u64::MAX),
    };
    let running = Arc::clone(component);
    let replaying = tokio::task::spawn_blocking(move || replay(&running, recording, &ReplayLimits::of(&running)));
    let outcome = match replaying.await {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let mut report = Report {
        file: file.map(|file| file.display().to_string()),
        instance: exported.instance_id.clone(),
        component: format!("{} {}", component.name(), component.version()),
        replays: outcome.is_ok(),
        events: 0,
        ended: None,
        fuel: Vec::new(),
        disagreement: None,
        reason: None,
    };
    match &outcome {
        Ok(replayed) => {
            report.events = replayed.events as u64;
            report.ended = Some(replayed.ended);
            report.fuel.clone_from(&replayed.fuel);
        }
        Err(disagreement) => {
            report.events = disagreement.event.unwrap_or(0);
            report.disagreement = Some(disagreement.park.message.clone());
            report.reason = Some(disagreement.park.reason.word());
        }
    }
    (report, outcome)
}

/// Goes through the history, event by event, as far as it replays.
fn narrate(exported: &ExportedHistory, report: &Report, console: &Console) {
    console.note(render::event_header());
    let mut narrator = Narrator::default();
    for event in exported.recorded.events() {
        let position = event.position;
        let line = render::event_line(&event, &mut narrator);
        let replays = report.replays || position < report.events;
        let sign = if replays { styled(GOOD, "✓") } else { styled(BAD, "✗") };
        console.data(&event, || format!("{sign} {line}"));
        if !replays {
            break;
        }
    }
}

async fn fetch(id: &str, connection: &ConnectionArguments) -> Result<ExportedHistory, CodedError> {
    let id = durawasm_client::InstanceId::new(id)?;
    let client = connection.connect().await?;
    let recorded = client.history(&id).await?.recorded().await?;
    Ok(ExportedHistory { instance_id: id.to_string(), recorded })
}

fn read(file: &Path) -> Result<ExportedHistory, CodedError> {
    let cannot = || format!("the history {} cannot be used", file.display());
    let text = std::fs::read_to_string(file).coded(Code::InvalidHistory, cannot)?;
    ExportedHistory::from_json(&text).coded(Code::InvalidHistory, cannot)
}

fn histories(folder: &Path) -> Result<Vec<PathBuf>, CodedError> {
    let unreadable = || format!("the folder {} cannot be read", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).coded(Code::InvalidHistory, unreadable)? {
        let path = entry.coded(Code::InvalidHistory, unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    if files.is_empty() {
        let message = format!("there is no exported history in {}: it holds no *.json file", folder.display());
        return Err(CodedError::new(Code::InvalidHistory, message));
    }
    files.sort_unstable();
    Ok(files)
}
