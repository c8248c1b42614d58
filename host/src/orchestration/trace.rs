//! W3C trace context: which span the calls of an orchestration belong to.

use durawasm_proto::durabletask as wire;

/// What activities and children are told is their parent: the span that the orchestration itself has, if a worker gave it one, else the
/// span of whoever started it. None if nobody traces.
///
/// This host exports no spans and makes up no ids: a span that nobody ever sees would tear the trace apart.
pub(crate) fn of_calls(
    started: Option<&wire::TraceContext>,
    orchestration: Option<&wire::OrchestrationTraceContext>,
) -> Option<wire::TraceContext> {
    let started = started.filter(|context| !context.trace_parent.is_empty())?;
    let span = orchestration.and_then(|context| context.span_id.as_deref()).filter(|span| is_span(span));
    let Some((span, parent)) = span.and_then(|span| Some((span, with_span(&started.trace_parent, span)?))) else {
        return Some(started.clone());
    };
    Some(wire::TraceContext {
        trace_parent: parent,
        span_id: span.to_owned(),
        trace_state: started.trace_state.clone(),
    })
}

fn is_span(span: &str) -> bool {
    span.len() == 16 && span.bytes().all(|byte| byte.is_ascii_hexdigit()) && span.bytes().any(|byte| byte != b'0')
}

/// `version-trace-span-flags`, with another span. None for what does not look like that: it is passed on as it is.
fn with_span(trace_parent: &str, span: &str) -> Option<String> {
    let mut parts: Vec<&str> = trace_parent.split('-').collect();
    let [_, trace, old, ..] = parts.as_slice() else { return None };
    if trace.len() != 32 || old.len() != 16 {
        return None;
    }
    parts[2] = span;
    Some(parts.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn started() -> wire::TraceContext {
        wire::TraceContext {
            trace_parent: PARENT.to_owned(),
            span_id: "00f067aa0ba902b7".to_owned(),
            trace_state: Some("vendor=1".to_owned()),
        }
    }

    fn span(id: &str) -> wire::OrchestrationTraceContext {
        wire::OrchestrationTraceContext { span_id: Some(id.to_owned()), span_start_time: None }
    }

    #[test]
    fn without_a_span_of_its_own_the_context_is_passed_on_unchanged() {
        assert_eq!(of_calls(Some(&started()), None), Some(started()));
        for nonsense in ["", "0000000000000000", "xyz", "00f067aa0ba902b7aa"] {
            assert_eq!(of_calls(Some(&started()), Some(&span(nonsense))), Some(started()));
        }
    }

    #[test]
    fn the_orchestrations_own_span_is_the_parent_of_its_calls() {
        let context = of_calls(Some(&started()), Some(&span("1111111111111111"))).unwrap();
        assert_eq!(context.trace_parent, "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01");
        assert_eq!((context.span_id.as_str(), context.trace_state.as_deref()), ("1111111111111111", Some("vendor=1")));
    }

    #[test]
    fn where_nobody_traces_there_is_no_context() {
        assert_eq!(of_calls(None, Some(&span("1111111111111111"))), None);
        assert_eq!(of_calls(Some(&wire::TraceContext::default()), None), None);
    }

    #[test]
    fn a_context_of_another_form_is_passed_on_as_it_is() {
        let odd = wire::TraceContext { trace_parent: "odd".to_owned(), ..Default::default() };
        assert_eq!(of_calls(Some(&odd), Some(&span("1111111111111111"))), Some(odd));
    }
}
