//! What the operator of a host lets components ask for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::document::{self, DocumentError};
use super::hosts::HostPattern;
use super::limits::LimitRequests;
use super::manifest::{Access, HttpAccess, SecretSource};
use super::paths::FolderPath;
use super::versioning::MatchStrategy;

/// What components may ask for: by default, and one by one. The default policy is that of a host without a policy file:
/// environment, clocks and random numbers may be asked for; HTTP, folders and secrets may not; limits may be lowered.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    document: Document,
    path: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    default: Section,
    components: BTreeMap<String, Section>,
}

/// What one section says. What it does not say is taken from the next one: component, default, built in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    environment: Option<bool>,
    clocks: Option<bool>,
    random: Option<bool>,
    http: Option<HttpAccess>,
    secrets: Option<SecretBounds>,
    folders: Option<Vec<FolderBound>>,
    strategies: Option<Vec<MatchStrategy>>,
    limits: LimitRequests,
}

/// What one component may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Environment variables.
    pub environment: bool,
    /// Real clocks.
    pub clocks: bool,
    /// Real random numbers.
    pub random: bool,
    /// The servers, if any.
    pub http: Option<HttpAccess>,
    /// The secrets.
    pub secrets: SecretBounds,
    /// The folders, each with all that lies below it.
    pub folders: Vec<FolderBound>,
    /// What it may make of instances of other versions; none: whatever it likes.
    pub strategies: Option<Vec<MatchStrategy>>,
    /// The most that guests may use up. What is not said here is the host's own limit.
    pub limits: LimitRequests,
}

/// Which secrets of the host a component may name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretBounds {
    /// Variables of the host's environment. `SHOP_*` stands for all that begin with `SHOP_`.
    pub env: Vec<String>,
    /// Files, or folders with all that lies below them.
    pub files: Vec<FolderPath>,
}

/// A folder that may be asked for, with all that lies below it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FolderBound {
    /// Where it is on the machine.
    pub host: FolderPath,
    /// What may be done there at most.
    pub access: Access,
}

impl SecretBounds {
    /// Whether this secret may be asked for.
    pub fn allow(&self, source: &SecretSource) -> bool {
        match source {
            SecretSource::Env(name) => self.env.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.as_str().starts_with(prefix),
                None => name.as_str() == pattern,
            }),
            SecretSource::File(path) => self.files.iter().any(|allowed| allowed.contains(path)),
        }
    }
}

