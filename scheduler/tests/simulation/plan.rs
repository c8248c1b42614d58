//! What the simulated orchestrators do, and the straight-line model of what must come of it.
//!
//! A plan follows from the instance's input alone, so that any worker at any time makes the same one. The model runs through it
//! without a scheduler; whatever order things happen in, a run must end with the model's result.

use std::collections::HashMap;

use crate::chance::Chance;
use crate::spec::{Kind, Spec};

/// One thing to do and to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Activities at once, all awaited.
    Fan(Vec<String>),
    /// An activity that fails this many times and is tried again, under the same action id.
    Retry(String, u64),
    /// An activity that fails; its failure is a result like any other.
    Fail(String),
    /// An activity that returns more than is allowed.
    TooMuch(String),
    /// An activity that fails until the instance is rewound; without it the instance fails.
    Fragile(String),
    /// A pause in microseconds.
    Timer(i64),
    /// The first of an activity and a timer; the other one is left behind.
    Race(String, i64),
    /// The next external event of that name.
    Wait(String),
    /// External events with the numbers from 1 to this, in order.
    Ordered(u64),
    /// Children at once, all awaited.
    Children(Vec<Spec>),
    /// A child that fails at first and is started again under its id, by the same action.
    RetryChild(Spec),
    /// A child that nobody waits for.
    Detach(Spec),
    /// A child under an id that cannot be had.
    Clash(Clash),
    /// A child that never ends by itself, and that is terminated after a pause: whether its own children are too.
    Doomed(Spec, i64, bool),
    /// A child under an id that clients use too: however it ends.
    Shared(String, Spec),
    /// An activity that nobody waits for.
    Forget(String),
    /// An event for another instance; for itself if no id is given.
    Send(String, String),
}

/// Why an id cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    /// It is the parent's.
    Own,
    /// It is an entity's.
    Entity,
    /// It is too long.
    Long,
}

impl Spec {
    /// What this generation does.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut chance = Chance::new(self.seed.wrapping_mul(31).wrapping_add(self.generation));
        let mut steps = Vec::new();
        if self.kind == Kind::Endless {
            if self.depth > 0 && chance.percent(50) {
                steps.push(Step::Detach(Spec::new(Kind::Endless, chance.number() >> 1, self.depth - 1)));
            }
            if chance.percent(30) {
                steps.push(Step::Fan(vec![format!("{}s.0", self.seed % 1_000_000)]));
            }
            steps.push(Step::Wait("never".into()));
            return steps;
        }
        let tag = format!("{}g{}", self.seed % 1_000_000, self.generation);
        let last = self.generation == self.generations();
        if let (Some(peer), 0) = (&self.peer, self.generation) {
            steps.push(Step::Send(peer.clone(), "peer".into()));
        }
        if self.generation > 0 && self.sends_itself(self.generation - 1) {
            steps.push(Step::Wait(format!("self{}", self.generation - 1)));
        }
        let fragile = (self.kind == Kind::Fragile && last).then(|| chance.between(0, 1));
        for at in 0..chance.between(1, 4) {
            let step = self.step(&tag, at, &mut chance);
            if fragile.is_some() && at == 0 {
                let broken = Step::Fragile(format!("{tag}fragile.0"));
                steps.extend(if fragile == Some(0) { [broken, step] } else { [step, broken] });
            } else {
                steps.push(step);
            }
        }
        if self.has_sender && last {
            steps.push(Step::Wait("peer".into()));
        }
        if self.ordered > 0 && last {
            steps.push(Step::Ordered(self.ordered));
        }
        if last && chance.percent(30) {
            steps.push(Step::Forget(format!("{tag}last.0")));
        }
        if !last && self.sends_itself(self.generation) {
            steps.push(Step::Send(String::new(), format!("self{}", self.generation)));
        }
        steps
    }

    fn step(&self, tag: &str, at: u64, chance: &mut Chance) -> Step {
        let call = |n: u64| format!("{tag}s{at}n{n}.0");
        let pause = i64::try_from(chance.between(1, 300_000)).expect("short");
        let parent = self.kind.has_children() && self.depth > 0;
        let child = |kind: Kind, chance: &mut Chance| Spec::new(kind, chance.number() >> 1, self.depth - 1);
        if self.kind == Kind::Fragile {
            return match chance.between(0, 6) {
                0 => Step::Timer(pause),
                1 => Step::Race(call(0), pause),
                2 => Step::Forget(call(0)),
                3 | 4 if parent => {
                    let kinds = [Kind::Child, Kind::Fragile];
                    Step::Children((0..1 + self.seed % 3).map(|_| child(chance.pick(&kinds), chance)).collect())
                }
                _ => Step::Fan((0..chance.between(1, 4)).map(call).collect()),
            };
        }
        match chance.between(0, 27) {
            0..=3 => Step::Fan((0..chance.between(1, 2)).map(call).collect()),
            4 | 5 => Step::Fan((0..chance.between(3, 12)).map(call).collect()),
            6 | 7 => {
                let fails = chance.between(1, 3);
                Step::Retry(format!("{tag}s{at}.{fails}"), fails)
            }
            8 | 9 => Step::Timer(pause),
            10..=12 => Step::Race(call(0), pause),
            13 => Step::Forget(call(0)),
            14 => Step::Fail(format!("{tag}s{at}.99")),
            15 if chance.percent(30) => Step::TooMuch(format!("{tag}s{at}toomuch.0")),
            16..=18 if self.kind.hears() => Step::Wait(format!("e{}.{at}", self.generation)),
            19 | 20 if parent => Step::Children((0..1 + self.seed % 3).map(|_| self.awaited_child(chance)).collect()),
            21 if parent => Step::RetryChild(child(Kind::Flaky, chance)),
            22 if parent => {
                let kind = chance.pick(&[Kind::Child, Kind::Leaf, Kind::Flaky]);
                Step::Detach(child(kind, chance))
            }
            23 if parent => Step::Clash(chance.pick(&[Clash::Own, Clash::Entity, Clash::Long])),
            24 | 25 if parent => {
                let recursive = chance.percent(60);
                Step::Doomed(child(Kind::Endless, chance), chance.pick(&[0, pause]), recursive)
            }
            26 | 27 if self.kind.hears() => {
                let id = format!("shared{}", chance.between(0, 1));
                Step::Shared(id, Spec::new(Kind::Leaf, chance.number() >> 1, 0))
            }
            _ => Step::Fan(vec![call(9)]),
        }
    }

    fn awaited_child(&self, chance: &mut Chance) -> Spec {
        let kind = chance.pick(&[Kind::Child, Kind::Child, Kind::Child, Kind::Flaky]);
        Spec::new(kind, chance.number() >> 1, self.depth - 1)
    }

    /// Whether a generation sends an event to itself with which the next one begins.
    ///
    /// One that may be restarted does not: what it waits for would not come again.
    fn sends_itself(&self, generation: u64) -> bool {
        matches!(self.kind, Kind::Root | Kind::Child)
            && Chance::new(self.seed ^ 0x7365_6c66 ^ generation << 40).percent(40)
    }

    /// The events that somebody outside must raise for it to end.
    pub(crate) fn awaited(&self) -> Vec<String> {
        let mut names = Vec::new();
        for at in self.generations_from_here() {
            names.extend(at.steps().into_iter().filter_map(|step| match step {
                Step::Wait(name) if name.starts_with('e') => Some(name),
                _ => None,
            }));
        }
        names
    }

    /// Whether it tells a child by id what to do.
    pub(crate) fn knows_children_by_id(&self) -> bool {
        self.generations_from_here().any(|at| at.steps().iter().any(|step| matches!(step, Step::Doomed(..))))
    }

    /// Whether the id of a child matters to how it goes on: a fork's children have other ids.
    pub(crate) fn minds_ids(&self) -> bool {
        let minds = |step: &Step| matches!(step, Step::Doomed(..) | Step::Clash(Clash::Own));
        self.generations_from_here().any(|at| at.steps().iter().any(minds))
    }

    fn generations_from_here(&self) -> impl Iterator<Item = Self> + '_ {
        (self.generation..=self.generations()).map(|generation| Self { generation, ..self.clone() })
    }

    /// What every run must end with: a result, or a failure of that type.
    pub(crate) fn outcome(&self) -> Result<u64, String> {
        let mut digest = self.digest;
        for at in self.generations_from_here() {
            digest = at.steps().iter().fold(digest, |digest, step| mix(digest, &step.seen()));
        }
        match self.failure() {
            Some(error) => Err(error),
            None => Ok(digest),
        }
    }

    /// What a parent sees of its end.
    pub(crate) fn seen(&self) -> String {
        match self.outcome() {
            Ok(digest) => digest.to_string(),
            Err(error) => failed(&error),
        }
    }
}

