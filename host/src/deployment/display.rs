//! Requests, bounds and grants for people and tools: one line a key, and the difference of two.
//!
//! Secrets appear by name and source. Their values are never here: what is shown is made of what was written.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::grant::Grant;
use super::limits::LimitRequests;
use super::manifest::{Capabilities, HttpAccess, Manifest, SecretSource, VariableName};
use super::policy::Bounds;
use super::versioning::Versioning;

/// One thing that is asked for, allowed or granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The key in a manifest, dotted.
    pub key: String,
    /// What there is at this key.
    pub value: String,
    /// Whether the key is a list, of which this is one item.
    #[serde(skip)]
    listed: bool,
}

impl Entry {
    fn new(key: impl Into<String>, value: impl fmt::Display) -> Self {
        Self { key: key.into(), value: value.to_string(), listed: false }
    }

    fn item(key: impl Into<String>, value: impl fmt::Display) -> Self {
        Self { listed: true, ..Self::new(key, value) }
    }
}

/// How one grant differs from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "change")]
pub enum Change {
    /// It is new.
    Added(Entry),
    /// It is gone.
    Removed(Entry),
    /// It is there with another value.
    Changed {
        /// The key in a manifest, dotted.
        key: String,
        /// What was there.
        from: String,
        /// What is there now.
        to: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(Entry { key, value, .. }) => write!(f, "+ {key} = {value}"),
            Self::Removed(Entry { key, value, .. }) => write!(f, "- {key} = {value}"),
            Self::Changed { key, from, to } => write!(f, "~ {key} = {from} -> {to}"),
        }
    }
}

/// What must change in `from` to make `to` of it, in the order of the keys.
pub fn changes(from: &[Entry], to: &[Entry]) -> Vec<Change> {
    type Identity<'a> = (&'a str, Option<&'a str>);
    fn index(entries: &[Entry]) -> BTreeMap<Identity<'_>, &Entry> {
        entries.iter().map(|entry| ((entry.key.as_str(), entry.listed.then_some(&*entry.value)), entry)).collect()
    }
    let (before, after) = (index(from), index(to));
    let mut changes: BTreeMap<Identity<'_>, Change> = BTreeMap::new();
    for (identity, old) in &before {
        match after.get(identity) {
            None => {
                changes.insert(*identity, Change::Removed((*old).clone()));
            }
            Some(new) if new.value != old.value => {
                let (key, from, to) = (old.key.clone(), old.value.clone(), new.value.clone());
                changes.insert(*identity, Change::Changed { key, from, to });
            }
            Some(_) => {}
        }
    }
    for (identity, new) in after.iter().filter(|(identity, _)| !before.contains_key(*identity)) {
        changes.insert(*identity, Change::Added((*new).clone()));
    }
    changes.into_values().collect()
}

impl Manifest {
    /// What is asked for.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        versioning(&self.versioning, &mut entries);
        variables(&self.environment, &self.secrets, &mut entries);
        let Capabilities { clocks, random, http, folders } = &self.capabilities;
        switches(*clocks, *random, &mut entries);
        servers(http.as_ref(), &mut entries);
        for folder in folders {
            entries.push(Entry::item("capabilities.folders", folder));
        }
        limits(&self.limits, "", &mut entries);
        entries
    }
}

impl Bounds {
    /// What may be asked for.
    pub fn entries(&self) -> Vec<Entry> {
        let strategies = self.strategies.iter().flatten();
        let mut entries: Vec<Entry> = strategies.map(|strategy| Entry::item("versioning.strategy", strategy)).collect();
        entries.push(Entry::new("environment", yes_or_no(self.environment)));
        let secrets = self.secrets.env.iter().map(|name| format!("the host's environment variable {name}"));
        let files = self.secrets.files.iter().map(|path| format!("the file {path}, or what is below it"));
        entries.extend(secrets.chain(files).map(|source| Entry::item("secrets", source)));
        entries.push(Entry::new("capabilities.clocks", yes_or_no(self.clocks)));
        entries.push(Entry::new("capabilities.random", yes_or_no(self.random)));
        servers(self.http.as_ref(), &mut entries);
        for bound in &self.folders {
            let folder = format!("{} and what is below it ({})", bound.host, bound.access);
            entries.push(Entry::item("capabilities.folders", folder));
        }
        limits(&self.limits, "at most ", &mut entries);
        entries
    }
}

impl Grant {
    /// What is granted, and the limits.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        versioning(&self.versioning, &mut entries);
        variables(&self.environment, &self.secrets, &mut entries);
        switches(self.clocks, self.random, &mut entries);
        servers(self.http.as_ref(), &mut entries);
        for folder in &self.folders {
            entries.push(Entry::item("capabilities.folders", folder));
        }
        limits(&LimitRequests::of(&self.limits), "", &mut entries);
        entries
    }
}

