//! Points in time as people write them: a date, a time, or a while from or before now.

use std::time::{Duration, SystemTime};

const FORMS: &str = "a time looks like 2027-01-31T08:00:00Z, 2027-01-31T09:00:00+01:00, 2027-01-31";

/// A time, or a while before now: `2h`, `7d`.
pub(crate) fn ago(text: &str) -> Result<SystemTime, String> {
    let invalid = || format!("{FORMS}, or a while ago like 90s, 2h or 7d");
    let text = text.trim();
    if let Some(time) = absolute(text) {
        return Ok(time);
    }
    let while_ago = humantime::parse_duration(text.strip_suffix("ago").unwrap_or(text)).map_err(|_| invalid())?;
    let time = SystemTime::now().checked_sub(while_ago).filter(|time| *time >= SystemTime::UNIX_EPOCH);
    time.ok_or_else(|| "that is before the year 1970".to_owned())
}

/// A time, or a while from now: `90s`, `2h`.
pub(crate) fn from_now(text: &str) -> Result<SystemTime, String> {
    let text = text.trim();
    if let Some(time) = absolute(text) {
        return Ok(time);
    }
    let later =
        humantime::parse_duration(text).map_err(|_| format!("{FORMS}, or a while from now like 90s, 2h or 7d"))?;
    // What the wire can say ends with the year 9999.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    SystemTime::now()
        .checked_add(later)
        .filter(|time| *time <= last)
        .ok_or_else(|| "that is after the year 9999".into())
}

/// RFC 3339, without its offset in UTC, and without its time at midnight.
fn absolute(text: &str) -> Option<SystemTime> {
    if text.len() == 10 {
        return humantime::parse_rfc3339_weak(&format!("{text}T00:00:00Z")).ok();
    }
    let (local, offset) = match text.len().checked_sub(6).filter(|at| *at > 10 && text.is_char_boundary(*at)) {
        Some(at) if text[at..].starts_with(['+', '-']) => (&text[..at], Some(&text[at..])),
        _ => (text, None),
    };
    let Some(offset) = offset else { return humantime::parse_rfc3339_weak(local).ok() };
    let (hours, minutes) = offset[1..].split_once(':')?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    if hours > 23 || minutes > 59 || local.ends_with('Z') {
        return None;
    }
    let east = Duration::from_secs(hours * 3_600 + minutes * 60);
    let time = humantime::parse_rfc3339_weak(&format!("{local}Z")).ok()?;
    if offset.starts_with('+') { time.checked_sub(east) } else { time.checked_add(east) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn a_time_is_read_with_and_without_its_parts() {
        for text in
            ["2027-01-31T08:00:00Z", "2027-01-31 08:00:00", "2027-01-31T09:30:00+01:30", "2027-01-31T03:00:00-05:00"]
        {
            assert_eq!(ago(text), Ok(at("2027-01-31T08:00:00Z")), "{text}");
        }
        assert_eq!(ago("2027-01-31"), Ok(at("2027-01-31T00:00:00Z")));
    }

    #[test]
    fn a_while_is_before_or_after_now() {
        let now = SystemTime::now();
        for text in ["2h", "2h ago", " 120m "] {
            let difference = now.duration_since(ago(text).unwrap()).unwrap();
            assert!((7_190..=7_200).contains(&difference.as_secs()), "{text}: {difference:?}");
        }
        assert!(from_now("2h").unwrap() > now);
    }

    #[test]
    fn what_is_no_time_is_refused_with_examples() {
        for text in
            ["", "yesterday", "2027-13-01", "2027-01-31T08:00:00+25:00", "2027-01-31T08:00:00Z+01:00", "7", "éééééééé"]
        {
            assert!(ago(text).is_err_and(|message| message.contains("7d")), "{text}");
        }
        assert!(ago("9999y").is_err_and(|message| message.contains("1970")));
        assert!(from_now("9999y").is_err_and(|message| message.contains("9999")));
    }
}
