//! What a deployment asks for: the file beside the component.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::document::{self, DocumentError};
use super::hosts::HostPattern;
use super::limits::LimitRequests;
use super::paths::{FolderPath, GuestPath};
use super::versioning::Versioning;

/// What a deployment asks for. The default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    /// The component that this is for. Another one is refused.
    pub component: Option<String>,
    /// The version that this is for. Another one is refused.
    pub version: Option<String>,
    /// What it makes of instances that began on another version.
    pub versioning: Versioning,
    /// Variables that all roles see. They are part of the component's digest.
    pub environment: BTreeMap<VariableName, String>,
    /// Variables that activities and entities see, orchestrators never. They are read where the host runs.
    pub secrets: BTreeMap<VariableName, SecretSource>,
    /// What activities and entities can reach.
    pub capabilities: Capabilities,
    /// What guests may use up.
    pub limits: LimitRequests,
}

/// What activities and entities can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    /// Real clocks, and sleeping.
    pub clocks: bool,
    /// Real random numbers.
    pub random: bool,
    /// Outgoing HTTP.
    pub http: Option<HttpAccess>,
    /// Folders of the machine.
    pub folders: Vec<Folder>,
}

/// Which servers can be called.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpAccess {
    /// Where requests may go.
    pub hosts: Vec<HostPattern>,
    /// Whether the servers may have private addresses: this machine, the local network, a cloud's metadata.
    #[serde(default)]
    pub private: bool,
}

/// A folder of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// Where it is on the machine.
    pub host: FolderPath,
    /// Where guests see it.
    pub guest: GuestPath,
    /// What guests may do there.
    pub access: Access,
}

/// What may be done with a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read.
    Read,
    /// Read, change, create and delete.
    ReadWrite,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::ReadWrite => "read-write",
        })
    }
}

/// The name of an environment variable: not empty, without `=` and without the character 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct VariableName(String);

impl VariableName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VariableName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("`{}` cannot be the name of an environment variable", name.escape_default()));
        }
        Ok(Self(name))
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a host finds a secret. Never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SecretTable")]
pub enum SecretSource {
    /// In this variable of the host's own environment.
    Env(VariableName),
    /// In this file, without a line end at its end.
    File(FolderPath),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the host's environment variable {name}"),
            Self::File(path) => write!(f, "the file {path}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretTable {
    env: Option<VariableName>,
    file: Option<FolderPath>,
}

impl TryFrom<SecretTable> for SecretSource {
    type Error = &'static str;

    fn try_from(table: SecretTable) -> Result<Self, &'static str> {
        match (table.env, table.file) {
            (Some(name), None) => Ok(Self::Env(name)),
            (None, Some(path)) => Ok(Self::File(path)),
            _ => Err("a secret is `{ env = \"VARIABLE\" }` or `{ file = \"/path\" }`, one of the two"),
        }
    }
}

impl Manifest {
    /// Reads a manifest.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let manifest: Self = document::parse(text)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads a manifest's file.
    pub fn read(path: &Path) -> Result<Self, DocumentError> {
        document::read(path, Self::parse)
    }

    /// Reads the manifest of a component's file: `shop.toml` for `shop.wasm`. Without such a file nothing is asked for.
    pub fn beside(component: &Path) -> Result<Self, DocumentError> {
        let path = component.with_extension("toml");
        if path.is_file() { Self::read(&path) } else { Ok(Self::default()) }
    }

    /// What no single key can be blamed for.
    fn check(&self) -> Result<(), DocumentError> {
        if let Some((name, _)) = self.environment.iter().find(|(_, value)| value.contains('\0')) {
            return Err(DocumentError::of_key(format!("environment.{name}"), "the value has the character 0 in it"));
        }
        if let Some(name) = self.environment.keys().find(|name| self.secrets.contains_key(*name)) {
            return Err(DocumentError::of_key(
                format!("secrets.{name}"),
                "the variable is in [environment] too; give one of the two another name",
            ));
        }
        self.versioning.check()?;
        let folders = &self.capabilities.folders;
        for (index, folder) in folders.iter().enumerate() {
            if folders[..index].iter().any(|other| other.guest == folder.guest) {
                return Err(DocumentError::of_key(
                    format!("capabilities.folders[{index}].guest"),
                    format!("`{}` is the place of another folder already", folder.guest),
                ));
            }
        }
        if self.capabilities.http.as_ref().is_some_and(|http| http.hosts.is_empty()) {
            return Err(DocumentError::of_key(
                "capabilities.http.hosts",
                "the list is empty; name the hosts, or leave [capabilities.http] out",
            ));
        }
        Ok(())
    }

