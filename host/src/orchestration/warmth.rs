//! Sessions that are kept, and when one may be used again.
//!
//! A session must never run ahead of the committed history unnoticed. If the scheduler lost a commit, the same activity may
//! now have another result than the one that the session has seen. So a session is used only if the last thing that it did was to
//! answer the very turn that the scheduler committed last: the item carries that turn's completion token. A scheduler
//! that sends no token sends the past events, and they are compared with what the session has applied.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::sync::LazyLock;

use durawasm_proto::durabletask::TraceContext;
use lru::LruCache;

use super::guest::Guest;
use super::history::{EventKind, HistoryEvent};
use super::session::Session;
use crate::abi::Outcome;

/// A session that has answered, and what it has answered.
#[derive(Debug)]
pub(crate) struct Warm<G> {
    pub(crate) session: Session<G>,
    pub(crate) execution_id: String,
    /// The trace context with which the execution was started.
    pub(crate) trace: Option<TraceContext>,
    /// The completion token of the item that it answered last.
    pub(crate) answered: String,
    /// What it has applied.
    pub(crate) applied: Fingerprint,
}

/// Where an item begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Behind the turn with this completion token.
    Token(String),
    /// Behind these past events.
    Past(Fingerprint),
}

impl<G> Warm<G> {
    /// Whether the session stands exactly where the item begins.
    pub(crate) fn stands_at(&self, execution_id: &str, base: &Base) -> bool {
        self.execution_id == execution_id
            && match base {
                Base::Token(token) => !token.is_empty() && *token == self.answered,
                Base::Past(past) => *past == self.applied,
            }
    }
}

/// Stands for a list of events: for what came from outside a hash, for the session's own actions their number (a session
/// emits the same actions when it gets the same events, but does not know the times at which they were recorded).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    hash: u64,
    recorded: u32,
}

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Fingerprint {
    pub(crate) fn add(&mut self, event: &HistoryEvent) {
        match &event.kind {
            EventKind::Recorded(_) | EventKind::Completed => self.recorded += 1,
            EventKind::Skipped => {}
            kind => {
                let mut hasher = KEY.build_hasher();
                self.hash.hash(&mut hasher);
                event.time.hash(&mut hasher);
                std::mem::discriminant(kind).hash(&mut hasher);
                hash_kind(kind, &mut hasher);
                self.hash = hasher.finish();
            }
        }
    }

    pub(crate) fn add_recorded(&mut self, actions: usize) {
        self.recorded += u32::try_from(actions).unwrap_or(u32::MAX);
    }
}

fn hash_kind(kind: &EventKind, hasher: &mut impl std::hash::Hasher) {
    match kind {
        EventKind::ExecutionStarted(started) => {
            (&started.name, &started.version, &started.input, &started.tags).hash(hasher);
        }
        EventKind::Resolved { of, action, outcome } => {
            (of, action).hash(hasher);
            hash_outcome(outcome, hasher);
        }
        EventKind::Answered { of, request, outcome } => {
            (of, request).hash(hasher);
            hash_outcome(outcome, hasher);
        }
        EventKind::EventRaised { name, input } => (name, input).hash(hasher),
        EventKind::Terminated { output } => output.hash(hasher),
        EventKind::EpisodeStarted
        | EventKind::Recorded(_)
        | EventKind::Suspended
        | EventKind::Resumed
        | EventKind::Completed
        | EventKind::Rewound
        | EventKind::Skipped => {}
    }
}

fn hash_outcome(outcome: &Outcome, hasher: &mut impl std::hash::Hasher) {
    match outcome {
        Ok(output) => output.hash(hasher),
        Err(failures) => {
            for failure in failures {
                (&failure.error_type, &failure.message, failure.retriable, &failure.properties).hash(hasher);
            }
        }
    }
}

/// The sessions that are kept, least recently used first out. A session that runs is not in here.
#[derive(Debug)]
pub(crate) struct WarmSessions<G> {
    sessions: LruCache<String, (usize, Warm<G>)>,
    max_sessions: usize,
    max_bytes: usize,
    bytes: usize,
}

impl<G: Guest> WarmSessions<G> {
    pub(crate) fn new(max_sessions: usize, max_bytes: usize) -> Self {
        Self { sessions: LruCache::unbounded(), max_sessions, max_bytes, bytes: 0 }
    }

    /// Takes a session out.
    pub(crate) fn take(&mut self, instance_id: &str) -> Option<Warm<G>> {
        let (bytes, warm) = self.sessions.pop(instance_id)?;
        self.bytes -= bytes;
        Some(warm)
    }

    /// Keeps a session. What has to go for it is returned, so that it can be dropped outside a lock.
    #[must_use]
    pub(crate) fn keep(&mut self, instance_id: String, warm: Warm<G>) -> Vec<Warm<G>> {
        let bytes = warm.session.guest().memory();
        let mut out = Vec::new();
        if let Some((_, (bytes, old))) = self.sessions.push(instance_id, (bytes, warm)) {
            self.bytes -= bytes;
            out.push(old);
        }
        self.bytes += bytes;
        while (self.sessions.len() > self.max_sessions || self.bytes > self.max_bytes)
            && let Some((_, (bytes, old))) = self.sessions.pop_lru()
        {
            self.bytes -= bytes;
            out.push(old);
        }
        out
    }

    /// How many are kept, and how many bytes of guest memory they hold.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.sessions.len(), self.bytes)
    }
}
