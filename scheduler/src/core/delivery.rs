//! Messages from one instance to another: children started and ended, events sent, terminations passed on.
//!
//! They are delivered within the input that caused them, so that cause and effect are in one batch: nothing is sent twice, and
//! nothing is lost between two writes.

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::entity::EntityMessage;
use super::events;
use super::ids::{InstanceId, Position, RunId};
use super::instance::Instance;
use super::message::{Effect, Refusal, StartRequest};
use super::partition::{Lookup, Partition};
use super::record::{InstanceRecord, ParentLink};

/// A message on its way.
#[derive(Debug)]
pub enum Delivery {
    /// Starts a child.
    StartChild(Box<StartRequest>, Box<ParentLink>),
    /// Tells a parent how its child ended.
    ChildEnded(Box<ParentLink>, ChildOutcome),
    /// Raises an external event.
    Event(InstanceId, String, Option<String>),
    /// Asks an instance to end: reason, and whether its children shall end too.
    Terminate(InstanceId, Option<String>, bool),
    /// Passes a termination on to a child, which by now may be somebody else's instance under the same id: where the parent
    /// called it, and the reason.
    TerminateChild(InstanceId, RunId, Position, Option<String>),
    /// To an entity, or from one.
    Entity(EntityMessage),
}

/// How a child ended.
pub type ChildOutcome = Result<Option<String>, pb::TaskFailureDetails>;

impl Partition {
    pub(super) fn deliver(&mut self, delivery: Delivery, lookup: &dyn Lookup) {
        let lost = match delivery {
            Delivery::Entity(message) => self.deliver_to_entity(message, lookup),
            Delivery::StartChild(start, parent) => self.start_child(*start, *parent, lookup),
            Delivery::ChildEnded(parent, outcome) => self.child_ended(&parent, outcome, lookup),
            Delivery::Event(target, name, input) => {
                let event = events::event_raised(self.now, name, input);
                self.post(&target, event, lookup).map(drop)
            }
            Delivery::Terminate(target, reason, recurse) => self.terminate(&target, reason, recurse, lookup).map(drop),
            Delivery::TerminateChild(target, run, position, reason) => {
                let parent = self.find(&target, lookup).map(|child| child.and_then(|c| c.record.parent.as_ref()));
                match parent.map(|link| link.map(|p| (p.run, p.position))) {
                    Ok(link) if link == Some((run, position)) => {
                        self.terminate(&target, reason, true, lookup).map(drop)
                    }
                    Ok(_) => Ok(()),
                    Err(why) => Err(why),
                }
            }
        };
        match lost {
            // What is sent to nobody is dropped: the protocol says so.
            Ok(()) | Err(Refusal::NotFound(_)) => {}
            Err(why) => self.effect(self.batch_seq, Effect::Warn(format!("a message was not delivered: {why}"))),
        }
    }

    /// Sends the message that starts a child, as the event at this position of its parent's history says. If it names what cannot be an
    /// orchestration's id, the call fails.
    pub(super) fn call_child(
        &mut self,
        parent: &InstanceRecord,
        position: Position,
        action_id: i32,
        created: &pb::SubOrchestrationInstanceCreatedEvent,
    ) {
        let link = Box::new(ParentLink::new(parent, position, action_id));
        let parsed = InstanceId::parse(&created.instance_id).map_err(|e| e.to_string());
        let id = parsed.and_then(|id| match id.is_entity() {
            true => Err(format!("`{id}`: ids that begin with `@` belong to entities")),
            false => Ok(id),
        });
        let delivery = match id {
            Ok(instance) => {
                let start = StartRequest {
                    instance,
                    fresh: false,
                    execution: None,
                    name: created.name.clone(),
                    version: created.version.clone(),
                    input: created.input.clone(),
                    scheduled_start: None,
                    tags: created.tags.clone().into_iter().collect(),
                    trace: created.parent_trace_context.clone(),
                    replaceable: None,
                };
                Delivery::StartChild(Box::new(start), link)
            }
            Err(why) => Delivery::ChildEnded(link, Err(events::failure("InvalidInstanceId", why, true))),
        };
        self.deliveries.push_back(delivery);
    }

    fn start_child(&mut self, start: StartRequest, parent: ParentLink, lookup: &dyn Lookup) -> Result<(), Refusal> {
        let id = start.instance.clone();
        match self.find(&id, lookup) {
            // A child that has ended may be started again under its id: a retried one keeps it. But an instance that ended in the
            // very turn in which it called itself is not lost to its own child.
            Ok(Some(existing)) if existing.record.status.is_terminal() && id != parent.instance => self.replace(&id),
            Ok(None) => {}
            other => {
                let why = match other {
                    Err(damaged) => damaged,
                    Ok(_) => Refusal::AlreadyExists(id, "it has not ended"),
                };
                let failure = events::failure("InstanceAlreadyExists", why.to_string(), true);
                return self.child_ended(&parent, Err(failure), lookup);
            }
        }
        self.create(start, Some(parent));
        Ok(())
    }

    fn child_ended(&mut self, parent: &ParentLink, outcome: ChildOutcome, lookup: &dyn Lookup) -> Result<(), Refusal> {
        let now = self.now;
        let Some(instance) = self.find(&parent.instance, lookup)? else { return Ok(()) };
        let ended = instance.record.status.is_terminal() || instance.record.run != parent.run;
        if ended || instance.children.remove(&parent.position).is_none() {
            return Ok(());
        }
        instance.record.open_children -= 1;
        let task_scheduled_id = parent.info.task_scheduled_id;
        let event_type = match outcome {
            Ok(result) => EventType::SubOrchestrationInstanceCompleted(pb::SubOrchestrationInstanceCompletedEvent {
                task_scheduled_id,
                result,
            }),
            Err(failure) => EventType::SubOrchestrationInstanceFailed(pb::SubOrchestrationInstanceFailedEvent {
                task_scheduled_id,
                failure_details: Some(failure),
            }),
        };
        let event = events::event(events::NO_ACTION, now, event_type);
        if let Some(instance) = self.instances.get_mut(&parent.instance) {
            Self::push_inbox(&mut self.batch, instance, event, Some(parent.position));
        }
        self.save(&parent.instance);
        Ok(())
    }

    /// Lets an instance's parent know that it ended, once.
    pub(super) fn tell_parent(&mut self, instance: &mut Instance, outcome: ChildOutcome) {
        if let Some(parent) = &instance.record.parent {
            self.deliveries.push_back(Delivery::ChildEnded(Box::new(parent.clone()), outcome));
        }
    }
}
