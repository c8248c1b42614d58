//! Activities that misbehave.

use crate::bindings::durawasm::workflow::types::Failure;
use crate::bindings::exports::durawasm::workflow::activity::{Context, Guest, Outcome};
use crate::{
    Hostile, devour, flood, out_of_bounds, overflow, overflow_with_large_frames, repeated, spin, too_long, trap,
};

/// What an activity does.
type Work = fn() -> Outcome;

/// Each by its name.
pub(crate) const ALL: &[(&str, Work)] = &[
    ("fine", || Ok(Some("1".to_owned()))),
    ("panics", || panic!("hostile")),
    ("traps", || trap()),
    ("reads out of bounds", || Ok(Some(out_of_bounds().to_string()))),
    ("loops for ever", || spin()),
    ("allocates without end", || devour()),
    ("overflows the stack", || Ok(Some(overflow(0).to_string()))),
    ("overflows the stack in its memory", || Ok(Some(overflow_with_large_frames(0).to_string()))),
    ("returns a long output", || Ok(Some(too_long()))),
    ("returns 2 MiB", || Ok(Some("x".repeat(2 << 20)))),
    ("returns what is not JSON", || Ok(Some("not { JSON".to_owned()))),
    ("returns an empty text", || Ok(Some(String::new()))),
    ("returns nothing", || Ok(None)),
    ("logs without end", || {
        flood();
        Ok(None)
    }),
    ("hands over more than it has", || {
        let failure = |message| Failure {
            error_type: String::new(),
            message,
            stack: None,
            retriable: true,
            properties: Vec::new(),
        };
        Err(repeated(10_000).map(failure).collect())
    }),
    ("fails without a failure", || Err(Vec::new())),
];

impl Guest for Hostile {
    fn run(context: Context, _input: Option<String>) -> Outcome {
        match ALL.iter().find(|(name, _)| *name == context.name) {
            Some((_, work)) => work(),
            None => Err(Vec::new()),
        }
    }
}
