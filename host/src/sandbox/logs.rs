//! What guests write for people, gathered until it may be shown.

use crate::abi::log;
use crate::orchestration::{LogLevel, LogLine};

/// More lines of one episode, or of one call of an activity, are counted and dropped.
const MAX_LINES: usize = 1_000;
const MAX_LINE_BYTES: usize = 16 << 10;

/// The target of the line that SDKs write when the guest's code panics, just before the trap.
pub(super) const PANIC_TARGET: &str = "durawasm.panic";

#[derive(Debug, Default)]
pub(super) struct LogBuffer {
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
    pub(super) fn write(&mut self, level: LogLevel, target: String, message: String, fields: Vec<(String, String)>) {
        if target == PANIC_TARGET {
            self.panic = Some(message.clone());
        }
        if self.lines.len() < MAX_LINES {
            self.lines.push(LogLine { level, target, message: cut(message), fields });
        } else {
            self.dropped += 1;
        }
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
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            lines.push(LogLine {
                level: LogLevel::Warn,
                target: "durawasm".to_owned(),
                message: format!("{dropped} more lines were dropped: the limit is {MAX_LINES} at a time"),
                fields: Vec::new(),
            });
        }
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

fn cut(mut message: String) -> String {
    if message.len() > MAX_LINE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_LINE_BYTES));
        message.push('…');
    }
    message
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

    #[test]
    fn output_is_cut_into_lines_and_the_last_one_needs_no_end() {
        let mut logs = LogBuffer::default();
        logs.write_standard(Standard::Out, b"a\nb");
        logs.write_standard(Standard::Out, b"c\n");
        logs.write_standard(Standard::Err, b"d");
        let lines: Vec<_> = logs.take().into_iter().map(|line| (line.target, line.message)).collect();
        let expected = [("stdout", "a"), ("stdout", "bc"), ("stderr", "d")];
        assert_eq!(lines, expected.map(|(target, message)| (target.to_owned(), message.to_owned())));
    }

    #[test]
    fn a_flood_of_lines_is_counted_and_dropped() {
        let mut logs = LogBuffer::default();
        for _ in 0..MAX_LINES + 5 {
            logs.write(LogLevel::Info, "x".to_owned(), "y".to_owned(), Vec::new());
        }
        let lines = logs.take();
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert!(lines.last().unwrap().message.starts_with("5 more lines"));
    }
}
