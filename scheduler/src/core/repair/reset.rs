//! Reset: an instance goes on from before one of its turns.

use std::collections::{BTreeMap, BTreeSet};

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::super::ids::{InstanceId, Position};
use super::super::instance::Instance;
use super::super::message::{Change, Effect, Refusal, Reply, ResetRequest};
use super::super::partition::{Lookup, Partition};
use super::super::record::{ParentLink, Status, StoredEvent};
use super::super::rewrite;
use super::{Cut, Stop, beginning, outside_section, place_to_cut};

impl Partition {
    pub(super) fn reset(&mut self, reset: ResetRequest, lookup: &dyn Lookup) -> Result<Reply, Stop> {
        let ResetRequest { instance: id, execution, at, reason } = reset;
        self.check_payload("the reason", reason.as_deref())?;
        self.check_execution(&id, execution.as_deref(), lookup)?;
        let history = self.read_history(&id, lookup)?;
        let (kept, at) = place_to_cut(&id, &history, at, false)?;
        outside_section(&id, &history[..kept], at)?;
        let Some(mut instance) = self.instances.remove(&id) else { return Err(Refusal::NotFound(id).into()) };
        let old_run = instance.record.run;
        let undone: Vec<(Position, InstanceId)> =
            rewrite::created_children(&history).filter(|(position, _)| *position >= kept as Position).collect();
        let note = format!("reset to before event {at}{}", reason.map(|r| format!(": {r}")).unwrap_or_default());
        let cut = Cut { kept, at, substitutes: BTreeMap::new(), note };
        let held = asked_for(&instance);
        let mut begin = beginning(&instance, history, cut, self.now);
        if instance.record.status == Status::Suspended {
            begin.status = Status::Suspended;
        }
        begin.inbox.extend(held);
        let created = self.begin_again(&mut instance, begin);
        let open: BTreeSet<Position> = instance.children.keys().copied().collect();
        let record = instance.record.clone();
        self.instances.insert(id.clone(), instance);
        // Children of turns that are undone, and theirs, would stand in the way of those that come in their place.
        for (position, child) in undone {
            if let Ok(Some(_)) = self.child_status(&child, &id, old_run, position, lookup) {
                let text = format!("its parent `{id}` was reset to before it was started");
                self.end_by_force(&child, Some(text), true, lookup);
            }
        }
        for (position, (action_id, event)) in created {
            let (child, is_open) = (InstanceId::trusted(&event.instance_id), open.contains(&position));
            match self.child_status(&child, &id, old_run, position, lookup) {
                Ok(Some(status)) if !status.is_terminal() || !is_open => {
                    self.relink(&child, ParentLink::new(&record, position, action_id));
                }
                _ if is_open => self.call_child(&record, position, action_id, &event),
                _ => {}
            }
        }
        self.offer_open_activities(&id);
        self.save(&id);
        self.effect(self.batch_seq, Effect::Changed(id.clone(), Change::Progress));
        Ok(Reply::Repaired(id, kept as Position))
    }
}

/// What clients have asked of an instance, and it has not heard of yet: to be held, to go on, to end. All but external events.
fn asked_for(instance: &Instance) -> Vec<StoredEvent> {
    let asked = |event: &pb::HistoryEvent| {
        matches!(
            event.event_type,
            Some(EventType::ExecutionSuspended(_) | EventType::ExecutionResumed(_) | EventType::ExecutionTerminated(_))
        )
    };
    instance.inbox.iter().map(|e| &e.stored).filter(|e| asked(&e.event)).cloned().collect()
}