impl Policy {
    /// Reads a policy.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let document: Document = document::parse(text)?;
        let sections = document.components.iter().map(|(name, section)| (format!("components.{name}"), section));
        for (key, section) in sections.chain([("default".to_owned(), &document.default)]) {
            let patterns = section.secrets.iter().flat_map(|secrets| &secrets.env);
            if let Some(wrong) = patterns.into_iter().find(|pattern| pattern.trim_end_matches('*').contains('*')) {
                return Err(DocumentError::of_key(
                    format!("{key}.secrets.env"),
                    format!("`{wrong}`: `*` can only be at the end"),
                ));
            }
        }
        Ok(Self { document, path: None })
    }

    /// Reads a policy's file.
    pub fn read(path: &Path) -> Result<Self, DocumentError> {
        let policy = document::read(path, Self::parse)?;
        Ok(Self { path: Some(path.to_owned()), ..policy })
    }

    /// A policy that lets components ask for everything: for tools that look at components and run none.
    pub fn unbounded() -> Self {
        let everywhere = |text: &str| HostPattern::try_from(text.to_owned());
        let root = || FolderPath::try_from(PathBuf::from("/"));
        let default = Section {
            environment: Some(true),
            clocks: Some(true),
            random: Some(true),
            http: Some(HttpAccess {
                hosts: ["https://*:*", "http://*:*"].into_iter().filter_map(|text| everywhere(text).ok()).collect(),
                private: true,
            }),
            secrets: Some(SecretBounds { env: vec!["*".to_owned()], files: root().into_iter().collect() }),
            folders: Some(root().into_iter().map(|host| FolderBound { host, access: Access::ReadWrite }).collect()),
            strategies: None,
            limits: LimitRequests::unbounded(),
        };
        Self { document: Document { default, components: BTreeMap::new() }, path: None }
    }

    /// The file, if it came from one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The components that it names.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.document.components.keys().map(String::as_str)
    }

    /// What this component may ask for.
    pub fn bounds(&self, component: &str) -> Bounds {
        let nothing = Section::default();
        let (own, default) = (self.document.components.get(component).unwrap_or(&nothing), &self.document.default);
        Bounds {
            environment: own.environment.or(default.environment).unwrap_or(true),
            clocks: own.clocks.or(default.clocks).unwrap_or(true),
            random: own.random.or(default.random).unwrap_or(true),
            http: own.http.as_ref().or(default.http.as_ref()).cloned(),
            secrets: own.secrets.as_ref().or(default.secrets.as_ref()).cloned().unwrap_or_default(),
            folders: own.folders.as_ref().or(default.folders.as_ref()).cloned().unwrap_or_default(),
            strategies: own.strategies.as_ref().or(default.strategies.as_ref()).cloned(),
            limits: own.limits.or(&default.limits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_only_what_can_hurt_nobody_may_be_asked_for() {
        let bounds = Policy::default().bounds("shop");
        assert!(bounds.environment && bounds.clocks && bounds.random);
        assert!(bounds.http.is_none() && bounds.folders.is_empty());
        assert_eq!(bounds.secrets, SecretBounds::default());
        assert_eq!(bounds.limits, LimitRequests::default());
    }

    #[test]
    fn a_component_s_own_section_comes_before_the_default_key_by_key() {
        let policy = Policy::parse(
            "[default]\nclocks = false\n[default.http]\nhosts = [\"a.example\"]\n[default.limits.activity]\nmemory = \"1 GiB\"\n\
             [components.shop]\nrandom = false\n[components.shop.http]\nhosts = [\"b.example\"]\nprivate = true\n\
             [components.shop.limits.activity]\ndeadline = \"10m\"\n",
        )
        .unwrap();
        let (shop, other) = (policy.bounds("shop"), policy.bounds("other"));
        assert_eq!((shop.clocks, shop.random, other.random), (false, false, true));
        let hosts =
            |bounds: &Bounds| bounds.http.as_ref().unwrap().hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            (hosts(&shop), hosts(&other)),
            (vec!["https://b.example".to_owned()], vec!["https://a.example".to_owned()])
        );
        assert_eq!(shop.limits.activity.memory, Some(1 << 30));
        assert_eq!((shop.limits.activity.deadline.is_some(), other.limits.activity.deadline), (true, None));
    }

    #[test]
    fn secrets_are_allowed_by_name_by_prefix_and_by_folder() {
        let policy =
            Policy::parse("[default.secrets]\nenv = [\"TOKEN\", \"SHOP_*\"]\nfiles = [\"/run/secrets\"]").unwrap();
        let bounds = policy.bounds("x").secrets;
        let env = |name: &str| SecretSource::Env(name.to_owned().try_into().unwrap());
        let file = |path: &str| SecretSource::File(PathBuf::from(path).try_into().unwrap());
        assert!(
            bounds.allow(&env("TOKEN")) && bounds.allow(&env("SHOP_KEY")) && bounds.allow(&file("/run/secrets/a/b"))
        );
        assert!(
            !bounds.allow(&env("TOKENS")) && !bounds.allow(&env("MY_SHOP_KEY")) && !bounds.allow(&file("/run/secret"))
        );
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_key() {
        let cases = [
            ("[defaults]", 1, "unknown field `defaults`"),
            ("[components.shop]\nhttps = true", 2, "unknown field `https`"),
            ("[default]\nclocks = \"yes\"", 2, "`default.clocks`"),
        ];
        for (text, line, said) in cases {
            let error = Policy::parse(text).unwrap_err();
            assert_eq!(error.line, Some(line), "{error}");
            assert!(error.to_string().contains(said), "{error}");
        }
        assert!(Policy::parse("[default.secrets]\nenv = [\"A*B\"]").unwrap_err().to_string().contains("`*`"));
    }
}
