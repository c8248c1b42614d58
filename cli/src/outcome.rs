//! Waiting for an instance as people want to: with a word about what it waits for, and its end as output or error.

use std::time::Duration;

use durawasm_client::{Client, Error, Instance, InstanceId, Narrator, Status, Wait};
use durawasm_errors::{Code, CodedError};
use serde::Serialize;

use crate::{console::Console, render};

/// How long an instance may be silent before the user is told what it waits for.
const SILENCE: Duration = Duration::from_secs(3);

/// Waits until an instance has ended. Meanwhile says on standard error what is missing, if something is.
pub(crate) async fn wait(
    client: &Client,
    id: &InstanceId,
    timeout: Option<Duration>,
    console: &Console,
) -> Result<Instance, CodedError> {
    let wait = Wait { timeout, ..Wait::default() };
    tokio::select! {
        instance = client.wait_for_completion(id, &wait) => explain(client, id, instance).await,
        never = watch(client, id, console) => match never {},
    }
}

/// Tells the events of an instance as they are committed, until it has ended.
pub(crate) async fn follow(
    client: &Client,
    id: &InstanceId,
    timeout: Option<Duration>,
    console: &Console,
) -> Result<Instance, CodedError> {
    let telling = tell(client, id, console);
    let told = match timeout {
        None => telling.await,
        Some(timeout) => match tokio::time::timeout(timeout, telling).await {
            Ok(told) => told,
            Err(_) => {
                let after = humantime::format_duration(timeout);
                let message = format!("the instance `{id}` has not ended after {after}");
                return Err(with_reason(client, id, CodedError::new(Code::WaitTimedOut, message)).await);
            }
        },
    };
    Ok(told?)
}

/// Prints how an instance has ended. One that has not completed is the command's error.
pub(crate) fn conclude(instance: &Instance, console: &Console) -> Result<(), CodedError> {
    let completed = instance.status == Status::Completed;
    if console.is_json() {
        console.data(instance, String::new);
    } else if completed {
        console.data(instance, || instance.output.as_ref().map_or("null", |output| output.as_str()).to_owned());
    }
    if completed {
        return Ok(());
    }
    let id = &instance.id;
    Err(match (&instance.failure, instance.status) {
        (Some(failure), _) => {
            let causes: Vec<String> = failure.chain().skip(1).map(ToString::to_string).collect();
            let error =
                CodedError::new(Code::OrchestrationFailed, format!("the orchestration `{id}` failed: {failure}"))
                    .advise(format!("See what led to it: durawasm history {}", render::quoted(id.as_str())));
            if causes.is_empty() { error } else { error.because(causes.join("\n  caused by: ")) }
        }
        (None, Status::Failed) => {
            CodedError::new(Code::OrchestrationFailed, format!("the orchestration `{id}` failed and did not say why"))
        }
        (None, status) => {
            let output = instance.output.as_ref().map(|output| format!(", with the output {output}"));
            CodedError::new(
                Code::OrchestrationTerminated,
                format!("the orchestration `{id}` was {status}{}", output.unwrap_or_default()),
            )
        }
    })
}

/// One line of `--follow --json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventLine<'a> {
    execution_id: &'a str,
    #[serde(flatten)]
    event: &'a durawasm_client::HistoryEvent,
}

async fn tell(client: &Client, id: &InstanceId, console: &Console) -> Result<Instance, Error> {
    let mut follower = client.follow(id);
    let mut narrator = Narrator::default();
    loop {
        let update = {
            let next = follower.next();
            tokio::pin!(next);
            tokio::select! {
                update = &mut next => update?,
                never = watch(client, id, console) => match never {},
            }
        };
        let Some(update) = update else { continue };
        for event in &update.events {
            let line = EventLine { execution_id: &update.execution_id, event };
            console.data(&line, || render::event_line(event, &mut narrator));
        }
        if update.instance.status.is_terminal() {
            return Ok(update.instance);
        }
    }
}

/// Says what an instance waits for, each reason once, for as long as it is silent.
async fn watch(client: &Client, id: &InstanceId, console: &Console) -> std::convert::Infallible {
    let mut said = None;
    loop {
        tokio::time::sleep(SILENCE).await;
        let Ok(Some(description)) = client.describe(id, false).await else { continue };
        let reason = render::blocked(&description);
        if reason != said {
            if let Some(reason) = &reason {
                console.warn(format_args!("`{id}` {reason}"));
            }
            said = reason;
        }
    }
}

async fn explain(client: &Client, id: &InstanceId, instance: Result<Instance, Error>) -> Result<Instance, CodedError> {
    match instance {
        Ok(instance) => Ok(instance),
        Err(error) if error.kind() == durawasm_client::ErrorKind::TimedOut => {
            Err(with_reason(client, id, error.into()).await)
        }
        Err(error) => Err(error.into()),
    }
}

/// Adds to a timeout what the instance waits for, if the scheduler can tell.
async fn with_reason(client: &Client, id: &InstanceId, error: CodedError) -> CodedError {
    let shown = render::quoted(id.as_str());
    let error = error.advise(format!("It goes on. See where it stands: durawasm status {shown}"));
    let description = client.describe(id, false).await.ok().flatten();
    match description.as_ref().and_then(render::blocked) {
        Some(reason) => error.because(format!("it {reason}")),
        None => error,
    }
}
