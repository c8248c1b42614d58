//! What the demo has shown, for somebody who sees durawasm for the first time.

use std::{fmt, time::Duration};

use super::journal::Executions;
use crate::stage::show;

/// One process killed and started again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kill {
    /// How many orchestrations were begun.
    pub(super) orchestrations: usize,
    /// How many of them had not ended when the process died.
    pub(super) unfinished: usize,
    /// From the kill until the process was ready again.
    pub(super) back: Duration,
    /// From the kill until all had completed.
    pub(super) recovered: Duration,
    /// How many executions of activities repeated one from before the kill.
    pub(super) repeated: usize,
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    pub(super) hello_cities: Duration,
    pub(super) fan_out: (u64, Duration),
    pub(super) host: Kill,
    pub(super) scheduler: Kill,
    pub(super) orchestrations: usize,
    pub(super) activities: usize,
    pub(super) executions: Executions,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (width, fan_out) = self.fan_out;
        writeln!(f, "\ndurawasm demo: nothing was lost\n")?;
        writeln!(f, "  hello-cities: five activities, one after the other, in {}", show(self.hello_cities))?;
        writeln!(f, "  fan-out: {width} activities at the same time, and their sum, in {}", show(fan_out))?;
        for (name, kill) in [("host", self.host), ("scheduler", self.scheduler)] {
            writeln!(
                f,
                "  {name} killed (SIGKILL) with {} of {} orchestrations unfinished:\n    back after {}, all completed {} after \
                 the kill, {} activities ran again",
                kill.unfinished,
                kill.orchestrations,
                show(kill.back),
                show(kill.recovered),
                kill.repeated
            )?;
        }
        writeln!(f)?;
        writeln!(f, "  {} orchestrations, each with the right result", self.orchestrations)?;
        writeln!(f, "  {} activities called; in the histories each completed exactly once", self.activities)?;
        match self.executions.repeated() {
            0 => write!(f, "  no activity ran twice"),
            repeated => write!(
                f,
                "  {} executions, so {repeated} ran twice: they were under way when a process died, and nobody could know\n  \
                 whether they had finished (an activity runs at least once; its call id stays the same)",
                self.executions.executions
            ),
        }
    }
}
