//! Answers that come in several parts.

use durawasm_proto::durabletask as pb;

use super::instance::Episode;

/// The first part that is missing between the first that came and the last.
pub(super) fn missing(episode: &Episode) -> Option<i32> {
    let first = *episode.chunks.keys().next()?;
    (first..).zip(episode.chunks.keys()).find(|(expected, index)| expected != *index).map(|(expected, _)| expected)
}

/// Puts the parts of an answer together, in the order of their indexes. What counts for the whole stands in the first.
pub(super) fn join(episode: &mut Episode, last: &mut pb::OrchestratorResponse) {
    if episode.chunks.is_empty() {
        return;
    }
    let mut actions = Vec::new();
    let mut first = true;
    for (_, mut chunk) in std::mem::take(&mut episode.chunks) {
        actions.append(&mut chunk.actions);
        if first {
            last.num_events_processed = chunk.num_events_processed;
            last.orchestration_trace_context =
                chunk.orchestration_trace_context.or(last.orchestration_trace_context.take());
            first = false;
        }
    }
    actions.append(&mut last.actions);
    last.actions = actions;
}
