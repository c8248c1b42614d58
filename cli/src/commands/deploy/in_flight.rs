//! Do the histories of the instances in flight replay on the new code? Nothing is changed by asking.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use durawasm_client::{Client, Instance, InstanceFilter, Status};
use durawasm_errors::CodedError;
use durawasm_host::registry::LoadedComponent;
use durawasm_host::replay::{Recording, ReplayLimits, replay};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use crate::console::{BAD, Console, DIM, GOOD, WARN, styled};
use crate::render::amount;

/// How many histories are fetched and replayed at a time.
const AT_A_TIME: usize = 16;
/// How many diverging instances are shown to people.
const SHOWN: usize = 5;
/// How often there is a word about how it goes.
const PROGRESS: Duration = Duration::from_secs(2);

/// What the new code makes of the instances in flight.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InFlight {
    /// Instances in flight of the component's orchestrators.
    found: u64,
    /// Those that have not begun: there is nothing to replay.
    not_begun: u64,
    /// Those whose histories replay: they could go on with the new code.
    continuing: u64,
    pub(super) diverging: Vec<Diverging>,
    /// Those that were not looked at, because the time was over.
    not_checked: u64,
}

/// An instance that the new code would not do the same for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Diverging {
    pub(super) instance: String,
    version: Option<String>,
    /// The event up to which it replays.
    event: Option<u64>,
    pub(super) message: String,
}

/// Replays what is in flight, as much of it as the time allows.
pub(super) async fn look(
    client: &Client,
    component: LoadedComponent,
    time: Duration,
    console: &Console,
) -> Result<InFlight, CodedError> {
    let mut in_flight = InFlight::default();
    let until = Instant::now() + time;
    let component = Arc::new(component);
    let statuses = vec![Status::Pending, Status::Running, Status::Suspended];
    let mut pages = pin!(client.list(InstanceFilter { statuses, ..InstanceFilter::default() }));
    let mut told = Instant::now();
    while let Some(page) = pages.try_next().await? {
        let ours = |instance: &Instance| component.orchestrators().contains(&instance.name);
        let page: Vec<Instance> = page.into_iter().filter(ours).collect();
        in_flight.found += page.len() as u64;
        let mut results = pin!(
            stream::iter(page)
                .map(|instance| check(client, Arc::clone(&component), instance, until))
                .buffer_unordered(AT_A_TIME)
        );
        while let Some(result) = results.next().await {
            match result {
                Checked::Continues => in_flight.continuing += 1,
                Checked::NotBegun => in_flight.not_begun += 1,
                Checked::Late => in_flight.not_checked += 1,
                // It has ended or gone meanwhile.
                Checked::Gone => in_flight.found -= 1,
                Checked::Diverges(diverging) => in_flight.diverging.push(diverging),
            }
            if told.elapsed() > PROGRESS && !console.is_json() {
                told = Instant::now();
                let done = in_flight.continuing + in_flight.diverging.len() as u64;
                console.note(format_args!("{} replayed so far", amount(done, "history", "histories")));
            }
        }
    }
    in_flight.diverging.sort_by(|a, b| a.instance.cmp(&b.instance));
    Ok(in_flight)
}

enum Checked {
    Continues,
    NotBegun,
    Late,
    Gone,
    Diverges(Diverging),
}

async fn check(client: &Client, component: Arc<LoadedComponent>, instance: Instance, until: Instant) -> Checked {
    if instance.status == Status::Pending {
        return Checked::NotBegun;
    }
    if Instant::now() >= until {
        return Checked::Late;
    }
    let recorded = match client.history(&instance.id).await {
        Ok(history) => history.recorded().await,
        Err(error) => Err(error),
    };
    let Ok(recorded) = recorded else { return Checked::Gone };
    let events = recorded.into_prefix(u64::MAX);
    if events.is_empty() {
        return Checked::NotBegun;
    }
    let recording = Recording { instance_id: instance.id.to_string(), events };
    let replaying = tokio::task::spawn_blocking(move || replay(&component, recording, &ReplayLimits::of(&component)));
    match replaying.await {
        Ok(Ok(_)) => Checked::Continues,
        Ok(Err(disagreement)) => Checked::Diverges(Diverging {
            instance: instance.id.to_string(),
            version: instance.version,
            event: disagreement.event,
            message: disagreement.park.message,
        }),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl InFlight {
    pub(super) fn text(&self) -> String {
        let mut text = format!("in flight: {}", amount(self.found, "instance", "instances"));
        let mut line = |count: u64, style, what: &str| {
            if count > 0 {
                text.push_str(&format!("\n  {} {what}", styled(style, count)));
            }
        };
        line(self.continuing, GOOD, "did nothing that the new code would do otherwise");
        line(self.not_begun, DIM, "have not begun");
        line(
            self.diverging.len() as u64,
            BAD,
            "would diverge on the new code; they stay on the version that they have",
        );
        line(self.not_checked, WARN, "were not looked at: the time for it was over (--plan-time)");
        for diverging in self.diverging.iter().take(SHOWN) {
            text.push_str(&format!("\n    {}: {}", diverging.instance, diverging.message));
        }
        if self.diverging.len() > SHOWN {
            text.push_str("\n    … all of them with --json");
        }
        text
    }
}
