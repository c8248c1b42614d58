//! The `[limits]` of manifests and policies. In a manifest they are what a component asks for, in a policy the most that it
//! may ask for.

use std::fmt::Display;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::grant::RefusedRequest;
use crate::sandbox::SandboxLimits;

/// Limits by role. What is not given stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitRequests {
    /// Of one orchestration.
    pub orchestrator: RoleLimits,
    /// Of one call of an activity.
    pub activity: RoleLimits,
    /// Of one batch of operations of an entity.
    pub entity: RoleLimits,
}

/// The limits of one role. What is not given stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoleLimits {
    /// Bytes of linear memory: `"64 MiB"`, or a number.
    #[serde(deserialize_with = "size")]
    pub memory: Option<usize>,
    /// How long a call may take: `"5s"`.
    #[serde(deserialize_with = "duration")]
    pub deadline: Option<Duration>,
}

impl RoleLimits {
    /// These, and where they say nothing the others.
    pub(super) fn or(self, other: Self) -> Self {
        Self { memory: self.memory.or(other.memory), deadline: self.deadline.or(other.deadline) }
    }

    /// Limits that bind nobody, as a policy's.
    pub(super) fn unbounded() -> Self {
        Self { memory: Some(usize::MAX), deadline: Some(Duration::MAX) }
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
        let mut limits = host;
        let roles = [
            ("orchestrator", self.orchestrator, bounds.orchestrator),
            ("activity", self.activity, bounds.activity),
            ("entity", self.entity, bounds.entity),
        ];
        for (role, requested, bound) in roles {
            let (memory, deadline) = match role {
                "orchestrator" => (&mut limits.orchestrator_memory, &mut limits.orchestrator_deadline),
                "activity" => (&mut limits.activity_memory, &mut limits.activity_deadline),
                _ => (&mut limits.entity_memory, &mut limits.entity_deadline),
            };
            let key = |name: &str| format!("limits.{role}.{name}");
            settle_one(key("memory"), requested.memory, bound.memory, memory, show_size, refused);
            settle_one(key("deadline"), requested.deadline, bound.deadline, deadline, show_duration, refused);
        }
        limits
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
        assert_eq!((settled.activity_memory, settled.orchestrator_memory), (1 << 20, host.orchestrator_memory));

        requests(Some(host.activity_memory + 1)).settle(&LimitRequests::default(), host, &mut refused);
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].key, "limits.activity.memory");
        assert_eq!(refused[0].allowed, "at most 256 MiB");
    }

    #[test]
    fn a_bound_raises_what_may_be_asked_for_and_lowers_what_is_not_asked_for() {
        let host = SandboxLimits::default();
        let mut refused = Vec::new();
        assert_eq!(
            requests(Some(1 << 30)).settle(&requests(Some(1 << 30)), host, &mut refused).activity_memory,
            1 << 30
        );
        assert_eq!(
            requests(None).settle(&requests(Some(1 << 30)), host, &mut refused).activity_memory,
            host.activity_memory
        );
        assert_eq!(requests(None).settle(&requests(Some(1 << 20)), host, &mut refused).activity_memory, 1 << 20);
        assert!(refused.is_empty());
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_says_them_exactly() {
        let shown = [0, 1, 1 << 10, 3 << 20, (1 << 30) + (1 << 20), 1 << 30].map(show_size);
        assert_eq!(shown, ["0 bytes", "1 bytes", "1 KiB", "3 MiB", "1025 MiB", "1 GiB"]);
    }
}
