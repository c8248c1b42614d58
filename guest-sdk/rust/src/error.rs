//! The one error type of guests: what an orchestrator or an activity fails with, and what the failure of an awaited
//! activity or child arrives as. It crosses the wire whole, causes included.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::durawasm::workflow::types as wit;
use crate::bindings::exports::durawasm::workflow::orchestrator::NextGeneration;

/// What orchestrators and activities return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure with its causes.
///
/// `?` makes one of every `std::error::Error`: the error type becomes the type's name, and its sources the causes.
/// The failure of an activity or a child orchestration arrives as this type, with the whole chain.
#[derive(Clone)]
pub struct Error(Box<Repr>);

#[derive(Clone)]
enum Repr {
    /// Outermost first; never empty.
    Failed(Vec<Failure>),
    /// Not a failure: what `Context::continue_as_new` hands through `return`.
    ContinueAsNew(NextGeneration),
}

/// One link of an [`Error`]'s chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What kind of failure, for programs: the error type's name by convention.
    pub error_type: String,
    /// What happened, for people.
    pub message: String,
    /// Where it happened, if the failing side said so.
    pub stack: Option<String>,
    /// Whether trying again may help. Retry policies stop at a failure that says no.
    pub retriable: bool,
    /// Details for programs: names and JSON values.
    pub properties: Vec<(String, String)>,
}

impl Failure {
    fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            error_type: error_type.into(),
            message: message.into(),
            stack: None,
            retriable: true,
            properties: Vec::new(),
        }
    }
}

impl Error {
    /// An error of a kind of your own. Retry policies and callers tell kinds apart by `error_type`.
    pub fn new(error_type: impl Into<String>, message: impl fmt::Display) -> Self {
        Self(Box::new(Repr::Failed(vec![Failure::new(error_type, message.to_string())])))
    }

    /// An error that only has a message. Its type is `Error`.
    pub fn message_only(message: impl fmt::Display) -> Self {
        Self::new("Error", message)
    }

    /// Says that trying again cannot help: no retry policy tries again.
    #[must_use]
    pub fn not_retriable(mut self) -> Self {
        if let Repr::Failed(chain) = &mut *self.0 {
            chain[0].retriable = false;
        }
        self
    }

    /// Adds a detail for programs. A value that is not representable in JSON is left out.
    #[must_use]
    pub fn with_property(mut self, name: impl Into<String>, value: &impl Serialize) -> Self {
        if let (Repr::Failed(chain), Ok(json)) = (&mut *self.0, serde_json::to_string(value)) {
            chain[0].properties.push((name.into(), json));
        }
        self
    }

    /// Wraps the error: `message` becomes the outermost message, and what was there its cause. Type and
    /// retriability stay what they were, so that retry policies and callers still recognise the failure.
    #[must_use]
    pub fn context(mut self, message: impl fmt::Display) -> Self {
        if let Repr::Failed(chain) = &mut *self.0 {
            let mut outer = Failure::new(chain[0].error_type.clone(), message.to_string());
            outer.retriable = chain[0].retriable;
            chain.insert(0, outer);
        }
        self
    }

    /// What kind of failure.
    pub fn error_type(&self) -> &str {
        self.chain().first().map_or("ContinueAsNew", |failure| &failure.error_type)
    }

    /// What happened, without the causes. `Display` prints the causes as well.
    pub fn message(&self) -> &str {
        self.chain().first().map_or("the orchestration continues as new", |failure| &failure.message)
    }

    /// Whether trying again may help.
    pub fn is_retriable(&self) -> bool {
        self.chain().first().is_some_and(|failure| failure.retriable)
    }

    /// The failure and its causes, outermost first.
    pub fn chain(&self) -> &[Failure] {
        match &*self.0 {
            Repr::Failed(chain) => chain,
            Repr::ContinueAsNew(_) => &[],
        }
    }

    /// The causes alone.
    pub fn causes(&self) -> &[Failure] {
        self.chain().get(1..).unwrap_or_default()
    }

    /// A detail that the failing side attached, looked for from the outermost failure inwards.
    pub fn property<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let mut properties = self.chain().iter().flat_map(|failure| &failure.properties);
        let (_, json) = properties.find(|(key, _)| key == name)?;
        serde_json::from_str(json).ok()
    }

    pub(crate) fn continue_as_new(next: NextGeneration) -> Self {
        Self(Box::new(Repr::ContinueAsNew(next)))
    }

    /// How the orchestration ends: with the next generation, or with these failures.
    pub(crate) fn into_ending(self) -> std::result::Result<NextGeneration, wit::Failures> {
        match *self.0 {
            Repr::ContinueAsNew(next) => Ok(next),
            Repr::Failed(chain) => Err(chain.into_iter().map(into_wit).collect()),
        }
    }

    /// The failures of an activity, which has no next generation.
    pub(crate) fn into_failures(self) -> wit::Failures {
        match self.into_ending() {
            Err(failures) => failures,
            Ok(_) => vec![into_wit(Failure::new("ContinueAsNew", "only an orchestrator can continue as new"))],
        }
    }

    pub(crate) fn from_failures(failures: wit::Failures) -> Self {
        let mut chain: Vec<_> = failures.into_iter().map(from_wit).collect();
        if chain.is_empty() {
            chain.push(Failure::new("Error", "failed without a reason"));
        }
        Self(Box::new(Repr::Failed(chain)))
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut chain = vec![Failure::new(kind_of(std::any::type_name::<E>()), error.to_string())];
        let mut source = error.source();
        while let Some(cause) = source {
            // The type of a source is not known, only that it is an error.
            chain.push(Failure::new("Error", cause.to_string()));
            source = cause.source();
        }
        Self(Box::new(Repr::Failed(chain)))
    }
}

