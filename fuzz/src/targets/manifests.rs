//! Deployment manifests and policies of operators: any text is read or refused with words, and what a policy does not allow is never granted.

use std::sync::Arc;

use durawasm_host::deployment::{Grant, Manifest, Policy, Terms};

use crate::Target;

pub(super) struct Manifests;

const MANIFEST: &str = r#"
[environment]
REGION = "north"

[secrets]
TOKEN = { env = "TOKEN" }
KEY = { file = "/run/secrets/key" }

[capabilities]
clocks = true
random = true

[capabilities.http]
hosts = ["api.example.com", "*.example.org:8443"]
private = false

[[capabilities.folders]]
host = "/srv/data"
guest = "/data"
access = "read"

[limits.orchestrator]
memory = "16 MiB"

[limits.activity]
deadline = "10 s"
"#;

const POLICY: &str = r#"
[default]
clocks = true
random = false

[default.http]
hosts = ["*.example.com"]

[[default.folders]]
host = "/srv/data"
access = "read"

[components.shop]
environment = false
"#;

impl Target for Manifests {
    fn name(&self) -> &'static str {
        "manifests"
    }

    fn known(&self) -> Vec<Vec<u8>> {
        vec![
            format!("{MANIFEST}\0{POLICY}").into_bytes(),
            MANIFEST.as_bytes().to_vec(),
            b"[capabilities]\nclocks = true\n\0[default]\n".to_vec(),
        ]
    }

    fn run(&mut self, input: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(input);
        let (manifest, policy) = text.split_once('\0').unwrap_or((&text, ""));
        let (manifest, policy) = (said(Manifest::parse(manifest))?, said(Policy::parse(policy))?);
        let Some(manifest) = manifest else { return Ok(()) };
        manifest.entries();
        manifest.digest(input);
        // Without a policy nothing may be asked for that reaches out of the sandbox.
        if let Some(grant) = said(Grant::new("shop", &manifest, &Terms::default()))?
            && (grant.http.is_some() || !grant.secrets.is_empty() || !grant.folders.is_empty())
        {
            return Err(format!("the default policy granted {:?}", grant.entries()));
        }
        let Some(policy) = policy else { return Ok(()) };
        let terms = Terms { policy: Arc::new(policy), ..Terms::default() };
        for component in ["shop", "", "a.b\n\"c"] {
            if let Some(grant) = said(Grant::new(component, &manifest, &terms))? {
                let bounds = terms.policy.bounds(component);
                if (grant.clocks && !bounds.clocks)
                    || (grant.random && !bounds.random)
                    || (grant.http.is_some() && bounds.http.is_none())
                {
                    return Err(format!(
                        "more was granted than is allowed: {:?} within {:?}",
                        grant.entries(),
                        bounds.entries()
                    ));
                }
            }
        }
        Ok(())
    }
}

/// None if it was refused, with words.
fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.to_string().len() > 8 => Ok(None),
        Err(error) => Err(format!("the error says too little: {error}")),
    }
}