impl Step {
    /// What the orchestrator has seen when the step is over, in an order that does not depend on time.
    fn seen(&self) -> String {
        match self {
            Self::Fan(calls) => calls.iter().map(|c| answer(c)).collect::<Vec<_>>().join(","),
            Self::Retry(call, _) | Self::Fragile(call) => answer(call),
            Self::Fail(_) => failed("Boom"),
            Self::TooMuch(_) => failed("PayloadTooLarge"),
            Self::Children(children) => children.iter().map(Spec::seen).collect::<Vec<_>>().join(","),
            Self::RetryChild(child) => Spec { tries: child.fails(), ..child.clone() }.seen(),
            Self::Clash(Clash::Own) => failed("InstanceAlreadyExists"),
            Self::Clash(_) => failed("InvalidInstanceId"),
            Self::Doomed(..) => failed("Terminated"),
            Self::Wait(name) => format!("event {name}"),
            Self::Ordered(count) => format!("{count} events"),
            Self::Timer(_) | Self::Race(..) | Self::Shared(..) | Self::Detach(_) | Self::Forget(_) | Self::Send(..) => {
                String::new()
            }
        }
    }
}

/// How a failure of that type is seen.
pub(crate) fn failed(error: &str) -> String {
    format!("failed: {error}")
}

/// What an activity returns for an input once it succeeds.
pub(crate) fn answer(input: &str) -> String {
    format!("r{input}")
}

/// The activity that a call is for, and its version.
pub(crate) fn activity(call: &str) -> (&'static str, Option<String>) {
    match mix(7, call) % 8 {
        0 => ("deed", None),
        1 => ("act", Some("1".into())),
        2 => ("act", Some("9".into())),
        _ => ("act", None),
    }
}

/// Adds what was seen to a digest.
pub(crate) fn mix(digest: u64, seen: &str) -> u64 {
    seen.bytes().fold(digest ^ 0xcbf2_9ce4_8422_2325, |d, b| (d ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// The instance that a client started of which this one is a descendant.
pub(crate) fn ancestor(id: &str) -> &str {
    id.split(['/', ':']).next().unwrap_or(id)
}

/// The tags of a start, as the wire has them.
pub(crate) fn wire_tags(spec: &Spec) -> HashMap<String, String> {
    spec.tags().into_iter().collect()
}
