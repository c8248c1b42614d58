//! Do the histories of the instances in flight replay on the new code? Nothing is changed by asking.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use durawasm_client::{Client, ErrorKind, Instance, InstanceFilter, InstanceId, Status};
use durawasm_errors::CodedError;
use durawasm_host::registry::LoadedComponent;
use durawasm_host::replay::{Recording, ReplayLimits, replay};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use crate::console::{BAD, Console, DIM, GOOD, WARN, styled};
use crate::render::amount;

/// How many histories are fetched and replayed at a time.
pub(super) const AT_A_TIME: usize = 16;
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
    pub(super) diverging: Vec<Found>,
    /// Those whose histories cannot be read.
    pub(super) unreadable: Vec<Found>,
    /// Those that were not looked at, because the time was over.
    pub(super) not_checked: u64,
    /// Those of other versions that could go on with the new code.
    #[serde(skip)]
    pub(super) movable: Vec<Standing>,
}

/// How far an instance was when its history was replayed.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) id: InstanceId,
    pub(super) execution: String,
    /// How many events its history had; none: it had not begun.
    pub(super) events: u64,
}

/// An instance that cannot go on with the new code, as far as can be told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    pub(super) instance: String,
    version: Option<String>,
    /// The event up to which it replays.
    event: Option<u64>,
    pub(super) message: String,
}

/// Replays what is in flight, as much of it as the time allows.
pub(super) async fn look(
    client: &Client,
    component: &Arc<LoadedComponent>,
    time: Duration,
    console: &Console,
) -> Result<InFlight, CodedError> {
    let mut in_flight = InFlight::default();
    let until = Instant::now() + time;
    let statuses = vec![Status::Pending, Status::Running, Status::Suspended];
    let mut pages = pin!(client.list(InstanceFilter { statuses, ..InstanceFilter::default() }));
    let mut told = Instant::now();
    while let Some(page) = pages.try_next().await? {
        let ours = |instance: &Instance| component.orchestrators().contains(&instance.name);
        let page: Vec<Instance> = page.into_iter().filter(ours).collect();
        in_flight.found += page.len() as u64;
        let mut results = pin!(
            stream::iter(page)
                .map(|instance| {
                    let movable = instance.version.as_deref() != Some(component.version());
                    async move { (movable, check(client, component, instance, until).await) }
                })
                .buffer_unordered(AT_A_TIME)
        );
        while let Some((movable, result)) = results.next().await {
            match result {
                Checked::Continues(standing) => {
                    if standing.events == 0 {
                        in_flight.not_begun += 1;
                    } else {
                        in_flight.continuing += 1;
                    }
                    in_flight.movable.extend(movable.then_some(standing));
                }
                Checked::Late => in_flight.not_checked += 1,
                // It has ended or gone meanwhile.
                Checked::Gone => in_flight.found -= 1,
                Checked::Diverges(found) => in_flight.diverging.push(found),
                Checked::Unreadable(found) => in_flight.unreadable.push(found),
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

pub(super) enum Checked {
    Continues(Standing),
    Late,
    Gone,
    Diverges(Found),
    Unreadable(Found),
}

/// Replays what an instance has done on the new code.
pub(super) async fn check(
    client: &Client,
    component: &Arc<LoadedComponent>,
    instance: Instance,
    until: Instant,
) -> Checked {
    let standing = |events| Standing {
        id: instance.id.clone(),
        execution: instance.execution_id.clone().unwrap_or_default(),
        events,
    };
    let found =
        |event, message| Found { instance: instance.id.to_string(), version: instance.version.clone(), event, message };
    if instance.status == Status::Pending {
        return Checked::Continues(standing(0));
    }
    if Instant::now() >= until {
        return Checked::Late;
    }
    let recorded = match client.history(&instance.id).await {
        Ok(history) => history.recorded().await,
        Err(error) => Err(error),
    };
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(error) if error.kind() == ErrorKind::NotFound => return Checked::Gone,
        Err(error) => return Checked::Unreadable(found(None, error.to_string())),
    };
    let events = recorded.into_prefix(u64::MAX);
    let standing = standing(events.len() as u64);
    if events.is_empty() {
        return Checked::Continues(standing);
    }
    let (component, instance_id) = (Arc::clone(component), instance.id.to_string());
    let replaying = tokio::task::spawn_blocking(move || {
        replay(&component, Recording { instance_id, events }, &ReplayLimits::of(&component))
    });
    match replaying.await {
        // It has ended since it was listed.
        Ok(Ok(replayed)) if replayed.ended => Checked::Gone,
        Ok(Ok(_)) => Checked::Continues(standing),
        Ok(Err(disagreement)) => Checked::Diverges(found(disagreement.event, disagreement.park.message)),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

impl InFlight {
    /// Whether each instance in flight was looked at, and could go on with the new code.
    pub(super) fn all_continue(&self) -> bool {
        self.diverging.is_empty() && self.unreadable.is_empty() && self.not_checked == 0
    }

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
        line(self.unreadable.len() as u64, BAD, "cannot be looked at: their histories cannot be read");
        line(self.not_checked, WARN, "were not looked at: the time for it was over (--plan-time)");
        for found in self.diverging.iter().chain(&self.unreadable).take(SHOWN) {
            text.push_str(&format!("\n    {}: {}", found.instance, found.message));
        }
        if self.diverging.len() + self.unreadable.len() > SHOWN {
            text.push_str("\n    … all of them with --json");
        }
        text
    }
}
