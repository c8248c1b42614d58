//! What is deployed, and what may be changed about it.

use durawasm_proto::v1;
use prost::Message as _;

use super::usage::Usage;
use crate::core::versions::WHOLE;

/// Names and versions are short.
const LONGEST_NAME: usize = 256;
/// So is all else that is said of a component; schemas are the largest part of it.
const LONGEST_TEXTS: usize = 1 << 20;
/// All that is said of a hub's deployments. It is one message, which each host gets anew with each change.
const LARGEST_CATALOGUE: usize = 16 << 20;

/// All that is deployed in a hub.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    wire: v1::Deployments,
}

/// A change that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// What was said of a component cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The version is there with another content.
    #[error(
        "component `{name}` version {version} is deployed already with another content (digest {there}, this one has {refused}). What is \
         deployed never changes: give the new component a new version"
    )]
    ChangedContent {
        /// The component.
        name: String,
        /// The version of both.
        version: String,
        /// The digest of the one that stays.
        there: String,
        /// The digest of the one that is refused.
        refused: String,
    },
    /// Another component offers the same.
    #[error(
        "component `{refused}` offers the {what} `{name}` in version {version}, which component `{there}` offers already. Rename one of the \
         two, or give one of the components another version"
    )]
    Ambiguous {
        /// `orchestrator` or `activity`.
        what: &'static str,
        /// What both offer.
        name: String,
        /// The version of both.
        version: String,
        /// The component that stays.
        there: String,
        /// The component that is refused.
        refused: String,
    },
    /// There is no such version.
    #[error("component `{name}` version {version} is not deployed")]
    NotDeployed {
        /// The component.
        name: String,
        /// The version.
        version: String,
    },
    /// Somebody else was faster.
    #[error(
        "the deployments of this hub have changed since they were looked at (revision {seen}, by now {now}): look again, and decide again"
    )]
    Changed {
        /// The revision that was looked at.
        seen: u64,
        /// The revision of the moment.
        now: u64,
    },
    /// A version that is needed is not removed.
    #[error("{0}")]
    InUse(String),
    /// There is no earlier default.
    #[error("{0}")]
    NothingBefore(String),
    /// There is no room.
    #[error(
        "what is said of the components of this hub would have more than {LARGEST_CATALOGUE} bytes: remove versions that nobody needs \
         (`durawasm versions`)"
    )]
    Full,
    /// The bytes of a version are not there: they were not wanted, because they were there when that was decided.
    #[error(
        "component `{name}` version {version} was removed while it was deployed again: deploy it once more, and its bytes are taken"
    )]
    Vanished {
        /// The component.
        name: String,
        /// The version.
        version: String,
    },
}

impl Catalogue {
    /// As it was kept, or as it travels.
    #[must_use]
    pub fn from_wire(wire: v1::Deployments) -> Self {
        Self { wire }
    }

    /// As it is kept, and as it travels.
    #[must_use]
    pub fn wire(&self) -> &v1::Deployments {
        &self.wire
    }

    /// One more change was made.
    pub(super) fn touch(&mut self) {
        self.wire.revision += 1;
    }

    /// Refuses a change that was decided upon something else than what is deployed.
    ///
    /// # Errors
    /// If the revision is not that of the moment.
    pub fn expect(&self, revision: Option<u64>) -> Result<(), Refused> {
        match revision {
            Some(seen) if seen != self.wire.revision => Err(Refused::Changed { seen, now: self.wire.revision }),
            _ => Ok(()),
        }
    }

    /// A version of a component.
    #[must_use]
    pub fn find(&self, name: &str, version: &str) -> Option<&v1::ComponentVersion> {
        self.wire.versions.iter().find(|there| there.name == name && there.version == version)
    }

    fn get(&self, name: &str, version: &str) -> Result<&v1::ComponentVersion, Refused> {
        let missing = || Refused::NotDeployed { name: name.to_owned(), version: version.to_owned() };
        self.find(name, version).ok_or_else(missing)
    }

    /// The version with this digest.
    #[must_use]
    pub fn by_digest(&self, digest: &str) -> Option<&v1::ComponentVersion> {
        self.wire.versions.iter().find(|there| there.digest == digest)
    }

    /// Whether some version has these bytes.
    #[must_use]
    pub(super) fn names(&self, content: &str) -> bool {
        self.wire.versions.iter().any(|there| there.content == content)
    }

