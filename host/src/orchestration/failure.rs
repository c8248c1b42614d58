//! How large a failure may be. A failure must reach those who wait for it, whatever a guest put into it: within these bounds it
//! fits into one message, and nests less deeply than any reader of the protocol refuses.

use crate::abi::{Failure, Failures};

/// With the levels of its properties, a chain of causes stays far from the 100 levels that protobuf readers take.
const MAX_CAUSES: usize = 24;
const MAX_TYPE: usize = 1 << 10;
const MAX_TEXT: usize = 64 << 10;
const MAX_PROPERTY: usize = 16 << 10;
/// Levels of lists and objects in a property: each is three levels on the wire.
const MAX_LEVELS: usize = 12;
/// All properties of a failure and its causes together: as numbers they are many times as large on the wire.
const MAX_PROPERTIES: usize = 64 << 10;

/// Brings failures within the bounds: long texts are cut, properties and causes that are too many or too large are left out.
pub(super) fn bound(failures: &mut Failures) {
    failures.truncate(MAX_CAUSES);
    let mut room = MAX_PROPERTIES;
    for Failure { error_type, message, stack, properties, retriable: _ } in failures {
        shorten(error_type, MAX_TYPE);
        shorten(message, MAX_TEXT);
        if let Some(stack) = stack {
            shorten(stack, MAX_TEXT);
        }
        properties.retain(|(name, text)| {
            let size = name.len() + text.len();
            let kept = size <= room && size <= MAX_PROPERTY && levels(text) <= MAX_LEVELS;
            if kept {
                room -= size;
            }
            kept
        });
    }
}

fn shorten(text: &mut String, limit: usize) {
    const MARK: char = '…';
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit - MARK.len_utf8()));
        text.push(MARK);
    }
}

/// How deeply the lists and objects of a JSON text nest. Reads the text itself: a parser has a limit of its own.
fn levels(json: &str) -> usize {
    let (mut level, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(properties: Vec<(String, String)>) -> Failure {
        Failure { error_type: "E".to_owned(), message: "m".to_owned(), stack: None, retriable: true, properties }
    }

    fn nested(levels: usize) -> String {
        format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
    }

    #[test]
    fn an_ordinary_failure_stays_as_it_is() {
        let mut failures = vec![failure(vec![("a".to_owned(), nested(MAX_LEVELS))]); 3];
        let before = failures.clone();
        bound(&mut failures);
        assert_eq!(failures, before);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut failures = vec![Failure {
            error_type: "ä".repeat(MAX_TEXT),
            message: "ä".repeat(MAX_TEXT),
            stack: Some("€".repeat(MAX_TEXT)),
            ..failure(Vec::new())
        }];
        bound(&mut failures);
        let Failure { error_type, message, stack, .. } = &failures[0];
        assert!(error_type.len() <= MAX_TYPE && error_type.ends_with('…'));
        assert!(message.len() <= MAX_TEXT && message.len() > MAX_TEXT - 4 && message.ends_with('…'));
        assert!(stack.as_ref().unwrap().len() <= MAX_TEXT);
    }

    #[test]
    fn properties_that_are_too_large_or_too_deep_are_left_out_and_the_others_stay() {
        let mut failures = vec![failure(vec![
            ("deep".to_owned(), nested(MAX_LEVELS + 1)),
            ("deeper than parsers go".to_owned(), nested(1000)),
            ("large".to_owned(), "x".repeat(MAX_PROPERTY + 1)),
            ("brackets in a text".to_owned(), format!(r#""\"{}""#, "[".repeat(100))),
            ("good".to_owned(), "1".to_owned()),
        ])];
        bound(&mut failures);
        let names: Vec<_> = failures[0].properties.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["brackets in a text", "good"]);
    }

    #[test]
    fn properties_together_are_bounded_across_causes() {
        let mut failures = vec![failure(vec![("a".to_owned(), "x".repeat(10 << 10))]); 100];
        bound(&mut failures);
        assert_eq!(failures.len(), MAX_CAUSES);
        assert_eq!(failures.iter().map(|failure| failure.properties.len()).sum::<usize>(), 6);
    }
}
