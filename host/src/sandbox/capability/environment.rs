//! `[environment]` and `[secrets]`: variables. Guests see no difference between the two; people never see a secret's value.

use std::fmt;

use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::p2::bindings::cli::environment;

use super::Effects;
use crate::abi::Failure;
use crate::deployment::{Grant, SecretSource, Unavailable};
use crate::orchestration::LogLine;

pub(super) fn link<T: Effects>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    environment::add_to_linker::<T, WasiCli>(linker, T::cli)
}

/// All variables of a component's activities.
pub(super) struct Environment {
    variables: Vec<(String, String)>,
    redaction: Redaction,
}

impl Environment {
    /// Reads the secrets.
    pub(super) fn prepare(grant: &Grant) -> Result<Self, Unavailable> {
        let mut environment = Self::without_secrets(grant);
        for (name, source) in &grant.secrets {
            let value = read(source).map_err(|problem| {
                let remedy = "Provide it to the host, then start the host again";
                Unavailable::new(format!("secrets.{name}"), format_args!("{source} {problem}"), remedy)
            })?;
            environment.redaction.add(name.as_str(), &value);
            environment.variables.push((name.as_str().to_owned(), value));
        }
        Ok(environment)
    }

    pub(super) fn without_secrets(grant: &Grant) -> Self {
        Self { variables: plain(grant), redaction: Redaction::default() }
    }

    pub(super) fn give(&self, builder: &mut WasiCtxBuilder) {
        builder.envs(&self.variables);
    }

    pub(super) fn redaction(&self) -> &Redaction {
        &self.redaction
    }
}

/// The variables that all roles see.
pub(in crate::sandbox) fn plain(grant: &Grant) -> Vec<(String, String)> {
    grant.environment.iter().map(|(name, value)| (name.as_str().to_owned(), value.clone())).collect()
}

fn read(source: &SecretSource) -> Result<String, String> {
    let value = match source {
        SecretSource::Env(name) => match std::env::var(name.as_str()) {
            Ok(value) => value,
            Err(std::env::VarError::NotPresent) => return Err("is not set".to_owned()),
            Err(std::env::VarError::NotUnicode(_)) => return Err("is not UTF-8".to_owned()),
        },
        SecretSource::File(path) => {
            let text = std::fs::read_to_string(path.as_path()).map_err(|error| format!("cannot be read: {error}"))?;
            // Editors and `kubectl` leave one there that is not meant.
            text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text).to_owned()
        }
    };
    if value.contains('\0') {
        return Err("has the character 0 in it".to_owned());
    }
    Ok(value)
}

/// Takes secrets out of log lines and failures. What an activity returns is its own affair and stays as it is.
#[derive(Clone, Default)]
pub(in crate::sandbox) struct Redaction {
    /// Values and what stands in their place, longest first.
    secrets: Vec<(String, String)>,
}

/// A shorter value would be found in places where it is no secret.
const SHORTEST: usize = 4;

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction").field("secrets", &self.secrets.len()).finish()
    }
}

impl Redaction {
    fn add(&mut self, name: &str, value: &str) {
        // Guests write texts line by line.
        let lines = value.lines().filter(|line| line.len() >= SHORTEST).map(str::to_owned);
        self.secrets.extend(lines.map(|line| (line, format!("[secret {name}]"))));
        self.secrets.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    }

    pub(in crate::sandbox) fn line(&self, line: &mut LogLine) {
        self.text(&mut line.message);
        self.text(&mut line.target);
        for (name, value) in &mut line.fields {
            self.text(name);
            self.text(value);
        }
    }

    pub(in crate::sandbox) fn failure(&self, failure: &mut Failure) {
        self.text(&mut failure.error_type);
        self.text(&mut failure.message);
        if let Some(stack) = &mut failure.stack {
            self.text(stack);
        }
        for (name, value) in &mut failure.properties {
            self.text(name);
            self.text(value);
        }
    }

    fn text(&self, text: &mut String) {
        for (value, instead) in &self.secrets {
            if text.contains(value.as_str()) {
                *text = text.replace(value.as_str(), instead);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::deployment::{Manifest, Policy, Terms};
    use crate::sandbox::SandboxLimits;

    fn grant(manifest: &str) -> Grant {
        let terms = Terms { policy: Arc::new(Policy::unbounded()), limits: SandboxLimits::default() };
        Grant::new("shop", &Manifest::parse(manifest).unwrap(), &terms).unwrap()
    }

    fn file(content: &str) -> (tempfile::NamedTempFile, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let manifest = format!("[secrets]\nKEY = {{ file = {:?} }}", file.path());
        (file, manifest)
    }

    #[test]
    fn a_secret_s_file_is_read_without_its_last_line_end() {
        let (_file, manifest) = file("top secret\n");
        let environment = Environment::prepare(&grant(&manifest)).unwrap();
        assert_eq!(environment.variables, [("KEY".to_owned(), "top secret".to_owned())]);
        assert!(Environment::without_secrets(&grant(&manifest)).variables.is_empty());
    }

    #[test]
    fn a_secret_that_is_not_there_is_told_by_key_and_source_and_never_by_value() {
        for (source, said) in [
            ("{ env = \"NO_SUCH_VARIABLE_HERE\" }", "NO_SUCH_VARIABLE_HERE is not set"),
            ("{ file = \"/no/such/file\" }", "/no/such/file cannot be read"),
        ] {
            let granted = grant(&format!("[secrets]\nKEY = {source}"));
            let error = Environment::prepare(&granted).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("`secrets.KEY`") && error.contains(said), "{error}");
        }
    }

    #[test]
    fn secrets_are_taken_out_of_log_lines_and_failures() {
        let (_file, manifest) = file("hunter2\nsecond line\nabc\n");
        let environment = Environment::prepare(&grant(&manifest)).unwrap();
        let mut failure = Failure {
            error_type: "E".to_owned(),
            message: "the key hunter2 does not fit abc".to_owned(),
            stack: Some("at second line".to_owned()),
            retriable: true,
            properties: vec![("key".to_owned(), "\"hunter2\"".to_owned())],
        };
        environment.redaction().failure(&mut failure);
        assert_eq!(failure.message, "the key [secret KEY] does not fit abc");
        assert_eq!(failure.stack.as_deref(), Some("at [secret KEY]"));
        assert_eq!(failure.properties[0].1, "\"[secret KEY]\"");
        assert!(!format!("{:?}", environment.redaction()).contains("hunter2"));
    }
}
