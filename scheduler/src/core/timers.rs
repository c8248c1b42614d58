//! Durable timers in memory: which is due next, and which belong to an execution.
//!
//! There may be millions, most of them far away, so each is kept once, in a dense table, and found through two orders that hold
//! its place in the table alone: a heap by due time, and a tree by execution. Together a timer takes some 90 bytes and its
//! instance's id, which the timers of an execution share. What is given up is given back.

use std::collections::BTreeSet;

use super::ids::{InstanceId, Position, RunId};
use super::record::TimerRecord;
use super::time::Timestamp;

/// The heap's nodes have so many children: it is flat, and children lie beside each other.
const FAN: usize = 4;

/// All timers of a partition. What is here is in the store too (or in the batch that is being filled).
#[derive(Debug, Default)]
pub struct Timers {
    /// In no order.
    table: Vec<Timer>,
    /// Places in the table. Each is due no earlier than its parent.
    heap: Vec<Place>,
    of_run: BTreeSet<Entry>,
}

/// A place in the table. Four billion timers fit in no memory.
type Place = u32;

#[derive(Debug)]
struct Timer {
    run: RunId,
    position: Position,
    due: Timestamp,
    instance: InstanceId,
    timer_id: i32,
    /// Where in the heap it stands.
    heap_at: u32,
}

/// A timer in the order by executions. Of the position only the lower half is here, which two timers of an execution have in
/// common only if there are billions of events between them: then the table tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    run: RunId,
    position: u32,
    place: Place,
}

impl Entry {
    const fn new(run: RunId, position: Position, place: Place) -> Self {
        Self { run, position: position as u32, place }
    }
}

impl Timer {
    /// Of two that are due at the same time, the one that was created first comes first.
    const fn order(&self) -> (Timestamp, RunId, Position) {
        (self.due, self.run, self.position)
    }

    fn entry(&self, place: Place) -> Entry {
        Entry::new(self.run, self.position, place)
    }

    fn record(&self) -> TimerRecord {
        TimerRecord {
            run: self.run,
            position: self.position,
            due: self.due,
            timer_id: self.timer_id,
            instance: self.instance.clone(),
        }
    }
}

impl Timers {
    /// Adds a timer. One at the same position of the same execution is replaced.
    pub fn insert(&mut self, timer: TimerRecord) {
        let TimerRecord { run, position, due, timer_id, instance } = timer;
        if let Some(place) = self.find(run, position) {
            self.remove(place);
        }
        let instance = self.first_of(run).map_or(instance, |sibling| self.table[index(sibling)].instance.clone());
        let place = place(self.table.len());
        self.table.push(Timer { run, position, due, instance, timer_id, heap_at: place });
        self.heap.push(place);
        self.of_run.insert(Entry::new(run, position, place));
        self.rise(index(place));
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.heap.first().map(|place| self.table[index(*place)].due)
    }

