//! Simulated workers: they keep sessions warm under the base rule, run activities, and answer late, twice, in parts or not at all.

use std::collections::HashMap;

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::dispatch::{Filters, NameFilter, StreamInfo};
use durawasm_scheduler::core::ids::{InstanceId, RequestId, StreamId};
use durawasm_scheduler::core::message::{ActivityOutcome, EpisodeItem, Input};
use durawasm_scheduler::core::record::Parked;
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::core::token::Token;

use crate::chance::Chance;
use crate::plan::answer;
use crate::session::Session;

/// What goes wrong on purpose, to see that the invariants notice.
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
}

/// A worker process.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) extended: bool,
    pub(crate) limits: [usize; 3],
    named: bool,
    /// Counts its lives: what an earlier one had begun is gone.
    pub(crate) life: u64,
    pub(crate) stream: Option<StreamId>,
    /// Sessions, and the token that each answered last.
    sessions: HashMap<InstanceId, (Token, Session)>,
    pub(crate) answers: HashMap<u64, Answer>,
}

/// What a worker says about one item, in one or several calls.
pub(crate) struct Answer {
    pub(crate) token: Token,
    pub(crate) parts: Vec<Part>,
    /// The part that is to be sent next.
    pub(crate) at: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Episode(Box<pb::OrchestratorResponse>),
    Activity(ActivityOutcome),
    Abandon(Option<Box<Parked>>),
}

impl Part {
    pub(crate) fn call(&self, request: RequestId, token: Token) -> Input {
        match self.clone() {
            Self::Episode(response) => Input::CompleteEpisode(request, token, response),
            Self::Activity(outcome) => Input::CompleteActivity(request, token, Box::new(outcome)),
            Self::Abandon(parked) => Input::Abandon(request, token, parked),
        }
    }
}

/// How much goes wrong: shared by all that may fail.
pub(crate) struct Weather {
    pub(crate) stormy: bool,
    pub(crate) sabotage: Option<Sabotage>,
}

impl Worker {
    pub(crate) fn new(number: usize, chance: &mut Chance) -> Self {
        let limit = |chance: &mut Chance| usize::try_from(chance.between(1, 6)).expect("small");
        Self {
            name: format!("worker{number}"),
            extended: chance.percent(70),
            limits: [limit(chance), limit(chance), 0],
            named: chance.percent(40),
            life: 0,
            stream: None,
            sessions: HashMap::new(),
            answers: HashMap::new(),
        }
    }

    pub(crate) fn info(&self) -> StreamInfo {
        let filter = |name: &str| vec![NameFilter { name: name.into(), versions: Vec::new() }];
        StreamInfo {
            worker: self.name.as_str().into(),
            limits: self.limits,
            filters: self.named.then(|| Filters([filter("plan"), filter("act"), Vec::new()])),
            extended: self.extended,
            history_streaming: false,
            answers: false,
        }
    }

    /// The process dies and begins anew.
    pub(crate) fn die(&mut self) {
        self.life += 1;
        self.sessions.clear();
        self.answers.clear();
    }

    /// Works on an episode. `past` is None if the scheduler left it out.
    pub(crate) fn episode(
        &mut self,
        item: &EpisodeItem,
        past: Option<&[pb::HistoryEvent]>,
        chance: &mut Chance,
        weather: &Weather,
    ) -> Vec<Part> {
        let id = &item.token.instance;
        if weather.stormy && chance.percent(3) {
            return vec![Part::Abandon(None)];
        }
        if weather.stormy && chance.percent(2) {
            let parked = Parked {
                reason: "no-version".into(),
                message: String::new(),
                component: String::new(),
                advice: String::new(),
                since: Timestamp::MIN,
                attempts: 0,
            };
            return vec![Part::Abandon(Some(Box::new(parked)))];
        }
        if chance.percent(if weather.stormy { 10 } else { 1 }) {
            self.sessions.remove(id);
        }
        let trusting = weather.sabotage == Some(Sabotage::TrustedSession);
        let warm = self.sessions.remove(id).filter(|(base, _)| trusting || item.base.as_ref() == Some(base));
        let mut session = match (warm, past) {
            (Some((_, session)), _) => session,
            (None, Some(past)) => {
                let mut session = Session::new(id.as_str());
                session.replay(past);
                session
            }
            (None, None) => {
                let again = pb::OrchestratorResponse { requires_history: true, ..Default::default() };
                return vec![Part::Episode(Box::new(again))];
            }
        };
        let count = item.new_events.len();
        let taken = match chance.percent(10) && count > 2 {
            true => usize::try_from(chance.between(2, count as u64)).expect("small"),
            false => count,
        };
        let actions = session.run(&item.new_events[..taken]);
        let response = pb::OrchestratorResponse {
            instance_id: id.as_str().into(),
            actions,
            custom_status: Some(session.status()),
            num_events_processed: (taken < count || chance.percent(10)).then(|| i32::try_from(taken).expect("few")),
            ..Default::default()
        };
        self.sessions.insert(id.clone(), (item.token.clone(), session));
        parts(response, chance)
    }

    /// Runs an activity. What it returns depends on its input alone.
    pub(crate) fn activity(request: &pb::ActivityRequest) -> Part {
        let input = request.input.as_deref().unwrap_or_default();
        let (call, tries) = input.split_once('#').unwrap_or((input, "9"));
        let tries: u64 = tries.parse().expect("a number of tries");
        let fails: u64 = call.rsplit('.').next().and_then(|n| n.parse().ok()).expect("a number of failures");
        if tries < fails {
            return Part::Activity(Err(pb::TaskFailureDetails { error_type: "Boom".into(), ..Default::default() }));
        }
        Part::Activity(Ok(Some(answer(call))))
    }
}

/// Sometimes an answer comes in parts, and a part twice.
fn parts(whole: pb::OrchestratorResponse, chance: &mut Chance) -> Vec<Part> {
    if whole.actions.len() < 2 || !chance.percent(15) {
        return vec![Part::Episode(Box::new(whole))];
    }
    let mut parts = Vec::new();
    let last = whole.actions.len() - 1;
    for (at, action) in whole.actions.iter().enumerate() {
        let part = pb::OrchestratorResponse {
            actions: vec![action.clone()],
            is_partial: at < last,
            chunk_index: Some(i32::try_from(at).expect("few")),
            num_events_processed: if at == 0 { whole.num_events_processed } else { Some(0) },
            ..whole.clone()
        };
        parts.push(Part::Episode(Box::new(part.clone())));
        if at < last && chance.percent(20) {
            parts.push(Part::Episode(Box::new(part)));
        }
    }
    parts
}
