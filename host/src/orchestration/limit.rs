//! The limits that a guest can reach, each a class of its own.

/// A limit that a guest reached. `docs/limits.md` says of each what it bounds, who sets it and what happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Bytes of linear memory, all memories of the instance together.
    Memory,
    /// Elements of tables, all tables of the instance together.
    Tables,
    /// How many core instances, memories or tables a component consists of.
    Parts,
    /// The WebAssembly stack.
    Stack,
    /// Fuel of one episode: what its computing costs, the same wherever it runs.
    Fuel,
    /// The time of one call.
    Deadline,
    /// Bytes of one payload.
    Payload,
    /// Commands in one answer.
    Commands,
    /// Calls, timers, children and events that are waited for at the same time.
    Pending,
    /// Bytes that one call hands over to the host.
    Answer,
    /// Random bytes that are asked for at once.
    Random,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Memory,
        Self::Tables,
        Self::Parts,
        Self::Stack,
        Self::Fuel,
        Self::Deadline,
        Self::Payload,
        Self::Commands,
        Self::Pending,
        Self::Answer,
        Self::Random,
    ];

    /// The stable word for programs: the reason of a parked instance, and the key in `[limits.ROLE]` of a manifest.
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Tables => "tables",
            Self::Parts => "parts",
            Self::Stack => "stack",
            Self::Fuel => "fuel",
            Self::Deadline => "deadline",
            Self::Payload => "payload",
            Self::Commands => "commands",
            Self::Pending => "pending",
            Self::Answer => "answer",
            Self::Random => "random",
        }
    }

    /// The type of the failure of an activity (or of a query) that reached it.
    pub fn failure_type(self) -> &'static str {
        match self {
            Self::Memory => "MemoryLimit",
            Self::Tables => "TableLimit",
            Self::Parts => "PartLimit",
            Self::Stack => "StackLimit",
            Self::Fuel => "FuelLimit",
            Self::Deadline => "Deadline",
            Self::Payload => "PayloadTooLarge",
            Self::Commands => "CommandLimit",
            Self::Pending => "PendingLimit",
            Self::Answer => "AnswerLimit",
            Self::Random => "RandomLimit",
        }
    }

    /// Whether the same call reaches it again, whatever else the machine does.
    pub fn is_certain(self) -> bool {
        self != Self::Deadline
    }

    /// What to do for a guest in this role (`orchestrator`, `activity`, …) that reached it.
    pub(crate) fn remedy(self, role: &str) -> String {
        let (word, advice) = (self.word(), self.advice());
        match self {
            Self::Stack | Self::Parts => format!("{advice}; this limit is the same on all hosts"),
            Self::Payload => format!("{advice}; or raise `--payload-limit` of the scheduler and of the host"),
            _ => format!(
                "{advice}; or raise it: `{word}` in [limits.{role}] of the component's manifest, or `--{role}-{word}` of the host"
            ),
        }
    }

    /// What the author of the code can do about it.
    fn advice(self) -> &'static str {
        match self {
            Self::Memory => "hold less at a time",
            Self::Tables | Self::Parts => "build the component of fewer parts",
            Self::Stack => "recurse less deeply",
            Self::Fuel => "move long computations into an activity",
            Self::Deadline => "look for an endless loop; move long computations into an activity",
            Self::Payload => "pass a reference to large data instead of the data",
            Self::Commands => {
                "begin less at a time: wait for some results, or spread the work over child orchestrations"
            }
            Self::Pending => "wait for some results before more is begun, or spread the work over child orchestrations",
            Self::Answer => "begin less at a time, with smaller inputs",
            Self::Random => "ask for fewer random bytes at a time",
        }
    }
}
