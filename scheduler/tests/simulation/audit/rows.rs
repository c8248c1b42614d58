//! Rows: they count rightly, they agree with each other across parents and children, and nothing is stored that belongs to none.

use std::collections::BTreeSet;

use durawasm_proto::durabletask::history_event::EventType;
use durawasm_scheduler::core::record::{InstanceRecord, Status, TimerRecord};
use durawasm_scheduler::store::memory::{MemoryStore, RowKeys};

use super::Audit;

impl Audit {
    pub(super) fn row(&mut self, record: &InstanceRecord) {
        let id = &record.id;
        let history = self.history(record.run);
        assert_eq!(history.len() as u64, record.history_len, "{id}: the row miscounts its history");
        let inbox = self.inbox.get(&record.key).map_or(0, std::collections::BTreeMap::len);
        assert_eq!(inbox as u64, record.inbox_len, "{id}: the row miscounts its inbox");
        let ended = matches!(history.last().map(|e| &e.event.event_type), Some(Some(EventType::ExecutionCompleted(_))));
        assert_eq!(ended, record.status.is_terminal(), "{id}: it is {:?}, its history says otherwise", record.status);
        if !record.status.is_terminal() {
            let open = self.open(record);
            let count = |wanted: fn(&EventType) -> bool| open.values().filter(|e| wanted(e)).count();
            let activities = count(|e| matches!(e, EventType::TaskScheduled(_)));
            assert_eq!(activities, record.open_activities as usize, "{id}: the row miscounts its activities");
            let children = count(|e| matches!(e, EventType::SubOrchestrationInstanceCreated(_)));
            assert_eq!(children, record.open_children as usize, "{id}: the row miscounts its children");
        }
        match self.records.insert(record.key, record.clone()) {
            Some(old) => {
                assert_eq!((&old.id, &old.name), (&record.id, &record.name), "{id}: it became another instance");
                assert!(old.last_episode_at <= record.last_episode_at, "{id}: its clock went back");
                if let Some(parent) = record.parent.as_ref().filter(|_| old.parent != record.parent) {
                    let other = self.children.insert((parent.run, parent.position), record.key);
                    assert_eq!(other, None, "{id}: two children answer one call");
                }
                if old.run == record.run {
                    let changed = old.status.is_terminal() && old.status != record.status;
                    assert!(!changed, "{id}: an end was taken back");
                    let began = !matches!(old.status, Status::Pending | Status::Suspended);
                    assert!(!began || record.status != Status::Pending, "{id}: it is pending again");
                }
            }
            None => {
                if let Some(parent) = &record.parent {
                    let other = self.children.insert((parent.run, parent.position), record.key);
                    assert_eq!(other, None, "{id}: a child was started twice");
                }
                let other = self.by_id.insert(id.clone(), record.key);
                assert_eq!(other, None, "{id}: two instances have one id");
            }
        }
    }

    /// What is stored belongs to something that is there, and what belongs together is all there.
    pub(crate) fn check(&self) {
        for record in self.records.values() {
            self.timers_of(record);
            self.children_of(record);
            self.parent_of(record);
        }
        let current = |run| self.of_run(run).unwrap_or_else(|| panic!("something is left of {run:?}"));
        for run in self.histories.keys() {
            current(*run);
        }
        for (run, _) in self.timers.keys() {
            let record = current(*run);
            assert!(!record.status.is_terminal(), "{} has ended, and a timer is left", record.id);
        }
        for key in self.inbox.keys() {
            assert!(self.records.contains_key(key), "the inbox of {key:?} is left");
        }
    }

    /// A running instance has the timers that its history set and that have not fired, and no other ones.
    fn timers_of(&self, record: &InstanceRecord) {
        let id = &record.id;
        let all = self.timers.range((record.run, 0)..(record.run, TimerRecord::START));
        let set: BTreeSet<u64> = all.map(|((_, at), _)| *at).collect();
        let open = self.open(record);
        let timers = open.iter().filter(|(_, e)| matches!(e, EventType::TimerCreated(_)));
        let wanted: BTreeSet<u64> = timers.filter(|_| !record.status.is_terminal()).map(|(at, _)| *at).collect();
        assert_eq!(set, wanted, "{id}: other timers are set than its history says");
    }

    /// A child that a running parent waits for is there, runs, and knows whom it answers.
    fn children_of(&self, record: &InstanceRecord) {
        if record.status.is_terminal() {
            return;
        }
        for (at, event) in self.open(record) {
            let EventType::SubOrchestrationInstanceCreated(created) = event else { continue };
            let child = self.children.get(&(record.run, at)).and_then(|key| self.records.get(key));
            let Some(child) = child else {
                panic!("{} waits for its child {}, which is not there", record.id, created.instance_id);
            };
            let id = &child.id;
            assert_eq!(id.as_str(), created.instance_id, "a child has another id than its parent gave it");
            assert!(!child.status.is_terminal(), "{} waits for {id}, which has ended", record.id);
            let link = child.parent.as_ref().map(|p| (&p.instance, p.run, p.position));
            assert_eq!(link, Some((&record.id, record.run, at)), "{id} does not know its parent");
        }
    }

    /// A running child whose parent runs is one that its parent waits for.
    fn parent_of(&self, record: &InstanceRecord) {
        let Some(link) = record.parent.as_ref().filter(|_| !record.status.is_terminal()) else { return };
        let Some(parent) = self.of_run(link.run).filter(|p| !p.status.is_terminal()) else { return };
        let waits = self.open(parent).contains_key(&link.position);
        assert!(waits, "{} runs, and its parent {} does not wait for it any longer", record.id, parent.id);
    }

    /// The store holds what the books hold, row by row.
    pub(crate) fn compare_rows(&self, store: &MemoryStore) {
        let written = RowKeys {
            instances: self.records.keys().copied().collect(),
            ids: self.by_id.clone(),
            inbox: self.inbox.iter().flat_map(|(key, inbox)| inbox.keys().map(|seq| (*key, *seq))).collect(),
            runs: self.histories.keys().copied().collect(),
            timers: self.timers.keys().copied().collect(),
            // Nothing here has to do with entities.
            ..RowKeys::default()
        };
        assert_eq!(store.rows(), written, "the store holds other rows than were written");
    }
}
