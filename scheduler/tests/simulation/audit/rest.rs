//! When all has come to rest: every instance that can end has ended as the model says, and nothing is left over.

use durawasm_proto::durabletask::history_event::EventType;
use durawasm_scheduler::core::ids::InstanceId;
use durawasm_scheduler::core::record::{InstanceRecord, Status};
use durawasm_scheduler::store::Store;
use durawasm_scheduler::store::memory::MemoryStore;

use super::Audit;
use crate::spec::{Kind, Spec};

impl Audit {
    /// Nothing happens any more. Returns the instances that wait for what never comes.
    pub(crate) fn at_rest(&self, store: &MemoryStore) -> Vec<InstanceId> {
        self.compare(store);
        self.compare_rows(store);
        self.check();
        let mut endless = Vec::new();
        for record in self.records.values() {
            let id = &record.id;
            let loaded = store.load(id).expect("the store reads").expect("an instance does not vanish");
            assert_eq!(loaded.record, *record, "the store holds another row of {id} than was written");
            let spec = self.spec(record);
            if record.status.is_terminal() {
                assert!(loaded.inbox.is_empty(), "{id} has ended and its inbox is not empty: {:?}", loaded.inbox);
                self.all_ran(record);
                self.ended(record, &spec);
            } else {
                assert_eq!(spec.kind, Kind::Endless, "{id} never ended: {record:?}");
                self.may_wait(record);
                endless.push(id.clone());
            }
        }
        let rest = store.snapshot().recover().expect("the store recovers");
        assert!(rest.timers.is_empty(), "timers are left: {:?}", rest.timers);
        assert!(rest.active.is_empty(), "instances are left active: {:?}", rest.active);
        endless
    }

    /// What its current generation was started with.
    pub(crate) fn spec(&self, record: &InstanceRecord) -> Spec {
        let events = self.history(record.run).iter();
        let mut all = events.chain(self.inbox.get(&record.key).into_iter().flat_map(|i| i.values()));
        let started = all.find_map(|e| match &e.event.event_type {
            Some(EventType::ExecutionStarted(started)) => Some(started),
            _ => None,
        });
        let started = started.unwrap_or_else(|| panic!("{} was never started", record.id));
        Spec::parse(started.input.as_deref().unwrap_or_default())
    }

    /// An activity that was called runs, also one that nobody waits for.
    fn all_ran(&self, record: &InstanceRecord) {
        let rewritten = self.rewritten.contains(&record.run);
        let answered = self.answered.get(&record.run);
        for (position, stored) in (0..).zip(self.history(record.run)) {
            if let Some(EventType::TaskScheduled(task)) = &stored.event.event_type {
                let ran = self.executed.contains(&(record.run, position));
                let before = rewritten && answered.is_some_and(|a| a.contains(&position));
                assert!(ran || before, "{}: the activity with input {:?} never ran", record.id, task.input);
            }
        }
    }

    /// It ended as its plan says, or because somebody told it to.
    fn ended(&self, record: &InstanceRecord, spec: &Spec) {
        let id = &record.id;
        let history = self.history(record.run);
        let Some(Some(EventType::ExecutionCompleted(end))) = history.last().map(|e| &e.event.event_type) else {
            panic!("{id} has ended, and its history has no end");
        };
        assert_eq!(Status::from_wire(end.orchestration_status()), Some(record.status), "{id}: its row says otherwise");
        match record.status {
            Status::Completed => {
                let result = end.result.as_deref().unwrap_or_default();
                let digest = result.split('|').next().unwrap_or_default();
                let model = spec.outcome().map(|d| d.to_string());
                if Ok(digest.to_owned()) != model {
                    let events: Vec<String> = history.iter().map(|e| format!("{:?}", e.event.event_type)).collect();
                    panic!(
                        "{id} ended with another result than the model: {digest:?}, not {model:?}\nit was to do: {:?}\nit did: {}",
                        spec.steps(),
                        events.join("\n")
                    );
                }
                assert_eq!(record.custom_status.as_deref(), Some("0 steps to go"), "{id}: another custom status");
            }
            Status::Failed => {
                let error = end.failure_details.as_ref().map(|f| f.error_type.clone());
                let model = spec.outcome().err();
                let fragile = spec.kind == Kind::Fragile && error.as_deref() == Some("Fragile");
                assert!(fragile || error == model, "{id} failed with {error:?}, the model with {model:?}");
            }
            Status::Terminated => {
                let told = |e: &Option<EventType>| matches!(e, Some(EventType::ExecutionTerminated(_)));
                assert!(
                    history.iter().any(|e| told(&e.event.event_type)),
                    "{id} was terminated, and nobody told it to"
                );
            }
            other => panic!("{id} ended as {other:?}"),
        }
    }

    /// An instance that waits for ever does so because whoever could end it is gone, and was not to take it along.
    fn may_wait(&self, record: &InstanceRecord) {
        let id = &record.id;
        let link = record.parent.as_ref().unwrap_or_else(|| panic!("{id} has no parent, and waits for ever"));
        let Some(parent) = self.of_run(link.run) else { return };
        if !parent.status.is_terminal() {
            return;
        }
        let recursive = |e: &Option<EventType>| matches!(e, Some(EventType::ExecutionTerminated(t)) if t.recurse);
        let spared = self.history(link.run).iter().any(|e| recursive(&e.event.event_type));
        let terminated = parent.status == Status::Terminated;
        assert!(!(terminated && spared), "{id} was to be terminated with its parent {}", parent.id);
    }
}