/// The default says nothing.
fn versioning(versioning: &Versioning, entries: &mut Vec<Entry>) {
    let Some(on_mismatch) = versioning.mismatch() else { return };
    entries.push(Entry::new("versioning.strategy", versioning.strategy));
    entries.push(Entry::new("versioning.on-mismatch", on_mismatch));
    entries
        .extend(versioning.default_version.as_ref().map(|version| Entry::new("versioning.default-version", version)));
}

fn variables(
    environment: &BTreeMap<VariableName, String>,
    secrets: &BTreeMap<VariableName, SecretSource>,
    entries: &mut Vec<Entry>,
) {
    entries.extend(environment.iter().map(|(name, value)| Entry::new(format!("environment.{name}"), value)));
    entries.extend(secrets.iter().map(|(name, source)| Entry::new(format!("secrets.{name}"), source)));
}

fn switches(clocks: bool, random: bool, entries: &mut Vec<Entry>) {
    let switches = [("capabilities.clocks", clocks), ("capabilities.random", random)];
    entries.extend(switches.iter().filter(|(_, on)| *on).map(|(key, on)| Entry::new(*key, yes_or_no(*on))));
}

fn servers(http: Option<&HttpAccess>, entries: &mut Vec<Entry>) {
    let Some(http) = http else { return };
    entries.extend(http.hosts.iter().map(|host| Entry::item("capabilities.http.hosts", host)));
    if http.private {
        entries.push(Entry::new("capabilities.http.private", yes_or_no(true)));
    }
}

fn limits(limits: &LimitRequests, before: &str, entries: &mut Vec<Entry>) {
    let roles = [("orchestrator", limits.orchestrator), ("activity", limits.activity), ("entity", limits.entity)];
    for (role, limits) in roles {
        for (name, value) in limits.shown() {
            entries.push(Entry::new(format!("limits.{role}.{name}"), format_args!("{before}{value}")));
        }
    }
}

fn yes_or_no(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

impl fmt::Display for super::Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {} ({})", self.guest, self.host, self.access)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::deployment::{Policy, Terms};
    use crate::sandbox::SandboxLimits;

    fn grant(manifest: &str) -> Grant {
        let terms = Terms { policy: Arc::new(Policy::unbounded()), limits: SandboxLimits::default() };
        Grant::new("shop", &Manifest::parse(manifest).unwrap(), &terms).unwrap()
    }

    fn difference(from: &str, to: &str) -> Vec<String> {
        changes(&grant(from).entries(), &grant(to).entries()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_grant_is_shown_one_line_a_key() {
        let shown: Vec<String> = grant(
            "[environment]\nA = \"1\"\n[secrets]\nKEY = { env = \"X\" }\n[capabilities]\nclocks = true\n\
             [capabilities.http]\nhosts = [\"a.example\", \"b.example:*\"]\nprivate = true\n\
             [[capabilities.folders]]\nhost = \"/srv\"\nguest = \"/data\"\naccess = \"read\"",
        )
        .entries()
        .iter()
        .filter(|entry| !entry.key.starts_with("limits."))
        .map(|entry| format!("{} = {}", entry.key, entry.value))
        .collect();
        assert_eq!(
            shown,
            [
                "environment.A = 1",
                "secrets.KEY = the host's environment variable X",
                "capabilities.clocks = yes",
                "capabilities.http.hosts = https://a.example",
                "capabilities.http.hosts = https://b.example:*",
                "capabilities.http.private = yes",
                "capabilities.folders = /data from /srv (read)",
            ]
        );
    }

    #[test]
    fn the_same_grant_has_no_changes() {
        assert!(difference("[capabilities]\nclocks = true", "[capabilities]\nclocks = true").is_empty());
    }

    #[test]
    fn what_is_added_removed_and_changed_is_told_key_by_key() {
        let from = "[environment]\nA = \"1\"\nB = \"2\"\n[capabilities]\nclocks = true\n\
                    [capabilities.http]\nhosts = [\"a.example\", \"b.example\"]";
        let to = "[environment]\nA = \"1\"\nB = \"3\"\n[capabilities]\nrandom = true\n\
                  [capabilities.http]\nhosts = [\"b.example\", \"c.example\"]\n[limits.activity]\nmemory = \"1 GiB\"";
        assert_eq!(
            difference(from, to),
            [
                "- capabilities.clocks = yes",
                "- capabilities.http.hosts = https://a.example",
                "+ capabilities.http.hosts = https://c.example",
                "+ capabilities.random = yes",
                "~ environment.B = 2 -> 3",
                "~ limits.activity.memory = 256 MiB -> 1 GiB",
            ]
        );
    }

    #[test]
    fn changes_are_data_for_tools() {
        let changes = changes(&[], &grant("[environment]\nA = \"1\"").entries()[..1]);
        let json = serde_json::to_string(&changes).unwrap();
        assert_eq!(json, r#"[{"change":"added","key":"environment.A","value":"1"}]"#);
    }
}