/// The name of a type without its path, which may change when code moves and would break callers that compare it.
/// A bare `Error` keeps the module that tells it apart: `std::io::error::Error` is `io::Error`.
fn kind_of(type_name: &str) -> String {
    let path = type_name.split('<').next().unwrap_or(type_name);
    let mut segments = path.rsplit("::").filter(|segment| *segment != "error");
    match (segments.next(), segments.next()) {
        (Some("Error"), Some(module)) => format!("{module}::Error"),
        (Some(name), _) => name.to_owned(),
        _ => path.to_owned(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        for cause in self.causes() {
            write!(f, ": {}", cause.message)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.chain()).finish()
    }
}

/// `context` on results of any error.
pub trait ResultExt<T> {
    /// Says what was being done when the error happened: `read(&path).context("reading the order")?`.
    fn context(self, message: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> ResultExt<T> for Result<T, E> {
    fn context(self, message: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().context(message))
    }
}

/// Makes an [`Error`] of a format string: `failure!("no such city: {city}")`, or with a type of its own:
/// `failure!("OutOfStock"; "only {left} left")`.
#[macro_export]
macro_rules! failure {
    ($error_type:expr; $($message:tt)+) => { $crate::Error::new($error_type, ::std::format!($($message)+)) };
    ($($message:tt)+) => { $crate::Error::message_only(::std::format!($($message)+)) };
}

/// Returns an error: `bail!("no such city: {city}")`, `bail!("OutOfStock"; "only {left} left")`.
#[macro_export]
macro_rules! bail {
    ($($failure:tt)+) => { return ::std::result::Result::Err($crate::failure!($($failure)+).into()) };
}

/// Returns an error unless a condition holds: `ensure!(left > 0, "OutOfStock"; "none left of {item}")`.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($failure:tt)+) => {
        if !$condition {
            $crate::bail!($($failure)+);
        }
    };
}

fn into_wit(failure: Failure) -> wit::Failure {
    let Failure { error_type, message, stack, retriable, properties } = failure;
    wit::Failure { error_type, message, stack, retriable, properties }
}

fn from_wit(failure: wit::Failure) -> Failure {
    let wit::Failure { error_type, message, stack, retriable, properties } = failure;
    Failure { error_type, message, stack, retriable, properties }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u32> {
        Ok(text.parse::<u32>()?)
    }

    #[test]
    fn a_question_mark_on_a_std_error_keeps_its_type_name() {
        let error = parse("x").expect_err("x is not a number");
        assert_eq!(error.error_type(), "ParseIntError");
        assert!(error.is_retriable());
    }

    #[test]
    fn a_bare_error_type_keeps_its_module() {
        assert_eq!(kind_of("std::io::error::Error"), "io::Error");
        assert_eq!(kind_of("core::fmt::Error"), "fmt::Error");
        assert_eq!(kind_of("shop::Wrapped<core::fmt::Error>"), "Wrapped");
    }

    #[test]
    fn context_wraps_and_keeps_type_and_retriability() {
        let error = parse("x").context("reading the count").expect_err("fails");
        assert_eq!(error.error_type(), "ParseIntError");
        assert_eq!(error.message(), "reading the count");
        assert_eq!(error.to_string(), "reading the count: invalid digit found in string");
        let fixed = Error::new("A", "a").not_retriable().context("b");
        assert!(!fixed.is_retriable());
    }

    #[test]
    fn an_error_crosses_the_contract_whole() {
        let error = Error::new("OutOfStock", "none").with_property("left", &3).context("ordering");
        let back = Error::from_failures(error.clone().into_failures());
        assert_eq!(back.chain(), error.chain());
        assert_eq!(back.property::<u32>("left"), Some(3));
    }

    #[test]
    fn bail_and_ensure_take_a_type_or_a_message() {
        fn check(left: u32) -> Result<()> {
            ensure!(left < 10, "too many: {left}");
            ensure!(left > 0, "OutOfStock"; "only {left} left");
            Ok(())
        }
        assert_eq!(check(0).expect_err("none").error_type(), "OutOfStock");
        assert_eq!(check(12).expect_err("many").message(), "too many: 12");
    }
}
