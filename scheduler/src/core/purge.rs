//! Instances that are forgotten, and instances that are ended without being asked.

use super::events;
use super::ids::InstanceId;
use super::instance::Turn;
use super::message::{Effect, Refusal, Reply};
use super::partition::{Lookup, Partition};

impl Partition {
    /// Forgets instances that have ended, with all that belongs to them. Others stay as they are.
    pub(super) fn purge(&mut self, ids: Vec<InstanceId>, lookup: &dyn Lookup) -> Result<Reply, Refusal> {
        let alone = ids.len() == 1;
        let mut purged = 0;
        for id in ids {
            if id.is_entity() {
                match self.purge_entity(&id, lookup) {
                    Ok(forgotten) => purged += u32::from(forgotten),
                    Err(why) if alone => return Err(why),
                    Err(why) => self.effect(self.batch_seq, Effect::Warn(format!("it was not purged: {why}"))),
                }
                continue;
            }
            match self.find(&id, lookup) {
                Ok(Some(instance)) if instance.record.status.is_terminal() => {
                    self.replace(&id);
                    purged += 1;
                }
                Ok(_) => {}
                Err(why) if alone => return Err(why),
                // The others are not to blame.
                Err(why) => self.effect(self.batch_seq, Effect::Warn(format!("it was not purged: {why}"))),
            }
        }
        Ok(Reply::Purged(purged))
    }

    /// Ends instances at once. What workers have of them becomes void. Returns those that are as they were: they are not there, or
    /// have ended.
    pub(super) fn force_terminate(
        &mut self,
        ids: Vec<InstanceId>,
        reason: Option<String>,
        lookup: &dyn Lookup,
    ) -> Result<Reply, Refusal> {
        self.check_payload("the reason", reason.as_deref())?;
        let mut unchanged = Vec::new();
        // Each once: named twice, it would be among those that were not ended.
        let ids: std::collections::BTreeSet<InstanceId> = ids.into_iter().collect();
        for id in ids {
            // What holds locks is in the middle of something that nobody else shall see.
            let section = self.find(&id, lookup).ok().flatten().and_then(|instance| instance.record.section.as_ref());
            let holds = section.is_some_and(|section| section.granted);
            self.touched.push(id.clone());
            if holds || !self.end_by_force(&id, reason.clone(), false, lookup) {
                unchanged.push(id);
            }
        }
        Ok(Reply::NotTerminated(unchanged))
    }

    /// Ends an instance at once if it has not ended; with `recurse` also the children that it waits for, and theirs. Returns whether
    /// it did.
    pub(super) fn end_by_force(
        &mut self,
        id: &InstanceId,
        reason: Option<String>,
        recurse: bool,
        lookup: &dyn Lookup,
    ) -> bool {
        let now = self.now;
        let mut ended = false;
        // Children with the place of the call that they answer: by now somebody else's instance may have the id.
        let mut doomed = vec![(id.clone(), None)];
        while let Some((id, call)) = doomed.pop() {
            let instance = match self.find(&id, lookup) {
                Ok(Some(instance)) if !instance.record.status.is_terminal() => instance,
                Ok(_) => continue,
                Err(why) => {
                    self.effect(self.batch_seq, Effect::Warn(format!("it was not terminated: {why}")));
                    continue;
                }
            };
            let answers = instance.record.parent.as_ref().map(|link| (link.run, link.position));
            if call.is_some() && call != answers {
                continue;
            }
            instance.turn = Turn::Idle;
            if recurse {
                let run = instance.record.run;
                doomed.extend(instance.children.iter().map(|(at, child)| (child.clone(), Some((run, *at)))));
            }
            let event = events::execution_terminated(now, reason.clone(), recurse);
            if let Some(instance) = self.instances.get_mut(&id) {
                Self::push_inbox(&mut self.batch, instance, event, None);
            }
            self.end_without_worker(&id);
            ended = true;
        }
        ended
    }
}
