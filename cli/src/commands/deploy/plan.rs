//! What a new version changes, compared with what it takes the place of.

use durawasm_client::{DeployedVersion, Deployments, Offer};
use durawasm_host::deployment::{Change, Grant, Manifest, Refusal, Terms, changes};
use durawasm_host::registry::Version;
use serde::Serialize;

use crate::console::{BAD, DIM, GOOD, STRONG, WARN, styled};

/// What a new version changes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plan {
    pub(super) component: String,
    pub(super) version: String,
    digest: String,
    /// The version with which it is compared: the default, else the newest that is deployed. None: it is the first.
    pub(super) replaces: Option<String>,
    /// The version on which new instances of its orchestrators begin, the newest if there are several.
    pub(super) default: Option<String>,
    /// It is deployed already.
    already_there: bool,
    exports: Vec<ExportChange>,
    /// What changes of what it is granted: strategy, environment, capabilities and limits, also those that it does not ask for.
    grants: Vec<Change>,
}

/// An orchestrator, activity or entity that is not what it was.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExportChange {
    kind: &'static str,
    name: String,
    change: What,
    /// The schemas that changed: which, from what, to what.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schemas: Vec<SchemaChange>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Added,
    Removed,
    Changed,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct SchemaChange {
    of: &'static str,
    from: Option<String>,
    to: Option<String>,
}

impl Plan {
    /// # Errors
    /// If these terms do not allow what the manifest asks for.
    pub(super) fn new(
        new: &DeployedVersion,
        manifest: &Manifest,
        deployments: &Deployments,
        terms: &Terms,
    ) -> Result<Plan, Refusal> {
        let base = base(new, deployments);
        let nothing = DeployedVersion::default();
        let before = base.unwrap_or(&nothing);
        let mut exports = Vec::new();
        for (kind, from, to) in [
            ("orchestrator", &before.orchestrators, &new.orchestrators),
            ("activity", &before.activities, &new.activities),
            ("entity", &before.entities, &new.entities),
        ] {
            exports.extend(compare(kind, from, to));
        }
        // What a newer version of durawasm has taken may have keys that this one does not know.
        let before_manifest = Manifest::parse(&before.manifest).unwrap_or_default();
        let granted = Grant::new(&new.name, manifest, terms)?.entries();
        // Without a version before, all that was there is what is there by itself. One that the policy does not allow any more has nothing.
        let granted_before =
            Grant::new(&new.name, &before_manifest, terms).map(|grant| grant.entries()).unwrap_or_default();
        Ok(Plan {
            component: new.name.clone(),
            version: new.version.clone(),
            digest: new.digest.clone(),
            replaces: base.map(|base| base.version.clone()),
            default: default(new, deployments),
            already_there: deployments
                .versions
                .iter()
                .any(|there| there.digest == new.digest && there.name == new.name),
            exports,
            grants: changes(&granted_before, &granted),
        })
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{} {}", styled(STRONG, &self.component), self.version);
        match &self.replaces {
            _ if self.already_there => text.push_str(&format!("  {}", styled(DIM, "is deployed already"))),
            Some(replaces) => text.push_str(&format!("  {}", styled(DIM, format_args!("after {replaces}")))),
            None => text.push_str(&format!("  {}", styled(DIM, "is the first version of it"))),
        }
        for export in &self.exports {
            let ExportChange { kind, name, change, schemas } = export;
            let sign = match change {
                What::Added => styled(GOOD, "+"),
                What::Removed => styled(BAD, "-"),
                What::Changed => styled(WARN, "~"),
            };
            text.push_str(&format!("\n  {sign} {kind} {name}"));
            for SchemaChange { of, from, to } in schemas {
                let shown = |schema: &Option<String>| schema.clone().unwrap_or_else(|| "(none)".to_owned());
                text.push_str(&format!("\n      {of}: {} → {}", styled(DIM, shown(from)), shown(to)));
            }
        }
        for change in &self.grants {
            text.push_str(&format!("\n  {change}"));
        }
        if self.exports.is_empty() && self.grants.is_empty() {
            text.push_str("\n  offers and asks for the same as before");
        }
        if self.exports.iter().any(|export| export.change == What::Removed && export.kind == "orchestrator") {
            text.push_str(
                "\n  what is removed goes on in the version that it is in, and new instances of it begin there",
            );
        }
        text
    }
}

/// The newest of the versions of this component on which new instances begin.
fn default(new: &DeployedVersion, deployments: &Deployments) -> Option<String> {
    let own = deployments.versions.iter().filter(|there| there.name == new.name && is_default(there, deployments));
    own.map(|there| there.version.clone()).max_by_key(|version| Version::new(version))
}

