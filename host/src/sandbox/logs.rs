//! What guests write for people, gathered until it may be shown.

use crate::abi::log;
use crate::orchestration::{LogLevel, LogLine};

/// The longest line; what is longer is cut.
const MAX_LINE_BYTES: usize = 16 << 10;
/// The longest name or value of a field, and the longest target.
const MAX_FIELD_BYTES: usize = 1 << 10;
/// Fields of one line.
const MAX_FIELDS: usize = 32;

/// The target of the line that SDKs write when the guest's code panics, just before the trap.
pub(super) const PANIC_TARGET: &str = "durawasm.panic";

/// Lines of one episode, of one call of an activity, or of one batch of an entity's operations. What is over the limits is counted and dropped, never an error: code could branch
/// on one.
#[derive(Debug)]
pub(super) struct LogBuffer {
    max_lines: usize,
    max_bytes: usize,
    /// The bytes of the lines that are kept.
    bytes: usize,
    lines: Vec<LogLine>,
    dropped: usize,
    /// What was written to stdout and stderr and is not a whole line yet.
    partial: [Vec<u8>; 2],
    panic: Option<String>,
}

/// One of the guest's standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standard {
    Out,
    Err,
}

impl LogBuffer {
    /// A buffer for this many lines and bytes at a time.
    pub(super) fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self { max_lines, max_bytes, bytes: 0, lines: Vec::new(), dropped: 0, partial: Default::default(), panic: None }
    }

    pub(super) fn write(
        &mut self,
        level: LogLevel,
        target: String,
        message: String,
        mut fields: Vec<(String, String)>,
    ) {
        let message = cut(message, MAX_LINE_BYTES);
        if target == PANIC_TARGET {
            self.panic = Some(message.clone());
        }
        if !self.has_room() {
            return;
        }
        fields.truncate(MAX_FIELDS);
        let short = |text: String| cut(text, MAX_FIELD_BYTES);
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| (short(name), short(value))).collect();
        self.keep(LogLine { level, target: short(target), message, fields });
    }

    /// Takes over the lines of another buffer, as far as there is room.
    pub(super) fn append(&mut self, lines: Vec<LogLine>) {
        for line in lines {
            if self.has_room() {
                self.keep(line);
            }
        }
    }

    /// Whether there is room for one more line; if not, it counts as dropped.
    fn has_room(&mut self) -> bool {
        let room = self.lines.len() < self.max_lines && self.bytes < self.max_bytes;
        self.dropped += usize::from(!room);
        room
    }

    fn keep(&mut self, line: LogLine) {
        let around: usize = line.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.bytes += line.target.len() + line.message.len() + around;
        self.lines.push(line);
    }

    /// Bytes written to a standard stream: whole lines become log lines.
    pub(super) fn write_standard(&mut self, stream: Standard, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial[stream as usize].extend_from_slice(&rest[..end]);
            self.end_line(stream);
            rest = &rest[end + 1..];
        }
        self.partial[stream as usize].extend_from_slice(rest);
        if self.partial[stream as usize].len() > MAX_LINE_BYTES {
            self.end_line(stream);
        }
    }

    fn end_line(&mut self, stream: Standard) {
        let line = std::mem::take(&mut self.partial[stream as usize]);
        let (level, target) = match stream {
            Standard::Out => (LogLevel::Info, "stdout"),
            Standard::Err => (LogLevel::Warn, "stderr"),
        };
        self.write(level, target.to_owned(), String::from_utf8_lossy(&line).into_owned(), Vec::new());
    }

    /// All lines since this was called last.
    pub(super) fn take(&mut self) -> Vec<LogLine> {
        for stream in [Standard::Out, Standard::Err] {
            if !self.partial[stream as usize].is_empty() {
                self.end_line(stream);
            }
        }
        let mut lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        lines.extend(dropped(std::mem::take(&mut self.dropped), self.max_lines, self.max_bytes));
        lines
    }

    /// What the guest said of its panic, if it panicked: by the SDK's line, else as Rust's own hook writes it.
    pub(super) fn take_panic(&mut self) -> Option<String> {
        self.panic.take().or_else(|| {
            let written: Vec<_> =
                self.lines.iter().filter(|line| line.target == "stderr").map(|line| line.message.as_str()).collect();
            let from = written.iter().rposition(|line| line.contains(" panicked at "))?;
            let note = |line: &&&str| !line.starts_with("note: ");
            Some(written[from..].iter().filter(note).copied().collect::<Vec<_>>().join("\n"))
        })
    }
}