    /// The digest of a component with this environment: what a guest can see is part of its version. Without an environment
    /// it is the SHA-256 of the component's bytes alone.
    pub fn digest(&self, bytes: &[u8]) -> String {
        let content = Sha256::digest(bytes);
        if self.environment.is_empty() {
            return hexadecimal(&content);
        }
        let mut digest = Sha256::new();
        digest.update(b"durawasm component and environment 1\0");
        digest.update(content);
        for (name, value) in &self.environment {
            for text in [name.as_str(), value] {
                // A length before each text: no two environments give the same bytes.
                digest.update((text.len() as u64).to_le_bytes());
                digest.update(text);
            }
        }
        hexadecimal(&digest.finalize())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::deployment::{MatchStrategy, OnMismatch};

    const FULL: &str = r#"
component = "shop"
version = "2.0.0"

[versioning]
strategy = "current-or-older"
on-mismatch = "fail"
default-version = "1.0.0"

[environment]
REGION = "eu"

[secrets]
API_KEY = { env = "SHOP_API_KEY" }
SIGNING_KEY = { file = "/run/secrets/signing" }

[capabilities]
clocks = true
random = true

[capabilities.http]
hosts = ["api.example.com", "*.example.org:8443", "http://localhost:8080"]
private = true

[[capabilities.folders]]
host = "/srv/in"
guest = "/in"
access = "read"

[limits.activity]
memory = "512 MiB"
deadline = "90s"
"#;

    #[test]
    fn every_section_is_read() {
        let manifest = Manifest::parse(FULL).unwrap();
        assert_eq!((manifest.component.as_deref(), manifest.version.as_deref()), (Some("shop"), Some("2.0.0")));
        let Versioning { strategy, on_mismatch, default_version } = &manifest.versioning;
        assert_eq!((*strategy, *on_mismatch), (MatchStrategy::CurrentOrOlder, Some(OnMismatch::Fail)));
        assert_eq!(default_version.as_deref(), Some("1.0.0"));
        assert_eq!(manifest.environment.len(), 1);
        assert_eq!(manifest.secrets.len(), 2);
        assert!(manifest.capabilities.clocks && manifest.capabilities.random);
        let http = manifest.capabilities.http.unwrap();
        let hosts: Vec<String> = http.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["https://api.example.com", "https://*.example.org:8443", "http://localhost:8080"]);
        assert!(http.private);
        assert_eq!(manifest.capabilities.folders[0].access, Access::Read);
        assert_eq!(manifest.limits.activity.memory, Some(512 << 20));
        assert_eq!(manifest.limits.activity.deadline, Some(Duration::from_secs(90)));
    }

    #[test]
    fn an_empty_manifest_asks_for_nothing() {
        assert_eq!(Manifest::parse("").unwrap(), Manifest::default());
    }

    #[test]
    fn a_mistake_is_told_with_its_line_its_key_and_what_is_wrong() {
        let cases = [
            ("[capabilities]\nclock = true", 2, "capabilities", "unknown field `clock`"),
            ("[environment]\nA = 1", 2, "environment.A", "expected a string"),
            ("\n[capabilities.http]\nhosts = [\"a.example\", \"http:/x\"]", 3, "capabilities.http.hosts[1]", "http:/x"),
            ("[versioning]\nstrategy = \"newest\"", 2, "versioning.strategy", "unknown variant `newest`"),
            ("[versioning]\nfallback = 1", 2, "versioning", "unknown field `fallback`"),
            ("[secrets]\nKEY = { env = \"A\", file = \"/b\" }", 2, "secrets.KEY", "one of the two"),
            ("[limits.activity]\nmemory = \"lots\"", 2, "limits.activity.memory", "lots"),
            ("[limits.orchestrator]\ndeadline = \"soon\"", 2, "limits.orchestrator.deadline", "soon"),
            (
                "[[capabilities.folders]]\nhost = \"data\"\nguest = \"/x\"\naccess = \"read\"",
                2,
                "capabilities.folders[0].host",
                "absolute",
            ),
            (
                "[[capabilities.folders]]\nhost = \"/data\"\nguest = \"/x\"\naccess = \"write\"",
                4,
                "capabilities.folders[0].access",
                "read-write",
            ),
        ];
        for (text, line, key, said) in cases {
            let error = Manifest::parse(text).unwrap_err();
            assert_eq!(error.line, Some(line), "{text}: {error}");
            assert!(error.key.as_deref().is_some_and(|there| there.starts_with(key)), "{text}: {error}");
            assert!(error.message.contains(said), "{text}: {error}");
        }
        assert_eq!(Manifest::parse("[environment\nA = 1").unwrap_err().line, Some(1));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let twice = "[environment]\nA = \"1\"\n[secrets]\nA = { env = \"B\" }";
        assert!(Manifest::parse(twice).unwrap_err().to_string().starts_with("`secrets.A`"));
        let folder = "[[capabilities.folders]]\nhost = \"/a\"\nguest = \"/x\"\naccess = \"read\"\n";
        assert!(Manifest::parse(&folder.repeat(2)).unwrap_err().to_string().contains("folders[1]"));
        assert!(Manifest::parse("[capabilities.http]\nhosts = []").is_err());
    }

    #[test]
    fn the_digest_covers_the_environment_and_without_one_only_the_bytes() {
        let digest = |text: &str| Manifest::parse(text).unwrap().digest(b"wasm");
        let plain = hexadecimal(&Sha256::digest(b"wasm"));
        assert_eq!(digest(""), plain);
        assert_eq!(digest("[environment]\n[capabilities]\nclocks = true"), plain, "only what guests can see counts");
        let one = digest("[environment]\nA = \"1\"\nB = \"2\"");
        assert_ne!(one, plain);
        assert_eq!(one, digest("[environment]\nB = \"2\"\nA = \"1\""), "the order in the file does not matter");
        for other in ["A = \"12\"\nB = \"\"", "A = \"1\"", "A = \"2\"\nB = \"1\"", "A1 = \"\"\nB = \"2\""] {
            assert_ne!(one, digest(&format!("[environment]\n{other}")));
        }
    }

    #[test]
    fn the_manifest_of_a_component_lies_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let component = folder.path().join("shop.wasm");
        assert_eq!(Manifest::beside(&component).unwrap(), Manifest::default());
        std::fs::write(folder.path().join("shop.toml"), "[capabilities]\nrandom = 1").unwrap();
        let error = Manifest::beside(&component).unwrap_err().to_string();
        assert!(error.contains("shop.toml:2") && error.contains("`capabilities.random`"), "{error}");
    }
}
