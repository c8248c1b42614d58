//! What keeps the payloads of an answer that has come in part.

use std::collections::{BTreeMap, HashMap};

use crate::core::ids::InstanceId;
use crate::core::token::Token;
use crate::payload::Pins;

/// Payloads of the parts of answers, by instance: one answer of an instance is under way at most. They are kept as the core keeps the
/// parts: a part that comes again takes the place of the one before, and another attempt that of all.
#[derive(Debug, Default)]
pub(super) struct Parts(HashMap<InstanceId, (Token, BTreeMap<i32, Pins>)>);

impl Parts {
    /// Keeps what a part brought.
    pub(super) fn keep(&mut self, token: Token, index: i32, pins: Pins) {
        if pins.is_empty() && !self.0.contains_key(&token.instance) {
            return;
        }
        let (of, parts) = self.0.entry(token.instance.clone()).or_insert_with(|| (token.clone(), BTreeMap::new()));
        if *of != token {
            (*of, *parts) = (token, BTreeMap::new());
        }
        parts.insert(index, pins);
    }

    /// This answer was answered as a whole.
    pub(super) fn finish(&mut self, token: &Token) {
        if self.0.get(&token.instance).is_some_and(|(of, _)| of == token) {
            self.forget(&token.instance);
        }
    }

    /// No answer of this instance is under way any more.
    pub(super) fn forget(&mut self, instance: &InstanceId) {
        self.0.remove(instance);
    }
}