fn is_default(version: &DeployedVersion, deployments: &Deployments) -> bool {
    version.orchestrators.iter().any(|offer| {
        let default = deployments.defaults.iter().find(|default| default.name == offer.name);
        default.is_some_and(|default| default.version == version.version)
    })
}

/// What a version is compared with.
fn base<'d>(new: &DeployedVersion, deployments: &'d Deployments) -> Option<&'d DeployedVersion> {
    let own = || deployments.versions.iter().filter(|there| there.name == new.name && there.digest != new.digest);
    let is_default = |there: &&DeployedVersion| is_default(there, deployments);
    own()
        .filter(is_default)
        .chain(own())
        .max_by(|a, b| (is_default(a), Version::new(&a.version)).cmp(&(is_default(b), Version::new(&b.version))))
}

fn compare(kind: &'static str, from: &[Offer], to: &[Offer]) -> Vec<ExportChange> {
    let mut changes = Vec::new();
    let one = |name: &str, change, schemas| ExportChange { kind, name: name.to_owned(), change, schemas };
    for offer in to {
        match from.iter().find(|before| before.name == offer.name) {
            None => changes.push(one(&offer.name, What::Added, Vec::new())),
            Some(before) => {
                let schemas: Vec<SchemaChange> = [
                    ("input", &before.input_schema, &offer.input_schema),
                    ("output", &before.output_schema, &offer.output_schema),
                ]
                .into_iter()
                .filter(|(_, from, to)| !is_same(from.as_deref(), to.as_deref()))
                .map(|(of, from, to)| SchemaChange { of, from: from.clone(), to: to.clone() })
                .collect();
                if !schemas.is_empty() {
                    changes.push(one(&offer.name, What::Changed, schemas));
                }
            }
        }
    }
    for offer in from.iter().filter(|offer| to.iter().all(|after| after.name != offer.name)) {
        changes.push(one(&offer.name, What::Removed, Vec::new()));
    }
    changes
}

/// Whether two schemas say the same: the order of keys and spaces say nothing.
fn is_same(a: Option<&str>, b: Option<&str>) -> bool {
    let parse = |text: Option<&str>| text.map(serde_json::from_str::<serde_json::Value>);
    match (parse(a), parse(b)) {
        (Some(Ok(a)), Some(Ok(b))) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(name: &str, input: &str) -> Offer {
        Offer { name: name.to_owned(), input_schema: Some(input.to_owned()), ..Offer::default() }
    }

    fn version(version: &str, orchestrators: Vec<Offer>) -> DeployedVersion {
        DeployedVersion {
            name: "shop".to_owned(),
            version: version.to_owned(),
            digest: version.to_owned(),
            content: version.to_owned(),
            bytes: 1,
            orchestrators,
            ..DeployedVersion::default()
        }
    }

    #[test]
    fn exports_are_compared_by_name_and_schemas_by_what_they_say() {
        let from = [offer("a", r#"{"type":"string","x":1}"#), offer("b", "{}"), offer("c", "{}")];
        let to = [offer("a", r#"{ "x": 1, "type": "string" }"#), offer("c", "true"), offer("d", "{}")];
        let changes = compare("orchestrator", &from, &to);
        let short: Vec<_> = changes.iter().map(|change| (change.name.as_str(), change.change)).collect();
        assert_eq!(short, [("c", What::Changed), ("d", What::Added), ("b", What::Removed)]);
    }

    #[test]
    fn a_version_is_compared_with_the_default_and_without_one_with_the_newest() {
        let versions = vec![version("1.10.0", vec![offer("a", "{}")]), version("1.9.0", vec![offer("a", "{}")])];
        let mut deployments = Deployments { versions, ..Deployments::default() };
        let new = version("2.0.0", vec![offer("a", "{}")]);
        let plan =
            |deployments: &Deployments| Plan::new(&new, &Manifest::default(), deployments, &Terms::default()).unwrap();
        let replaces = |deployments: &Deployments| plan(deployments).replaces;
        assert_eq!(plan(&deployments).default, None, "nothing begins on it by itself");
        assert_eq!(replaces(&deployments).as_deref(), Some("1.10.0"));
        deployments.defaults = vec![durawasm_client::VersionDefault {
            name: "a".to_owned(),
            version: "1.9.0".to_owned(),
            canary: None,
            previous: None,
        }];
        assert_eq!(replaces(&deployments).as_deref(), Some("1.9.0"));
        assert_eq!(plan(&deployments).default.as_deref(), Some("1.9.0"), "not the newest that is deployed");
        assert_eq!(replaces(&Deployments::default()), None);
    }
}