    /// Whether a component may be deployed beside what is there. True: it is there already.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self, new: &v1::ComponentVersion) -> Result<bool, Refused> {
        check_form(new)?;
        if self.wire.versions.iter().any(|there| there.digest == new.digest && there.content != new.content) {
            return Err(Refused::Invalid(format!(
                "component `{}` version {} comes with the digest {}, which other bytes have: a digest covers the bytes",
                new.name, new.version, new.digest
            )));
        }
        let there = self.find(&new.name, &new.version);
        let without = self.wire.encoded_len() - there.map_or(0, prost::Message::encoded_len);
        if without + new.encoded_len() > LARGEST_CATALOGUE {
            return Err(Refused::Full);
        }
        if let Some(there) = there {
            if there.digest == new.digest {
                return Ok(true);
            }
            return Err(Refused::ChangedContent {
                name: new.name.clone(),
                version: new.version.clone(),
                there: there.digest.clone(),
                refused: new.digest.clone(),
            });
        }
        for there in self.wire.versions.iter().filter(|there| there.version == new.version) {
            for (what, theirs, ours) in [
                ("orchestrator", &there.orchestrators, &new.orchestrators),
                ("activity", &there.activities, &new.activities),
                ("entity", &there.entities, &new.entities),
            ] {
                if let Some(both) = ours.iter().find(|own| theirs.iter().any(|other| other.name == own.name)) {
                    return Err(Refused::Ambiguous {
                        what,
                        name: both.name.clone(),
                        version: new.version.clone(),
                        there: there.name.clone(),
                        refused: new.name.clone(),
                    });
                }
            }
        }
        Ok(false)
    }

    /// Adds a version, or takes the manifest of one that is there anew: guests see nothing of what may differ. True: it was there.
    ///
    /// # Errors
    /// If it may not stand beside the others.
    pub fn add(&mut self, new: v1::ComponentVersion) -> Result<bool, Refused> {
        let already_there = self.check(&new)?;
        let is_it = |there: &&mut v1::ComponentVersion| there.name == new.name && there.version == new.version;
        match self.wire.versions.iter_mut().find(is_it) {
            Some(there) => there.manifest = new.manifest,
            None => self.wire.versions.push(new),
        }
        Ok(already_there)
    }

    /// Makes a version what a share of the instances of its orchestrators begin on.
    ///
    /// # Errors
    /// If it is not deployed, the share is none, or there is no room.
    pub fn activate(&mut self, name: &str, version: &str, share: u32) -> Result<(), Refused> {
        if share == 0 || share > WHOLE {
            return Err(Refused::Invalid(format!("a share is a number from 1 to {WHOLE}, not {share}")));
        }
        let orchestrators: Vec<String> =
            self.get(name, version)?.orchestrators.iter().map(|definition| definition.name.clone()).collect();
        let before = self.wire.defaults.clone();
        for orchestrator in orchestrators {
            let defaults = &mut self.wire.defaults;
            let at = match defaults.binary_search_by(|default| default.name.as_str().cmp(&orchestrator)) {
                Ok(at) => at,
                Err(at) => {
                    // Of nothing, a share is all.
                    let default = v1::OrchestratorDefault {
                        name: orchestrator,
                        version: version.to_owned(),
                        ..Default::default()
                    };
                    defaults.insert(at, default);
                    continue;
                }
            };
            let default = &mut defaults[at];
            if default.version == version {
                // It has more than its share already; another canary beside it ends.
                (default.canary, default.canary_share) = (String::new(), 0);
            } else if share < WHOLE {
                (default.canary, default.canary_share) = (version.to_owned(), share);
            } else {
                default.previous = std::mem::replace(&mut default.version, version.to_owned());
                (default.canary, default.canary_share) = (String::new(), 0);
            }
        }
        if self.wire.encoded_len() > LARGEST_CATALOGUE {
            self.wire.defaults = before;
            return Err(Refused::Full);
        }
        Ok(())
    }

    /// Ends the canaries of a component; without one, its orchestrators begin on what they began on before.
    ///
    /// # Errors
    /// If there is nothing to go back to.
    pub fn roll_back(&mut self, name: &str) -> Result<(), Refused> {
        let has = |version: &str, orchestrator: &str, wire: &v1::Deployments| {
            wire.versions.iter().any(|there| {
                there.name == name
                    && there.version == version
                    && there.orchestrators.iter().any(|definition| definition.name == orchestrator)
            })
        };
        if !self.wire.versions.iter().any(|there| there.name == name) {
            return Err(Refused::NotDeployed { name: name.to_owned(), version: "(any)".to_owned() });
        }
        let before = self.wire.clone();
        let mut changed = false;
        for default in &mut self.wire.defaults {
            if default.canary_share > 0 && has(&default.canary, &default.name, &before) {
                (default.canary, default.canary_share) = (String::new(), 0);
                changed = true;
            }
        }
        if changed {
            return Ok(());
        }
        for default in &mut self.wire.defaults {
            if !default.previous.is_empty() && has(&default.version, &default.name, &before) {
                std::mem::swap(&mut default.version, &mut default.previous);
                changed = true;
            }
        }
        match changed {
            true => Ok(()),
            false => Err(Refused::NothingBefore(format!(
                "component `{name}` has neither a canary to end nor an earlier default version to go back to"
            ))),
        }
    }

    /// Removes a version.
    ///
    /// # Errors
    /// If it is not deployed; or, unless `force`, if it is needed.
    pub fn remove(&mut self, name: &str, version: &str, usage: &Usage, force: bool) -> Result<(), Refused> {
        let there = self.get(name, version)?;
        if !force {
            self.refuse_what_is_needed(there, usage)?;
        }
        let orchestrators: Vec<String> = there.orchestrators.iter().map(|d| d.name.clone()).collect();
        self.wire.versions.retain(|there| !(there.name == name && there.version == version));
        for default in self.wire.defaults.iter_mut().filter(|default| orchestrators.contains(&default.name)) {
            if default.previous == version {
                default.previous = String::new();
            }
            if default.canary == version {
                (default.canary, default.canary_share) = (String::new(), 0);
            }
        }
        self.wire.defaults.retain(|default| !(default.version == version && orchestrators.contains(&default.name)));
        Ok(())
    }
}

fn check_form(new: &v1::ComponentVersion) -> Result<(), Refused> {
    let invalid = |text: String| Err(Refused::Invalid(text));
    for (what, text) in [("name", &new.name), ("version", &new.version)] {
        if text.is_empty() || text.len() > LONGEST_NAME || text.chars().any(char::is_control) {
            return invalid(format!("a component's {what} has 1 to {LONGEST_NAME} bytes and no control characters"));
        }
    }
    for (what, text) in [("digest", &new.digest), ("content", &new.content)] {
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return invalid(format!("the {what} of component `{}` is no SHA-256 in hexadecimal", new.name));
        }
    }
    if new.encoded_len() > LONGEST_TEXTS {
        return invalid(format!("what is said of component `{}` has more than {LONGEST_TEXTS} bytes", new.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
