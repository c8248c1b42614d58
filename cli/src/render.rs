//! Instances and events as text for people.

use std::time::SystemTime;

use anstyle::Style;
use durawasm_client::{
    Description, Details, EventKind, Failure, HistoryEvent, Instance, Narrator, Parked, ReturnedActivity, Status,
};
use durawasm_errors::Code;

use crate::console::{BAD, DIM, GOOD, STRONG, WARN, styled};

/// An instance as a block of names and values.
pub(crate) fn description(description: &Description) -> String {
    let instance = &description.instance;
    let mut block = Block::new(styled(STRONG, &instance.id));
    let version = instance.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    block.line("orchestrator", format!("{}{version}", instance.name));
    block.line("status", styled(style(instance.status), instance.status));
    if let Some(details) = &description.details {
        if let Some(parked) = &details.parked {
            self::parked(&mut block, parked);
        } else if let Some(waiting) = &details.waiting_for {
            block.line("waits for", styled(WARN, waiting));
        }
        returned(&mut block, details);
        if let Some(worker) = &details.worker {
            block.line("runs on", worker);
        }
        let open = [
            (details.open_activities, "activity", "activities"),
            (details.open_timers, "timer", "timers"),
            (details.open_children, "sub-orchestration", "sub-orchestrations"),
            (details.inbox_events, "event to deliver", "events to deliver"),
        ];
        let open: Vec<String> = open
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
            .collect();
        if !open.is_empty() {
            block.line("open", open.join(", "));
        }
        block.line("history", format!("{} events, {} bytes", details.history_events, details.history_bytes));
        if let Some(fuel) = &details.fuel {
            let units = |fuel| amount(fuel, "unit", "units");
            block.line("fuel", format!("{} in all, {} in the last turn", units(fuel.total), units(fuel.last_turn)));
        }
    }
    times(&mut block, instance);
    if let Some(parent) = &instance.parent {
        block.line("parent", parent);
    }
    for (name, value) in &instance.tags {
        block.line("tag", format!("{name}={value}"));
    }
    let payloads =
        [("input", &instance.input), ("custom status", &instance.custom_status), ("output", &instance.output)];
    for (name, payload) in payloads {
        if let Some(payload) = payload {
            block.line(name, payload);
        }
    }
    if let Some(failure) = &instance.failure {
        self::failure(&mut block, failure);
    }
    block.text
}

/// Why an instance does not go on, to follow its id in a sentence.
pub(crate) fn blocked(description: &Description) -> Option<String> {
    let details = description.details.as_ref()?;
    match (&details.parked, &details.waiting_for) {
        (Some(parked), _) => Some(format!("is parked ({}): {} {}", parked_code(parked), parked.message, parked.advice)),
        (None, Some(waiting)) => Some(format!("waits for {waiting}")),
        (None, None) if details.returned_episodes >= SUSPICIOUS => Some(format!(
            "cannot go on: its turn has come back from workers {} times without an answer",
            details.returned_episodes
        )),
        (None, None) => {
            details.returned_activities.iter().find(|returned| returned.times >= SUSPICIOUS).map(|returned| {
                format!(
                    "waits for the activity `{}`, which has come back from workers {} times without an answer",
                    returned.name, returned.times
                )
            })
        }
    }
}

/// The code that explains why an instance does not go on, if one does.
pub(crate) fn trouble(details: &Details) -> Option<Code> {
    let lost = details.returned_episodes > 0 || !details.returned_activities.is_empty();
    details.parked.as_ref().map(parked_code).or(lost.then_some(Code::WorkLost))
}

/// From this many returns in a row on, the work itself is under suspicion and no longer an accident.
const SUSPICIOUS: u32 = 3;
/// How many returned activities are shown one by one.
const RETURNED_SHOWN: usize = 5;

