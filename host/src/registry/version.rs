//! Versions and their order.

use std::cmp::Ordering;

/// A component's version. Any text is one. Numbers (semantic versions, and two to four numbers with dots between them) are ordered as such and
/// come after all other texts, which are ordered as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    text: String,
    number: Option<Number>,
}

/// Up to four numbers, and what comes before a release. A number that is not written comes before all that are, as in .NET.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Number {
    parts: [Option<u64>; 4],
    pre_release: semver::Prerelease,
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(semver::Version { major, minor, patch, pre: pre_release, build: _ }) = semver::Version::parse(text) {
            return Some(Self { parts: [Some(major), Some(minor), Some(patch), None], pre_release });
        }
        let mut parts = [None; 4];
        let mut count = 0;
        for part in text.split('.') {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            *parts.get_mut(count)? = Some(part.parse().ok()?);
            count += 1;
        }
        (count > 1).then_some(Self { parts, pre_release: semver::Prerelease::EMPTY })
    }
}

impl Version {
    /// Any text is a version.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), number: Number::parse(text.trim()) }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The order in which the SDKs' version strategies see two versions: none comes first; numbers are compared as such; if one of the two
    /// is no number, as text whatever the case. It is an order of two, not of many, because
    /// the same version is compared with one as a number and with another as text.
    pub fn compare(&self, other: &Self) -> Ordering {
        let blank = |version: &Self| version.text.trim().is_empty();
        match (blank(self), blank(other), &self.number, &other.number) {
            (true, true, ..) => Ordering::Equal,
            (true, false, ..) => Ordering::Less,
            (false, true, ..) => Ordering::Greater,
            (_, _, Some(number), Some(other)) => number.cmp(other),
            _ => self.text.to_uppercase().cmp(&other.text.to_uppercase()),
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number).then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_as_such_and_come_last() {
        let mut versions: Vec<_> =
            ["1.10.0", "1.9.0", "beta", "1.10.0-rc.1", "alpha", "2.0.0", "1.10", "1.9", "1.9.0.7", "1", "1.2.3.4.5"]
                .into_iter()
                .map(Version::new)
                .collect();
        versions.sort();
        let versions: Vec<_> = versions.iter().map(Version::as_str).collect();
        assert_eq!(
            versions,
            ["1", "1.2.3.4.5", "alpha", "beta", "1.9", "1.9.0", "1.9.0.7", "1.10", "1.10.0-rc.1", "1.10.0", "2.0.0"]
        );
    }

    #[test]
    fn two_versions_are_compared_as_the_sdks_compare_them() {
        use Ordering::{Equal, Greater, Less};
        for (a, b, order) in [
            ("", "", Equal),
            (" ", "", Equal),
            ("", "0.1", Less),
            ("1.10.0", "1.9.0", Greater),
            ("1.10", "1.9", Greater),
            ("2.0", "1.9.9.9", Greater),
            ("1.0", "1.0.0", Less),
            ("1.0.0-rc.1", "1.0.0", Less),
            ("1.0.0+a", "1.0.0+b", Equal),
            ("beta", "BETA", Equal),
            ("Beta", "alpha", Greater),
            ("v10", "v9", Less),
            ("1.10.0", "one", Less),
        ] {
            let (left, right) = (Version::new(a), Version::new(b));
            assert_eq!((left.compare(&right), right.compare(&left)), (order, order.reverse()), "{a} {b}");
        }
    }
}
