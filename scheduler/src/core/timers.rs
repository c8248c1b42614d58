//! Durable timers in memory: which is due next, and which belong to an execution.

use std::collections::{BTreeMap, HashMap};

use super::ids::{InstanceId, Position, RunId};
use super::record::TimerRecord;
use super::time::Timestamp;

/// All timers of a partition. What is here is in the store too (or in the batch that is being filled).
#[derive(Debug, Default)]
pub struct Timers {
    due: BTreeMap<(Timestamp, RunId, Position), (InstanceId, i32)>,
    of_run: HashMap<RunId, BTreeMap<Position, Timestamp>>,
}

impl Timers {
    /// Adds a timer.
    pub fn insert(&mut self, timer: TimerRecord) {
        self.of_run.entry(timer.run).or_default().insert(timer.position, timer.due);
        self.due.insert((timer.due, timer.run, timer.position), (timer.instance, timer.timer_id));
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((due, ..), _)| *due)
    }

    /// Takes the next timer that is due by `now`.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<TimerRecord> {
        let (&(due, run, position), _) = self.due.first_key_value()?;
        if due > now {
            return None;
        }
        let (_, (instance, timer_id)) = self.due.pop_first()?;
        if let Some(of_run) = self.of_run.get_mut(&run) {
            of_run.remove(&position);
            if of_run.is_empty() {
                self.of_run.remove(&run);
            }
        }
        Some(TimerRecord { run, position, due, timer_id, instance })
    }

    /// Forgets all timers of an execution.
    pub fn remove_run(&mut self, run: RunId) {
        for (position, due) in self.of_run.remove(&run).unwrap_or_default() {
            self.due.remove(&(due, run, position));
        }
    }

    /// Whether this timer is set.
    #[must_use]
    pub fn contains(&self, run: RunId, position: Position) -> bool {
        self.of_run.get(&run).is_some_and(|timers| timers.contains_key(&position))
    }

    /// How many timers an execution has open.
    #[must_use]
    pub fn count(&self, run: RunId) -> usize {
        self.of_run.get(&run).map_or(0, BTreeMap::len)
    }

    /// All timers, in the order of their due times.
    pub fn iter(&self) -> impl Iterator<Item = TimerRecord> + '_ {
        self.due.iter().map(|((due, run, position), (instance, timer_id))| TimerRecord {
            run: *run,
            position: *position,
            due: *due,
            timer_id: *timer_id,
            instance: instance.clone(),
        })
    }

    /// How many timers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(run: u64, position: u64, due: i64) -> TimerRecord {
        TimerRecord {
            run: RunId(run),
            position,
            due: Timestamp::from_micros(due),
            timer_id: 1,
            instance: InstanceId::trusted("i"),
        }
    }

    #[test]
    fn timers_fire_in_the_order_of_their_due_times_and_never_early() {
        let mut timers = Timers::default();
        for t in [timer(1, 5, 30), timer(1, 6, 10), timer(2, 5, 20)] {
            timers.insert(t);
        }
        assert_eq!(timers.pop_due(Timestamp::from_micros(9)), None);
        assert_eq!(timers.pop_due(Timestamp::from_micros(25)), Some(timer(1, 6, 10)));
        assert_eq!(timers.pop_due(Timestamp::from_micros(25)), Some(timer(2, 5, 20)));
        assert_eq!(timers.pop_due(Timestamp::from_micros(25)), None);
        timers.remove_run(RunId(1));
        assert!(timers.is_empty() && timers.count(RunId(1)) == 0);
    }
}
