//! Restart: an instance begins anew, as itself or as a new instance.

use durawasm_proto::tag;
use pb::history_event::EventType;

use durawasm_proto::durabletask as pb;

use super::super::ids::InstanceId;
use super::super::message::{Refusal, Reply, StartRequest};
use super::super::partition::{Lookup, Partition};
use super::super::rewrite;
use super::{Stop, forget_move};

impl Partition {
    pub(super) fn restart(
        &mut self,
        id: &InstanceId,
        new: Option<InstanceId>,
        lookup: &dyn Lookup,
    ) -> Result<Reply, Stop> {
        let Some(instance) = self.find(id, lookup)? else { return Err(Refusal::NotFound(id.clone()).into()) };
        let status = instance.record.status;
        if new.is_none() && !status.is_terminal() {
            let word = status.word();
            let text = format!(
                "instance `{id}` is {word}: only one that has ended can be restarted under its id; terminate it first, or \
                 restart it as a new instance"
            );
            return Err(Refusal::Precondition(text).into());
        }
        let in_inbox = instance.inbox.iter().map(|e| &e.stored).find_map(|e| match &e.event.event_type {
            Some(EventType::ExecutionStarted(started)) => Some((**started).clone()),
            _ => None,
        });
        let started = match in_inbox {
            Some(started) => Some(started),
            None => rewrite::started(&self.read_history(id, lookup)?).cloned(),
        };
        let Some(started) = started else {
            return Err(Refusal::Damaged(id.clone(), "its history does not say how it was started".into()).into());
        };
        let Some(instance) = self.instances.get(id) else { return Err(Refusal::NotFound(id.clone()).into()) };
        let mut tags = instance.record.tags.clone();
        tags.remove(tag::SEED_OF);
        forget_move(&mut tags);
        let target = new.clone().unwrap_or_else(|| id.clone());
        let start = StartRequest {
            instance: target.clone(),
            fresh: false,
            execution: None,
            name: instance.record.name.clone(),
            version: instance.record.version.clone(),
            input: started.input,
            scheduled_start: None,
            tags,
            trace: started.parent_trace_context,
            replaceable: None,
        };
        match new {
            Some(new) if self.find(&new, lookup)?.is_some() => {
                return Err(Refusal::AlreadyExists(new, "choose another id").into());
            }
            Some(_) => {}
            None => self.replace(id),
        }
        self.create(start, None);
        Ok(Reply::Started(target))
    }
}
