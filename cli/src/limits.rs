//! What guests may use up, as it is given on the command line. `docs/limits.md` says what each means.

use std::time::Duration;

use clap::Args;
use durawasm_host::sandbox::SandboxLimits;

/// What guests may use up. What is not given has its default.
#[derive(Args)]
#[command(next_help_heading = "Limits of guests")]
pub(crate) struct LimitArguments {
    /// The largest payload, in bytes (default 16 MiB). The scheduler has the same option.
    #[arg(long, value_name = "BYTES")]
    payload_limit: Option<usize>,
    /// Fuel of one episode of an orchestration: about one unit for each WebAssembly instruction.
    #[arg(long, value_name = "UNITS")]
    orchestrator_fuel: Option<u64>,
    /// How long one call of an orchestrator may compute.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    orchestrator_deadline: Option<Duration>,
    /// The memory of one orchestration, in MiB.
    #[arg(long, value_name = "MIB")]
    orchestrator_memory: Option<usize>,
    /// Elements of all tables of one orchestration.
    #[arg(long, value_name = "COUNT")]
    orchestrator_tables: Option<usize>,
    /// Commands that one call of an orchestrator may answer with.
    #[arg(long, value_name = "COUNT")]
    orchestrator_commands: Option<usize>,
    /// Results and events that one orchestration may wait for at the same time.
    #[arg(long, value_name = "COUNT")]
    orchestrator_pending: Option<usize>,
    /// What one call of an orchestrator may hand over to the host, in MiB.
    #[arg(long, value_name = "MIB")]
    orchestrator_answer: Option<usize>,
    /// Random bytes that an orchestrator may ask for at once.
    #[arg(long, value_name = "BYTES")]
    orchestrator_random: Option<usize>,
    /// How long one activity may take.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    activity_deadline: Option<Duration>,
    /// The memory of one activity, in MiB.
    #[arg(long, value_name = "MIB")]
    activity_memory: Option<usize>,
    /// Elements of all tables of one activity.
    #[arg(long, value_name = "COUNT")]
    activity_tables: Option<usize>,
    /// What one call of an activity may hand over to the host, in MiB.
    #[arg(long, value_name = "MIB")]
    activity_answer: Option<usize>,
    /// How long one operation of an entity may take.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    entity_deadline: Option<Duration>,
    /// The memory of one batch of an entity's operations, in MiB.
    #[arg(long, value_name = "MIB")]
    entity_memory: Option<usize>,
    /// Elements of all tables of one batch of an entity's operations.
    #[arg(long, value_name = "COUNT")]
    entity_tables: Option<usize>,
    /// What one operation of an entity may hand over to the host, in MiB.
    #[arg(long, value_name = "MIB")]
    entity_answer: Option<usize>,
}

impl LimitArguments {
    /// The limits, with the defaults for what was not given.
    pub(crate) fn limits(&self) -> SandboxLimits {
        let SandboxLimits { mut orchestrator, mut activity, mut entity } = SandboxLimits::default();
        let mib = |given: Option<usize>| given.map(|mib| mib.saturating_mul(1 << 20));
        set(&mut orchestrator.fuel, self.orchestrator_fuel);
        set(&mut orchestrator.commands, self.orchestrator_commands);
        set(&mut orchestrator.pending, self.orchestrator_pending);
        set(&mut orchestrator.random, self.orchestrator_random);
        set(&mut orchestrator.guest.deadline, self.orchestrator_deadline);
        set(&mut orchestrator.guest.memory, mib(self.orchestrator_memory));
        set(&mut orchestrator.guest.tables, self.orchestrator_tables);
        set(&mut orchestrator.guest.answer, mib(self.orchestrator_answer));
        set(&mut activity.deadline, self.activity_deadline);
        set(&mut activity.memory, mib(self.activity_memory));
        set(&mut activity.tables, self.activity_tables);
        set(&mut activity.answer, mib(self.activity_answer));
        set(&mut entity.deadline, self.entity_deadline);
        set(&mut entity.memory, mib(self.entity_memory));
        set(&mut entity.tables, self.entity_tables);
        set(&mut entity.answer, mib(self.entity_answer));
        for guest in [&mut orchestrator.guest, &mut activity, &mut entity] {
            set(&mut guest.payload, self.payload_limit);
        }
        SandboxLimits { orchestrator, activity, entity }
    }
}

fn set<T>(limit: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *limit = given;
    }
}
