//! Completion tokens: what a work item is answered with.
//!
//! A token names hub, instance, execution, position, attempt and the store's incarnation, so it means something after a restart,
//! and no token is given twice: attempts count within an incarnation, and each opening of the store has its own.

use std::fmt;

use super::ids::{Incarnation, InstanceId, Position, RunId};

/// What kind of work an item holds. The numbers index per-kind tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkKind {
    /// An episode of an orchestrator.
    Orchestration = 0,
    /// One try of an activity.
    Activity = 1,
    /// A batch of operations of an entity.
    Entity = 2,
}

impl WorkKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Orchestration, Self::Activity, Self::Entity];
}

/// What a completion token says. On the wire it is text; workers give it back unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The kind of work.
    pub kind: WorkKind,
    /// The task hub.
    pub hub: String,
    /// The instance.
    pub instance: InstanceId,
    /// The execution.
    pub run: RunId,
    /// For an activity, where in the history it was called. For an episode 0: an instance has one at a time.
    pub position: Position,
    /// Counts deliveries within the incarnation.
    pub attempt: u64,
    /// The store's incarnation when the item was sent.
    pub incarnation: Incarnation,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            WorkKind::Orchestration => 'o',
            WorkKind::Activity => 'a',
            WorkKind::Entity => 'e',
        };
        let Self { hub, instance, run, position, attempt, incarnation, .. } = self;
        write!(f, "{kind}.{:x}.{attempt:x}.{:x}.{position:x}.{hub}/{instance}", incarnation.0, run.0)
    }
}

impl Token {
    /// Reads a token. None if it is not one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, '.');
        let kind = match parts.next()? {
            "o" => WorkKind::Orchestration,
            "a" => WorkKind::Activity,
            "e" => WorkKind::Entity,
            _ => return None,
        };
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let incarnation = Incarnation(number()?);
        let attempt = number()?;
        let run = RunId(number()?);
        let position = number()?;
        let (hub, instance) = parts.next()?.split_once('/')?;
        let instance = InstanceId::parse(instance).ok()?;
        Some(Self { kind, hub: hub.into(), instance, run, position, attempt, incarnation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_whatever_the_ids_hold() {
        for id in ["a", "a.b/c.d", "o.1.2.3.4.h/x", "zażółć\n\"🦀"] {
            let token = Token {
                kind: WorkKind::Activity,
                hub: "my-hub.x".into(),
                instance: InstanceId::trusted(id),
                run: RunId(7 << 32 | 5),
                position: 99,
                attempt: u64::MAX,
                incarnation: Incarnation(3),
            };
            assert_eq!(Token::parse(&token.to_string()), Some(token));
        }
    }

    #[test]
    fn foreign_tokens_are_not_ours() {
        for text in ["", "o", "x.1.1.1.1.h/i", "o.1.1.1.1.h", "o.1.1.1.1.h/", "o.-1.1.1.1.h/i", "o.1.1.1.h/i"] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
