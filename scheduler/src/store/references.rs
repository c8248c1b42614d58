//! Which rows refer to which payloads.
//!
//! A reference is kept for the row that holds it, not as a count: to write a row twice counts once, and a row that is deleted takes its
//! references with it, without being read. What a batch changes is worked out here, for every store alike.

use crate::core::batch::Batch;
use crate::core::ids::{InstanceKey, Position, RunId};
use crate::core::payload::{self, Hash, MARK, Reference};
use crate::store::codec;

/// A row of the store that may refer to payloads: a table, numbered as in [`seal`](super::seal), and its two key numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) table: u8,
    pub(super) row: u64,
    pub(super) sub: u64,
}

const INSTANCES: u8 = 1;
const HISTORY: u8 = 2;
const INBOX: u8 = 3;
const STATES: u8 = 6;
const QUEUES: u8 = 7;

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A row refers to nothing any more.
    Forget(Owner),
    /// All rows of a table with that first key number refer to nothing any more.
    ForgetAll { table: u8, row: u64 },
    /// A row refers to a payload.
    Add(Owner, Hash),
}

/// What a batch changes. With `none_yet` there are no references in the store, and so none to forget.
pub(super) fn changes(batch: &Batch, none_yet: bool) -> Vec<Change> {
    let mut changes = Changes { list: Vec::new(), none_yet };
    for key in &batch.dropped_instances {
        changes.forget_all(INSTANCES, key.0);
        changes.forget_all(INBOX, key.0);
    }
    for run in &batch.dropped_runs {
        changes.forget_all(HISTORY, run.0);
    }
    for (key, record) in &batch.instances {
        changes.replace(instance(*key), record.custom_status.as_deref());
    }
    for ((key, seq), entry) in &batch.inbox {
        let owner = Owner { table: INBOX, row: key.0, sub: *seq };
        changes.replace(owner, entry.as_ref().and_then(|entry| text(&entry.stored.event)));
    }
    for append in &batch.appends {
        if append.events.iter().all(|stored| text(&stored.event).is_none_or(|text| !text.starts_with(MARK))) {
            continue;
        }
        for (first, events) in codec::split(append.first, &append.events) {
            let owner = episode(append.run, first);
            events.iter().filter_map(|stored| text(&stored.event)).for_each(|text| changes.add(owner, text));
        }
    }
    for key in &batch.dropped_entities {
        changes.forget_all(STATES, key.0);
        changes.forget_all(QUEUES, key.0);
    }
    for (key, state) in &batch.states {
        changes.replace(Owner { table: STATES, row: key.0, sub: 0 }, state.as_deref());
    }
    for ((key, seq), entry) in &batch.queues {
        let owner = Owner { table: QUEUES, row: key.0, sub: *seq };
        changes.replace(owner, entry.as_ref().and_then(|entry| text(&entry.event)));
    }
    changes.list
}

const fn instance(key: InstanceKey) -> Owner {
    Owner { table: INSTANCES, row: key.0, sub: 0 }
}

const fn episode(run: RunId, first: Position) -> Owner {
    Owner { table: HISTORY, row: run.0, sub: first }
}

fn text(event: &durawasm_proto::durabletask::HistoryEvent) -> Option<&str> {
    payload::of_event(event).map(String::as_str)
}

struct Changes {
    list: Vec<Change>,
    none_yet: bool,
}

impl Changes {
    fn forget_all(&mut self, table: u8, row: u64) {
        if !self.none_yet {
            self.list.push(Change::ForgetAll { table, row });
        }
    }

    fn replace(&mut self, owner: Owner, text: Option<&str>) {
        if !self.none_yet {
            self.list.push(Change::Forget(owner));
        }
        if let Some(text) = text {
            self.add(owner, text);
        }
    }

    fn add(&mut self, owner: Owner, text: &str) {
        if text.starts_with(MARK)
            && let Some(reference) = Reference::parse(text)
        {
            self.list.push(Change::Add(owner, reference.hash));
        }
    }
}
