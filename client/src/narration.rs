//! A history in words: one line an event.

use std::collections::HashMap;

use crate::{EventKind, Failure, HistoryEvent, Payload};

/// The longest part of a payload or message that a line shows, in characters.
const SHOWN: usize = 100;

/// Tells a history, event by event. It remembers what was called, so that a result can be told with its name.
#[derive(Clone, Debug, Default)]
pub struct Narrator {
    calls: HashMap<i32, String>,
    turn: u64,
}

impl Narrator {
    /// What happened, in a line. To be called with the events of one execution, in order.
    pub fn tell(&mut self, event: &HistoryEvent) -> String {
        let id = event.event_id;
        match &event.kind {
            EventKind::ExecutionStarted { name, version, input, parent } => {
                // A new execution counts its actions anew.
                self.calls.clear();
                let version = version.as_deref().filter(|version| !version.is_empty());
                let version = version.map(|version| format!(" {version}")).unwrap_or_default();
                let parent = parent.as_ref().map(|parent| format!(", called by {parent}")).unwrap_or_default();
                format!("{name}{version} started{}{parent}", with(input))
            }
            EventKind::ExecutionCompleted { status, result, failure } => match failure {
                Some(failure) => format!("{status}: {}", reason(failure)),
                None => format!("{status}{}", giving(result)),
            },
            EventKind::ExecutionTerminated { output, recursive } => {
                let children = if *recursive { ", with its sub-orchestrations" } else { "" };
                format!("termination requested{children}{}", giving(output))
            }
            EventKind::ExecutionSuspended { reason } => format!("suspended{}", because(reason)),
            EventKind::ExecutionResumed { reason } => format!("resumed{}", because(reason)),
            EventKind::ExecutionRewound { reason } => format!("rewound to before its failure{}", because(reason)),
            EventKind::OrchestratorStarted => {
                self.turn = if event.position == 0 { 1 } else { self.turn + 1 };
                format!("turn {}", self.turn)
            }
            EventKind::OrchestratorCompleted => "end of the turn".to_owned(),
            EventKind::Note { text } => short(text.as_deref().unwrap_or("a remark without words")),
            EventKind::TaskScheduled { name, input, .. } => {
                self.calls.insert(id, name.clone());
                format!("#{id} {name} called{}", with(input))
            }
            EventKind::TaskCompleted { scheduled_id, result }
            | EventKind::SubOrchestrationInstanceCompleted { scheduled_id, result } => {
                format!("{} returned{}", self.call(*scheduled_id), giving(result))
            }
            EventKind::TaskFailed { scheduled_id, failure }
            | EventKind::SubOrchestrationInstanceFailed { scheduled_id, failure } => {
                format!("{} failed: {}", self.call(*scheduled_id), failure.as_ref().map_or_else(String::new, reason))
            }
            EventKind::SubOrchestrationInstanceCreated { instance_id, name, input, .. } => {
                self.calls.insert(id, name.clone());
                format!("#{id} orchestration {name} started as {instance_id}{}", with(input))
            }
            EventKind::TimerCreated { fire_at } => {
                self.calls.insert(id, "timer".to_owned());
                let until = fire_at.map(|time| format!(" until {}", humantime::format_rfc3339_millis(time)));
                format!("#{id} timer set{}", until.unwrap_or_default())
            }
            EventKind::TimerFired { timer_id } => format!("{} fired", self.call(*timer_id)),
            EventKind::EventSent { instance_id, name, input } => {
                format!("event `{name}` sent to {instance_id}{}", with(input))
            }
            EventKind::EventRaised { name, input } => format!("event `{name}` arrived{}", with(input)),
            EventKind::EntityOperationSignaled { entity, operation, input } => {
                format!("{operation} signaled to {entity}{}", with(input))
            }
            EventKind::EntityOperationCalled { entity, operation, input, .. } => {
                format!("#{id} {operation} of {entity} called{}", with(input))
            }
            EventKind::EntityOperationCompleted { output, .. } => format!("entity answered{}", giving(output)),
            EventKind::EntityOperationFailed { failure, .. } => {
                format!("entity failed: {}", failure.as_ref().map_or_else(String::new, reason))
            }
            EventKind::EntityLockRequested { entities, .. } => format!("lock of {} requested", entities.join(", ")),
            EventKind::EntityLockGranted { .. } => "lock granted".to_owned(),
            EventKind::EntityUnlockSent { entity, .. } => format!("{entity} unlocked"),
            EventKind::ContinueAsNew => "continued as new".to_owned(),
            EventKind::Unknown => "an event that this version does not know".to_owned(),
        }
    }

    fn call(&self, id: i32) -> String {
        match self.calls.get(&id) {
            Some(name) => format!("#{id} {name}"),
            None => format!("#{id}"),
        }
    }
}

fn with(payload: &Option<Payload>) -> String {
    shown(payload).map(|text| format!(" with {text}")).unwrap_or_default()
}

fn giving(payload: &Option<Payload>) -> String {
    shown(payload).map(|text| format!(": {text}")).unwrap_or_default()
}

/// Some SDKs send an empty text where there is no payload.
fn shown(payload: &Option<Payload>) -> Option<String> {
    payload.as_ref().map(Payload::as_str).filter(|text| !text.is_empty()).map(short)
}

fn because(reason: &Option<String>) -> String {
    reason.as_ref().filter(|reason| !reason.is_empty()).map(|reason| format!(": {}", short(reason))).unwrap_or_default()
}

fn reason(failure: &Failure) -> String {
    short(&failure.to_string())
}

/// The beginning of a text, on one line and without control characters, which could play tricks with a terminal.
fn short(text: &str) -> String {
    let mut line: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_id: i32, kind: EventKind) -> HistoryEvent {
        HistoryEvent { position: 0, event_id, timestamp: None, kind }
    }

    #[test]
    fn a_result_is_told_with_the_name_of_its_call() {
        let mut narrator = Narrator::default();
        let input = Some(Payload::from_text("\"Tokyo\""));
        let call = EventKind::TaskScheduled { name: "say_hello".into(), version: None, input };
        assert_eq!(narrator.tell(&event(3, call)), "#3 say_hello called with \"Tokyo\"");
        let result = Some(Payload::from_text("\"Hello Tokyo!\""));
        let returned = event(-1, EventKind::TaskCompleted { scheduled_id: 3, result });
        assert_eq!(narrator.tell(&returned), "#3 say_hello returned: \"Hello Tokyo!\"");
    }

    #[test]
    fn turns_are_counted_from_the_beginning_of_each_execution() {
        let mut narrator = Narrator::default();
        let mut turn = |position| {
            narrator.tell(&HistoryEvent {
                position,
                event_id: -1,
                timestamp: None,
                kind: EventKind::OrchestratorStarted,
            })
        };
        assert_eq!((turn(0), turn(4), turn(0)), ("turn 1".into(), "turn 2".into(), "turn 1".into()));
    }

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        let input = Some(Payload::from_text(format!("a\u{1b}[31m\n{}", "é".repeat(500))));
        let line = Narrator::default().tell(&event(-1, EventKind::EventRaised { name: "x".into(), input }));
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.chars().count() < 140, "{line}");
    }
}
