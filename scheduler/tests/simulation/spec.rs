//! What an instance is started with: all that its plan follows from, as text in its input.

use std::collections::BTreeMap;
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
    /// How often it was started before under its id, by the parent that tries again.
    pub(crate) tries: u64,
    /// How many external events it takes in order.
    pub(crate) ordered: u64,
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
    /// As a root, but waits for nothing from outside.
    Quiet,
    /// Fails until it is rewound; so may its children. Has no failures that it handles, because a rewind takes those away.
    Fragile,
    /// A child: waits for nothing from outside.
    Child,
    /// As a child, and has none itself: may be replaced under its id at any time.
    Leaf,
    /// As a leaf, and fails the first times that it is tried.
    Flaky,
    /// Waits for what never comes; may have such a child.
    Endless,
}

impl Kind {
    const ALL: [(Self, &str); 7] = [
        (Self::Root, "root"),
        (Self::Quiet, "quiet"),
        (Self::Fragile, "fragile"),
        (Self::Child, "child"),
        (Self::Leaf, "leaf"),
        (Self::Flaky, "flaky"),
        (Self::Endless, "endless"),
    ];

    pub(crate) fn has_children(self) -> bool {
        matches!(self, Self::Root | Self::Quiet | Self::Fragile | Self::Child)
    }

    /// Whether external events reach it.
    pub(crate) fn hears(self) -> bool {
        self == Self::Root
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = Kind::ALL.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, word)| word);
        let Self { seed, depth, tries, ordered, generation, digest, has_sender, .. } = self;
        let (peer, consumed) = (self.peer.as_deref().unwrap_or(""), self.consumed.join(","));
        write!(f, "{kind}|{seed}|{depth}|{tries}|{ordered}|{generation}|{digest}|{peer}|{has_sender}|{consumed}")
    }
}

impl Spec {
    pub(crate) fn new(kind: Kind, seed: u64, depth: u64) -> Self {
        Self {
            kind,
            seed,
            depth,
            tries: 0,
            ordered: 0,
            generation: 0,
            digest: 0,
            peer: None,
            has_sender: false,
            consumed: Vec::new(),
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        let part: Vec<&str> = text.split('|').collect();
        assert_eq!(part.len(), 10, "an input was changed on its way: {text}");
        let number = |at: usize| part[at].parse::<u64>().expect("a number of the input");
        let kind = Kind::ALL.iter().find(|(_, word)| *word == part[0]).expect("a kind of the input").0;
        Self {
            kind,
            seed: number(1),
            depth: number(2),
            tries: number(3),
            ordered: number(4),
            generation: number(5),
            digest: number(6),
            peer: Some(part[7].to_owned()).filter(|p| !p.is_empty()),
            has_sender: part[8] == "true",
            consumed: part[9].split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect(),
        }
    }

    fn chance(&self, salt: u64) -> Chance {
        Chance::new(self.seed ^ salt)
    }

    /// How many times it continues as new.
    pub(crate) fn generations(&self) -> u64 {
        match self.kind {
            Kind::Endless => 0,
            _ => self.chance(0x0067_656e).pick(&[0, 0, 0, 1, 1, 3]),
        }
    }

    /// How many tries fail.
    pub(crate) fn fails(&self) -> u64 {
        if self.kind == Kind::Flaky { 1 + self.seed % 2 } else { 0 }
    }

    /// The error that it ends with, if it does not succeed.
    pub(crate) fn failure(&self) -> Option<String> {
        (self.tries < self.fails()).then(|| format!("Boom{}", self.tries))
    }

    /// The orchestrator that runs it.
    pub(crate) fn name(&self) -> &'static str {
        if self.seed % 5 == 3 { "plot" } else { "plan" }
    }

    /// The version that a generation asks for. None: that of the generation before.
    pub(crate) fn new_version(&self, generation: u64) -> Option<String> {
        let version = self.chance(0x7665_7273 ^ generation << 40).pick(&[None, None, None, Some("1"), Some("2")]);
        version.map(str::to_owned)
    }

    /// The version of the current generation.
    pub(crate) fn version(&self) -> Option<String> {
        (0..=self.generation).rev().find_map(|generation| self.new_version(generation))
    }

    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        match self.seed % 7 {
            0 | 1 => BTreeMap::new(),
            // Their forks have one more, and two would stand in any order in the trace of a seed.
            _ if self.kind == Kind::Quiet => BTreeMap::new(),
            _ => [("seed".to_owned(), (self.seed % 97).to_string())].into(),
        }
    }
}
