//! What a version of a component makes of instances that began on another version.
//!
//! By default nothing: an instance runs on its own version, or waits for it. The strategies of the Durable Task SDKs are there to opt into,
//! for code that branches on the instance's version itself: their names, what each of them takes, and what becomes of an instance that
//! it does not take are those of the SDKs' worker options.

use std::fmt;

use serde::Deserialize;

use super::document::DocumentError;
use crate::registry::Version;

/// What a version of a component makes of instances that began on another version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Versioning {
    /// Which instances it takes.
    pub strategy: MatchStrategy,
    /// What becomes of those that it does not take, if nobody here does. Only for strategies of the SDKs; none: `reject`.
    pub on_mismatch: Option<OnMismatch>,
    /// The version of children that are started without one, and of instances in hubs without a default. Only for strategies of the SDKs.
    pub default_version: Option<String>,
}

/// Which instances a version of a component takes. Its own always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatchStrategy {
    /// Those of its own version, and those without one. All others wait for their version.
    #[default]
    Exact,
    /// All.
    None,
    /// Those of its own version; not those without one.
    Strict,
    /// Those of its own version, of older ones, and without one.
    CurrentOrOlder,
}

impl fmt::Display for MatchStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::None => "none",
            Self::Strict => "strict",
            Self::CurrentOrOlder => "current-or-older",
        })
    }
}

/// What becomes of an instance that no version here takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnMismatch {
    /// It goes back to the scheduler, for another host.
    #[default]
    Reject,
    /// It fails.
    Fail,
}

impl fmt::Display for OnMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reject => "reject",
            Self::Fail => "fail",
        })
    }
}

impl Versioning {
    /// What no single key can be blamed for.
    pub(super) fn check(&self) -> Result<(), DocumentError> {
        if self.strategy != MatchStrategy::Exact {
            return match self.default_version.as_deref() {
                Some("") => Err(DocumentError::of_key("versioning.default-version", "it is empty; leave it out")),
                _ => Ok(()),
            };
        }
        let key = match self {
            Self { on_mismatch: Some(_), .. } => "versioning.on-mismatch",
            Self { default_version: Some(_), .. } => "versioning.default-version",
            _ => return Ok(()),
        };
        Err(DocumentError::of_key(
            key,
            "with the strategy `exact` an instance waits for its own version, and defaults are set by deployments; \
             leave it out, or choose the strategy `none`, `strict` or `current-or-older`",
        ))
    }

    /// What becomes of those that are not taken, if the strategy has a say in it.
    pub fn mismatch(&self) -> Option<OnMismatch> {
        (self.strategy != MatchStrategy::Exact).then(|| self.on_mismatch.unwrap_or_default())
    }

    /// Whether a component of this version takes an instance of that one; the empty text stands for an instance without a version.
    pub fn takes(&self, own: &Version, instance: &str) -> bool {
        let order = own.compare(&Version::new(instance));
        match self.strategy {
            MatchStrategy::None => true,
            MatchStrategy::Exact => instance.is_empty() || own.as_str() == instance,
            MatchStrategy::Strict => order.is_eq(),
            MatchStrategy::CurrentOrOlder => order.is_ge(),
        }
    }

    /// Whether it takes instances of versions that cannot be listed.
    pub fn takes_unlisted(&self) -> bool {
        matches!(self.strategy, MatchStrategy::None | MatchStrategy::CurrentOrOlder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scenarios of the SDKs' documentation: a worker of version 2.0.0, and an instance of its version, of an older and a newer one,
    /// and without one.
    const INSTANCES: [&str; 4] = ["2.0.0", "1.0.0", "3.0.0", ""];

    fn takes(strategy: MatchStrategy) -> [bool; 4] {
        let versioning = Versioning { strategy, ..Versioning::default() };
        INSTANCES.map(|instance| versioning.takes(&Version::new("2.0.0"), instance))
    }

    #[test]
    fn each_strategy_takes_what_the_sdks_say_that_it_takes() {
        assert_eq!(takes(MatchStrategy::None), [true, true, true, true]);
        assert_eq!(takes(MatchStrategy::Strict), [true, false, false, false]);
        assert_eq!(takes(MatchStrategy::CurrentOrOlder), [true, true, false, true]);
        assert_eq!(takes(MatchStrategy::Exact), [true, false, false, true]);
    }

    #[test]
    fn settings_that_exact_has_no_use_for_are_refused() {
        let fail = Versioning { on_mismatch: Some(OnMismatch::Fail), ..Versioning::default() };
        assert!(fail.check().unwrap_err().to_string().contains("`versioning.on-mismatch`"));
        let default = Versioning { default_version: Some("1".to_owned()), ..Versioning::default() };
        assert!(default.check().unwrap_err().to_string().contains("`versioning.default-version`"));
        assert!(Versioning { strategy: MatchStrategy::Strict, ..fail }.check().is_ok());
        let empty = Versioning { default_version: Some(String::new()), ..Versioning::default() };
        assert!(Versioning { strategy: MatchStrategy::None, ..empty }.check().is_err());
        assert_eq!(Versioning::default().mismatch(), None);
        let none = Versioning { strategy: MatchStrategy::None, ..Versioning::default() };
        assert_eq!(none.mismatch(), Some(OnMismatch::Reject), "as with the SDKs");
    }
}
