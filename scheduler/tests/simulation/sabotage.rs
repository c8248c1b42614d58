//! Faults made on purpose, to see that the invariants notice them.

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::dispatch::StreamInfo;
use durawasm_scheduler::core::ids::InstanceKey;
use durawasm_scheduler::core::message::{Change, Effect};
use durawasm_scheduler::core::time::Timestamp;
use pb::history_event::EventType;

use crate::chance::Chance;

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The pipeline says what is not on disk yet.
    EarlyRelease,
    /// The store loses a batch.
    LostBatch,
    /// A worker answers an activity twice, and differently.
    TwoAnswers,
    /// A worker uses a warm session without comparing its base.
    TrustedSession,
    /// The store forgets to raise its incarnation.
    SameIncarnation,
    /// An answer with an old token counts as one with the current token.
    AnyToken,
    /// An event that arrived is not written.
    LostInboxEntry,
    /// External events change their order on the way to a worker.
    SwappedEvents,
    /// A timer is not written.
    LostTimer,
    /// The timers of an execution stay when it ends.
    KeptTimers,
    /// The history of an execution stays when the next one begins.
    KeptHistory,
    /// A child is not written with its parent's call.
    LostChild,
    /// A result is written as the answer to something else.
    WrongAnswer,
    /// A turn is written with the time of an earlier one.
    TimeStandsStill,
    /// Who waits for an end is not woken.
    NoWake,
    /// Work goes to workers that cannot run it.
    Unfiltered,
    /// A worker gets more at once than it takes.
    Overload,
    /// The scheduler's clock runs ahead, so that timers fire early.
    FastClock,
    /// What a recovered scheduler is to go on with lacks an instance.
    HalfRecovery,
}

impl Sabotage {
    /// All of them, and how they may be noticed.
    pub(crate) const ALL: &[(Self, &[&str])] = &[
        (Self::EarlyRelease, &["on disk"]),
        (Self::LostBatch, &[""]),
        (Self::TwoAnswers, &["another result than the model", "does not do what the history holds"]),
        (Self::TrustedSession, &[""]),
        (Self::SameIncarnation, &[""]),
        (Self::AnyToken, &["another result than the model", "wrong", "was terminated", "the replay"]),
        (Self::LostInboxEntry, &["miscounts its inbox"]),
        (Self::SwappedEvents, &["out of order", "the replay does not do"]),
        (Self::LostTimer, &["timer"]),
        (Self::KeptTimers, &["timer"]),
        (Self::KeptHistory, &["left", "other rows"]),
        (Self::LostChild, &["which is not there", "before it was on disk"]),
        (Self::WrongAnswer, &["does not answer", "answers what is not there", "is answered twice"]),
        (Self::TimeStandsStill, &["does not increase"]),
        (Self::NoWake, &["was never answered"]),
        (Self::Unfiltered, &["which it cannot run"]),
        (Self::Overload, &["more than it takes"]),
        (Self::FastClock, &["began in the future"]),
        (Self::HalfRecovery, &["is not in memory", "never", "does not vanish", "left"]),
    ];

    /// Changes what is about to be written.
    pub(crate) fn batch(self, batch: &mut Batch, chance: &mut Chance) {
        match self {
            Self::LostInboxEntry if chance.percent(10) => {
                let new = batch.inbox.iter().filter(|(_, entry)| entry.is_some()).map(|(at, _)| *at).next();
                if let Some(at) = new {
                    batch.inbox.remove(&at);
                }
            }
            Self::LostTimer if chance.percent(20) => batch.timers.retain(|_, timer| timer.is_none()),
            Self::KeptTimers => batch.ended_runs.clear(),
            Self::KeptHistory => batch.dropped_runs.clear(),
            Self::LostChild => {
                let child = batch.instances.values().find(|r| r.parent.is_some() && r.history_len == 0);
                if let Some(key) = child.map(|r| r.key) {
                    batch.instances.remove(&key);
                    batch.inbox.retain(|(of, _): &(InstanceKey, u64), _| *of != key);
                }
            }
            Self::WrongAnswer => {
                let events = batch.appends.iter_mut().flat_map(|append| append.events.iter_mut());
                for stored in events.filter(|e| e.answers.is_some()).take(1) {
                    stored.answers = stored.answers.map(|at| at + 1);
                }
            }
            Self::TimeStandsStill => {
                for append in batch.appends.iter_mut().filter(|append| append.first > 0) {
                    let early = Timestamp::from_micros(0).into();
                    append.events[0].event.timestamp = Some(early);
                }
            }
            _ => {}
        }
    }

    /// Changes what is about to leave the scheduler.
    pub(crate) fn effects(self, effects: &mut Vec<Effect>) {
        match self {
            Self::NoWake => effects.retain(|e| !matches!(e, Effect::Changed(_, Change::Over(_)))),
            Self::SwappedEvents => {
                for effect in effects {
                    let Effect::SendEpisode(_, item) = effect else { continue };
                    let raised = |e: &pb::HistoryEvent| matches!(e.event_type, Some(EventType::EventRaised(_)));
                    let at: Vec<usize> =
                        (0..item.new_events.len()).filter(|at| raised(&item.new_events[*at])).collect();
                    if let [first, .., last] = at[..] {
                        item.new_events.swap(first, last);
                    }
                }
            }
            _ => {}
        }
    }

    /// Changes what the scheduler is told of a worker.
    pub(crate) fn connection(self, info: &mut StreamInfo) {
        match self {
            Self::Unfiltered => info.filters = None,
            Self::Overload => info.limits = info.limits.map(|limit| limit + 1),
            _ => {}
        }
    }
}
