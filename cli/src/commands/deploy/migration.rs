//! `--migrate`: instances in flight go on with the new version, each as soon as its whole history replays there.
//!
//! An instance that goes on while its history is replayed is replayed again: it is moved only if nothing has come since. One that never
//! stands still long enough stays on its version, and is told.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use durawasm_client::{Client, ErrorKind, Migration};
use durawasm_errors::CodedError;
use durawasm_host::registry::LoadedComponent;
use futures::{StreamExt as _, stream};
use serde::Serialize;

use super::in_flight::{AT_A_TIME, Checked, Found, Standing, check};
use crate::console::{BAD, DIM, GOOD, WARN, styled};
use crate::render::amount;

/// How long an instance that is going on is left alone before it is looked at again.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of the instances that could go on with the new code.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Migrated {
    /// Those that are on the new version now.
    moved: u64,
    /// Those that ended before, or were purged.
    ended: u64,
    /// Those that have gone on since, and would diverge now.
    diverging: Vec<Found>,
    /// Those that went on all the time.
    restless: Vec<String>,
}

enum Became {
    Moved,
    Ended,
    Restless(String),
    Diverges(Found),
}

/// Moves what can be moved, for as long as the time allows.
pub(super) async fn migrate(
    client: &Client,
    component: &Arc<LoadedComponent>,
    movable: Vec<Standing>,
    time: Duration,
) -> Result<Migrated, CodedError> {
    let until = Instant::now() + time;
    let mut migrated = Migrated::default();
    let moves = stream::iter(movable).map(|standing| one(client, component, standing, until));
    let mut moves = pin!(moves.buffer_unordered(AT_A_TIME));
    while let Some(became) = moves.next().await {
        match became? {
            Became::Moved => migrated.moved += 1,
            Became::Ended => migrated.ended += 1,
            Became::Restless(id) => migrated.restless.push(id),
            Became::Diverges(found) => migrated.diverging.push(found),
        }
    }
    migrated.restless.sort_unstable();
    migrated.diverging.sort_by(|a, b| a.instance.cmp(&b.instance));
    Ok(migrated)
}

async fn one(
    client: &Client,
    component: &Arc<LoadedComponent>,
    mut standing: Standing,
    until: Instant,
) -> Result<Became, CodedError> {
    loop {
        let Standing { id, execution, events } = &standing;
        match client.migrate(id, execution, *events, component.version()).await {
            Ok(Migration::Moved) => return Ok(Became::Moved),
            Ok(Migration::Ended) => return Ok(Became::Ended),
            Ok(Migration::Changed) => {}
            // Purged since it was looked at: no reason to leave the others where they are.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Became::Ended),
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= until {
            return Ok(Became::Restless(id.to_string()));
        }
        tokio::time::sleep(PAUSE).await;
        let Some(instance) = client.get(id, false).await?.filter(|instance| !instance.status.is_terminal()) else {
            return Ok(Became::Ended);
        };
        match check(client, component, instance, until).await {
            Checked::Continues(now) => standing = now,
            Checked::Gone => return Ok(Became::Ended),
            Checked::Late => return Ok(Became::Restless(id.to_string())),
            Checked::Diverges(found) | Checked::Unreadable(found) => return Ok(Became::Diverges(found)),
        }
    }
}

impl Migrated {
    pub(super) fn text(&self) -> String {
        let mut text = format!("moved: {}", styled(GOOD, amount(self.moved, "instance", "instances")));
        let mut line = |count: u64, style, what: &str| {
            if count > 0 {
                text.push_str(&format!("\n  {} {what}", styled(style, count)));
            }
        };
        line(self.ended, DIM, "ended before");
        line(self.diverging.len() as u64, BAD, "have gone on and would diverge now; they stay on their version");
        line(
            self.restless.len() as u64,
            WARN,
            "never stood still for long enough; they stay on their version (--wait gives them more time)",
        );
        text
    }
}
