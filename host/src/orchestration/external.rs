//! External events: who waits for which name, and what came before anybody waited.
//!
//! An event goes to the earliest waiter of its name that is not cancelled, else into a buffer, in order. Names are
//! compared in lower case and kept as they were sent.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::abi::OpId;

/// An event that arrived: its name as sent, and its payload.
#[derive(Debug, PartialEq)]
pub(super) struct Raised {
    pub(super) name: String,
    pub(super) input: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct ExternalEvents {
    names: HashMap<String, Name>,
    waiting: HashMap<OpId, String>,
    /// Waiters that were issued while events of their name lay in the buffer, in the order of issue.
    candidates: VecDeque<OpId>,
    buffered: usize,
    arrivals: u64,
}

#[derive(Debug, Default)]
struct Name {
    /// Op ids grow, so the first is the earliest.
    waiters: BTreeSet<OpId>,
    buffer: VecDeque<(u64, Raised)>,
}

impl ExternalEvents {
    /// Whether an event lies in the buffer: if none does, no resolution can make one find its waiter.
    pub(super) fn has_buffered(&self) -> bool {
        self.buffered > 0
    }

    /// How many ops wait for an event.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn wait(&mut self, op: OpId, name: &str) {
        let key = name.to_lowercase();
        let entry = self.names.entry(key.clone()).or_default();
        entry.waiters.insert(op);
        if !entry.buffer.is_empty() {
            self.candidates.push_back(op);
        }
        self.waiting.insert(op, key);
    }

    /// Takes a waiter out. False if this op does not wait for an event.
    pub(super) fn cancel(&mut self, op: OpId) -> bool {
        let Some(key) = self.waiting.remove(&op) else { return false };
        if let Some(entry) = self.names.get_mut(&key) {
            entry.waiters.remove(&op);
            if entry.waiters.is_empty() && entry.buffer.is_empty() {
                self.names.remove(&key);
            }
        }
        true
    }

    /// An event arrives: the waiter that gets it, or none if it goes into the buffer.
    ///
    /// Call it only when [`Self::next_match`] has nothing more to give, else an event could overtake another.
    pub(super) fn raise(&mut self, event: Raised) -> Option<(OpId, Raised)> {
        let key = event.name.to_lowercase();
        let entry = self.names.entry(key).or_default();
        if entry.buffer.is_empty()
            && let Some(op) = entry.waiters.pop_first()
        {
            self.forget(op);
            return Some((op, event));
        }
        self.keep(event);
        None
    }

    /// Puts an event into the buffer, whoever waits.
    pub(super) fn keep(&mut self, event: Raised) {
        let entry = self.names.entry(event.name.to_lowercase()).or_default();
        entry.buffer.push_back((self.arrivals, event));
        self.arrivals += 1;
        self.buffered += 1;
    }

    /// The next waiter that a buffered event can be given to, and that event.
    pub(super) fn next_match(&mut self) -> Option<(OpId, Raised)> {
        while let Some(op) = self.candidates.pop_front() {
            let Some(key) = self.waiting.get(&op) else { continue };
            let Some(entry) = self.names.get_mut(key) else { continue };
            let Some((_, event)) = entry.buffer.pop_front() else { continue };
            self.buffered -= 1;
            entry.waiters.remove(&op);
            self.forget(op);
            return Some((op, event));
        }
        None
    }

    fn forget(&mut self, op: OpId) {
        if let Some(key) = self.waiting.remove(&op)
            && self.names.get(&key).is_some_and(|entry| entry.waiters.is_empty() && entry.buffer.is_empty())
        {
            self.names.remove(&key);
        }
    }

    /// All that lies in the buffer, in the order of arrival.
    pub(super) fn take_buffered(&mut self) -> Vec<Raised> {
        let mut all: Vec<_> = self.names.values_mut().flat_map(|entry| entry.buffer.drain(..)).collect();
        self.buffered = 0;
        all.sort_by_key(|(arrival, _)| *arrival);
        all.into_iter().map(|(_, event)| event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(name: &str, input: &str) -> Raised {
        Raised { name: name.to_owned(), input: Some(input.to_owned()) }
    }

    /// Which event goes to which waiter depends on what Rust's own library takes for the lower case of a character. If a newer one fails
    /// here, the table of Unicode 17 must be kept beside it: an instance in flight would wait for an event that it has got before.
    #[test]
    fn the_lower_case_of_every_character_is_what_it_always_was() {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for character in '\0'..=char::MAX {
            let lower = character.to_string().to_lowercase();
            if !lower.chars().eq([character]) {
                for byte in character.to_string().bytes().chain(lower.bytes()) {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
                }
            }
        }
        assert_eq!(hash, 0x7d95_ea57_f017_a7fc);
    }

    #[test]
    fn an_event_goes_to_the_earliest_waiter_of_its_name_without_regard_to_case() {
        let mut events = ExternalEvents::default();
        events.wait(3, "Go");
        events.wait(5, "gO");
        assert_eq!(events.raise(raised("GO", "1")).unwrap().0, 3);
        assert_eq!(events.raise(raised("go", "2")).unwrap().0, 5);
        assert!(events.raise(raised("go", "3")).is_none());
    }

    #[test]
    fn a_cancelled_waiter_does_not_eat_the_next_event() {
        let mut events = ExternalEvents::default();
        events.wait(1, "go");
        events.wait(2, "go");
        assert!(events.cancel(1));
        assert!(!events.cancel(1));
        assert_eq!(events.raise(raised("go", "1")).unwrap().0, 2);
    }

    #[test]
    fn a_cancelled_waiter_leaves_a_buffered_event_where_it_was() {
        let mut events = ExternalEvents::default();
        assert!(events.raise(raised("go", "1")).is_none());
        events.wait(1, "go");
        events.cancel(1);
        assert!(events.next_match().is_none());
        events.wait(2, "go");
        assert_eq!(events.next_match().unwrap(), (2, raised("go", "1")));
    }

    #[test]
    fn buffered_events_are_served_in_order_to_waiters_in_order() {
        let mut events = ExternalEvents::default();
        events.raise(raised("a", "1"));
        events.raise(raised("b", "2"));
        events.raise(raised("a", "3"));
        events.wait(1, "b");
        events.wait(2, "a");
        assert_eq!(events.next_match().unwrap(), (1, raised("b", "2")));
        assert_eq!(events.next_match().unwrap(), (2, raised("a", "1")));
        assert!(events.next_match().is_none());
        assert_eq!(events.take_buffered(), vec![raised("a", "3")]);
    }

    #[test]
    fn what_is_carried_over_keeps_the_order_of_arrival_and_the_case_of_the_names() {
        let mut events = ExternalEvents::default();
        for (name, input) in [("B", "1"), ("a", "2"), ("b", "3")] {
            events.raise(raised(name, input));
        }
        assert_eq!(events.take_buffered(), vec![raised("B", "1"), raised("a", "2"), raised("b", "3")]);
        assert!(!events.has_buffered());
    }

    #[test]
    fn waiters_that_come_and_go_leave_nothing_behind() {
        let mut events = ExternalEvents::default();
        for op in 0..1_000 {
            events.wait(op, &format!("event-{op}"));
            events.cancel(op);
        }
        assert!(events.names.is_empty() && events.waiting.is_empty() && events.candidates.is_empty());
    }
}
