//! Versions of orchestrations that were started without one.
//!
//! Such an instance gets a version when its first episode is sent: the hub's default for its name, else the one that the worker announced
//! which takes it. The version is written into its `executionStarted`, so that it is the instance's own from then on, and no later
//! deployment moves it. Until then it has none: what waits for a worker follows the default as it changes.

use std::collections::BTreeMap;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::dispatch::Route;
use super::ids::{InstanceId, StreamId};
use super::instance::{Instance, Turn};
use super::partition::Partition;

/// The versions that a hub's orchestrations begin on, by name.
pub type Defaults = BTreeMap<String, DefaultVersion>;

/// The version that orchestrations of one name begin on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultVersion {
    /// The version.
    pub version: String,
    /// A share of them begins on another one.
    pub canary: Option<Canary>,
}

/// A share of the instances of a name that begins on a version of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// The version.
    pub version: String,
    /// The share, in parts of [`WHOLE`].
    pub share: u32,
}

/// All instances.
pub const WHOLE: u32 = 10_000;

impl DefaultVersion {
    /// The version that this instance begins on. It depends on its id alone: a share that grows takes in more and lets none go.
    #[must_use]
    pub fn of(&self, id: &InstanceId) -> &str {
        let place = twox_hash::XxHash3_64::oneshot(id.as_str().as_bytes()) % u64::from(WHOLE);
        match &self.canary {
            Some(canary) if place < u64::from(canary.share) => &canary.version,
            _ => &self.version,
        }
    }
}

impl Partition {
    /// The hub has other defaults from now on.
    pub(super) fn change_defaults(&mut self, defaults: Defaults) {
        let before = std::mem::replace(&mut self.defaults, defaults);
        let changed = |id: &InstanceId, instance: &Instance| {
            let of = |defaults: &Defaults| defaults.get(&instance.record.name).map(|default| default.of(id).to_owned());
            has_no_version(instance) && of(&before) != of(&self.defaults)
        };
        let waiting = |instance: &Instance| matches!(instance.turn, Turn::Queued(_));
        let moved = self.instances.iter().filter(|(id, instance)| waiting(instance) && changed(id, instance));
        let mut moved: Vec<InstanceId> = moved.map(|(id, _)| id.clone()).collect();
        // The table has an order of its own.
        moved.sort_unstable();
        for id in moved {
            if let Some(instance) = self.instances.get_mut(&id) {
                // Its place in the old queue stands for nothing from now on.
                instance.turn = Turn::Idle;
                self.touched.push(id);
            }
        }
    }

    /// What a worker must be able to run to take an instance's next episode.
    pub(super) fn route_of(&self, instance: &Instance) -> Route {
        let default = self.defaults.get(&instance.record.name).filter(|_| has_no_version(instance));
        match default {
            Some(default) => Route { version: default.of(&instance.record.id).into(), ..instance.route() },
            None => instance.route(),
        }
    }

    /// Gives an instance that is about to begin without a version the one that it begins on.
    pub(super) fn pin(&mut self, instance: &mut Instance, stream: StreamId) {
        if !has_no_version(instance) {
            return;
        }
        let name = &instance.record.name;
        let version = match self.defaults.get(name) {
            Some(default) => default.of(&instance.record.id),
            None => match self.dispatcher.stream(stream).and_then(|info| info.defaults.get(name)) {
                Some(announced) => announced,
                None => return,
            },
        };
        let version = version.to_owned();
        self.begin_on(instance, &version);
    }

    /// Gives an instance that has not begun a version.
    pub(super) fn begin_on(&mut self, instance: &mut Instance, version: &str) {
        let begins = instance.inbox.iter_mut().find_map(|entry| match &mut entry.stored.event.event_type {
            Some(EventType::ExecutionStarted(started)) => {
                started.version = Some(version.to_owned());
                Some(entry.clone())
            }
            _ => None,
        });
        // Without its beginning it would say one thing in its row and another in its history.
        let Some(entry) = begins else { return };
        instance.record.version = Some(version.to_owned());
        instance.last_batch = self.batch_seq;
        self.batch.change_inbox(instance.record.key, entry);
        self.batch.put_instance(&instance.record);
    }
}

/// Whether an instance may still get a version: it has none and has not begun.
fn has_no_version(instance: &Instance) -> bool {
    instance.record.version.as_deref().is_none_or(str::is_empty) && instance.record.history_len == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default(share: u32) -> DefaultVersion {
        DefaultVersion { version: "1.0.0".to_owned(), canary: Some(Canary { version: "1.1.0".to_owned(), share }) }
    }

    #[test]
    fn a_canary_gets_its_share_and_one_that_grows_lets_nobody_go() {
        let ids: Vec<InstanceId> = (0..10_000).map(|n| InstanceId::trusted(&format!("order-{n}"))).collect();
        let on_canary = |share| -> Vec<bool> { ids.iter().map(|id| default(share).of(id) == "1.1.0").collect() };
        let count = |chosen: &[bool]| chosen.iter().filter(|chosen| **chosen).count();
        let (five, fifty) = (on_canary(WHOLE / 20), on_canary(WHOLE / 2));
        assert!((400..600).contains(&count(&five)), "{}", count(&five));
        assert!((4_800..5_200).contains(&count(&fifty)), "{}", count(&fifty));
        assert!(five.iter().zip(&fifty).all(|(before, after)| !before || *after));
        assert_eq!((count(&on_canary(0)), count(&on_canary(WHOLE))), (0, ids.len()));
    }
}
