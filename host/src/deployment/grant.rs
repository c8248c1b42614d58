//! The request within the policy: what a component gets.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::Terms;
use super::manifest::{Folder, HttpAccess, Manifest, SecretSource, VariableName};
use super::policy::Bounds;
use super::versioning::Versioning;
use crate::sandbox::SandboxLimits;

/// What a component gets. Made from a manifest by [`Grant::new`]; the default is nothing but default limits.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// What it makes of instances that began on another version.
    pub versioning: Versioning,
    /// Variables that all roles see.
    pub environment: BTreeMap<VariableName, String>,
    /// Variables that activities and entities see, and where they come from.
    pub secrets: BTreeMap<VariableName, SecretSource>,
    /// Whether activities and entities have real clocks.
    pub clocks: bool,
    /// Whether activities and entities have real random numbers.
    pub random: bool,
    /// Which servers activities and entities can call.
    pub http: Option<HttpAccess>,
    /// Which folders activities and entities have.
    pub folders: Vec<Folder>,
    /// What guests may use up.
    pub limits: SandboxLimits,
}

/// One request beyond the policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedRequest {
    /// The key of the manifest.
    pub key: String,
    /// What it asks for.
    pub requested: String,
    /// What the policy allows.
    pub allowed: String,
}

impl RefusedRequest {
    pub(super) fn new(key: impl Into<String>, requested: impl fmt::Display, allowed: impl Into<String>) -> Self {
        Self { key: key.into(), requested: requested.to_string(), allowed: allowed.into() }
    }
}

/// A component that asks for more than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The component.
    pub component: String,
    /// The policy's file; none for the policy of a host without one.
    pub policy: Option<PathBuf>,
    /// What it may not ask for; never empty.
    pub requests: Vec<RefusedRequest>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "component `{}` asks for more than ", self.component)?;
        match &self.policy {
            Some(path) => write!(f, "the policy {} allows", path.display())?,
            None => write!(f, "the default policy allows")?,
        }
        for RefusedRequest { key, requested, allowed } in &self.requests {
            write!(f, "\n  `{key}` asks for {requested}; allowed: {allowed}")?;
        }
        match &self.policy {
            Some(_) => {
                write!(f, "\nAllow it in the policy, under [components.{}] or [default], ", toml_key(&self.component))?;
            }
            None => write!(f, "\nStart the host with a policy that allows it (--policy FILE), ")?,
        }
        write!(f, "or take it out of the component's manifest")
    }
}

impl std::error::Error for Refusal {}

/// Something that was granted and is not there: a secret, a folder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what its manifest names under `{key}` is not there: {problem}. {remedy}")]
pub struct Unavailable {
    /// The key in the manifest.
    key: String,
    problem: String,
    remedy: &'static str,
}

impl Unavailable {
    /// What is named under this key of the manifest has this problem, which is mended so.
    pub fn new(key: impl Into<String>, problem: impl fmt::Display, remedy: &'static str) -> Self {
        Self { key: key.into(), problem: problem.to_string(), remedy }
    }
}

/// A name as a key of TOML.
fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { name.to_owned() } else { format!("{name:?}") }
}

impl Grant {
    /// What `component` gets that asks for this on these terms.
    pub fn new(component: &str, manifest: &Manifest, terms: &Terms) -> Result<Self, Refusal> {
        let bounds = terms.policy.bounds(component);
        let mut requests = Vec::new();
        refuse_capabilities(manifest, &bounds, &mut requests);
        let limits = manifest.limits.settle(&bounds.limits, terms.limits, &mut requests);
        if !requests.is_empty() {
            let policy = terms.policy.path().map(ToOwned::to_owned);
            return Err(Refusal { component: component.to_owned(), policy, requests });
        }
        let capabilities = &manifest.capabilities;
        Ok(Self {
            versioning: manifest.versioning.clone(),
            environment: manifest.environment.clone(),
            secrets: manifest.secrets.clone(),
            clocks: capabilities.clocks,
            random: capabilities.random,
            http: capabilities.http.clone(),
            folders: capabilities.folders.clone(),
            limits,
        })
    }

    /// Whether activities are functions of their context and input and of nothing else. The environment does not count: it
    /// is part of the component's digest.
    pub fn is_pure(&self) -> bool {
        let Self { versioning: _, environment: _, secrets, clocks, random, http, folders, limits: _ } = self;
        secrets.is_empty() && !clocks && !random && http.is_none() && folders.is_empty()
    }
}