/// The line that says how many there are not.
fn dropped(count: usize, max_lines: usize, max_bytes: usize) -> Option<LogLine> {
    (count > 0).then(|| LogLine {
        level: LogLevel::Warn,
        target: "durawasm".to_owned(),
        message: format!(
            "{count} more lines were dropped: the limit is {max_lines} lines and {max_bytes} bytes at a time"
        ),
        fields: Vec::new(),
    })
}

fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// A store whose guest writes log lines.
pub(super) trait Logging {
    fn logs(&mut self) -> &mut LogBuffer;
}

/// The borrowed half of a store that the generated bindings of `log` call.
pub(super) struct LogSink<'a>(&'a mut LogBuffer);

impl log::Host for LogSink<'_> {
    fn write(&mut self, level: LogLevel, target: String, message: String, fields: Vec<(String, String)>) {
        self.0.write(level, target, message, fields);
    }
}

struct HasLogs;

impl wasmtime::component::HasData for HasLogs {
    type Data<'a> = LogSink<'a>;
}

/// Links the contract's `log` interface.
pub(super) fn link<T: Logging + Send + 'static>(linker: &mut wasmtime::component::Linker<T>) -> wasmtime::Result<()> {
    log::add_to_linker::<T, HasLogs>(linker, |state| LogSink(state.logs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer() -> LogBuffer {
        LogBuffer::new(10, 10_000)
    }

    fn write(logs: &mut LogBuffer, message: &str) {
        logs.write(LogLevel::Info, "x".to_owned(), message.to_owned(), Vec::new());
    }

    #[test]
    fn output_is_cut_into_lines_and_the_last_one_needs_no_end() {
        let mut logs = buffer();
        logs.write_standard(Standard::Out, b"a\nb");
        logs.write_standard(Standard::Out, b"c\n");
        logs.write_standard(Standard::Err, b"d");
        let lines: Vec<_> = logs.take().into_iter().map(|line| (line.target, line.message)).collect();
        let expected = [("stdout", "a"), ("stdout", "bc"), ("stderr", "d")];
        assert_eq!(lines, expected.map(|(target, message)| (target.to_owned(), message.to_owned())));
    }

    #[test]
    fn a_flood_of_lines_is_counted_and_dropped() {
        let mut logs = buffer();
        for _ in 0..15 {
            write(&mut logs, "y");
        }
        let lines = logs.take();
        assert_eq!(lines.len(), 11);
        assert!(lines[10].message.starts_with("5 more lines"), "{lines:?}");
        write(&mut logs, "the next episode begins anew");
        assert_eq!(logs.take().len(), 1);
    }

    #[test]
    fn a_flood_of_bytes_is_counted_and_dropped_too() {
        let mut logs = buffer();
        for _ in 0..5 {
            write(&mut logs, &"y".repeat(6_000));
        }
        let lines = logs.take();
        assert_eq!(lines.len(), 3);
        assert!(lines[2].message.starts_with("3 more lines"), "{lines:?}");
    }

    #[test]
    fn a_batch_keeps_no_more_lines_than_one_of_its_operations_may_write() {
        let mut batch = buffer();
        for _ in 0..4 {
            let mut one = buffer();
            (0..8).for_each(|_| write(&mut one, "y"));
            batch.append(one.take());
        }
        let lines = batch.take();
        assert_eq!(lines.len(), 11);
        assert!(lines[10].message.starts_with("22 more lines"), "{lines:?}");
        let mut one = buffer();
        write(&mut one, &"y".repeat(9_000));
        let large = one.take();
        (0..4).for_each(|_| batch.append(large.clone()));
        assert_eq!(batch.take().len(), 3, "two, and that there were more");
    }

    #[test]
    fn what_stands_around_a_line_is_bounded() {
        let mut logs = buffer();
        let field = ("n".repeat(1 << 20), "v".repeat(1 << 20));
        logs.write(LogLevel::Info, "t".repeat(1 << 20), "m".repeat(1 << 20), vec![field; 100]);
        let line = &logs.take()[0];
        assert_eq!(line.fields.len(), MAX_FIELDS);
        assert!(
            line.fields
                .iter()
                .all(|(name, value)| name.len() <= MAX_FIELD_BYTES + 3 && value.len() <= MAX_FIELD_BYTES + 3)
        );
        assert!(line.target.len() <= MAX_FIELD_BYTES + 3 && line.message.len() <= MAX_LINE_BYTES + 3);
    }
}
