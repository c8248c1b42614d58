//! A guest whose calls together may take only so long: a replay makes many, each within its own deadline.

use std::time::{Duration, Instant};

use crate::abi::orchestrator::Context;
use crate::abi::{Command, Outcome, Resolution};
use crate::orchestration::{Guest, GuestFault, Limit, LogLine, Question, Streams, Time};

pub(super) struct Budget<G> {
    guest: G,
    time: Duration,
    until: Instant,
}

impl<G> Budget<G> {
    pub(super) fn new(guest: G, time: Duration) -> Self {
        Self { guest, time, until: Instant::now() + time }
    }

    fn check(&self) -> Result<(), GuestFault> {
        if Instant::now() < self.until {
            return Ok(());
        }
        let message = format!("the replay took more than {} ms in all", self.time.as_millis());
        Err(GuestFault::Limit(Limit::Deadline, message))
    }
}

impl<G: Guest> Guest for Budget<G> {
    fn start(&mut self, streams: &Streams, now: Time, context: Context) -> Result<Vec<Command>, GuestFault> {
        self.check()?;
        self.guest.start(streams, now, context)
    }

    fn resume(&mut self, now: Time, resolutions: &[Resolution]) -> Result<Vec<Command>, GuestFault> {
        self.check()?;
        self.guest.resume(now, resolutions)
    }

    fn answer(&mut self, now: Time, question: &Question) -> Result<Option<Outcome>, GuestFault> {
        self.check()?;
        self.guest.answer(now, question)
    }

    fn refuel(&mut self, fuel: Option<u64>) {
        self.guest.refuel(fuel);
    }

    fn fuel(&self) -> u64 {
        self.guest.fuel()
    }

    fn take_logs(&mut self) -> Vec<LogLine> {
        self.guest.take_logs()
    }

    fn memory(&self) -> usize {
        self.guest.memory()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Idle;

    impl Guest for Idle {
        fn start(&mut self, _: &Streams, _: Time, _: Context) -> Result<Vec<Command>, GuestFault> {
            Ok(Vec::new())
        }

        fn resume(&mut self, _: Time, _: &[Resolution]) -> Result<Vec<Command>, GuestFault> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn calls_within_the_time_are_made_and_none_after_it() {
        assert!(Budget::new(Idle, Duration::from_secs(60)).resume(Time::default(), &[]).is_ok());
        let late = Budget::new(Idle, Duration::ZERO).resume(Time::default(), &[]);
        assert!(matches!(late, Err(GuestFault::Limit(Limit::Deadline, _))));
    }
}
