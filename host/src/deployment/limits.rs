//! The `[limits]` of manifests and policies. In a manifest they are what a component asks for, in a policy the most that it
//! may ask for.

use std::fmt::Display;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::grant::RefusedRequest;
use crate::sandbox::{GuestLimits, OrchestratorLimits, SandboxLimits};

/// Limits by role. What is not given stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitRequests {
    /// Of one orchestration.
    pub orchestrator: RoleLimits,
    /// Of one call of an activity.
    #[serde(deserialize_with = "effects")]
    pub activity: RoleLimits,
    /// Of one batch of operations of an entity.
    #[serde(deserialize_with = "effects")]
    pub entity: RoleLimits,
}

// One line a limit keeps its key, type, form and meaning together, so that none can be forgotten.
macro_rules! role_limits {
    ($($(#[$doc:meta])* $key:ident: $type:ty, $read:literal, $show:ident;)+) => {
        /// The limits of one role: `docs/limits.md` explains each. What is not given stays as it is.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct RoleLimits {
            $($(#[$doc])* #[serde(deserialize_with = $read)] pub $key: Option<$type>,)+
        }

        impl RoleLimits {
            /// These, and where they say nothing the others.
            pub(super) fn or(self, other: Self) -> Self {
                Self { $($key: self.$key.or(other.$key)),+ }
            }

            /// Limits that bind nobody, as a policy's.
            pub(super) fn unbounded() -> Self {
                Self { $($key: Some(<$type>::MAX)),+ }
            }

            /// Those that are given, with their keys, for people.
            pub(super) fn shown(&self) -> Vec<(&'static str, String)> {
                let all = [$((stringify!($key), self.$key.map($show))),+];
                all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
            }

            /// Puts what is asked for here into `limits`, which hold the host's own, as far as `bound` allows it. Keys that a role does
            /// not have are in none of the three.
            fn settle(&self, bound: &Self, limits: &mut Self, role: &str, refused: &mut Vec<RefusedRequest>) {
                $(if let Some(limit) = &mut limits.$key {
                    let key = format!("limits.{role}.{}", stringify!($key));
                    settle_one(key, self.$key, bound.$key, limit, $show, refused);
                })+
            }
        }
    };
}

role_limits! {
    /// Bytes of linear memory: `"64 MiB"`, or a number.
    memory: usize, "size", show_size;
    /// Elements of tables.
    tables: usize, "count", show_count;
    /// How long a call may take: `"5s"`.
    deadline: Duration, "duration", show_duration;
    /// Bytes of one payload.
    payload: usize, "size", show_size;
    /// Bytes that one call may hand over to the host.
    answer: usize, "size", show_size;
    /// Log lines of one episode or call.
    log_lines: usize, "count", show_count;
    /// Bytes of the log lines of one episode or call.
    log_bytes: usize, "size", show_size;
    /// Fuel of one episode. Orchestrators only.
    fuel: u64, "fuel", show_fuel;
    /// Commands of one answer. Orchestrators only.
    commands: usize, "count", show_count;
    /// What may be waited for at the same time. Orchestrators only.
    pending: usize, "count", show_count;
    /// Random bytes that may be asked for at once. Orchestrators only.
    random: usize, "size", show_size;
}

impl RoleLimits {
    /// All that any guest has.
    fn of_guest(limits: &GuestLimits) -> Self {
        let GuestLimits { memory, tables, deadline, payload, answer, log_lines, log_bytes } = *limits;
        Self {
            memory: Some(memory),
            tables: Some(tables),
            deadline: Some(deadline),
            payload: Some(payload),
            answer: Some(answer),
            log_lines: Some(log_lines),
            log_bytes: Some(log_bytes),
            ..Self::default()
        }
    }

    /// All that an orchestrator has.
    fn of_orchestrator(limits: &OrchestratorLimits) -> Self {
        let OrchestratorLimits { guest, fuel, commands, pending, random } = limits;
        Self {
            fuel: Some(*fuel),
            commands: Some(*commands),
            pending: Some(*pending),
            random: Some(*random),
            ..Self::of_guest(guest)
        }
    }

    fn into_guest(self, host: GuestLimits) -> GuestLimits {
        GuestLimits {
            memory: self.memory.unwrap_or(host.memory),
            tables: self.tables.unwrap_or(host.tables),
            deadline: self.deadline.unwrap_or(host.deadline),
            payload: self.payload.unwrap_or(host.payload),
            answer: self.answer.unwrap_or(host.answer),
            log_lines: self.log_lines.unwrap_or(host.log_lines),
            log_bytes: self.log_bytes.unwrap_or(host.log_bytes),
        }
    }

    fn into_orchestrator(self, host: OrchestratorLimits) -> OrchestratorLimits {
        OrchestratorLimits {
            guest: self.into_guest(host.guest),
            fuel: self.fuel.unwrap_or(host.fuel),
            commands: self.commands.unwrap_or(host.commands),
            pending: self.pending.unwrap_or(host.pending),
            random: self.random.unwrap_or(host.random),
        }
    }
}

impl LimitRequests {
    /// These, and where they say nothing the others.
    pub(super) fn or(&self, other: &Self) -> Self {
        Self {
            orchestrator: self.orchestrator.or(other.orchestrator),
            activity: self.activity.or(other.activity),
            entity: self.entity.or(other.entity),
        }
    }

    /// Limits that bind nobody, as a policy's.
    pub(super) fn unbounded() -> Self {
        let all = RoleLimits::unbounded();
        Self { orchestrator: all, activity: all, entity: all }
    }

    /// What these requests come to: within `bounds`, and where nothing is asked for the host's own limit. Where the bounds say
    /// nothing the host's own limit is the most that can be asked for. What is beyond goes to `refused`.
    pub(super) fn settle(
        &self,
        bounds: &Self,
        host: SandboxLimits,
        refused: &mut Vec<RefusedRequest>,
    ) -> SandboxLimits {
        let mut limits = Self::of(&host);
        self.orchestrator.settle(&bounds.orchestrator, &mut limits.orchestrator, "orchestrator", refused);
        self.activity.settle(&bounds.activity, &mut limits.activity, "activity", refused);
        self.entity.settle(&bounds.entity, &mut limits.entity, "entity", refused);
        SandboxLimits {
            orchestrator: limits.orchestrator.into_orchestrator(host.orchestrator),
            activity: limits.activity.into_guest(host.activity),
            entity: limits.entity.into_guest(host.entity),
        }
    }

    /// Limits in the form of a request for all of them.
    pub(super) fn of(limits: &SandboxLimits) -> Self {
        Self {
            orchestrator: RoleLimits::of_orchestrator(&limits.orchestrator),
            activity: RoleLimits::of_guest(&limits.activity),
            entity: RoleLimits::of_guest(&limits.entity),
        }
    }
}

/// Puts what is asked for into `limit`, which holds the host's own, if it is allowed.
fn settle_one<T: Copy + Ord, D: Display>(
    key: String,
    requested: Option<T>,
    bound: Option<T>,
    limit: &mut T,
    show: impl Fn(T) -> D,
    refused: &mut Vec<RefusedRequest>,
) {
    let most = bound.unwrap_or(*limit);
    match requested {
        Some(requested) if requested > most => {
            refused.push(RefusedRequest::new(key, show(requested), format!("at most {}", show(most))));
        }
        Some(requested) => *limit = requested,
        None => *limit = (*limit).min(most),
    }
}

/// Bytes for people, exactly where a round number of units says it.
pub(super) fn show_size(bytes: usize) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift) {
        Some((shift, unit)) => format!("{} {unit}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}

/// A number for people.
fn show_count(count: usize) -> String {
    count.to_string()
}

fn show_fuel(fuel: u64) -> String {
    format!("{fuel} units")
}

/// A duration for people.
pub(super) fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    let size = ByteSize::deserialize(deserializer)?;
    usize::try_from(size.as_u64()).map(Some).map_err(D::Error::custom)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = humantime::parse_duration(&text)
        .map_err(|error| D::Error::custom(format!("`{text}` is no duration ({error}); write `5s`, `2m` or `500ms`")))?;
    if duration.is_zero() {
        return Err(D::Error::custom("a deadline of 0 lets nothing run"));
    }
    Ok(Some(duration))
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    usize::deserialize(deserializer).map(Some)
}

fn fuel<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    u64::deserialize(deserializer).map(Some)
}

/// The limits of a role that runs no orchestrators.
fn effects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RoleLimits, D::Error> {
    let limits = RoleLimits::deserialize(deserializer)?;
    let RoleLimits { fuel, commands, pending, random, .. } = limits;
    let own = [
        ("fuel", fuel.is_some()),
        ("commands", commands.is_some()),
        ("pending", pending.is_some()),
        ("random", random.is_some()),
    ];
    match own.iter().find(|(_, given)| *given) {
        Some((key, _)) => Err(D::Error::custom(format!("only orchestrators have the limit `{key}`"))),
        None => Ok(limits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(memory: Option<usize>) -> LimitRequests {
        LimitRequests { activity: RoleLimits { memory, ..RoleLimits::default() }, ..LimitRequests::default() }
    }

    #[test]
    fn without_a_bound_limits_can_be_lowered_and_not_raised() {
        let host = SandboxLimits::default();
        let mut refused = Vec::new();
        let settled = requests(Some(1 << 20)).settle(&LimitRequests::default(), host, &mut refused);
        assert!(refused.is_empty());
        assert_eq!((settled.activity.memory, settled.orchestrator), (1 << 20, host.orchestrator));

        requests(Some(host.activity.memory + 1)).settle(&LimitRequests::default(), host, &mut refused);
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].key, "limits.activity.memory");
        assert_eq!(refused[0].allowed, "at most 256 MiB");
    }

    #[test]
    fn a_bound_raises_what_may_be_asked_for_and_lowers_what_is_not_asked_for() {
        let host = SandboxLimits::default();
        let mut refused = Vec::new();
        assert_eq!(
            requests(Some(1 << 30)).settle(&requests(Some(1 << 30)), host, &mut refused).activity.memory,
            1 << 30
        );
        assert_eq!(
            requests(None).settle(&requests(Some(1 << 30)), host, &mut refused).activity.memory,
            host.activity.memory
        );
        assert_eq!(requests(None).settle(&requests(Some(1 << 20)), host, &mut refused).activity.memory, 1 << 20);
        assert!(refused.is_empty());
    }

    #[test]
    fn every_limit_of_an_orchestrator_can_be_asked_for_and_the_other_roles_have_no_fuel() {
        let text = "[orchestrator]\nmemory = \"1 MiB\"\ntables = 2\ndeadline = \"3s\"\npayload = 4\nanswer = 5\nlog_lines = 6\n\
                    log_bytes = 7\nfuel = 8\ncommands = 9\npending = 10\nrandom = 11\n";
        let requests: LimitRequests = toml::from_str(text).unwrap();
        let mut refused = Vec::new();
        let host = SandboxLimits::default();
        let settled = requests.settle(&LimitRequests::default(), host, &mut refused);
        assert!(refused.is_empty());
        let guest = GuestLimits {
            memory: 1 << 20,
            tables: 2,
            deadline: Duration::from_secs(3),
            payload: 4,
            answer: 5,
            log_lines: 6,
            log_bytes: 7,
        };
        let expected = OrchestratorLimits { guest, fuel: 8, commands: 9, pending: 10, random: 11 };
        assert_eq!((settled.orchestrator, settled.activity), (expected, host.activity));
        let error = toml::from_str::<LimitRequests>("[activity]\nfuel = 1").unwrap_err().to_string();
        assert!(error.contains("only orchestrators have the limit `fuel`"), "{error}");
    }

    /// The rows of the tables in `docs/limits.md`, by their first cell.
    fn documented() -> std::collections::HashMap<String, Vec<String>> {
        let text = include_str!("../../../docs/limits.md");
        let rows = text.lines().filter(|line| line.starts_with("| "));
        rows.map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', ""));
            (cells.next().unwrap(), cells.collect())
        })
        .collect()
    }

    #[test]
    fn the_page_of_limits_tells_each_default() {
        let (page, defaults) = (documented(), LimitRequests::of(&SandboxLimits::default()));
        for (column, role) in [(1, defaults.orchestrator), (2, defaults.activity), (3, defaults.entity)] {
            for (key, value) in role.shown() {
                let row = page.get(key).unwrap_or_else(|| panic!("docs/limits.md lacks `{key}`"));
                assert_eq!(row[column], value, "{key}");
            }
        }
    }

    #[test]
    fn the_page_of_limits_tells_each_fixed_limit_and_each_class() {
        use crate::sandbox::{MAX_HANDLES, MAX_INSTANCES, MAX_MEMORIES, MAX_TABLES, STACK};
        let page = documented();
        for (row, value) in [
            ("WebAssembly stack of one call", show_size(STACK)),
            ("core instances of a component, adapters included", MAX_INSTANCES.to_string()),
            ("linear memories of a component", MAX_MEMORIES.to_string()),
            ("tables of a component", MAX_TABLES.to_string()),
            ("handles to resources that an instance holds at the same time", MAX_HANDLES.to_string()),
        ] {
            assert_eq!(page[row][0], value, "{row}");
        }
        let text = include_str!("../../../docs/limits.md");
        for limit in crate::orchestration::Limit::ALL {
            let class = if limit.word() == "parts" { "parts" } else { limit.failure_type() };
            assert!(text.contains(&format!("`{class}`")), "docs/limits.md lacks {limit:?}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_says_them_exactly() {
        let shown = [0, 1, 1 << 10, 3 << 20, (1 << 30) + (1 << 20), 1 << 30].map(show_size);
        assert_eq!(shown, ["0 bytes", "1 bytes", "1 KiB", "3 MiB", "1025 MiB", "1 GiB"]);
    }
}
