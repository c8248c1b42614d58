//! What to tell people when a replay disagrees with the history.

use super::action::Action;
use super::history::{Recorded, Time};
use super::ledger::Mismatch;
use super::park::{Park, ParkReason};

const ADVICE: &str = "deploy the version of the component that the instance began with, or a corrected one whose calls \
    come in the same order; the instance goes on by itself then. It can also be terminated";

/// Where in the history the disagreement is.
pub(super) struct Place<'a> {
    /// Position of the event, from 0.
    pub(super) position: u64,
    /// The time of the episode.
    pub(super) episode: Time,
    /// The component's name and version.
    pub(super) component: &'a str,
}

impl Place<'_> {
    fn diverged(&self, history: &str, code: &str, cause: &str) -> Park {
        Park::new(
            ParkReason::Divergence,
            format!(
                "the replay disagrees with the history at event {} (episode of {}): the history holds {history}; \
                 component {} {code}. Likely cause: {cause}",
                self.position,
                readable(self.episode),
                self.component,
            ),
            ADVICE,
        )
    }

    /// The history holds an action that the code did not emit.
    pub(super) fn recorded(&self, id: i32, recorded: &Recorded, mismatch: &Mismatch) -> Park {
        let history = format!("{} (action {id})", recorded.kind.describe(&recorded.name));
        match mismatch {
            Mismatch::NothingEmitted => self.diverged(
                &history,
                "did nothing there",
                "a call was removed, or moved behind something that the orchestrator waits for, since the instance ran that code",
            ),
            Mismatch::Emitted { id: emitted, decision } => self.diverged(
                &history,
                &format!("emitted {decision} (action {emitted})"),
                "calls were added, removed, renamed or put into another order since the instance ran that code",
            ),
        }
    }

    /// The history holds the end of the execution, and the code goes on.
    pub(super) fn goes_on(&self) -> Park {
        self.diverged(
            "the end of the orchestration",
            "waits for something more",
            "the orchestrator waits for something there since the instance ran that code",
        )
    }

    /// The code emitted an action that the history does not hold.
    pub(super) fn unrecorded(&self, action: &Action) -> Park {
        self.diverged(
            "no further action of that episode",
            &format!("emitted {} (action {})", action.decision.describe(), action.id),
            "a call was added, or put before something that the orchestrator waits for, since the instance ran that code",
        )
    }
}

/// `2026-11-21T11:50:10.123456Z`: the civil date is computed by the usual days-from-civil method, reversed.
fn readable(time: Time) -> String {
    let days = time.seconds.div_euclid(86_400);
    let second = time.seconds.rem_euclid(86_400);
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60,
        time.nanos / 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        assert_eq!(readable(Time::default()), "1970-01-01T00:00:00.000000Z");
        assert_eq!(readable(Time { seconds: 1_709_210_096, nanos: 5_000 }), "2024-02-29T12:34:56.000005Z");
    }
}
