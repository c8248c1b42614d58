//! Time as the scheduler keeps it: microseconds since 1970, handed in from outside.

use std::time::Duration;

/// A point in time, in microseconds since 1970-01-01T00:00:00Z. Finer parts are cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest representable time.
    pub const MIN: Self = Self(i64::MIN);

    /// From microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// From the wire, rounded up: what is due then must not happen before.
    #[must_use]
    pub fn not_before(t: prost_types::Timestamp) -> Self {
        let down = Self::from(t);
        if t.nanos % 1_000 > 0 { down.next() } else { down }
    }

    /// The smallest time after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// This time plus a duration.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long it is from `earlier` to this time; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<prost_types::Timestamp> for Timestamp {
    fn from(t: prost_types::Timestamp) -> Self {
        Self(t.seconds.saturating_mul(1_000_000).saturating_add(i64::from(t.nanos) / 1_000))
    }
}

impl From<Timestamp> for prost_types::Timestamp {
    fn from(t: Timestamp) -> Self {
        let nanos = i32::try_from(t.0.rem_euclid(1_000_000) * 1_000).expect("below a second, so it fits");
        Self { seconds: t.0.div_euclid(1_000_000), nanos }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_survive_the_wire() {
        for micros in [-1, 0, 1, -1_000_001, 1_700_000_000_123_456] {
            let wire: prost_types::Timestamp = Timestamp::from_micros(micros).into();
            assert!((0..1_000_000_000).contains(&wire.nanos));
            assert_eq!(Timestamp::from(wire).as_micros(), micros);
        }
    }
}
