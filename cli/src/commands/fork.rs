//! `durawasm fork`: a new instance from the beginning of another one's history, perhaps with other code.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use durawasm_client::{Client, Fork, ForkOptions, Instance, InstanceId, Payload, Recorded, Substitute};
use durawasm_errors::{Code, CodedError};
use durawasm_host::replay::{Recording, ReplayLimits, replay};

use crate::{
    arguments::InstanceArguments,
    commands::inspect,
    console::Console,
    input, render,
    repair::{Point, Rollback},
};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    instance: InstanceArguments,
    /// The event to fork at, as `durawasm history` numbers them. The turn that it is part of is not taken over. `end`: all is.
    #[arg(long, value_name = "EVENT")]
    at: Point,
    /// The id of the new instance. Without one the scheduler makes one.
    #[arg(long = "as", value_name = "ID")]
    new: Option<String>,
    /// Go on with this component: with its version, and only if it does what the history says.
    #[arg(long, value_name = "FILE", conflicts_with = "version")]
    component: Option<PathBuf>,
    /// Fork even if the component does not do what the history says. The new instance is parked then.
    #[arg(long, requires = "component")]
    force: bool,
    /// Go on with this version of the orchestrator.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// What a call is to have returned, so that it is not made again: the event of the call or of its answer, and JSON,
    /// @FILE, or -. May be repeated.
    #[arg(long = "result", value_name = "EVENT=JSON", value_parser = result)]
    results: Vec<(u64, String)>,
    /// Take results as they are, even if they are not JSON.
    #[arg(long, requires = "results")]
    raw_input: bool,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let id = arguments.instance.id()?;
    let new = arguments.new.as_ref().map(InstanceId::new).transpose()?;
    let results = results(&arguments)?;
    let client = arguments.instance.connection.connect().await?;
    let source = client.get(&id, false).await?.ok_or_else(|| arguments.instance.not_found())?;
    let recorded = client.history(&id).await?.recorded().await?;
    let rollback = Rollback::plan(&arguments.instance, source.execution_id.clone(), &recorded.events(), arguments.at)?
        .with_results(results.keys().copied())?;
    console.note(rollback.text("fork"));
    let version = match &arguments.component {
        Some(file) => Some(fitting(&arguments, file.clone(), &source, recorded, rollback.kept(), console).await?),
        None => arguments.version.clone(),
    };
    let results = results.into_iter().map(|(event, result)| Substitute { event, result: Some(result) }).collect();
    let options = ForkOptions { id: new, version, results, execution: rollback.execution() };
    rollback.check_execution(&client).await?;
    let Fork { id: new, kept_events } = client.fork(&id, rollback.at(), options).await?;
    console.data(&serde_json::json!({ "id": new, "keptEvents": kept_events }), || new.to_string());
    console.note(format_args!("{new} goes on from there; {id} is as it was"));
    look_around(&client, &new, &arguments, console).await;
    let (shown, place) = (render::quoted(new.as_str()), arguments.instance.connection.repeated());
    console.next_step("See what it does", format_args!("durawasm history {shown} --follow{place}"));
    Ok(())
}

/// Loads the component, and lets it run over what is taken of the history. Returns its version.
async fn fitting(
    arguments: &Arguments,
    file: PathBuf,
    source: &Instance,
    recorded: Recorded,
    kept: u64,
    console: &Console,
) -> Result<String, CodedError> {
    let shown = file.display().to_string();
    let component = inspect::load(file).await?;
    let version = component.version().to_owned();
    if !component.orchestrators().contains(&source.name) {
        let offers = component.orchestrators().join(", ");
        let message = format!("the component {shown} has no orchestrator `{}`", source.name);
        let offers = if offers.is_empty() { "It has none.".to_owned() } else { format!("It has: {offers}.") };
        return Err(CodedError::new(Code::InvalidComponent, message)
            .advise(format!("{offers} Give the component that the instance runs on, with its code corrected.")));
    }
    if source.version.as_deref() == Some(&*version) {
        console.warn(format_args!(
            "{shown} has the version of {}: give it another one, or let the hosts have it in place of the old file",
            source.id
        ));
    }
    // An instance that begins anew has nothing to replay.
    if kept == 0 {
        return Ok(version);
    }
    let recording = Recording { instance_id: source.id.to_string(), events: recorded.into_prefix(kept) };
    let replaying = tokio::task::spawn_blocking(move || replay(&component, recording, &ReplayLimits::default()));
    match replaying.await {
        Ok(Ok(replayed)) => {
            console.note(format_args!("{shown} {version} does what these {} events say", replayed.events));
            Ok(version)
        }
        Ok(Err(disagreement)) if arguments.force => {
            console.warn(format_args!("{disagreement}"));
            Ok(version)
        }
        Ok(Err(disagreement)) => Err(CodedError::new(Code::ReplayDiverges, disagreement.park.message.clone()).advise(
            format!(
                "Fork before that: --at with a smaller number than {}. Or change the component so that it does the same up to \
                 there. --force forks all the same.",
                disagreement.event.unwrap_or(kept)
            ),
        )),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Says what the new instance lacks, if the scheduler can tell. It is there whatever this says.
async fn look_around(client: &Client, new: &InstanceId, arguments: &Arguments, console: &Console) {
    let description = client.describe(new, false).await.ok().flatten();
    let Some(details) = description.and_then(|description| description.details) else { return };
    if let Some(waiting) = details.waiting_for {
        console.warn(format_args!("{new} waits for {waiting}"));
        if let Some(file) = &arguments.component {
            console.note(format_args!(
                "put {} into the components folder of a host, and restart the host",
                file.display()
            ));
        }
    }
}

fn results(arguments: &Arguments) -> Result<BTreeMap<u64, Payload>, CodedError> {
    let mut results = BTreeMap::new();
    for (event, text) in &arguments.results {
        let result = input::payload(text, arguments.raw_input)?;
        if results.insert(*event, result).is_some() {
            return Err(CodedError::new(Code::Usage, format!("--result gives event {event} two results")));
        }
    }
    Ok(results)
}

/// Reads `EVENT=JSON`.
fn result(text: &str) -> Result<(u64, String), String> {
    let (event, json) = text.split_once('=').ok_or("a result looks like EVENT=JSON: 7='\"paid\"'")?;
    let event = event.trim().parse().map_err(|_| {
        format!(
            "`{}` is not the number of an event; a result looks like EVENT=JSON: 7='\"paid\"'",
            event.escape_debug()
        )
    })?;
    Ok((event, json.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_an_event_and_json() {
        assert_eq!(result("7=\"a=b\""), Ok((7, "\"a=b\"".to_owned())));
        assert_eq!(result("7="), Ok((7, String::new())));
        for text in ["7", "seven=1", "-1=1", "=1", ""] {
            assert!(result(text).is_err_and(|message| message.contains("EVENT=JSON")), "{text}");
        }
    }
}