fn refuse_capabilities(manifest: &Manifest, bounds: &Bounds, refused: &mut Vec<RefusedRequest>) {
    let Manifest { component: _, version: _, versioning, environment, secrets, capabilities, limits: _ } = manifest;
    let mut refuse = |key: String, requested: &dyn fmt::Display, allowed: String| {
        refused.push(RefusedRequest::new(key, requested, allowed));
    };
    if let Some(strategies) = &bounds.strategies
        && !strategies.contains(&versioning.strategy)
    {
        refuse("versioning.strategy".to_owned(), &versioning.strategy, listed(strategies));
    }
    if !bounds.environment && !environment.is_empty() {
        let names: Vec<&str> = environment.keys().map(VariableName::as_str).collect();
        refuse("environment".to_owned(), &names.join(", "), "no variables".to_owned());
    }
    for (name, source) in secrets.iter().filter(|(_, source)| !bounds.secrets.allow(source)) {
        let allowed = match source {
            SecretSource::Env(_) => listed(&bounds.secrets.env),
            SecretSource::File(_) => listed(&bounds.secrets.files),
        };
        refuse(format!("secrets.{name}"), source, allowed);
    }
    for (key, wanted, allowed) in
        [("clocks", capabilities.clocks, bounds.clocks), ("random", capabilities.random, bounds.random)]
    {
        if wanted && !allowed {
            refuse(format!("capabilities.{key}"), &"true", "false".to_owned());
        }
    }
    if let Some(http) = &capabilities.http {
        let hosts = bounds.http.as_ref().map_or(&[][..], |http| &http.hosts);
        for host in http.hosts.iter().filter(|host| !hosts.iter().any(|allowed| allowed.covers(host))) {
            refuse("capabilities.http.hosts".to_owned(), host, listed(hosts));
        }
        // Where no host is allowed, this is no news.
        if http.private && bounds.http.as_ref().is_some_and(|bound| !bound.private) {
            refuse("capabilities.http.private".to_owned(), &"true", "false".to_owned());
        }
    }
    for (index, folder) in capabilities.folders.iter().enumerate() {
        let fits = |bound: &&super::FolderBound| bound.host.contains(&folder.host) && bound.access >= folder.access;
        if bounds.folders.iter().find(fits).is_none() {
            let allowed: Vec<_> =
                bounds.folders.iter().map(|bound| format!("{} ({})", bound.host, bound.access)).collect();
            let requested = format!("{} ({})", folder.host, folder.access);
            refuse(format!("capabilities.folders[{index}]"), &requested, listed(&allowed));
        }
    }
}

