//! Reset: an instance goes on from before one of its turns.

use std::collections::BTreeMap;

use super::super::ids::{InstanceId, Position};
use super::super::message::{Change, Effect, Refusal, Reply};
use super::super::partition::{Lookup, Partition};
use super::super::{events, rewrite};
use super::{Stop, beginning, cut, open_children};

impl Partition {
    pub(super) fn reset(
        &mut self,
        id: &InstanceId,
        at: Position,
        reason: Option<String>,
        lookup: &dyn Lookup,
    ) -> Result<Reply, Stop> {
        self.check_payload("the reason", reason.as_deref())?;
        let history = self.read_history(id, lookup)?;
        let (cut, at) = cut(id, &history, at, false)?;
        let Some(mut instance) = self.instances.remove(id) else { return Err(Refusal::NotFound(id.clone()).into()) };
        let old_run = instance.record.run;
        let undone: Vec<(Position, InstanceId)> =
            rewrite::created_children(&history).filter(|(p, _)| *p >= cut as u64).collect();
        let said = reason.map(|r| format!(": {r}")).unwrap_or_default();
        let note = events::note(self.now, format!("reset to before event {at}{said}"));
        let begin = beginning(&instance, history, cut, at, &BTreeMap::new(), note);
        let still_open = open_children(&begin);
        self.begin_again(&mut instance, begin);
        let record = instance.record.clone();
        self.instances.insert(id.clone(), instance);
        // Children of turns that are undone would stand in the way of those that come in their place.
        for (position, child) in undone {
            if let Ok(Some(status)) = self.child_status(&child, id, old_run, position, lookup)
                && !status.is_terminal()
            {
                let text = format!("its parent `{id}` was reset to before it was started");
                self.end_by_force(&child, Some(text), true, lookup);
            }
        }
        for (position, child) in still_open {
            let link = self.link_of(&record, position);
            match self.child_status(&child, id, old_run, position, lookup) {
                Ok(Some(status)) if !status.is_terminal() => self.relink(&child, link),
                _ => self.start_again(id, position, link),
            }
        }
        self.offer_open_activities(id);
        self.save(id);
        self.effect(self.batch_seq, Effect::Changed(id.clone(), Change::Progress));
        Ok(Reply::Repaired(id.clone(), cut as Position))
    }
}