/// The error code of a parked instance.
pub(crate) fn parked_code(parked: &Parked) -> Code {
    match parked.reason.as_str() {
        "divergence" => Code::ParkedDivergence,
        "deadline" => Code::ParkedDeadline,
        "payload" => Code::PayloadTooLarge,
        "memory" | "tables" | "parts" | "stack" | "fuel" | "commands" | "pending" | "answer" | "random" => {
            Code::ParkedLimit
        }
        "history" | "unsupported" => Code::ParkedUnsupported,
        "no-version" => Code::ParkedVersion,
        _ => Code::ParkedContract,
    }
}

/// What stands above the lines of events.
pub(crate) fn event_header() -> String {
    styled(DIM, format_args!("{:>6}  {:24}  what happened", "event", "time"))
}

/// An event as a line: place, time, what happened. What belongs to a turn stands below its beginning.
pub(crate) fn event_line(event: &HistoryEvent, narrator: &mut Narrator) -> String {
    let time = event.timestamp.map(|time| humantime::format_rfc3339_millis(time).to_string());
    let time = styled(DIM, format_args!("{:24}", time.as_deref().unwrap_or("-")));
    let told = narrator.tell(event);
    let what = match &event.kind {
        EventKind::OrchestratorStarted => styled(STRONG, told),
        EventKind::ExecutionCompleted { status, .. } => format!("  {}", styled(style(*status), told)),
        EventKind::TaskFailed { .. } | EventKind::SubOrchestrationInstanceFailed { .. } => {
            format!("  {}", styled(BAD, told))
        }
        EventKind::ExecutionRewound { .. } | EventKind::Note { .. } => format!("  {}", styled(WARN, told)),
        _ => format!("  {told}"),
    };
    format!("{:>6}  {time}  {what}", event.position)
}

/// A text on one line: what could play tricks with a terminal is shown as an escape.
pub(crate) fn visible(text: &str) -> String {
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text.to_owned() }
}

/// A number with its noun, in groups of three digits.
pub(crate) fn amount(count: u64, one: &str, many: &str) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {}", if count == 1 { one } else { many })
}

/// A text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

pub(crate) fn style(status: Status) -> Style {
    match status {
        Status::Completed => GOOD,
        Status::Failed | Status::Terminated | Status::Canceled => BAD,
        Status::Suspended => WARN,
        Status::Pending | Status::Running | Status::ContinuedAsNew => STRONG,
    }
}

fn parked(block: &mut Block, parked: &Parked) {
    block.line("parked", styled(BAD, format!("{} ({})", parked.reason, parked_code(parked))));
    block.line("", &parked.message);
    if !parked.component.is_empty() {
        block.line("", format!("in {}, tried {} times", parked.component, parked.attempts));
    }
    if let Some(since) = parked.since {
        block.line("", format!("since {}", moment(since)));
    }
    if !parked.advice.is_empty() {
        block.line("", &parked.advice);
    }
}

/// Work that came back from workers without an answer, and what to make of it.
fn returned(block: &mut Block, details: &Details) {
    let Details { returned_episodes, returned_activities, .. } = details;
    let worst =
        returned_activities.iter().map(|returned| returned.times).chain([*returned_episodes]).max().unwrap_or(0);
    if worst == 0 {
        return;
    }
    let mut lines = Vec::new();
    if *returned_episodes > 0 {
        let turns = if *returned_episodes == 1 { "try" } else { "tries" };
        lines.push(format!(
            "the last {returned_episodes} {turns} at its turn were lost with their worker or given back"
        ));
    }
    for ReturnedActivity { event, name, times } in returned_activities.iter().take(RETURNED_SHOWN) {
        lines.push(format!("{name} (event {event}) was lost with its worker or given back, {}", counted(*times)));
    }
    if let Some(more @ 1..) = returned_activities.len().checked_sub(RETURNED_SHOWN) {
        lines.push(format!("and {more} more activities"));
    }
    lines.push(if worst < SUSPICIOUS {
        "It is sent again. This happens when a host is stopped or loses its connection.".to_owned()
    } else {
        format!("It is sent again, but may well end its workers each time ({}): read their logs.", Code::WorkLost)
    });
    let style = if worst < SUSPICIOUS { WARN } else { BAD };
    for (index, line) in lines.into_iter().enumerate() {
        match index {
            0 => block.line("came back", styled(style, line)),
            _ => block.line("", line),
        }
    }
}

