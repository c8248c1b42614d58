//! What the simulated orchestrators do, and the straight-line model of what must come of it.
//!
//! A plan follows from the instance's input alone, so that any worker at any time makes the same one. The model runs through it
//! without a scheduler; whatever order things happen in, a run must end with the model's result.

use std::fmt;

use crate::chance::Chance;

/// What an instance is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) kind: Kind,
    /// Makes the plan.
    pub(crate) seed: u64,
    /// How many levels of children it may have.
    pub(crate) depth: u64,
    /// Counts continue-as-new.
    pub(crate) generation: u64,
    /// Digest of what was seen so far.
    pub(crate) digest: u64,
    /// The root that it sends an event to.
    pub(crate) peer: Option<String>,
    /// Whether it waits for that of another root.
    pub(crate) has_sender: bool,
    /// Payloads of external events that earlier generations consumed.
    pub(crate) consumed: Vec<String>,
}

/// What an instance may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Started by a client: all.
    Root,
    /// A child: waits for nothing from outside.
    Child,
    /// As a child, and has none itself: may be replaced under its id at any time.
    Leaf,
}

/// One thing to do and to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Activities at once, all awaited.
    Fan(Vec<String>),
    /// An activity that fails this many times and is tried again, under the same action id.
    Retry(String, u64),
    /// A pause in microseconds.
    Timer(i64),
    /// The first of an activity and a timer; the other one is left behind.
    Race(String, i64),
    /// The next external event of that name.
    Wait(String),
    /// Children at once, all awaited.
    Children(Vec<Spec>),
    /// An activity that nobody waits for.
    Forget(String),
    /// An event for another instance.
    Send(String, String),
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Root => 'r',
            Kind::Child => 'c',
            Kind::Leaf => 'l',
        };
        let Self { seed, depth, generation, digest, has_sender, .. } = self;
        let peer = self.peer.as_deref().unwrap_or("");
        write!(f, "{kind}|{seed}|{depth}|{generation}|{digest}|{peer}|{has_sender}|{}", self.consumed.join(","))
    }
}

impl Spec {
    pub(crate) fn new(kind: Kind, seed: u64, depth: u64) -> Self {
        Self { kind, seed, depth, generation: 0, digest: 0, peer: None, has_sender: false, consumed: Vec::new() }
    }

    pub(crate) fn parse(text: &str) -> Self {
        let part: Vec<&str> = text.split('|').collect();
        assert_eq!(part.len(), 8, "an input was changed on its way: {text}");
        let number = |at: usize| part[at].parse::<u64>().expect("a number of the input");
        Self {
            kind: match part[0] {
                "r" => Kind::Root,
                "c" => Kind::Child,
                _ => Kind::Leaf,
            },
            seed: number(1),
            depth: number(2),
            generation: number(3),
            digest: number(4),
            peer: Some(part[5].to_owned()).filter(|p| !p.is_empty()),
            has_sender: part[6] == "true",
            consumed: part[7].split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect(),
        }
    }

    /// How many times it continues as new.
    pub(crate) fn generations(&self) -> u64 {
        Chance::new(self.seed ^ 0x0067_656e).pick(&[0, 0, 0, 1, 1, 3])
    }

    /// What this generation does.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut chance = Chance::new(self.seed.wrapping_mul(31).wrapping_add(self.generation));
        let tag = format!("{}g{}", self.seed % 1_000_000, self.generation);
        let mut steps = Vec::new();
        let last = self.generation == self.generations();
        if let (Some(peer), 0) = (&self.peer, self.generation) {
            steps.push(Step::Send(peer.clone(), "peer".into()));
        }
        for at in 0..chance.between(1, 4) {
            let call = |n: u64| format!("{tag}s{at}n{n}.0");
            let pause = i64::try_from(chance.between(1, 300_000)).expect("short");
            steps.push(match chance.between(0, 13) {
                0..=2 => Step::Fan((0..chance.between(1, 2)).map(call).collect()),
                3 => Step::Fan((0..chance.between(3, 12)).map(call).collect()),
                4 => {
                    let fails = chance.between(1, 3);
                    Step::Retry(format!("{tag}s{at}.{fails}"), fails)
                }
                5 | 6 => Step::Timer(pause),
                7 | 8 => Step::Race(call(0), pause),
                9 => Step::Forget(call(0)),
                10 | 11 if self.kind == Kind::Root => Step::Wait(format!("e{}.{at}", self.generation)),
                12 | 13 if self.kind != Kind::Leaf && self.depth > 0 => {
                    let child = |_| Spec::new(Kind::Child, chance.number() >> 1, self.depth - 1);
                    Step::Children((0..1 + self.seed % 3).map(child).collect())
                }
                _ => Step::Fan(vec![call(9)]),
            });
        }
        if self.has_sender && last {
            steps.push(Step::Wait("peer".into()));
        }
        if last && chance.percent(30) {
            steps.push(Step::Forget(format!("{tag}last.0")));
        }
        steps
    }

    /// The events that somebody outside must raise for it to end.
    pub(crate) fn awaited(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = self.clone();
        for generation in 0..=self.generations() {
            at.generation = generation;
            names.extend(at.steps().into_iter().filter_map(|step| match step {
                Step::Wait(name) if name != "peer" => Some(name),
                _ => None,
            }));
        }
        names
    }

    /// The result that every run must have.
    pub(crate) fn model(&self) -> u64 {
        let mut at = self.clone();
        loop {
            for step in at.steps() {
                at.digest = mix(at.digest, &step.seen());
            }
            if at.generation == at.generations() {
                return at.digest;
            }
            at.generation += 1;
        }
    }
}

impl Step {
    /// What the orchestrator has seen when the step is over, in an order that does not depend on time.
    fn seen(&self) -> String {
        match self {
            Self::Fan(calls) => calls.iter().map(|c| answer(c)).collect::<Vec<_>>().join(","),
            Self::Retry(call, _) => answer(call),
            Self::Children(children) => children.iter().map(|c| c.model().to_string()).collect::<Vec<_>>().join(","),
            Self::Wait(name) => format!("event {name}"),
            Self::Timer(_) | Self::Race(..) | Self::Forget(_) | Self::Send(..) => String::new(),
        }
    }
}

/// What an activity returns for an input once it succeeds.
pub(crate) fn answer(input: &str) -> String {
    format!("r{input}")
}

/// Adds what was seen to a digest.
pub(crate) fn mix(digest: u64, seen: &str) -> u64 {
    seen.bytes().fold(digest ^ 0xcbf2_9ce4_8422_2325, |d, b| (d ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