fn listed<T: fmt::Display>(items: &[T]) -> String {
    match items {
        [] => "none".to_owned(),
        items => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::deployment::Policy;

    fn grant(manifest: &str, policy: &str) -> Result<Grant, Refusal> {
        let terms = Terms { policy: Arc::new(Policy::parse(policy).unwrap()), limits: SandboxLimits::default() };
        Grant::new("shop", &Manifest::parse(manifest).unwrap(), &terms)
    }

    fn refused(manifest: &str, policy: &str) -> Vec<String> {
        grant(manifest, policy).unwrap_err().requests.into_iter().map(|request| request.key).collect()
    }

    const HTTP: &str = "[capabilities.http]\nhosts = [\"api.example.com\", \"*.b.example\"]\n";

    #[test]
    fn the_default_policy_grants_environment_clocks_and_random_and_refuses_the_rest() {
        let granted = grant("[environment]\nA = \"1\"\n[capabilities]\nclocks = true\nrandom = true", "").unwrap();
        assert!(granted.clocks && granted.random && granted.environment.len() == 1);
        let folder = "[[capabilities.folders]]\nhost = \"/a\"\nguest = \"/a\"\naccess = \"read\"\n";
        let secret = "[secrets]\nA = { env = \"A\" }\n";
        assert_eq!(
            refused(&format!("{secret}{HTTP}{folder}"), ""),
            ["secrets.A", "capabilities.http.hosts", "capabilities.http.hosts", "capabilities.folders[0]"]
        );
    }

    #[test]
    fn hosts_must_be_covered_one_by_one_and_private_addresses_be_allowed() {
        assert!(grant(HTTP, "[default.http]\nhosts = [\"*\"]").is_ok());
        assert!(grant(HTTP, "[default.http]\nhosts = [\"*.example.com\", \"*.b.example\"]").is_ok());
        let error = grant(HTTP, "[default.http]\nhosts = [\"*.example.com\", \"x.b.example\"]").unwrap_err();
        assert_eq!(error.requests.len(), 1);
        assert_eq!(error.requests[0].requested, "https://*.b.example");
        assert_eq!(error.requests[0].allowed, "https://*.example.com, https://x.b.example");
        let private = format!("{HTTP}private = true");
        assert_eq!(refused(&private, "[default.http]\nhosts = [\"*\"]"), ["capabilities.http.private"]);
        assert!(grant(&private, "[default.http]\nhosts = [\"*\"]\nprivate = true").is_ok());
    }

    #[test]
    fn folders_must_lie_within_allowed_ones_with_no_more_access() {
        let folder = |access: &str| {
            format!("[[capabilities.folders]]\nhost = \"/srv/a/b\"\nguest = \"/a\"\naccess = \"{access}\"\n")
        };
        let read = "[[default.folders]]\nhost = \"/srv/a\"\naccess = \"read\"";
        let write = "[[default.folders]]\nhost = \"/srv/a/b\"\naccess = \"read-write\"";
        assert!(grant(&folder("read"), read).is_ok() && grant(&folder("read"), write).is_ok());
        assert!(grant(&folder("read-write"), write).is_ok());
        assert_eq!(refused(&folder("read-write"), read), ["capabilities.folders[0]"]);
        assert!(grant(&folder("read"), "[[default.folders]]\nhost = \"/srv/other\"\naccess = \"read\"").is_err());
    }

    #[test]
    fn a_component_s_own_section_can_give_and_take() {
        let policy = "[default]\nrandom = false\n[components.shop]\nrandom = true\nclocks = false";
        assert!(grant("[capabilities]\nrandom = true", policy).is_ok());
        assert_eq!(refused("[capabilities]\nclocks = true", policy), ["capabilities.clocks"]);
    }

    #[test]
    fn strategies_can_be_bounded() {
        let older = "[versioning]\nstrategy = \"current-or-older\"";
        assert!(grant(older, "").is_ok());
        let policy = "[default]\nstrategies = [\"exact\", \"strict\"]";
        assert_eq!(refused(older, policy), ["versioning.strategy"]);
        assert!(grant("", policy).is_ok());
        assert!(grant(older, &format!("{policy}\n[components.shop]\nstrategies = [\"current-or-older\"]")).is_ok());
    }

    #[test]
    fn a_refusal_says_what_to_change_and_where() {
        let error = grant(HTTP, "").unwrap_err().to_string();
        assert!(error.contains("`capabilities.http.hosts` asks for https://api.example.com; allowed: none"), "{error}");
        assert!(error.contains("--policy"), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let terms = Terms { policy: Arc::new(Policy::read(file.path()).unwrap()), limits: SandboxLimits::default() };
        let error = Grant::new("my shop", &Manifest::parse(HTTP).unwrap(), &terms).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
        assert!(error.contains("[components.\"my shop\"]"), "{error}");
    }

    #[test]
    fn activities_are_pure_exactly_if_nothing_is_granted_that_can_differ() {
        assert!(grant("", "").unwrap().is_pure());
        assert!(grant("[environment]\nA = \"1\"\n[limits.activity]\nmemory = \"1 MiB\"", "").unwrap().is_pure());
        for impure in ["[capabilities]\nclocks = true", "[capabilities]\nrandom = true"] {
            assert!(!grant(impure, "").unwrap().is_pure(), "{impure}");
        }
        assert!(!grant(HTTP, "[default.http]\nhosts = [\"*\"]").unwrap().is_pure());
        assert!(!grant("[secrets]\nA = { env = \"A\" }", "[default.secrets]\nenv = [\"*\"]").unwrap().is_pure());
    }

    #[test]
    fn the_unbounded_policy_refuses_nothing() {
        let everything = format!(
            "[environment]\nE = \"1\"\n[secrets]\nA = {{ env = \"A\" }}\nB = {{ file = \"/b\" }}\n\
             [limits.activity]\nmemory = \"100 GiB\"\ndeadline = \"2h\"\n[capabilities]\nclocks = true\nrandom = true\n\
             {HTTP}private = true\n[[capabilities.folders]]\nhost = \"/\"\nguest = \"/\"\naccess = \"read-write\"\n"
        );
        let terms = Terms { policy: Arc::new(Policy::unbounded()), limits: SandboxLimits::default() };
        let granted = Grant::new("shop", &Manifest::parse(&everything).unwrap(), &terms).unwrap();
        assert_eq!(granted.limits.activity.memory, 100 << 30);
    }
}
