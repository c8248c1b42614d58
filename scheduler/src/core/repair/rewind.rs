//! Rewind: a failed instance goes on from before its failure, and so do its children that failed.

use std::collections::HashMap;

use super::super::delivery::Delivery;
use super::super::ids::{InstanceId, Position, RunId};
use super::super::message::{Change, Effect, Refusal, Reply};
use super::super::partition::{Lookup, Partition};
use super::super::record::{ParentLink, Status, StoredEvent};
use super::super::{events, rewrite};
use super::{Beginning, Stop};

/// What a rewind changes, and all that it must know to do so.
struct Plan {
    reason: Option<String>,
    /// Failed instances with their histories, parents before their children.
    failed: Vec<(InstanceId, Vec<StoredEvent>)>,
    /// What children returned that completed after their parent had failed.
    results: HashMap<InstanceId, Option<String>>,
    /// Failed children, and the new execution of their parent.
    parents: HashMap<InstanceId, String>,
}

impl Partition {
    pub(super) fn rewind(
        &mut self,
        id: &InstanceId,
        reason: Option<String>,
        lookup: &dyn Lookup,
    ) -> Result<Reply, Stop> {
        self.check_payload("the reason", reason.as_deref())?;
        let Some(instance) = self.find(id, lookup)? else { return Err(Refusal::NotFound(id.clone()).into()) };
        let status = instance.record.status;
        if status != Status::Failed {
            let word = status.word();
            let text = format!("instance `{id}` cannot be rewound: only a failed one can, and this one is {word}");
            return Err(Refusal::Precondition(text).into());
        }
        let mut plan = self.plan_rewind(id, reason, lookup)?;
        let mut kept = 0;
        for (at, history) in std::mem::take(&mut plan.failed) {
            let length = self.rewind_one(&at, history, &mut plan, lookup);
            if at == *id {
                kept = length;
            }
        }
        Ok(Reply::Repaired(id.clone(), kept))
    }

    /// Reads all that a rewind needs, and changes nothing.
    fn plan_rewind(&mut self, id: &InstanceId, reason: Option<String>, lookup: &dyn Lookup) -> Result<Plan, Stop> {
        let mut plan = Plan { reason, failed: Vec::new(), results: HashMap::new(), parents: HashMap::new() };
        let mut open = vec![id.clone()];
        while let Some(id) = open.pop() {
            let history = self.read_history(&id, lookup)?;
            if rewrite::ended_in_section(&history) || rewrite::failed_in_section(&history) {
                let text = format!(
                    "instance `{id}` cannot be rewound: it failed while it had locked entities, or as it did so or released them, or \
                     something failed that it had called meanwhile, and its locks are gone; restart it, or reset it to before its \
                     critical section"
                );
                return Err(Refusal::Precondition(text).into());
            }
            let run = self.instances.get(&id).map_or(RunId(0), |i| i.record.run);
            let children = rewrite::children_to_ask_again(&history);
            // One wait for all of them, rather than one after the other.
            let known = children.iter().filter_map(|(_, child)| self.instances.get(child));
            let unwritten = known.filter(|child| child.record.status.is_terminal());
            let last = unwritten.map(|i| (i.history_batch, &i.record.id)).max();
            if let Some((batch, child)) = last.filter(|(batch, _)| *batch > self.committed) {
                return Err(Stop::Later(batch, child.clone()));
            }
            for (position, child) in children {
                match self.child_status(&child, &id, run, position, lookup)? {
                    Some(Status::Failed) => open.push(child),
                    Some(Status::Completed) => {
                        let history = self.read_history(&child, lookup)?;
                        plan.results.insert(child, rewrite::completed(&history).and_then(|c| c.result.clone()));
                    }
                    _ => {}
                }
            }
            plan.failed.push((id, history));
        }
        Ok(plan)
    }

    fn rewind_one(
        &mut self,
        id: &InstanceId,
        history: Vec<StoredEvent>,
        plan: &mut Plan,
        lookup: &dyn Lookup,
    ) -> Position {
        let children = rewrite::children_to_ask_again(&history);
        let rewritten = rewrite::before_failure(history);
        let Some(mut instance) = self.instances.remove(id) else { return 0 };
        let old_run = instance.record.run;
        let kept = rewritten.events.len() as Position;
        let note = events::execution_rewound(self.now, plan.reason.clone(), plan.parents.remove(id));
        let inbox = vec![StoredEvent { event: note, answers: None }];
        let status = if rewrite::is_suspended(&rewritten.events) { Status::Suspended } else { Status::Running };
        let created = self.begin_again(&mut instance, Beginning { history: rewritten.events, inbox, status });
        let record = instance.record.clone();
        self.instances.insert(id.clone(), instance);
        for (position, child) in children {
            let Some(&now_at) = rewritten.moved.get(&position) else { continue };
            let Some((action_id, event)) = created.get(&now_at) else { continue };
            let status = self.child_status(&child, id, old_run, position, lookup).ok().flatten();
            let link = ParentLink::new(&record, now_at, *action_id);
            match status {
                Some(Status::Failed) => {
                    plan.parents.insert(child.clone(), record.execution.as_str().to_owned());
                    self.relink(&child, link);
                }
                Some(Status::Running | Status::Pending | Status::Suspended) => self.relink(&child, link),
                Some(Status::Completed) => {
                    let result = plan.results.remove(&child).flatten();
                    self.deliveries.push_back(Delivery::ChildEnded(Box::new(link), Ok(result)));
                }
                // It was ended from outside, or is gone: it begins anew.
                Some(Status::Terminated | Status::Canceled) | None => {
                    self.call_child(&record, now_at, *action_id, event);
                }
            }
        }
        self.offer_open_activities(id);
        self.save(id);
        self.effect(self.batch_seq, Effect::Changed(id.clone(), Change::Progress));
        kept
    }
}