fn counted(times: u32) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}

fn times(block: &mut Block, instance: &Instance) {
    let times = [
        ("created", instance.created_at),
        ("not before", instance.scheduled_at),
        ("updated", instance.updated_at),
        ("ended", instance.completed_at),
    ];
    for (name, time) in times {
        if let Some(time) = time {
            block.line(name, moment(time));
        }
    }
}

fn failure(block: &mut Block, failure: &Failure) {
    for (depth, failure) in failure.chain().enumerate() {
        block.line(if depth == 0 { "failure" } else { "caused by" }, styled(BAD, failure));
        if let Some(stack) = &failure.stack {
            block.line("", styled(DIM, stack.trim_end()));
        }
    }
}

/// A point in time, and how far it is from now.
fn moment(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_millis(time);
    let seconds = |duration: std::time::Duration| std::time::Duration::from_secs(duration.as_secs());
    match SystemTime::now().duration_since(time) {
        Ok(ago) if ago.as_secs() > 0 => format!("{text} ({} ago)", humantime::format_duration(seconds(ago))),
        Ok(_) => format!("{text} (now)"),
        Err(ahead) => format!("{text} (in {})", humantime::format_duration(seconds(ahead.duration()))),
    }
}

/// Names and values in two columns under a title.
pub(crate) struct Block {
    text: String,
}

impl Block {
    const NAMES: usize = 14;

    pub(crate) fn new(title: String) -> Block {
        Block { text: title }
    }

    pub(crate) fn line(&mut self, name: &str, value: impl ToString) {
        let value = value.to_string().replace('\n', &format!("\n{:width$}", "", width = Block::NAMES + 3));
        let name = format!("{name:width$}", width = Block::NAMES);
        self.text.push_str(&format!("\n  {} {value}", styled(DIM, name)));
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_to_park_has_the_code_whose_page_explains_it() {
        let parked = |reason: &str| Parked {
            reason: reason.to_owned(),
            message: String::new(),
            component: String::new(),
            advice: String::new(),
            since: None,
            attempts: 1,
        };
        for (reason, code) in [
            ("divergence", Code::ParkedDivergence),
            ("deadline", Code::ParkedDeadline),
            ("memory", Code::ParkedLimit),
            ("stack", Code::ParkedLimit),
            ("commands", Code::ParkedLimit),
            ("tables", Code::ParkedLimit),
            ("parts", Code::ParkedLimit),
            ("fuel", Code::ParkedLimit),
            ("pending", Code::ParkedLimit),
            ("answer", Code::ParkedLimit),
            ("random", Code::ParkedLimit),
            ("payload", Code::PayloadTooLarge),
            ("no-version", Code::ParkedVersion),
            ("contract", Code::ParkedContract),
            ("replay-trap", Code::ParkedContract),
            ("history", Code::ParkedUnsupported),
            ("unsupported", Code::ParkedUnsupported),
        ] {
            assert_eq!(parked_code(&parked(reason)), code, "{reason}");
        }
    }

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        assert_eq!(amount(1, "turn", "turns"), "1 turn");
        assert_eq!(amount(0, "turn", "turns"), "0 turns");
        assert_eq!(amount(999, "turn", "turns"), "999 turns");
        assert_eq!(amount(1_234_567, "turn", "turns"), "1,234,567 turns");
    }

    #[test]
    fn an_id_is_quoted_for_the_shell_where_it_must_be() {
        assert_eq!(quoted("order-17"), "order-17");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
