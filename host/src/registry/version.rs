//! Versions and their order.

use std::cmp::Ordering;

/// A component's version. Semantic versions are ordered as such, and come after all others; others as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    text: String,
    semantic: Option<semver::Version>,
}

impl Version {
    /// Any text is a version.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), semantic: semver::Version::parse(text).ok() }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.semantic.cmp(&other.semantic).then_with(|| self.text.cmp(&other.text))
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
    fn semantic_versions_are_ordered_as_such_and_come_last() {
        let mut versions: Vec<_> =
            ["1.10.0", "1.9.0", "beta", "1.10.0-rc.1", "alpha", "2.0.0"].into_iter().map(Version::new).collect();
        versions.sort();
        let versions: Vec<_> = versions.iter().map(Version::as_str).collect();
        assert_eq!(versions, ["alpha", "beta", "1.9.0", "1.10.0-rc.1", "1.10.0", "2.0.0"]);
    }
}
