//! Texts that are kept in the payload store, as the core sees them: short references in their place.
//!
//! The core moves texts about and never looks into them, so a reference goes wherever the text would have gone. What it must know is how
//! much a text weighs when it is sent ([`weight`], [`event_weight`]), and the store must know which rows refer to what ([`Reference`]).
//!
//! A reference is a text that begins with [`MARK`]. It cannot be confused with a user's: at the hub's edge every text that begins so goes
//! into the payload store itself, however short it is (see [`crate::payload`]). Files from before there was a payload store may hold such
//! a text by accident; it does not have the file's random key, and so it is what it is.

use std::fmt;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;
use pb::orchestrator_action::OrchestratorActionType as Action;
use pb::send_entity_message_action::EntityMessageType;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

/// How a reference begins.
pub const MARK: &str = "\u{0}durawasm-payload:1:";

/// The SHA-256 of a text: its address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// That of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From 64 hex digits in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A random number of a hub's store, made with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubKey(pub u128);

/// What stands for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The hub that it belongs to.
    pub key: HubKey,
    /// The text's address.
    pub hash: Hash,
    /// The text's length in bytes.
    pub length: u32,
}

impl Reference {
    /// The reference that a text is, if it is one of any hub.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (key, rest) = text.strip_prefix(MARK)?.split_at_checked(32)?;
        let (hash, length) = rest.strip_prefix(':')?.split_at_checked(64)?;
        let reference = Self {
            key: HubKey(u128::from_str_radix(key, 16).ok()?),
            hash: Hash::parse(hash)?,
            length: length.strip_prefix(':')?.parse().ok()?,
        };
        // There is one way to write it.
        (reference.to_string() == text).then_some(reference)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}{:032x}:{}:{}", self.key.0, self.hash, self.length)
    }
}

/// How many bytes a text has when it is sent.
#[must_use]
pub fn weight(text: &str) -> usize {
    match text.starts_with(MARK).then(|| Reference::parse(text)).flatten() {
        Some(reference) => reference.length as usize,
        None => text.len(),
    }
}

/// How many bytes an event has when it is sent.
#[must_use]
pub fn event_weight(event: &pb::HistoryEvent) -> usize {
    let text = of_event(event).map(String::as_str).unwrap_or_default();
    event.encoded_len() - text.len() + weight(text)
}

/// The text of an event, by reference of one kind or the other.
macro_rules! text_of_event {
    ($event:expr, $reference:ident) => {
        match $event.event_type.$reference()? {
            EventType::ExecutionStarted(e) => e.input.$reference(),
            EventType::ExecutionCompleted(e) => e.result.$reference(),
            EventType::ExecutionTerminated(e) => e.input.$reference(),
            EventType::ExecutionSuspended(e) => e.input.$reference(),
            EventType::ExecutionResumed(e) => e.input.$reference(),
            EventType::ExecutionRewound(e) => e.reason.$reference(),
            EventType::TaskScheduled(e) => e.input.$reference(),
            EventType::TaskCompleted(e) => e.result.$reference(),
            EventType::SubOrchestrationInstanceCreated(e) => e.input.$reference(),
            EventType::SubOrchestrationInstanceCompleted(e) => e.result.$reference(),
            EventType::EventSent(e) => e.input.$reference(),
            EventType::EventRaised(e) => e.input.$reference(),
            EventType::GenericEvent(e) => e.data.$reference(),
            EventType::ContinueAsNew(e) => e.input.$reference(),
            EventType::EntityOperationSignaled(e) => e.input.$reference(),
            EventType::EntityOperationCalled(e) => e.input.$reference(),
            EventType::EntityOperationCompleted(e) => e.output.$reference(),
            _ => None,
        }
    };
}

/// The text of an event that may be large: there is at most one. (Failures are cut, names and ids are short.)
#[must_use]
pub fn of_event(event: &pb::HistoryEvent) -> Option<&String> {
    text_of_event!(event, as_ref)
}

/// The same text, to be changed.
pub fn of_event_mut(event: &mut pb::HistoryEvent) -> Option<&mut String> {
    text_of_event!(event, as_mut)
}

/// How many bytes an answer, or a part of one, has when it is sent.
#[must_use]
pub fn answer_weight(answer: &pb::OrchestratorResponse) -> usize {
    let more = |text: Option<&String>| text.map_or(0, |text| weight(text) - text.len().min(weight(text)));
    let of_action = |action: &pb::OrchestratorAction| match &action.orchestrator_action_type {
        Some(Action::ScheduleTask(task)) => more(task.input.as_ref()),
        Some(Action::CreateSubOrchestration(child)) => more(child.input.as_ref()),
        Some(Action::SendEvent(event)) => more(event.data.as_ref()),
        Some(Action::CompleteOrchestration(complete)) => {
            let carried = complete.carryover_events.iter().map(|event| more(of_event(event))).sum::<usize>();
            more(complete.result.as_ref()) + carried
        }
        Some(Action::SendEntityMessage(message)) => match &message.entity_message_type {
            Some(EntityMessageType::EntityOperationSignaled(signal)) => more(signal.input.as_ref()),
            Some(EntityMessageType::EntityOperationCalled(call)) => more(call.input.as_ref()),
            _ => 0,
        },
        _ => 0,
    };
    answer.encoded_len() + answer.actions.iter().map(of_action).sum::<usize>() + more(answer.custom_status.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::events;
    use crate::core::time::Timestamp;

    fn reference(length: u32) -> Reference {
        Reference { key: HubKey(0xab), hash: Hash([0x5c; 32]), length }
    }

    #[test]
    fn a_reference_reads_back_and_nothing_that_is_almost_one_is_one() {
        let text = reference(70_000).to_string();
        assert_eq!(Reference::parse(&text), Some(reference(70_000)));
        assert_eq!(weight(&text), 70_000);
        for (at, _) in text.char_indices() {
            let mut other = text.clone();
            other.replace_range(at..=at, "+");
            assert_eq!(Reference::parse(&other), None, "{other:?}");
        }
        for other in
            [format!("{text} "), text.to_uppercase(), text[..text.len() - 6].to_owned(), format!("{text}0000000")]
        {
            assert_eq!(Reference::parse(&other), None, "{other:?}");
            assert_eq!(weight(&other), other.len());
        }
    }

    #[test]
    fn an_event_weighs_what_is_sent_of_it() {
        let raised = |text: String| events::event_raised(Timestamp::from_micros(5), "e".into(), Some(text));
        let long = raised("x".repeat(70_000));
        let difference = event_weight(&long).abs_diff(event_weight(&raised(reference(70_000).to_string())));
        assert_eq!(event_weight(&long), long.encoded_len());
        assert!(difference < 10, "only the lengths of the lengths differ: {difference}");
    }
}