    /// Takes the next timer that is due by `now`.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<TimerRecord> {
        let first = *self.heap.first()?;
        if self.table[index(first)].due > now {
            return None;
        }
        Some(self.remove(first).record())
    }

    /// Forgets a timer.
    pub fn cancel(&mut self, run: RunId, position: Position) {
        if let Some(place) = self.find(run, position) {
            self.remove(place);
        }
    }

    /// Forgets all timers of an execution.
    pub fn remove_run(&mut self, run: RunId) {
        while let Some(place) = self.first_of(run) {
            self.remove(place);
        }
    }

    /// Whether this timer is set.
    #[must_use]
    pub fn contains(&self, run: RunId, position: Position) -> bool {
        self.find(run, position).is_some()
    }

    /// How many timers an execution has open.
    #[must_use]
    pub fn count(&self, run: RunId) -> usize {
        self.of_run.range(Entry::new(run, 0, 0)..=Entry { run, position: u32::MAX, place: Place::MAX }).count()
    }

    /// All timers, by execution.
    pub fn iter(&self) -> impl Iterator<Item = TimerRecord> + '_ {
        self.of_run.iter().map(|entry| self.table[index(entry.place)].record())
    }

    /// How many timers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn first_of(&self, run: RunId) -> Option<Place> {
        let all = Entry::new(run, 0, 0)..=Entry { run, position: u32::MAX, place: Place::MAX };
        self.of_run.range(all).next().map(|entry| entry.place)
    }

    fn find(&self, run: RunId, position: Position) -> Option<Place> {
        let alike = Entry::new(run, position, 0)..=Entry::new(run, position, Place::MAX);
        let mut places = self.of_run.range(alike).map(|entry| entry.place);
        places.find(|place| self.table[index(*place)].position == position)
    }

    /// Takes a timer out of the table and both orders. The table's last one moves to its place.
    fn remove(&mut self, place: Place) -> Timer {
        let at = index(self.table[index(place)].heap_at);
        self.heap.swap_remove(at);
        if let Some(moved) = self.heap.get(at) {
            self.table[index(*moved)].heap_at = self::place(at);
            self.sink(at);
            self.rise(at);
        }
        let removed = self.table.swap_remove(index(place));
        self.of_run.remove(&removed.entry(place));
        if let Some(moved) = self.table.get(index(place)) {
            self.of_run.remove(&moved.entry(self::place(self.table.len())));
            self.of_run.insert(moved.entry(place));
            self.heap[index(moved.heap_at)] = place;
        }
        if self.table.len() < self.table.capacity() / 4 {
            self.table.shrink_to(self.table.len() * 2);
            self.heap.shrink_to(self.table.len() * 2);
        }
        removed
    }

    /// Moves what stands at this place of the heap up as far as it must.
    fn rise(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / FAN;
            if self.key(parent) <= self.key(at) {
                return;
            }
            self.exchange(at, parent);
            at = parent;
        }
    }

    /// Moves what stands at this place of the heap down as far as it must.
    fn sink(&mut self, mut at: usize) {
        loop {
            let children = at * FAN + 1..(at * FAN + 1 + FAN).min(self.heap.len());
            let Some(least) = children.min_by_key(|child| self.key(*child)) else { return };
            if self.key(at) <= self.key(least) {
                return;
            }
            self.exchange(at, least);
            at = least;
        }
    }

    fn key(&self, at: usize) -> (Timestamp, RunId, Position) {
        self.table[index(self.heap[at])].order()
    }

    fn exchange(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for at in [one, other] {
            self.table[index(self.heap[at])].heap_at = place(at);
        }
    }
}

fn place(index: usize) -> Place {
    Place::try_from(index).expect("four billion timers fit in no memory")
}

const fn index(place: Place) -> usize {
    place as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

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

    #[derive(Clone, Debug)]
    enum Step {
        Insert(TimerRecord),
        Pop(i64),
        RemoveRun(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        // Some positions are alike in their lower halves.
        let position = prop_oneof![0..20_u64, Just(TimerRecord::START), Just(u64::from(u32::MAX)), Just(5 + (1 << 32))];
        prop_oneof![
            6 => (0..12_u64, position, 0..40_i64).prop_map(|(run, position, due)| Step::Insert(timer(run, position, due))),
            3 => (0..40_i64).prop_map(Step::Pop),
            1 => (0..12_u64).prop_map(Step::RemoveRun),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn whatever_is_set_and_taken_the_next_timer_is_the_earliest(steps in proptest::collection::vec(step(), 1..200)) {
            let mut timers = Timers::default();
            let mut model: BTreeMap<(RunId, Position), TimerRecord> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert(timer) => {
                        model.insert((timer.run, timer.position), timer.clone());
                        timers.insert(timer);
                    }
                    Step::Pop(now) => {
                        let now = Timestamp::from_micros(now);
                        let next = model.values().min_by_key(|t| (t.due, t.run, t.position));
                        let next = next.filter(|t| t.due <= now).cloned();
                        prop_assert_eq!(timers.pop_due(now), next.clone());
                        next.map(|t| model.remove(&(t.run, t.position)));
                    }
                    Step::RemoveRun(run) => {
                        model.retain(|(of, _), _| *of != RunId(run));
                        timers.remove_run(RunId(run));
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
                prop_assert_eq!(timers.next_due(), model.values().map(|t| t.due).min());
                for run in (0..12).map(RunId) {
                    prop_assert_eq!(timers.count(run), model.keys().filter(|(of, _)| *of == run).count());
                    for position in [5, TimerRecord::START, u64::from(u32::MAX), 5 + (1 << 32)] {
                        prop_assert_eq!(timers.contains(run, position), model.contains_key(&(run, position)));
                    }
                }
                let mut all: Vec<_> = timers.iter().collect();
                all.sort_by_key(|t| (t.run, t.position));
                prop_assert_eq!(all, model.values().cloned().collect::<Vec<_>>());
            }
        }
    }
}
