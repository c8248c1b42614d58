//! Lines for people, on their way to the host: a subscriber for the crate `tracing` (feature `tracing`).
//!
//! An event carries its own fields and those of the spans that are entered, innermost last.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::{Dispatch, Event, Level as TracingLevel, LevelFilter, Metadata, Subscriber, dispatcher};

use crate::bindings::durawasm::workflow::log::Level;
use crate::logging;

/// Installed once. Lines below `info` are not made.
pub(crate) fn install() {
    // An error means that there is a subscriber already: this one, or one of the user's choice.
    let _installed_before = dispatcher::set_global_default(Dispatch::new(HostSubscriber::default()));
}

#[derive(Default)]
struct HostSubscriber(Mutex<Spans>);

#[derive(Default)]
struct Spans {
    last_id: u64,
    open: BTreeMap<u64, Span>,
    /// Outermost first.
    entered: Vec<u64>,
}

struct Span {
    metadata: &'static Metadata<'static>,
    fields: Vec<(String, String)>,
    handles: usize,
}

impl HostSubscriber {
    fn with<R>(&self, act: impl FnOnce(&mut Spans) -> R) -> R {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Subscriber for HostSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= TracingLevel::INFO
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut line = Line::default();
        attributes.record(&mut line);
        self.with(|spans| {
            spans.last_id += 1;
            let span = Span { metadata: attributes.metadata(), fields: line.fields, handles: 1 };
            spans.open.insert(spans.last_id, span);
            Id::from_u64(spans.last_id)
        })
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut line = Line::default();
        values.record(&mut line);
        self.with(|spans| {
            if let Some(span) = spans.open.get_mut(&span.into_u64()) {
                span.fields.extend(line.fields);
            }
        });
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut fields = self.with(|spans| {
            let entered = spans.entered.iter().filter_map(|id| spans.open.get(id));
            entered.flat_map(|span| span.fields.clone()).collect::<Vec<_>>()
        });
        fields.extend(line.fields);
        let level = match *event.metadata().level() {
            TracingLevel::ERROR => Level::Error,
            TracingLevel::WARN => Level::Warn,
            TracingLevel::INFO => Level::Info,
            TracingLevel::DEBUG => Level::Debug,
            TracingLevel::TRACE => Level::Trace,
        };
        logging::write(level, event.metadata().target(), &line.message, &fields);
    }

    fn enter(&self, span: &Id) {
        self.with(|spans| spans.entered.push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        self.with(|spans| {
            if let Some(index) = spans.entered.iter().rposition(|entered| *entered == span.into_u64()) {
                spans.entered.remove(index);
            }
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.with(|spans| {
            if let Some(span) = spans.open.get_mut(&span.into_u64()) {
                span.handles += 1;
            }
        });
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        self.with(|spans| {
            let id = span.into_u64();
            let Some(span) = spans.open.get_mut(&id) else { return false };
            span.handles -= 1;
            let closed = span.handles == 0;
            if closed {
                spans.open.remove(&id);
            }
            closed
        })
    }

    fn current_span(&self) -> Current {
        self.with(|spans| {
            let current = spans.entered.last().and_then(|id| Some((id, spans.open.get(id)?)));
            current.map_or_else(Current::none, |(id, span)| Current::new(Id::from_u64(*id), span.metadata))
        })
    }
}

/// The fields of one event or span; the message is the field of that name.
#[derive(Default)]
struct Line {
    message: String,
    fields: Vec<(String, String)>,
}

impl Line {
    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => self.fields.push((name.to_owned(), value)),
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::captured;

    fn with_subscriber(act: impl FnOnce()) -> Vec<String> {
        tracing::subscriber::with_default(HostSubscriber::default(), act);
        captured::take()
    }

    #[test]
    fn an_event_carries_the_fields_of_its_spans() {
        let lines = with_subscriber(|| {
            let order = tracing::info_span!("order", id = 7, state = tracing::field::Empty);
            order.record("state", "paid");
            let _outer = order.enter();
            let _inner = tracing::info_span!("item", item = "ink").entered();
            tracing::warn!(target: "shop", left = 2, "nearly {}", "gone");
        });
        assert_eq!(lines, ["Level::Warn shop: nearly gone id=7 state=paid item=ink left=2"]);
    }

    #[test]
    fn a_span_that_was_left_is_not_told() {
        let lines = with_subscriber(|| {
            tracing::info_span!("order", id = 7).in_scope(|| tracing::info!(target: "shop", "inside"));
            tracing::info!(target: "shop", "outside");
            tracing::debug!(target: "shop", "not made");
        });
        assert_eq!(lines, ["Level::Info shop: inside id=7", "Level::Info shop: outside"]);
    }
}
