//! Migration: an instance goes on with another version of its orchestrator, in the middle of its execution.
//!
//! Who asks for it has replayed the instance's history on the other version and found that it does the same. That is only worth something
//! while the history is the one that was replayed: so the request says how long it was, and an instance that has gone on since, or is
//! going on right now, is left as it is.

use durawasm_proto::tag;
use durawasm_proto::v1;
use v1::migrate_instance_response::Outcome;

use super::super::events;
use super::super::ids::ExecutionId;
use super::super::instance::Turn;
use super::super::message::{Change, Effect, MigrateRequest, Refusal, Reply};
use super::super::partition::{Lookup, Partition};
use super::super::record::InstanceRecord;
use super::Stop;

impl Partition {
    pub(super) fn migrate(&mut self, request: MigrateRequest, lookup: &dyn Lookup) -> Result<Reply, Stop> {
        let MigrateRequest { instance: id, execution, events, version } = request;
        let now = self.now;
        let Some(instance) = self.find(&id, lookup)? else { return Err(Refusal::NotFound(id).into()) };
        let record = &instance.record;
        if record.status.is_terminal() {
            return Ok(Reply::Migrated(Outcome::Ended));
        }
        if record.version.as_deref() == Some(&version) {
            return Ok(Reply::Migrated(Outcome::Moved));
        }
        if record.execution != ExecutionId::new(&execution)
            || record.history_len != events
            || matches!(instance.turn, Turn::Sent(_))
        {
            self.touched.push(id);
            return Ok(Reply::Migrated(Outcome::Changed));
        }
        let Some(mut instance) = self.instances.remove(&id) else { return Err(Refusal::NotFound(id).into()) };
        // Its place in a queue stands for nothing from now on, nor does what a worker has warm.
        instance.turn = Turn::Idle;
        instance.worker = None;
        instance.avoid = None;
        instance.wants_history = false;
        instance.record.parked = None;
        self.parked.remove(&id);
        if instance.record.history_len == 0 {
            self.begin_on(&mut instance, &version);
        } else {
            let note = note(&instance.record, &version);
            let began = began_with(&instance.record).unwrap_or_default().to_owned();
            if began == version {
                instance.record.tags.remove(tag::MOVED_FROM);
            } else {
                instance.record.tags.insert(tag::MOVED_FROM.to_owned(), began);
            }
            instance.record.version = Some(version);
            // The next turn begins at once: whether it goes on there is seen now, and not in three months.
            Self::push_inbox(&mut self.batch, &mut instance, events::note(now, note), None);
        }
        self.instances.insert(id.clone(), instance);
        self.save(&id);
        self.effect(self.batch_seq, Effect::Changed(id, Change::Progress));
        Ok(Reply::Migrated(Outcome::Moved))
    }
}

fn note(record: &InstanceRecord, version: &str) -> String {
    match record.version.as_deref() {
        Some(before) if !before.is_empty() => format!("moved from version {before} to {version}"),
        _ => format!("moved to version {version}"),
    }
}

/// The version that an instance's `executionStarted` says: its own, unless it was moved since.
pub(in crate::core) fn began_with(record: &InstanceRecord) -> Option<&str> {
    match record.tags.get(tag::MOVED_FROM).map(String::as_str) {
        Some("") => None,
        Some(before) => Some(before),
        None => record.version.as_deref(),
    }
}

/// The version that a worker must be told, because `executionStarted` says another one.
pub(in crate::core) fn moved_to(record: &InstanceRecord) -> Option<&str> {
    record.version.as_deref().filter(|_| record.tags.contains_key(tag::MOVED_FROM))
}

/// An instance that begins anew is on its version from the beginning.
pub(in crate::core) fn forget_move(tags: &mut std::collections::BTreeMap<String, String>) {
    tags.remove(tag::MOVED_FROM);
}
