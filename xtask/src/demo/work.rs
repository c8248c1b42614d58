//! The orchestrations of the demo, and what must come of them.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use durawasm_client::{Client, ErrorKind, EventKind, Instance, InstanceId, Payload, StartOptions, Status, Wait};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

/// How many calls to the scheduler are under way at a time.
const CALLERS: usize = 32;

/// What the example greets.
const CITIES: [&str; 5] = ["Tokyo", "Hyderabad", "London", "São Paulo", "Seattle"];

/// An orchestration to run, with the result that it must have.
#[derive(Clone, Debug)]
pub(super) struct Orchestration {
    pub(super) id: InstanceId,
    name: &'static str,
    input: Option<Value>,
    expected: Value,
    activities: usize,
}

/// One that has completed with the right result.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub(super) orchestration: Orchestration,
}

impl Finished {
    pub(super) fn output(&self) -> &Value {
        &self.orchestration.expected
    }
}

impl Orchestration {
    /// Greets five cities, one after the other.
    pub(super) fn hello_cities(id: &str) -> Orchestration {
        let greetings: Vec<String> = CITIES.iter().map(|city| format!("Hello {city}!")).collect();
        let id = instance_id(id);
        Orchestration { id, name: "hello_cities", input: None, expected: json!(greetings), activities: CITIES.len() }
    }

    /// Squares the numbers below `count`, all at the same time, and adds them up; each activity computes for `work`
    /// rounds.
    pub(super) fn fan_out(id: &str, count: u64, work: u64) -> Orchestration {
        let sum: u64 = (0..count).map(|number| number * number).sum();
        let input = json!({ "count": count, "work": work });
        let id = instance_id(id);
        Orchestration { id, name: "fan_out", input: Some(input), expected: json!(sum), activities: count as usize }
    }

    /// Starts it. An answer that is lost does no harm: the start is repeated under the same id.
    pub(super) async fn start(&self, client: &Client) -> Result<()> {
        let mut repeated = false;
        loop {
            let input = self.input.as_ref().map(Payload::json).transpose()?;
            let options = StartOptions { id: Some(self.id.clone()), ..StartOptions::default() };
            match client.start(self.name, input, options).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && repeated => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    repeated = true;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error).with_context(|| format!("{} could not be started", self.id)),
            }
        }
    }

    /// Waits for its end and compares the result.
    pub(super) async fn finish(&self, client: &Client) -> Result<Finished> {
        let instance = client.wait_for_completion(&self.id, &Wait::default()).await?;
        self.check(&instance)?;
        Ok(Finished { orchestration: self.clone() })
    }

    fn check(&self, instance: &Instance) -> Result<()> {
        if let Some(failure) = &instance.failure {
            bail!("{} failed: {failure}", self.id);
        }
        ensure!(instance.status == Status::Completed, "{} is {}, not completed", self.id, instance.status);
        let output: Value = instance.output.as_ref().ok_or_else(|| anyhow!("{} has no output", self.id))?.parse()?;
        ensure!(output == self.expected, "{} answered {output} instead of {}", self.id, self.expected);
        Ok(())
    }
}

/// Many orchestrations under way together.
pub(super) struct Batch {
    orchestrations: Vec<Orchestration>,
}

impl Batch {
    /// Half hello-cities, half fan-outs of ten whose activities compute for `work` rounds.
    pub(super) fn new(name: &str, size: usize, work: u64) -> Batch {
        let orchestrations = (0..size).map(|number| match number % 2 {
            0 => Orchestration::hello_cities(&format!("{name}-hello-{number}")),
            _ => Orchestration::fan_out(&format!("{name}-fan-out-{number}"), 10, work),
        });
        Batch { orchestrations: orchestrations.collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.orchestrations.len()
    }

    /// How many activities they call in all.
    pub(super) fn activities(&self) -> usize {
        self.orchestrations.iter().map(|orchestration| orchestration.activities).sum()
    }

    pub(super) fn into_orchestrations(self) -> Vec<Orchestration> {
        self.orchestrations
    }

    pub(super) async fn start(&self, client: &Client) -> Result<()> {
        let starts = stream::iter(&self.orchestrations).map(|orchestration| orchestration.start(client));
        starts.buffer_unordered(CALLERS).try_collect().await
    }

    /// How many have not ended.
    pub(super) async fn unfinished(&self, client: &Client) -> Result<usize> {
        let ended = stream::iter(&self.orchestrations)
            .map(|orchestration| async {
                let instance = client.get(&orchestration.id, false).await?;
                let instance = instance.ok_or_else(|| anyhow!("{} was accepted and is gone", orchestration.id))?;
                Ok::<_, anyhow::Error>(instance.status.is_terminal())
            })
            .buffer_unordered(CALLERS);
        ended.try_fold(0, |count, ended| async move { Ok(count + usize::from(!ended)) }).await
    }

    /// Waits for all, and checks each.
    pub(super) async fn finish(&self, client: &Client) -> Result<()> {
        let finished = stream::iter(&self.orchestrations).map(|orchestration| orchestration.finish(client));
        finished.buffer_unordered(CALLERS).try_for_each(|_| async { Ok(()) }).await
    }
}

/// What the histories hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Histories {
    /// Activities that were called and completed.
    pub(super) completed: usize,
}

/// Reads the history of each orchestration: every activity called once, and completed exactly once.
pub(super) async fn audit(client: &Client, orchestrations: &[Orchestration]) -> Result<Histories> {
    let audits = stream::iter(orchestrations).map(|orchestration| audit_one(client, orchestration));
    let completed = audits.buffer_unordered(CALLERS);
    let completed = completed.try_fold(0, |sum, completed| async move { Ok(sum + completed) }).await?;
    Ok(Histories { completed })
}

async fn audit_one(client: &Client, orchestration: &Orchestration) -> Result<usize> {
    let id = &orchestration.id;
    let mut results: HashMap<i32, usize> = HashMap::new();
    for event in client.history(id).await?.all().await? {
        match event.kind {
            EventKind::TaskScheduled { .. } => {
                let twice = results.insert(event.event_id, 0).is_some();
                ensure!(!twice, "the history of {id} holds the call #{} twice", event.event_id);
            }
            EventKind::TaskCompleted { scheduled_id, .. } => {
                let result = results.get_mut(&scheduled_id);
                *result
                    .ok_or_else(|| anyhow!("the history of {id} has a result for #{scheduled_id}, never called"))? += 1;
            }
            _ => {}
        }
    }
    ensure!(
        results.len() == orchestration.activities,
        "the history of {id} holds {} calls instead of {}",
        results.len(),
        orchestration.activities
    );
    if let Some((call, count)) = results.iter().find(|(_, count)| **count != 1) {
        bail!("the history of {id} holds {count} results for the call #{call}");
    }
    Ok(results.len())
}

fn instance_id(text: &str) -> InstanceId {
    InstanceId::new(text).expect("the demo's ids are short words")
}
