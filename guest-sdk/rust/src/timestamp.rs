//! Points in time, as orchestrators see them.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::bindings::durawasm::workflow::types as wit;

/// A point in time since 1970, to the nanosecond. As text and in JSON it is RFC 3339 in UTC: `2026-11-21T11:43:19.5Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Timestamp {
    seconds: u64,
    nanos: u32,
}

/// The last second that a four-digit year can show.
const LAST_SECOND: u64 = 253_402_300_799;
const SECONDS_PER_DAY: u64 = 86_400;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self { seconds: 0, nanos: 0 };
    /// The end of the year 9999: "never", for timers.
    pub const MAX: Self = Self { seconds: LAST_SECOND, nanos: 999_999_000 };

    /// A time so many seconds after 1970, at most [`Timestamp::MAX`].
    pub fn from_unix_seconds(seconds: u64) -> Self {
        Self::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Whole seconds since 1970.
    pub fn unix_seconds(self) -> u64 {
        self.seconds
    }

    /// Whole milliseconds since 1970.
    pub fn unix_millis(self) -> u64 {
        self.seconds * 1_000 + u64::from(self.nanos / 1_000_000)
    }

    /// What is beyond the whole second, in nanoseconds.
    pub fn subsec_nanos(self) -> u32 {
        self.nanos
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        self.since_epoch().saturating_sub(earlier.since_epoch())
    }

    fn since_epoch(self) -> Duration {
        Duration::new(self.seconds, self.nanos)
    }

    /// Up to the next microsecond, which is what schedulers keep: a timer must not fire before the time asked for.
    pub(crate) fn rounded_up_to_micros(self) -> Self {
        self + Duration::from_nanos(u64::from(self.nanos.next_multiple_of(1_000) - self.nanos))
    }

    pub(crate) fn from_wit(time: wit::Timestamp) -> Self {
        Self::UNIX_EPOCH + Duration::new(time.seconds.min(LAST_SECOND), time.nanos)
    }

    pub(crate) fn into_wit(self) -> wit::Timestamp {
        wit::Timestamp { seconds: self.seconds, nanos: self.nanos }
    }
}

/// Stops at [`Timestamp::MAX`].
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        match self.since_epoch().checked_add(duration) {
            Some(sum) if sum.as_secs() <= LAST_SECOND => Self { seconds: sum.as_secs(), nanos: sum.subsec_nanos() },
            _ => Self::MAX,
        }
    }
}

/// Stops at 1970.
impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let rest = self.since_epoch().saturating_sub(duration);
        Self { seconds: rest.as_secs(), nanos: rest.subsec_nanos() }
    }
}

/// How long after the right one the left one is; zero if it is before.
impl Sub for Timestamp {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + time.since_epoch()
    }
}

/// Times before 1970 become 1970.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self::UNIX_EPOCH + time.duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = InvalidTimestamp;

    fn try_from(text: String) -> Result<Self, InvalidTimestamp> {
        text.parse()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.seconds / SECONDS_PER_DAY);
        let second = self.seconds % SECONDS_PER_DAY;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// A text that is not a time in RFC 3339 between 1970 and 9999.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTimestamp(String);

impl fmt::Display for InvalidTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a time such as 2026-11-21T11:43:19.5Z", self.0)
    }
}

impl std::error::Error for InvalidTimestamp {}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        parse(text).ok_or_else(|| InvalidTimestamp(text.to_owned()))
    }
}

/// `YYYY-MM-DDThh:mm:ss`, a fraction if there is one, then `Z` or an offset `+hh:mm`.
fn parse(text: &str) -> Option<Timestamp> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let shape = date_time.bytes().zip(*b"0000-00-00T00:00:00");
    for (byte, expected) in shape {
        let fits = if expected == b'0' { byte.is_ascii_digit() } else { byte.eq_ignore_ascii_case(&expected) };
        if !fits {
            return None;
        }
    }
    let number = |from: usize, to: usize| date_time[from..to].parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("0", rest),
    };
    let nanos = format!("{fraction:0<9}").get(..9)?.parse::<u32>().ok().filter(|_| !fraction.is_empty())?;
    let local =
        i64::try_from(days_of(year, month, day)? * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second).ok()?;
    let seconds = u64::try_from(local - offset_of(zone)?).ok()?;
    (seconds <= LAST_SECOND).then_some(Timestamp { seconds, nanos })
}

/// The offset of a time zone in seconds.
fn offset_of(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let two_digits = |part: &str| part.parse::<i64>().ok().filter(|_| part.len() == 2 && !part.starts_with(['+', '-']));
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Days from 1970 to a date of the Gregorian calendar. Years are counted from March, so that the day that leap years add is
/// a year's last; a day of 400 years then follows from a line through the lengths of the months.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year) = (year / 400, year % 400);
    let days = era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1;
    let since_epoch = days.checked_sub(719_468)?;
    // A day that the month does not have comes back as another date.
    (date_of(since_epoch).2 == day).then_some(since_epoch)
}

/// The inverse of [`days_of`].
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year + era * 400;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_until_9999_is_shown_and_read_back() {
        for day in 0..=LAST_SECOND / SECONDS_PER_DAY {
            let (year, month, date) = date_of(day);
            assert_eq!(days_of(year, month, date), Some(day));
        }
    }

    #[test]
    fn text_is_rfc_3339_and_keeps_nanoseconds() {
        let time = Timestamp { seconds: 1_795_261_399, nanos: 500_000_000 };
        assert_eq!(time.to_string(), "2026-11-21T11:43:19.5Z");
        assert_eq!("2026-11-21T11:43:19.5Z".parse(), Ok(time));
        assert_eq!("2026-11-21T13:43:19.500+02:00".parse(), Ok(time));
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in
            ["", "2026", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        for text in
            ["2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+2:00", "1969-12-31T23:59:59Z", "2026-01-01T00:00:0éZ"]
        {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(Timestamp::MAX + Duration::from_secs(1), Timestamp::MAX);
        assert_eq!(Timestamp::UNIX_EPOCH - Duration::from_secs(1), Timestamp::UNIX_EPOCH);
        assert_eq!(Timestamp::from_unix_seconds(u64::MAX), Timestamp::MAX);
    }

    #[test]
    fn a_timer_is_rounded_up_to_what_schedulers_keep() {
        let time = Timestamp { seconds: 1, nanos: 999_999_001 };
        assert_eq!(time.rounded_up_to_micros(), Timestamp { seconds: 2, nanos: 0 });
        let exact = Timestamp { seconds: 1, nanos: 5_000 };
        assert_eq!(exact.rounded_up_to_micros(), exact);
    }
}
