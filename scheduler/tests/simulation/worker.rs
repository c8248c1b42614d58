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
use crate::sabotage::Sabotage;
use crate::session::Session;
use crate::world::PAYLOAD_BYTES;

/// A worker process.
pub(crate) struct Worker {
    pub(crate) name: String,
    pub(crate) extended: bool,
    /// Whether it fetches histories by itself.
    pub(crate) streaming: bool,
    pub(crate) limits: [usize; 3],
    filters: Option<Filters>,
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

/// The past of an episode.
#[derive(Debug)]
pub(crate) enum Past {
    /// The worker has it warm.
    LeftOut,
    /// The worker is to fetch it.
    ToFetch,
    Here(Vec<pb::HistoryEvent>),
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Episode(Box<pb::OrchestratorResponse>),
    /// An answer that must be refused.
    Nonsense(Box<pb::OrchestratorResponse>),
    Activity(ActivityOutcome),
    Abandon(Option<Box<Parked>>),
}

impl Part {
    pub(crate) fn call(&self, request: RequestId, token: Token) -> Input {
        match self.clone() {
            Self::Episode(response) | Self::Nonsense(response) => {
                Input::CompleteEpisode(request, token, response, None)
            }
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
        let mut worker = Self {
            name: format!("worker{number}"),
            extended: chance.percent(70),
            streaming: chance.percent(30),
            limits: [limit(chance), limit(chance), 0],
            filters: None,
            life: 0,
            stream: None,
            sessions: HashMap::new(),
            answers: HashMap::new(),
        };
        worker.redeploy(chance);
        worker
    }

    pub(crate) fn info(&self) -> StreamInfo {
        StreamInfo {
            worker: self.name.as_str().into(),
            limits: self.limits,
            filters: self.filters.clone(),
            extended: self.extended,
            history_streaming: self.streaming,
            answers: self.extended,
            defaults: Default::default(),
        }
    }

    /// It can run other things than before: everything, or some names in some versions.
    pub(crate) fn redeploy(&mut self, chance: &mut Chance) {
        if chance.percent(50) {
            return self.serve_all(chance);
        }
        let mut some = |names: &[&str], versions: &[&str]| {
            let mut list = Vec::new();
            for name in names {
                let versions: Vec<String> =
                    versions.iter().filter(|_| chance.percent(60)).map(|v| (*v).to_owned()).collect();
                if chance.percent(75) {
                    list.push(NameFilter { name: (*name).into(), versions });
                }
            }
            list
        };
        let (plans, acts) = (some(&["plan", "plot"], &["", "1", "2"]), some(&["act", "deed"], &["", "1", "2", "9"]));
        self.filters = Some(Filters([plans, acts, Vec::new()]));
    }

    /// It can run everything, and perhaps says so name by name.
    pub(crate) fn serve_all(&mut self, chance: &mut Chance) {
        let any = |name: &str| NameFilter { name: name.into(), versions: Vec::new() };
        let all = Filters([vec![any("plan"), any("plot")], vec![any("act"), any("deed")], Vec::new()]);
        self.filters = chance.percent(40).then_some(all);
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
            return vec![Part::Abandon(Some(Box::new(parked(chance))))];
        }
        if weather.stormy && chance.percent(1) {
            return vec![Part::Nonsense(Box::new(nonsense(id, chance)))];
        }
        if chance.percent(if weather.stormy { 10 } else { 1 }) {
            self.sessions.remove(id);
        }
        let trusting = weather.sabotage == Some(Sabotage::TrustedSession);
        let warm = self.sessions.remove(id).filter(|(base, _)| trusting || item.base.as_ref() == Some(base));
        let asks_again = weather.stormy && chance.percent(1);
        let mut session = match (warm, past) {
            (Some((_, session)), _) => session,
            (None, Some(past)) if !asks_again => {
                let mut session = Session::new(id.as_str());
                session.replay(past);
                session
            }
            (None, _) => {
                let again = pb::OrchestratorResponse { requires_history: true, ..Default::default() };
                return vec![Part::Episode(Box::new(again))];
            }
        };
        let count = item.new_events.len();
        let taken = match chance.percent(10) {
            true => usize::try_from(chance.between(0, count as u64)).expect("small"),
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

    /// Runs an activity. What it returns depends on its input, and on whether what was broken is whole by now.
    pub(crate) fn activity(request: &pb::ActivityRequest, whole: bool) -> Part {
        let input = request.input.as_deref().unwrap_or_default();
        let (call, tries) = input.split_once('#').unwrap_or((input, "9"));
        let tries: u64 = tries.parse().expect("a number of tries");
        let fails: u64 = call.rsplit('.').next().and_then(|n| n.parse().ok()).expect("a number of failures");
        if tries < fails {
            return Part::Activity(Err(pb::TaskFailureDetails { error_type: "Boom".into(), ..Default::default() }));
        }
        if call.contains("fragile") && !whole {
            return Part::Activity(Err(pb::TaskFailureDetails { error_type: "Fragile".into(), ..Default::default() }));
        }
        if call.contains("toomuch") {
            return Part::Activity(Ok(Some("x".repeat(PAYLOAD_BYTES + 1))));
        }
        Part::Activity(Ok(Some(answer(call))))
    }
}

fn parked(chance: &mut Chance) -> Parked {
    Parked {
        reason: chance.pick(&["no-version", "divergence"]).into(),
        message: String::new(),
        component: String::new(),
        advice: String::new(),
        since: Timestamp::MIN,
        attempts: 0,
    }
}

/// An answer that no worker in its right mind gives.
fn nonsense(id: &InstanceId, chance: &mut Chance) -> pb::OrchestratorResponse {
    use pb::orchestrator_action::OrchestratorActionType as Action;
    let action = |kind| pb::OrchestratorAction { id: 1, orchestrator_action_type: kind };
    let end = || action(Some(Action::CompleteOrchestration(Default::default())));
    let (instance_id, actions) = match chance.between(0, 2) {
        0 => ("somebody else".into(), vec![end()]),
        1 => (id.to_string(), vec![end(), end()]),
        _ => (id.to_string(), vec![action(None)]),
    };
    pb::OrchestratorResponse { instance_id, actions, ..Default::default() }
}

/// An answer to what was answered before, or is somebody else's by now: it would ruin the instance.
pub(crate) fn ruinous(token: &Token, chance: &mut Chance) -> Part {
    use durawasm_scheduler::core::token::WorkKind;
    if chance.percent(20) {
        return Part::Abandon(None);
    }
    if token.kind == WorkKind::Activity {
        return Part::Activity(Ok(Some("wrong".into())));
    }
    let complete = pb::CompleteOrchestrationAction {
        orchestration_status: pb::OrchestrationStatus::Completed.into(),
        result: Some("wrong".into()),
        ..Default::default()
    };
    let kind = pb::orchestrator_action::OrchestratorActionType::CompleteOrchestration(complete);
    let actions = vec![pb::OrchestratorAction { id: 1, orchestrator_action_type: Some(kind) }];
    Part::Episode(Box::new(pb::OrchestratorResponse { actions, ..Default::default() }))
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
